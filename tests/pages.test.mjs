// People in front of a real browser, through the real pages.
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { after, afterEach, before, describe, test } from "node:test";
import { build } from "esbuild";
import jsqr from "jsqr";
import { ROOT } from "../tools/lib/places.mjs";
import { startAuthority } from "./support/authority.mjs";
import { CODE } from "./support/browser.mjs";
import { execute, missing } from "./support/foreign.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";
import { longAgo, meanwhile, noSqlite } from "./support/state.mjs";

const skip = executablePath ? false : "chromium is not installed";
const HOSTILE = '<img src=x onerror="document.title=1">"\'&lt;';
const SECOND_CODE = "another-horse-battery-staple";

describe("return_to", () => {
  /** @type {(wanted: string | null, origin: string, root: string) => string} */
  let returnTo;
  let folder;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "notme-pages-"));
    const outfile = join(folder, "place.mjs");
    await build({ entryPoints: [join(ROOT, "web/lib/place.ts")], bundle: true, format: "esm", outfile });
    ({ returnTo } = await import(pathToFileURL(outfile).href));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  test("leads to paths of this authority alone", () => {
    const origin = "https://id.example";
    const hostile = [
      null, "", "me", "//evil.example", "///evil.example", "/\\evil.example", "/\\/evil.example", "\\\\evil.example", "/ /evil.example", "/\t/evil.example",
      "/\n/evil.example", "\t//evil.example", " //evil.example", "https://evil.example", "https:evil.example", "http:/evil.example", "javascript:alert(1)",
      "data:text/html,x", "/x\\y", "/x y", "/é", "/.//evil.example", "/..//evil.example", "/a/..//evil.example", "/%09/evil.example/..//..//x", "//", "/\u0000", "@evil.example",
      ".evil.example", "/x\u2028", "/\u200b/evil.example",
    ];
    for (const wanted of hostile) {
      const got = returnTo(wanted, origin, "");
      const { origin: at } = new URL(got, `${origin}/login`);
      assert.equal(at, origin, String(wanted));
      assert.doesNotMatch(got, /^\/[/\\]|evil\.example$/, String(wanted));
    }
    for (const wanted of ["/me", "/console#invites", "/console?x=1#a/b", "/"]) assert.equal(returnTo(wanted, origin, ""), wanted);
    for (const wanted of ["/", "/me", "/identityx/me", "/identity/../me", "/identity/../../x", "/x/identity/me"]) {
      assert.equal(returnTo(wanted, origin, "/identity"), "/identity/me", wanted);
    }
    assert.equal(returnTo("/identity/console", origin, "/identity"), "/identity/console");
  });
});

describe("a person in front of the pages", { skip }, () => {
  let authority;
  let browser;
  /** @type {Person} the first administrator */
  let ana;
  /** @type {Person[]} */
  const people = [];
  const meet = async (options) => {
    const person = await Person.meet(browser, authority, options);
    person.page.setDefaultTimeout(15_000);
    people.push(person);
    return person;
  };
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    browser = await openBrowser();
    ana = await meet();
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
  });
  afterEach(() => {
    // Neither a mistake of a page, nor anything that the policy had to stop.
    assert.deepEqual(people.flatMap(({ complaints }) => complaints.splice(0)), []);
  });

  test("becomes the first administrator by the code, and is told what is wrong with another", async () => {
    await ana.go("/login");
    await ana.page.getByLabel("One-time code").fill("wrong-code-0123456789");
    await ana.page.getByLabel("Your name").fill("Ana");
    await ana.button("Make a passkey and begin").click();
    await ana.page.getByRole("alert").getByText("The code is wrong, or was used.").waitFor();
    assert.equal(await ana.page.getByLabel("Your name").inputValue(), "Ana", "what was typed stays");
    await ana.becomeFirst(CODE, "Ana");
    await ana.says("administer this authority");
  });

  test("gets a pair for keys that can't leave the browser", { skip: missing("openssl") }, async () => {
    await ana.page.evaluate(() => {
      globalThis.made = [];
      const { subtle } = crypto;
      const generate = subtle.generateKey.bind(subtle);
      subtle.generateKey = async (...args) => {
        const pair = await generate(...args);
        globalThis.made.push([pair.privateKey.algorithm.name, pair.privateKey.extractable]);
        return pair;
      };
    });
    await ana.button("Make a pair").click();
    await ana.says("Issued. The pair ends at");
    assert.deepEqual(await ana.page.evaluate(() => globalThis.made), [["ECDSA", false], ["Ed25519", false]]);
    const [mtls, signing] = await ana.page.locator("pre.pem").allTextContents();
    const identity = await ana.page.locator("dd code").first().textContent();
    const root = await (await fetch(`${authority.url}/.well-known/ca-bundle.pem`)).text();
    const folder = await mkdtemp(join(tmpdir(), "notme-pair-"));
    try {
      for (const [name, pem] of Object.entries({ root, mtls, signing })) writeFileSync(join(folder, `${name}.pem`), pem);
      const { code, stdout, stderr } = await execute("openssl", ["verify", "-x509_strict", "-CAfile", "root.pem", "mtls.pem", "signing.pem"], { cwd: folder });
      assert.deepEqual([code, stdout], [0, "mtls.pem: OK\nsigning.pem: OK\n"], stderr);
      const shown = await execute("openssl", ["x509", "-in", "mtls.pem", "-noout", "-ext", "subjectAltName"], { cwd: folder });
      assert.ok(shown.stdout.includes(`URI:${identity}`), shown.stdout);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
    const download = ana.page.waitForEvent("download");
    await ana.button("Download mtls.pem").click();
    assert.equal(readFileSync(await (await download).path(), "utf8").trim(), mtls.trim());
  });

  test("adds a passkey only on a device that has none, for nobody new, and signed in", async () => {
    const add = async () => {
      await ana.button("Add a passkey").click();
      await ana.page.getByRole("dialog").getByRole("button", { name: "Add a passkey" }).click();
    };
    const sent = [];
    const note = (request) => void (request.url().endsWith("/register/options") && sent.push(request.postDataJSON()));
    ana.page.on("request", note);
    await add();
    await ana.says("This device has a passkey of yours for this authority already.");
    ana.page.off("request", note);
    assert.deepEqual(sent, [{ further: true }], "a name would make somebody new");
    await ana.page.route("**/register/options", (route) => route.fulfill({ status: 401, json: { error: "no session", code: "no_session" } }));
    await add();
    const link = ana.page.getByRole("link", { name: "Sign in again" });
    assert.equal(await link.getAttribute("href"), "/login?return_to=%2Fme");
    await ana.page.unroute("**/register/options");
    await ana.go("/me");
    await ana.says("Add a second on another device");
  });

  test("adds a passkey, names it, and takes it away; a name is nothing but text", async () => {
    // The first device isn't at hand: one that has a passkey already makes no other.
    await ana.removeDevice();
    await ana.addDevice();
    await ana.button("Add a passkey").click();
    await ana.page.getByRole("dialog").getByLabel("Name").fill("Spare");
    await ana.page.getByRole("dialog").getByRole("button", { name: "Add a passkey" }).click();
    await ana.says("The passkey was added.");
    const own = ana.page.locator("section", { has: ana.page.getByRole("heading", { name: "Passkeys" }) });
    await own.locator("li", { hasText: "Spare" }).getByRole("button", { name: "Rename" }).click();
    await ana.page.getByRole("dialog").getByLabel("Name").fill(HOSTILE);
    await ana.page.getByRole("dialog").getByRole("button", { name: "Rename" }).click();
    await ana.says("The passkey has its new name.");
    assert.ok((await own.textContent()).includes(HOSTILE));
    const other = own.locator("li", { hasNotText: "this session" }).first();
    await other.getByRole("button", { name: "Remove" }).click();
    await ana.page.getByRole("dialog").getByText(`with “${HOSTILE}”`).waitFor();
    await ana.page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click();
    assert.equal(await own.locator("li .row-title").count(), 2, "cancelled");
    assert.equal(await ana.page.locator("img").count(), 0);
    assert.equal(await ana.page.title(), "My page · notme");
  });

  test("invites a colleague, once, by a link and its picture", async () => {
    await ana.go("/console#invites");
    await ana.page.getByLabel("administer this authority").check();
    await ana.button("Make the invite").click();
    await ana.says("Here it is.");
    const link = await ana.page.locator(".once pre").textContent();
    assert.match(link, new RegExp(`^${authority.url}/join#t=[\\w-]+$`));
    assert.equal(await readCode(ana.page), link);

    const ben = await meet();
    await ben.page.goto(link);
    await ben.says("Ana invites you to this authority.");
    await ben.says("administer this authority");
    assert.equal(ben.page.url(), `${authority.url}/join`, "the token is gone from the address");
    assert.equal(await ben.page.evaluate(() => JSON.stringify([location.hash, history.state, document.cookie])), '["",null,""]');
    await ben.page.getByLabel("Your name").fill(HOSTILE);
    await ben.button("Make a passkey and join").click();
    await ben.at("/me");
    await ben.page.getByRole("heading", { name: HOSTILE, exact: true }).waitFor();
    assert.equal(await ben.page.locator("img").count(), 0);
    await ben.says("administer this authority");

    const late = await meet();
    await late.page.goto(link);
    await late.says("This invite can't be used.");
    await late.go("/join");
    await late.says("There is no invite in this address.");
    assert.equal(await late.page.getByText("You are invited").count(), 0);
  });

  test("opens another invite in the same tab, whose token is gone as soon", async () => {
    const links = [];
    for (const scope of ["administer this authority", "mint certificates for workloads"]) {
      await ana.go("/");
      await ana.go("/console#invites");
      await ana.page.getByLabel(scope).check();
      await ana.button("Make the invite").click();
      await ana.says("Here it is.");
      links.push(await ana.page.locator(".once pre").textContent());
    }
    const eve = await meet();
    await eve.page.goto(links[0]);
    await eve.says("administer this authority");
    // Nothing but the fragment is another: no page is loaded.
    await eve.page.evaluate((link) => void (location.href = link), links[1]);
    await eve.says("mint certificates for workloads");
    assert.equal(await eve.page.getByText("administer this authority").count(), 0);
    assert.equal(eve.page.url(), `${authority.url}/join`);
    await eve.page.goBack();
    assert.equal(await eve.page.evaluate(() => location.href), `${authority.url}/join`, "nor is the first one's in the history");
    // Other fragments are none of ours, such as that of the link to the content.
    await eve.page.evaluate(() => void (location.hash = "main"));
    await eve.says("mint certificates for workloads");
    await eve.page.getByLabel("Your name").fill("   ");
    await eve.button("Make a passkey and join").click();
    assert.ok(await eve.page.getByLabel("Your name").evaluate((name) => name.matches(":invalid")), "spaces are no name");
    await eve.page.getByLabel("Your name").fill("Eve");
    await eve.button("Make a passkey and join").click();
    await eve.at("/me");
    await eve.says("mint certificates for workloads");
    // Whoever is signed in and opens one is told whose session that would end.
    await ana.go("/console#invites?scope=authorityManage");
    assert.ok(await ana.page.getByLabel("administer this authority").isChecked());
    await ana.button("Make the invite").click();
    await ana.says("Here it is.");
    await eve.page.goto(await ana.page.locator(".once pre").textContent());
    await eve.says("You are signed in as Eve. Whoever joins is somebody new");
    await eve.page.getByRole("link", { name: "Back to my page" }).click();
    await eve.at("/me");
    await eve.says("mint certificates for workloads");
  });

  test("is led to sign in, and from there back to where they were", async () => {
    const [, ben] = people;
    await ben.context.clearCookies();
    await ben.touch(false);
    await ben.go("/console#audit?action=x");
    await ben.at("/login?return_to=%2Fconsole%23audit%3Faction%3Dx");
    await ben.touch(true);
    await ben.go(new URL(ben.page.url()).pathname + new URL(ben.page.url()).search);
    await ben.at("/console#audit?action=x");
    // Their session ends after the page was sent, and before its script asks.
    await ben.touch(false);
    await ben.page.route("**/me", (route) => (route.request().resourceType() === "fetch" ? route.fulfill({ status: 401, json: { error: "no session", code: "no_session" } }) : route.continue()));
    await ben.go("/me");
    await ben.at("/login?return_to=%2Fme");
    await ben.page.unroute("**/me");
    // Nothing waits for a passkey any more when there is a finger again.
    await ben.page.goto("about:blank");
    await ben.touch(true);
  });

  test("signs out, and signs in by the list that the browser offers", async () => {
    const [, ben] = people;
    await ben.go("/me");
    await ben.touch(false); // nobody chooses anything yet
    await ben.button("Sign out").click();
    await ben.at("/login");
    await ben.go("/me");
    await ben.at("/login");
    // Nothing waits for a passkey there when there is a finger again.
    await ben.page.goto("about:blank");
    await ben.touch(true);
    await ben.go("/login");
    await ben.at("/me");
    await ben.page.getByRole("heading", { name: HOSTILE, exact: true }).waitFor();
  });

  test("signs in by the button, which the waiting request makes room for", async () => {
    const [, ben] = people;
    await ben.context.clearCookies();
    await ben.touch(false);
    await ben.page.addInitScript(() => {
      globalThis.asked = [];
      const get = navigator.credentials.get.bind(navigator.credentials);
      navigator.credentials.get = (options) => {
        globalThis.asked.push(options);
        return get(options);
      };
    });
    await ben.go("/login?return_to=/console%23audit");
    await ben.page.waitForFunction(() => globalThis.asked.length === 1);
    // From the keyboard alone.
    await ben.button("Sign in with a passkey").focus();
    await ben.page.keyboard.press("Enter");
    await ben.page.waitForFunction(() => globalThis.asked.length === 2);
    const asked = await ben.page.evaluate(() => globalThis.asked.map(({ mediation, signal }) => [mediation ?? null, signal?.aborted ?? null]));
    assert.deepEqual(asked, [["conditional", true], [null, null]]);
    await ben.says("Follow your browser: it asks for your passkey.");
    // Somebody cancels: told so, and the list is offered again, from which they choose.
    await ben.touch(true);
    await ben.go("/login?return_to=/console%23audit");
    await ben.at("/console#audit");
  });

  test("is led nowhere else after signing in", async () => {
    const [, ben] = people;
    for (const wanted of ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:document.title=1", "/%5Cevil.example"]) {
      await ben.context.clearCookies();
      await ben.go(`/login?return_to=${encodeURIComponent(wanted)}`);
      await ben.page.waitForURL((url) => url.pathname !== "/login");
      assert.equal(new URL(ben.page.url()).origin, authority.url, wanted);
    }
    // Who is signed in already is not asked again, nor led elsewhere.
    await ben.touch(false);
    await ben.go(`/login?return_to=${encodeURIComponent("//evil.example")}`);
    assert.equal(await ben.page.getByRole("link", { name: "Continue" }).evaluate((link) => link.href), `${authority.url}/me`);
    await ben.touch(true);
  });

  test("shows a passkey again for what is dangerous, and it is done then", async () => {
    const [, ben] = people;
    await ben.go("/console#invites");
    const asked = [];
    await ben.page.route("**/invites", async (route) => {
      if (route.request().method() !== "POST") return route.continue();
      asked.push("invite");
      if (asked.length > 1) return route.continue();
      return route.fulfill({ status: 403, json: { error: "show a passkey again", code: "step_up_required" } });
    });
    ben.page.on("request", (request) => void (request.url().endsWith("/step-up/verify") && asked.push("passkey")));
    await ben.button("Make the invite").click();
    await ben.page.getByRole("dialog").getByRole("heading", { name: "Show your passkey again" }).waitFor();
    await ben.page.keyboard.press("Escape");
    await ben.page.locator("dialog").waitFor({ state: "detached" });
    assert.deepEqual(asked, ["invite"], "cancelled");
    asked.length = 0;
    await ben.button("Make the invite").click();
    await ben.page.getByRole("dialog").getByRole("button", { name: "Use my passkey" }).click();
    await ben.says("Here it is.");
    assert.deepEqual(asked, ["invite", "passkey", "invite"]);
    await ben.page.unroute("**/invites");
  });

  test("ends a session elsewhere, and there it is over", async () => {
    const [, ben] = people;
    const elsewhere = await meet();
    await elsewhere.carry(ben);
    await elsewhere.go("/login");
    await elsewhere.at("/me");
    await ben.go("/me");
    const other = ben.page.locator("section", { has: ben.page.getByRole("heading", { name: "Sessions" }) }).locator("li", { hasNotText: "this one" });
    await other.first().getByRole("button", { name: "End" }).click();
    await ben.page.getByRole("dialog").getByRole("button", { name: "End" }).click();
    await ben.says("The session has ended.");
    await elsewhere.button("Make a pair").click();
    await elsewhere.says("Your session has ended.");
    await elsewhere.page.getByRole("link", { name: "Sign in again" }).first().waitFor();
    await elsewhere.go("/me");
    await elsewhere.page.waitForURL(/\/(login|me)$/);
  });

  test("believes no answer of another form", async () => {
    const [, ben] = people;
    for (const body of ['{"authenticated":true}', "<html>", '{"authenticated":true,"userId":1}', "null"]) {
      await ben.page.route("**/me", (route) => (route.request().resourceType() === "fetch" ? route.fulfill({ status: 200, contentType: "application/json", body }) : route.continue()));
      await ben.go("/me");
      await ben.says("The authority's answer was not of the form that this page knows.");
      await ben.page.unroute("**/me");
    }
    assert.equal(ben.complaints.splice(0).length, 4, "the operator's console has the reason");
    await ben.page.route("**/me/sessions", (route) => route.abort());
    await ben.go("/me");
    await ben.says("The authority can't be reached.");
    await ben.page.unroute("**/me/sessions");
    ben.complaints.length = 0;
  });

  test("reads what the landing page says without a script", async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(`${authority.url}/`);
    assert.ok(await page.getByText(`notme enroll --authority ${authority.url}`).isVisible());
    await page.goto(`${authority.url}/login`);
    assert.ok(await page.locator("noscript .notice").isVisible());
    await context.close();
  });

  test("can't be led to click in a frame", async () => {
    const server = createServer((_, response) => response.setHeader("content-type", "text/html").end(`<iframe src="${authority.url}/console"></iframe>`));
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const context = await browser.newContext();
    try {
      const page = await context.newPage();
      await page.goto(`http://127.0.0.1:${server.address().port}/`);
      await page.waitForTimeout(300);
      const [, frame] = page.frames();
      assert.equal(await frame.locator("h1#title").count(), 0);
      assert.match(frame.url(), /^chrome-error:/);
    } finally {
      await context.close();
      server.close();
    }
  });

  test("recovers the authority by a new code, and removes nobody", async () => {
    await authority.restart({ vars: { BOOTSTRAP_CODE: SECOND_CODE } });
    const cleo = await meet();
    await cleo.go("/login");
    await cleo.touch(true);
    await cleo.page.getByText("Every administrator lost their passkey?").click();
    await cleo.page.getByLabel("One-time code").fill(SECOND_CODE);
    await cleo.page.getByLabel("Your name").fill("Cleo");
    await cleo.button("Make a passkey with the code").click();
    await cleo.at("/me");
    await cleo.says("administer this authority");
    const [, ben] = people;
    await ben.go("/me");
    await ben.page.getByRole("heading", { name: HOSTILE, exact: true }).waitFor();
  });
});

describe("an administrator in the console", { skip }, () => {
  let authority;
  let browser;
  /** @type {Person} */
  let ana;
  /** @type {Person} */
  let ben;
  const dialog = () => ana.page.getByRole("dialog");
  /** To a section of the console, as it is now. */
  const section = async (name) => {
    await ana.page.goto("about:blank");
    await ana.go(`/console#${name}`);
    await ana.page.locator(".panel .window-body").first().waitFor();
  };
  const invite = async () => {
    await section("invites");
    await ana.button("Make the invite").click();
    await ana.says("Here it is.");
    return ana.page.locator(".once pre").textContent();
  };
  const benId = async () => (await ben.page.locator("dd code").first().textContent()).split("/").pop();
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    browser = await openBrowser();
    ana = await Person.meet(browser, authority);
    ben = await Person.meet(browser, authority);
    for (const person of [ana, ben]) person.page.setDefaultTimeout(15_000);
    await ana.becomeFirst(CODE, "Ana");
    await ben.join(await invite(), HOSTILE);
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
  });
  afterEach(() => assert.deepEqual([ana, ben].flatMap(({ complaints }) => complaints.splice(0)), []));

  test("finds a principal, grants, and takes back", async () => {
    await section("principals");
    await ana.page.getByLabel("Search").fill("<img");
    await ana.button("Search").click();
    await ana.says("1 entry");
    assert.equal(await ana.page.locator("main img").count(), 0);
    await ana.page.getByRole("link", { name: HOSTILE }).click();
    await ana.page.getByLabel("Scope").selectOption("certMint");
    await ana.button("Grant").click();
    await ana.says("It was granted.");
    await ben.go("/me");
    await ben.says("mint certificates for workloads");
    // A session that was stolen gains nothing: it takes Ben's passkey.
    const pending = ben.page.getByText("May, with a passkey");
    await pending.waitFor();
    await ben.button("Use my passkey").click();
    await pending.waitFor({ state: "detached" });
    await ben.says("mint certificates for workloads");
    await ana.page.locator("li", { hasText: "certMint" }).getByRole("button", { name: "Take back" }).click();
    await dialog().getByRole("button", { name: "Take back" }).click();
    await ana.says("The grant was taken back.");
    await ben.page.reload();
    await ben.says("have certificates for themselves");
    assert.equal(await ben.page.getByText("mint certificates for workloads").count(), 0, "at once");
    await section("principals");
    await ana.page.getByLabel("Search").fill("nobody of this name");
    await ana.button("Search").click();
    await ana.says("Nothing was found.");
  });

  test("makes another administrator, who comes to the console with a passkey", async () => {
    await section(`principals/${await benId()}`);
    await ana.page.getByLabel("Scope").selectOption("authorityManage");
    await ana.button("Grant").click();
    await ana.says("It was granted.");
    await ben.go("/console");
    await ben.says("You may administer this authority from now on.");
    await ben.button("Use my passkey").click();
    await ben.page.getByRole("navigation", { name: "Sections" }).waitFor();
    await ana.page.locator("li", { hasText: "authorityManage" }).getByRole("button", { name: "Take back" }).click();
    await dialog().getByRole("button", { name: "Take back" }).click();
    await ana.says("The grant was taken back.");
    await ben.go("/console");
    await ben.says("You may not administer this authority.");
    await ben.go("/me");
  });

  test("grants for a time, and no more than they have; sees who may do what", async () => {
    const id = await benId();
    await section(`principals/${id}`);
    const scopes = ana.page.getByLabel("Scope");
    await scopes.waitFor();
    assert.deepEqual(await scopes.locator("option").allTextContents(), ["bridgeCert", "authorityManage", "certMint"], "what Ana has, and nothing else");
    assert.equal(await scopes.inputValue(), "authorityManage", "what Ben lacks");
    await scopes.selectOption("certMint");
    const until = ana.page.getByLabel("Until, in UTC");
    await until.fill("2001-02-03T04:05");
    await ana.button("Grant").click();
    assert.ok(await until.evaluate((input) => input.matches(":invalid")), "what would be over");
    const end = new Date(Date.now() + 172_800_000).toISOString().slice(0, 16);
    await until.fill(end);
    await ana.button("Grant").click();
    await ana.says("It was granted.");
    await ana.page.locator("li", { hasText: "certMint" }).getByText(`${end.replace("T", " ")} UTC`).waitFor();
    await section("grants");
    await ana.says("5 entries");
    await ana.page.getByLabel("Scope").selectOption("certMint");
    await ana.button("Show").click();
    await ana.says("2 entries");
    const own = ana.page.locator("li", { hasText: "Granted by their registration" });
    assert.match(await own.textContent(), /^AnacertMint.*Until for good/);
    await section(`grants?principal=${id}`);
    await ana.says("2 entries");
    await ana.page.locator(".only", { hasText: `Those of ${id}` }).waitFor();
    await ana.page.locator("li", { hasText: "certMint" }).getByRole("button", { name: "Take back" }).click();
    await dialog().getByText("mint certificates for workloads").waitFor();
    await dialog().getByRole("button", { name: "Take back" }).click();
    await ana.says("The grant was taken back.");
    await ana.says("1 entry");
    await ben.go("/me");
    await ben.says("have certificates for themselves");
    assert.equal(await ben.page.getByText("mint certificates for workloads").count(), 0);
    await ana.page.getByRole("link", { name: "Show all" }).click();
    await ana.says("4 entries");
  });

  test("is led from a principal to what is theirs, and finds what tools print", async () => {
    await ben.go("/me");
    await ben.button("Make a pair").click();
    await ben.says("Issued.");
    const id = await benId();
    const follow = async (name) => {
      await section(`principals/${id}`);
      await ana.page.getByRole("link", { name, exact: true }).click();
      await ana.page.locator(".only", { hasText: id }).waitFor();
    };
    await follow("What was issued to them");
    await ana.says("1 entry");
    const serial = await ana.page.locator(".row-about span", { hasText: "Serial" }).locator("code").textContent();
    await follow("What they did");
    await ana.says("principal.registered");
    await follow("What was done to them");
    await ana.says("grant.revoked");
    await follow("Invites by them, and a further way in");
    await ana.says("Nothing was found.");
    await ana.page.getByRole("link", { name: "Show all" }).click();
    await ana.page.locator("li", { hasText: "redeemed" }).waitFor();
    // As openssl prints it, and as a browser does.
    for (const text of [serial.toUpperCase(), serial.replace(/..(?=.)/g, "$&:"), `serial=${serial.toUpperCase()}`, ` ${serial} `, id]) {
      await section("credentials");
      await ana.page.getByLabel("Search").fill(text);
      const [request] = await Promise.all([ana.page.waitForRequest(/credentials\?.*=/), ana.button("Search").click()]);
      assert.deepEqual(Object.fromEntries(new URL(request.url()).searchParams), text === id ? { principal: id } : { serial }, text);
      await ana.says("1 entry");
    }
    await section("credentials");
    await ana.page.getByLabel("By").selectOption("gha-oidc");
    await ana.button("Search").click();
    await ana.says("Nothing was found.");
    await ana.page.getByLabel("By").selectOption("passkey");
    await ana.button("Search").click();
    await ana.says("1 entry");
    await section("sessions");
    await ana.page.getByLabel("By").selectOption("passkey");
    await ana.button("Show").click();
    await ana.says("2 entries");
    await section("audit");
    await ana.page.getByLabel("Search").fill(id);
    await ana.page.getByLabel("Look at").selectOption("to what");
    await ana.button("Search").click();
    await ana.says("grant.revoked");
    for (const name of ["sessions", "authenticators"]) {
      await section(`${name}?principal=${id}&state=x`);
      await ana.says("1 entry");
    }
  });

  test("revokes a pair and ends a session: there it is over at once", async () => {
    await ben.go("/me");
    await ben.button("Make a pair").click();
    await ben.says("Issued.");
    await section("credentials");
    const issued = ana.page.locator("li", { hasText: await benId() }).first();
    await issued.getByRole("button", { name: "Revoke" }).click();
    await dialog().getByRole("button", { name: "Revoke" }).click();
    await ana.says("The pair was revoked.");
    await issued.getByText("revoked").waitFor();
    await section("sessions");
    await ana.page.locator("li", { hasText: HOSTILE }).getByRole("button", { name: "End" }).click();
    await dialog().getByRole("button", { name: "End" }).click();
    await ana.says("The session has ended.");
    await ben.button("Make a pair").click();
    await ben.page.getByRole("link", { name: "Sign in again" }).first().waitFor();
    await ben.touch(false);
    await ben.go("/me");
    await ben.at("/login");
    await ben.touch(true);
  });

  test("turns somebody away and lets them in again; the last administrator stays", async () => {
    await ben.go("/login");
    await ben.at("/me");
    const id = await benId();
    await section(`principals/${id}`);
    await ana.button("Turn away").click();
    await dialog().getByRole("button", { name: "Turn away" }).click();
    await ana.says("They were turned away.");
    await ben.go("/login");
    await ben.says("Or you were turned away: ask an administrator.");
    await ana.button("Let in again").click();
    await dialog().getByRole("button", { name: "Let in again" }).click();
    await ana.says("They may sign in again.");
    await ben.go("/login");
    await ben.at("/me");
    await ana.go("/me");
    const own = (await ana.page.locator("dd code").first().textContent()).split("/").pop();
    await section(`principals/${own}`);
    await ana.button("Turn away").click();
    await dialog().getByRole("button", { name: "Turn away" }).click();
    await ana.says("Nobody else could administer this authority then.");
  });

  test("shows a passkey again when it is a while ago, and only then is it done", { skip: noSqlite }, async () => {
    const id = await benId();
    const now = async () => {
      const { items } = await ana.page.evaluate(async (id) => (await fetch(`/admin/principals?q=${id}`)).json(), id);
      return items[0].disabledAt;
    };
    await section(`principals/${id}`);
    await ana.page.waitForLoadState("networkidle"); // its lists ask an authority that is about to be away
    const { value: secret } = (await ana.context.cookies()).find(({ name }) => name === "notme_session");
    await meanwhile(authority, longAgo(600));
    const asked = [];
    const note = (response) => {
      const { pathname } = new URL(response.url());
      if (response.request().method() === "POST") asked.push(`${pathname.split("/").slice(-2).join("/")} ${response.status()}`);
    };
    ana.page.on("response", note);
    const turnAway = async () => {
      await ana.button("Turn away").click();
      await dialog().getByRole("button", { name: "Turn away" }).click();
      await dialog().getByRole("heading", { name: "Show your passkey again" }).waitFor();
    };
    await turnAway();
    await dialog().getByRole("button", { name: "Cancel" }).click();
    await ana.page.locator("dialog").waitFor({ state: "detached" });
    assert.deepEqual(asked, [`${id}/disable 403`], "cancelled");
    assert.equal(await now(), 0);
    assert.equal(await ana.page.getByText("They were turned away.").count(), 0);
    asked.length = 0;
    await turnAway();
    await dialog().getByRole("button", { name: "Use my passkey" }).click();
    await ana.says("They were turned away.");
    ana.page.off("response", note);
    assert.deepEqual(asked, [`${id}/disable 403`, "step-up/options 200", "step-up/verify 200", `${id}/disable 200`]);
    assert.ok((await now()) > 0);
    const cookie = (await ana.context.cookies()).find(({ name }) => name === "notme_session");
    assert.notEqual(cookie.value, secret, "the session goes on under another secret");
    // Now it counts for a while.
    await ana.button("Let in again").click();
    await dialog().getByRole("button", { name: "Let in again" }).click();
    await ana.says("They may sign in again.");
  });

  test("makes a link for who lost their passkey, who is the same afterwards", async () => {
    const id = await benId();
    await section(`principals/${id}`);
    await ana.page.getByRole("link", { name: "Invites by them, and a further way in" }).click();
    await ana.says("For who lost a passkey");
    assert.equal(await ana.page.getByLabel("administer this authority").count(), 0, "what they may do isn't chosen");
    await ana.button("Make the link").click();
    await ana.says("Here it is.");
    const link = await ana.page.locator(".once pre").textContent();
    const again = await Person.meet(browser, authority);
    await again.page.goto(link);
    await again.says("Ana made this link for");
    assert.equal(await again.page.getByLabel("Your name").count(), 0);
    await again.button("Make a passkey").click();
    await again.at("/me");
    await again.page.getByRole("heading", { name: HOSTILE, exact: true }).waitFor();
    await again.says("passkey");
    assert.equal((await again.page.locator("dd code").first().textContent()).split("/").pop(), id);
    await section("invites");
    await ana.page.locator("li", { hasText: "redeemed" }).filter({ hasText: "For" }).first().waitFor();
    assert.deepEqual(again.complaints, []);
    await again.context.close();
  });

  test("takes an invite back", async () => {
    const link = await invite();
    await ana.page.locator("li", { hasText: "open" }).getByRole("button", { name: "Take back" }).first().click();
    await dialog().getByRole("button", { name: "Take back" }).click();
    await ana.says("The invite was taken back.");
    assert.equal(await ana.page.locator(".once").count(), 0, "its link is shown no more");
    const late = await Person.meet(browser, authority);
    await late.page.goto(link);
    await late.says("This invite can't be used.");
  });

  test("rolls the key over and begins an epoch only where that was typed", async () => {
    await section("keys");
    const key = async () => (await ana.page.locator(".facts code").first().textContent()).trim();
    const before = await key();
    await ana.button("Roll the key over…").click();
    const go = dialog().getByRole("button", { name: "Roll the key over" });
    assert.ok(await go.isDisabled());
    await dialog().getByRole("textbox").fill("roll under");
    assert.ok(await go.isDisabled());
    await ana.page.keyboard.press("Enter");
    await dialog().getByRole("textbox").fill("Roll over");
    await go.click();
    await ana.says("signs from now on.");
    const after = await key();
    assert.notEqual(after, before);
    await ana.button("Begin a new epoch…").click();
    await dialog().getByRole("textbox").fill("revoke everything");
    await dialog().getByRole("button", { name: "Begin a new epoch" }).click();
    await ana.says("Epoch 2 has begun.");
    assert.ok(![before, after].includes(await key()), "a new epoch has a new key");
    assert.equal(await ana.page.getByText("The key stays").count(), 0);
    const bundle = await (await fetch(`${authority.url}/internal/ca-bundle`)).json();
    assert.equal(bundle.epoch, 2);
  });

  test("takes the whole audit trail away, as both kinds of file", async () => {
    await section("audit");
    await ana.says("key.");
    const take = async (name) => {
      const download = ana.page.waitForEvent("download");
      await ana.button(name).click();
      const file = await download;
      return [file.suggestedFilename(), readFileSync(await file.path(), "utf8")];
    };
    const [csvName, csv] = await take("Export CSV");
    const [jsonName, json] = await take("Export JSON");
    assert.deepEqual([csvName, jsonName], ["notme-audit.csv", "notme-audit.json"]);
    const { items } = JSON.parse(json);
    assert.ok(items.length > 10);
    assert.equal(csv.trimEnd().split("\r\n").length, items.length + 1);
    assert.ok(items.some(({ action }) => action === "session.revoked"));
  });
});

describe("an authority that isn't ready for people", { skip }, () => {
  let browser;
  before(async () => void (browser = await openBrowser()));
  after(() => browser?.close());

  test("says that no code is configured, and what to do", async () => {
    const authority = await startAuthority();
    try {
      const person = await Person.meet(browser, authority);
      await person.go("/login");
      await person.says("no one-time code is configured");
      await person.says("The operator sets BOOTSTRAP_CODE");
    } finally {
      await authority.stop();
    }
  });

  test("says where its passkeys belong", async () => {
    const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    try {
      const person = await Person.meet(browser, { url: `http://127.0.0.1:${authority.port}` });
      await person.go("/login");
      await person.says("Passkeys of this authority belong to localhost");
    } finally {
      await authority.stop();
    }
  });

  test("lets anybody register where that is open", async () => {
    const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE, REGISTRATION: "open" } });
    try {
      await (await Person.meet(browser, authority)).becomeFirst(CODE, "Ana");
      const person = await Person.meet(browser, authority);
      await person.touch(true);
      await person.go("/login");
      await person.page.getByLabel("Your name").first().fill("Dora");
      await person.button("Make a passkey").click();
      await person.at("/me");
      await person.go("/console");
      await person.says("You may not administer this authority.");
      // Who is signed in is somebody already.
      await person.touch(false);
      await person.go("/login?return_to=/console");
      await person.says("You are signed in as Dora.");
      await person.says("To register somebody else in this browser, sign out first.");
      assert.equal(await person.button("Make a passkey").count(), 0);
      await person.button("Sign out").click();
      await person.button("Make a passkey").waitFor();
      assert.equal(await person.page.getByText("You are signed in as Dora.").count(), 0);
      assert.equal(new URL(person.page.url()).search, "?return_to=/console");
      // Another person has another device.
      await person.removeDevice();
      await person.addDevice();
      const name = person.page.getByLabel("Your name").first();
      await name.fill("  ");
      await person.button("Make a passkey").click();
      assert.ok(await name.evaluate((input) => input.matches(":invalid")), "spaces are no name");
      await name.fill("Emil");
      const [request] = await Promise.all([person.page.waitForRequest("**/register/options"), person.button("Make a passkey").click()]);
      assert.deepEqual(request.postDataJSON(), { displayName: "Emil" });
      await person.at("/console");
      await person.go("/me");
      await person.page.getByRole("heading", { name: "Emil", exact: true }).waitFor();
    } finally {
      await authority.stop();
    }
  });
});

/** What a scanner reads in the QR code on a page. */
async function readCode(page) {
  const { width, height, data } = await page.locator("svg.qr").evaluate(async (svg) => {
    const image = new Image();
    image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
    image.width = image.height = 400;
    await image.decode();
    const canvas = new OffscreenCanvas(400, 400);
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, 400, 400);
    const { width, height, data } = context.getImageData(0, 0, 400, 400);
    return { width, height, data: Array.from(data) };
  });
  return jsqr(Uint8ClampedArray.from(data), width, height)?.data;
}
