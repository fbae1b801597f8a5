// HTTP manners: methods, bodies, errors, headers, prefixes. The list of routes is the generated
// docs/routes.md, so that a route without manners can't be added.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { after, before, describe, test } from "node:test";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";

let authority;
before(async () => {
  authority = await startAuthority({ vars: { CORS_ALLOWED_ORIGINS: "https://app.example" } });
});
after(() => authority?.stop());

const routes = [...readFileSync(new URL("../docs/routes.md", import.meta.url), "utf8").matchAll(/^\| ([A-Z]+) \| `([^`]+)` \|.*$/gm)].map(
  ([line, method, path]) => ({ method, path: path.replace("{id}", "x"), built: !line.includes("501") }),
);

const call = (method, path, headers = {}, body) => fetch(authority.url + path, { method, headers, body, redirect: "manual" });

test("the table has all routes of the protocol", () => {
  assert.ok(routes.length > 35, String(routes.length));
  assert.ok(routes.some(({ path }) => path === "/cert/gha"));
});

describe("every route", () => {
  for (const { method, path, built } of routes) {
    test(`${method} ${path}`, async () => {
      const hasBody = ["POST", "PUT"].includes(method);
      const answer = await call(method, path, hasBody ? { "content-type": "application/json" } : {}, hasBody ? "{}" : undefined);
      const text = await answer.text();
      if (!built) {
        assert.equal(answer.status, 501);
        assert.deepEqual(JSON.parse(text), { error: "not_implemented", code: "not_implemented" });
      } else {
        assert.ok(answer.status < 500, `${answer.status} ${text}`);
      }
      assert.match(answer.headers.get("x-request-id"), /^[0-9a-f]{32}$/);
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      assert.equal(answer.headers.get("referrer-policy"), "no-referrer");
      assert.match(answer.headers.get("content-security-policy"), /default-src 'none'.*frame-ancestors 'none'/);
      assert.ok(answer.headers.get("cache-control"));
      assert.ok(answer.headers.get("content-type"));
    });

    test(`PATCH ${path} is told what there is`, async () => {
      const answer = await call("PATCH", path, {}, "x");
      assert.equal(answer.status, 405);
      const allow = answer.headers.get("allow").split(", ");
      assert.ok(allow.includes(method), allow);
      assert.equal(allow.includes("GET"), allow.includes("HEAD"));
      assert.deepEqual(await answer.json(), { error: "method not allowed", code: "method_not_allowed" });
    });

    if (method === "GET") {
      test(`HEAD ${path} is GET without the body`, async () => {
        const [get, head] = [await call("GET", path), await call("HEAD", path)];
        assert.equal(head.status, get.status);
        assert.equal(head.headers.get("content-type"), get.headers.get("content-type"));
        assert.equal(await head.text(), "");
        await get.text();
      });
    }
  }
});

test("unknown paths are 404 in JSON, or in HTML for a browser", async () => {
  for (const path of ["/nope", "/.git/config", "/..%2f", "/cert/gha/x", "//", "/%00", "/auth/passkey/other", `/${"x".repeat(5000)}`]) {
    const answer = await call("GET", path);
    assert.equal(answer.status, 404, path);
    assert.deepEqual(await answer.json(), { error: "not_found", code: "not_found" });
  }
  const page = await call("GET", "/nope", { accept: "text/html,application/xhtml+xml,*/*;q=0.8" });
  assert.equal(page.status, 404);
  assert.match(page.headers.get("content-type"), /^text\/html/);
  assert.match(await page.text(), /<h1[^>]*>There is nothing here<\/h1>/);
});

test("errors are problem details (RFC 9457) for who asks for them", async () => {
  const answer = await call("GET", "/nope", { accept: "application/problem+json" });
  assert.equal(answer.headers.get("content-type"), "application/problem+json");
  assert.deepEqual(await answer.json(), {
    type: "about:blank",
    title: "Not Found",
    status: 404,
    detail: "not_found",
    error: "not_found",
    code: "not_found",
  });
});

test("signing is not an HTTP endpoint", async () => {
  for (const path of ["/internal/sign-jwt", "/internal/sign-receipt"]) {
    for (const method of ["GET", "POST"]) {
      const answer = await call(method, path);
      assert.equal(answer.status, 404);
      const body = await answer.json();
      assert.equal(body.error, "not_an_http_endpoint");
      assert.match(body.error_description, /RPC entrypoint/);
    }
  }
});

describe("bodies", () => {
  const json = { "content-type": "application/json", authorization: "Bearer x" };

  test("are JSON", async () => {
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonx"]) {
      const answer = await call("POST", "/cert/gha", { ...json, "content-type": type }, "{}");
      assert.equal(answer.status, 415, type);
      assert.equal((await answer.json()).code, "unsupported_media_type");
    }
    for (const type of ["application/json", "Application/JSON; charset=utf-8"]) {
      assert.equal((await call("POST", "/cert/gha", { ...json, "content-type": type }, "{}")).status, 401, type);
    }
  });

  test("have at most 64 KiB, announced or not", async () => {
    const body = (bytes) => `"${"x".repeat(bytes - 2)}"`;
    assert.equal((await call("POST", "/cert/gha", json, body(65_536))).status, 401);
    const announced = await call("POST", "/cert/gha", json, body(65_537));
    assert.equal(announced.status, 413);
    assert.equal((await announced.json()).code, "body_too_large");
    // Its proxy turns an answer that comes before the body's end into a 503, at times.
    if (THROUGH_WRANGLER) return;
    const chunked = (bytes) =>
      new Promise((resolve, reject) => {
        const url = new URL("/cert/gha", authority.url);
        const sent = request(url, { method: "POST", headers: { ...json, "transfer-encoding": "chunked" } }, (res) => {
          res.resume();
          resolve(res.statusCode);
        });
        sent.on("error", reject);
        for (let i = 0; i < bytes; i += 8192) sent.write("x".repeat(Math.min(8192, bytes - i)));
        sent.end();
      });
    assert.equal(await chunked(65_536), 401);
    assert.equal(await chunked(65_537), 413);
    assert.equal(await chunked(1_000_000), 413);
  });
});

describe("a body that doesn't arrive", () => {
  const partial = (end) =>
    new Promise((resolve) => {
      const socket = connect(authority.port, "127.0.0.1", () => {
        socket.write("POST /cert/gha HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n{");
        if (end) setTimeout(() => socket.end(), 50);
      });
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk;
        socket.destroy();
        resolve(text);
      });
      socket.on("error", () => resolve(text));
      socket.on("close", () => resolve(text));
    });

  const proxied = THROUGH_WRANGLER && "wrangler's proxy waits for the body by itself";
  test("is waited for ten seconds", { skip: proxied }, async () => {
    const began = Date.now();
    assert.match(await partial(false), /^HTTP\/1.1 408 /);
    assert.ok(Date.now() - began < 15_000);
  });

  test("because its sender went away is no fault of ours", async () => {
    await partial(true);
    assert.doesNotMatch(authority.logs(), /"level":"error"/);
  });
});

describe("CORS", () => {
  test("a preflight works on any path, for configured origins", async () => {
    for (const path of ["/token", "/nope", "/"]) {
      const answer = await call("OPTIONS", path, { origin: "https://app.example" });
      assert.equal(answer.status, 204);
      assert.equal(answer.headers.get("access-control-allow-origin"), "https://app.example");
      assert.equal(answer.headers.get("access-control-allow-methods"), "GET, POST, OPTIONS");
      assert.equal(answer.headers.get("access-control-allow-headers"), "Content-Type, Authorization, DPoP");
      assert.equal(answer.headers.get("access-control-max-age"), "86400");
      assert.equal(answer.headers.get("access-control-allow-credentials"), null);
    }
    for (const origin of ["https://app.example.evil", "http://app.example", "null", authority.url]) {
      const answer = await call("OPTIONS", "/token", { origin });
      assert.ok(!answer.headers.get("access-control-allow-origin"), origin);
    }
  });

  test("documents are for everybody, enrolment for no page", async () => {
    const origin = { origin: "https://anything.example" };
    for (const path of ["/.well-known/jwks.json", "/.well-known/signet-authority.json", "/.well-known/version", "/internal/ca-bundle"]) {
      assert.equal((await call("GET", path, origin)).headers.get("access-control-allow-origin"), "*", path);
    }
    const answer = await call("POST", "/cert/gha", { origin: "https://app.example", "content-type": "application/json" }, "{}");
    assert.equal(answer.headers.get("access-control-allow-origin"), null);
  });
});

describe("names and places", () => {
  const start = (url) => startAuthority({ vars: { SIGNET_AUTHORITY_URL: url, SITE_URL: "https://example.org" } });

  test("everything derives from configuration, nothing from the request", async () => {
    const other = await start("https://id.example.com:8443/identity");
    try {
      for (const prefix of ["", "/identity"]) {
        const get = async (path, headers) => (await fetch(other.url + prefix + path, { headers })).json();
        const spoofed = { host: "evil.example", "x-forwarded-host": "evil.example", "x-forwarded-proto": "http" };
        const discovery = await get("/.well-known/signet-authority.json", spoofed);
        assert.equal(discovery.issuer, "https://id.example.com:8443/identity");
        for (const [name, value] of Object.entries(discovery)) {
          if (/_endpoint$|_uri$/.test(name)) assert.ok(value.startsWith("https://id.example.com:8443/identity/"), name);
        }
        assert.equal(discovery.trust_domain, "example.org");
        assert.ok(!JSON.stringify(discovery).includes("evil"));
        assert.equal((await get("/", { accept: "application/json" })).authority_url, "https://id.example.com:8443/identity");
      }
      const answer = await fetch(`${other.url}/identity/health`);
      assert.equal(await answer.text(), "ok");
      assert.match(answer.headers.get("strict-transport-security"), /max-age=\d+/);
      assert.equal((await fetch(`${other.url}/identityx/health`)).status, 404);
    } finally {
      await other.stop();
    }
  });

  test("a prefix may look like a route", async () => {
    const other = await start("https://id.example.com/cert");
    try {
      for (const path of ["/cert/gha", "/cert/cert/gha"]) {
        assert.equal((await fetch(other.url + path, { method: "POST" })).status, 401, path);
      }
    } finally {
      await other.stop();
    }
  });

  test("a plain http authority doesn't promise https", async () => {
    assert.equal((await call("GET", "/health")).headers.get("strict-transport-security"), null);
  });

  test("a configuration that can't be used answers 503 and says why in the log only", async () => {
    const broken = await startAuthority({ vars: { GHA_CERT_TTL_MS: "forever", GHA_ISSUER: "nonsense" }, expectRefusal: true });
    try {
      const answer = await fetch(`${broken.url}/health`);
      assert.equal(answer.status, 503);
      assert.equal((await answer.json()).code, "misconfigured");
      if (THROUGH_WRANGLER) return; // it prints logs when it likes
      assert.match(broken.logs(), /GHA_CERT_TTL_MS must be a whole number from 1000 to 300000/);
      assert.match(broken.logs(), /GHA_ISSUER is not a URL/);
    } finally {
      await broken.stop();
    }
  });
});
