//! What is known of well-known issuers, so that a row says `"preset": "gitlab"` and not where its keys are, which claims
//! say who is asking for good, and which of them must be pinned.
//!
//! A preset fills in what a row leaves out; what a row says itself counts. Only the pins can't be left out: a rule
//! that looks at names alone lets in whoever registers such a name next. Those of an issuer of everybody's are asked for
//! in each row for workloads, whatever that says of presets.

/// What is known of an issuer.
#[derive(Debug)]
pub struct Preset {
    /// Its name in a row.
    pub name: &'static str,
    /// `iss` of its tokens, where all its customers have the same.
    pub issuer: Option<&'static str>,
    /// What its tokens are signed with.
    pub algorithms: &'static [&'static str],
    /// How the subject is written: ids that are given to nobody else.
    pub subject: &'static str,
    /// Claims of which every rule must look at one; none where the issuer is one customer's.
    pub pins: &'static [&'static str],
}

/// The claims of AWS, in an object that has a URL for a name (RFC 6901 §3: `~1` is `/`).
const AWS_ACCOUNT: &str = "/https:~1~1sts.amazonaws.com~1/aws_account";

/// All of them.
pub const ALL: [Preset; 10] = [
    Preset {
        name: "github",
        issuer: Some("https://token.actions.githubusercontent.com"),
        algorithms: &["RS256"],
        subject: "repository:{repository_id}",
        pins: &["repository_owner_id", "repository_id", "enterprise_id"],
    },
    Preset {
        name: "github-enterprise",
        issuer: None, // https://HOST/_services/token
        algorithms: &["RS256"],
        subject: "repository:{repository_id}",
        pins: &["repository_owner_id", "repository_id"],
    },
    Preset {
        name: "gitlab",
        issuer: Some("https://gitlab.com"),
        algorithms: &["RS256"],
        subject: "project:{project_id}",
        pins: &["namespace_id", "project_id"],
    },
    Preset {
        name: "buildkite",
        issuer: Some("https://agent.buildkite.com"),
        algorithms: &["RS256"],
        // Asked for with `--claim organization_id,pipeline_id`: what is there without names them only.
        subject: "organization:{organization_id}:pipeline:{pipeline_id}",
        pins: &["organization_id", "pipeline_id"],
    },
    Preset {
        name: "circleci",
        issuer: None, // https://oidc.circleci.com/org/ORGANIZATION
        algorithms: &["RS256"],
        subject: "project:{oidc.circleci.com/project-id}",
        pins: &[],
    },
    Preset {
        name: "google",
        issuer: Some("https://accounts.google.com"),
        algorithms: &["RS256"],
        subject: "{sub}",
        pins: &["sub"],
    },
    Preset {
        name: "azure",
        issuer: None, // https://login.microsoftonline.com/TENANT/v2.0
        algorithms: &["RS256"],
        // `sub` differs from application to application.
        subject: "{tid}/{oid}",
        pins: &["oid", "azp", "appid", "groups", "roles"],
    },
    Preset {
        name: "aws",
        issuer: None, // https://ID.tokens.sts.global.api.aws, one account's
        algorithms: &["RS256"],
        subject: "{sub}",
        pins: &["sub", AWS_ACCOUNT],
    },
    Preset {
        name: "vault",
        issuer: None, // https://VAULT/v1/identity/oidc
        algorithms: &["RS256", "ES256", "EdDSA"],
        subject: "{sub}",
        pins: &["sub", "namespace"],
    },
    Preset {
        name: "spiffe",
        issuer: None, // `jwt_issuer` of SPIRE's server
        algorithms: &["RS256", "ES256", "PS256"],
        subject: "{sub}",
        pins: &["sub"],
    },
];

/// The preset of that name.
///
/// # Errors
/// A sentence with the names that there are.
pub fn find(name: &str) -> Result<&'static Preset, String> {
    let found = ALL.iter().find(|preset| preset.name == name);
    found.ok_or_else(|| {
        let names = ALL.iter().map(|preset| preset.name).collect::<Vec<_>>();
        format!("preset must be one of {}", names.join(", "))
    })
}

/// The preset of this issuer, if it is one whose customers all have the same: its pins hold whether a row says its name
/// or not.
#[must_use]
pub fn of_issuer(issuer: &str) -> Option<&'static Preset> {
    ALL.iter().find(|preset| preset.issuer == Some(issuer))
}
