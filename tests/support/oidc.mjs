// Real OIDC issuers on loopback that sign as anybody does: any algorithm, any claims.
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { SignJWT, exportJWK, generateKeyPair } from "jose";

export const ALGORITHMS = ["EdDSA", "ES256", "PS256", "RS256"];

/** Starts an issuer with a key for each algorithm. `issuer.redeem` says what its token endpoint answers to a form. */
export async function startOidc({ algorithms = ALGORITHMS } = {}) {
  const keys = new Map();
  for (const alg of algorithms) keys.set(alg, { ...(await generateKeyPair(alg, { extractable: true })), kid: `key-${alg}` });
  const jwks = { keys: await Promise.all([...keys].map(async ([alg, { publicKey, kid }]) => ({ ...(await exportJWK(publicKey)), alg, kid, use: "sig" }))) };
  const issuer = { jwks, keys, requests: [] };
  const server = createServer(async (req, res) => {
    issuer.requests.push(req.url);
    await issuer.wait;
    const json = (body, status = 200) => res.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    const endpoints = { authorization_endpoint: `${issuer.url}/authorize`, token_endpoint: `${issuer.url}/token`, ...issuer.discovery };
    if (req.url === "/.well-known/openid-configuration") return json({ issuer: issuer.url, jwks_uri: `${issuer.url}/keys`, ...endpoints });
    if (req.url.startsWith("/authorize?") && issuer.authorize) return issuer.authorize(new URL(req.url, issuer.url).searchParams, res);
    if (req.url === "/token" && req.method === "POST" && issuer.redeem) {
      const form = new URLSearchParams(Buffer.concat(await req.toArray()).toString());
      return issuer.redeem(form, req, res, json);
    }
    // Where Cloudflare Access has them.
    if (["/keys", "/cdn-cgi/access/certs"].includes(req.url)) return json(issuer.jwks);
    res.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer.url = `http://127.0.0.1:${server.address().port}`;
  /** The claims of a token of five minutes; what is `undefined` is left out. */
  issuer.claims = (more = {}) => {
    const now = Math.floor(Date.now() / 1000);
    const claims = { iss: issuer.url, aud: "https://id.example", sub: "job-1", iat: now, exp: now + 300, jti: randomUUID(), team: "red", ...more };
    return Object.fromEntries(Object.entries(claims).filter(([, value]) => value !== undefined));
  };
  issuer.token = (claims = {}, { alg = "RS256", key = keys.get(alg)?.privateKey, ...header } = {}) =>
    new SignJWT(issuer.claims(claims)).setProtectedHeader({ alg, kid: keys.get(alg)?.kid, ...header }).sign(key);
  issuer.close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return issuer;
}
