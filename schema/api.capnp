# What the authority's HTTP routes about people say: requests and answers, as JSON.
#
# These are messages between a browser and the authority, never stored and never signed: JSON is
# their only form. The API reference and the validators of the web pages come from here.
#
# Times are seconds since 1970-01-01T00:00:00Z unless a field says otherwise. What WebAuthn defines
# (options and responses of ceremonies) is not repeated here.

@0xd1c5b0e6a8f47293;

using Json = import "/capnp/compat/json.capnp";
using Notme = import "/notme.capnp";

$Notme.jsonOnly;

# ---- Errors -------------------------------------------------------------------------------------

struct Problem {
  # Every answer that is not what was asked for.

  error @0 :Text;
  # A sentence for people.
  code @1 :Text;
  # A stable code for programs.
  errorDescription @2 :Text $Json.name("error_description") $Notme.optional;
  # More about it, where there is more to say.
}

# ---- Who is here --------------------------------------------------------------------------------

enum FirstBoot {
  # Whether the authority waits for its first administrator.

  armed @0;
  # Nobody has come in yet, and a code is configured that nobody has used.
  unconfigured @1;
  # Nobody has come in yet, and there is no code that would let anybody in.
  closed @2;
  # Somebody has.
}

struct Door {
  # What a stranger may know before they knock.

  firstBoot @0 :FirstBoot;
  # Whether a first administrator is waited for.
  registration @1 :Bool;
  # Whether anybody may register without an invite.
  rpId @2 :Text $Notme.optional;
  # The domain that passkeys are made for; absent if there can be none.
}

struct Me {
  # The session that asks, and whose it is.

  authenticated @0 :Bool;
  # Always true: without a session there is no such answer.
  userId @1 :Text;
  # The principal's id.
  isAdmin @2 :Bool;
  # Whether they may administer the authority.
  expiresAt @3 :UInt64;
  # When the session ends at the latest.
  displayName @4 :Text;
  # What the principal is called.
  scopes @5 :List(Text);
  # What they may do at this moment.
  authMethod @6 :Text;
  # How they came in.
  session @7 :Text;
  # The session's id, as lists of sessions have it.
  freshUntil @8 :UInt64;
  # Until when what is dangerous may be done without showing a passkey again.
  identity @9 :Text;
  # The URI that certificates carry.
  pending @10 :List(Text);
  # What they were granted since they last showed a passkey, and may do once they show one again.
}

struct SignedIn {
  # A sign-in that succeeded.

  verified @0 :Bool;
  # Always true.
  userId @1 :Text;
  # Who it is.
  isAdmin @2 :Bool;
  # Whether they may administer the authority.
}

struct Registered {
  # A registration that succeeded.

  verified @0 :Bool;
  # Always true.
  scopes @1 :List(Text);
  # What the principal may do.
}

struct SteppedUp {
  # A passkey was shown again.

  verified @0 :Bool;
  # Always true.
  freshUntil @1 :UInt64;
  # Until when that counts.
}

struct Joined {
  # An invite that was redeemed.

  joined @0 :Bool;
  # Always true.
  principalId @1 :Text;
  # The new principal.
  scopes @2 :List(Text);
  # What it may do.
}

struct SignedOut {
  # The end of a session.

  signedOut @0 :Bool;
  # Always true, also if there was none.
}

struct Done {
  # Something was changed, or had been already.

  done @0 :Bool;
  # Always true.
}

# ---- Requests -----------------------------------------------------------------------------------

struct BeginRegistration {
  # A wish to register a passkey. With a session, and without an invite, a code and a name, it is a further
  # passkey of the principal that asks.

  bootstrapCode @0 :Text $Notme.optional;
  # The operator's one-time code: for the first administrator.
  invite @1 :Text $Notme.optional;
  # The token of an invite.
  displayName @2 :Text $Notme.optional;
  # What the principal is to be called; at most 64 characters. Whoever gives a name is somebody new.
  further @3 :Bool $Notme.optional;
  # That it is a further passkey: refused without a session.
}

struct Recover {
  # A wish to register an administrator where the last one is lost.

  bootstrapCode @0 :Text;
  # The operator's one-time code, a new one.
  displayName @1 :Text $Notme.optional;
  # What the principal is to be called.
}

struct MakeInvite {
  # A wish to invite somebody.

  scopes @0 :List(Text) $Notme.optional;
  # What they will be granted. Default: bridgeCert.
  ttl @1 :UInt32 $Notme.optional;
  # For how many seconds, at most 604800. Default: 3600.
  principal @2 :Text $Notme.optional;
  # Whom it is a further way in for, in place of scopes. Default: for somebody new.
}

struct Token {
  # The token of an invite, alone.

  token @0 :Text;
  # As it stands in the invite's URL.
}

struct IssuerMade {
  # A row that lets somebody in was made or changed.

  id @0 :Text;
  # Its id.
  revision @1 :UInt64;
  # The revision that it has now.
}

struct Rename {
  # A new name for something of one's own.

  name @0 :Text;
  # At most 64 characters.
}

struct Grant {
  # A wish to grant something to a principal.

  scope @0 :Text;
  # What; the granter must have it.
  expiresAt @1 :UInt64 $Notme.optional;
  # Until when. Default: for good.
}

# ---- Lists --------------------------------------------------------------------------------------

struct Passkey {
  # A passkey of the principal that asks.

  id @0 :Text;
  # The authenticator's id.
  name @1 :Text;
  # What its owner calls it.
  createdAt @2 :UInt64;
  # When it was registered.
  lastUsedAt @3 :UInt64;
  # When it was last used; 0 if never.
  backedUp @4 :Bool;
  # Whether it was backed up when it was last used.
  synced @5 :Bool;
  # Whether it may be on several devices.
  aaguid @6 :Text;
  # The model of the authenticator, as a UUID.
  current @7 :Bool;
  # Whether the session that asks began with it.
}

struct Passkeys {
  # All of them.

  passkeys @0 :List(Passkey);
  # The oldest first.
}

struct Connection {
  # An identity that is linked to the principal that asks.

  id @0 :Text;
  # The authenticator's id.
  provider @1 :Text;
  # The kind of proof, a colon, and who vouches for it.
  subject @2 :Text;
  # Whom.
  connectedAt @3 :Text;
  # Since when: `YYYY-MM-DD HH:MM:SS`, in UTC.
}

struct Connections {
  # All of them.

  connections @0 :List(Connection);
  # The oldest first.
}

struct Connected {
  # An identity that is linked.

  connected @0 :Bool;
  # Always true.
  provider @1 :Text;
  # The kind of proof, a colon, and who vouches for it.
  subject @2 :Text;
  # Whom.
}

struct SignInIssuer {
  # An issuer at which people sign in from the pages.

  issuer @0 :Text;
  # Who it is, as its tokens say.
  clientId @1 :Text;
  # What it knows this authority as.
  label @2 :Text;
  # What people read.
  redirectUri @3 :Text;
  # Where it sends people back to: what is to be registered there.
}

struct SignInIssuers {
  # All of them.

  issuers @0 :List(SignInIssuer);
  # In the order in which their rows are asked.
}

struct IdentityOptions {
  # A challenge that the proof of an identity is made for.

  challenge @0 :Text;
  # 32 bytes in base64url. It is sent with the proof, and to nobody else.
  nonce @1 :Text;
  # Its SHA-256 in base64url: what the token has to have as `nonce`.
  expiresIn @2 :UInt32 $Json.name("expires_in");
  # For how many seconds it is good.
  authorizationUrl @3 :Text $Json.name("authorization_url") $Notme.optional;
  # Where the browser goes, if it wanted to be sent to an issuer: `state` is to be added.
  issExpected @4 :Bool $Json.name("iss_expected") $Notme.optional;
  # Whether the issuer's answer has to have `iss` (RFC 9207).
}

struct IdentitySignedIn {
  # A session that began with a linked identity.

  authenticated @0 :Bool;
  # Always true.
  principalId @1 :Text;
  # Who it is.
  scopes @2 :List(Text);
  # What they may do in it at this moment.
  authMethod @3 :Text;
  # How they came in: the kind of proof, a colon, and who vouches for it.
  pending @4 :List(Text);
  # What they may do once they show a passkey in it.
}

struct Session {
  # A session.

  id @0 :Text;
  # Its id, which is no secret.
  principal @1 :Text;
  # Whose it is.
  displayName @2 :Text;
  # What they are called.
  method @3 :Text;
  # How they came in.
  source @4 :Text;
  # Where from.
  createdAt @5 :UInt64;
  # When it began.
  seenAt @6 :UInt64;
  # When it was last used, to the minute.
  expiresAt @7 :UInt64;
  # When it ends at the latest.
  current @8 :Bool;
  # Whether it is the one that asks.
}

struct Sessions {
  # A page of sessions.

  items @0 :List(Session);
  # The newest first.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

struct Invited {
  # An invite that was made. Its token is told here and never again.

  token @0 :Text;
  # The token.
  url @1 :Text;
  # Where it is redeemed, with the token in the fragment.
  expiresAt @2 :Text;
  # Until when: ISO 8601, UTC.
  scopes @3 :List(Text);
  # What it grants.
  id @4 :Text;
  # The invite's id, which is no secret.
}

enum InviteState {
  # What became of an invite.

  open @0;
  # It can be redeemed.
  redeemed @1;
  # Somebody joined with it.
  expired @2;
  # Nobody did in time.
  void @3;
  # Who made it may not grant what it promises any more.
}

struct Invite {
  # An invite, without its token.

  id @0 :Text;
  # Its id.
  createdBy @1 :Text;
  # The principal that made it.
  createdByName @2 :Text;
  # What they are called.
  scopes @3 :List(Text);
  # What it grants.
  createdAt @4 :UInt64;
  # When it was made.
  expiresAt @5 :UInt64;
  # Until when it can be redeemed.
  state @6 :InviteState;
  # What became of it.
  redeemedBy @7 :Text $Notme.optional;
  # The principal that joined with it.
  redeemedAt @8 :UInt64;
  # When they did; 0 if nobody has.
  redeemedByName @9 :Text $Notme.optional;
  # What they are called.
  principal @10 :Text $Notme.optional;
  # Whom it is a further way in for; absent if it is for somebody new.
  principalName @11 :Text $Notme.optional;
  # What they are called.
}

struct Invites {
  # A page of invites.

  items @0 :List(Invite);
  # The newest first.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

struct Invitation {
  # What an invite offers to whoever holds its token.

  scopes @0 :List(Text);
  # What they will be granted.
  invitedBy @1 :Text;
  # What the principal that made it is called.
  expiresAt @2 :UInt64;
  # Until when.
  furtherFor @3 :Text $Notme.optional;
  # What the principal is called whom it is a further way in for; absent if it is for somebody new.
}

struct Granted {
  # A grant.

  principal @0 :Text;
  # Whose.
  displayName @1 :Text;
  # What they are called.
  scope @2 :Text;
  # What they may do.
  grantedBy @3 :Text $Notme.optional;
  # The principal that granted it; absent if the operator's code did.
  grantedAt @4 :UInt64;
  # When.
  expiresAt @5 :UInt64;
  # Until when; 0 if for good.
  grantedByName @6 :Text $Notme.optional;
  # What whoever granted it is called.
}

struct Grants {
  # A page of grants.

  items @0 :List(Granted);
  # By principal.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

struct Principal {
  # A principal.

  id @0 :Text;
  # Its id.
  kind @1 :Text;
  # human, workload, agent or organisation.
  displayName @2 :Text;
  # What it is called.
  createdAt @3 :UInt64;
  # When it was made.
  createdBy @4 :Text $Notme.optional;
  # The principal that invited it; absent if nobody did.
  disabledAt @5 :UInt64;
  # When it was turned away; 0 if it wasn't.
  scopes @6 :List(Text);
  # What it may do at this moment.
}

struct Principals {
  # A page of principals.

  items @0 :List(Principal);
  # The newest first, or by name in a search.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

struct Authenticator {
  # A way in.

  id @0 :Text;
  # Its id.
  principal @1 :Text;
  # Whose it is.
  displayName @2 :Text;
  # What they are called.
  kind @3 :Text;
  # What it is: passkey.
  issuer @4 :Text;
  # Of a passkey, the domain it was made for.
  name @5 :Text;
  # What its owner calls it.
  createdAt @6 :UInt64;
  # When it was added.
  lastUsedAt @7 :UInt64;
  # When it was last used; 0 if never.
}

struct Authenticators {
  # A page of authenticators.

  items @0 :List(Authenticator);
  # The newest first.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

enum CredentialState {
  # Whether a credential is good.

  active @0;
  # It is.
  expired @1;
  # It was, until it ended by itself.
  revoked @2;
  # It was taken back, or is of an epoch that is over.
}

struct Credential {
  # An enrolment pair that was issued.

  serial @0 :Text;
  # Serial number of the mTLS certificate, in lower-case hex.
  signingSerial @1 :Text;
  # Serial number of the signing certificate.
  subject @2 :Text;
  # Who it names.
  identity @3 :Text;
  # The URI in it.
  principal @4 :Text $Notme.optional;
  # The principal, where there is one.
  method @5 :Text;
  # What proof it was issued for.
  scopes @6 :List(Text);
  # What it carries.
  epoch @7 :UInt64;
  # Its epoch.
  issuedAt @8 :UInt64;
  # When it was issued.
  expiresAt @9 :UInt64;
  # When it ends by itself.
  state @10 :CredentialState;
  # Whether it is good.
  revokedAt @11 :UInt64;
  # When it was taken back; 0 if it wasn't.
  delegation @12 :Text $Notme.optional;
  # The delegation that it hangs on, where it is on somebody's behalf.
  issuing @13 :Bool;
  # Whether it is one issuing certificate, whose serial number both are.
}

struct Credentials {
  # A page of credentials.

  items @0 :List(Credential);
  # The newest first.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

enum DelegationState {
  # What a delegation is worth.

  active @0;
  # What it says, as far as that is allowed above it.
  expired @1;
  # It ended by itself.
  revoked @2;
  # It was taken back.
  void @3;
  # One above it was taken back, or somebody in the chain was turned away.
}

struct Delegation {
  # What one principal lets another do on somebody's behalf.

  id @0 :Text;
  # Its id.
  parent @1 :Text $Notme.optional;
  # The delegation that it hangs on; absent if it passes on its giver's own rights.
  delegator @2 :Text;
  # The principal that gave it.
  onBehalfOf @3 :Text;
  # The principal at whose behest all of the chain is.
  delegate @4 :Text;
  # The principal that it is to.
  scopes @5 :List(Text);
  # With which scopes.
  audience @6 :Text $Notme.optional;
  # Where alone it may be used.
  purposeHash @7 :Text $Notme.optional;
  # The SHA-256 of what alone it may be used for, in lower-case hex.
  depth @8 :UInt64;
  # How often it may be handed on.
  delegable @9 :Bool;
  # Whether it may be at all.
  createdAt @10 :UInt64;
  # When it was made.
  expiresAt @11 :UInt64;
  # When it is over.
  state @12 :DelegationState;
  # What it is worth.
  revokedAt @13 :UInt64;
  # When it was taken back; 0 if it wasn't.
}

struct Delegations {
  # A page of delegations.

  items @0 :List(Delegation);
  # The newest first.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

struct AuditEntry {
  # A line of the audit trail.

  id @0 :UInt64;
  # Its number, ascending.
  at @1 :UInt64;
  # When.
  actor @2 :Text $Notme.optional;
  # The principal that did it; absent for a stranger.
  actorName @3 :Text $Notme.optional;
  # What they are called.
  action @4 :Text;
  # What was done.
  target @5 :Text $Notme.optional;
  # What it was done to.
  source @6 :Text;
  # Where from.
  requestId @7 :Text;
  # The id of the request.
  details @8 :Text;
  # More, as JSON text.
}

struct Audit {
  # A page of the audit trail.

  items @0 :List(AuditEntry);
  # The newest first.
  next @1 :Text $Notme.optional;
  # The cursor of the next page; absent on the last.
}

# ---- The authority itself -----------------------------------------------------------------------

struct Status {
  # Counts for operators.

  authority @0 :AuthorityStatus;
  # Its key and epoch.
  passkey @1 :PasskeyStatus;
  # Who there is.
  rpId @2 :Text;
  # The domain that passkeys are made for.
  recoveryArmed @3 :Bool;
  # Whether an operator's code is configured that nobody has used.
}

struct AuthorityStatus {
  # The key and the epoch.

  epoch @0 :UInt64;
  # The epoch.
  seqno @1 :UInt64;
  # The number of the last revocation bundle.
  keyId @2 :Text;
  # The id of the key that signs.
}

struct PasskeyStatus {
  # How many there are.

  users @0 :UInt64;
  # Principals that have a passkey.
  credentials @1 :UInt64;
  # Passkeys.
  admins @2 :UInt64;
  # Principals that may administer the authority.
}

struct KeyChanged {
  # The epoch or the key was changed.

  epoch @0 :UInt64;
  # The epoch that is in force.
  keyId @1 :Text;
  # The id of the key that signs.
  previousKeyId @2 :Text;
  # The id of the key that signed before; the same if only the epoch changed.
}
