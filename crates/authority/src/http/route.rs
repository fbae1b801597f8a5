//! The one route table. Dispatch, `405` with `Allow`, `HEAD`, CORS, caching, body rules and
//! `docs/routes.md` all come from it.

use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::{Page, RequestHead};
use crate::limits::Class;
use crate::people::federation::CALLBACK;
use crate::revocation::Form;

/// A method that a route may have. `HEAD` comes with `GET`, `OPTIONS` with every path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Method {
    /// GET.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
    /// PUT.
    Put,
}

impl Route {
    /// Whether the answer is a page, which has nothing to do with whose session it is: the page's
    /// script asks for that. So links of other sites may lead there.
    #[must_use]
    pub fn is_page(&self, head: &RequestHead) -> bool {
        match self.operation {
            Operation::Page(_) | Operation::Authorize => true,
            Operation::Service => !head.wants_json(),
            Operation::Me => head.wants_page(),
            _ => false,
        }
    }

    /// Which limit its requests count against; none for whether the worker runs.
    #[must_use]
    pub const fn class(&self) -> Option<Class> {
        Some(match self.operation {
            Operation::Health => return None,
            Operation::BeginConnection
            | Operation::BeginIdentity
            | Operation::BeginRecovery
            | Operation::BeginRegistration
            | Operation::BeginSignIn
            | Operation::BeginStepUp
            | Operation::Connect
            | Operation::Identify
            | Operation::Invitation
            | Operation::Join
            | Operation::Register
            | Operation::SignIn
            | Operation::StepUp => Class::Ceremonies,
            Operation::BeginPossession
            | Operation::Cert
            | Operation::CertGha
            | Operation::CertPasskey
            | Operation::MakeDelegation => Class::Enrolments,
            Operation::AuthorizeCode | Operation::Redeem | Operation::Token => Class::Tokens,
            _ if matches!(self.session, Session::Unused) => Class::Documents,
            _ => Class::Account,
        })
    }

    /// What stands in a path where the route has `{…}`, as it is written there.
    pub fn parameters<'a>(&self, path: &'a str) -> impl Iterator<Item = &'a str> {
        let path = path.strip_suffix('/').unwrap_or(path);
        let pairs = self.path.split('/').zip(path.split('/'));
        pairs.filter_map(|(pattern, segment)| pattern.starts_with('{').then_some(segment))
    }
}

impl Method {
    /// As it is written in a request.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
            Self::Put => "PUT",
        }
    }
}

/// What a route does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A challenge for linking an identity.
    BeginConnection,
    /// A challenge for signing in or joining by an identity.
    BeginIdentity,
    /// The issuers at which people sign in.
    SignInIssuers,
    /// Links an identity.
    Connect,
    /// The identities that are linked.
    Connections,
    /// Removes a linked identity.
    Disconnect,
    /// The token of a linked identity in, a session out.
    Identify,
    /// Options for recovery.
    BeginRecovery,
    /// Options for showing a passkey again.
    BeginStepUp,
    /// A pair for whoever has a session, with proofs bound to its cookie.
    CertPasskey,
    /// The consent page.
    Authorize,
    /// Consent in, an authorization code out.
    AuthorizeCode,
    /// What a stranger may know.
    Door,
    /// Ends one of one's own sessions.
    EndOwnSession,
    /// What an invite offers.
    Invitation,
    /// An invite and a registration response in, a session out.
    Join,
    /// Makes an invite.
    MakeInvite,
    /// The API reference, for machines.
    OpenApi,
    /// One's own passkeys.
    OwnPasskeys,
    /// One's own sessions.
    OwnSessions,
    /// Where passkeys are made and managed.
    PasskeyEndpoints,
    /// The other origins that use this authority's passkeys.
    RelatedOrigins,
    /// Removes one of one's own passkeys.
    RemovePasskey,
    /// Names one of one's own passkeys.
    RenamePasskey,
    /// Counts for operators.
    Status,
    /// An authorization code in, an access token out.
    Redeem,
    /// A passkey that is shown again.
    StepUp,
    /// A session, or an authorization code, and a DPoP proof in, an access token out.
    Token,
    /// A file that pages are made of.
    Asset,
    /// The revocation bundle.
    Bundle,
    /// The list of what is revoked.
    Revocations(Form),
    /// What rows make of a token.
    TestPolicy,
    /// The rows that let somebody in.
    ListRows,
    /// Makes a row.
    MakeRow,
    /// Changes a row.
    EditRow,
    /// Removes a row.
    RemoveRow,
    /// Options for registering a passkey.
    BeginRegistration,
    /// Options for signing in.
    BeginSignIn,
    /// A challenge for proofs of possession.
    BeginPossession,
    /// A new epoch.
    BumpEpoch,
    /// A pair for whoever has a session.
    Cert,
    /// A pair from a GitHub Actions token.
    CertGha,
    /// The discovery document.
    Discovery,
    /// The key archive.
    Epochs,
    /// That the worker runs.
    Health,
    /// The authority's public keys.
    Jwks,
    /// Whose session it is.
    Me,
    /// Metadata of the authorization server.
    Metadata,
    /// Says where signing really happens.
    NotAnHttpEndpoint,
    /// A route of the protocol that isn't served yet.
    NotImplemented,
    /// A page.
    Page(Page),
    /// A registration response in, a session out.
    Register,
    /// A new key in the same epoch.
    RollKey,
    /// The root certificates.
    Roots,
    /// What this service is.
    Service,
    /// An assertion in, a session out.
    SignIn,
    /// The end of a session.
    SignOut,
    /// The commit it was built from.
    Version,
    /// Lists and searches principals.
    ListPrincipals,
    /// One principal.
    ShowPrincipal,
    /// Turns a principal away.
    DisablePrincipal,
    /// Lets a principal in again.
    EnablePrincipal,
    /// Grants a scope.
    GrantScope,
    /// Takes a grant back.
    RevokeGrant,
    /// Lists authenticators.
    ListAuthenticators,
    /// Removes an authenticator.
    RemoveAuthenticator,
    /// Lists grants.
    ListGrants,
    /// Lists sessions.
    ListSessions,
    /// Ends a session.
    EndSession,
    /// Lists and searches issued credentials.
    ListCredentials,
    /// Lists one's own credentials.
    OwnCredentials,
    /// Revokes a credential.
    RevokeCredential,
    /// The audit trail.
    ListAudit,
    /// Lists invites.
    ListInvites,
    /// Takes an invite back.
    RevokeInvite,
    /// Makes a delegation.
    MakeDelegation,
    /// Lists the delegations that one gave, or was given.
    OwnDelegations,
    /// Lists delegations.
    ListDelegations,
    /// Takes a delegation back.
    RevokeDelegation,
}

/// Whether a route has to do with sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Session {
    /// It doesn't.
    Unused,
    /// It reads, begins or ends one: other sites' pages are kept off.
    Used,
    /// It needs one of an administrator.
    Manage,
    /// It needs one of an administrator who showed a passkey a short while ago.
    ManageFresh,
}

/// How an answer of status 200 may be cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cache {
    /// Not at all.
    NoStore,
    /// By anybody, for so many seconds.
    Public(u32),
    /// By the browser, which asks each time whether it is still so.
    Checked,
    /// By anybody, for good: the name has the content's hash.
    Forever,
}

/// Which web pages may read an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cors {
    /// All of them.
    Anybody,
    /// Those of the configured origins.
    Configured,
    /// None.
    Nobody,
}

/// Which bodies a route takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// None; one that is sent is ignored.
    None,
    /// JSON, declared as such.
    Json,
    /// JSON of whoever has a session, or a form (RFC 6749) of whoever needs none.
    JsonOrForm,
    /// JSON, declared as such or not at all: scripts forget the header.
    JsonOrUntyped,
}

/// One path and method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The path; a segment `{…}` stands for any one segment.
    pub path: &'static str,
    /// The method.
    pub method: Method,
    /// What it does.
    pub operation: Operation,
    /// How its answer may be cached.
    pub cache: Cache,
    /// Which web pages may read its answer.
    pub cors: Cors,
    /// Which bodies it takes.
    pub body: Body,
    /// Whether it has to do with sessions.
    pub session: Session,
    /// What it is for, in one sentence.
    pub summary: &'static str,
}

/// How long key material may be cached, in seconds. A verifier's staleness bound includes it.
const KEY_MAX_AGE: u32 = 60;

const fn document(
    path: &'static str,
    operation: Operation,
    cache: Cache,
    summary: &'static str,
) -> Route {
    Route {
        path,
        method: Method::Get,
        operation,
        cache,
        cors: Cors::Anybody,
        body: Body::None,
        session: Session::Unused,
        summary,
    }
}

const fn session(
    method: Method,
    path: &'static str,
    operation: Operation,
    summary: &'static str,
) -> Route {
    Route {
        path,
        method,
        operation,
        cache: Cache::NoStore,
        cors: Cors::Nobody,
        body: match method {
            Method::Post | Method::Put => Body::Json,
            Method::Get | Method::Delete => Body::None,
        },
        session: Session::Used,
        summary,
    }
}

const fn manage(
    method: Method,
    path: &'static str,
    operation: Operation,
    summary: &'static str,
) -> Route {
    Route {
        session: Session::Manage,
        ..session(method, path, operation, summary)
    }
}

const fn manage_fresh(
    method: Method,
    path: &'static str,
    operation: Operation,
    summary: &'static str,
) -> Route {
    Route {
        session: Session::ManageFresh,
        ..session(method, path, operation, summary)
    }
}

const fn never_http(method: Method, path: &'static str) -> Route {
    Route {
        path,
        method,
        operation: Operation::NotAnHttpEndpoint,
        cache: Cache::NoStore,
        cors: Cors::Anybody,
        body: Body::None,
        session: Session::Unused,
        summary: "Never HTTP: signing is worker to worker.",
    }
}

const fn page(path: &'static str, page: Page, summary: &'static str) -> Route {
    Route {
        path,
        method: Method::Get,
        operation: Operation::Page(page),
        cache: Cache::Checked,
        cors: Cors::Nobody,
        body: Body::None,
        session: Session::Unused,
        summary,
    }
}

const fn later(method: Method, path: &'static str, summary: &'static str) -> Route {
    Route {
        path,
        method,
        operation: Operation::NotImplemented,
        cache: Cache::NoStore,
        cors: Cors::Nobody,
        body: Body::None,
        session: Session::Unused,
        summary,
    }
}

/// Every route there is.
pub const ROUTES: &[Route] = &[
    document(
        "/",
        Operation::Service,
        Cache::Public(3600),
        "What this service is, as JSON or as a page.",
    ),
    document(
        "/.well-known/signet-authority.json",
        Operation::Discovery,
        Cache::Public(KEY_MAX_AGE),
        "Where everything is.",
    ),
    document(
        "/.well-known/oauth-authorization-server",
        Operation::Metadata,
        Cache::Public(KEY_MAX_AGE),
        "Authorization server metadata (RFC 8414).",
    ),
    document(
        "/.well-known/openid-configuration",
        Operation::Metadata,
        Cache::Public(KEY_MAX_AGE),
        "The same document.",
    ),
    document(
        "/.well-known/jwks.json",
        Operation::Jwks,
        Cache::Public(KEY_MAX_AGE),
        "The authority's public keys, the current one first.",
    ),
    document(
        "/.well-known/ca-bundle.pem",
        Operation::Roots,
        Cache::Public(KEY_MAX_AGE),
        "The root certificates, the current one first.",
    ),
    document(
        "/.well-known/epochs.json",
        Operation::Epochs,
        Cache::Public(KEY_MAX_AGE),
        "Every key there ever was, by epoch.",
    ),
    document(
        "/.well-known/version",
        Operation::Version,
        Cache::NoStore,
        "The commit this was built from.",
    ),
    document(
        "/health",
        Operation::Health,
        Cache::NoStore,
        "`ok` while the worker runs.",
    ),
    document("/healthz", Operation::Health, Cache::NoStore, "The same."),
    document(
        "/internal/ca-bundle",
        Operation::Bundle,
        Cache::NoStore,
        "The signed revocation bundle.",
    ),
    document(
        "/.well-known/revocations.jwt",
        Operation::Revocations(Form::Jwt),
        Cache::Checked,
        "What is revoked and has not expired, signed.",
    ),
    document(
        "/.well-known/crl.der",
        Operation::Revocations(Form::Crl),
        Cache::Checked,
        "The same as a certificate revocation list of the current key (RFC 5280 §5).",
    ),
    document(
        "/.well-known/crl.pem",
        Operation::Revocations(Form::CrlPem),
        Cache::Checked,
        "The revocation lists of all keys that are trusted, the current one's first.",
    ),
    Route {
        path: "/cert/gha",
        method: Method::Post,
        operation: Operation::CertGha,
        cache: Cache::NoStore,
        cors: Cors::Nobody,
        body: Body::JsonOrUntyped,
        session: Session::Unused,
        summary: "A GitHub Actions OIDC token and two keys in, an enrolment pair out.",
    },
    never_http(Method::Get, "/internal/sign-jwt"),
    never_http(Method::Post, "/internal/sign-jwt"),
    never_http(Method::Get, "/internal/sign-receipt"),
    never_http(Method::Post, "/internal/sign-receipt"),
    later(Method::Get, "/architecture", "How it works."),
    session(
        Method::Post,
        "/cert",
        Operation::Cert,
        "Any proof of who is asking, and two keys in, an enrolment pair out.",
    ),
    session(
        Method::Post,
        "/cert/challenge",
        Operation::BeginPossession,
        "A challenge for the proofs of possession of a pair, for the session if there is one.",
    ),
    session(
        Method::Post,
        "/cert/passkey",
        Operation::CertPasskey,
        "A session and two keys in, an enrolment pair out; the proofs are bound to the cookie.",
    ),
    page("/login", Page::SignIn, "The login page."),
    page("/join", Page::Join, "The page that an invite leads to."),
    session(
        Method::Post,
        "/join",
        Operation::Join,
        "Redeems an invite: its token and a passkey, or the token of an identity, in, a session out.",
    ),
    session(
        Method::Post,
        "/logout",
        Operation::SignOut,
        "Ends the session.",
    ),
    page("/console", Page::Console, "The operator's page."),
    session(
        Method::Get,
        "/me",
        Operation::Me,
        "The current session, as JSON or as a page.",
    ),
    session(
        Method::Get,
        "/me/passkeys",
        Operation::OwnPasskeys,
        "Lists one's own passkeys.",
    ),
    session(
        Method::Post,
        "/me/passkeys/{id}",
        Operation::RenamePasskey,
        "Names one of one's own passkeys.",
    ),
    session(
        Method::Delete,
        "/me/passkeys/{id}",
        Operation::RemovePasskey,
        "Removes one of one's own passkeys; needs a passkey that was shown a short while ago.",
    ),
    session(
        Method::Get,
        "/me/sessions",
        Operation::OwnSessions,
        "Lists one's own sessions.",
    ),
    session(
        Method::Delete,
        "/me/sessions/{id}",
        Operation::EndOwnSession,
        "Ends one of one's own sessions.",
    ),
    session(
        Method::Get,
        "/me/credentials",
        Operation::OwnCredentials,
        "Lists the pairs that were issued to oneself.",
    ),
    manage(
        Method::Get,
        "/invites",
        Operation::ListInvites,
        "Lists invites.",
    ),
    manage(
        Method::Post,
        "/invites",
        Operation::MakeInvite,
        "Makes an invite; one that grants more than `bridgeCert` needs a passkey that was shown a short while ago.",
    ),
    manage(
        Method::Delete,
        "/invites/{id}",
        Operation::RevokeInvite,
        "Takes an invite back.",
    ),
    session(
        Method::Post,
        "/invites/lookup",
        Operation::Invitation,
        "What an invite offers to whoever holds its token.",
    ),
    session(
        Method::Get,
        "/connections",
        Operation::Connections,
        "Lists the identities that are linked to oneself.",
    ),
    session(
        Method::Post,
        "/connections",
        Operation::Connect,
        "Links an identity to oneself; needs a passkey that was shown a short while ago.",
    ),
    session(
        Method::Post,
        "/connections/options",
        Operation::BeginConnection,
        "Begins linking: the challenge that the identity's proof has to be made for.",
    ),
    session(
        Method::Delete,
        "/connections/{id}",
        Operation::Disconnect,
        "Removes a linked identity; needs a passkey that was shown a short while ago.",
    ),
    session(
        Method::Get,
        "/auth/oidc/issuers",
        Operation::SignInIssuers,
        "The issuers at which people sign in from the pages.",
    ),
    // Its address has a code in it.
    Route {
        cache: Cache::NoStore,
        ..page(
            CALLBACK,
            Page::Callback,
            "The page that an issuer sends people back to.",
        )
    },
    session(
        Method::Post,
        "/auth/oidc/options",
        Operation::BeginIdentity,
        "Begins signing in, or joining, by a linked identity: the nonce that its token has to name.",
    ),
    session(
        Method::Get,
        "/delegations",
        Operation::OwnDelegations,
        "Lists the delegations that one gave, or was given.",
    ),
    session(
        Method::Post,
        "/delegations",
        Operation::MakeDelegation,
        "Lets another principal act on one's behalf, or on that of whom one acts for; needs a passkey that was shown a short while ago.",
    ),
    session(
        Method::Delete,
        "/delegations/{id}",
        Operation::RevokeDelegation,
        "Takes a delegation back, with all below it: one's own, one that hangs on one's own, or any for administrators.",
    ),
    session(
        Method::Post,
        "/auth/oidc/login",
        Operation::Identify,
        "A token of a linked identity in, a session out.",
    ),
    session(
        Method::Post,
        "/auth/passkey/register/options",
        Operation::BeginRegistration,
        "Begins a registration ceremony.",
    ),
    session(
        Method::Post,
        "/auth/passkey/register/verify",
        Operation::Register,
        "Ends a registration ceremony.",
    ),
    session(
        Method::Post,
        "/auth/passkey/login/options",
        Operation::BeginSignIn,
        "Begins an authentication ceremony.",
    ),
    session(
        Method::Post,
        "/auth/passkey/login/verify",
        Operation::SignIn,
        "Ends an authentication ceremony.",
    ),
    session(
        Method::Post,
        "/auth/passkey/step-up/options",
        Operation::BeginStepUp,
        "Begins showing a passkey again.",
    ),
    session(
        Method::Post,
        "/auth/passkey/step-up/verify",
        Operation::StepUp,
        "Ends it: for five minutes the session may do what is dangerous.",
    ),
    session(
        Method::Post,
        "/auth/passkey/reset",
        Operation::BeginRecovery,
        "Begins recovery: an operator's code lets a new administrator in, and removes nobody.",
    ),
    manage(
        Method::Get,
        "/auth/passkey/status",
        Operation::Status,
        "Counts for operators.",
    ),
    session(
        Method::Get,
        "/auth/state",
        Operation::Door,
        "What a stranger may know before they knock.",
    ),
    manage(
        Method::Get,
        "/admin/principals",
        Operation::ListPrincipals,
        "Lists and searches principals.",
    ),
    manage(
        Method::Get,
        "/admin/principals/{id}",
        Operation::ShowPrincipal,
        "One principal.",
    ),
    manage_fresh(
        Method::Post,
        "/admin/principals/{id}/disable",
        Operation::DisablePrincipal,
        "Turns a principal away: its sessions end, and nothing is issued to it.",
    ),
    manage_fresh(
        Method::Post,
        "/admin/principals/{id}/enable",
        Operation::EnablePrincipal,
        "Lets a principal in again.",
    ),
    manage_fresh(
        Method::Post,
        "/admin/principals/{id}/grants",
        Operation::GrantScope,
        "Grants a scope.",
    ),
    manage_fresh(
        Method::Delete,
        "/admin/principals/{id}/grants/{scope}",
        Operation::RevokeGrant,
        "Takes a grant back.",
    ),
    manage(
        Method::Get,
        "/admin/authenticators",
        Operation::ListAuthenticators,
        "Lists and searches authenticators.",
    ),
    manage_fresh(
        Method::Delete,
        "/admin/authenticators/{id}",
        Operation::RemoveAuthenticator,
        "Removes an authenticator.",
    ),
    manage(
        Method::Get,
        "/admin/grants",
        Operation::ListGrants,
        "Lists grants.",
    ),
    manage(
        Method::Get,
        "/admin/sessions",
        Operation::ListSessions,
        "Lists sessions.",
    ),
    manage(
        Method::Delete,
        "/admin/sessions/{id}",
        Operation::EndSession,
        "Ends a session.",
    ),
    manage(
        Method::Get,
        "/admin/credentials",
        Operation::ListCredentials,
        "Lists and searches issued credentials.",
    ),
    manage(
        Method::Delete,
        "/admin/credentials/{serial}",
        Operation::RevokeCredential,
        "Revokes a credential.",
    ),
    manage(
        Method::Get,
        "/admin/delegations",
        Operation::ListDelegations,
        "Lists and searches delegations.",
    ),
    manage(
        Method::Get,
        "/admin/audit",
        Operation::ListAudit,
        "The audit trail.",
    ),
    manage(
        Method::Post,
        "/policy/test",
        Operation::TestPolicy,
        "Says which row would let a token in, and why the others wouldn't; issues nothing.",
    ),
    manage(
        Method::Get,
        "/policy/issuers",
        Operation::ListRows,
        "Lists the rows that let somebody in, those of the configuration first.",
    ),
    manage_fresh(
        Method::Post,
        "/policy/issuers",
        Operation::MakeRow,
        "Makes a row.",
    ),
    manage_fresh(
        Method::Put,
        "/policy/issuers/{id}",
        Operation::EditRow,
        "Changes a row that an administrator made, if nobody else did meanwhile.",
    ),
    manage_fresh(
        Method::Delete,
        "/policy/issuers/{id}",
        Operation::RemoveRow,
        "Removes a row that an administrator made: at once nobody is let in by it.",
    ),
    manage_fresh(
        Method::Post,
        "/admin/epoch",
        Operation::BumpEpoch,
        "Begins a new epoch: all that was issued before is revoked.",
    ),
    manage_fresh(
        Method::Post,
        "/admin/key/rollover",
        Operation::RollKey,
        "Rolls the key over without revoking anything.",
    ),
    later(
        Method::Get,
        "/admin/alarm-health",
        "Health of the publisher.",
    ),
    later(Method::Post, "/admin/alarm-health/reset", "Resets it."),
    Route {
        body: Body::JsonOrForm,
        cors: Cors::Configured,
        ..session(
            Method::Post,
            "/token",
            Operation::Token,
            "A session, as JSON, or an authorization code, as a form, and a DPoP proof in; an access token bound to the proof's key out.",
        )
    },
    Route {
        cache: Cache::NoStore,
        cors: Cors::Nobody,
        ..document(
            "/authorize",
            Operation::Authorize,
            Cache::NoStore,
            "The consent page: an application asks to act for somebody.",
        )
    },
    session(
        Method::Post,
        "/authorize/code",
        Operation::AuthorizeCode,
        "Consent in, an authorization code out.",
    ),
    Route {
        cors: Cors::Configured,
        session: Session::Unused,
        ..session(
            Method::Post,
            "/authorize/redeem",
            Operation::Redeem,
            "An authorization code and a DPoP proof in, an access token out.",
        )
    },
    page("/api/docs", Page::Reference, "The API reference."),
    document(
        "/openapi.json",
        Operation::OpenApi,
        Cache::Public(3600),
        "The API reference, for machines (OpenAPI 3.1).",
    ),
    document(
        "/.well-known/webauthn",
        Operation::RelatedOrigins,
        Cache::Public(KEY_MAX_AGE),
        "The other origins that use this authority's passkeys.",
    ),
    document(
        "/.well-known/passkey-endpoints",
        Operation::PasskeyEndpoints,
        Cache::Public(KEY_MAX_AGE),
        "Where passkeys are made and managed.",
    ),
    Route {
        operation: Operation::Asset,
        cache: Cache::Forever,
        ..later(Method::Get, "/assets/{file}", "What the pages are made of.")
    },
];

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dispatch {
    /// To this route.
    Route(&'static Route),
    /// The path exists, the method doesn't; the value of `Allow`.
    MethodNotAllowed(String),
    /// To the answer that browsers ask for before they ask.
    Preflight,
    /// Nowhere.
    NotFound,
}

/// Finds the route of a request; `path` is within the authority. One slash at its end doesn't count.
#[must_use]
pub fn dispatch(method: &str, path: &str) -> Dispatch {
    if method == "OPTIONS" {
        return Dispatch::Preflight;
    }
    let path = match path.strip_suffix('/') {
        Some(stripped) if !stripped.is_empty() && !stripped.ends_with('/') => stripped,
        _ => path,
    };
    let wanted = if method == "HEAD" { "GET" } else { method };
    let mut allowed: Vec<&str> = Vec::new();
    for route in ROUTES.iter().filter(|route| matches(route.path, path)) {
        if route.method.name() == wanted {
            return Dispatch::Route(route);
        }
        allowed.push(route.method.name());
        if route.method == Method::Get {
            allowed.push("HEAD");
        }
    }
    if allowed.is_empty() {
        return Dispatch::NotFound;
    }
    allowed.push("OPTIONS");
    Dispatch::MethodNotAllowed(allowed.join(", "))
}

fn matches(pattern: &str, path: &str) -> bool {
    if !pattern.contains('{') {
        return pattern == path;
    }
    let (mut pattern, mut path) = (pattern.split('/'), path.split('/'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            (Some(wild), Some(segment)) if wild.starts_with('{') && !segment.is_empty() => {}
            (Some(exact), Some(segment)) if exact == segment => {}
            _ => return false,
        }
    }
}

/// The table as `docs/routes.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from(
        "# Routes\n\nGenerated from the route table (`crates/authority/src/http/route.rs`) by `npm run codegen`; do not edit.\n\n\
         `HEAD` works wherever `GET` does, `OPTIONS` everywhere. Bodies are at most 64 KiB of JSON.\n\n\
         | method | path | cache | readable by pages of | session | what |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    for route in ROUTES {
        let cache = match route.cache {
            Cache::NoStore => "no-store".to_owned(),
            Cache::Public(secs) => format!("public, {secs} s"),
            Cache::Checked => "no-cache".to_owned(),
            Cache::Forever => "public, immutable".to_owned(),
        };
        let cors = match route.cors {
            Cors::Anybody => "anybody",
            Cors::Configured => "configured origins",
            Cors::Nobody => "nobody",
        };
        let session = match route.session {
            Session::Unused => "–",
            Session::Used => "its cookie",
            Session::Manage => "an administrator's",
            Session::ManageFresh => "an administrator's, fresh",
        };
        let status = if route.operation == Operation::NotImplemented {
            " *(501 for now)*"
        } else {
            ""
        };
        let (method, path, summary) = (route.method.name(), route.path, route.summary);
        // Writing to a String can't fail.
        let _ = writeln!(
            out,
            "| {method} | `{path}` | {cache} | {cors} | {session} | {summary}{status} |"
        );
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(method: &str, path: &str) -> Option<Operation> {
        match dispatch(method, path) {
            Dispatch::Route(route) => Some(route.operation),
            _ => None,
        }
    }

    #[test]
    fn routes_are_found_by_path_and_method() {
        assert_eq!(operation("POST", "/cert/gha"), Some(Operation::CertGha));
        assert_eq!(operation("POST", "/cert/gha/"), Some(Operation::CertGha));
        assert_eq!(operation("GET", "/"), Some(Operation::Service));
        assert_eq!(operation("HEAD", "/health"), Some(Operation::Health));
        assert_eq!(
            operation("DELETE", "/invites/abc"),
            Some(Operation::RevokeInvite)
        );
        for path in [
            "",
            "/nope",
            "/cert/gha//",
            "//",
            "/Cert/gha",
            "/invites/a/b",
            "/cert/gha?x",
        ] {
            assert!(
                ["GET", "POST", "DELETE"]
                    .iter()
                    .all(|m| operation(m, path).is_none()),
                "{path}"
            );
        }
    }

    #[test]
    fn other_methods_are_told_which_exist() {
        let allow = |method, path| match dispatch(method, path) {
            Dispatch::MethodNotAllowed(allow) => allow,
            other => format!("{other:?}"),
        };
        assert_eq!(allow("GET", "/cert/gha"), "POST, OPTIONS");
        assert_eq!(allow("PUT", "/invites"), "GET, HEAD, POST, OPTIONS");
        assert_eq!(allow("BREW", "/health"), "GET, HEAD, OPTIONS");
        assert_eq!(allow("get", "/health"), "GET, HEAD, OPTIONS");
        assert_eq!(dispatch("OPTIONS", "/nope"), Dispatch::Preflight);
        assert_eq!(dispatch("GET", "/nope"), Dispatch::NotFound);
    }

    #[test]
    fn no_two_routes_are_the_same() {
        for (i, a) in ROUTES.iter().enumerate() {
            let same = |b: &&Route| b.path == a.path && b.method == a.method;
            assert_eq!(ROUTES.iter().skip(i + 1).find(same), None, "{}", a.path);
        }
    }

    #[test]
    fn key_material_is_cached_for_a_minute_at_most() {
        for route in ROUTES {
            if matches!(
                route.operation,
                Operation::Jwks | Operation::Roots | Operation::Epochs | Operation::Discovery
            ) {
                assert!(
                    matches!(route.cache, Cache::Public(0..=60)),
                    "{}",
                    route.path
                );
            }
        }
    }

    #[test]
    fn docs_are_generated() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/routes.md");
        if std::env::var_os("NOTME_WRITE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let committed = std::fs::read_to_string(path).unwrap_or_default();
        assert_eq!(committed, markdown(), "run `npm run codegen`");
    }
}
