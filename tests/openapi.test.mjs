// The API reference, and whether it is true: a fuzzer makes requests of all it says, and holds each
// answer against it.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
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
    const args = ["--no-color", "--config-file", config, "run", against, `--url=${authority.url}`, "--phases=coverage,fuzzing"];
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
      assert.ok(cases > 500);
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
      assert.ok(cases > 500);
      // It was one all the time: the answers were not all refusals.
      assert.equal((await browser.me()).json.isAdmin, true);
      const last = await fuzz(authority, { name: "last", seconds: 8, session, wanted: endsSessions });
      t.diagnostic(`${cases + last.cases} requests to ${tested + last.tested} operations`);
    } finally {
      await authority.stop();
    }
  });
});
