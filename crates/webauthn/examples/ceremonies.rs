//! Verifies ceremonies as the authority does. Each line of standard input is JSON: `kind`
//! (`registration` or `authentication`), `rp`, `origins`, `challenge`, `response` (the response's own
//! text), and for an authentication `stored`: `id`, `algorithm`, `spki`, `sign_count`,
//! `backup_eligible`, `owner`. For each a line of JSON comes out: the result, or `error` with a code.

use std::error::Error as StdError;
use std::io::{BufRead as _, stdin};

use notme_keys::native::settle;
use notme_keys::{decode_base64url, encode_base64url};
use notme_webauthn::{
    Algorithm, AuthenticationResponse, Challenge, Counter, CredentialId, CredentialKey, Error,
    RegistrationResponse, RelyingParty, StoredCredential, Transport, UserHandle,
};
use serde_json::{Value, json};

type Anything<T> = Result<T, Box<dyn StdError>>;

fn main() -> Anything<()> {
    for line in stdin().lock().lines() {
        let input: Value = serde_json::from_str(&line?)?;
        let origins = input.get("origins").and_then(Value::as_array);
        let origins = origins.ok_or("origins")?.iter().filter_map(Value::as_str);
        let party = RelyingParty::new(text(&input, "rp")?, origins)?;
        let challenge = Challenge::from_base64url(text(&input, "challenge")?).ok_or("challenge")?;
        let response = text(&input, "response")?.as_bytes();
        let verdict = match text(&input, "kind")? {
            "registration" => register(&party, &challenge, response),
            "authentication" => {
                let stored = stored_credential(input.get("stored").ok_or("stored")?)?;
                authenticate(&party, &challenge, response, &stored)
            }
            _ => return Err("kind".into()),
        };
        println!(
            "{}",
            verdict.unwrap_or_else(|error| json!({ "error": error.code() }))
        );
    }
    Ok(())
}

fn register(party: &RelyingParty, challenge: &Challenge, json: &[u8]) -> Result<Value, Error> {
    let obliged = RegistrationResponse::parse(json)?.oblige(party, challenge)?;
    let outcomes: Vec<_> = obliged.checks().iter().map(settle).collect();
    let credential = obliged.settle(&outcomes)?;
    Ok(json!({
        "id": credential.id.to_base64url(),
        "algorithm": credential.key.algorithm().cose(),
        "spki": encode_base64url(&credential.key.to_spki()),
        "sign_count": credential.sign_count,
        "aaguid": credential.aaguid.to_string(),
        "transports": credential.transports.into_iter().map(Transport::as_str).collect::<Vec<_>>(),
        "backup_eligible": credential.backup_eligible,
        "backed_up": credential.backed_up,
        "attestation": credential.attestation.as_str(),
    }))
}

fn authenticate(
    party: &RelyingParty,
    challenge: &Challenge,
    json: &[u8],
    stored: &StoredCredential,
) -> Result<Value, Error> {
    let obliged = AuthenticationResponse::parse(json)?.oblige(party, challenge, stored)?;
    let outcomes: Vec<_> = obliged.checks().iter().map(settle).collect();
    let assertion = obliged.settle(&outcomes)?;
    Ok(json!({
        "sign_count": assertion.sign_count,
        "backed_up": assertion.backed_up,
        "counter": match assertion.counter {
            Counter::Advanced => "advanced",
            Counter::Unsupported => "unsupported",
            Counter::WentBack => "went-back",
        },
    }))
}

fn stored_credential(stored: &Value) -> Anything<StoredCredential> {
    let number = |name: &'static str| stored.get(name).and_then(Value::as_i64).ok_or(name);
    let algorithm = Algorithm::from_cose(number("algorithm")?).ok_or("algorithm")?;
    Ok(StoredCredential {
        id: CredentialId::new(bytes(stored, "id")?)?,
        key: CredentialKey::from_spki(algorithm, &bytes(stored, "spki")?)?,
        sign_count: number("sign_count")?.try_into()?,
        backup_eligible: stored.get("backup_eligible") == Some(&Value::Bool(true)),
        owner: UserHandle::new(bytes(stored, "owner")?)?,
    })
}

fn text<'a>(value: &'a Value, name: &'static str) -> Anything<&'a str> {
    Ok(value.get(name).and_then(Value::as_str).ok_or(name)?)
}

fn bytes(value: &Value, name: &'static str) -> Anything<Vec<u8>> {
    Ok(decode_base64url(text(value, name)?).ok_or(name)?)
}
