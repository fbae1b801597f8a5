// The API reference, and whether it is true: a fuzzer makes requests of all it says, and holds each
// answer against it.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import { ROOT } from "../tools/lib/places.mjs";
import { schemathesis } from "../tools/lib/python.mjs";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { execute } from "./support/foreign.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const DOCUMENT = join(ROOT, "gen/openapi/openapi.json");
const document = JSON.parse(readFileSync(DOCUMENT, "utf8"));
const METHODS = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/** How long one run of the fuzzer may take, in seconds. `npm run test:long` has more, and other dice. */
const SECONDS = Number(process.env.NOTME_TEST_FUZZ_SECONDS ?? 0);

const skip = schemathesis.program("schemathesis") ? false : "schemathesis is not installed (npm run setup -- --test)";

const operations = Object.entries(document.paths).flatMap(([path, item]) =>
  METHODS.filter((method) => method in item).map((method) => ({ method: method.toUpperCase(), path, operation: item[method] })),
);

describe("the document", () => {
  test("has every route of the table, and nothing else", () => {
    const table = readFileSync(join(ROOT, "docs/routes.md"), "utf8");
    const routes = [...table.matchAll(/^\| ([A-Z]+) \| `([^`]+)` \|/gm)].map(([, method, path]) => `${method} ${path}`);
    assert.ok(routes.length > 50);
    assert.deepEqual(operations.map(({ method, path }) => `${method} ${path}`).sort(), routes.sort());
  });

  test("is OpenAPI 3.1, by another's validator", { skip }, async () => {
    const validate = (wanted) =>
      execute(schemathesis.program("openapi-spec-validator"), ["--schema", "3.1", "-"], { input: JSON.stringify(wanted) });
    const { code, stdout, stderr } = await validate(document);
    assert.equal(code, 0, stdout + stderr);
    // It sees what is wrong.
    const broken = structuredClone(document);
    broken.paths["/me"].get.responses["200"].content["application/json"].schema = { type: "objekt" };
    assert.match((await validate(broken)).stdout, /objekt/);
  });

  test("is served as it is, to pages of any origin", async () => {
    const authority = await startAuthority();
    try {
      const answer = await fetch(`${authority.url}/openapi.json`);
      assert.equal(answer.headers.get("content-type"), "application/json");
      assert.equal(answer.headers.get("access-control-allow-origin"), "*");
      assert.match(answer.headers.get("cache-control"), /^public, max-age=\d+$/);
      assert.deepEqual(await answer.json(), document);
      const head = await fetch(`${authority.url}/openapi.json`, { method: "HEAD" });
      assert.deepEqual([head.status, await head.text()], [200, ""]);
    } finally {
      await authority.stop();
    }
  });

  test("fits any domain", () => {
    for (const { url } of document.servers) assert.doesNotMatch(url, /^([a-z]+:)?\/\//i);
  });

  test("says of each operation what it is, what it answers and who may ask", () => {
    for (const { method, path, operation } of operations) {
      const what = `${method} ${path}`;
      assert.ok(operation.summary && operation.operationId && operation.tags.length === 1, what);
      assert.ok(Array.isArray(operation.security), what);
      assert.ok(Object.keys(operation.responses).length > 1, what);
    }
  });
});

describe("the viewer", { skip: executablePath ? false : "chromium is not installed" }, () => {
  let authority;
  let browser;
  before(async () => {
    authority = await startAuthority();
    browser = await openBrowser();
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
  });

  const shown = async (options) => {
    const reader = await Person.meet(browser, authority, options);
    reader.requests = [];
    reader.page.on("request", (request) => reader.requests.push(request.url()));
    await reader.go("/api/docs");
    await reader.page.locator(".opblock").first().waitFor();
    return reader;
  };

  test("shows every operation, and asks nobody for anything", async () => {
    const reader = await shown();
    assert.equal(await reader.page.locator(".opblock").count(), operations.length);
    for (const address of reader.requests) assert.ok(address.startsWith(`${authority.url}/`), address);
    // What it needs is in its files; it couldn't ask for more, or use the session of who reads it.
    const { headers } = await fetch(`${authority.url}/api/docs`);
    const policy = headers.get("content-security-policy");
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'none'", "require-trusted-types-for 'script'"]) {
      assert.ok(policy.split("; ").includes(part), part);
    }
    const refused = await reader.page.evaluate(() => fetch("/me").then(() => "answered", (error) => error.name));
    assert.equal(refused, "TypeError");
    // That is all that was stopped.
    for (const complaint of reader.complaints) assert.match(complaint, /connect-src|violates the document's Content Security Policy/);
    await reader.context.close();
  });

  test("leads to an operation by its address", async () => {
    const reader = await Person.meet(browser, authority);
    await reader.go("/api/docs#/Administration/getAdminCredentials");
    const operation = reader.page.locator("#operations-Administration-getAdminCredentials");
    await operation.getByText("How the subject begins.").waitFor();
    await operation.getByText("Needs a session with the scope").waitFor();
    assert.deepEqual(reader.complaints, []);
    await reader.context.close();
  });

  test("can be used whatever one sees, hears, and holds in one's hand", async () => {
    for (const colorScheme of ["light", "dark"]) {
      for (const width of [360, 1280]) {
        const reader = await shown({ colorScheme, viewport: { width, height: 740 } });
        const { page } = reader;
        const check = async (what) => {
          await page.evaluate(AXE);
          const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
          const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
          assert.deepEqual(told, [], `${what} ${colorScheme} ${width}`);
          const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
          assert.ok(overflow <= 0, `${what} ${width}: scrolls sideways`);
        };
        await check("closed");
        // By the keyboard alone: an operation, and the schemas of its body and its answer.
        for (const path of ["/cert", "/admin/credentials"]) {
          const operation = page.locator(".opblock", { has: page.locator(".opblock-summary-path", { hasText: new RegExp(`^${path}$`) }) }).first();
          await operation.locator(".opblock-summary-control").press("Enter");
          await operation.getByRole("tab", { name: "Schema" }).first().press("Enter");
          await operation.getByRole("button", { name: "Expand all" }).first().press("Enter");
        }
        await check("open");
        assert.deepEqual(reader.complaints, []);
        await reader.context.close();
      }
    }
  });
});

describe("the fuzzer", { skip }, () => {
  let folder;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "notme-fuzz-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  /**
   * Of the operations that `wanted` picks.
   * @param {{ url: string }} authority
   * @param {object} run
   * @param {string} run.name
   * @param {number} run.seconds
   * @param {string} [run.session]
   * @param {(operation: typeof operations[number]) => boolean} [run.wanted]
   * @param {string} [run.against] another document
   */
  async function fuzz(authority, { name, seconds, session, wanted = () => true, against = DOCUMENT }) {
    const left = operations.filter((operation) => !wanted(operation));
    const config = join(folder, `${name}.toml`);
    const value = JSON.stringify;
    await writeFile(
      config,
      [
        ...(session ? ["[auth.openapi.session]", `api_key = ${value(session)}`] : []),
        "[checks.not_a_server_error]",
        // Documented like any other status, and so only where the document has them.
        `expected-statuses = ["2xx", "3xx", "4xx", "501", "503"]`,
        ...left.flatMap(({ method, path }) => ["[[operations]]", `include-name = ${value(`${method} ${path}`)}`, "enabled = false"]),
      ].join("\n"),
    );
    const checks = [
      "not_a_server_error",
      "status_code_conformance",
      "content_type_conformance",
      "response_headers_conformance",
      "response_schema_conformance",
      "unsupported_method",
      "allow_header_conformance",
      ...(session ? ["ignored_auth"] : []),
    ];
    const args = ["--no-color", "--config-file", config, "run", against, `--url=${authority.url}`, `--phases=coverage,fuzzing${SECONDS ? ",stateful" : ""}`];
    args.push(`--checks=${checks.join(",")}`, "--continue-on-failure", "--request-timeout=10", "--warnings=off");
    args.push(`--max-time=${SECONDS || seconds}`, ...(SECONDS ? [] : ["--max-examples=5", "--seed=1"]));
    const { code, stdout, stderr } = await execute(schemathesis.program("schemathesis"), args, { cwd: folder });
    assert.equal(code, 0, stdout + stderr);
    const [, cases] = /(\d+) generated/.exec(stdout) ?? [];
    const [, tested] = /Tested: (\d+)/.exec(stdout) ?? [];
    assert.equal(Number(tested), operations.length - left.length, stdout);
    return { cases: Number(cases), tested: Number(tested) };
  }

  /** What an administrator can end their own session with: it comes last, when nothing needs it any more. */
  const endsSessions = ({ method, path }) =>
    [
      "POST /logout",
      "DELETE /me/sessions/{id}",
      "DELETE /admin/sessions/{id}",
      "DELETE /admin/authenticators/{id}",
      "DELETE /admin/principals/{id}/grants/{scope}",
      "POST /admin/principals/{id}/disable",
    ].includes(`${method} ${path}`);

  test("sees an answer that isn't documented", { timeout: 60_000 }, async () => {
    const authority = await startAuthority();
    try {
      const wanted = ({ path }) => ["/health", "/auth/state", "/.well-known/version"].includes(path);
      const lies = [
        ["undocumented status", (paths) => void (paths["/health"].get.responses = { 201: { description: "ok" } })],
        ["undocumented content-type", (paths) => void (paths["/health"].get.responses[200].content = { "text/css": {} })],
        ["violates schema", (paths) => void (paths["/.well-known/version"].get.responses[200].content["application/json"].schema = { type: "array" })],
      ];
      for (const [complaint, lie] of lies) {
        const lying = structuredClone(document);
        lie(lying.paths);
        const against = join(folder, "lying.json");
        await writeFile(against, JSON.stringify(lying));
        await assert.rejects(fuzz(authority, { name: "lying", seconds: 3, wanted, against }), new RegExp(complaint, "i"));
      }
    } finally {
      await authority.stop();
    }
  });

  test("finds nothing that isn't documented, as a stranger", { timeout: 900_000 }, async (t) => {
    const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    try {
      const { cases, tested } = await fuzz(authority, { name: "stranger", seconds: 30 });
      assert.ok(cases > tested);
      t.diagnostic(`${cases} requests to ${tested} operations`);
    } finally {
      await authority.stop();
    }
  });

  test("finds nothing that isn't documented, as an administrator", { timeout: 1_800_000 }, async (t) => {
    const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    try {
      const browser = new Browser(authority);
      assert.equal((await browser.register(new Passkey(ES256))).status, 200);
      const session = browser.cookie.split("=")[1];
      const { cases, tested } = await fuzz(authority, { name: "administrator", seconds: 40, session, wanted: (one) => !endsSessions(one) });
      assert.ok(cases > tested);
      // It was one all the time: the answers were not all refusals.
      assert.equal((await browser.me()).json.isAdmin, true);
      const last = await fuzz(authority, { name: "last", seconds: 8, session, wanted: endsSessions });
      t.diagnostic(`${cases + last.cases} requests to ${tested + last.tested} operations`);
    } finally {
      await authority.stop();
    }
  });
});
