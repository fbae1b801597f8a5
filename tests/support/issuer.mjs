// A real OIDC issuer on loopback: a discovery document, a key set, and tokens in GitHub's shape.
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";
import { SignJWT, exportJWK, generateKeyPair } from "jose";

/**
 * @typedef {{ url: string, requests: string[], token: (claims?: object, header?: object) => Promise<string>,
 *   rotate: () => Promise<void>, answer: ((path: string, res: import("node:http").ServerResponse) => boolean) | undefined,
 *   wait: Promise<void> | undefined, close: () => Promise<void> }} Issuer
 */

/** @returns {Promise<Issuer>} an issuer; set `answer` to misbehave (return true if it answered), and `wait` to what it waits for */
export async function startIssuer() {
  let kid = "key-1";
  let pair = await generateKeyPair("RS256", { extractable: true });
  let jwks = [await publish(pair.publicKey, kid)];
  const issuer = { requests: [], answer: undefined, wait: undefined };

  const server = createServer(async (req, res) => {
    issuer.requests.push(req.url);
    await issuer.wait;
    if (issuer.answer?.(req.url, res)) return;
    if (req.url === "/.well-known/openid-configuration") {
      return json(res, { issuer: issuer.url, jwks_uri: `${issuer.url}/.well-known/jwks` });
    }
    if (req.url === "/.well-known/jwks") return json(res, { keys: jwks });
    res.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  issuer.url = `http://127.0.0.1:${server.address().port}`;

  /** Signs a token; a claim that is `undefined` is left out. */
  issuer.token = (claims = {}, header = {}) =>
    new SignJWT(clean({ ...githubClaims(issuer.url), ...claims }))
      .setProtectedHeader(clean({ alg: "RS256", typ: "JWT", kid, ...header }))
      .sign(pair.privateKey);

  /** Publishes a new key beside the old one and signs with it from now on. */
  issuer.rotate = async () => {
    kid = `key-${jwks.length + 1}`;
    pair = await generateKeyPair("RS256", { extractable: true });
    jwks = [...jwks, await publish(pair.publicKey, kid)];
  };
  issuer.close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return issuer;
}

/**
 * An issuer at a URL that isn't ours: `outbound` is a module that plays the internet for an authority.
 * @param {string} url
 */
export async function playIssuer(url) {
  const { publicKey, privateKey } = await generateKeyPair("RS256");
  const documents = {
    [`${url}/.well-known/openid-configuration`]: { issuer: url, jwks_uri: `${url}/jwks` },
    [`${url}/jwks`]: { keys: [await publish(publicKey, "key-1")] },
  };
  const outbound = `const documents = ${JSON.stringify(documents)};
    export default { fetch: ({ url }) => (documents[url] ? Response.json(documents[url]) : new Response("", { status: 404 })) };`;
  const token = (claims = {}) =>
    new SignJWT({ ...githubClaims(url), ...claims }).setProtectedHeader({ alg: "RS256", kid: "key-1" }).sign(privateKey);
  return { url, outbound, token };
}

async function publish(publicKey, kid) {
  return { ...(await exportJWK(publicKey)), kid, alg: "RS256", use: "sig" };
}

function json(res, body) {
  res.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(body));
}

const clean = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));

/** What GitHub puts into a job's token. */
export function githubClaims(iss) {
  const now = Math.floor(Date.now() / 1000);
  return {
    iss,
    aud: "notme.bot",
    sub: "repo:acme/app:ref:refs/heads/main",
    iat: now - 5,
    nbf: now - 5,
    exp: now + 300,
    jti: randomUUID(),
    repository: "acme/app",
    repository_id: "1",
    repository_owner: "acme",
    repository_owner_id: "2",
    ref: "refs/heads/main",
    ref_type: "branch",
    sha: "0".repeat(40),
    actor: "dev",
    actor_id: "3",
    workflow: "ci",
    workflow_ref: "acme/app/.github/workflows/ci.yml@refs/heads/main",
    workflow_sha: "0".repeat(40),
    job_workflow_ref: "acme/app/.github/workflows/ci.yml@refs/heads/main",
    run_id: "1000",
    run_number: "1",
    run_attempt: "1",
    event_name: "push",
    runner_environment: "github-hosted",
  };
}
