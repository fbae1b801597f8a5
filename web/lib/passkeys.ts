/**
 * The passkey ceremonies: options are taken apart strictly before the browser gets them, and what the
 * browser makes is written as WebAuthn's JSON. Not all browsers have methods for either yet.
 */

import * as z from "zod/mini";
import { ask } from "./api.ts";
import { fromBase64url, toBase64url } from "./bytes.ts";
import { RegisteredSchema, SignedInSchema, SteppedUpSchema } from "../../gen/ts/api.ts";

const base64url = z.string().check(z.regex(/^[\w-]+$/));
const descriptor = z.object({ type: z.literal("public-key"), id: base64url, transports: z.optional(z.array(z.string())) });
const verification = z.enum(["required", "preferred", "discouraged"]);

const CreationSchema = z.object({
  rp: z.object({ id: z.string(), name: z.string() }),
  user: z.object({ id: base64url, name: z.string(), displayName: z.string() }),
  challenge: base64url,
  pubKeyCredParams: z.array(z.object({ type: z.literal("public-key"), alg: z.int() })),
  timeout: z.optional(z.int()),
  attestation: z.optional(z.enum(["none", "indirect", "direct", "enterprise"])),
  authenticatorSelection: z.optional(
    z.object({
      residentKey: z.optional(verification),
      requireResidentKey: z.optional(z.boolean()),
      userVerification: z.optional(verification),
    }),
  ),
  excludeCredentials: z.optional(z.array(descriptor)),
  extensions: z.optional(z.object({ credProps: z.optional(z.boolean()) })),
});

const RequestSchema = z.object({
  rpId: z.string(),
  challenge: base64url,
  timeout: z.optional(z.int()),
  userVerification: z.optional(verification),
  allowCredentials: z.optional(z.array(descriptor)),
});

const RegistrationSchema = z.object({
  options: CreationSchema,
  isFirstUser: z.boolean(),
  userId: z.string(),
  scopes: z.array(z.string()),
});

const toDescriptors = (list: z.infer<typeof descriptor>[] | undefined): PublicKeyCredentialDescriptor[] =>
  (list ?? []).map(({ type, id, transports }) => ({
    type,
    id: fromBase64url(id),
    ...(transports ? { transports: transports as AuthenticatorTransport[] } : {}),
  }));

/** Members that are there: WebAuthn's types have no place for those that are `undefined`. */
const present = <T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, member]) => member !== undefined)) as never;

function toCreation(options: z.infer<typeof CreationSchema>): PublicKeyCredentialCreationOptions {
  return present({
    ...options,
    challenge: fromBase64url(options.challenge),
    user: { ...options.user, id: fromBase64url(options.user.id) },
    authenticatorSelection: options.authenticatorSelection && present(options.authenticatorSelection),
    excludeCredentials: toDescriptors(options.excludeCredentials),
    extensions: options.extensions && present(options.extensions),
  }) as PublicKeyCredentialCreationOptions;
}

function toRequest(options: z.infer<typeof RequestSchema>): PublicKeyCredentialRequestOptions {
  return present({
    ...options,
    challenge: fromBase64url(options.challenge),
    allowCredentials: toDescriptors(options.allowCredentials),
  });
}

const encode = (buffer: ArrayBuffer): string => toBase64url(new Uint8Array(buffer));

/** The members that both kinds of answer have. */
const envelope = (credential: PublicKeyCredential) => ({
  id: credential.id,
  rawId: encode(credential.rawId),
  type: credential.type,
  ...(credential.authenticatorAttachment ? { authenticatorAttachment: credential.authenticatorAttachment } : {}),
  clientExtensionResults: credential.getClientExtensionResults(),
});

function createdToJson(credential: PublicKeyCredential): unknown {
  const response = credential.response as AuthenticatorAttestationResponse;
  return {
    ...envelope(credential),
    response: {
      clientDataJSON: encode(response.clientDataJSON),
      attestationObject: encode(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
  };
}

function shownToJson(credential: PublicKeyCredential): unknown {
  const response = credential.response as AuthenticatorAssertionResponse;
  return {
    ...envelope(credential),
    response: {
      clientDataJSON: encode(response.clientDataJSON),
      authenticatorData: encode(response.authenticatorData),
      signature: encode(response.signature),
      ...(response.userHandle?.byteLength ? { userHandle: encode(response.userHandle) } : {}),
    },
  };
}

/** What a ceremony is at. */
export type Progress = "asking" | "touch" | "checking";

/** Whether this browser has passkeys here at all. */
export const canUsePasskeys = (): boolean => window.isSecureContext && "PublicKeyCredential" in window;

/** Why a passkey is made: for somebody new, who has a name, or, without one, as a further one of whoever is signed in. */
export type Wish =
  | { bootstrapCode: string; displayName: string }
  | { invite: string; displayName: string }
  | { displayName: string }
  | Record<never, never>;

/** Makes a passkey and registers it, under its name, if it has one already. */
export async function register(wish: Wish, tell: (at: Progress) => void, { isRecovery = false, name }: { isRecovery?: boolean; name?: string } = {}) {
  tell("asking");
  const begun = await ask("POST", isRecovery ? "/auth/passkey/reset" : "/auth/passkey/register/options", RegistrationSchema, wish);
  tell("touch");
  const made = await navigator.credentials.create({ publicKey: toCreation(begun.options) });
  if (!made) throw new DOMException("", "NotAllowedError");
  tell("checking");
  const response = createdToJson(made as PublicKeyCredential);
  return ask("POST", "/auth/passkey/register/verify", RegisteredSchema, { userId: begun.userId, response, ...(name ? { name } : {}) });
}

/** How a passkey is asked for. */
export interface Asking {
  mediation?: "conditional";
  signal?: AbortSignal;
}

async function show(options: string, { mediation, signal }: Asking, tell: (at: Progress) => void): Promise<unknown> {
  tell("asking");
  const request = await ask("POST", options, RequestSchema);
  signal?.throwIfAborted();
  tell("touch");
  const shown = await navigator.credentials.get({
    publicKey: toRequest(request),
    ...(mediation ? { mediation } : {}),
    ...(signal ? { signal } : {}),
  });
  if (!shown) throw new DOMException("", "NotAllowedError");
  tell("checking");
  return shownToJson(shown as PublicKeyCredential);
}

/** Signs in. */
export async function signIn(tell: (at: Progress) => void, asking: Asking = {}) {
  const response = await show("/auth/passkey/login/options", asking, tell);
  return ask("POST", "/auth/passkey/login/verify", SignedInSchema, { response });
}

/** Shows a passkey again, for what is dangerous. */
export async function stepUp(tell: (at: Progress) => void) {
  const response = await show("/auth/passkey/step-up/options", {}, tell);
  return ask("POST", "/auth/passkey/step-up/verify", SteppedUpSchema, { response });
}
