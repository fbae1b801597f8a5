/** A pair for keys that this browser makes and never gives away. */

import * as z from "zod/mini";
import { BadAnswer, ask } from "./api.ts";
import { type Bytes, concat, contains, fromBase64url, fromPem, toBase64url, toPem } from "./bytes.ts";

const ChallengeSchema = z.object({ challenge: z.string().check(z.regex(/^[\w-]{43}$/)), expires_in: z.int() });
const PairSchema = z.object({
  certificates: z.object({ mtls: z.string(), signing: z.string() }),
  expires_at: z.int().check(z.minimum(0)),
  identity: z.string(),
  scopes: z.array(z.string()),
});

export type Pair = z.infer<typeof PairSchema>;

/** This browser has no Ed25519. */
export class NoEd25519 extends Error {}

export type Step = "keys" | "asking" | "signing" | "issuing";

const DOMAIN = new TextEncoder().encode("notme-proof-of-possession-v1\0");

async function makeKeys(): Promise<[CryptoKeyPair, CryptoKeyPair]> {
  const p256 = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, false, ["sign", "verify"]);
  try {
    return [p256, (await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"])) as CryptoKeyPair];
  } catch (error) {
    throw new NoEd25519("", { cause: error });
  }
}

const spki = async (key: CryptoKeyPair): Promise<Bytes> => new Uint8Array(await crypto.subtle.exportKey("spki", key.publicKey));

/** Makes two keys, shows that they are held, and gets their certificates (docs/people.md). */
export async function mint(tell: (step: Step) => void): Promise<Pair> {
  tell("keys");
  const [mtls, signing] = await makeKeys();
  const [mtlsSpki, signingSpki] = [await spki(mtls), await spki(signing)];
  tell("asking");
  const { challenge } = await ask("POST", "/cert/challenge", ChallengeSchema);
  tell("signing");
  const message = concat(DOMAIN, fromBase64url(challenge), mtlsSpki, signingSpki);
  const sign = async (algorithm: AlgorithmIdentifier | EcdsaParams, key: CryptoKeyPair) =>
    toBase64url(new Uint8Array(await crypto.subtle.sign(algorithm, key.privateKey, message)));
  const proofs = { mtls: await sign({ name: "ECDSA", hash: "SHA-256" }, mtls), signing: await sign({ name: "Ed25519" }, signing) };
  tell("issuing");
  const pair = await ask("POST", "/cert", PairSchema, {
    proof: { type: "session" },
    challenge,
    public_keys: { mtls: toPem("PUBLIC KEY", mtlsSpki), signing: toPem("PUBLIC KEY", signingSpki) },
    proofs,
  });
  requireKey(pair.certificates.mtls, mtlsSpki);
  requireKey(pair.certificates.signing, signingSpki);
  return pair;
}

/** Certificates over other keys would be no use, and a sign that something is badly wrong. */
function requireKey(pem: string, key: Bytes): void {
  let isThere = false;
  try {
    isThere = contains(fromPem("CERTIFICATE", pem), key);
  } catch {
    // no certificate at all
  }
  if (!isThere) throw new BadAnswer("certificate over another key");
}
