// What browsers are sent, on both hosts: pages, files, and nothing else.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { WEB } from "../tools/lib/web.mjs";
import { startAuthority } from "./support/authority.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";

const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; connect-src 'self'; " +
  "form-action 'none'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'";
const NAVIGATION = { accept: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8" };
const PAGES = ["/", "/login", "/join", "/console"];
const { assets } = JSON.parse(readFileSync(join(ROOT, WEB, "manifest.json"), "utf8"));

let authority;
before(async () => void (authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } })));
after(() => authority?.stop());

const get = (path, headers = NAVIGATION, method = "GET") => fetch(authority.url + path, { method, headers, redirect: "manual" });

/** What an element names, in a page's HTML. */
const addresses = (html) => [...html.matchAll(/ (?:href|src)="([^"]*)"/g)].map(([, address]) => address);

/** @param {Response} answer */
function assertProtected(answer) {
  const headers = Object.fromEntries(answer.headers);
  assert.equal(headers["content-security-policy"], POLICY);
  assert.equal(headers["x-frame-options"], "DENY");
  assert.equal(headers["cross-origin-opener-policy"], "same-origin");
  assert.equal(headers["cross-origin-resource-policy"], "same-origin");
  assert.equal(headers["referrer-policy"], "no-referrer");
  assert.equal(headers["x-content-type-options"], "nosniff");
  assert.match(headers["permissions-policy"], /^publickey-credentials-get=\(self\), publickey-credentials-create=\(self\)/);
  assert.equal(headers["access-control-allow-credentials"], undefined);
}

describe("a page", () => {
  test("is HTML that may do nothing but what comes from here, and can't be framed", async () => {
    for (const path of PAGES) {
      const answer = await get(path);
      assert.equal(answer.status, 200, path);
      assert.equal(answer.headers.get("content-type"), "text/html; charset=utf-8");
      assert.equal(answer.headers.get("cache-control"), "no-cache");
      assertProtected(answer);
      const html = await answer.text();
      assert.doesNotMatch(html, /\{\{|\[\[|<style|\sstyle=|\son\w+=|"javascript:/i, path);
      // A script has an address and nothing in it.
      for (const [, attributes, content] of html.matchAll(/<script([^>]*)>([^<]*)/g)) {
        assert.match(attributes, /src="\/assets\//);
        assert.equal(content, "");
      }
    }
  });

  test("names nothing of anybody else, and everything that it names is there", async () => {
    for (const path of PAGES) {
      const html = await (await get(path)).text();
      const named = addresses(html).filter((address) => !address.startsWith("#"));
      assert.ok(named.length > 5, path);
      for (const address of named) {
        assert.match(address, /^\/(?!\/)/, path);
        if (address === "/api/docs" || address === "/me") continue;
        assert.equal((await get(address)).status, 200, address);
      }
    }
  });

  test("isn't sent again to whom it is known, and HEAD has its head", async () => {
    for (const path of PAGES) {
      const first = await get(path);
      const body = await first.text();
      const tag = first.headers.get("etag");
      assert.match(tag, /^"[\w-]{22}"$/);
      for (const known of [tag, `W/${tag}`, `"other", ${tag}`]) {
        const again = await get(path, { ...NAVIGATION, "if-none-match": known });
        assert.equal(again.status, 304, known);
        assert.equal(again.headers.get("etag"), tag);
        assert.equal(await again.text(), "");
      }
      assert.equal((await get(path, { ...NAVIGATION, "if-none-match": '"other"' })).status, 200);
      const head = await get(path, NAVIGATION, "HEAD");
      assert.deepEqual([head.status, head.headers.get("etag"), await head.text()], [200, tag, ""]);
      assert.ok(body.length > 0);
    }
  });

  test("and JSON are told apart by Accept, where there are both", async () => {
    const landing = await get("/");
    assert.equal(landing.headers.get("vary"), "Accept");
    assert.ok((await landing.text()).includes(`<code>${authority.url}</code>`));
    const service = await get("/", { accept: "application/json" });
    assert.equal((await service.json()).name, "Signet Authority");
    for (const accept of ["application/json", "*/*", "application/json, text/html"]) {
      const answer = await get("/me", { accept });
      assert.deepEqual([answer.status, (await answer.json()).code], [401, "no_session"], accept);
    }
    const away = await get("/me");
    assert.deepEqual([away.status, away.headers.get("location"), away.headers.get("vary")], [302, `${authority.url}/login`, "Accept"]);
    assert.equal(away.headers.get("cache-control"), "no-store");
  });

  test("of one's own is there with a session, and another site's link may lead to it, but not to data", async () => {
    const browser = new Browser(authority);
    assert.equal((await browser.register(new Passkey(ES256))).status, 200);
    const own = await browser.call("GET", "/me", undefined, NAVIGATION);
    assert.equal(own.status, 200);
    assert.doesNotMatch(own.text, /Ana|wimse/, "the page is the same for everybody");
    assertProtected(own);
    const site = { "sec-fetch-site": "cross-site" };
    for (const path of [...PAGES, "/me"]) {
      const answer = await browser.call("GET", path, undefined, { ...NAVIGATION, ...site });
      assert.equal(answer.status, 200, path);
    }
    for (const path of ["/me", "/me/passkeys", "/me/sessions", "/auth/state"]) {
      const answer = await browser.call("GET", path, undefined, { accept: "*/*", ...site });
      assert.deepEqual([answer.status, answer.json.code], [403, "cross_site"], path);
    }
    const data = await browser.call("GET", "/me/passkeys", undefined, { ...NAVIGATION, ...site });
    assert.equal(data.status, 403, "whatever it accepts");
  });

  test("tells a browser of problems, with nothing in it that could run", async () => {
    for (const [method, path, status] of [["GET", "/nope", 404], ["POST", "/login", 405], ["GET", "/me/passkeys", 401], ["GET", "/assets/nope.js", 404]]) {
      const answer = await get(path, NAVIGATION, method);
      assert.equal(answer.status, status, path);
      assert.equal(answer.headers.get("cache-control"), "no-store");
      assertProtected(answer);
      const html = await answer.text();
      assert.match(html, /<link rel="stylesheet"/);
      assert.doesNotMatch(html, /<script|\{\{/);
      const json = await get(path, {}, method);
      assert.match(json.headers.get("content-type"), /^application\/json/, path);
    }
  });
});

describe("a file", () => {
  test("is sent as it was built, with its type, and for good", async () => {
    assert.ok(Object.keys(assets).length > 8);
    for (const [name, { file, type, hash }] of Object.entries(assets)) {
      const answer = await get(`/assets/${name}`, { accept: "*/*" });
      assert.equal(answer.status, 200, name);
      assert.equal(answer.headers.get("content-type"), type);
      assert.equal(answer.headers.get("cache-control"), "public, max-age=31536000, immutable");
      assert.equal(answer.headers.get("etag"), `"${hash}"`);
      assert.equal(answer.headers.get("cross-origin-resource-policy"), "same-origin");
      assert.equal(answer.headers.get("x-content-type-options"), "nosniff");
      assert.deepEqual(Buffer.from(await answer.arrayBuffer()), readFileSync(join(ROOT, WEB, file)), name);
      const again = await get(`/assets/${name}`, { "if-none-match": `"${hash}"` });
      assert.deepEqual([again.status, await again.text()], [304, ""]);
      const head = await get(`/assets/${name}`, {}, "HEAD");
      assert.deepEqual([head.status, head.headers.get("content-type"), await head.text()], [200, type, ""]);
    }
  });

  test("is reachable by the names of the manifest alone", async () => {
    const [script] = Object.keys(assets).filter((name) => name.endsWith(".js"));
    const names = [
      "", ".", "..", "../manifest.json", "%2e%2e/manifest.json", "..%2fmanifest.json", "%2e%2e%2fmanifest.json", "..%5cmanifest.json",
      "manifest.json", "login.html", "../pages/login.html", `${script}.map`, `${script}/`.slice(0, -1) + "%00", script.toUpperCase(), `./x/../${script}x`, "%",
      "__proto__", "constructor", "toString", ".made-from", "main.css", "x".repeat(5000),
    ];
    const paths = [...names.map((name) => `/assets/${name}`), "/assets", "/manifest.json", "/pages/login.html", "/pages/", "/index.html", "/login.html", "/build/web/manifest.json", "/_headers", "/favicon.ico"];
    for (const path of paths) {
      // `fetch` would tidy the path up.
      const { status, body } = await raw(path);
      // The runtime may do that too, and this one leads to the landing page.
      if (path !== "/assets/..") assert.equal(status, 404, path);
      assert.doesNotMatch(body, /"assets"/, path);
    }
  });

  test("of a page has no way to run text", () => {
    for (const [name, { file }] of Object.entries(assets)) {
      const text = readFileSync(join(ROOT, WEB, file), "utf8");
      // The API reference's viewer is other people's: what its page may do is in openapi.test.mjs.
      if (name.endsWith(".js") && !name.startsWith("viewer-")) {
        assert.doesNotMatch(text, /\.(?:inner|outer)HTML|insertAdjacentHTML|document\.write|\beval\(|sourceMappingURL/, name);
        const named = [...text.matchAll(/https?:\/\/[^\s"'`)\\]+/g)].map(([url]) => url);
        // Zod names the drafts of JSON Schema; nothing is fetched from there.
        assert.deepEqual(named.filter((url) => !/^https?:\/\/(www\.w3\.org\/2000\/svg$|json-schema\.org)/.test(url)), [], name);
      }
      if (name.endsWith(".css")) assert.doesNotMatch(text, /@import|url\((?!"?\.\/)/, name);
    }
  });
});

/** Asks for a path exactly as it is written. */
async function raw(path) {
  const { request } = await import("node:http");
  return new Promise((resolve, reject) => {
    const { hostname, port } = new URL(authority.url);
    const sent = request({ hostname, port, path, headers: { accept: "*/*" } }, (answer) => {
      let body = "";
      answer.on("data", (chunk) => (body += chunk));
      answer.on("end", () => resolve({ status: answer.statusCode, body }));
    });
    sent.on("error", reject);
    sent.end();
  });
}

test("an authority under a path has its pages, files and redirects there", async () => {
  const under = await startAuthority({ vars: { SIGNET_AUTHORITY_URL: "https://example.com/identity", SITE_URL: "https://example.com" } });
  try {
    for (const path of ["/identity/login", "/login", "/identity", "/identity/"]) {
      const answer = await fetch(under.url + path, { headers: NAVIGATION });
      assert.equal(answer.status, 200, path);
      const named = addresses(await answer.text()).filter((address) => !address.startsWith("#"));
      assert.ok(named.every((address) => address.startsWith("/identity/")), named.join(" "));
      const style = named.find((address) => address.endsWith(".css"));
      for (const at of [style, style.slice("/identity".length)]) assert.equal((await fetch(under.url + at)).status, 200, at);
    }
    const away = await fetch(`${under.url}/identity/me`, { headers: NAVIGATION, redirect: "manual" });
    assert.equal(away.headers.get("location"), "https://example.com/identity/login");
  } finally {
    await under.stop();
  }
});

test("the console's first paint needs at most 100 kB, uncompressed", async (t) => {
  const html = await (await get("/console")).text();
  const wanted = new Set(addresses(html).filter((address) => /\.(css|js|svg)$/.test(address)));
  const sizes = await Promise.all([...wanted].map(async (address) => (await (await get(address)).arrayBuffer()).byteLength));
  const total = sizes.reduce((sum, size) => sum + size, html.length);
  const fonts = Object.entries(assets).filter(([name]) => name.endsWith(".woff2"));
  const withFonts = fonts.reduce((sum, [, { file }]) => sum + readFileSync(join(ROOT, WEB, file)).length, total);
  t.diagnostic(`${total} bytes, ${withFonts} with both fonts, which it doesn't wait for`);
  assert.ok(withFonts <= 100_000, String(withFonts));
});
