//! The door for certificates: a chain to a root that a row pins, and a signature by its key over our challenge.
//!
//! `notme-chain` says whether the chain is one. Here it is said what it stands for: which row, which claims, which
//! subject; and what its key has to have signed.

mod trial;

pub use trial::Trial;

use notme_chain::{
    Certificate, GeneralName, KeyUse, Limits, Path, Plan, Purpose, Refusal, Revocation,
};
use notme_keys::der::ecdsa_signature;
use notme_keys::{Outcome, SignatureCheck, VerifyingKey, decode_base64_any, decode_pem};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::claims::{Claims, Rule, Template};
use super::issuer::{is_for_people, permit, rules, scopes};
use super::made::RowRef;
use super::rows::Rows as AllRows;
use super::{
    Door, Facts, Gathered, Given, Identified, Obliged, Opened, Proof, RowsOf, Shown,
    ShownCertificate,
};
use crate::error::PolicyRule;
use crate::people::Scopes;
use crate::rows::Row;
use crate::{Error, Fault, TokenError};

/// The door.
pub const DOOR: Door = Door {
    name: "x509",
    read,
    rows: RowsOf::Roots,
};

/// The most certificates there may be in a chain.
pub(super) const MAX_CHAIN: usize = 10;
/// The most roots that a row may pin.
const MAX_ROOTS: usize = 10;
/// The members of a row.
const MEMBERS: [&str; 7] = ["for", "name", "roots", "rules", "scopes", "subject", "type"];
/// How a subject is written where the row doesn't say: by the one URI that the certificate is for.
const DEFAULT_SUBJECT: &str = "{san_uri}";
/// The longest SPIFFE ID (SPIFFE-ID §2.3), in bytes.
const MAX_SPIFFE_ID_LEN: usize = 2048;

/// A row: which roots, and whom they let in as what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedRoots {
    /// The door that it is of.
    pub kind: &'static str,
    /// What operators call it, and the issuer of its subjects: roots may change under it.
    pub name: String,
    /// The roots, in DER.
    pub roots: Vec<Vec<u8>>,
    /// Whether it is for people, and not for workloads.
    pub is_for_people: bool,
    /// What is written of a certificate's claims to be a subject that nobody else will have.
    pub subject: Template,
    /// What those may do at most whom it lets in.
    pub scopes: Scopes,
    /// Whom it lets in: whoever one of them fits.
    pub rules: Vec<Rule>,
    /// Which row it is, if an administrator made it.
    pub made: Option<RowRef>,
}

impl TrustedRoots {
    /// Reads the rows that are of this kind.
    ///
    /// # Errors
    /// Sentences for the operator, each about one row. They don't repeat values.
    pub fn read_all(json: &str) -> Result<Vec<Self>, Vec<String>> {
        AllRows::read_all(json).map(|rows| rows.roots)
    }

    /// Reads a row of this door that stands beside others.
    ///
    /// # Errors
    /// A sentence for whoever wrote it. It doesn't repeat values.
    pub(super) fn read(row: &Value, kind: &'static str, others: &[Self]) -> Result<Self, String> {
        let row = Row::new(row, &format!("a row of type {kind}"), &MEMBERS)?;
        let row = Self::read_alone(row, kind)?;
        let is_of_it = |other: &&Self| other.kind == row.kind && other.name == row.name;
        for other in others.iter().filter(is_of_it) {
            if other.roots != row.roots {
                return Err("an earlier row of this name has other roots".into());
            }
            // Else one's subject could read like another's.
            if other.subject != row.subject {
                return Err("an earlier row of this name writes its subjects otherwise".into());
            }
        }
        Ok(row)
    }

    /// The roots of the authority itself, for who shows a pair of ours to it.
    ///
    /// # Errors
    /// [`Fault::Internal`] if the default subject can't be read.
    pub fn own(roots: Vec<Vec<u8>>) -> Result<AllRows, Fault> {
        let subject = Template::read(DEFAULT_SUBJECT).map_err(|why| Fault::Internal(why.into()))?;
        let own = Self {
            kind: DOOR.name,
            name: "authority".to_owned(),
            roots,
            is_for_people: false,
            subject,
            scopes: Scopes::eligible(),
            rules: vec![Rule::default()],
            made: None,
        };
        Ok(AllRows {
            roots: vec![own],
            ..AllRows::default()
        })
    }

    fn read_alone(row: Row<'_>, kind: &'static str) -> Result<Self, String> {
        let roots = row
            .get("roots")
            .ok_or("roots is missing: certificates in PEM")?;
        let roots = certificates(roots, MAX_ROOTS).ok_or_else(|| {
            format!("roots must be certificates in PEM, one to {MAX_ROOTS} of them")
        })?;
        for root in &roots {
            let root = Certificate::read(root)
                .map_err(|refusal| format!("roots has one that can't be used: {refusal}"))?;
            if !root.is_ca() || !root.permits(KeyUse::CertSign) {
                return Err("roots has one that is no CA's".into());
            }
            if root.key().is_none() {
                return Err("roots has one whose key is neither Ed25519 nor P-256 nor RSA".into());
            }
        }
        let subject = row.text("subject")?.unwrap_or(DEFAULT_SUBJECT);
        Ok(Self {
            kind,
            name: row.required("name")?.to_owned(),
            roots,
            is_for_people: is_for_people(row.get("for"))?,
            subject: Template::read(subject).map_err(|why| format!("subject {why}"))?,
            scopes: scopes(row.get("scopes"))?,
            rules: rules(row.get("rules"))?,
            made: None,
        })
    }
}

/// Certificates in PEM, in one text or in several, or each in base64 of DER.
pub(super) fn certificates(value: &Value, most: usize) -> Option<Vec<Vec<u8>>> {
    const END: &str = "-----END CERTIFICATE-----";
    let texts = match value {
        Value::String(text) => vec![text.as_str()],
        Value::Array(texts) => texts.iter().map(Value::as_str).collect::<Option<_>>()?,
        _ => return None,
    };
    let mut all = Vec::new();
    for text in texts {
        if !text.contains(END) {
            all.push(decode_base64_any(text)?);
        } else {
            for block in text
                .split_inclusive(END)
                .filter(|block| !block.trim().is_empty())
            {
                all.push(decode_pem("CERTIFICATE", block).ok()?);
            }
        }
        if all.len() > most {
            return None;
        }
    }
    (!all.is_empty()).then_some(all)
}

/// Reads `{chain: PEM | [PEM or base64 of DER, …], signature: base64url}`, the certificate that is shown first.
fn read(given: &Given<'_>) -> Result<Proof, Error> {
    Ok(Proof::Shown(Box::new(Chain::read(given.proof)?)))
}

/// A chain as it was sent, and the signature by the key of its first certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    certificates: Vec<Vec<u8>>,
    signature: Vec<u8>,
}

impl Chain {
    /// Reads the `chain` and `signature` of a proof.
    ///
    /// # Errors
    /// [`Error::InvalidMember`].
    pub fn read(proof: &Value) -> Result<Self, Error> {
        let chain = proof.get("chain");
        let chain = chain.and_then(|chain| certificates(chain, MAX_CHAIN));
        let signature = proof.get("signature").and_then(Value::as_str);
        Ok(Self {
            certificates: chain.ok_or(Error::InvalidMember("proof.chain"))?,
            signature: signature
                .and_then(decode_base64_any)
                .ok_or(Error::InvalidMember("proof.signature"))?,
        })
    }

    /// The certificate that is shown, in DER.
    #[must_use]
    pub fn leaf(&self) -> &[u8] {
        self.certificates.first().map_or(&[][..], |leaf| leaf)
    }

    /// Opens it under the roots of these rows; `message` is what the certificate's key has to have signed, and `now` in
    /// Unix seconds.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`].
    pub fn open_in<'a>(
        &'a self,
        rows: &'a AllRows,
        message: Vec<u8>,
        now: u64,
    ) -> Result<Box<dyn Opened + 'a>, Error> {
        let first = First::OfCertificate(message, &self.signature);
        Exchange::open(rows, now, DOOR.name, &self.certificates, first)
    }
}

impl Shown for Chain {
    fn open<'a>(&'a self, facts: &Facts<'a>) -> Result<Box<dyn Opened + 'a>, Error> {
        let message = facts.message_of_certificate(self.leaf())?;
        self.open_in(facts.rows, message, facts.now)
    }
}

/// What shows that the request is the certificate's holder's: the first check, so that nobody makes us follow a chain
/// that isn't theirs.
pub(super) enum First<'a> {
    /// What the certificate's key has to have signed, and the signature.
    OfCertificate(Vec<u8>, &'a [u8]),
    /// Something else, and what is told if it fails.
    Other(SignatureCheck, Error),
}

/// A chain that was read, and the roots that it may lead to.
struct Candidate<'a> {
    rows: Vec<&'a TrustedRoots>,
    chain: Vec<Certificate<'a>>,
    roots: Vec<Certificate<'a>>,
    now: u64,
}

/// A chain, and what shows that the request is its holder's.
pub(super) struct Exchange<'a> {
    candidate: Candidate<'a>,
    first: First<'a>,
}

impl<'a> Exchange<'a> {
    /// Reads the certificates of a proof of this kind, the one that is shown first.
    ///
    /// # Errors
    /// [`Error::InvalidCertificate`].
    pub(super) fn open(
        rows: &'a AllRows,
        now: u64,
        kind: &str,
        chain: &'a [Vec<u8>],
        first: First<'a>,
    ) -> Result<Box<dyn Opened + 'a>, Error> {
        let candidate = Candidate::read(rows, now, kind, chain)?;
        Ok(Box::new(Self { candidate, first }))
    }
}

impl<'a> Candidate<'a> {
    fn read(rows: &'a AllRows, now: u64, kind: &str, chain: &'a [Vec<u8>]) -> Result<Self, Error> {
        let unfit = Error::InvalidCertificate;
        let rows = rows.roots.iter().filter(|row| row.kind == kind);
        let rows: Vec<&TrustedRoots> = rows.collect();
        // Nothing of a stranger's is taken apart for nothing.
        if rows.is_empty() {
            return Err(unfit(Refusal::NoPath));
        }
        let longest = Limits::default().certificate_len;
        if chain.iter().any(|der| der.len() > longest) {
            return Err(unfit(Refusal::TooMuch));
        }
        let read = |der: &'a Vec<u8>| Certificate::read(der).map_err(unfit);
        let mut roots = Vec::<Certificate<'a>>::new();
        for der in rows.iter().flat_map(|row| &row.roots) {
            if !roots.iter().any(|root| root.as_der() == der) {
                roots.push(read(der)?);
            }
        }
        Ok(Self {
            rows,
            chain: chain.iter().map(read).collect::<Result<_, _>>()?,
            roots,
            now,
        })
    }

    /// The certificate that is shown, and what has to hold for its chain.
    fn plan(&self) -> Result<(&Certificate<'a>, Plan<'_>), Error> {
        let unfit = Error::InvalidCertificate;
        let (leaf, others) = self
            .chain
            .split_first()
            .ok_or(Error::InvalidMember("proof.chain"))?;
        let rules = notme_chain::Rules {
            now: i64::try_from(self.now).unwrap_or(i64::MAX),
            purpose: Some(Purpose::ClientAuth),
            may_be_ca: false,
            revocation: Revocation::Ignored,
            limits: Limits::default(),
        };
        let plan = Plan::new(leaf, others, &self.roots, &rules).map_err(unfit)?;
        if !leaf.permits(KeyUse::DigitalSignature) {
            return Err(unfit(Refusal::KeyUsage));
        }
        Ok((leaf, plan))
    }
}

impl Opened for Exchange<'_> {
    fn oblige(&self, _: Gathered) -> Result<Obliged<'_>, Error> {
        let unfit = Error::InvalidCertificate;
        let (leaf, plan) = self.candidate.plan()?;
        let (check, wrong) = match &self.first {
            First::OfCertificate(message, signature) => {
                let key = leaf.key().ok_or(Refusal::UnsupportedAlgorithm);
                let check = possession(key.map_err(unfit)?, message.clone(), signature);
                (check, Error::WrongSigner)
            }
            First::Other(check, wrong) => (check.clone(), wrong.clone()),
        };
        let mut checks = vec![check];
        checks.extend_from_slice(plan.checks());
        Ok(Obliged::by_all(checks, move |outcomes| {
            let (first, of_chain) = outcomes.split_first().unwrap_or((&Outcome::Failed, &[]));
            if !first.is_verified() {
                return Err(wrong);
            }
            identify(&self.candidate.rows, &plan.settle(of_chain).map_err(unfit)?)
        }))
    }
}

/// That `signature` is the key's: of ECDSA r ‖ s, as proofs are, or in DER, as OpenSSL writes it.
fn possession(key: VerifyingKey, message: Vec<u8>, signature: &[u8]) -> SignatureCheck {
    let raw = match key {
        VerifyingKey::Es256(_) if signature.len() != 64 => ecdsa_signature(signature),
        _ => None,
    };
    SignatureCheck {
        key,
        messages: vec![message],
        signature: raw.map_or_else(|| signature.to_vec(), |raw| raw.to_vec()),
    }
}

/// Who a chain is about, if it is good.
fn identify(rows: &[&TrustedRoots], path: &Path<'_>) -> Result<Identified, Error> {
    let [leaf, issuer, ..] = path.certificates() else {
        return Err(Error::InvalidCertificate(Refusal::NoPath));
    };
    let claims = claims(leaf)?;
    let (row, rule) = row(rows, path, &claims)?;
    let subject = row.subject.write(&claims);
    let subject = subject.map_err(|_| TokenError::InvalidClaim("sub"))?;
    Ok(Identified {
        kind: row.kind.to_owned(),
        issuer: row.name.clone(),
        name: subject.clone(),
        subject,
        method: format!("{}:{}", row.kind, row.name),
        is_person: row.is_for_people,
        ceiling: row.scopes.clone(),
        burns: Vec::new(),
        until: Some(u64::try_from(path.not_after()).unwrap_or(0)),
        certificate: Some(ShownCertificate {
            issuer_spki: issuer.spki().to_vec(),
            serial: without_sign(leaf.serial()).to_vec(),
        }),
        row: row.made.clone(),
        rule,
        alias: None,
    })
}

/// The first row that pins the path's root and lets the certificate in, and the name of the rule that does.
fn row<'a>(
    rows: &[&'a TrustedRoots],
    path: &Path<'_>,
    claims: &Claims,
) -> Result<(&'a TrustedRoots, String), Error> {
    let root = path.certificates().last().map(|root| root.as_der());
    let pins = |row: &&&TrustedRoots| row.roots.iter().any(|pinned| Some(&pinned[..]) == root);
    let mut rows = rows.iter().filter(pins);
    let row = rows.find_map(|row| Some((*row, permit(&row.rules, claims).ok()?.name())));
    row.ok_or(Error::NotPermitted(PolicyRule::Claims))
}

/// A positive number without the zero that its sign may need.
fn without_sign(serial: &[u8]) -> &[u8] {
    serial
        .strip_prefix(&[0])
        .filter(|rest| !rest.is_empty())
        .unwrap_or(serial)
}

/// What rules may look at and subjects be written of. Of what there are several, there is a list.
///
/// # Errors
/// [`Error::InvalidCertificate`] for a SPIFFE ID that isn't one, or that isn't alone.
fn claims(leaf: &Certificate<'_>) -> Result<Claims, Error> {
    let mut claims = Map::new();
    let mut put = |name: &str, mut values: Vec<String>| {
        match values.len() {
            0 => None,
            1 => claims.insert(name.to_owned(), values.remove(0).into()),
            _ => claims.insert(name.to_owned(), values.into()),
        };
    };
    let subject = leaf.subject();
    put("cn", subject.common_names().map(str::to_owned).collect());
    put("o", subject.organizations().map(str::to_owned).collect());
    put(
        "ou",
        subject.organizational_units().map(str::to_owned).collect(),
    );
    let names = |pick: fn(&GeneralName<'_>) -> Option<String>| {
        leaf.alternative_names()
            .iter()
            .filter_map(pick)
            .collect::<Vec<_>>()
    };
    put(
        "san_dns",
        names(|name| match name {
            GeneralName::Dns(host) => Some((*host).to_owned()),
            _ => None,
        }),
    );
    put(
        "san_email",
        names(|name| match name {
            GeneralName::Email(mailbox) => Some((*mailbox).to_owned()),
            _ => None,
        }),
    );
    let uris = names(|name| match name {
        GeneralName::Uri(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    if uris.iter().any(|uri| has_spiffe_scheme(uri)) {
        // X509-SVID §2: exactly one URI, or a reader refuses it.
        let [uri] = &uris[..] else {
            return Err(Error::InvalidCertificate(Refusal::Profile(
                "a SPIFFE ID isn't the only URI",
            )));
        };
        let (domain, path) = spiffe_id(uri).ok_or(Error::InvalidCertificate(Refusal::Profile(
            "a SPIFFE ID is malformed",
        )))?;
        put("spiffe_id", vec![uri.clone()]);
        put("spiffe_trust_domain", vec![domain.to_owned()]);
        put("spiffe_path", vec![path.to_owned()]);
    }
    put("san_uri", uris);
    put("serial", vec![hex::encode(without_sign(leaf.serial()))]);
    put(
        "fingerprint",
        vec![hex::encode(Sha256::digest(leaf.as_der()))],
    );
    Ok(claims)
}

fn has_spiffe_scheme(uri: &str) -> bool {
    let scheme = uri.split(':').next();
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe"))
}

/// Trust domain and path of a SPIFFE ID (SPIFFE-ID §2) of a workload, which has a path.
fn spiffe_id(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("spiffe://")?;
    let (domain, path) = rest.split_at_checked(rest.find('/')?)?;
    let is_domain = |b: u8| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' | b'_');
    let is_segment = |segment: &str| {
        let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        !matches!(segment, "" | "." | "..") && segment.bytes().all(is_part)
    };
    let is_one = (1..=255).contains(&domain.len())
        && domain.bytes().all(is_domain)
        && path.strip_prefix('/')?.split('/').all(is_segment)
        && uri.len() <= MAX_SPIFFE_ID_LEN;
    is_one.then_some((domain, path))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::doors::testing;

    #[test]
    fn spiffe_ids_have_a_domain_and_a_path() {
        for (uri, parts) in [
            (
                "spiffe://td.example/ns/a/sa/b",
                Some(("td.example", "/ns/a/sa/b")),
            ),
            ("spiffe://td_1/A-b", Some(("td_1", "/A-b"))),
            ("spiffe://td.example", None),
            ("spiffe://td.example/", None),
            ("spiffe:///a", None),
            ("spiffe://td.example/a/", None),
            ("spiffe://td.example//a", None),
            ("spiffe://td.example/a/../b", None),
            ("spiffe://td.example/%61", None),
            ("spiffe://td.example/a?b", None),
            ("spiffe://td.example/a#b", None),
            ("spiffe://TD.example/a", None),
            ("spiffe://td.example:1/a", None),
            ("spiffe://u@td.example/a", None),
            ("SPIFFE://td.example/a", None),
        ] {
            assert_eq!(spiffe_id(uri), parts, "{uri}");
        }
    }

    fn read_proof(proof: &Value) -> Result<Proof, Error> {
        let config = testing::config(&json!([]));
        read(&Given {
            proof,
            config: &config,
            edge: &testing::Beside(&[]),
        })
    }

    #[test]
    fn what_is_shown_is_pem_or_base64() {
        let pem = |bytes: &[u8]| notme_keys::encode_pem("CERTIFICATE", bytes);
        let two = format!("{}\n{}\n", pem(&[1]), pem(&[2]));
        for (chain, read) in [
            (json!(pem(&[1])), Some(vec![vec![1]])),
            (json!(two), Some(vec![vec![1], vec![2]])),
            (json!([pem(&[1]), "Ag=="]), Some(vec![vec![1], vec![2]])),
            (json!(["AQ", "Ag"]), Some(vec![vec![1], vec![2]])),
            (json!([]), None),
            (json!(""), None),
            (json!([1]), None),
            (json!({}), None),
            (json!("x y"), None),
            (json!(format!("Certificate:\n{}", pem(&[1]))), None),
            (json!(vec![pem(&[1]); 11]), None),
        ] {
            assert_eq!(certificates(&chain, MAX_CHAIN), read, "{chain}");
        }
        for proof in [
            json!({}),
            json!({ "chain": "AQ" }),
            json!({ "signature": "AQ" }),
            json!({ "chain": "AQ", "signature": 1 }),
        ] {
            assert!(read_proof(&proof).is_err(), "{proof}");
        }
        assert!(read_proof(&json!({ "chain": "AQ", "signature": "AQ" })).is_ok());
    }

    #[test]
    fn what_is_wrong_with_a_row_is_said() {
        let row = |change: (&str, Value)| {
            let mut row = json!({ "type": "x509", "name": "a", "roots": "AQ", "scopes": ["bridgeCert"], "rules": [{}] });
            row[change.0] = change.1;
            TrustedRoots::read_all(&json!([row]).to_string())
                .unwrap_err()
                .join("; ")
        };
        for (change, problem) in [
            (("roots", Value::Null), "row 1: roots must be certificates"),
            (("roots", json!([])), "row 1: roots must be certificates"),
            (
                ("roots", json!("AQ")),
                "row 1: roots has one that can't be used",
            ),
            (
                ("issuer", json!("a")),
                "row 1: issuer is no member of a row of type x509",
            ),
        ] {
            let told = row(change);
            assert!(told.starts_with(problem), "{told}");
        }
    }
}
