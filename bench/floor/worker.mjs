// The floor: the least that a worker can do for a pair. The same five signature operations, one
// object hop and one INSERT, all in the platform; no certificate, no policy, no error handling.
import { DurableObject } from "cloudflare:workers";
import jwks from "jwks.json";

const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const fromBase64url = (text) => fromBase64(text.replaceAll("-", "+").replaceAll("_", "/"));
const fromPem = (pem) => fromBase64(pem.replace(/-----[^-]+-----|\s/g, ""));
const encoder = new TextEncoder();

let issuerKey;
let caKey;

export class Floor extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.sql = state.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS burned (jti TEXT PRIMARY KEY, expires_at INTEGER)");
  }

  async issue(jti, mtls, signing) {
    caKey ??= await crypto.subtle.generateKey({ name: "Ed25519" }, false, ["sign", "verify"]);
    this.sql.exec("INSERT INTO burned VALUES (?, ?)", jti, Date.now());
    const first = await crypto.subtle.sign({ name: "Ed25519" }, caKey.privateKey, mtls);
    const second = await crypto.subtle.sign({ name: "Ed25519" }, caKey.privateKey, signing);
    return [first, second];
  }
}

export default {
  async fetch(request, env) {
    const rsa = { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" };
    issuerKey ??= await crypto.subtle.importKey("jwk", jwks.keys[0], rsa, false, ["verify"]);
    const token = request.headers.get("authorization").slice(7);
    const body = await request.json();
    const [header, payload, signature] = token.split(".");
    const signed = encoder.encode(`${header}.${payload}`);
    const tokenIsGood = await crypto.subtle.verify(rsa.name, issuerKey, fromBase64url(signature), signed);
    const { jti } = JSON.parse(new TextDecoder().decode(fromBase64url(payload)));
    const [mtls, signing] = [fromPem(body.public_keys.mtls), fromPem(body.public_keys.signing)];
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", encoder.encode(token)));
    const preImage = new Uint8Array([...mtls, ...signing, ...digest]);
    const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
    const mtlsKey = await crypto.subtle.importKey("spki", mtls, ecdsa, false, ["verify"]);
    const signingKey = await crypto.subtle.importKey("spki", signing, { name: "Ed25519" }, false, ["verify"]);
    const mtlsIsGood = await crypto.subtle.verify(ecdsa, mtlsKey, fromBase64url(body.proofs.mtls), preImage);
    const signingIsGood = await crypto.subtle.verify("Ed25519", signingKey, fromBase64url(body.proofs.signing), preImage);
    if (!tokenIsGood || !mtlsIsGood || !signingIsGood) return new Response("bad", { status: 401 });
    const toBeSigned = new Uint8Array(500);
    const object = env.FLOOR.get(env.FLOOR.idFromName("default"));
    const [x, y] = await object.issue(jti, toBeSigned, toBeSigned);
    return Response.json({ x: x.byteLength, y: y.byteLength });
  },
};
