//! Identities that others vouch for and that are a person's: linked, used to sign in or to join, listed, removed
//! (notme protocol §4.3, §9 and §11).
//!
//! Whoever links one shows both: a session in which a passkey was shown a short while ago, and a proof of the identity
//! that was made for this. A token has a `nonce` for it, the digest of our challenge; the key of a certificate signs
//! the challenge, and for whom.

use notme_x509::rfc3339_millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::body::{challenge, object, shown_name, text};
use super::challenge::{LEN, LIFETIME_SECS, nonce};
use super::command::{Origin, SessionFacts};
use super::federation::Return;
use super::{DEFAULT_NAME, PrincipalId, invite};
use crate::config::Config;
use crate::doors::rows::Rows;
use crate::doors::{Aim, Door, Edge, Facts, Given, Identified, Opened, Proof, RowsOf, Shown, oidc};
use crate::issuer_keys::Endpoints;
use crate::{Echo, Error};

/// What the message begins with that the key of a certificate signs to be linked, so that no other protocol signs
/// the same.
const LABEL: &[u8] = b"notme-connection-proof-v1\0";

/// How many ways in a principal may have: passkeys and linked identities together. Each is a row, and `exclude` and
/// `allow` of a ceremony name all passkeys.
const MOST_WAYS_IN: u64 = 50;

/// A proof of an identity, and the challenge that it was made for.
pub struct Presented {
    proof: Showing,
    /// The code that it was redeemed for, if it was.
    code: Option<Return>,
    /// The challenge.
    pub challenge: [u8; LEN],
}

/// What is shown: a proof, or what its issuer gives one for.
enum Showing {
    Proof(Box<dyn Shown>),
    Code(Return),
}

/// An invite, and the identity that redeems it.
pub struct Joining {
    /// The hash of the invite's token.
    pub invite: [u8; 32],
    /// Who wants to join.
    pub guest: Presented,
    /// What they want to be called.
    pub display_name: String,
}

/// An identity that was proven, for whatever is to become of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proven {
    /// Who it is.
    pub identified: Identified,
    /// The challenge that its proof was made for.
    pub challenge: [u8; LEN],
    /// The session that the request has.
    pub current: Option<[u8; 32]>,
    /// Where from.
    pub origin: Origin,
}

/// Whose an identity is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The principal.
    pub principal: PrincipalId,
    /// Whether that is a human.
    pub is_human: bool,
    /// Whether it was turned away.
    pub is_turned_away: bool,
    /// The authenticator that the identity is.
    pub authenticator: String,
    /// When it was last used, in Unix seconds.
    pub last_used_at: Option<u64>,
}

/// An identity that is linked, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The authenticator's id.
    pub id: String,
    /// The kind of proof.
    pub kind: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Whom.
    pub subject: String,
    /// Since when, in Unix seconds.
    pub created_at: u64,
}

impl Presented {
    /// Reads what is to be linked: `{proof: {type, …}, challenge}`; what else is in `proof`, its door says. The protocol
    /// calls a chain `cert`.
    ///
    /// # Errors
    /// [`Error::InvalidJson`], [`Error::MissingProofType`], [`Error::UnknownProofType`], those of the door,
    /// [`Error::ChallengeRequired`], [`Error::BadChallenge`].
    pub fn parse(body: &[u8], config: &Config, edge: &dyn Edge) -> Result<Self, Error> {
        let mut json: Value = object(body)?;
        if let Some(proof) = json.get_mut("proof").and_then(Value::as_object_mut)
            && let Some(cert) = proof.remove("cert")
        {
            proof.entry("chain").or_insert(cert);
        }
        let kind = json.pointer("/proof/type").and_then(Value::as_str);
        let kind = kind.filter(|kind| !kind.is_empty());
        let kind = kind.ok_or(Error::MissingProofType)?;
        let proof = json.get("proof").unwrap_or(&Value::Null);
        let given = Given {
            proof,
            config,
            edge,
        };
        Self::made_for(shown(kind, &given)?, json.get("challenge"))
    }

    /// Reads what somebody signs in with: `{token, challenge, type?}`, or with a [code](Return) for the token.
    ///
    /// # Errors
    /// As [`Presented::parse`].
    pub fn sign_in(body: &[u8], config: &Config, edge: &dyn Edge) -> Result<Self, Error> {
        let json: Value = object(body)?;
        let kind = text(json.get("type"), "type")?.unwrap_or(oidc::OIDC.name);
        if !is_token(kind) {
            return Err(unknown(kind));
        }
        let given = Given {
            proof: &json,
            config,
            edge,
        };
        Self::made_for(shown(kind, &given)?, json.get("challenge"))
    }

    /// The code, where that has to be redeemed first.
    #[must_use]
    pub const fn code(&self) -> Option<&Return> {
        match &self.proof {
            Showing::Proof(_) => None,
            Showing::Code(code) => Some(code),
        }
    }

    /// The same with the token that the issuer gave for its code.
    ///
    /// # Errors
    /// Those of the door.
    pub fn redeemed(self, token: &str, config: &Config, edge: &dyn Edge) -> Result<Self, Error> {
        let given = Given {
            proof: &json!({ "token": token }),
            config,
            edge,
        };
        Ok(Self {
            code: match self.proof {
                Showing::Code(code) => Some(code),
                Showing::Proof(_) => None,
            },
            proof: shown(oidc::OIDC.name, &given)?,
            challenge: self.challenge,
        })
    }

    /// The rows that may let it in, where these aren't all.
    #[must_use]
    pub fn rows(&self, rows: &Rows) -> Option<Rows> {
        self.code.as_ref().map(|code| code.rows(rows))
    }

    fn made_for(proof: Showing, member: Option<&Value>) -> Result<Self, Error> {
        Ok(Self {
            proof,
            code: None,
            challenge: challenge(member)?.ok_or(Error::ChallengeRequired)?,
        })
    }

    /// Opens the proof; `now` in Unix seconds. `owner` is whom a certificate's key has to say that it is linked to.
    ///
    /// # Errors
    /// Those of the door, and [`Error::MissingToken`] while there is but a code.
    pub fn open<'a>(
        &'a self,
        config: &'a Config,
        rows: &'a Rows,
        owner: Option<&'a PrincipalId>,
        now: u64,
    ) -> Result<Box<dyn Opened + 'a>, Error> {
        let Showing::Proof(proof) = &self.proof else {
            return Err(Error::MissingToken);
        };
        proof.open(&Facts {
            config,
            rows,
            now,
            challenge: Some(&self.challenge),
            aim: Aim::Person(owner),
        })
    }
}

/// Reads a proof that may say who somebody is. What is none of another's vouching isn't.
fn shown(kind: &str, given: &Given<'_>) -> Result<Showing, Error> {
    if kind == oidc::OIDC.name
        && given.member("token").is_none_or(Value::is_null)
        && let Some(code) = Return::read(given.proof)?
    {
        return Ok(Showing::Code(code));
    }
    let door = Door::find(kind).filter(|door| matches!(door.rows, RowsOf::Issuers | RowsOf::Roots));
    match (door.ok_or_else(|| unknown(kind))?.read)(given)? {
        Proof::Shown(shown) => Ok(Showing::Proof(shown)),
        Proof::Session | Proof::Code(..) => Err(unknown(kind)),
    }
}

fn unknown(kind: &str) -> Error {
    Error::UnknownProofType(Echo::new(kind))
}

fn is_token(kind: &str) -> bool {
    Door::find(kind).is_some_and(|door| matches!(door.rows, RowsOf::Issuers))
}

impl Joining {
    /// Reads `{token, proof: {type, token, displayName?}, challenge}`, if its proof is a token of that kind: passkeys join
    /// in another way.
    ///
    /// # Errors
    /// [`Error::MissingInviteToken`], [`Error::BadInvite`], and as [`Presented::parse`].
    pub fn parse(body: &[u8], config: &Config, edge: &dyn Edge) -> Result<Option<Self>, Error> {
        let json: Value = object(body)?;
        let kind = json.pointer("/proof/type").and_then(Value::as_str);
        let Some(kind) = kind.filter(|kind| is_token(kind)) else {
            return Ok(None);
        };
        let invite = invite::presented(body)?.hash();
        let proof = json.get("proof").unwrap_or(&Value::Null);
        let given = Given {
            proof,
            config,
            edge,
        };
        let proof = shown(kind, &given)?;
        let name = shown_name(json.pointer("/proof/displayName"), "proof.displayName")?;
        Ok(Some(Self {
            invite,
            guest: Presented::made_for(proof, json.get("challenge"))?,
            display_name: name.unwrap_or_else(|| DEFAULT_NAME.to_owned()),
        }))
    }
}

impl Identified {
    /// Whether it becomes a principal of its own, if it is nobody's: people come in by invites.
    ///
    /// # Errors
    /// [`Error::UnknownIdentity`].
    pub const fn permit_newcomer(&self) -> Result<(), Error> {
        if self.is_person {
            Err(Error::UnknownIdentity)
        } else {
            Ok(())
        }
    }

    /// Whether it acts for whoever it belongs to. A person's does by a proof that was made for one request alone, which
    /// rows for workloads don't ask for.
    ///
    /// # Errors
    /// [`Error::PersonIdentity`].
    pub const fn permit_owner(&self, owner: &Owner) -> Result<(), Error> {
        if owner.is_human && !self.is_person {
            Err(Error::PersonIdentity)
        } else {
            Ok(())
        }
    }

    /// Whether it can be a person's.
    ///
    /// # Errors
    /// [`Error::WorkloadIdentity`] if its row says no.
    pub const fn require_person(&self) -> Result<(), Error> {
        if self.is_person {
            Ok(())
        } else {
            Err(Error::WorkloadIdentity)
        }
    }
}

/// Whether a linked identity may be removed, given whether its owner could sign in by something else.
///
/// # Errors
/// [`Error::LastWayIn`].
pub const fn permit_disconnection(has_other: bool) -> Result<(), Error> {
    if has_other {
        Ok(())
    } else {
        Err(Error::LastWayIn)
    }
}

/// Whether a principal that has so many ways in may have another one.
///
/// # Errors
/// [`Error::TooManyWaysIn`].
pub const fn permit_further_way_in(there: u64) -> Result<(), Error> {
    if there < MOST_WAYS_IN {
        Ok(())
    } else {
        Err(Error::TooManyWaysIn)
    }
}

/// Whether an authenticator of this kind and issuer signs somebody in at this moment: a passkey that was made for
/// `party`, which is what passkeys call this authority, or an identity whose issuer has a row for people. While there
/// is no party, any passkey counts. What the row's rules make of it only a token tells.
#[must_use]
pub fn signs_in(kind: &str, issuer: &str, party: &str, rows: &Rows) -> bool {
    if kind == "passkey" {
        return party.is_empty() || issuer == party;
    }
    let mut issuers = rows.issuers.iter();
    issuers.any(|row| row.is_for_people && row.kind.as_str() == kind && row.issuer == issuer)
}

impl Owner {
    /// Whether the identity may be linked to `holder`: it is already, or it is another's and stays that.
    ///
    /// # Errors
    /// [`Error::IdentityTaken`].
    pub fn permit_link(&self, holder: &PrincipalId) -> Result<(), Error> {
        if self.principal == *holder {
            Ok(())
        } else {
            Err(Error::IdentityTaken)
        }
    }

    /// Whether it may begin a session.
    ///
    /// # Errors
    /// [`Error::TurnedAway`] and [`Error::WorkloadIdentity`].
    pub const fn permit_session(&self) -> Result<(), Error> {
        if self.is_turned_away {
            return Err(Error::TurnedAway);
        }
        if !self.is_human {
            return Err(Error::WorkloadIdentity);
        }
        Ok(())
    }
}

/// What the key of a certificate signs to be linked: our challenge, which certificate it means, and whom it is linked to.
#[must_use]
pub fn message_of_certificate(
    certificate: &[u8],
    challenge: &[u8; LEN],
    principal: &PrincipalId,
) -> Vec<u8> {
    let digest = Sha256::digest(certificate);
    [LABEL, challenge, &digest, principal.as_str().as_bytes()].concat()
}

/// A challenge, and what a token that is made for it has to say; and where the browser goes, if it wants to be sent
/// somewhere. The challenge itself stands in no token and in no address.
#[must_use]
pub fn options(challenge: &[u8; LEN], sent: Option<(&str, &Endpoints)>) -> Value {
    let mut options = json!({
        "challenge": notme_keys::encode_base64url(challenge),
        "nonce": nonce(challenge),
        "expires_in": LIFETIME_SECS,
    });
    if let (Some(members), Some((address, endpoints))) = (options.as_object_mut(), sent) {
        members.insert("authorization_url".into(), address.into());
        members.insert("iss_expected".into(), endpoints.names_itself.into());
    }
    options
}

/// The answer to whoever linked an identity.
#[must_use]
pub fn connected(identified: &Identified) -> Value {
    json!({
        "connected": true,
        "provider": identified.method,
        "subject": identified.subject,
    })
}

/// The answer to whoever signed in by one.
#[must_use]
pub fn signed_in(session: &SessionFacts) -> Value {
    json!({
        "authenticated": true,
        "principalId": session.principal.as_str(),
        "scopes": session.scopes.names(),
        "authMethod": session.method,
        "pending": session.pending.names(),
    })
}

/// `GET /connections`.
#[must_use]
pub fn connections(rows: &[Row]) -> Value {
    let one = |row: &Row| {
        json!({
            "id": row.id,
            "provider": format!("{}:{}", row.kind, row.issuer),
            "subject": row.subject,
            "connectedAt": date_and_time(row.created_at),
        })
    };
    json!({ "connections": rows.iter().map(one).collect::<Vec<_>>() })
}

/// A time as the protocol has it here: `YYYY-MM-DD HH:MM:SS`, UTC.
fn date_and_time(secs: u64) -> String {
    let time = rfc3339_millis(secs.saturating_mul(1000)).replace('T', " ");
    time.split('.').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doors::testing;
    use crate::people::Scopes;

    fn identified(is_person: bool) -> Identified {
        Identified {
            kind: "oidc".into(),
            issuer: "https://login.example".into(),
            subject: "ana".into(),
            name: "ana".into(),
            method: "oidc:https://login.example".into(),
            is_person,
            ceiling: Scopes::of_anybody(),
            burns: Vec::new(),
            until: None,
            certificate: None,
            row: None,
            rule: String::new(),
            alias: None,
        }
    }

    #[test]
    fn people_are_nobody_by_themselves_and_workloads_nobody_elses() {
        assert_eq!(identified(true).require_person(), Ok(()));
        let workload = Err(Error::WorkloadIdentity);
        assert_eq!(identified(false).require_person(), workload);
        let unknown = Err(Error::UnknownIdentity);
        assert_eq!(identified(true).permit_newcomer(), unknown);
        assert_eq!(identified(false).permit_newcomer(), Ok(()));
    }

    #[test]
    fn an_identity_stays_whose_it_is_and_the_last_way_in_stays() {
        let [ana, ben] = [1, 2].map(|byte| PrincipalId::from_random([byte; 16]));
        let owner = Owner {
            principal: ana.clone(),
            is_human: true,
            is_turned_away: false,
            authenticator: String::new(),
            last_used_at: None,
        };
        assert_eq!(owner.permit_link(&ana), Ok(()));
        assert_eq!(owner.permit_link(&ben), Err(Error::IdentityTaken));
        assert_eq!(permit_disconnection(true), Ok(()));
        assert_eq!(permit_disconnection(false), Err(Error::LastWayIn));
        assert_eq!(permit_further_way_in(49), Ok(()));
        assert_eq!(permit_further_way_in(50), Err(Error::TooManyWaysIn));
    }

    #[test]
    fn a_person_s_identity_is_worth_nothing_at_a_row_for_workloads() {
        let owner = |is_human| Owner {
            principal: PrincipalId::from_random([1; 16]),
            is_human,
            is_turned_away: false,
            authenticator: String::new(),
            last_used_at: None,
        };
        for (is_person, is_human, worth) in [
            (true, true, Ok(())),
            (true, false, Ok(())),
            (false, false, Ok(())),
            (false, true, Err(Error::PersonIdentity)),
        ] {
            assert_eq!(identified(is_person).permit_owner(&owner(is_human)), worth);
        }
    }

    #[test]
    fn what_signs_in_is_a_passkey_for_our_name_or_has_a_row_for_people() {
        let row = |issuer: &str, of: &str| json!({ "issuer": issuer, "audience": "a", "for": of, "scopes": ["bridgeCert"], "rules": [{}] });
        let rows = json!([
            row("https://login.example", "people"),
            row("https://ci.example", "workloads"),
        ]);
        let rows = Rows::read_all(&rows.to_string()).unwrap();
        let by = |kind: &str, issuer: &str, party: &str| signs_in(kind, issuer, party, &rows);
        assert!(by("passkey", "id.example", "id.example"));
        assert!(!by("passkey", "old.example", "id.example"));
        assert!(by("passkey", "old.example", ""));
        assert!(by("oidc", "https://login.example", "id.example"));
        for (kind, issuer) in [
            ("custom", "https://login.example"),
            ("oidc", "https://gone.example"),
            ("oidc", "https://ci.example"),
            ("x509", "https://login.example"),
        ] {
            assert!(!by(kind, issuer, "id.example"), "{kind} {issuer}");
        }
    }

    #[test]
    fn workloads_and_who_was_turned_away_begin_no_session() {
        let owner = |is_human, is_turned_away| Owner {
            principal: PrincipalId::from_random([1; 16]),
            is_human,
            is_turned_away,
            authenticator: String::new(),
            last_used_at: None,
        };
        assert_eq!(owner(true, false).permit_session(), Ok(()));
        assert_eq!(owner(true, true).permit_session(), Err(Error::TurnedAway));
        let workload = owner(false, false).permit_session();
        assert_eq!(workload, Err(Error::WorkloadIdentity));
    }

    #[test]
    fn times_are_those_of_the_protocol() {
        assert_eq!(date_and_time(1_795_295_166), "2026-11-21 21:06:06");
    }

    #[test]
    fn what_is_no_request_is_told_apart() {
        let config = testing::config(&json!([]));
        let parse = |body: &str| {
            Presented::parse(body.as_bytes(), &config, &testing::Beside(&[])).map(drop)
        };
        let sign_in = |body: &str| {
            Presented::sign_in(body.as_bytes(), &config, &testing::Beside(&[])).map(drop)
        };
        let join = |body: &str| {
            let joining = Joining::parse(body.as_bytes(), &config, &testing::Beside(&[]));
            joining.map(|joining| joining.is_some())
        };
        let challenge = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let good =
            format!(r#"{{"proof":{{"type":"oidc","token":"t"}},"challenge":"{challenge}"}}"#);
        assert_eq!(parse(&good), Ok(()));
        let cert = format!(
            r#"{{"proof":{{"type":"x509","cert":"AQ","signature":"AQ"}},"challenge":"{challenge}"}}"#
        );
        assert_eq!(parse(&cert), Ok(()));
        for (body, error) in [
            ("[]", Error::InvalidJson),
            ("{}", Error::MissingProofType),
            (r#"{"proof":{"type":1}}"#, Error::MissingProofType),
            (
                r#"{"proof":{"type":"session"}}"#,
                Error::UnknownProofType(Echo::new("session")),
            ),
            (r#"{"proof":{"type":"oidc"}}"#, Error::MissingToken),
            (
                r#"{"proof":{"type":"oidc","token":1}}"#,
                Error::MissingToken,
            ),
            (
                r#"{"proof":{"type":"x509","signature":"AQ"}}"#,
                Error::InvalidMember("proof.chain"),
            ),
            (
                r#"{"proof":{"type":"oidc","token":"t"}}"#,
                Error::ChallengeRequired,
            ),
            (
                r#"{"proof":{"type":"oidc","token":"t"},"challenge":null}"#,
                Error::ChallengeRequired,
            ),
            (
                r#"{"proof":{"type":"oidc","token":"t"},"challenge":"AA"}"#,
                Error::BadChallenge,
            ),
        ] {
            assert_eq!(parse(body), Err(error), "{body}");
        }
        for (body, error) in [
            ("{}", Error::MissingToken),
            (r#"{"token":"t"}"#, Error::ChallengeRequired),
            (r#"{"token":"t","type":1}"#, Error::InvalidMember("type")),
            (
                r#"{"token":"t","type":"x509"}"#,
                Error::UnknownProofType(Echo::new("x509")),
            ),
        ] {
            assert_eq!(sign_in(body), Err(error), "{body}");
        }
        assert_eq!(join(r#"{"proof":{"type":"passkey"}}"#), Ok(false));
        let unnamed = join(r#"{"proof":{"type":"oidc"}}"#);
        assert_eq!(unnamed, Err(Error::MissingInviteToken));
    }

    #[test]
    fn form_unchanged() {
        // Another implementation: Python's hashlib over the same bytes.
        let challenge: [u8; 32] = std::array::from_fn(|i| u8::try_from(i).unwrap());
        assert_eq!(
            nonce(&challenge),
            "Yw3NKWbEM2aRElRIu7JbT_QSpJxzLbLIq8G4WBvXEN0"
        );
        let id = PrincipalId::from_random([1; 16]);
        let message = message_of_certificate(b"certificate", &challenge, &id);
        assert_eq!(message.len(), 26 + 32 + 32 + 36);
        assert!(message.starts_with(b"notme-connection-proof-v1\0\x00\x01"));
        assert!(message.ends_with(b"01010101-0101-4101-8101-010101010101"));
    }
}
