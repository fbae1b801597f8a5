//! Other people's ceremonies (`vectors/make.py` says whose), to be bent rule by rule.
//!
//! An attestation `none` signs nothing, so a registration with it stays right whatever is changed;
//! and whatever is wrong with an assertion but its signature is found before that is looked at.

#![allow(dead_code, reason = "each test program uses its part")]

use minicbor::Encoder;
use notme_keys::encode_base64url;
use notme_keys::native::settle;
use notme_webauthn::*;
use serde_json::{Map, Value, json};

pub(crate) const UP: u8 = 1;
pub(crate) const UV: u8 = 4;
pub(crate) const BE: u8 = 8;
pub(crate) const BS: u8 = 16;
pub(crate) const AT: u8 = 64;
pub(crate) const ED: u8 = 128;

pub(crate) const OWNER: &[u8] = b"owner";

pub(crate) fn party() -> RelyingParty {
    RelyingParty::new("example.org", ["https://example.org"]).unwrap()
}

pub(crate) fn vectors() -> Vec<Value> {
    let file: Value = serde_json::from_str(include_str!("../vectors/foreign.json")).unwrap();
    file["vectors"].as_array().unwrap().clone()
}

pub(crate) fn vector(name: &str) -> Value {
    vectors()
        .into_iter()
        .find(|one| one["name"] == name)
        .unwrap()
}

pub(crate) fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

/// The parts of a ceremony's answer, all of them free to change.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) challenge: Challenge,
    pub(crate) client_data: Vec<u8>,
    /// Authenticator data up to the attested credential data.
    pub(crate) rp_id_hash: Vec<u8>,
    pub(crate) flags: u8,
    pub(crate) counter: u32,
    pub(crate) aaguid: Vec<u8>,
    pub(crate) id: Vec<u8>,
    pub(crate) id_length: Option<u16>,
    /// The COSE key, as CBOR.
    pub(crate) key: Vec<u8>,
    /// What follows the attested credential data.
    pub(crate) extra: Vec<u8>,
    pub(crate) format: &'static str,
    /// The attestation statement, as CBOR.
    pub(crate) statement: Vec<u8>,
    /// Of an assertion.
    pub(crate) signature: Vec<u8>,
    /// `id` and `rawId`.
    pub(crate) names: [String; 2],
    pub(crate) envelope: Map<String, Value>,
    pub(crate) response: Map<String, Value>,
}

impl Answer {
    /// A vector's registration.
    pub(crate) fn registration(name: &str) -> Self {
        let vector = vector(name);
        let part = |name: &str| bytes(&vector["registration"][name]);
        let object = part("attestationObject");
        let id = part("credential_id");
        // fmt comes first, then attStmt, then authData: their names say where.
        let at = |needle: &[u8]| {
            object
                .windows(needle.len())
                .position(|w| w == needle)
                .unwrap()
                + needle.len()
        };
        let statement = object[at(b"attStmt")..at(b"\x68authData") - 9].to_vec();
        let hash = bytes(&vector["authentication"]["authenticatorData"])[..32].to_vec();
        let data = &object[at(&hash) - 32..];
        let text = encode_base64url(&id);
        Self {
            challenge: Challenge::from_bytes(part("challenge").try_into().unwrap()),
            client_data: part("clientDataJSON"),
            rp_id_hash: hash,
            flags: data[32],
            counter: 0,
            aaguid: part("aaguid"),
            id_length: None,
            key: data[55 + id.len()..].to_vec(),
            extra: vec![],
            format: if name.starts_with("none") {
                "none"
            } else {
                "packed"
            },
            statement,
            signature: vec![],
            names: [text.clone(), text],
            id,
            envelope: Map::new(),
            response: Map::new(),
        }
    }

    /// A registration without attestation that is right.
    pub(crate) fn none() -> Self {
        Self::registration("none.ES256")
    }

    /// An assertion that is right, and its credential.
    pub(crate) fn assertion() -> (Self, StoredCredential) {
        let mut answer = Self::registration("packed.ES256");
        let registered = answer.register().unwrap();
        let vector = vector("packed.ES256");
        let part = |name: &str| bytes(&vector["authentication"][name]);
        answer.challenge = Challenge::from_bytes(part("challenge").try_into().unwrap());
        answer.client_data = part("clientDataJSON");
        answer.flags = part("authenticatorData")[32];
        answer.signature = part("signature");
        let stored = StoredCredential {
            id: registered.id,
            key: registered.key,
            sign_count: 0,
            backup_eligible: registered.backup_eligible,
            owner: UserHandle::new(OWNER.to_vec()).unwrap(),
        };
        (answer, stored)
    }

    /// Changes the client data, as an object.
    pub(crate) fn client(mut self, change: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let mut object = serde_json::from_slice(&self.client_data).unwrap();
        change(&mut object);
        self.client_data = serde_json::to_vec(&object).unwrap();
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    pub(crate) fn authenticator_data(&self, attested: bool) -> Vec<u8> {
        let mut data = self.rp_id_hash.clone();
        data.push(self.flags);
        data.extend(self.counter.to_be_bytes());
        if attested {
            data.extend(&self.aaguid);
            let length = self
                .id_length
                .unwrap_or_else(|| self.id.len().try_into().unwrap());
            data.extend(length.to_be_bytes());
            data.extend(&self.id);
            data.extend(&self.key);
        }
        data.extend(&self.extra);
        data
    }

    pub(crate) fn attestation_object(&self) -> Vec<u8> {
        let mut cbor = Encoder::new(vec![]);
        cbor.map(3)
            .unwrap()
            .str("fmt")
            .unwrap()
            .str(self.format)
            .unwrap()
            .str("attStmt")
            .unwrap();
        cbor.writer_mut().extend(&self.statement);
        let data = self.authenticator_data(self.flags & AT != 0);
        cbor.str("authData").unwrap().bytes(&data).unwrap();
        cbor.into_writer()
    }

    fn json(&self, parts: Value) -> String {
        let mut response = parts;
        response["clientDataJSON"] = encode_base64url(&self.client_data).into();
        for (name, value) in &self.response {
            response[name] = value.clone();
        }
        let mut json = json!({
            "id": self.names[0],
            "rawId": self.names[1],
            "type": "public-key",
            "clientExtensionResults": {},
            "response": response,
        });
        for (name, value) in &self.envelope {
            json[name] = value.clone();
        }
        json.to_string()
    }

    pub(crate) fn registration_json(&self) -> String {
        self.json(json!({ "attestationObject": encode_base64url(&self.attestation_object()) }))
    }

    pub(crate) fn assertion_json(&self) -> String {
        self.json(json!({
            "authenticatorData": encode_base64url(&self.authenticator_data(false)),
            "signature": encode_base64url(&self.signature),
            "userHandle": encode_base64url(OWNER),
        }))
    }

    pub(crate) fn register(&self) -> Result<NewCredential, Error> {
        register(&self.registration_json(), &self.challenge)
    }

    pub(crate) fn authenticate(&self, stored: &StoredCredential) -> Result<Assertion, Error> {
        authenticate(&self.assertion_json(), &self.challenge, stored)
    }
}

pub(crate) fn register(json: &str, challenge: &Challenge) -> Result<NewCredential, Error> {
    let obliged = RegistrationResponse::parse(json.as_bytes())?.oblige(&party(), challenge)?;
    let outcomes: Vec<_> = obliged.checks().iter().map(settle).collect();
    obliged.settle(&outcomes)
}

pub(crate) fn authenticate(
    json: &str,
    challenge: &Challenge,
    stored: &StoredCredential,
) -> Result<Assertion, Error> {
    let response = AuthenticationResponse::parse(json.as_bytes())?;
    let obliged = response.oblige(&party(), challenge, stored)?;
    let outcomes: Vec<_> = obliged.checks().iter().map(settle).collect();
    obliged.settle(&outcomes)
}

/// CBOR of a map with the entries that `write` writes.
pub(crate) fn map(entries: u64, write: impl FnOnce(&mut Encoder<Vec<u8>>)) -> Vec<u8> {
    let mut cbor = Encoder::new(vec![]);
    cbor.map(entries).unwrap();
    write(&mut cbor);
    cbor.into_writer()
}
