//! What each operation takes and gives: the one place to describe one in.

use notme_webauthn::Error as Response;
use serde_json::{Value, json};

use super::super::problem::certificates;
use super::super::{Operation, Route};
use crate::delegation::{DelegationProblem, Part};
use crate::error::{PolicyRule, TokenError};
use crate::people::bootstrap::FirstBoot;
use crate::people::{Scope, Scopes};
use crate::revocation::Form;
use crate::tokens::authorize::ChallengeProblem;
use crate::tokens::client::RedirectProblem;
use crate::tokens::proof::{Dialect, DpopProblem};
use crate::{CeremonyError, Echo, Error, Fault, Possession};

/// A chapter of the reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    Documents,
    Certificates,
    Tokens,
    Passkeys,
    Own,
    Delegations,
    Invites,
    Administration,
    Pages,
    Service,
    Later,
}

impl Tag {
    pub(super) const ALL: [Self; 11] = [
        Self::Certificates,
        Self::Tokens,
        Self::Documents,
        Self::Passkeys,
        Self::Own,
        Self::Delegations,
        Self::Invites,
        Self::Administration,
        Self::Pages,
        Self::Service,
        Self::Later,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Documents => "Documents",
            Self::Certificates => "Certificates",
            Self::Tokens => "Access tokens",
            Self::Passkeys => "Passkeys",
            Self::Own => "Session and account",
            Self::Delegations => "Delegations",
            Self::Invites => "Invites",
            Self::Administration => "Administration",
            Self::Pages => "Pages",
            Self::Service => "Service",
            Self::Later => "Not served yet",
        }
    }

    pub(super) const fn description(self) -> &'static str {
        match self {
            Self::Documents => {
                "What verifiers and clients fetch: where everything is, keys, roots, the revocation bundle."
            }
            Self::Certificates => {
                "A proof and two public keys in, an enrolment pair out: two certificates of five minutes."
            }
            Self::Tokens => {
                "JWTs of five minutes for resource servers, which only the holder of a DPoP key (RFC 9449) can use."
            }
            Self::Passkeys => "The WebAuthn ceremonies: registration, sign-in, step-up, recovery.",
            Self::Own => "The session that asks, and what belongs to its principal.",
            Self::Delegations => {
                "What one principal lets another do on somebody's behalf. A pair on one names it, and is worth what all above it allow at that moment."
            }
            Self::Invites => "How a colleague comes in.",
            Self::Administration => {
                "Lists of all there is, and taking it back. For administrators."
            }
            Self::Pages => "For people, with a browser.",
            Self::Service => "Whether it runs, and what.",
            Self::Later => "Routes of the protocol that this version answers with 501.",
        }
    }
}

/// Whose request is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    Anybody,
    /// Anybody's, and it means something else with a session.
    AnybodyOrSession,
    Session,
    /// A job of GitHub Actions, by its token.
    Job,
}

/// What one operation takes and gives.
pub(super) struct Description {
    pub(super) tag: Tag,
    pub(super) caller: Caller,
    /// What the summary doesn't say.
    pub(super) details: &'static str,
    pub(super) query: Vec<Parameter>,
    pub(super) headers: Vec<Parameter>,
    /// The schema of the body.
    pub(super) request: Option<Value>,
    /// The same of a body that is a form.
    pub(super) form: Option<Value>,
    pub(super) answers: Vec<Answer>,
    /// What can go wrong beside what can always go wrong.
    pub(super) errors: Vec<Error>,
}

/// A parameter in the query.
pub(super) struct Parameter {
    pub(super) name: &'static str,
    pub(super) what: &'static str,
    pub(super) schema: Value,
}

/// What is answered if all is well.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) what: &'static str,
    pub(super) formats: Vec<Format>,
    /// Name and component.
    pub(super) headers: Vec<(&'static str, &'static str)>,
}

/// What an answer's body is.
pub(super) enum Format {
    Json(Value),
    /// Text of another media type.
    Other(&'static str),
}

/// What a route takes and gives.
pub(super) fn describe(route: &Route) -> Description {
    match route.operation {
        Operation::Asset => asset(),
        Operation::Authorize => authorize(),
        Operation::AuthorizeCode => authorize_code(),
        Operation::BeginConnection => begin_connection(),
        Operation::BeginIdentity => begin_identity(),
        Operation::SignInIssuers => sign_in_issuers(),
        Operation::Connect => connect(),
        Operation::Connections => of(Tag::Own)
            .by(Caller::Session)
            .json("Connections", "All of them.")
            .errors([Error::NoSession]),
        Operation::Disconnect => disconnect(),
        Operation::Identify => identify(),
        Operation::BeginPossession => begin_possession(),
        Operation::BeginRecovery => begin_recovery(),
        Operation::BeginRegistration => begin_registration(),
        Operation::BeginSignIn => begin_sign_in(),
        Operation::BeginStepUp => begin_step_up(),
        Operation::BumpEpoch => bump_epoch(),
        Operation::Bundle => of(Tag::Documents)
            .details("Signed by the current key over canonical CBOR. A bundle that is older than five minutes is stale, one with a lower `seqno` than was seen before a rollback.")
            .json("RevocationBundle", "The bundle."),
        Operation::Cert => cert(),
        Operation::CertGha => cert_gha(),
        Operation::CertPasskey => cert_passkey(),
        Operation::DisablePrincipal => disable_principal(),
        Operation::Discovery => of(Tag::Documents).json("Discovery", "The discovery document."),
        Operation::Door => door(),
        Operation::EnablePrincipal => enable_principal(),
        Operation::EndOwnSession => end_own_session(),
        Operation::EndSession => end_session(),
        Operation::Epochs => of(Tag::Documents)
            .details("For verifiers of what was signed long ago.")
            .json("Epochs", "The archive, the current key last."),
        Operation::GrantScope => grant_scope(),
        Operation::Health => of(Tag::Service).text("text/plain", "`ok`."),
        Operation::Invitation => invitation(),
        Operation::Join => join(),
        Operation::Jwks => of(Tag::Documents).json("JwkSet", "The keys (RFC 7517, RFC 8037)."),
        Operation::ListAudit => list_audit(),
        Operation::ListAuthenticators => list_authenticators(),
        Operation::ListCredentials => list_credentials(),
        Operation::ListGrants => list_grants(),
        Operation::ListDelegations => list_delegations(),
        Operation::ListInvites => list_invites(),
        Operation::ListPrincipals => list_principals(),
        Operation::ListSessions => list_sessions(),
        Operation::MakeDelegation => make_delegation(),
        Operation::MakeInvite => make_invite(),
        Operation::Me => me(),
        Operation::Metadata => of(Tag::Documents).json("AuthorizationServer", "The metadata."),
        Operation::NotAnHttpEndpoint => of(Tag::Service).errors([Error::NotAnHttpEndpoint]),
        Operation::NotImplemented => of(Tag::Later).errors([Error::NotImplemented]),
        Operation::OpenApi => open_api(),
        Operation::OwnCredentials => own_credentials(),
        Operation::OwnDelegations => own_delegations(),
        Operation::OwnPasskeys => own_passkeys(),
        Operation::OwnSessions => own_sessions(),
        Operation::Page(_) => page(),
        Operation::PasskeyEndpoints => passkey_endpoints(),
        Operation::Redeem => redeem(),
        Operation::Register => register(),
        Operation::RelatedOrigins => related_origins(),
        Operation::RemoveAuthenticator => remove_authenticator(),
        Operation::RemovePasskey => remove_passkey(),
        Operation::RenamePasskey => rename_passkey(),
        Operation::RevokeCredential => revoke_credential(),
        Operation::RevokeDelegation => revoke_delegation(),
        Operation::RevokeGrant => revoke_grant(),
        Operation::RevokeInvite => revoke_invite(),
        Operation::RollKey => roll_key(),
        Operation::Revocations(Form::Jwt) => of(Tag::Documents)
            .details("A JWS in compact serialization (RFC 7515) by the current key, of type `notme-revocations+jwt`: what is revoked and has not expired, and until when that counts. `docs/revocation.md` says how it is checked.")
            .text("application/notme-revocations+jwt", "The list.")
            .or_known(),
        Operation::Revocations(Form::Crl) => of(Tag::Documents)
            .text("application/pkix-crl", "A DER CertificateList.")
            .or_known(),
        Operation::Revocations(Form::CrlPem) => of(Tag::Documents)
            .text("application/x-pem-file", "PEM revocation lists, without a newline at the end.")
            .or_known(),
        Operation::TestPolicy => of(Tag::Administration)
            .details("The token is looked at as at `POST /cert`, and isn't used up. What is said of rows holds if `signature` is `valid`. With `row` a row is tried that isn't there yet, in the place of the one that `id` names or behind all others.")
            .takes("PolicyTest")
            .json("PolicyTested", "What each row makes of it.")
            .errors([Error::InvalidJson, Error::MissingToken, Error::InvalidMember("…"), Error::InvalidRow("…".into()), Error::InvalidToken(TokenError::Malformed), Error::UnsupportedToken, Error::Fault(Fault::RowsUnavailable(String::new())), Error::Fault(Fault::ApiUnavailable { reason: String::new(), retry_after: 1 })]),
        Operation::ListRows => of(Tag::Administration)
            .details("In the order in which they are asked: of the rows that are of a proof's issuer or root, the first decides that lets it in.")
            .json("Issuers", "The rows.")
            .errors([Error::InvalidQuery("…")]),
        Operation::MakeRow => row_change()
            .takes("MakeIssuer")
            .json("IssuerMade", "It is asked behind all others: by the worker that answered at once, by others within 15 seconds.")
            .errors([Error::TooManyRows]),
        Operation::EditRow => row_change()
            .details("What is let in by it is what the row says now, from the answer on. Nothing that was issued is revoked.")
            .takes("EditIssuer")
            .json("IssuerMade", "It stays where it was.")
            .errors([Error::RowEdited, Error::NoSuchItem]),
        Operation::RemoveRow => of(Tag::Administration)
            .details("From the answer on nobody is let in by it. Nothing that was issued is revoked, and whom it made principals stay that.")
            .query(Parameter {
                name: "revision",
                what: "If this is given, it is removed only as of this revision.",
                schema: json!({ "type": "integer", "minimum": 0, "maximum": 9_007_199_254_740_991_u64 }),
            })
            .json("Done", "It is gone.")
            .errors([Error::InvalidQuery("…"), Error::RowEdited, Error::NoSuchItem]),
        Operation::Roots => of(Tag::Documents)
            .text("application/x-pem-file", "PEM certificates, without a newline at the end."),
        Operation::Service => of(Tag::Service)
            .json("Service", "What this is: JSON if `Accept` names it, else a page.")
            .or("text/html")
            .or_known(),
        Operation::ShowPrincipal => show_principal(),
        Operation::SignIn => sign_in(),
        Operation::SignOut => sign_out(),
        Operation::Status => status(),
        Operation::StepUp => step_up(),
        Operation::Token => token(),
        Operation::Version => of(Tag::Service).json("Version", "The commit."),
    }
}

// ---- Certificates -------------------------------------------------------------------------------

fn cert_gha() -> Description {
    let rules = [
        PolicyRule::Owner,
        PolicyRule::Repository,
        PolicyRule::Ref,
        PolicyRule::Workflow,
        PolicyRule::Environment,
        PolicyRule::Event,
    ];
    of(Tag::Certificates)
        .details("Both keys sign `mtlsSPKI ‖ signingSPKI ‖ SHA-256(token)`.")
        .by(Caller::Job)
        .takes("PairRequest")
        .json("JobPair", "The pair.")
        .errors([
            Error::MissingBearer,
            Error::MissingTokenId,
            Error::ProofUsed,
            Error::TurnedAway,
            Error::PersonIdentity,
            not_granted(),
        ])
        .errors(token_errors())
        .errors(rules.map(Error::NotPermitted))
        .errors(pair_errors())
        .errors([Error::Fault(Fault::IssuerUnavailable(String::new()))])
}

fn cert() -> Description {
    of(Tag::Certificates)
        .details("With a session for whoever is signed in, with a token of an issuer that is trusted, a token of GitHub's, a certificate under a root that is pinned, or a connection with one, for whoever it is about, or with the operator's code for the first administrator of an authority without people.\n\nWith a `challenge` of `/cert/challenge` both keys sign `\"notme-proof-of-possession-v1\" ‖ 0x00 ‖ challenge ‖ mtlsSPKI ‖ signingSPKI`, without one `mtlsSPKI ‖ signingSPKI`, and after that `SHA-256(token)` where there is a token. A token that lives for more than 15 minutes, or has no `jti`, needs a challenge; so does one of a person, whose `nonce` is the challenge's SHA-256 in base64url. So does a certificate: its key signs `\"notme-certificate-proof-v1\" ‖ 0x00 ‖ challenge ‖ SHA-256(certificate) ‖ mtlsSPKI ‖ signingSPKI`. So do GitHub's tokens, and a connection with a client certificate, where both keys sign `\"notme-mtls-proof-v1\" ‖ 0x00 ‖ challenge ‖ SHA-256(certificate) ‖ mtlsSPKI ‖ signingSPKI`.\n\nWith a `delegation` it is on somebody's behalf. With `credential: \"issuing\"` there is one key, whose proof is over `\"notme-issuing-key-v1\" ‖ 0x00 ‖ challenge ‖ issuingSPKI`, and task leaves can be signed with it.")
        .by(Caller::AnybodyOrSession)
        .takes("PrincipalPairRequest")
        .json("PrincipalPair", "The pair.")
        .errors(pair_errors())
        .errors([
            Error::MissingProofType,
            Error::UnknownProofType(Echo::new("…")),
            Error::InvalidMember("…"),
            Error::BadChallenge,
            Error::NoSessionCookie,
            Error::InvalidSession,
            Error::StepUpRequired,
            Error::BadBootstrapCode,
            Error::TooManyTries(1),
            Error::MissingToken,
            Error::NotPermitted(PolicyRule::Claims),
            Error::ChallengeRequired,
            Error::TurnedAway,
            Error::UnknownIdentity,
            Error::PersonIdentity,
            Error::BadInvite,
            Error::IdentityTaken,
            Error::ProofUsed,
            Error::WrongSigner,
            Error::NoClientCertificate,
            Error::UntrustedProxy,
            Error::TokenRefused,
            Error::UnsupportedToken,
            Error::RowChanged,
            Error::TooManyWaysIn,
            Error::Fault(Fault::RowsUnavailable(String::new())),
            Error::Fault(Fault::IssuerUnavailable(String::new())),
            Error::Fault(Fault::ApiUnavailable {
                reason: String::new(),
                retry_after: 10,
            }),
            DelegationProblem::Missing.into(),
            DelegationProblem::Bound.into(),
            DelegationProblem::Exceeded(Part::Depth).into(),
        ])
        .errors(chain_errors())
        .errors(token_errors())
        .errors(certificates().map(Error::InvalidCertificate))
        .errors(scope_errors())
}

fn token_errors() -> [Error; 10] {
    [
        TokenError::Malformed,
        TokenError::UnsupportedAlgorithm(Echo::new("…")),
        TokenError::WrongIssuer(Echo::new("…")),
        TokenError::Expired,
        TokenError::IssuedInFuture,
        TokenError::NotYetValid,
        TokenError::WrongAudience(Echo::new("…")),
        TokenError::UnknownKey(Echo::new("…")),
        TokenError::InvalidSignature,
        TokenError::InvalidClaim("…"),
    ]
    .map(Error::InvalidToken)
}

fn cert_passkey() -> Description {
    of(Tag::Certificates)
        .details("For programs that hold the cookie: both keys sign `mtlsSPKI ‖ signingSPKI ‖ SHA-256(the cookie's value)`. A page can't; it uses `/cert`. So does who wants one on a `delegation`, or an issuing certificate.")
        .by(Caller::Session)
        .takes("CookiePairRequest")
        .json("PrincipalPair", "The pair.")
        .errors(pair_errors())
        .errors([
            Error::InvalidMember("…"),
            Error::NoSessionCookie,
            Error::InvalidSession,
            Error::StepUpRequired,
        ])
        .errors(scope_errors())
}

// ---- Access tokens ------------------------------------------------------------------------------

fn token() -> Description {
    of(Tag::Tokens)
        .details("As JSON it needs a session, and nothing else is one. As a form (`grant_type=authorization_code`) it needs a code of `/authorize`, and no session; then errors are those of RFC 6749 §5.2 and RFC 9449. The token says what was asked for, is granted at this moment, and may leave the browser: only `bridgeCert` does.")
        .by(Caller::AnybodyOrSession)
        .header(proof_header())
        .takes("TokenRequest")
        .or_form("RedemptionForm")
        .json("AccessToken", "The token.")
        .with("DPoP-Nonce", "DpopNonce")
        .errors([
            Error::InvalidMember("…"),
            Error::AudienceRequired,
            Error::AudienceNotAllowed(Vec::new()),
            Error::NoSession,
            Error::StepUpRequired,
        ])
        .errors(scope_errors())
        .errors(redemption_errors())
        .errors([DpopProblem::Invalid("…"), DpopProblem::Reused].map(Error::from))
}

fn redeem() -> Description {
    of(Tag::Tokens)
        .details("The same as `/token` with a form, for clients that send JSON. A code works once, right or wrong.")
        .header(proof_header())
        .takes("Redemption")
        .json("AccessToken", "The token.")
        .with("DPoP-Nonce", "DpopNonce")
        .errors(redemption_errors())
}

fn redemption_errors() -> Vec<Error> {
    let proof = [
        DpopProblem::Missing,
        DpopProblem::Invalid("…"),
        DpopProblem::NonceRequired("…".into()),
        DpopProblem::Reused,
    ];
    let mut errors: Vec<Error> = proof
        .map(|problem| Error::Dpop(problem, Dialect::OAuth))
        .into();
    errors.extend([
        Error::InvalidJson,
        Error::InvalidRequest("…"),
        Error::UnsupportedGrantType,
        Error::InvalidGrant,
    ]);
    errors
}

fn proof_header() -> Parameter {
    text(
        "DPoP",
        "A DPoP proof (RFC 9449 §4.2) by a P-256 key, for `POST` and this address, of this minute, with a `jti` of its own.",
    )
}

fn authorize() -> Description {
    of(Tag::Tokens)
        .details("What is wrong with a request is told here and sent nowhere. The page asks whoever is in front of it, and goes back with a `code`, or with `error=access_denied`; with `state`; and with `iss` (RFC 9207).")
        .query(text("redirect_uri", "Where the answer goes: registered for the application, to the letter but for a loopback address's port."))
        .query(text("client_id", "Who asks; may be missing if only one application has the redirect URI."))
        .query(text("code_challenge", "Base64url of the verifier's SHA-256 (RFC 7636)."))
        .query(choice("code_challenge_method", "S256 alone.", &["S256"]))
        .query(choice("response_type", "A code, if nothing is said.", &["code"]))
        .query(choice("response_mode", "In the query, if nothing is said.", &["query"]))
        .query(text("audience", "Whom the token is for."))
        .query(text("resource", "The same, as RFC 8707 calls it."))
        .query(text("scope", "What it is to carry."))
        .query(text("state", "Sent back as it is."))
        .query(text("dpop_jkt", "The thumbprint of the key that will redeem the code (RFC 9449 §10)."))
        .text("text/html", "The page.")
        .errors(authorization_errors())
}

fn authorize_code() -> Description {
    of(Tag::Tokens)
        .details("What the consent page does for whoever says yes. Without a session's cookie, or with one that isn't good, nothing is consented to.")
        .by(Caller::Session)
        .takes("Consent")
        .json("AuthorizationCode", "The code, good for a minute and once.")
        .errors(authorization_errors())
        .errors([
            Error::InvalidJson,
            Error::AudienceRequired,
            Error::NoSessionCookie,
            Error::InvalidSession,
            Error::StepUpRequired,
        ])
        .errors(scope_errors())
}

fn authorization_errors() -> Vec<Error> {
    let challenge = [
        ChallengeProblem::Missing,
        ChallengeProblem::Method,
        ChallengeProblem::Malformed,
    ];
    let redirect = [
        RedirectProblem::Missing,
        RedirectProblem::Malformed,
        RedirectProblem::Insecure,
        RedirectProblem::Unregistered,
    ];
    let mut errors: Vec<Error> = challenge.map(Error::BadCodeChallenge).into();
    errors.extend(redirect.map(Error::BadRedirectUri));
    errors.extend([
        Error::InvalidRequest("…"),
        Error::AudienceNotAllowed(Vec::new()),
        Error::ScopesNotEligible {
            requested: Vec::new(),
        },
    ]);
    errors
}

fn not_granted() -> Error {
    Error::ScopesNotGranted {
        requested: Vec::new(),
        granted: Scopes::default(),
    }
}

fn scope_errors() -> [Error; 2] {
    [
        not_granted(),
        Error::ScopesNotEligible {
            requested: Vec::new(),
        },
    ]
}

fn begin_possession() -> Description {
    of(Tag::Certificates)
        .by(Caller::AnybodyOrSession)
        .takes_anything()
        .json(
            "PossessionChallenge",
            "The challenge: good once, for this session; without one, for the operator's code.",
        )
        .errors([Error::InvalidSession])
}

fn pair_errors() -> [Error; 6] {
    [
        Error::InvalidJson,
        Error::MissingKeys,
        Error::MissingProofs,
        Error::InvalidKey(notme_keys::Error::BadSpki),
        Error::PossessionFailed(Possession::P256),
        Error::PossessionFailed(Possession::Ed25519),
    ]
}

// ---- Passkeys -----------------------------------------------------------------------------------

fn door() -> Description {
    of(Tag::Passkeys).json("Door", "What is known.")
}

fn begin_registration() -> Description {
    of(Tag::Passkeys)
        .details("With the operator's code for the first administrator, with an invite's token for whoever was invited, with a session for a further passkey of its principal.")
        .by(Caller::AnybodyOrSession)
        .takes("BeginRegistration")
        .json("RegistrationBegun", "What the browser makes a passkey with.")
        .errors(admission_errors())
        .errors([
            Error::InvalidJson,
            Error::InvalidMember("…"),
            Error::NoSession,
            Error::StepUpRequired,
            Error::TooManyWaysIn,
        ])
}

fn register() -> Description {
    of(Tag::Passkeys)
        .details("The challenge is used up, whether this succeeds or something is wrong with it.")
        .by(Caller::AnybodyOrSession)
        .takes("RegistrationAnswer")
        .json(
            "Registered",
            "The passkey is registered, and a session has begun.",
        )
        .with("Set-Cookie", "SetCookie")
        .errors(admission_errors())
        .errors(registration_errors())
        .errors([Error::MissingUserId, Error::TooManyWaysIn])
}

fn begin_sign_in() -> Description {
    of(Tag::Passkeys).takes_anything().json(
        "RequestOptions",
        "What the browser asks an authenticator with.",
    )
}

fn sign_in() -> Description {
    of(Tag::Passkeys)
        .details("The challenge is used up, whether this succeeds or something is wrong with it.")
        .by(Caller::AnybodyOrSession)
        .takes("AssertionAnswer")
        .json("SignedIn", "A session has begun.")
        .with("Set-Cookie", "SetCookie")
        .errors(assertion_errors())
}

fn begin_step_up() -> Description {
    of(Tag::Passkeys)
        .by(Caller::Session)
        .takes_anything()
        .json(
            "RequestOptions",
            "What the browser asks an authenticator with.",
        )
        .errors([Error::NoSession])
}

fn step_up() -> Description {
    of(Tag::Passkeys)
        .details("The challenge is used up, whether this succeeds or something is wrong with it. The session's secret changes.")
        .by(Caller::Session)
        .takes("AssertionAnswer")
        .json("SteppedUp", "The session is fresh.")
        .with("Set-Cookie", "SetCookie")
        .errors(assertion_errors())
        .errors([Error::NoSession])
}

fn begin_recovery() -> Description {
    of(Tag::Passkeys)
        .details("Ends with `/auth/passkey/register/verify`. Nobody is removed.")
        .takes("Recover")
        .json(
            "RegistrationBegun",
            "What the browser makes a passkey with.",
        )
        .errors([
            Error::InvalidJson,
            Error::InvalidMember("…"),
            Error::BadBootstrapCode,
            Error::TooManyTries(1),
        ])
}

fn status() -> Description {
    of(Tag::Administration).json("Status", "The counts.")
}

/// Why somebody isn't let in, or not any more: it is decided at both ends of a registration.
fn admission_errors() -> [Error; 7] {
    [
        Error::FirstBoot(FirstBoot::Armed),
        Error::FirstBoot(FirstBoot::Unconfigured),
        Error::FirstBoot(FirstBoot::Closed),
        Error::BadBootstrapCode,
        Error::BadInvite,
        Error::NoSession,
        Error::TooManyTries(1),
    ]
}

fn registration_errors() -> Vec<Error> {
    let of_ceremony = |why| Error::Ceremony(CeremonyError::Registration(why));
    let responses = Response::ALL
        .into_iter()
        .filter(|why| why.is_of_registration());
    let mut errors: Vec<Error> = responses.map(of_ceremony).collect();
    errors.extend([
        Error::InvalidJson,
        Error::InvalidMember("…"),
        Error::BadChallenge,
        Error::CredentialKnown,
    ]);
    errors
}

fn assertion_errors() -> Vec<Error> {
    let of_ceremony = |why| Error::Ceremony(CeremonyError::SignIn(why));
    let responses = Response::ALL
        .into_iter()
        .filter(|why| why.is_of_authentication());
    let mut errors: Vec<Error> = responses.map(of_ceremony).collect();
    errors.extend([
        Error::InvalidJson,
        Error::BadChallenge,
        Error::UnknownPasskey,
    ]);
    errors
}

// ---- One's own ----------------------------------------------------------------------------------

fn me() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .json(
            "Me",
            "Whose session it is; a page, if `Accept` asks for one.",
        )
        .or("text/html")
        .or_known()
        .elsewhere(
            302,
            "To the page to sign in, if a page was asked for and there is no session.",
        )
        .with("Location", "Location")
        .errors([Error::NoSession])
}

fn sign_out() -> Description {
    of(Tag::Own)
        .by(Caller::AnybodyOrSession)
        .takes_anything()
        .json("SignedOut", "There is no session any more.")
        .with("Set-Cookie", "SetCookie")
}

fn own_passkeys() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .json("Passkeys", "All of them.")
        .errors([Error::NoSession])
}

fn rename_passkey() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .takes("Rename")
        .json("Done", "It has that name.")
        .errors([
            Error::NoSession,
            Error::NoSuchItem,
            Error::InvalidJson,
            Error::InvalidMember("…"),
        ])
}

fn remove_passkey() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .json("Done", "It opens nothing any more.")
        .errors([
            Error::NoSession,
            Error::NoSuchItem,
            Error::StepUpRequired,
            Error::LastAdministrator,
        ])
}

fn begin_connection() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .takes("Departure")
        .json(
            "IdentityOptions",
            "The challenge: good once, for this session.",
        )
        .errors([Error::NoSession, Error::StepUpRequired])
        .errors(departure_errors())
}

/// What can be wrong with being sent to an issuer.
fn departure_errors() -> [Error; 4] {
    [
        Error::InvalidJson,
        Error::InvalidMember("…"),
        Error::Fault(Fault::RowsUnavailable(String::new())),
        Error::Fault(Fault::IssuerUnavailable(String::new())),
    ]
}

fn sign_in_issuers() -> Description {
    of(Tag::Own)
        .json("SignInIssuers", "All that there are.")
        .errors([Error::Fault(Fault::RowsUnavailable(String::new()))])
}

fn connect() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .details("The issuer's row, or the root's, has to be for people. A token is made for this by its `nonce`. The key of a certificate signs `\"notme-connection-proof-v1\" ‖ 0x00 ‖ challenge ‖ SHA-256(certificate) ‖ userId`, the last as `/me` has it, in ASCII. An identity that is somebody else's stays theirs.")
        .takes("Connect")
        .json("Connected", "It is linked, or was already.")
        .errors([
            Error::NoSession,
            Error::StepUpRequired,
            Error::UnknownProofType(Echo::new("…")),
            Error::MissingProofType,
            Error::WrongSigner,
        ])
        .errors(certificates().map(Error::InvalidCertificate))
        .errors(identity_errors())
        .errors([Error::IdentityTaken, Error::TooManyWaysIn])
}

fn disconnect() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .json(
            "Done",
            "It opens nothing any more, and the sessions that began with it have ended.",
        )
        .errors([
            Error::NoSession,
            Error::NoSuchItem,
            Error::StepUpRequired,
            Error::LastWayIn,
        ])
}

fn begin_identity() -> Description {
    of(Tag::Own)
        .by(Caller::AnybodyOrSession)
        .takes("Departure")
        .json(
            "IdentityOptions",
            "The challenge: good once, for `/auth/oidc/login` or `/join`.",
        )
        .errors(departure_errors())
}

fn identify() -> Description {
    of(Tag::Own)
        .by(Caller::AnybodyOrSession)
        .details("What a certificate may carry can be done at once, the rest is pending until a passkey is shown (`/auth/passkey/step-up/options`).")
        .takes("IdentitySignIn")
        .json("IdentitySignedIn", "A session has begun.")
        .with("Set-Cookie", "SetCookie")
        .errors([
            Error::UnknownProofType(Echo::new("…")),
            Error::UnknownIdentity,
            Error::TurnedAway,
        ])
        .errors(identity_errors())
}

/// What can be wrong with a token that stands for a person.
fn identity_errors() -> Vec<Error> {
    let mut errors = vec![
        Error::InvalidJson,
        Error::InvalidMember("…"),
        Error::MissingToken,
        Error::CodeRefused,
        Error::ChallengeRequired,
        Error::BadChallenge,
        Error::NotPermitted(PolicyRule::Claims),
        Error::WorkloadIdentity,
        Error::ProofUsed,
        Error::RowChanged,
        Error::Fault(Fault::RowsUnavailable(String::new())),
        Error::Fault(Fault::IssuerUnavailable(String::new())),
        Error::Fault(Fault::CodeUnredeemed(String::new())),
        Error::Fault(Fault::ApiUnavailable {
            reason: String::new(),
            retry_after: 1,
        }),
    ];
    errors.extend(token_errors());
    errors
}

fn own_sessions() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .page_of("Sessions")
        .errors([Error::NoSession])
}

fn end_own_session() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .json("Done", "It has ended.")
        .details("One's own session ends at once; another one that began with the same way in, and in which no passkey was shown, as well. Any other needs a passkey that was just shown in this one.")
        .errors([Error::NoSession, Error::NoSuchItem, Error::StepUpRequired])
}

fn own_credentials() -> Description {
    of(Tag::Own)
        .by(Caller::Session)
        .errors([Error::NoSession])
        .query(credential_state())
        .page_of("Credentials")
}

// ---- Invites ------------------------------------------------------------------------------------

fn own_delegations() -> Description {
    of(Tag::Delegations)
        .by(Caller::Session)
        .query(choice(
            "side",
            "Those that one gave, or those that one was given. Default: `given`.",
            &["given", "received"],
        ))
        .page_of("Delegations")
        .errors([Error::NoSession])
}

fn make_delegation() -> Description {
    of(Tag::Delegations)
        .by(Caller::AnybodyOrSession)
        .details("Nobody passes on more than they have: a wish for other scopes, another audience or purpose, a later end or a greater depth than there is above is refused, and says with `member` which it is.\n\nWho has no session signs the wish with a live pair: its key's signature is over `\"notme-delegation-v1\" ‖ 0x00 ‖ challenge ‖ SHA-256(certificate) ‖ SHA-256(delegation)`, where `delegation` is the wish as a text of JSON.")
        .takes("DelegationRequest")
        .json("Delegation", "It is in force.")
        .errors([
            Error::NoSession,
            Error::InvalidJson,
            Error::InvalidMember("…"),
            Error::InvalidQuery("…"),
            Error::NoSuchItem,
            Error::StepUpRequired,
            Error::ScopesNotEligible {
                requested: Vec::new(),
            },
            Error::Delegation(DelegationProblem::Exceeded(Part::Scopes)),
            Error::Delegation(DelegationProblem::TooMany),
            Error::Delegation(DelegationProblem::Bound),
            Error::MissingProofType,
            Error::UnknownProofType(Echo::new("…")),
            Error::ChallengeRequired,
            Error::BadChallenge,
            Error::WrongSigner,
            Error::TurnedAway,
            Error::InvalidToken(TokenError::InvalidClaim("…")),
        ])
        .errors(certificates().map(Error::InvalidCertificate))
        .errors(chain_errors())
}

fn chain_errors() -> [Error; 3] {
    [
        DelegationProblem::Unknown.into(),
        DelegationProblem::Expired.into(),
        DelegationProblem::Revoked.into(),
    ]
}

fn revoke_delegation() -> Description {
    of(Tag::Delegations)
        .by(Caller::Session)
        .json(
            "Done",
            "It is worth nothing any more, nor is anything below it; what was issued on them is revoked.",
        )
        .errors([
            Error::NoSession,
            Error::NoSuchItem,
            Error::StepUpRequired,
            Error::InvalidQuery("…"),
        ])
}

fn list_delegations() -> Description {
    of(Tag::Administration)
        .query(text("principal", "Who gave it: a principal's id."))
        .query(text("delegate", "Who was given it: a principal's id."))
        .page_of("Delegations")
}

fn list_invites() -> Description {
    of(Tag::Invites)
        .query(principal())
        .query(choice(
            "state",
            "What became of it.",
            &["open", "redeemed", "expired", "void"],
        ))
        .page_of("Invites")
}

fn make_invite() -> Description {
    of(Tag::Invites)
        .takes("MakeInvite")
        .json(
            "Invited",
            "The invite, with its token, which is told only here.",
        )
        .errors([
            Error::InvalidJson,
            Error::InvalidMember("…"),
            Error::ScopeNotHeld(Scope::BridgeCert),
            Error::StepUpRequired,
            Error::NoSuchItem,
        ])
}

fn revoke_invite() -> Description {
    of(Tag::Invites)
        .errors([Error::InvalidQuery("…")])
        .json("Done", "It can't be redeemed any more.")
        .errors([Error::NoSuchItem])
}

fn invitation() -> Description {
    of(Tag::Invites)
        .takes("Token")
        .json("Invitation", "What it offers.")
        .errors([
            Error::InvalidJson,
            Error::InvalidMember("…"),
            Error::MissingInviteToken,
            Error::BadInvite,
        ])
}

fn join() -> Description {
    of(Tag::Invites)
        .details("With a passkey begin with `/auth/passkey/register/options` and the invite's token; with the token of an identity begin with `/auth/oidc/options`. The invite stays usable if this fails.")
        .takes("JoinAnswer")
        .json("Joined", "The invite is redeemed, the passkey registered or the identity linked, and a session has begun.")
        .with("Set-Cookie", "SetCookie")
        .errors(admission_errors())
        .errors(registration_errors())
        .errors([
            Error::MissingInviteToken,
            Error::MissingUserId,
            Error::MissingProofType,
            Error::UnknownProofType(Echo::new("…")),
            Error::IdentityTaken,
            Error::TooManyWaysIn,
        ])
        .errors(identity_errors())
}

// ---- Administration -----------------------------------------------------------------------------

/// An administrator's change, or look at one thing. A query would mean nothing, and is refused.
fn change() -> Description {
    of(Tag::Administration).errors([Error::NoSuchItem, Error::InvalidQuery("…")])
}

fn credential_state() -> Parameter {
    choice(
        "state",
        "Whether it is good.",
        &["active", "expired", "revoked"],
    )
}

fn list_principals() -> Description {
    of(Tag::Administration)
        .query(text("q", "How the name begins, or the id."))
        .query(choice(
            "state",
            "Whether it may come in.",
            &["active", "disabled"],
        ))
        .page_of("Principals")
}

fn show_principal() -> Description {
    change().json("Principal", "The principal.")
}

fn disable_principal() -> Description {
    change()
        .takes_anything()
        .json("Done", "It is turned away.")
        .errors([Error::LastAdministrator])
}

fn enable_principal() -> Description {
    change().takes_anything().json("Done", "It may come in.")
}

fn grant_scope() -> Description {
    change()
        .takes("Grant")
        .json("Done", "It is granted.")
        .errors([
            Error::InvalidJson,
            Error::InvalidMember("…"),
            Error::ScopeNotHeld(Scope::BridgeCert),
            Error::GrantTooLong,
            Error::LastAdministrator,
            Error::LastHolder(Scope::BridgeCert),
        ])
}

fn row_change() -> Description {
    of(Tag::Administration).errors([
        Error::InvalidQuery("…"),
        Error::InvalidJson,
        Error::InvalidMember("…"),
        Error::InvalidRow("…".into()),
        Error::ScopeNotHeld(Scope::BridgeCert),
        Error::GrantTooLong,
    ])
}

fn revoke_grant() -> Description {
    change()
        .json("Done", "It is taken back, with effect on the next request.")
        .errors([
            Error::LastAdministrator,
            Error::LastHolder(Scope::BridgeCert),
        ])
}

fn list_authenticators() -> Description {
    of(Tag::Administration)
        .query(principal())
        .page_of("Authenticators")
}

fn remove_authenticator() -> Description {
    change()
        .json("Done", "It opens nothing any more.")
        .errors([Error::LastAdministrator])
}

fn list_grants() -> Description {
    of(Tag::Administration)
        .query(principal())
        .query(choice("scope", "Of what.", &Scope::ALL.map(Scope::as_str)))
        .page_of("Grants")
}

fn list_sessions() -> Description {
    of(Tag::Administration)
        .query(principal())
        .query(text("method", "How it began."))
        .page_of("Sessions")
}

fn end_session() -> Description {
    change().json("Done", "It has ended.")
}

fn list_credentials() -> Description {
    of(Tag::Administration)
        .query(principal())
        .query(text("subject", "How the subject begins."))
        .query(text(
            "serial",
            "The serial number of one of the two certificates.",
        ))
        .query(credential_state())
        .query(text("method", "What proof it was issued for."))
        .page_of("Credentials")
}

fn revoke_credential() -> Description {
    change().json("Done", "It is in the list of what is revoked.")
}

fn list_audit() -> Description {
    of(Tag::Administration)
        .query(text("actor", "Who."))
        .query(text("target", "What it was done to."))
        .query(text("action", "What was done."))
        .page_of("Audit")
}

fn bump_epoch() -> Description {
    of(Tag::Administration)
        .takes("KeyChange")
        .json("KeyChanged", "The new epoch, and its key.")
        .errors([Error::InvalidJson, Error::InvalidMember("…")])
}

fn roll_key() -> Description {
    of(Tag::Administration)
        .details("The former key endorses the new one, and verifiers trust both for the overlap that discovery names in `key_overlap_seconds`.")
        .takes("KeyChange")
        .json("KeyChanged", "The new key.")
        .errors([
            Error::InvalidJson,
            Error::InvalidMember("…"),
            Error::TooManyKeys(1),
        ])
}

// ---- Documents and pages ------------------------------------------------------------------------

fn related_origins() -> Description {
    of(Tag::Documents).json("RelatedOrigins", "The origins (WebAuthn Level 3, 5.11).")
}

fn passkey_endpoints() -> Description {
    of(Tag::Documents).json("PasskeyEndpoints", "The pages.")
}

fn page() -> Description {
    of(Tag::Pages).text("text/html", "The page.").or_known()
}

fn asset() -> Description {
    of(Tag::Pages)
        .text("text/css", "The file.")
        .or("text/javascript")
        .or("image/svg+xml")
        .or("font/woff2")
        .or("text/plain")
        .or_known()
        .errors([Error::NotFound])
}

fn open_api() -> Description {
    of(Tag::Service).answer(Format::Json(json!({ "type": "object" })), "This document.")
}

// ---- How it is written down ---------------------------------------------------------------------

fn of(tag: Tag) -> Description {
    Description {
        tag,
        caller: Caller::Anybody,
        details: "",
        query: Vec::new(),
        headers: Vec::new(),
        request: None,
        form: None,
        answers: Vec::new(),
        errors: Vec::new(),
    }
}

fn schema(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn text(name: &'static str, what: &'static str) -> Parameter {
    let schema = json!({ "type": "string", "maxLength": 300 });
    Parameter { name, what, schema }
}

fn principal() -> Parameter {
    text("principal", "Whose: a principal's id.")
}

fn choice(name: &'static str, what: &'static str, values: &[&str]) -> Parameter {
    let schema = json!({ "type": "string", "enum": values });
    Parameter { name, what, schema }
}

impl Description {
    fn details(self, details: &'static str) -> Self {
        Self { details, ..self }
    }

    fn by(self, caller: Caller) -> Self {
        Self { caller, ..self }
    }

    fn takes(self, name: &str) -> Self {
        let request = Some(schema(name));
        Self { request, ..self }
    }

    /// A body that nothing is looked for in, but that has to be declared as JSON: a form of another
    /// site's page can't do that.
    fn takes_anything(self) -> Self {
        let request = Some(json!({ "description": "Nothing is looked for in it." }));
        Self { request, ..self }
    }

    /// Another form of the body.
    fn or_form(self, name: &str) -> Self {
        let form = Some(schema(name));
        Self { form, ..self }
    }

    fn header(mut self, parameter: Parameter) -> Self {
        self.headers.push(parameter);
        self
    }

    fn query(mut self, parameter: Parameter) -> Self {
        self.query.push(parameter);
        self
    }

    fn json(self, name: &str, what: &'static str) -> Self {
        self.answer(Format::Json(schema(name)), what)
    }

    fn text(self, media_type: &'static str, what: &'static str) -> Self {
        self.answer(Format::Other(media_type), what)
    }

    fn answer(mut self, format: Format, what: &'static str) -> Self {
        self.answers.push(Answer {
            status: 200,
            what,
            formats: vec![format],
            headers: Vec::new(),
        });
        self
    }

    /// An answer without a body.
    fn elsewhere(mut self, status: u16, what: &'static str) -> Self {
        self.answers.push(Answer {
            status,
            what,
            formats: Vec::new(),
            headers: Vec::new(),
        });
        self
    }

    /// Nothing, for who has it already.
    fn or_known(self) -> Self {
        self.elsewhere(304, "What `If-None-Match` names is still so.")
    }

    /// Another form of the last answer.
    fn or(mut self, media_type: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.formats.push(Format::Other(media_type));
        }
        self
    }

    /// A header of the last answer.
    fn with(mut self, name: &'static str, component: &'static str) -> Self {
        if let Some(answer) = self.answers.last_mut() {
            answer.headers.push((name, component));
        }
        self
    }

    fn errors(mut self, errors: impl IntoIterator<Item = Error>) -> Self {
        self.errors.extend(errors);
        self
    }

    /// A list, by pages, as JSON or CSV. A parameter that means nothing there is refused.
    fn page_of(self, name: &str) -> Self {
        let limit = Parameter {
            name: "limit",
            what: "How many items a page has.",
            schema: json!({ "type": "integer", "minimum": 1, "maximum": 1000, "default": 50 }),
        };
        self.query(text(
            "cursor",
            "Where the page begins: `next` of the page before.",
        ))
        .query(limit)
        .query(choice(
            "format",
            "JSON, if nothing is said.",
            &["json", "csv"],
        ))
        .json(name, "A page.")
        .or("text/csv")
        .with("Link", "NextPage")
        .with("Content-Disposition", "FileName")
        .errors([Error::InvalidQuery("…")])
    }
}
