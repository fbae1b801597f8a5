# The identity authority's types, as every language of this repository shares them.
#
# Type ids derive from the file id, and readers of earlier releases know these structs by it: the
# id, the names, the ordinals and the types below do not change. Fields are only ever added, with
# the next ordinal and `$optional`. New structs go into files of their own.
#
# Times are seconds since 1970-01-01T00:00:00Z. `Data` is standard base64 with padding in JSON.
# Integers in JSON are safe integers (at most 2^53 - 1), larger ones are refused there.

@0xb8e3f1a2c4d5e6f7;

using Go = import "/go.capnp";
using Json = import "/capnp/compat/json.capnp";
using Notme = import "/notme.capnp";

$Go.package("identity");
$Go.import("github.com/notme/notme/gen/go/identity");

# ---- Revocation -------------------------------------------------------------------------------

struct CABundle {
  # What verifiers poll: the epoch and the keys that are in force. Signed over its canonical CBOR,
  # not over Cap'n Proto.

  epoch @0 :UInt64;
  # Revocation epoch. Starts at 1; a verifier refuses leaves of an earlier one.
  seqno @1 :UInt64;
  # Bundle number, starts at 1 and never falls: a lower one than seen before is a rollback.
  keys @2 :List(KeyEntry);
  # Every key a signature may come from: the current one and, after a rotation, the previous one.
  # Key ids are unique. In the published JSON this is an object from key id to key.
  keyId @3 :Text;
  # Key id of the current key, which signs this bundle.
  prevKeyId @4 :Text $Notme.optional;
  # Key id of the key before the current one; absent before the first rotation.
  issuedAt @5 :Int64;
  # When the bundle was made, in seconds. Never negative: the signed form is an unsigned integer.
  signature @6 :Data $Json.base64;
  # Ed25519 signature, 64 bytes, over the canonical CBOR of all other fields.
}

struct KeyEntry {
  # One public key of the authority.

  kid @0 :Text;
  # Key id: lower-case hex of the first 16 bytes of SHA-256 over the key's SubjectPublicKeyInfo.
  publicKey @1 :Data $Json.base64;
  # Raw Ed25519 public key, 32 bytes.
}

struct TokenClaims {
  # What a revocation check must know of a token.

  keyId @0 :Text;
  # Key id of the key that signed the token.
  epoch @1 :UInt64;
  # Revocation epoch stamped into the token.
}

enum RevocationReason {
  # Why a token counts as revoked.

  epochMismatch @0;
  # The token is of an epoch before the bundle's.
  unknownKey @1;
  # The token was signed by a key that the bundle names neither as current nor as previous.
  rollbackAttack @2;
  # The bundle's seqno is lower than one already seen.
  bundleInvalid @3;
  # The bundle's signature or form is wrong.
  bundleStale @4;
  # The bundle is older than the published bound allows, or has no usable issuedAt.
}

struct RevocationResult {
  # Outcome of a revocation check.

  revoked @0 :Bool;
  # Whether the token must be refused.
  reason @1 :RevocationReason;
  # Why. Meaningless unless `revoked` is true.
}

# ---- Certificates -----------------------------------------------------------------------------

struct BridgeCertResult {
  # A single bridge certificate. Legacy: enrolment answers with a BridgeCertPair.

  certificate @0 :Text;
  # The certificate, PEM.
  privateKey @1 :Text;
  # Always empty: the authority never makes or sees a caller's private key.
  expiresAt @2 :Int64;
  # notAfter of the certificate, in seconds.
  subject @3 :Text;
  # Subject common name.
  scope @4 :CertScope;
  # The one scope of the certificate.
}

struct BridgeCertPair {
  # An enrolment pair: two short-lived leaves over the caller's own keys, bound to each other.

  mtlsCert @0 :Text;
  # P-256 leaf for mutual TLS, PEM.
  signingCert @1 :Text;
  # Ed25519 leaf for signatures, PEM.
  identity @2 :Text;
  # The URI in both leaves' subjectAltName, wimse://{trustDomain}/{kind}/{path}.
  scopes @3 :List(Text);
  # Names of the granted scopes.
  expiresAt @4 :Int64;
  # notAfter of both leaves, in seconds.
  subject @5 :Text;
  # Whole subject, which the common name may abbreviate.
  binding @6 :Text;
  # Lower-case hex of SHA-256 over both keys' SubjectPublicKeyInfo, mTLS first; 64 characters.
  epoch @7 :UInt64;
  # Revocation epoch stamped into both leaves.
  authMethod @8 :Text;
  # How the caller proved who it is, for example gha-oidc or passkey.
}

enum CertScope {
  # What a certificate allows.

  bridgeCert @0;
  # Prove an identity.
  authorityManage @1;
  # Administer the authority.
  certMint @2;
  # Ask for certificates for others.
}

struct AuthorityState {
  # The authority's place in its own history.

  epoch @0 :UInt64;
  # Current revocation epoch.
  keyId @1 :Text;
  # Key id of the current key.
}

# ---- Enrolment --------------------------------------------------------------------------------

struct CertPairRequest {
  # A request for an enrolment pair.

  proof @0 :Proof;
  # Who is asking.
  publicKeys @1 :CertPairPublicKeys;
  # The keys to be certified.
  proofs @2 :CertPairPoP;
  # Possession of both keys.
}

struct CertPairPublicKeys {
  # The caller's two public keys.

  mtls @0 :Text;
  # P-256 SubjectPublicKeyInfo, PEM.
  signing @1 :Text;
  # Ed25519 SubjectPublicKeyInfo, PEM.
}

struct CertPairPoP {
  # Proof of possession: one signature by each key over the message that names this request.

  mtls @0 :Data $Json.base64;
  # ECDSA with SHA-256, r and s as 64 raw bytes.
  signing @1 :Data $Json.base64;
  # Ed25519, 64 bytes.
}

struct CertRequest {
  # A request for a single certificate. Legacy.

  scopes @0 :List(CertScope);
  # What the certificate shall allow.
  proof @1 :Proof;
  # Who is asking.
}

struct Proof {
  # What a caller presents; exactly one.

  union {
    ghaOidc @0 :GHAClaims;
    # Verified claims of a GitHub Actions OIDC token.
    passkey @1 :Data $Json.base64;
    # WebAuthn credential id.
    bootstrapCode @2 :Text;
    # One-time code of a new authority.
  }
}

struct GHAClaims {
  # Claims of a GitHub Actions OIDC token.

  iss @0 :Text;
  # Issuer URL.
  sub @1 :Text;
  # Subject: repo:{owner}/{name}:{context}, for example repo:octo/app:ref:refs/heads/main.
  aud @2 :Text;
  # Audience.
  exp @3 :Int64;
  # Expiry, in seconds.
  iat @4 :Int64;
  # Issued at, in seconds.
  jti @5 :Text $Notme.optional;
  # Token id, burned at first use.
  repository @6 :Text;
  # Owner and name of the repository, joined by a slash.
  repositoryOwner @7 :Text;
  # Owner of the repository.
  ref @8 :Text;
  # Git ref of the run.
  sha @9 :Text;
  # Commit of the run, hex.
  actor @10 :Text;
  # Login of the account that started the run.
  workflow @11 :Text;
  # Name of the workflow.
  jobWorkflowRef @12 :Text;
  # Path and ref of the workflow file that defines the job.
  runId @13 :Text;
  # Id of the run, decimal.
  eventName @14 :Text;
  # Event that started the run.
  environment @15 :Text $Notme.optional;
  # Deployment environment; absent if the job names none.
}

# ---- Provenance -------------------------------------------------------------------------------

struct DispatchPredicate {
  # Attestation that a piece of work was given to an agent.

  beadRef @0 :BeadRef;
  # The work item.
  agent @1 :AgentIdentity;
  # Who works on it.
  pipeline @2 :PipelineContext;
  # Where in its pipeline it stands.
  signingCert @3 :BridgeCertResult $Notme.optional;
  # Legacy certificate of the signer.
  certPair @4 :BridgeCertPair $Notme.optional;
  # Enrolment pair of the signer.
}

struct BeadRef {
  # A work item, pinned by content.

  repo @0 :Text;
  # Repository that holds the item.
  beadId @1 :Text;
  # Id of the item in that repository.
  contentHash @2 :Text;
  # Hash of the item's content, written {algorithm}:{hex}, for example sha256:9f86….
}

struct AgentIdentity {
  # The agent that does the work.

  name @0 :Text;
  # Name of the agent.
  provider @1 :Text;
  # Who runs the model.
  model @2 :Text;
  # Name of the model.
  definition @3 :Text $Notme.optional;
  # Where the agent is defined.
}

struct PipelineContext {
  # The phases of a work item and the one it is in.

  phases @0 :List(Text);
  # Names of the phases, in order.
  currentPhase @1 :UInt32;
  # Index into phases, from 0.
  pipelineId @2 :Text;
  # Id of the pipeline.
}

struct HandoffPredicate {
  # Attestation that work passed from one phase to the next; each hashes the one before.

  fromPhase @0 :Text;
  # The phase that ends.
  toPhase @1 :Text;
  # The phase that begins.
  summary @2 :Text;
  # What was done.
  filesChanged @3 :List(Text);
  # Paths relative to the repository's root.
  commitShas @4 :List(Text);
  # Commits made in the phase, hex, oldest first.
  previousChainHash @5 :Text $Notme.optional;
  # chainHash of the handoff before; absent in the first.
  chainHash @6 :Text;
  # Hash over this handoff and the one before.
  signingCert @7 :BridgeCertResult $Notme.optional;
  # Legacy certificate of the signer.
  certPair @8 :BridgeCertPair $Notme.optional;
  # Enrolment pair of the signer.
}

# ---- Signing oracle ---------------------------------------------------------------------------

struct SignRequest {
  # A request to a local key holder.

  digest @0 :Data $Json.base64;
  # What to sign: a digest or, for Ed25519, the message itself.
  algorithm @1 :Text;
  # Ed25519 or ECDSA-P256.
  purpose @2 :Text;
  # tls-client-auth, git-commit or dsse-attestation.
}

struct SignResponse {
  # The key holder's answer.

  signature @0 :Data $Json.base64;
  # Ed25519: 64 bytes. ECDSA-P256: r and s as 64 raw bytes.
  identity @1 :Text;
  # Identity URI of the key's certificate.
}

struct OraclePublicKey {
  # A key that a key holder can use.

  key @0 :Data $Json.base64;
  # SubjectPublicKeyInfo, DER.
  algorithm @1 :Text;
  # Ed25519 or ECDSA-P256.
  certPem @2 :Text;
  # Certificate over the key, PEM.
  identity @3 :Text;
  # Identity URI of the certificate.
  expiresAt @4 :Int64;
  # notAfter of the certificate, in seconds.
}

struct OracleInfo {
  # What a key holder offers.

  keys @0 :List(OraclePublicKey);
  # The keys.
  scopes @1 :List(Text);
  # Scopes of the certificates.
  epoch @2 :UInt64;
  # Revocation epoch of the certificates.
}
