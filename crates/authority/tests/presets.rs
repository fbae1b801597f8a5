//! Presets against claims as their issuers publish them in their documentation (ids and names changed): what the
//! subject becomes, whom a rule lets in, and which rules are refused because they pin nothing.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use notme_authority::doors::issuer::TrustedIssuer;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// A published set of claims, with the row that is for it.
#[derive(Deserialize)]
struct Sample {
    preset: String,
    /// What the row has to say beside, because each customer has their own.
    issuer: Option<String>,
    claims: Value,
    subject: String,
    /// A rule that lets it in, and one that looks right and pins nothing.
    pinned: Value,
    loose: Option<Value>,
}

/// With ids and names changed; `tests/samples.test.mjs` shows the same through the wire.
fn samples() -> Vec<Sample> {
    serde_json::from_str(include_str!("../../../tests/fixtures/preset-claims.json")).unwrap()
}

fn row(sample: &Sample, rule: &Value) -> Result<TrustedIssuer, String> {
    let mut row = json!({
        "preset": sample.preset, "audience": "https://id.example.com", "scopes": ["bridgeCert"], "rules": [rule],
    });
    if let Some(issuer) = &sample.issuer {
        row["issuer"] = json!(issuer);
    }
    let rows = TrustedIssuer::read_all(&json!([row]).to_string());
    rows.map(|mut rows| rows.remove(0))
        .map_err(|problems| problems.join("; "))
}

fn claims(sample: &Sample) -> &Map<String, Value> {
    sample.claims.as_object().unwrap()
}

#[test]
fn every_preset_reads_what_its_issuer_publishes() {
    let mut seen = Vec::new();
    for sample in samples() {
        let row = row(&sample, &sample.pinned).unwrap();
        assert_eq!(sample.claims["iss"], row.issuer, "{}", sample.preset);
        assert_eq!(
            row.permit(claims(&sample)).map(|_| ()),
            Ok(()),
            "{}",
            sample.preset
        );
        let subject = row.subject.write(claims(&sample));
        assert_eq!(subject.unwrap(), sample.subject, "{}", sample.preset);
        seen.push(sample.preset.clone());
    }
    let all: Vec<_> = notme_authority::doors::presets::ALL
        .iter()
        .map(|preset| preset.name)
        .collect();
    assert_eq!(seen, all, "each has a sample");
}

#[test]
fn a_rule_that_pins_nothing_is_refused_and_says_what_to_pin() {
    for sample in samples() {
        let Some(loose) = &sample.loose else {
            continue;
        };
        for rule in [loose, &json!({})] {
            let told = row(&sample, rule).unwrap_err();
            assert!(
                told.starts_with("row 1: rule 1: must pin "),
                "{}: {told}",
                sample.preset
            );
        }
    }
}

#[test]
fn a_subject_is_said_down_to_what_is_below_it_and_exactly_where_others_have_the_same_issuer() {
    let all = samples();
    let told = |preset: &str, sub: &str| {
        let sample = all.iter().find(|sample| sample.preset == preset).unwrap();
        row(sample, &json!({ "sub": sub })).is_ok()
    };
    for (preset, sub, is_pinned) in [
        ("spiffe", "spiffe://example.org/ns/*", true),
        ("spiffe", "*/sa/researcher", false),
        ("spiffe", "spiffe://*/sa/*", false),
        ("spiffe", "*", false),
        ("google", "1*", false),
        ("google", "10769150350006150715113082367", true),
    ] {
        assert_eq!(told(preset, sub), is_pinned, "{preset} {sub}");
    }
}

#[test]
fn one_changed_character_of_what_is_pinned_lets_nobody_in() {
    for sample in samples() {
        let row = row(&sample, &sample.pinned).unwrap();
        for (name, _) in sample.pinned.as_object().unwrap() {
            let pointer = if name.starts_with('/') {
                name.clone()
            } else {
                format!("/{}", name.replace('/', "~1"))
            };
            let mut changed = sample.claims.clone();
            let claim = changed.pointer_mut(&pointer).unwrap();
            *claim = match &*claim {
                Value::String(text) => json!(format!("x{text}")),
                other => json!(format!("{other}0")),
            };
            assert!(
                row.permit(changed.as_object().unwrap()).is_err(),
                "{} {name}",
                sample.preset
            );
        }
    }
}

#[test]
fn a_row_says_more_than_its_preset_and_no_less() {
    let sample = &samples()[2];
    let mut own = json!({
        "preset": "gitlab", "issuer": "https://gitlab.example.com", "subject": "user:{user_id}", "algorithms": ["ES256"],
        "audience": "a", "scopes": ["bridgeCert"], "rules": [sample.pinned],
    });
    let read = |row: &Value| TrustedIssuer::read_all(&json!([row]).to_string());
    let row = read(&own).unwrap().remove(0);
    assert_eq!(row.issuer, "https://gitlab.example.com");
    assert_eq!(row.subject.write(claims(sample)).unwrap(), "user:1");
    assert_eq!(row.algorithms.len(), 1);
    for (name, value, problem) in [
        (
            "preset",
            json!("gitlabs"),
            "row 1: preset must be one of github, ",
        ),
        (
            "preset",
            json!("vault"),
            "row 1: rule 1: must pin sub or namespace",
        ),
        (
            "type",
            json!("kubernetes"),
            "row 1: has a preset, which is for type oidc",
        ),
    ] {
        let before = own[name].take();
        own[name] = value;
        let told = read(&own).unwrap_err().join("; ");
        assert!(told.starts_with(problem), "{told}");
        own[name] = before;
        if own[name].is_null() {
            own.as_object_mut().unwrap().remove(name);
        }
    }
    let missing = json!({ "preset": "azure", "audience": "a", "scopes": ["bridgeCert"], "rules": [{ "oid": "1" }] });
    assert_eq!(read(&missing).unwrap_err(), ["row 1: issuer is missing"]);
}
