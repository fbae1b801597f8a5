// Every list and search of a large authority goes by an index: the statements that the object really ran
// are explained by SQLite.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, describe, test } from "node:test";
import { THROUGH_WRANGLER, startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { addCrowd, idOf, searches } from "./support/crowd.mjs";
import { databaseOf, noSqlite } from "./support/state.mjs";

const PEOPLE = 100_000;

describe("100,000 principals and 1,000,000 lines of the trail", { skip: noSqlite || (THROUGH_WRANGLER && "its state is elsewhere") }, () => {
  let authority;
  let browser;
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE, NOTME_LOG_LEVEL: "debug" } });
    browser = new Browser(authority);
    assert.equal((await browser.register(new Passkey(ES256))).status, 200);
    await authority.kill9();
    addCrowd(authority.stateDir, { people: PEOPLE, lines: 1_000_000, credentials: 200_000, invites: 5000 });
    await authority.restart();
  });
  after(() => authority?.stop());

  const get = async (path) => {
    const answer = await browser.call("GET", path);
    assert.equal(answer.status, 200, `${path}: ${answer.text}`);
    return answer;
  };

  test("every list and search goes by an index, in its order", async () => {
    const asked = new Map();
    for (const path of [...searches(), `/admin/principals/${idOf(7)}`]) {
      const first = await get(path);
      asked.set(first.headers.get("x-request-id"), path);
      if (!first.json.next) continue;
      const second = await get(`${path}&cursor=${first.json.next}`);
      asked.set(second.headers.get("x-request-id"), `${path} (second page)`);
    }
    const statements = new Map();
    const told = new Set();
    for (const line of authority.logs().split("\n")) {
      if (!line.includes('"event":"listed"')) continue;
      const { statement, request_id } = JSON.parse(line);
      statements.set(statement, asked.get(request_id));
      told.add(request_id);
    }
    for (const [id, path] of asked) assert.ok(told.has(id), `${path} told its statement`);
    assert.ok(statements.size >= 60, String(statements.size));
    const program = `
import json, sqlite3, sys
db = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro", uri=True)
plans = [[row[3] for row in db.execute("EXPLAIN QUERY PLAN " + text, [1] * text.count("?"))] for text in json.load(sys.stdin)]
print(json.dumps(plans))`;
    const texts = [...statements.keys()];
    const plans = JSON.parse(execFileSync("python3", ["-c", program, databaseOf(authority.stateDir)], { input: JSON.stringify(texts), encoding: "utf8" }));
    for (const [i, plan] of plans.entries()) {
      const told = `${statements.get(texts[i])}\n${texts[i]}\n${plan.join("\n")}`;
      assert.ok(plan.length > 0, told);
      for (const step of plan) {
        assert.ok(!/^SCAN\b/.test(step), `reads a whole table: ${told}`);
        assert.ok(!/TEMP B-TREE|AUTOMATIC/.test(step), `sorts: ${told}`);
      }
    }
  });

  test("equal names are paged through without looking at all of them again", async () => {
    const seen = new Set();
    let path = "/admin/principals?q=USER&limit=1000";
    for (let pages = 0; path; pages++) {
      const { json } = await get(path);
      for (const { id, displayName } of json.items) {
        assert.equal(displayName, "user");
        assert.ok(!seen.has(id), id);
        seen.add(id);
      }
      path = json.next && pages < 40 ? `/admin/principals?q=USER&limit=1000&cursor=${json.next}` : undefined;
    }
    assert.equal(seen.size, Math.floor(PEOPLE / 3));
  });

  test("a filter that no index serves is tried on so many rows at a time, and finds all", async () => {
    let pages = 0;
    let found = 0;
    for (let cursor; ; ) {
      const { json } = await get(`/admin/credentials?method=passkey&state=revoked&limit=1000${cursor ? `&cursor=${cursor}` : ""}`);
      found += json.items.length;
      pages += 1;
      if (!(cursor = json.next)) break;
    }
    assert.equal(found, 0, "numbers that end in 07 are no multiples of ten");
    assert.ok(pages <= 8, String(pages));
    let all = 0;
    for (let cursor, i = 0; i < 700; i++) {
      const { json } = await get(`/admin/credentials?method=passkey&limit=1000${cursor ? `&cursor=${cursor}` : ""}`);
      all += json.items.length;
      if (!(cursor = json.next)) break;
    }
    assert.equal(all, 20_000);
  });
});
