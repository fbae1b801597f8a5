/** Texts of one page alone: the others don't carry them. */

/** Joining by a link that is a further way in. */
export const further = {
  offer: (by: string, name: string) => `${by} made this link for ${name}: a passkey that you make here signs in as ${name}.`,
  button: "Make a passkey",
  signedIn: (name: string) => `You are signed in as ${name}. That session ends when the passkey is made.`,
};

/** Signing in at an issuer, linking who one is there, and joining by it. */
export const federation = {
  or: "Or with what you have elsewhere",
  signIn: (label: string) => `Sign in with ${label}`,
  link: (label: string) => `Link ${label}`,
  join: (label: string) => `Join with ${label}`,
  further: (label: string) => `Sign in with ${label} from now on`,
  unknown: "Whether there are other ways in can't be said at the moment.",
  leaving: (label: string) => `Going to ${label}…`,
  checking: (label: string) => `Checking what ${label} says…`,
  done: {
    signIn: "You are signed in. One moment…",
    link: "It is linked. One moment…",
    join: "You are in. One moment…",
  },
  stopped: "That led nowhere",
  nothing: "This page finishes what another one began, in the same tab and once. There is nothing to finish.",
  refused: (label: string, code: string) => `${label} doesn't say who you are${code ? `: ${code}` : ""}.`,
  notKept: "It was right, but your browser doesn't keep the session, or sends another cookie of its name beside it. Allow cookies for this address, delete those that it has, and sign in again.",
  inviteStays: "The invite is as good as before: open its link again.",
  back: {
    signIn: "Back to signing in",
    link: "Back to my page",
    join: "Sign in",
  },
  none: "Nothing but passkeys lets you in.",
  linkHint: "You sign in there, and come back. From then on it signs you in here as well.",
};

/** Making a pair on one's own page. */
export const mint = {
  title: "Make a pair",
  window: "mint",
  text: "Your browser makes two keys that can't be taken out of it, shows that it holds them, and gets a certificate for each: P-256 for mTLS, Ed25519 for signatures. They are good for five minutes.",
  button: "Make a pair",
  keys: "Making two keys…",
  asking: "Asking for a challenge…",
  signing: "Signing it with both keys…",
  issuing: "Waiting for the certificates…",
  done: (time: string) => `Issued. The pair ends at ${time}.`,
  use: "It shows what this authority says of you, for as long as this page is open: the private keys can't leave it, and go with it. A program that needs a pair of its own makes its keys itself, with notme enroll or the API.",
  root: "Root certificates to verify it with",
  mtls: "mTLS certificate (P-256)",
  signingPem: "Signing certificate (Ed25519)",
  noEd25519: "This browser's WebCrypto has no Ed25519, so it can't make the signing key.",
  noEd25519Next: "Current versions of Chrome, Edge, Firefox and Safari have it. The notme command line works everywhere.",
  notGranted: "You may not have certificates: bridgeCert isn't granted to you.",
};
