/**
 * Going to an issuer to sign in there, and coming back with its code (RFC 6749 §4.1, RFC 7636, RFC 9207). What makes the
 * code worth something stays in this tab.
 */

import * as z from "zod/mini";
import { ConnectedSchema, IdentityOptionsSchema, IdentitySignedInSchema, JoinedSchema, MeSchema, type SignInIssuer, SignInIssuersSchema } from "../../gen/ts/api.ts";
import { BadAnswer, ask } from "./api.ts";
import { type Bytes, toBase64url } from "./bytes.ts";
import { h } from "./dom.ts";
import { type Status, attempt, button } from "./ui.ts";
import { isSessionGone } from "./words.ts";
import { federation as words } from "../pages/strings.ts";

/** What somebody goes there for. */
const ErrandSchema = z.object({
  purpose: z.enum(["signIn", "link", "join"]),
  /** Where they go on, if not to their own page. */
  returnTo: z.optional(z.string()),
  /** Of who joins: the invite's token, and what they want to be called. */
  invite: z.optional(z.string()),
  displayName: z.optional(z.string()),
});
export type Errand = z.infer<typeof ErrandSchema>;

const IssuerSchema = z.object({ issuer: z.string(), clientId: z.string(), label: z.string(), redirectUri: z.string() });

const PendingSchema = z.object({
  errand: ErrandSchema,
  issuer: IssuerSchema,
  issExpected: z.boolean(),
  /** When somebody left, in milliseconds. */
  at: z.number(),
  state: z.string(),
  verifier: z.string(),
  challenge: z.string(),
});
export type Pending = z.infer<typeof PendingSchema>;

/** Whoever came back: with a code, or with a no. */
export interface Arrival {
  pending: Pending;
  code: string | undefined;
  error: string | undefined;
}

const KEY = "notme.federation";

/** For how long what was begun can be finished, in milliseconds: challenges are good no longer. */
const LIFETIME = 300_000;

const secret = (): string => toBase64url(crypto.getRandomValues(new Uint8Array(32)));

const digest = async (text: string): Promise<Bytes> => new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));

/** The issuers at which people sign in; nothing, if they can't be had: nobody needs them to do something else. Whoever is shown them begins anew. */
export async function issuers(): Promise<SignInIssuer[] | undefined> {
  take();
  try {
    return (await ask("GET", "/auth/oidc/issuers", SignInIssuersSchema)).issuers;
  } catch {
    return undefined;
  }
}

/** Sends the browser to an issuer. */
export async function depart(issuer: SignInIssuer, errand: Errand): Promise<void> {
  const [state, verifier] = [secret(), secret()];
  const wish = { issuer: issuer.issuer, client_id: issuer.clientId, code_challenge: toBase64url(await digest(verifier)) };
  const path = errand.purpose === "link" ? "/connections/options" : "/auth/oidc/options";
  const { challenge, authorization_url: address = "", iss_expected: issExpected = false } = await ask("POST", path, IdentityOptionsSchema, wish);
  if (!/^https?:\/\//.test(address)) throw new BadAnswer(`${path}: authorization_url`);
  const pending: Pending = { errand, issuer, issExpected, at: Date.now(), state, verifier, challenge };
  sessionStorage.setItem(KEY, JSON.stringify(pending));
  location.assign(`${address}&state=${state}`);
}

/** Takes what the issuer sent back out of the address, once; nothing, if it isn't the answer to what this tab asked. */
export function arrive(): Arrival | undefined {
  const query = new URLSearchParams(location.search);
  history.replaceState(null, "", location.pathname);
  const pending = take();
  if (!pending || query.get("state") !== pending.state || Date.now() - pending.at > LIFETIME) return undefined;
  // Of several issuers it is the one that was asked: each sends people back to a page of its own, and may say who it is
  // (RFC 9207 §2.4). Else one could have another one answer, and get that one's code.
  if (location.pathname !== new URL(pending.issuer.redirectUri).pathname) return undefined;
  if (query.has("iss") ? query.get("iss") !== pending.issuer.issuer : pending.issExpected) return undefined;
  const one = (name: string) => query.get(name) ?? undefined;
  return { pending, code: one("code"), error: one("error") };
}

function take(): Pending | undefined {
  try {
    const stored: unknown = JSON.parse(sessionStorage.getItem(KEY) ?? "null");
    sessionStorage.removeItem(KEY);
    const pending = z.safeParse(PendingSchema, stored);
    return pending.success ? pending.data : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the browser sends the session that just began, and nothing beside it. */
export async function isKept(): Promise<boolean> {
  try {
    await ask("GET", "/me", MeSchema);
    return true;
  } catch (error) {
    return !isSessionGone(error);
  }
}

/** Does what somebody went there for. */
export async function finish({ errand, issuer, verifier, challenge }: Pending, code: string): Promise<void> {
  const identity = { issuer: issuer.issuer, client_id: issuer.clientId, code, code_verifier: verifier };
  const proof = { type: "oidc", ...identity };
  switch (errand.purpose) {
    case "signIn":
      await ask("POST", "/auth/oidc/login", IdentitySignedInSchema, { ...identity, challenge });
      return;
    case "link":
      await ask("POST", "/connections", ConnectedSchema, { proof, challenge });
      return;
    case "join":
      await ask("POST", "/join", JoinedSchema, { token: errand.invite, proof: { ...proof, displayName: errand.displayName }, challenge });
  }
}

/** A button for each issuer; nothing, if there is none. `errand` may say no by giving nothing. */
export function identityButtons(offered: SignInIssuer[] | undefined, text: (label: string) => string, status: Status, errand: () => Promise<Errand | undefined> | Errand | undefined): HTMLElement | undefined {
  if (!offered) return h("p", { class: "hint" }, words.unknown);
  if (!offered.length) return undefined;
  const one = (issuer: SignInIssuer) =>
    button(text(issuer.label), () =>
      attempt(status, async () => {
        const wanted = await errand();
        if (!wanted) return;
        status.busy(words.leaving(issuer.label));
        await depart(issuer, wanted);
      }),
    );
  return h("p", { class: "actions" }, ...offered.map(one));
}
