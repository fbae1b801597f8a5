// Others at work: names that would be more than text, pages of other sites and of neighbours on the same
// host, and cookies that they leave. All of it in a real browser, against the real pages.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, afterEach, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";
import { databaseOf, meanwhile, noSqlite, query } from "./support/state.mjs";

const skip = executablePath ? noSqlite : "chromium is not installed";
const COOKIE = "notme_session";

/** Somebody who came in without a browser: what they have, and their session. */
async function comeIn(authority, wanted) {
  const client = new Browser(authority);
  const registered = await client.register(new Passkey(ES256), { wanted });
  assert.equal(registered.status, 200, registered.text);
  const { json } = await client.me();
  return { client, id: json.userId, session: json.session, secret: client.cookie.split("=")[1] };
}

/** Somebody's session, in the profile of a real browser. */
const carryIn = (context, authority, secret) =>
  context.addCookies([{ name: COOKIE, value: secret, url: authority.url, httpOnly: true, secure: true, sameSite: "Strict" }]);

describe("a text that somebody chose", { skip }, () => {
  /** Short enough for a name. */
  const HOSTILE = {
    "an element": '<img src=x onerror="globalThis.ran=1">',
    "a script": '"></code></title><script>globalThis.ran=1</script>',
    "an attribute": `' " onfocus=globalThis.ran=1 autofocus x='`,
    "an address": "javascript:globalThis.ran=1//",
    "a template": "{{base}}${globalThis.ran=1}<svg/onload=ran=1>",
  };
  const names = Object.values(HOSTILE);
  /** What is stored in the one column of many: the text, and where it stood. */
  const told = (text, where) => `${text} ${where}`;
  const quoted = (text) => `'${text.replaceAll("'", "''")}'`;

  let authority;
  let browser;
  /** @type {Person} */
  let ana;
  const people = [];
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    browser = await openBrowser();
    // What the routes take, through them.
    const first = await comeIn(authority, { bootstrapCode: CODE, displayName: "Ana" });
    for (const text of names) {
      const { json } = await first.client.post("/invites", { scopes: ["bridgeCert", "authorityManage"] });
      const one = await comeIn(authority, { invite: json.token, displayName: text });
      const { json: own } = await one.client.call("GET", "/me/passkeys");
      assert.equal((await one.client.post(`/me/passkeys/${own.passkeys[0].id}`, { name: text })).status, 200);
      one.invite = (await one.client.post("/invites", { scopes: ["bridgeCert"] })).json.url;
      assert.equal((await one.client.post("/admin/key/rollover", { reason: told(text, "reason") })).status, 200);
      people.push({ ...one, text });
    }
    // What they don't, behind their backs.
    const now = Math.floor(Date.now() / 1000);
    const rows = people.flatMap(({ id, text }, i) => {
      const q = (where) => quoted(told(text, where));
      const row = { name: "row", type: "type", issuer: "issuer", audience: "audience" };
      for (const member of Object.keys(row)) row[member] = told(text, row[member]);
      const serial = `x'${String(i).padStart(32, "a")}'`;
      return [
        `UPDATE sessions SET source = ${q("source")}, method = ${q("method")} WHERE principal = '${id}'`,
        `UPDATE principals SET created_by = ${q("maker")} WHERE id = '${id}'`,
        `INSERT INTO grants VALUES ('${id}', ${q("scope")}, ${q("granter")}, ${now}, NULL)`,
        `INSERT INTO authenticators VALUES ('${crypto.randomUUID()}', '${id}', ${q("kind")}, ${q("issuer")}, ${q("subject")}, ${q("name")}, ${now}, NULL)`,
        `INSERT INTO credentials VALUES (${now * 2 ** 20 + i}, ${serial}, ${serial}, ${q("subject")}, ${q("identity")}, '${id}', ${q("proof")},
          ${quoted(JSON.stringify(["bridgeCert", text]))}, 1, ${now}, ${now + 3600}, NULL, NULL, NULL, NULL, NULL, NULL, NULL)`,
        ...[JSON.stringify({ [told(text, "member")]: told(text, "value"), list: [told(text, "item")], deep: { x: text } }), told(text, "no JSON")].map(
          (details) => `INSERT INTO audit (at, actor, action, target, source, request_id, details)
            VALUES (${now}, ${q("actor")}, ${q("action")}, ${q("target")}, ${q("place")}, ${q("request")}, ${quoted(details)})`,
        ),
        `INSERT INTO issuers VALUES (${i}, '${crypto.randomUUID()}', ${quoted(JSON.stringify({ ...row, scopes: [told(text, "right")], rules: [] }))}, 1, ${now}, '${id}', ${now}, '${id}')`,
        `INSERT INTO audit (at, actor, action, target, source, request_id, details) VALUES (${now}, '${id}', 'x', NULL, 'x', 'x', '{}')`,
      ];
    });
    await meanwhile(authority, rows.join(";\n"));
    ana = await Person.meet(browser, authority);
    ana.page.setDefaultTimeout(15_000);
    await carryIn(ana.context, authority, first.secret);
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
  });

  /** Whether the page says all of it, and none of it became anything but text. */
  async function isText({ page, complaints }, where, texts) {
    const shown = await page.locator("body").evaluate((body) => body.textContent + [...body.querySelectorAll("input")].map(({ value }) => value).join(" "));
    for (const text of texts) assert.ok(shown.includes(text), `${where} doesn't say ${text}`);
    const strange = await page.evaluate(() => {
      const isOurs = ({ tagName, src }) => tagName === "SCRIPT" && new URL(src).pathname.startsWith("/assets/");
      const elements = [...document.querySelectorAll("img, script, iframe, object, embed, base, svg, style")].filter((element) => !isOurs(element));
      const attributes = [...document.querySelectorAll("*")].flatMap(({ attributes }) => [...attributes]).filter(({ name, value }) => name.startsWith("on") || (/^(href|src|action)$/.test(name) && /^\s*(javascript|data):/i.test(value)));
      return [...elements.map(({ outerHTML }) => outerHTML), ...attributes.map(({ name, value }) => `${name}=${value}`), ...("ran" in globalThis ? ["it ran"] : [])];
    });
    assert.deepEqual(strange, [], where);
    assert.doesNotMatch(await page.title(), /ran=1/, where);
    assert.deepEqual(complaints.splice(0), [], where);
  }

  /** As it is at first, with all pages of a list. */
  async function open({ page, url }, path) {
    await page.goto("about:blank");
    await page.goto(url + path);
    await page.waitForLoadState("networkidle");
    const more = page.getByRole("button", { name: "Show more" });
    while (await more.count()) {
      await more.click();
      await page.waitForLoadState("networkidle");
    }
  }

  /** What each section says of everybody. */
  const SECTIONS = {
    overview: [],
    principals: [""],
    grants: ["", "scope", "granter"],
    authenticators: ["", "kind", "name"],
    sessions: ["", "source", "method"],
    invites: [""],
    issuers: ["", "row", "type", "issuer", "audience", "right"],
    credentials: ["subject", "identity", "proof"],
    audit: ["", "actor", "action", "target", "place", "request", "member", "value", "item", "no JSON", "reason"],
    keys: [],
  };

  for (const [section, columns] of Object.entries(SECTIONS)) {
    test(`is text in the console: ${section}`, async () => {
      await open(ana, `/console#${section}`);
      await isText(ana, section, names.flatMap((text) => columns.map((column) => (column ? told(text, column) : text))));
    });
  }

  /** What is asked before something is done about them: where, beside which row, by which button. */
  const DIALOGS = [
    ["principals/ID", undefined, "Turn away", ""],
    ["grants?principal=ID", "scope", "Take back", "scope"],
    ["authenticators?principal=ID", "name", "Remove", "name"],
    ["sessions?principal=ID", "source", "End", ""],
    ["credentials?principal=ID", "identity", "Revoke", "subject"],
  ];

  for (const [what, text] of Object.entries(HOSTILE)) {
    test(`is text wherever it stands: ${what}`, async () => {
      const one = people.find((one) => one.text === text);
      await open(ana, `/console#principals/${one.id}`);
      await isText(ana, "a principal", [text, ...["maker", "scope", "granter", "name", "source", "method"].map((where) => told(text, where))]);
      for (const [where, row, name, asked] of DIALOGS) {
        await open(ana, `/console#${where.replace("ID", one.id)}`);
        const place = row ? ana.page.locator("li", { hasText: told(text, row) }) : ana.page;
        await place.getByRole("button", { name, exact: true }).click();
        const dialog = ana.page.getByRole("dialog");
        await dialog.getByText(asked ? told(text, asked) : text).first().waitFor();
        await isText(ana, where, [text]);
        await dialog.getByRole("button", { name: "Cancel" }).click();
        await ana.page.locator("dialog").waitFor({ state: "detached" });
      }
      // What the address says is a text of somebody's, too.
      for (const where of [`audit?target=${encodeURIComponent(text)}`, `audit?actor=${encodeURIComponent(told(text, "actor"))}`]) {
        await open(ana, `/console#${where}`);
        await isText(ana, where, [text]);
      }
      await open(ana, `/console#principals/${encodeURIComponent(text)}`);
      await ana.says("It is gone");
      await isText(ana, "a principal that isn't there", []);

      const own = await Person.meet(browser, authority);
      await own.touch(false);
      await carryIn(own.context, authority, one.secret);
      await open(own, "/me");
      await isText(own, "one's own page", [text, ...["source", "method", "identity"].map((where) => told(text, where))]);
      for (const name of ["Rename", "Remove"]) {
        await own.page.locator("li", { hasText: "this session" }).getByRole("button", { name }).click();
        await own.page.getByRole("dialog").waitFor();
        await isText(own, name, [text]);
        await own.page.keyboard.press("Escape");
      }
      await open(own, "/login");
      await isText(own, "signing in", [`You are signed in as ${text}.`]);

      const guest = await Person.meet(browser, authority);
      await guest.page.goto(one.invite);
      await guest.says("You may then");
      await isText(guest, "an invite", [`${text} invites you to this authority.`]);
      await Promise.all([own.context.close(), guest.context.close()]);
    });
  }
});

describe("pages of others", { skip }, () => {
  let authority;
  let browser;
  /** Who serves them: the same host on another port is the same site, the same machine by address isn't. */
  let server;
  let ports;
  /** @type {Person} */
  let ana;
  let ben;
  let mallory;
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    server = createServer((_, response) => response.setHeader("content-type", "text/html").end("<!doctype html><title>another</title><iframe name=sink></iframe>"));
    await new Promise((resolve) => server.listen(0, resolve));
    ports = { "the same site": `http://localhost:${server.address().port}`, "another site": `http://127.0.0.1:${server.address().port}` };
    browser = await openBrowser();
    ana = await Person.meet(browser, authority);
    ana.page.setDefaultTimeout(15_000);
    await ana.becomeFirst(CODE, "Ana");
    const invited = async (displayName) => comeIn(authority, { invite: (await fromAna("POST", "/invites", {})).json.token, displayName });
    [ben, mallory] = [await invited("Ben"), await invited("Mallory")];
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
    server?.close();
  });
  afterEach(() => assert.deepEqual(ana.complaints.splice(0), []));

  /** What Ana's own page may do. */
  const fromAna = (method, path, body) =>
    ana.page.evaluate(
      async ([method, path, body]) => {
        const response = await fetch(path, { method, headers: { accept: "application/json", ...(body && { "content-type": "application/json" }) }, body: body && JSON.stringify(body) });
        return { status: response.status, json: await response.json() };
      },
      [method, path, body],
    );

  /** All that a request could have changed. */
  function everything() {
    const tables = {
      principals: "*",
      authenticators: "id, principal, name",
      grants: "*",
      sessions: "id, hex(hash), principal, verified_at",
      invites: "id, created_by, redeemed_at",
      registrations: "hex(challenge), principal, admission",
      credentials: "id, revoked_at",
      signing_keys: "epoch, key_id, retired_at",
      burned: "hex(digest)",
      audit: "*",
    };
    const file = databaseOf(authority.stateDir);
    return Object.fromEntries(Object.entries(tables).map(([table, columns]) => [table, query(file, `SELECT ${columns} FROM ${table}`)]));
  }

  /** Routes that change something, or begin to. Ana showed her passkey just now: nothing else stops them. */
  const routes = () => [
    ["POST", "/logout", {}],
    ["POST", "/invites", { scopes: ["authorityManage"] }],
    ["POST", "/cert", { proof: { type: "session" } }],
    ["POST", "/cert/challenge", {}],
    ["POST", "/cert/passkey", {}],
    ["POST", "/join", { token: "x" }],
    ["POST", "/auth/passkey/register/options", {}],
    ["POST", "/auth/passkey/login/options", {}],
    ["POST", "/auth/passkey/step-up/options", {}],
    ["POST", "/auth/passkey/reset", { bootstrapCode: CODE }],
    ["POST", `/admin/principals/${ben.id}/disable`, {}],
    ["POST", `/admin/principals/${ben.id}/grants`, { scope: "authorityManage" }],
    ["POST", "/admin/key/rollover", {}],
    ["POST", "/admin/epoch", {}],
    ["DELETE", `/admin/principals/${ben.id}/grants/bridgeCert`],
    ["DELETE", `/admin/sessions/${ben.session}`],
    ["DELETE", `/me/sessions/${ben.session}`],
  ];

  for (const site of ["the same site", "another site"]) {
    test(`of ${site} change nothing in somebody's session, however they ask`, async () => {
      const page = await ana.context.newPage();
      await page.goto(ports[site]);
      const heard = [];
      const hear = (response) => void (response.url().startsWith(authority.url) && heard.push(response));
      ana.context.on("response", hear);
      const [posts, cookies] = [new Set(), new Map()];
      const devtools = await ana.context.newCDPSession(page);
      await devtools.send("Network.enable");
      devtools.on("Network.requestWillBeSent", ({ requestId, request }) => void (request.method === "POST" && posts.add(requestId)));
      devtools.on("Network.requestWillBeSentExtraInfo", ({ requestId, headers }) => void cookies.set(requestId, headers.Cookie));
      const before = everything();
      for (const [method, path, body] of routes()) {
        await page.evaluate(
          async ([url, method, body]) => {
            const json = body && JSON.stringify(body);
            const ask = (options) => fetch(url, { method, credentials: "include", ...options }).catch(() => undefined);
            if (method === "DELETE") return ask({ mode: "cors" });
            // A form whose text is JSON, and the forms that there are else.
            const post = (enctype) =>
              new Promise((resolve) => {
                const form = document.createElement("form");
                Object.assign(form, { action: url, method: "POST", enctype, target: "sink" });
                const field = document.createElement("input");
                field.name = `${json.slice(0, -1)}${json.length > 2 ? "," : ""}"x":"`;
                field.value = '"}';
                form.append(field);
                document.body.append(form);
                document.querySelector("iframe").addEventListener("load", resolve, { once: true });
                form.submit();
              });
            for (const enctype of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) await post(enctype);
            await ask({ mode: "no-cors", body: json });
            await ask({ mode: "no-cors", body: new Blob([json], { type: "text/plain" }) });
            await ask({ mode: "cors", headers: { "content-type": "application/json" }, body: json });
            navigator.sendBeacon(url, json);
          },
          [authority.url + path, method, body],
        );
      }
      // The whole tab goes there, which brings the cookie along where the site is the same.
      await page.evaluate((url) => {
        const form = document.createElement("form");
        Object.assign(form, { action: `${url}/logout`, method: "POST", enctype: "text/plain" });
        document.body.append(form);
        form.submit();
      }, authority.url);
      await page.waitForURL(`${authority.url}/logout`);
      await page.waitForLoadState("networkidle");

      const asked = heard.filter((response) => response.request().method() !== "GET").map((response) => response.status());
      assert.ok(asked.length > 80, String(asked.length));
      assert.deepEqual([...new Set(asked)], [403]);
      // A test that sends no cookie where a browser would shows nothing.
      const withCookie = [...posts].filter((id) => cookies.get(id)?.includes(COOKIE));
      assert.equal(withCookie.length, site === "the same site" ? asked.length : 0);
      assert.deepEqual(everything(), before);
      assert.equal((await fromAna("GET", "/me")).json.displayName, "Ana", "still signed in");
      ana.context.off("response", hear);
      await page.close();
    });
  }

  test("are refused for where they are: from the authority's own page the same is done", async () => {
    assert.equal((await fromAna("POST", `/admin/principals/${ben.id}/disable`, {})).status, 200);
    assert.equal((await fromAna("POST", `/admin/principals/${ben.id}/enable`, {})).status, 200);
    assert.equal((await fromAna("DELETE", `/admin/principals/${ben.id}/grants/bridgeCert`)).status, 200);
  });

  test("leave a cookie beside the session's: nobody is taken for somebody else", async () => {
    const neighbour = await ana.context.newPage();
    await neighbour.goto(ports["the same site"]);
    const toss = (value, path) => neighbour.evaluate(([name, value, path]) => void (document.cookie = `${name}=${value}; path=${path}`), [COOKIE, value, path]);
    const tossed = async () => (await ana.context.cookies()).filter(({ name }) => name === COOKIE).length - 1;
    await ana.touch(false);
    for (const [path, where] of [["/me", "/me"], ["/me", "/console#grants"]]) {
      await toss(mallory.secret, path);
      assert.equal(await tossed(), 1);
      await ana.go(where);
      await ana.page.waitForURL(/\/login/);
      await ana.says("Every administrator lost their passkey?");
      assert.equal(await ana.page.getByText("Mallory").count(), 0);
    }
    // The passkey is right, and yet it leads nowhere: the page says why, and doesn't go round in circles.
    // Before the button: a ceremony that began without a touch isn't looked at again.
    await ana.touch(true);
    await ana.button("Sign in with a passkey").click();
    await ana.says("sends another cookie of its name beside it");
    await ana.touch(false);
    assert.match(ana.page.url(), /\/login/);
    const own = await ana.page.evaluate(async () => (await fetch("/me")).status);
    assert.equal(own, 401);
    // What is elsewhere isn't Mallory's either.
    await toss("", "/me; max-age=0");
    await toss(mallory.secret, "/invites");
    await toss(mallory.secret, "/admin");
    assert.equal(await tossed(), 2);
    for (const [method, path] of [["GET", "/invites"], ["POST", "/invites"], ["GET", "/admin/grants"]]) {
      assert.equal((await fromAna(method, path, method === "POST" ? {} : undefined)).status, 401, path);
    }
    // Without them, all is as it was.
    for (const path of ["/invites", "/admin"]) await toss("", `${path}; max-age=0`);
    assert.equal(await tossed(), 0);
    await ana.go("/me");
    await ana.page.getByRole("heading", { name: "Ana", exact: true }).waitFor();
    // One under the session's own path is stopped by the browser.
    await toss(mallory.secret, "/");
    await ana.go("/me");
    await ana.page.getByRole("heading", { name: "Ana", exact: true }).waitFor();
    await neighbour.close();
  });
});
