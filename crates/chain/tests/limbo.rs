//! C2SP's x509-limbo: chains and revocation lists, and what is to be said of them.
//!
//! The vectors are beside the repository, not in it (`../shared/vectors/x509-limbo.json.xz`); where they
//! aren't, this says so and passes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use notme_chain::{Certificate, Limits, Plan, Purpose, Refusal, Revocation, RevocationList, Rules};
use notme_keys::decode_pem;
use notme_keys::native::settle;
use serde_json::Value;

const VECTORS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/../../../shared/vectors/x509-limbo.json.xz"
);
/// The time of cases that don't say one: 2026-06-01.
const NOW: i64 = 1_780_272_000;

/// Groups that are about what isn't judged here, and how many of their cases aren't as expected.
const GROUPS: [(&str, usize, &str); 5] = [
    (
        "webpki::cn::",
        9,
        "that a CN is one of the alternative names is a rule of the CA/Browser Forum",
    ),
    (
        "webpki::san::",
        10,
        "host names aren't matched: a certificate isn't looked at as a server's, and public suffixes and wildcards are the web's",
    ),
    (
        "webpki::eku::",
        4,
        "extended key usage is as RFC 5280 has it: any purpose, critical or not, absent or at a root",
    ),
    (
        "webpki::aki::",
        1,
        "RFC 5280 lets an authority key identifier have an issuer and a serial number",
    ),
    (
        "webpki::forbidden-",
        5,
        "which keys a leaf may have is for whoever uses them, and sizes of RSA keys need not be whole bytes",
    ),
];

/// Cases that aren't as expected, each with the reason.
const CASES: [(&str, &str); 12] = [
    (
        "rfc5280::ca-as-leaf-wrong-san",
        "only wrong for its host name, and host names aren't matched",
    ),
    (
        "rfc5280::aki::cross-signed-root-missing-aki",
        "a pinned root is trusted because it is pinned, whoever else signed it; cve-2024-0567 has another root without \
         an authority key identifier, and is expected to be good",
    ),
    (
        "webpki::nc::permitted-dns-match-noncritical",
        "contradicts rfc5280::nc::permitted-dns-match-noncritical, which RFC 5280 §4.2.1.10 agrees with",
    ),
    (
        "webpki::malformed-aia",
        "where more can be had isn't looked at: nothing is fetched",
    ),
    (
        "webpki::ee-basicconstraints-ca",
        "RFC 5280 lets a CA without keyCertSign be a leaf; `Rules::may_be_ca` is for this",
    ),
    (
        "webpki::ca-as-leaf",
        "contradicts rfc5280::ca-as-leaf; `Rules::may_be_ca` is for this",
    ),
    ("online::apple.com", SHA384),
    ("online::stackoverflow.com", SHA384),
    ("online::microsoft.com", SHA384),
    ("online::cloudflare.com", SHA384),
    ("online::akamai.com", SHA384),
    ("online::bing.com", SHA384),
];

/// Hosts settle Ed25519, and P-256 and RSA with SHA-256.
const SHA384: &str = "an intermediate or the leaf is signed with SHA-384, which hosts don't settle: refused as unsupported";

fn text<'a>(case: &'a Value, name: &str) -> &'a str {
    case[name].as_str().unwrap_or_default()
}

fn blocks(label: &str, case: &Value, name: &str) -> Vec<Vec<u8>> {
    let texts: Vec<_> = match &case[name] {
        Value::Array(texts) => texts.iter().map(|text| text.as_str().unwrap()).collect(),
        one => one.as_str().into_iter().collect(),
    };
    texts
        .iter()
        .map(|text| decode_pem(label, text).unwrap())
        .collect()
}

/// `2024-01-01T00:00:00+00:00`, whole seconds.
fn seconds(time: &str) -> i64 {
    let digits: String = time.chars().filter(char::is_ascii_digit).take(14).collect();
    let n = |at: std::ops::Range<usize>| digits[at].parse::<i64>().unwrap();
    let (year, month) = (n(0..4), n(4..6));
    let (y, m) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (m * 153 + 2) / 5 + n(6..8) - 719_469;
    assert!(time.ends_with("+00:00"), "{time}");
    days * 86_400 + n(8..10) * 3600 + n(10..12) * 60 + n(12..14)
}

fn judge(case: &Value, limits: Limits) -> Result<(), Refusal> {
    let certificates = |name| blocks("CERTIFICATE", case, name);
    let (leaf, others, roots) = (
        certificates("peer_certificate"),
        certificates("untrusted_intermediates"),
        certificates("trusted_certs"),
    );
    let lists = blocks("X509 CRL", case, "crls");
    // What can't be read is as good as what isn't there, but for the one that is asked about.
    let read = |all: &'_ [Vec<u8>]| -> Vec<Certificate<'static>> {
        let leaked = all.iter().map(|der| &*der.clone().leak());
        leaked
            .filter_map(|der| Certificate::read(der).ok())
            .collect()
    };
    let leaf = Certificate::read(leaf[0].clone().leak())?;
    let (others, roots) = (read(&others), read(&roots));
    let lists = lists
        .iter()
        .map(|der| RevocationList::read(der))
        .collect::<Result<Vec<_>, _>>()?;
    let mut purposes = case["extended_key_usage"].as_array().unwrap().iter();
    let rules = Rules {
        now: case["validation_time"].as_str().map_or(NOW, seconds),
        purpose: purposes
            .next()
            .map(|purpose| match purpose.as_str().unwrap() {
                "serverAuth" => Purpose::ServerAuth,
                "clientAuth" => Purpose::ClientAuth,
                other => panic!("{other}"),
            }),
        may_be_ca: true,
        revocation: Revocation::IfListed(&lists),
        limits: Limits {
            depth: case["max_chain_depth"]
                .as_u64()
                .map_or(limits.depth, |n| usize::try_from(n).unwrap()),
            ..limits
        },
    };
    let (leaf, others, roots) = (Box::leak(Box::new(leaf)), others.leak(), roots.leak());
    let plan = Plan::new(leaf, others, roots, &rules)?;
    let outcomes: Vec<_> = plan.checks().iter().map(settle).collect();
    plan.settle(&outcomes).map(drop)
}

fn cases() -> Option<Vec<Value>> {
    if !Path::new(VECTORS).exists() {
        eprintln!("skipped: there is no {VECTORS}");
        return None;
    }
    let output = Command::new("xz").args(["-dkc", VECTORS]).output();
    let Ok(output) = output else {
        eprintln!("skipped: there is no xz");
        return None;
    };
    assert!(output.status.success());
    let mut file: Value = serde_json::from_slice(&output.stdout).unwrap();
    match file["testcases"].take() {
        Value::Array(cases) => Some(cases),
        _ => panic!("no cases"),
    }
}

#[test]
fn chains_and_lists_are_judged_as_expected() {
    let Some(cases) = cases() else { return };
    let (mut as_expected, mut problems) = (0, Vec::new());
    let mut groups: BTreeMap<&str, usize> = GROUPS.iter().map(|(group, ..)| (*group, 0)).collect();
    let mut excepted: BTreeMap<&str, bool> = CASES.iter().map(|(case, _)| (*case, false)).collect();
    for case in &cases {
        let id = text(case, "id");
        let verdict = judge(case, Limits::default());
        if verdict.is_ok() == (text(case, "expected_result") == "SUCCESS") {
            as_expected += 1;
        } else if let Some(seen) = excepted.get_mut(id) {
            *seen = true;
        } else if let Some((_, count)) =
            groups.iter_mut().find(|(group, _)| id.starts_with(**group))
        {
            *count += 1;
        } else {
            problems.push(format!("{id}: {verdict:?}"));
        }
    }
    for (id, seen) in &excepted {
        if !seen {
            problems.push(format!("{id}: is excepted, and as expected or not there"));
        }
    }
    for (group, wanted, _) in GROUPS {
        let count = groups[group];
        if count != wanted {
            problems.push(format!(
                "{group}: {count} of an excepted group aren't as expected, and not {wanted}"
            ));
        }
    }
    println!(
        "x509-limbo: {} cases, {as_expected} as expected, {} in excepted groups {groups:?}, {} excepted by name",
        cases.len(),
        groups.values().sum::<usize>(),
        excepted.len(),
    );
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

/// What nobody should be asked to do is bounded, not only forbidden.
#[test]
fn pathological_cases_end_soon_also_without_small_limits() {
    let Some(cases) = cases() else { return };
    let wide = Limits {
        certificate_len: usize::MAX,
        certificates: 1000,
        depth: 1000,
        ..Limits::default()
    };
    let pathological = |case: &&Value| text(case, "id").starts_with("pathological::");
    let mut seen = 0;
    for case in cases.iter().filter(pathological) {
        let is_good = text(case, "expected_result") == "SUCCESS";
        assert_eq!(judge(case, wide).is_ok(), is_good, "{}", text(case, "id"));
        seen += 1;
    }
    assert!(seen > 5);
}
