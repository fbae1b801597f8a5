// The floor of a sign-in: the same request, one P-256 verification, one object hop, one INSERT, all in
// the platform; no rule, no challenge, no session, no error handling. And before it a request that asks for a
// challenge, which is random bytes and nothing else.
import { DurableObject } from "cloudflare:workers";
import jwk from "key.json";

const fromBase64url = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const ecdsa = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };

export class Floor extends DurableObject {
  constructor(state, env) {
    super(state, env);
    this.sql = state.storage.sql;
    this.sql.exec("CREATE TABLE IF NOT EXISTS sessions (id TEXT PRIMARY KEY, created_at INTEGER)");
  }

  async begin(id) {
    this.sql.exec("INSERT INTO sessions VALUES (?, ?)", id, Date.now());
    return id;
  }
}

/** r ‖ s of a DER signature. */
function raw(der) {
  const out = new Uint8Array(64);
  let at = 2;
  for (const end of [32, 64]) {
    const length = der[at + 1];
    const number = der.subarray(at + 2, at + 2 + length);
    const bare = number[0] === 0 ? number.subarray(1) : number;
    out.set(bare, end - bare.length);
    at += 2 + length;
  }
  return out;
}

export default {
  async fetch(request, env) {
    if (request.url.endsWith("/options")) {
      await request.json();
      const challenge = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32))));
      return Response.json({ challenge });
    }
    const { response } = (await request.json()).response;
    const client = fromBase64url(response.clientDataJSON);
    const data = fromBase64url(response.authenticatorData);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", client));
    const signed = new Uint8Array([...data, ...digest]);
    const key = await crypto.subtle.importKey("jwk", jwk, ecdsa, false, ["verify"]);
    if (!(await crypto.subtle.verify(ecdsa, key, raw(fromBase64url(response.signature)), signed))) return new Response("bad", { status: 401 });
    const object = env.FLOOR.get(env.FLOOR.idFromName("default"));
    const id = await object.begin(crypto.randomUUID());
    return Response.json({ verified: true }, { headers: { "set-cookie": `session=${id}; HttpOnly; Secure; SameSite=Strict; Path=/` } });
  },
};
