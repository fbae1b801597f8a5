//! The doors: each kind of proof in a file of its own, and what they share
//! ([ADR 10](https://github.com/notme/notme/blob/main/docs/adr/0010-one-pipeline.md)).
//!
//! A door takes a proof apart, names what it needs and what must be checked, and says what the proof is
//! evidence of. It fetches nothing and decides nothing: whom a row lets in, and as what, is said by its
//! rules ([`claims`]) and, in the end, by the principal's grants.
//!
//! `docs/adding-a-proof.md` walks through another one.

pub mod bootstrap;
pub mod claims;
pub mod explain;
pub mod github;
pub mod issuer;
pub mod made;
pub mod mtls;
pub mod oidc;
pub mod presets;
pub mod row;
pub mod rows;
pub mod session;
#[cfg(test)]
pub(crate) mod testing;
pub mod x509;

use std::borrow::Cow;
use std::fmt;

use notme_jose::Algorithm;
use notme_keys::{Outcome, SignatureCheck, VerifyingKey};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::made::RowRef;
use self::rows::Rows;
use crate::config::Config;
use crate::people::{PrincipalId, Scopes, connection};
use crate::possession::{BoundTo, Certified};
use crate::{Burn, Error};

/// All doors. A kind of proof is its file, and its line here.
pub const DOORS: &[Door] = &[
    session::DOOR,
    bootstrap::DOOR,
    oidc::OIDC,
    oidc::KUBERNETES,
    oidc::ACCESS,
    oidc::CUSTOM,
    x509::DOOR,
    github::DOOR,
    mtls::DOOR,
];

/// A door.
#[derive(Clone, Copy, Debug)]
pub struct Door {
    /// What `proof.type` says, and `type` in its rows.
    pub name: &'static str,
    /// Reads a proof of this kind: its form, and nothing else.
    pub read: fn(&Given<'_>) -> Result<Proof, Error>,
    /// What its rows look like.
    pub rows: RowsOf,
}

impl Door {
    /// The door of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        DOORS.iter().find(|door| door.name == name)
    }
}

/// What the rows of a door look like in `TRUSTED_ISSUERS`.
#[derive(Clone, Copy, Debug)]
pub enum RowsOf {
    /// There are none.
    Never,
    /// Issuers of tokens ([`issuer`]).
    Issuers,
    /// Roots of certificates ([`x509`]).
    Roots,
    /// Names, rules, scopes, and what the door itself adds ([`row`]).
    Plain(row::Form),
}

/// What a proof is read from.
pub struct Given<'a> {
    /// The body's `proof`.
    pub proof: &'a Value,
    /// The configuration.
    pub config: &'a Config,
    /// What came beside the body.
    pub edge: &'a dyn Edge,
}

impl Given<'_> {
    /// A member of the proof.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Value> {
        self.proof.get(name)
    }
}

/// What a request brings beside its body.
pub trait Edge {
    /// A header's value. The caller wrote it.
    fn header(&self, name: &str) -> Option<String>;
    /// What the platform found out about the client's certificate when it terminated TLS. No header makes it.
    fn tls(&self, fact: &str) -> Option<String>;
}

/// A proof in the right form.
pub enum Proof {
    /// A session, which the object knows by its cookie.
    Session,
    /// The operator's code, by its hash, and what the administrator that it makes is to be called.
    Code([u8; 32], String),
    /// Anything else.
    Shown(Box<dyn Shown>),
}

/// A proof as it was sent: of the right form, and nothing of it is believed.
pub trait Shown {
    /// What the proofs of possession of the new keys are over.
    fn bound_to<'a>(&'a self, challenge: Option<&'a [u8; 32]>) -> BoundTo<'a> {
        challenge.map_or(BoundTo::Nothing, BoundTo::Challenge)
    }

    /// Takes it apart, and checks what needs neither a fetch nor a signature.
    ///
    /// # Errors
    /// Whatever is wrong with it, or that there is no row for it.
    fn open<'a>(&'a self, facts: &Facts<'a>) -> Result<Box<dyn Opened + 'a>, Error>;
}

/// What is known when a proof is opened.
pub struct Facts<'a> {
    /// The configuration.
    pub config: &'a Config,
    /// All rows: the configuration's, and behind them those that administrators made.
    pub rows: &'a Rows,
    /// The request's time, in Unix seconds.
    pub now: u64,
    pub(crate) challenge: Option<&'a [u8; 32]>,
    pub(crate) aim: Aim<'a>,
}

/// What a proof is shown for.
#[derive(Clone, Copy)]
pub(crate) enum Aim<'a> {
    /// Certificates for these keys.
    Keys(&'a Result<Certified, Error>),
    /// To be linked to somebody; nobody, where it is to say who is there.
    Person(Option<&'a PrincipalId>),
}

impl<'a> Facts<'a> {
    /// Whether a challenge makes the proof single: it will be burned.
    #[must_use]
    pub const fn has_challenge(&self) -> bool {
        self.challenge.is_some()
    }

    /// The challenge, for a proof that is there to be shown again.
    ///
    /// # Errors
    /// [`Error::ChallengeRequired`].
    pub fn challenge(&self) -> Result<&'a [u8; 32], Error> {
        self.challenge.ok_or(Error::ChallengeRequired)
    }

    /// The keys that are to be certified.
    ///
    /// # Errors
    /// Those of the keys and proofs, and [`Error::WrongSigner`] where the proof isn't for a certificate.
    pub fn keys(&self) -> Result<&'a Certified, Error> {
        match self.aim {
            Aim::Keys(keys) => keys.as_ref().map_err(Clone::clone),
            Aim::Person(_) => Err(Error::WrongSigner),
        }
    }

    /// What the key of a certificate has to sign to show it: the challenge, the certificate, and what for.
    ///
    /// # Errors
    /// [`Error::ChallengeRequired`], those of the keys and proofs, and [`Error::WrongSigner`] where certificates are for
    /// nothing.
    pub fn message_of_certificate(&self, certificate: &[u8]) -> Result<Vec<u8>, Error> {
        let challenge = self.challenge()?;
        match self.aim {
            Aim::Keys(Ok(keys)) => Ok(keys.message_of_certificate(certificate, challenge)),
            Aim::Keys(Err(error)) => Err(error.clone()),
            Aim::Person(Some(owner)) => Ok(connection::message_of_certificate(
                certificate,
                challenge,
                owner,
            )),
            Aim::Person(None) => Err(Error::WrongSigner), // nobody signs in by one
        }
    }
}

/// A proof that was taken apart.
pub trait Opened {
    /// What has to be fetched for it.
    fn need(&self) -> Need<'_> {
        Need::Nothing
    }

    /// Names what must hold, given what was fetched.
    ///
    /// # Errors
    /// What the fetched alone says is wrong.
    fn oblige(&self, gathered: Gathered) -> Result<Obliged<'_>, Error>;
}

/// What a proof needs that isn't at hand. The worker fetches it, and knows no kinds of proof.
#[derive(Debug)]
pub enum Need<'a> {
    /// Nothing.
    Nothing,
    /// A key of an issuer.
    Key {
        /// Whose.
        issuer: &'a str,
        /// Where they are.
        keys: &'a issuer::Keys,
        /// Which; empty if the proof doesn't say.
        kid: &'a str,
        /// For what.
        algorithm: Algorithm,
    },
    /// Answers of an API, one after the other, until one isn't 200.
    Answers(Vec<Ask>),
}

/// The name of a header.
pub type Name = Cow<'static, str>;

/// A question to an API: a GET, or the POST of a form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Where. It is logged if it can't be reached, so there is nothing secret in it.
    pub url: String,
    /// Further headers, which may be secret.
    pub headers: Vec<(Name, String)>,
    /// The form, which may be secret.
    pub form: Option<String>,
    /// What of the answer's head is wanted, in lower case.
    pub wanted: Vec<Name>,
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask(…)")
    }
}

/// What an API answered.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers that were wanted, as far as they are there.
    pub headers: Vec<(Name, String)>,
    /// The body, which may be secret.
    #[serde(with = "serde_bytes")]
    pub body: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Answer({}, …)", self.status)
    }
}

impl Answer {
    /// A header that was wanted.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body, if it is JSON.
    #[must_use]
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// What was fetched.
#[derive(Debug)]
pub enum Gathered {
    /// Nothing.
    Nothing,
    /// The key, if the issuer has it.
    Key(Option<VerifyingKey>),
    /// The answers, in the order of the questions, and none after the first that isn't 200.
    Answers(Vec<Answer>),
}

/// A proof, and what must hold for it.
pub struct Obliged<'a> {
    checks: Vec<SignatureCheck>,
    settle: Box<Settle<'a>>,
}

type Settle<'a> = dyn FnOnce(&[Outcome]) -> Result<Identified, Error> + 'a;

impl<'a> Obliged<'a> {
    /// A proof that is as good as this one signature, and `wrong` if it isn't the key's.
    pub fn by(
        check: SignatureCheck,
        wrong: Error,
        identify: impl FnOnce() -> Result<Identified, Error> + 'a,
    ) -> Self {
        Self::by_all(vec![check], move |outcomes| match outcomes {
            [outcome] if outcome.is_verified() => identify(),
            _ => Err(wrong),
        })
    }

    /// A proof that takes several checks, the first of which has to hold whatever the others are worth: without it
    /// they aren't made, and count as failed.
    pub fn by_all(
        checks: Vec<SignatureCheck>,
        settle: impl FnOnce(&[Outcome]) -> Result<Identified, Error> + 'a,
    ) -> Self {
        Self {
            checks,
            settle: Box::new(settle),
        }
    }

    /// What the host must settle, in this order.
    #[must_use]
    pub fn checks(&self) -> &[SignatureCheck] {
        &self.checks
    }

    /// Says who was proven to be asking, given how the checks were settled.
    ///
    /// # Errors
    /// What the checks, the rules or the subject say is wrong.
    pub fn settle(self, outcomes: &[Outcome]) -> Result<Identified, Error> {
        if outcomes.len() == self.checks.len() {
            (self.settle)(outcomes)
        } else {
            (self.settle)(&vec![Outcome::Failed; self.checks.len()])
        }
    }
}

/// Who was proven to be asking, by whatever kind of proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identified {
    /// The kind of authenticator that the proof stands for.
    pub kind: String,
    /// Who vouches for it.
    pub issuer: String,
    /// What the issuer will never call anybody else.
    pub subject: String,
    /// What it is called where people see it.
    pub name: String,
    /// How it was proven, as answers and certificates say it.
    pub method: String,
    /// Whether its row is for people: then it is nobody until it is linked to somebody, and its proof was made for a
    /// challenge of ours, so that it is worth nothing to whoever finds it.
    pub is_person: bool,
    /// What the row that lets it in allows at most.
    pub ceiling: Scopes,
    /// The proof's own single-use values; empty where a challenge makes it single.
    pub burns: Vec<Burn>,
    /// Until when the proof lasts, in Unix seconds, if it says so.
    pub until: Option<u64>,
    /// The certificate that was shown, if it was one.
    pub certificate: Option<ShownCertificate>,
    /// The row that lets it in, if an administrator made that: it may be another one by now, or gone.
    pub row: Option<RowRef>,
    /// The name of the rule that lets it in. Somebody new is counted with others whom that lets in.
    pub rule: String,
    /// What its pair is called instead of by its principal, on a route that is older than principals.
    pub alias: Option<Box<Alias>>,
}

/// What a pair says of whoever it is issued to, where it names no principal (notme protocol §5.4, §7.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alias {
    /// The subject.
    pub subject: String,
    /// The URI.
    pub identity: String,
    /// How it was proven.
    pub method: String,
    /// What the answer repeats of the proof, as JSON.
    pub claims: String,
    /// The longest that its pair lives, in seconds.
    pub ttl_secs: u64,
}

/// What has to be known of a certificate that was shown, since it may be one of ours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShownCertificate {
    /// DER SubjectPublicKeyInfo of who issued it.
    #[serde(with = "serde_bytes")]
    pub issuer_spki: Vec<u8>,
    /// Its serial number, big endian, without a sign.
    #[serde(with = "serde_bytes")]
    pub serial: Vec<u8>,
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer, SigningKey};
    use notme_keys::encode_base64url;
    use serde_json::json;

    use super::testing::{Caller, NOW, identified};
    use super::*;

    /// A token of whoever has this key.
    fn token(claims: &Value, key: &SigningKey) -> String {
        let part = |json: &Value| encode_base64url(json.to_string().as_bytes());
        let signed = format!("{}.{}", part(&json!({ "alg": "EdDSA" })), part(claims));
        let signature = encode_base64url(&key.sign(signed.as_bytes()).to_bytes());
        format!("{signed}.{signature}")
    }

    fn given(need: Need<'_>) -> Gathered {
        match need {
            Need::Key {
                keys: issuer::Keys::Given(set),
                kid,
                algorithm,
                ..
            } => Gathered::Key(set.find(kid, algorithm)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_proof_goes_the_whole_way_and_names_whom_it_is_about() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let x = encode_base64url(&key.verifying_key().to_bytes());
        let config = testing::config(&json!([{
            "type": "custom", "issuer": "https://login.example", "audience": "https://id.example",
            "jwks": { "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": x }] },
            "scopes": ["bridgeCert"], "rules": [{ "team": "red" }],
        }]));
        let claims = |exp: u64, team: &str| {
            json!({ "iss": "https://login.example", "aud": "https://id.example", "sub": "ana",
                "iat": NOW, "exp": exp, "jti": "1", "team": team })
        };
        let caller = Caller::new();
        let proof = |token: &str| json!({ "type": "custom", "token": token });
        let over = |token: &str| {
            let digest = <sha2::Sha256 as sha2::Digest>::digest(token);
            caller.request(&proof(token), &[&caller.spkis()[..], &digest].concat())
        };
        let ask = |request: &Value| identified(&config, &[], request, given);

        let short = token(&claims(NOW + 60, "red"), &key);
        let who = ask(&over(&short)).unwrap();
        assert_eq!(
            (&who.kind[..], &who.issuer[..], &who.subject[..]),
            ("custom", "https://login.example", "ana")
        );
        assert_eq!(who.burns.len(), 1);

        // What lives long is single by a challenge, and by nothing else.
        let long = token(&claims(NOW + 86_400, "red"), &key);
        assert_eq!(ask(&over(&long)), Err(Error::ChallengeRequired));
        let who = ask(&caller.challenged(&proof(&long))).unwrap();
        assert!(who.burns.is_empty());

        let blue = token(&claims(NOW + 60, "blue"), &key);
        let not_permitted = Error::NotPermitted(crate::error::PolicyRule::Claims);
        assert_eq!(ask(&over(&blue)), Err(not_permitted));
        let forged = token(&claims(NOW + 60, "red"), &SigningKey::from_bytes(&[4; 32]));
        let wrong = Error::InvalidToken(crate::TokenError::InvalidSignature);
        assert_eq!(ask(&over(&forged)), Err(wrong));
        // Another token's proofs of possession.
        let mut moved = over(&short);
        moved["proof"]["token"] = long.into();
        assert!(ask(&moved).is_err());
    }

    #[test]
    fn nobody_is_identified_by_fewer_outcomes_than_checks() {
        let key = SigningKey::from_bytes(&[3; 32]);
        let check = SignatureCheck {
            key: VerifyingKey::Ed25519(
                notme_keys::Ed25519PublicKey::from_bytes(key.verifying_key().to_bytes()).unwrap(),
            ),
            messages: vec![Vec::new()],
            signature: Vec::new(),
        };
        let obliged = || Obliged::by(check.clone(), Error::WrongSigner, || Err(Error::NotFound));
        let settle = |outcomes: &[Outcome]| obliged().settle(outcomes);
        assert_eq!(settle(&[Outcome::Verified(0)]), Err(Error::NotFound));
        for outcomes in [
            &[][..],
            &[Outcome::Failed],
            &[Outcome::InvalidKey],
            &[Outcome::Verified(0), Outcome::Verified(0)],
        ] {
            assert_eq!(settle(outcomes), Err(Error::WrongSigner), "{outcomes:?}");
        }
    }

    #[test]
    fn each_kind_of_proof_is_documented() {
        let schemas: Value =
            serde_json::from_str(include_str!("http/openapi/schemas.json")).unwrap();
        let kinds = schemas
            .pointer("/$defs/PrincipalPairRequest/properties/proof/oneOf")
            .unwrap();
        let kinds = kinds.as_array().unwrap().iter();
        let kinds = kinds.flat_map(|kind| match &kind["properties"]["type"] {
            one if one["enum"].is_array() => one["enum"].as_array().unwrap().clone(),
            one => vec![one["const"].clone()],
        });
        let kinds: Vec<_> = kinds.collect();
        let page = include_str!("../../../docs/doors.md");
        for door in DOORS {
            assert!(kinds.contains(&door.name.into()), "{}", door.name);
            assert!(
                page.contains(&format!("| `{}` |", door.name)),
                "{}",
                door.name
            );
        }
        assert_eq!(kinds.len(), DOORS.len());
    }

    #[test]
    fn doors_have_names_of_their_own() {
        for (at, door) in DOORS.iter().enumerate() {
            let found = Door::find(door.name).map(|found| found.name);
            assert_eq!(found, Some(door.name));
            assert!(
                !DOORS
                    .iter()
                    .skip(at + 1)
                    .any(|other| other.name == door.name)
            );
        }
    }
}
