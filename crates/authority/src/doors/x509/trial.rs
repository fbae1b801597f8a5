//! What rows make of a chain, without issuing anything, and whoever has its key: for operators whose rule doesn't do
//! what they thought (`POST /policy/test`, `notme doctor`).

use notme_chain::{Path, Refusal};
use notme_keys::{Outcome, SignatureCheck};
use serde_json::Value;

use super::super::explain::{Explained, of_rules};
use super::super::{mtls, rows::Rows};
use super::{Candidate, Claims, DOOR, MAX_CHAIN, TrustedRoots, certificates, claims};
use crate::Error;
use crate::http::problem;

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The doors that certificates are shown at.
const KINDS: [&str; 2] = [DOOR.name, mtls::DOOR.name];

/// A chain that is tried, the certificate that would be shown first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trial(Vec<Vec<u8>>);

impl Trial {
    /// Takes certificates in PEM, whatever stands between them; nothing, if there is none.
    ///
    /// # Errors
    /// [`Error::InvalidMember`] if they are too many, or broken.
    #[must_use]
    pub fn of(text: &str) -> Option<Result<Self, Error>> {
        let (_, first) = text.split_once(BEGIN)?;
        let mut blocks = Vec::new();
        for block in first.split(BEGIN) {
            let whole = block.split_once(END).map(|(inner, _)| inner);
            blocks.push(format!("{BEGIN}{}{END}", whole.unwrap_or(block)).into());
        }
        let read = certificates(&Value::Array(blocks), MAX_CHAIN).map(Self);
        Some(read.ok_or(Error::InvalidMember("token")))
    }

    /// The signatures that have to be settled before it can be said what the rows make of it; `now` in Unix seconds.
    #[must_use]
    pub fn checks(&self, rows: &Rows, now: u64) -> Vec<SignatureCheck> {
        let mut checks = Vec::new();
        for kind in KINDS {
            if let Ok(candidate) = Candidate::read(rows, now, kind, &self.0)
                && let Ok((_, plan)) = candidate.plan()
            {
                checks.extend_from_slice(plan.checks());
            }
        }
        checks
    }

    /// What its signatures are worth, and what each row makes of it, given how they were settled: a door takes the first
    /// that fits.
    #[must_use]
    pub fn explain(
        &self,
        rows: &Rows,
        now: u64,
        outcomes: &[Outcome],
    ) -> (&'static str, Vec<Explained>) {
        let mut rest = outcomes;
        let (mut signature, mut explained) = ("unknown_issuer", Vec::new());
        for kind in KINDS {
            let of_kind = || rows.roots.iter().filter(|row| row.kind == kind);
            let path = Candidate::read(rows, now, kind, &self.0).and_then(|candidate| {
                let (_, plan) = candidate.plan()?;
                let (these, further) =
                    (rest.split_at_checked(plan.checks().len())).unwrap_or((rest, &[]));
                rest = further;
                let path = plan.settle(these).map_err(Error::InvalidCertificate)?;
                let leaf = path.certificates().first().ok_or(Error::MissingToken)?;
                Ok(judge(of_kind(), &path, &claims(leaf)?))
            });
            let worth = match &path {
                Ok(_) => "valid",
                Err(Error::InvalidCertificate(Refusal::NoPath)) => "unknown_issuer",
                Err(Error::InvalidCertificate(Refusal::BadSignature)) => "invalid",
                Err(_) => "not_checked",
            };
            if worth == "valid" || signature == "unknown_issuer" {
                signature = worth;
            }
            explained.extend(path.unwrap_or_else(|error| {
                let why = problem(&error).text;
                of_kind()
                    .map(|row| nothing(row).stopped("chain", vec![why.clone()]))
                    .collect()
            }));
        }
        (signature, explained)
    }
}

fn judge<'a>(
    rows: impl Iterator<Item = &'a TrustedRoots>,
    path: &Path<'_>,
    claims: &Claims,
) -> Vec<Explained> {
    let root = path.certificates().last().map(|root| root.as_der());
    let mut first: Option<&str> = None;
    let mut judged = Vec::new();
    for row in rows {
        let mismatches: Vec<_> = (row.rules.iter())
            .map(|rule| rule.first_mismatch(claims))
            .collect();
        let fitting = mismatches.iter().position(Option::is_none);
        let pins = row.roots.iter().any(|pinned| Some(&pinned[..]) == root);
        judged.push(match (fitting, first) {
            _ if !pins => {
                let why = "the chain leads to another root".to_owned();
                nothing(row).stopped("chain", vec![why])
            }
            (None, _) => nothing(row).stopped("rules", of_rules(&mismatches)),
            (Some(_), Some(first)) => nothing(row).behind(first),
            (Some(rule), None) => {
                first = Some(&row.name);
                match row.subject.write(claims) {
                    Ok(subject) => {
                        nothing(row).fitting(Some(rule), subject, &row.scopes, "challenge")
                    }
                    Err(claim) => {
                        let why = format!("`{claim}` isn't there, or can't stand in a subject");
                        nothing(row).stopped("subject", vec![why])
                    }
                }
            }
        });
    }
    judged
}

fn nothing(row: &TrustedRoots) -> Explained {
    Explained::nothing(&row.name, row.kind, row.made.as_ref())
}
