//! What browsers are asked for, in the JSON forms of §5.1.10 (notme protocol §10.1).

use serde::{Serialize, Serializer};

use crate::{Algorithm, Challenge, CredentialId, RelyingParty, Transport, UserHandle};

/// How long a browser gives a person, in milliseconds.
const TIMEOUT: u32 = 60_000;
/// What authenticators show as the name of the place.
const PARTY_NAME: &str = "notme";
/// §5.4.6: nothing else is accepted, so nothing else is asked for.
const REQUIRED: &str = "required";
/// The one type of credential (§5.8.2).
const PUBLIC_KEY: &str = "public-key";

/// Who a credential is made for (§5.4.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// What the authenticator will say whose credential it is.
    pub handle: UserHandle,
    /// A name that tells a person's accounts apart.
    pub name: String,
    /// A name that a person likes to read.
    pub display_name: String,
}

/// A credential as options name it (§5.8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialDescriptor {
    /// Its id.
    pub id: CredentialId,
    /// How its authenticator was reached when it was registered.
    pub transports: Vec<Transport>,
}

/// A `PublicKeyCredentialCreationOptionsJSON`; it serializes to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreationOptions<'a> {
    /// Who asks.
    pub party: &'a RelyingParty,
    /// Who the credential is for.
    pub user: &'a User,
    /// What the host will remember for this one ceremony.
    pub challenge: &'a Challenge,
    /// The user's credentials: an authenticator that holds one of them makes no second.
    pub exclude: &'a [CredentialDescriptor],
}

/// A `PublicKeyCredentialRequestOptionsJSON`; it serializes to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestOptions<'a> {
    /// Who asks.
    pub party: &'a RelyingParty,
    /// What the host will remember for this one ceremony.
    pub challenge: &'a Challenge,
    /// The credentials to choose from; none leaves the choice to the user, as a login does.
    pub allow: &'a [CredentialDescriptor],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Creation<'a> {
    rp: Party<'a>,
    user: UserEntity<'a>,
    challenge: String,
    pub_key_cred_params: [Parameters; 3],
    timeout: u32,
    attestation: &'static str,
    authenticator_selection: Selection,
    extensions: Extensions,
    hints: [&'static str; 0],
    exclude_credentials: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
struct Party<'a> {
    name: &'static str,
    id: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct UserEntity<'a> {
    id: String,
    name: &'a str,
    display_name: &'a str,
}

#[derive(Serialize)]
struct Parameters {
    #[serde(rename = "type")]
    kind: &'static str,
    alg: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Selection {
    resident_key: &'static str,
    user_verification: &'static str,
    require_resident_key: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Extensions {
    cred_props: bool,
}

#[derive(Serialize)]
struct Descriptor<'a> {
    id: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    transports: &'a [Transport],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    rp_id: &'a str,
    challenge: String,
    timeout: u32,
    user_verification: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    allow_credentials: Vec<Descriptor<'a>>,
}

impl Serialize for CreationOptions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Creation {
            rp: Party {
                name: PARTY_NAME,
                id: self.party.id(),
            },
            user: UserEntity {
                id: self.user.handle.to_base64url(),
                name: &self.user.name,
                display_name: &self.user.display_name,
            },
            challenge: self.challenge.to_base64url(),
            pub_key_cred_params: Algorithm::OFFERED.map(|algorithm| Parameters {
                kind: PUBLIC_KEY,
                alg: algorithm.cose(),
            }),
            timeout: TIMEOUT,
            attestation: "none",
            authenticator_selection: Selection {
                resident_key: REQUIRED,
                user_verification: REQUIRED,
                require_resident_key: true,
            },
            extensions: Extensions { cred_props: true },
            hints: [],
            exclude_credentials: descriptors(self.exclude),
        }
        .serialize(serializer)
    }
}

impl Serialize for RequestOptions<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Request {
            rp_id: self.party.id(),
            challenge: self.challenge.to_base64url(),
            timeout: TIMEOUT,
            user_verification: REQUIRED,
            allow_credentials: descriptors(self.allow),
        }
        .serialize(serializer)
    }
}

fn descriptors(credentials: &[CredentialDescriptor]) -> Vec<Descriptor<'_>> {
    let descriptor = |credential: &CredentialDescriptor| credential.id.to_base64url();
    credentials
        .iter()
        .map(|credential| Descriptor {
            id: descriptor(credential),
            kind: PUBLIC_KEY,
            transports: &credential.transports,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn party() -> RelyingParty {
        RelyingParty::new("auth.example", ["https://auth.example"]).unwrap()
    }

    fn credential(transports: &[Transport]) -> CredentialDescriptor {
        CredentialDescriptor {
            id: CredentialId::new(vec![0xfb, 0xff]).unwrap(),
            transports: transports.to_vec(),
        }
    }

    #[test]
    fn creation_options_are_those_of_the_protocol() {
        let user = User {
            handle: UserHandle::new(b"handle".to_vec()).unwrap(),
            name: "ada".into(),
            display_name: "Ada \"L\"".into(),
        };
        let exclude = [
            credential(&[Transport::Internal, Transport::Hybrid]),
            credential(&[]),
        ];
        let options = CreationOptions {
            party: &party(),
            user: &user,
            challenge: &Challenge::from_bytes([0; 32]),
            exclude: &exclude,
        };
        let expected = json!({
            "rp": { "name": "notme", "id": "auth.example" },
            "user": { "id": "aGFuZGxl", "name": "ada", "displayName": "Ada \"L\"" },
            "challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "pubKeyCredParams": [
                { "type": "public-key", "alg": -8 },
                { "type": "public-key", "alg": -7 },
                { "type": "public-key", "alg": -257 },
            ],
            "timeout": 60000,
            "attestation": "none",
            "authenticatorSelection": {
                "residentKey": "required",
                "userVerification": "required",
                "requireResidentKey": true,
            },
            "extensions": { "credProps": true },
            "hints": [],
            "excludeCredentials": [
                { "id": "-_8", "type": "public-key", "transports": ["internal", "hybrid"] },
                { "id": "-_8", "type": "public-key" },
            ],
        });
        assert_eq!(
            serde_json::to_string(&options).unwrap(),
            expected.to_string()
        );
    }

    #[test]
    fn request_options_are_those_of_the_protocol() {
        let options = |allow| {
            serde_json::to_string(&RequestOptions {
                party: &party(),
                challenge: &Challenge::from_bytes([0; 32]),
                allow,
            })
            .unwrap()
        };
        let mut expected = json!({
            "rpId": "auth.example",
            "challenge": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "timeout": 60000,
            "userVerification": "required",
        });
        assert_eq!(options(&[]), expected.to_string());
        expected["allowCredentials"] =
            json!([{ "id": "-_8", "type": "public-key", "transports": ["usb"] }]);
        assert_eq!(
            options(&[credential(&[Transport::Usb])]),
            expected.to_string()
        );
    }
}
