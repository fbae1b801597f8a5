/** Texts of one page alone: the others don't carry them. */

/** Joining by a link that is a further way in. */
export const further = {
  offer: (by: string, name: string) => `${by} made this link for ${name}: a passkey that you make here signs in as ${name}.`,
  button: "Make a passkey",
  signedIn: (name: string) => `You are signed in as ${name}. That session ends when the passkey is made.`,
};
