//! Paths from a certificate to a root (RFC 5280 §6.1), built and judged.
//!
//! First all that needs no key: which of the certificates may be above which, and whether each path there is
//! keeps the rules. What is left is signatures, which are the host's to settle.

use notme_keys::{Outcome, SignatureCheck};

use crate::{Certificate, GeneralName, KeyUse, Refusal, Revocation};

/// What a certificate may be for (RFC 5280 §4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A server's side of TLS.
    ServerAuth,
    /// A client's side of TLS.
    ClientAuth,
}

impl Purpose {
    /// id-kp: 1.3.6.1.5.5.7.3, and its number there.
    const fn oid(self) -> &'static [u8] {
        match self {
            Self::ServerAuth => &[0x2b, 6, 1, 5, 5, 7, 3, 1],
            Self::ClientAuth => &[0x2b, 6, 1, 5, 5, 7, 3, 2],
        }
    }
}

/// How much is done for one certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest certificate, in bytes.
    pub certificate_len: usize,
    /// How many certificates there may be beside the roots.
    pub certificates: usize,
    /// How many CAs may be between it and a root; of those that certify themselves, such as after a rollover,
    /// all but [`Self::certificates`] are free.
    pub depth: usize,
    /// How many certificates are looked at as the next of some path.
    pub steps: usize,
    /// How many names are compared with constraints.
    pub names: usize,
    /// How many signatures are left to be checked.
    pub checks: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            certificate_len: 16 * 1024,
            certificates: 10,
            depth: 5,
            steps: 1000,
            names: 10_000,
            checks: 16,
        }
    }
}

/// What a certificate has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules<'a> {
    /// The time, in Unix seconds.
    pub now: i64,
    /// What it has to be for, if it says what it is for; so has each CA above it that says so.
    pub purpose: Option<Purpose>,
    /// Whether it may be a CA's own.
    pub may_be_ca: bool,
    /// What is known of certificates that were taken back.
    pub revocation: Revocation<'a>,
    /// How much may be done.
    pub limits: Limits,
}

/// A path whose signatures were found good: the certificate, who issued it, who issued that, and so on to a
/// root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path<'a>(Vec<&'a Certificate<'a>>);

impl<'a> Path<'a> {
    /// The certificates, the root last.
    #[must_use]
    pub fn certificates(&self) -> &[&'a Certificate<'a>] {
        &self.0
    }

    /// The last second in which all of it is valid, in Unix seconds.
    #[must_use]
    pub fn not_after(&self) -> i64 {
        self.0
            .iter()
            .map(|one| one.not_after)
            .min()
            .unwrap_or(i64::MIN)
    }
}

/// The paths that keep all rules, and the signatures that have to be good for one of them to be one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<'a> {
    checks: Vec<SignatureCheck>,
    /// Never empty. Each with the places of its checks.
    paths: Vec<(Path<'a>, Vec<usize>)>,
}

impl<'a> Plan<'a> {
    /// Finds the paths from `leaf` through some of `others` to one of `roots`.
    ///
    /// # Errors
    /// What stood in the way of the one that came furthest.
    pub fn new(
        leaf: &'a Certificate<'a>,
        others: &'a [Certificate<'a>],
        roots: &'a [Certificate<'a>],
        rules: &Rules<'_>,
    ) -> Result<Self, Refusal> {
        let limits = rules.limits;
        let is_long = |one: &Certificate<'_>| one.as_der().len() > limits.certificate_len;
        if others.len() >= limits.certificates || is_long(leaf) || others.iter().any(is_long) {
            return Err(Refusal::TooMuch);
        }
        let mut search = Search {
            others,
            roots,
            rules,
            steps: limits.steps,
            names: limits.names,
            plan: Self {
                checks: Vec::new(),
                paths: Vec::new(),
            },
            furthest: (0, Refusal::NoPath),
        };
        let ended = search.extend(&mut vec![leaf]);
        // What was found before it became too much is as good as it would be alone.
        if search.plan.paths.is_empty() {
            return Err(ended.err().unwrap_or(search.furthest.1));
        }
        Ok(search.plan)
    }

    /// What the host must settle.
    #[must_use]
    pub fn checks(&self) -> &[SignatureCheck] {
        &self.checks
    }

    /// The first path of which all signatures are good.
    ///
    /// # Errors
    /// [`Refusal::BadSignature`].
    pub fn settle(self, outcomes: &[Outcome]) -> Result<Path<'a>, Refusal> {
        let is_good = |at: &usize| {
            outcomes
                .get(*at)
                .is_some_and(|outcome| outcome.is_verified())
        };
        let mut paths = self.paths.into_iter();
        let path = paths.find(|(_, needs)| needs.iter().all(is_good));
        path.map(|(path, _)| path).ok_or(Refusal::BadSignature)
    }

    fn need(&mut self, check: SignatureCheck, limit: usize) -> Result<usize, Refusal> {
        if let Some(known) = self.checks.iter().position(|known| *known == check) {
            return Ok(known);
        }
        if self.checks.len() >= limit {
            return Err(Refusal::TooMuch);
        }
        self.checks.push(check);
        Ok(self.checks.len() - 1)
    }
}

struct Search<'a, 'r> {
    others: &'a [Certificate<'a>],
    roots: &'a [Certificate<'a>],
    rules: &'r Rules<'r>,
    /// How many steps are left.
    steps: usize,
    /// How many comparisons of names are left.
    names: usize,
    plan: Plan<'a>,
    /// How long the path was that came furthest, and what was wrong with it.
    furthest: (usize, Refusal),
}

/// Whether `issuer` may be who issued `subject`: of that name, with that key.
fn may_issue(issuer: &Certificate<'_>, subject: &Certificate<'_>) -> bool {
    issuer.subject().is(subject.issuer())
        && match (subject.authority_key(), issuer.subject_key()) {
            (Some(wanted), Some(key)) => wanted == key,
            _ => true,
        }
}

impl<'a> Search<'a, '_> {
    /// Tries whatever may come next on the path.
    ///
    /// # Errors
    /// [`Refusal::TooMuch`], when no more may be tried.
    fn extend(&mut self, path: &mut Vec<&'a Certificate<'a>>) -> Result<(), Refusal> {
        let Some(last) = path.last().copied() else {
            return Ok(());
        };
        let roots = self.roots.iter().map(|root| (root, true));
        let others = self.others.iter().map(|other| (other, false));
        for (next, is_root) in roots.chain(others) {
            self.steps = self.steps.checked_sub(1).ok_or(Refusal::TooMuch)?;
            // The same holder of the same key twice is a circle.
            let is_there = |one: &&Certificate<'_>| {
                one.spki() == next.spki() && one.subject().is(next.subject())
            };
            if path.iter().any(is_there) || !may_issue(next, last) {
                continue;
            }
            path.push(next);
            let judged = if is_root {
                self.finish(path)
            } else {
                self.may_be_above(next)
            };
            match judged {
                Ok(()) if is_root => {}
                Ok(()) => self.extend(path)?,
                Err(Refusal::TooMuch) => return Err(Refusal::TooMuch),
                Err(refusal) if path.len() >= self.furthest.0 => {
                    self.furthest = (path.len(), refusal)
                }
                Err(_) => {}
            }
            path.pop();
        }
        Ok(())
    }

    /// What each certificate must be, wherever it stands.
    fn stands(&self, one: &Certificate<'_>) -> Result<(), Refusal> {
        if self.rules.now < one.not_before {
            return Err(Refusal::NotYetValid(one.not_before));
        }
        if self.rules.now > one.not_after {
            return Err(Refusal::Expired(one.not_after));
        }
        if one.has_unknown_critical_extension() {
            return Err(Refusal::UnknownCriticalExtension);
        }
        match self.rules.purpose {
            Some(purpose) if !one.is_for(purpose.oid()) => Err(Refusal::Purpose),
            _ => Ok(()),
        }
    }

    /// What a CA must be.
    fn may_be_above(&self, one: &Certificate<'_>) -> Result<(), Refusal> {
        self.stands(one)?;
        if !one.is_ca() {
            return Err(Refusal::NotCa);
        }
        if !one.permits(KeyUse::CertSign) {
            return Err(Refusal::KeyUsage);
        }
        Ok(())
    }

    /// Judges a whole path, and keeps it if it is good: from the root down (§6.1.3 to §6.1.5).
    fn finish(&mut self, path: &[&'a Certificate<'a>]) -> Result<(), Refusal> {
        let mut depth = self.rules.limits.depth;
        let mut constraints = Vec::new();
        let mut above: Option<&Certificate<'_>> = None;
        for (at, one) in path.iter().enumerate().rev() {
            let is_self_issued = one.is_self_issued();
            if let Some(above) = above {
                self.constrain(one, &constraints, is_self_issued && at > 0)?;
                // Who issued it is said, and is that one (§4.2.1.1).
                if one.authority_key().is_none() || one.authority_key() != above.subject_key() {
                    return Err(Refusal::Profile(
                        "a certificate doesn't say which key signed it",
                    ));
                }
                // Roots may have none, and some have (§4.1.2.2).
                if one.serial() == [0] {
                    return Err(Refusal::Profile("a serial number is zero"));
                }
            } else if let Some(key) = one.authority_key() {
                // A root's own may be left out, but doesn't contradict it.
                if is_self_issued && Some(key) != one.subject_key() {
                    return Err(Refusal::Profile("a root doesn't say which key signed it"));
                }
            }
            if at == 0 {
                self.stands(one)?;
                if one.is_ca() && !self.rules.may_be_ca {
                    return Err(Refusal::KeyUsage);
                }
                break;
            }
            self.may_be_above(one)?;
            if above.is_some() && !is_self_issued {
                depth = depth.checked_sub(1).ok_or(Refusal::PathTooLong)?;
            }
            depth = depth.min(one.path_len().unwrap_or(usize::MAX));
            constraints.extend(one.constraints());
            above = Some(one);
        }
        let mut needs = Vec::new();
        for (one, issuer) in path.iter().zip(path.iter().skip(1)) {
            let check = one.check(issuer).ok_or(Refusal::UnsupportedAlgorithm)?;
            needs.push(self.plan.need(check, self.rules.limits.checks)?);
            for check in self.rules.revocation.checks(one, issuer, self.rules.now)? {
                needs.push(self.plan.need(check, self.rules.limits.checks)?);
            }
        }
        self.plan.paths.push((Path(path.to_vec()), needs));
        Ok(())
    }

    /// That the names of a certificate are where the CAs above it may certify (§6.1.3 (b) and (c)).
    fn constrain(
        &mut self,
        one: &Certificate<'_>,
        constraints: &[&crate::constraints::NameConstraints<'_>],
        is_exempt: bool,
    ) -> Result<(), Refusal> {
        if is_exempt {
            return Ok(());
        }
        let subject = GeneralName::Directory(one.subject().clone());
        for constraints in constraints {
            let mut permit = |name: &GeneralName<'_>| {
                self.names = self
                    .names
                    .checked_sub(constraints.len())
                    .ok_or(Refusal::TooMuch)?;
                if constraints.permit(name) {
                    Ok(())
                } else {
                    Err(Refusal::NameConstraints)
                }
            };
            if !one.subject().is_empty() {
                permit(&subject)?;
            }
            one.alternative_names().iter().try_for_each(&mut permit)?;
            for email in one.subject().emails() {
                let text = crate::general_name::text(email).ok_or(Refusal::NameConstraints)?;
                permit(&GeneralName::Email(text))?;
            }
        }
        Ok(())
    }
}
