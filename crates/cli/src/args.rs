//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

const EXIT_CODES: &str = "\
Exit codes:
  0  done; the certificate is good
  1  refused: by the authority, or the certificate or an answer is not good
  2  the command cannot be carried out as it was given
  3  the authority, or another service, cannot be reached or is not able to answer
  4  a file or folder on this machine

Of every failure stderr has one line, `notme: SENTENCE [CODE]`; docs/cli.md lists the codes.";

/// Enrols at a notme authority, and verifies what it issued.
#[derive(Debug, Parser)]
#[command(name = "notme", version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Exchanges a token for a certificate pair over two new keys
    Enroll(Enroll),
    /// Says whether a certificate is good, and if not, why
    Verify(Verify),
    /// Says which row of TRUSTED_ISSUERS would let a token in, and why not
    Doctor(Doctor),
    /// Certificates for tasks, by whoever has an issuing certificate
    #[command(subcommand)]
    Task(Task),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Exchanges a proof for an issuing certificate over a new key
    Enroll(TaskEnroll),
    /// Signs a certificate for a task with the key of an issuing certificate
    Mint(Mint),
}

/// Without --cert, --token-file and --token-env the token is asked of GitHub, as
/// ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN say.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct TaskEnroll {
    /// The authority's URL: https, or http on loopback
    #[arg(long, value_name = "URL")]
    pub(crate) authority: String,
    /// The delegation that it hangs on, which can be handed on
    #[arg(long, value_name = "ID")]
    pub(crate) delegation: String,
    /// What leaves may do at most, with commas between [default: bridgeCert]
    #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
    pub(crate) scopes: Option<Vec<String>>,
    /// Shows a certificate instead of a token: PEM, with those between it and its root after it
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with_all = ["token_file", "token_env", "audience", "proof_type"])]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key, PKCS#8 PEM, Ed25519 or P-256
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// What the token is, as the authority's row has it
    #[arg(long, value_name = "TYPE", default_value = "oidc", value_parser = ["oidc", "kubernetes", "access", "custom"])]
    pub(crate) proof_type: String,
    #[command(flatten)]
    pub(crate) token: TokenOptions,
    /// Trusts these roots (PEM) instead of those that the authority serves
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Where issuing.key, issuing.pem and root.pem go; made if need be
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Replaces what is in the folder
    #[arg(long)]
    pub(crate) force: bool,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Nobody is asked. What the certificate says is within the issuing certificate, or it isn't signed.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Mint {
    /// The issuing certificate, PEM or DER
    #[arg(long, value_name = "FILE")]
    pub(crate) issuing: PathBuf,
    /// Its key, PKCS#8 PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) issuing_key: PathBuf,
    /// What the task is called: up to 64 letters, digits, `-`, `_` and `.`
    #[arg(long, value_name = "ID")]
    pub(crate) id: String,
    /// What it may do, with commas between [default: what the issuing certificate allows]
    #[arg(long, value_name = "SCOPES", value_delimiter = ',')]
    pub(crate) scopes: Option<Vec<String>>,
    /// How long it is good, in seconds [default: as long as the issuing certificate is]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ttl: Option<u64>,
    /// The task's public key, SPKI PEM, Ed25519 or P-256 [default: a new Ed25519 key]
    #[arg(long, value_name = "FILE")]
    pub(crate) public_key: Option<PathBuf>,
    /// Where task.pem goes, with the issuing certificate in it, and the new key as task.key; made if need be
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: PathBuf,
    /// Replaces what is in the folder
    #[arg(long)]
    pub(crate) force: bool,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

// No documentation comment: the commands that have these options would say it instead of their own.
#[derive(Debug, Args)]
pub(crate) struct TokenOptions {
    /// Reads the token from a file; `-` is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "token_env")]
    pub(crate) token_file: Option<PathBuf>,
    /// Reads the token from an environment variable
    #[arg(long, value_name = "VARIABLE")]
    pub(crate) token_env: Option<String>,
    /// The audience to ask GitHub for [default: what the authority publishes]
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["token_file", "token_env"])]
    pub(crate) audience: Option<String>,
}

/// Without --token-file and --token-env the token is asked of GitHub, as
/// ACTIONS_ID_TOKEN_REQUEST_URL and ACTIONS_ID_TOKEN_REQUEST_TOKEN say.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Enroll {
    /// The authority's URL: https, or http on loopback
    #[arg(long, value_name = "URL")]
    pub(crate) authority: String,
    #[command(flatten)]
    pub(crate) token: TokenOptions,
    /// Trusts these roots (PEM) instead of those that the authority serves
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// Where mtls.key, mtls.pem, signing.key, signing.pem and root.pem go; made if need be
    #[arg(long, value_name = "FOLDER", required_unless_present = "print_certs")]
    pub(crate) out: Option<PathBuf>,
    /// Replaces what is in the folder
    #[arg(long, requires = "out", conflicts_with = "print_certs")]
    pub(crate) force: bool,
    /// Prints the certificates, and keeps the keys in memory until the command ends
    #[arg(long, conflicts_with = "out")]
    pub(crate) print_certs: bool,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// The certificate must chain to the CA, be valid now, be of the epoch of a revocation bundle that is at most
/// 300 seconds old, and not be in a list of what is revoked that still counts. Of a task's certificate all that holds for
/// its issuing certificate, and it is within that one.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Verify {
    /// The certificate, PEM or DER; of a task's the issuing certificate after it, in PEM
    #[arg(value_name = "CERT")]
    pub(crate) certificate: PathBuf,
    /// Who it is shown to, where it is limited to an audience
    #[arg(long, value_name = "TEXT")]
    pub(crate) audience: Option<String>,
    /// The SHA-256 of what it is shown for, in hex, where it is limited to a purpose
    #[arg(long, value_name = "HEX")]
    pub(crate) purpose_hash: Option<String>,
    /// The roots to trust (PEM), the current one first [default: fetched from --authority]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The authority's URL: https, or http on loopback
    #[arg(long, value_name = "URL")]
    pub(crate) authority: Option<String>,
    /// The revocation bundle (JSON) [default: fetched from --authority]
    #[arg(long, value_name = "FILE")]
    pub(crate) bundle: Option<PathBuf>,
    /// Does without a bundle and a list: says nothing about revocation
    #[arg(long, conflicts_with_all = ["bundle", "state", "revocations", "no_revocations"])]
    pub(crate) no_bundle: bool,
    /// The list of what is revoked (JWT) [default: fetched from --authority]
    #[arg(long, value_name = "FILE")]
    pub(crate) revocations: Option<PathBuf>,
    /// Does without a list: only a new epoch revokes anything
    #[arg(long, conflicts_with = "revocations")]
    pub(crate) no_revocations: bool,
    /// Fetches nothing
    #[arg(long, conflicts_with = "authority", requires = "ca")]
    pub(crate) offline: bool,
    /// Judges as of this time: 2026-11-21T21:06:06Z, or Unix seconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) at: Option<u64>,
    /// Remembers the highest numbers of bundle and list here, and refuses those that are older
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

/// Looks at a token as the authority would, and asks nobody unless told to: not for the issuer's keys either, so the
/// signature is checked only if the row has them.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES, group = clap::ArgGroup::new("token").required(true))]
pub(crate) struct Doctor {
    /// Reads the token from a file; `-` is standard input
    #[arg(long, value_name = "FILE", group = "token")]
    pub(crate) token_file: Option<PathBuf>,
    /// Reads the token from an environment variable
    #[arg(long, value_name = "VARIABLE", group = "token")]
    pub(crate) token_env: Option<String>,
    /// Tries a certificate instead, and the chain above it, in PEM; `-` is standard input
    #[arg(long, value_name = "FILE", group = "token")]
    pub(crate) chain: Option<PathBuf>,
    /// Sends a token of GitHub's to its API (GITHUB_API_URL), which alone knows whose it is
    #[arg(long, conflicts_with = "chain")]
    pub(crate) ask: bool,
    /// The rows (JSON) [default: the variable TRUSTED_ISSUERS]
    #[arg(long, value_name = "FILE")]
    pub(crate) rows: Option<PathBuf>,
    /// Judges as of this time: 2026-11-21T21:06:06Z, or Unix seconds [default: now]
    #[arg(long, value_name = "TIME", value_parser = crate::time::parse)]
    pub(crate) at: Option<u64>,
    /// Prints one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        for line in [
            "notme enroll --authority https://a.example",
            "notme enroll --authority https://a.example --out x --print-certs",
            "notme enroll --authority https://a.example --force --print-certs",
            "notme enroll --authority https://a.example --out x --token-file f --token-env V",
            "notme enroll --out x",
            "notme verify",
            "notme doctor",
            "notme task",
            "notme task enroll --authority https://a.example --out o",
            "notme task enroll --authority https://a.example --delegation d",
            "notme task enroll --authority https://a.example --delegation d --out o --cert c",
            "notme task enroll --authority https://a.example --delegation d --out o --key k",
            "notme task enroll --authority https://a.example --delegation d --out o --cert c --key k --token-file f",
            "notme task enroll --authority https://a.example --delegation d --out o --cert c --key k --proof-type oidc",
            "notme task enroll --authority https://a.example --delegation d --out o --token-file f --proof-type x509",
            "notme task mint --issuing i --issuing-key k --out o",
            "notme task mint --issuing i --issuing-key k --id t --out o --ttl 0",
            "notme doctor --rows r",
            "notme doctor --rows r --token-file f --token-env V",
            "notme verify x --offline",
            "notme verify x --offline --authority https://a.example --ca c",
            "notme verify x --ca c --bundle b --no-bundle",
            "notme verify x --ca c --revocations r --no-revocations",
            "notme verify x --ca c --revocations r --no-bundle",
            "notme verify x --ca c --at yesterday",
        ] {
            assert!(
                Arguments::try_parse_from(line.split(' ')).is_err(),
                "{line}"
            );
        }
        for good in [
            "notme verify x --offline --ca c --bundle b --revocations r --state s --at 5",
            "notme task enroll --authority https://a.example --delegation d --out o --cert c --key k",
            "notme task enroll --authority https://a.example --delegation d --out o --token-env V --proof-type custom",
        ] {
            let parsed = Arguments::try_parse_from(good.split(' '));
            assert!(parsed.is_ok(), "{good}: {parsed:?}");
        }
    }
}
