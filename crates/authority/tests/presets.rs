//! Presets against claims as their issuers publish them in their documentation (ids and names changed): what the
//! subject becomes, whom a rule lets in, and which rules are refused because they pin nothing.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a panic is how a test fails"
)]

use notme_authority::doors::issuer::TrustedIssuer;
use serde_json::{Map, Value, json};

/// A published set of claims, with the row that is for it.
struct Sample {
    preset: &'static str,
    /// What the row has to say beside, because each customer has their own.
    issuer: Option<&'static str>,
    claims: Value,
    subject: &'static str,
    /// A rule that lets it in, and one that looks right and pins nothing.
    pinned: Value,
    loose: Option<Value>,
}

fn samples() -> Vec<Sample> {
    vec![
        Sample {
            preset: "github",
            issuer: None,
            // "Understanding the OIDC token", GitHub Docs.
            claims: json!({
                "jti": "example-id", "sub": "repo:octo-org/octo-repo:environment:prod", "environment": "prod",
                "aud": "https://github.com/octo-org", "ref": "refs/heads/main", "sha": "example-sha",
                "repository": "octo-org/octo-repo", "repository_owner": "octo-org", "actor_id": "12",
                "repository_visibility": "private", "repository_id": "74", "repository_owner_id": "65",
                "run_id": "example-run-id", "run_number": "10", "run_attempt": "2",
                "runner_environment": "github-hosted", "actor": "octocat", "workflow": "example-workflow",
                "head_ref": "", "base_ref": "", "event_name": "workflow_dispatch", "ref_type": "branch",
                "job_workflow_ref": "octo-org/octo-automation/.github/workflows/oidc.yml@refs/heads/main",
                "iss": "https://token.actions.githubusercontent.com", "nbf": 1_632_492_967,
                "exp": 1_632_493_867, "iat": 1_632_493_567,
            }),
            subject: "repository:74",
            pinned: json!({ "repository_owner_id": "65", "environment": "prod" }),
            loose: Some(json!({ "repository": "octo-org/*" })),
        },
        Sample {
            preset: "github-enterprise",
            issuer: Some("https://github.example.com/_services/token"),
            claims: json!({
                "sub": "repo:octo-org/octo-repo:ref:refs/heads/main", "repository_id": "74",
                "repository_owner_id": "65", "repository": "octo-org/octo-repo",
                "iss": "https://github.example.com/_services/token",
            }),
            subject: "repository:74",
            pinned: json!({ "repository_id": ["73", "74"] }),
            loose: Some(json!({ "repository_owner_id": "6*" })),
        },
        Sample {
            preset: "gitlab",
            issuer: None,
            // "OpenID Connect (OIDC) Authentication Using ID Tokens", GitLab Docs.
            claims: json!({
                "namespace_id": "72", "namespace_path": "my-group", "project_id": "20",
                "project_path": "my-group/my-project", "user_id": "1", "user_login": "sample-user",
                "user_email": "sample-user@example.com", "pipeline_id": "574", "pipeline_source": "push",
                "job_id": "302", "ref": "feature-branch-1", "ref_type": "branch", "ref_protected": "false",
                "groups_direct": ["mygroup/mysubgroup", "myothergroup/myothersubgroup"], "runner_id": 1,
                "runner_environment": "self-hosted", "sha": "714a629c0b401fdce83e847fc9589983fc6f46bc",
                "jti": "b1c7a9a2-0000-4000-8000-000000000001", "iss": "https://gitlab.com",
                "iat": 1_681_395_193, "nbf": 1_681_395_188, "exp": 1_681_398_793,
                "sub": "project_path:my-group/my-project:ref_type:branch:ref:feature-branch-1",
                "aud": "https://vault.example.com",
            }),
            subject: "project:20",
            pinned: json!({ "namespace_id": "72", "ref_protected": "false" }),
            loose: Some(json!({ "project_path": "my-group/my-project" })),
        },
        Sample {
            preset: "buildkite",
            issuer: None,
            // "Buildkite agent oidc", Buildkite Docs, with the two optional claims.
            claims: json!({
                "iss": "https://agent.buildkite.com",
                "sub": "organization:acme-inc:pipeline:super-duper-app:ref:refs/heads/main:commit:9f3182061f1e2cca4702c368cbc039b7dc9d4485:step:build",
                "aud": "https://buildkite.com/acme-inc", "iat": 1_669_014_898, "nbf": 1_669_014_898,
                "exp": 1_669_015_198, "organization_slug": "acme-inc", "pipeline_slug": "super-duper-app",
                "build_number": 1, "build_branch": "main", "build_tag": null, "step_key": "build",
                "job_id": "0184990a-477b-4fa8-9968-496074483cee",
                "organization_id": "0184990a-0000-4000-8000-496074483000",
                "pipeline_id": "0184990a-0000-4000-8000-496074483001", "runner_environment": "self-hosted",
            }),
            subject: "organization:0184990a-0000-4000-8000-496074483000:pipeline:0184990a-0000-4000-8000-496074483001",
            pinned: json!({ "organization_id": "0184990a-0000-4000-8000-496074483000" }),
            loose: Some(json!({ "organization_slug": "acme-inc" })),
        },
        Sample {
            preset: "circleci",
            issuer: Some("https://oidc.circleci.com/org/6f000000-0000-4000-8000-000000000001"),
            // "Using OpenID Connect tokens in jobs", CircleCI Docs.
            claims: json!({
                "aud": "6f000000-0000-4000-8000-000000000001", "exp": 1_661_990_000, "iat": 1_661_986_400,
                "iss": "https://oidc.circleci.com/org/6f000000-0000-4000-8000-000000000001",
                "oidc.circleci.com/context-ids": ["6f000000-0000-4000-8000-000000000002"],
                "oidc.circleci.com/project-id": "6f000000-0000-4000-8000-000000000003",
                "oidc.circleci.com/ssh-rerun": false,
                "sub": "org/6f000000-0000-4000-8000-000000000001/project/6f000000-0000-4000-8000-000000000003/user/6f000000-0000-4000-8000-000000000004",
            }),
            subject: "project:6f000000-0000-4000-8000-000000000003",
            pinned: json!({ "oidc.circleci.com/ssh-rerun": "false" }),
            loose: None,
        },
        Sample {
            preset: "google",
            issuer: None,
            // "OpenID Connect", Google for Developers.
            claims: json!({
                "iss": "https://accounts.google.com", "azp": "1234987819200.apps.googleusercontent.com",
                "aud": "1234987819200.apps.googleusercontent.com", "sub": "10769150350006150715113082367",
                "at_hash": "HK6E_P6Dh8Y93mRNtsDB1Q", "hd": "example.com", "email": "jsmith@example.com",
                "email_verified": true, "iat": 1_353_601_026, "exp": 1_353_604_926, "nonce": "0394852-3190485-2490358",
            }),
            subject: "10769150350006150715113082367",
            pinned: json!({ "sub": "10769150350006150715113082367" }),
            loose: Some(json!({ "email": "jsmith@example.com", "sub": "*" })),
        },
        Sample {
            preset: "azure",
            issuer: Some(
                "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
            ),
            // "ID token claims reference", Microsoft identity platform.
            claims: json!({
                "ver": "2.0", "iss": "https://login.microsoftonline.com/9188040d-6c67-4c5b-b112-36a304b66dad/v2.0",
                "sub": "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ", "aud": "6cb04018-a3f5-46a7-b995-940c78f5aef3",
                "exp": 1_536_361_411, "iat": 1_536_274_711, "nbf": 1_536_274_711, "name": "Abe Lincoln",
                "preferred_username": "AbeLi@microsoft.com", "oid": "00000000-0000-0000-66f3-3332eca7ea81",
                "tid": "9188040d-6c67-4c5b-b112-36a304b66dad",
            }),
            subject: "9188040d-6c67-4c5b-b112-36a304b66dad/00000000-0000-0000-66f3-3332eca7ea81",
            pinned: json!({ "oid": "00000000-0000-0000-66f3-3332eca7ea81" }),
            loose: Some(json!({ "preferred_username": "AbeLi@microsoft.com" })),
        },
        Sample {
            preset: "aws",
            issuer: Some("https://abc123-def456-ghi789-jkl012.tokens.sts.global.api.aws"),
            // "Understanding token claims", AWS IAM User Guide.
            claims: json!({
                "iss": "https://abc123-def456-ghi789-jkl012.tokens.sts.global.api.aws", "aud": "https://api.example.com",
                "sub": "arn:aws:iam::123456789012:role/DataProcessingRole", "iat": 1_700_000_000,
                "exp": 1_700_000_900, "jti": "xyz123-def456-ghi789-jkl012",
                "https://sts.amazonaws.com/": {
                    "aws_account": "123456789012", "source_region": "us-east-1", "org_id": "o-abc1234567",
                    "principal_tags": { "environment": "production" },
                },
            }),
            subject: "arn:aws:iam::123456789012:role/DataProcessingRole",
            pinned: json!({ "/https:~1~1sts.amazonaws.com~1/aws_account": "123456789012" }),
            loose: Some(
                json!({ "/https:~1~1sts.amazonaws.com~1/principal_tags/environment": "production" }),
            ),
        },
        Sample {
            preset: "vault",
            issuer: Some("https://vault.example.com:8200/v1/identity/oidc"),
            // "Identity tokens", Vault's documentation.
            claims: json!({
                "iss": "https://vault.example.com:8200/v1/identity/oidc", "sub": "a2cd63d3-5364-406f-980e-8d71bb0692f5",
                "aud": "SxSouteCYPBoaTFy94hFghmekos", "iat": 1_561_411_915, "exp": 1_561_412_215, "namespace": "root",
                "groups": ["engineering"],
            }),
            subject: "a2cd63d3-5364-406f-980e-8d71bb0692f5",
            pinned: json!({ "sub": "a2cd63d3-5364-406f-980e-8d71bb0692f5" }),
            loose: Some(json!({ "groups": "engineering" })),
        },
        Sample {
            preset: "spiffe",
            issuer: Some("https://oidc.example.org"),
            // A JWT-SVID as SPIRE issues it with `jwt_issuer`; the JWT-SVID standard §3.
            claims: json!({
                "aud": ["https://id.example.com"], "exp": 1_700_000_300, "iat": 1_700_000_000,
                "iss": "https://oidc.example.org", "sub": "spiffe://example.org/ns/agents/sa/researcher",
            }),
            subject: "spiffe://example.org/ns/agents/sa/researcher",
            pinned: json!({ "sub": "spiffe://example.org/ns/agents/*" }),
            loose: Some(json!({ "sub": "*" })),
        },
    ]
}

fn row(sample: &Sample, rule: &Value) -> Result<TrustedIssuer, String> {
    let mut row = json!({
        "preset": sample.preset, "audience": "https://id.example.com", "scopes": ["bridgeCert"], "rules": [rule],
    });
    if let Some(issuer) = sample.issuer {
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
        assert_eq!(row.permit(claims(&sample)), Ok(()), "{}", sample.preset);
        let subject = row.subject.write(claims(&sample));
        assert_eq!(subject.unwrap(), sample.subject, "{}", sample.preset);
        seen.push(sample.preset);
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
