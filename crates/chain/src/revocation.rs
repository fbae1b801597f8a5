//! Revocation lists (RFC 5280 §5), complete ones of whoever issued the certificate.

use notme_keys::SignatureCheck;
use notme_keys::der::{Der, tag};

use crate::algorithm::Signed;
use crate::certificate::{Extension, authority_key, serial};
use crate::time::time;
use crate::{Certificate, KeyUse, Name, Refusal};

/// What is known of certificates that were taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocation<'a> {
    /// Nothing.
    Ignored,
    /// What these lists say. Whose issuer has none is as good as one that isn't on it; but a list that is there
    /// has to be good.
    IfListed(&'a [RevocationList<'a>]),
    /// What these lists say. Whose issuer has none is refused.
    Required(&'a [RevocationList<'a>]),
}

impl Revocation<'_> {
    /// What must hold for `one`, which `issuer` issued, not to be taken back at `now`.
    pub(crate) fn checks(
        &self,
        one: &Certificate<'_>,
        issuer: &Certificate<'_>,
        now: i64,
    ) -> Result<Vec<SignatureCheck>, Refusal> {
        let (lists, is_required) = match self {
            Self::Ignored => return Ok(Vec::new()),
            Self::IfListed(lists) => (lists, false),
            Self::Required(lists) => (lists, true),
        };
        let mut checks = Vec::new();
        for list in lists
            .iter()
            .filter(|list| list.is_of(issuer) && list.covers(one))
        {
            checks.push(list.stand(issuer, now)?);
            if list.has(one.serial()) {
                return Err(Refusal::Revoked);
            }
        }
        if is_required && checks.is_empty() {
            return Err(Refusal::RevocationUnknown(
                "an issuer's revocation list is missing",
            ));
        }
        Ok(checks)
    }
}

/// A list that was read, and that nobody has verified yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevocationList<'a> {
    signed: Signed<'a>,
    issuer: Name<'a>,
    authority_key: &'a [u8],
    this_update: i64,
    next_update: i64,
    /// The serial numbers, as they stand there.
    serials: Vec<&'a [u8]>,
    scope: Scope<'a>,
}

/// Which of its issuer's certificates a list is about (§5.2.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scope<'a> {
    /// Those that name one of these places; all if there are none.
    places: Vec<&'a [u8]>,
    only_users: bool,
    only_cas: bool,
}

impl<'a> RevocationList<'a> {
    /// Reads a DER CertificateList.
    ///
    /// # Errors
    /// [`Refusal::Malformed`], [`Refusal::Profile`] and [`Refusal::UnknownCriticalExtension`], also for a delta,
    /// for a list about certificates of others, and for one of some reasons only.
    pub fn read(der: &'a [u8]) -> Result<Self, Refusal> {
        let malformed = Refusal::Malformed("not one DER revocation list");
        let signed = Signed::read(der).ok_or(malformed)?;
        let mut body = Der::new(Der::only(signed.message, tag::SEQUENCE).ok_or(malformed)?);
        if body.unsigned() != Some(&[1]) {
            return Err(Refusal::Profile("a revocation list isn't of version 2"));
        }
        let inner = body.next_if(tag::SEQUENCE).map(|algorithm| algorithm.whole);
        if inner != Some(signed.algorithm) {
            return Err(Refusal::Profile(
                "a revocation list names two signature algorithms",
            ));
        }
        let issuer = Name::read(&mut body).ok_or(malformed)?;
        let this_update = time(&mut body).ok_or(malformed)?;
        // Without it nobody would know when the list is old (§5.1.2.5).
        let next_update = time(&mut body).ok_or(malformed)?;
        let serials = match body.enter(tag::SEQUENCE) {
            None => Vec::new(),
            Some(list) => entries(list).ok_or(malformed)??,
        };
        let extensions = body.enter(tag::explicit(0)).and_then(Extension::read_all);
        let extensions = extensions.ok_or(malformed)?;
        body.end().ok_or(malformed)?;
        let (mut key, mut is_numbered, mut scope) = (None, false, Scope::default());
        for extension in extensions {
            match (extension.kind, extension.is_critical) {
                ([0x55, 0x1d, 35], false) => {
                    key = Some(authority_key(extension.value).ok_or(malformed)?)
                }
                ([0x55, 0x1d, 20], false) => {
                    let mut number = Der::new(extension.value);
                    is_numbered = number.unsigned().is_some() && number.is_empty();
                }
                ([0x55, 0x1d, 28], true) => {
                    scope = Scope::read(extension.value).ok_or(malformed)??
                }
                // A delta is one of those (§5.2.4).
                (_, true) => return Err(Refusal::UnknownCriticalExtension),
                (_, false) => {}
            }
        }
        if !is_numbered || issuer.is_empty() {
            return Err(Refusal::Profile(
                "a revocation list has no number, or no issuer",
            ));
        }
        Ok(Self {
            signed,
            issuer,
            authority_key: key.ok_or(Refusal::Profile(
                "a revocation list doesn't say which key signed it",
            ))?,
            this_update,
            next_update,
            serials,
            scope,
        })
    }

    /// Whether it is the list of that CA and key.
    fn is_of(&self, issuer: &Certificate<'_>) -> bool {
        self.issuer.is(issuer.subject()) && issuer.subject_key() == Some(self.authority_key)
    }

    /// Whether it is about that certificate.
    fn covers(&self, one: &Certificate<'_>) -> bool {
        let Scope {
            places,
            only_users,
            only_cas,
        } = &self.scope;
        let is_of_kind = if one.is_ca() { !only_users } else { !only_cas };
        let is_at = |place: &&[u8]| {
            let points = one.distribution_points().and_then(points);
            points.is_some_and(|points| points.contains(place))
        };
        is_of_kind && (places.is_empty() || places.iter().any(is_at))
    }

    /// Whether that serial number is on it.
    fn has(&self, serial: &[u8]) -> bool {
        self.serials.contains(&serial)
    }

    /// That it is good now, if what is returned holds.
    fn stand(&self, issuer: &Certificate<'_>, now: i64) -> Result<SignatureCheck, Refusal> {
        if !issuer.permits(KeyUse::CrlSign) {
            return Err(Refusal::RevocationUnknown(
                "a CA may not sign its revocation list",
            ));
        }
        if now < self.this_update || now > self.next_update {
            return Err(Refusal::RevocationUnknown(
                "a revocation list is not of this time",
            ));
        }
        self.signed
            .check(issuer.spki())
            .ok_or(Refusal::UnsupportedAlgorithm)
    }
}

type Judged<T> = Option<Result<T, Refusal>>;

/// The serial numbers of a list that has one at least (§5.1.2.6).
fn entries(mut list: Der<'_>) -> Judged<Vec<&[u8]>> {
    let mut serials = Vec::new();
    loop {
        let mut entry = list.enter(tag::SEQUENCE)?;
        serials.push(serial(&mut entry)?);
        time(&mut entry)?;
        if !entry.is_empty() {
            // One that is critical would say that the certificate is of somebody else (§5.3.3).
            let extensions = Extension::read_all(entry)?;
            if extensions.iter().any(|extension| extension.is_critical) {
                return Some(Err(Refusal::UnknownCriticalExtension));
            }
        }
        if list.is_empty() {
            return Some(Ok(serials));
        }
    }
}

impl<'a> Scope<'a> {
    fn read(value: &'a [u8]) -> Judged<Self> {
        let mut point = Der::new(Der::only(value, tag::SEQUENCE)?);
        let places = match point.enter(tag::explicit(0)) {
            None => Vec::new(),
            Some(name) => names(name)?,
        };
        let mut flag = |number| match point.next_if(tag::implicit(number)) {
            None => Some(false),
            Some(truth) => (truth.content == [0xff]).then_some(true),
        };
        let (only_users, only_cas) = (flag(1)?, flag(2)?);
        // Some reasons only, others' certificates, and attribute certificates.
        if !point.is_empty() {
            return Some(Err(Refusal::UnknownCriticalExtension));
        }
        Some(Ok(Self {
            places,
            only_users,
            only_cas,
        }))
    }
}

/// The full names of a DistributionPointName, of which there is one at least.
fn names(mut name: Der<'_>) -> Option<Vec<&[u8]>> {
    let mut list = name.enter(tag::explicit(0))?;
    name.end()?;
    let mut names = vec![list.any()?.whole];
    while !list.is_empty() {
        names.push(list.any()?.whole);
    }
    Some(names)
}

/// The places of a certificate's cRLDistributionPoints (§4.2.1.13) whose lists are about all reasons.
fn points(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut list = Der::new(Der::only(value, tag::SEQUENCE)?);
    let mut places = Vec::new();
    while !list.is_empty() {
        let mut point = list.enter(tag::SEQUENCE)?;
        let name = point.enter(tag::explicit(0));
        if let (Some(name), true) = (name, point.is_empty()) {
            places.extend(names(name)?);
        }
    }
    Some(places)
}
