// Every page, in every state of it, for everybody: what axe says in both themes and at both widths, that
// nothing scrolls sideways, and what can be done by keyboard alone.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { after, afterEach, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { CODE } from "./support/browser.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";

const skip = executablePath ? false : "chromium is not installed";
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** As long as a name may be, and without a place to break it. */
const LONG = "Maximiliane-Wilhelmine-von-und-zu-Hohenlohe-Waldenburg-Schilling";

/** An application whose name is as long as one may be. */
const CLIENTS = [{ id: "app", name: LONG, redirect_uris: ["https://app.example/cb"] }];

/** Looks at what a person sees, in both themes and at both widths. */
async function look({ page }, what) {
  for (const width of [360, 1280]) {
    await page.setViewportSize({ width, height: 740 });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
      const told = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
      assert.deepEqual(told, [], `${what}, ${colorScheme}, ${width}`);
    }
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    assert.ok(overflow <= 0, `${what}, ${width}: scrolls sideways`);
    const dialog = page.getByRole("dialog");
    if (!(await dialog.count())) continue;
    const box = await dialog.boundingBox();
    const room = await page.evaluate(() => document.documentElement.clientWidth);
    assert.ok(Math.abs(box.x + box.width / 2 - room / 2) <= 10, `${what}, ${width}: ${JSON.stringify(box)}`);
    assert.ok(box.x >= 0 && box.x + box.width <= room, `${what}, ${width}: ${JSON.stringify(box)}`);
  }
}

/** What there is to see: as whom, where, and what is done there first. */
const STATES = {
  landing: ["stranger", "/"],
  "signed out": ["stranger", "/login"],
  "signed out, with the form of recovery": ["stranger", "/login", async ({ page }) => page.getByText("Every administrator lost their passkey?").click()],
  "back from nowhere": ["stranger", "/auth/oidc/callback/x", async (one) => one.says("There is nothing to finish.")],
  "nothing here": ["stranger", "/nope"],
  "no invite": ["stranger", "/join"],
  "a bad invite": ["stranger", "/join#t=nothing", async (one) => one.says("This invite can't be used.")],
  "an invite": ["stranger", () => `/join${offer.hash}`, async (one) => one.says("You may then")],
  "signed in": ["ana", "/login", async (one) => one.says("You are signed in as")],
  "one's own page": ["ana", "/me"],
  "a pair": ["ana", "/me", async (one) => {
    await one.button("Make a pair").click();
    await one.says("Issued.");
  }],
  "the dialog that adds a passkey": ["ana", "/me", async (one) => one.button("Add a passkey").click()],
  "the dialog that renames one": ["ana", "/me", async (one) => one.button("Rename").click()],
  "the dialog that removes one": ["ana", "/me", async (one) => one.button("Remove").click()],
  "an application that asks": ["ana", "/authorize?client_id=app&redirect_uri=https%3A%2F%2Fapp.example%2Fcb&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&state=s", async (one) => one.says("asks to act for you")],
  "an application that nobody knows": ["ana", "/authorize?client_id=nobody"],
  "linked identities": ["ben", "/me", async (one) => one.says(LONG)],
  "the dialog that removes a linked identity": ["ben", "/me", async ({ page }) => page.getByRole("region", { name: "Other ways in" }).getByRole("button", { name: "Remove" }).click()],
  console: ["ana", "/console"],
  principals: ["ana", "/console#principals"],
  "a principal": ["ana", () => `/console#principals/${ben.id}`, async (one) => one.says("What they did")],
  grants: ["ana", "/console#grants"],
  authenticators: ["ana", "/console#authenticators"],
  sessions: ["ana", "/console#sessions"],
  "a list that is narrowed, of nothing": ["ana", () => `/console#credentials?principal=${ben.id}`, async (one) => one.says("Nothing was found.")],
  "a link for a further way in": ["stranger", () => `/join${further.hash}`, async (one) => one.says("made this link for")],
  "a further way in": ["ana", () => `/console#invites?principal=${ben.id}`, async (one) => one.says("For who lost a passkey")],
  invites: ["ana", "/console#invites"],
  "an invite that was made": ["ana", "/console#invites", async (one) => {
    await one.button("Make the invite").click();
    await one.says("Here it is.");
  }],
  issuers: ["ana", "/console#issuers", async (one) => one.says("Whose tokens and certificates let")],
  "the form of an issuer, with what is wrong with it": ["ana", "/console#issuers", async (one) => {
    await one.button("Add an issuer…").click();
    await one.page.getByLabel("Rules", { exact: true }).fill("[");
    await one.button("Let them in").click();
    await one.says("It is no JSON");
  }],
  "an issuer that was made": ["ana", "/console#issuers", async (one) => {
    await one.button("Add an issuer…").click();
    await one.page.getByLabel("Name", { exact: true }).fill("builds-of-".repeat(12));
    await one.page.getByLabel("Rules", { exact: true }).fill('[{ "sub": ["a", "b"] }]');
    await one.page.getByLabel("Issuer", { exact: true }).fill(`https://issuer.example/${"x".repeat(120)}`);
    await one.button("Let them in").click();
    await one.says("The row was made.");
  }],
  "the dialog that removes an issuer": ["ana", "/console#issuers", async (one) => one.button("Remove").click()],
  issued: ["ana", "/console#credentials"],
  audit: ["ana", "/console#audit"],
  keys: ["ana", "/console#keys"],
  "the dialog of a new epoch": ["ana", "/console#keys", async (one) => one.button("Begin a new epoch…").click()],
  "the dialog of a step-up": ["ana", "/console#keys", async (one) => {
    await one.page.route("**/admin/epoch", (route) => route.fulfill({ status: 403, json: { error: "show a passkey again", code: "step_up_required" } }));
    await one.button("Begin a new epoch…").click();
    await one.page.getByRole("dialog").getByRole("textbox").fill("revoke everything");
    await one.page.keyboard.press("Enter");
    await one.page.getByRole("heading", { name: "Show your passkey again" }).waitFor();
  }],
};

let offer;
let further;
let ben;

describe("everybody", { skip }, () => {
  let authority;
  let browser;
  let login;
  const people = {};
  before(async () => {
    login = await startOidc();
    const row = { for: "people", issuer: login.url, audience: "https://id.example", scopes: ["bridgeCert"], rules: [{}], sign_in: { label: LONG } };
    authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, REGISTRATION: "open", OAUTH_CLIENTS: JSON.stringify(CLIENTS), TRUSTED_ISSUERS: JSON.stringify([row]) } });
    browser = await openBrowser();
    for (const name of ["ana", "ben", "stranger"]) {
      people[name] = await Person.meet(browser, authority);
      people[name].page.setDefaultTimeout(15_000);
    }
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
    await login?.close();
  });
  afterEach(() => assert.deepEqual(Object.values(people).flatMap(({ complaints }) => complaints.splice(0)), []));

  /** To a page as it is at first, and with nobody's finger on the device: else it would sign in by itself. */
  const open = async (person, path) => {
    await person.touch(false);
    await person.page.goto("about:blank");
    await person.go(path);
    await person.page.waitForLoadState("networkidle");
  };
  const invite = async (path = "/console#invites", button = "Make the invite") => {
    await open(people.ana, path);
    await people.ana.button(button).click();
    await people.ana.says("Here it is.");
    return new URL(await people.ana.page.locator(".once pre").textContent());
  };

  test("sees the first boot", async () => {
    await open(people.stranger, "/login");
    await people.stranger.says("Be the first administrator");
    await look(people.stranger, "first boot");
  });

  test("sees registration where it is open, signed in or not", async () => {
    await people.ana.becomeFirst(CODE, LONG);
    for (const [name, text] of [["stranger", "This authority lets anybody register."], ["ana", "sign out first"]]) {
      await open(people[name], "/login");
      await people[name].says(text);
      await look(people[name], `open registration, ${name}`);
    }
    await authority.restart({ vars: { REGISTRATION: undefined } });
    await people.ben.join((await invite()).href, "Ben");
    ben = { id: (await people.ben.page.locator("dd code").first().textContent()).split("/").pop() };
    assert.equal((await people.ben.link(login, LONG)).connected, true);
    offer = await invite();
    further = await invite(`/console#invites?principal=${ben.id}`, "Make the link");
  });

  for (const [name, [who, where, act]] of Object.entries(STATES)) {
    test(`sees ${name}`, async () => {
      const person = people[who];
      await open(person, typeof where === "string" ? where : where());
      await act?.(person);
      await look(person, name);
      await person.page.unrouteAll();
    });
  }

  test("has the focus in a dialog, and gets it back", async () => {
    const { page, button } = people.ana;
    await open(people.ana, "/console#keys");
    await button("Begin a new epoch…").click();
    assert.equal(await page.evaluate(() => document.activeElement.tagName), "INPUT");
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    assert.ok(await button("Begin a new epoch…").evaluate((opens) => opens === document.activeElement));
  });

  test("makes an invite and ends a session by keyboard alone", async () => {
    const { page } = people.ana;
    /** Goes on with the tab key until what has the focus is what is wanted, and is seen to have it. */
    const reach = async (wanted, inside = "") => {
      for (let i = 0; i < 60; i++) {
        await page.keyboard.press("Tab");
        const at = await page.evaluate(() => {
          const { activeElement: element } = document;
          if (element === document.body) return { name: "", row: "" }; // past the end
          const { outlineStyle, outlineWidth } = getComputedStyle(element);
          const name = element.labels?.[0]?.textContent ?? element.textContent;
          return { name, row: element.closest("li, dialog")?.textContent ?? "", isSeen: outlineStyle !== "none" && parseFloat(outlineWidth) >= 2 };
        });
        if (!at.name.includes(wanted) || !at.row.includes(inside)) continue;
        return assert.ok(at.isSeen, `${wanted}: nobody sees where the focus is`);
      }
      assert.fail(`${wanted}: can't be reached`);
    };
    /** A dialog gives the focus back to what opened it; nobody presses a key faster than that. */
    const isBack = () => page.waitForFunction(() => document.activeElement.closest("li")?.textContent.includes("Ben"));
    await open(people.ana, "/console");
    await reach("Skip to the content");
    await reach("Invites");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Make an invite" }).waitFor();
    await page.waitForFunction(() => document.activeElement.tagName === "H2");
    await reach("administer this authority");
    await page.keyboard.press("Space");
    await reach("Good for");
    await page.keyboard.press("ArrowDown");
    await reach("Make the invite");
    const [request] = await Promise.all([page.waitForRequest((request) => request.method() === "POST"), page.keyboard.press("Enter")]);
    assert.deepEqual(request.postDataJSON(), { scopes: ["bridgeCert", "authorityManage"], ttl: 86_400 });
    await people.ana.says("Here it is.");
    await page.waitForFunction(() => document.activeElement.className === "once");
    await reach("Copy");
    // On and on, past the end of the page.
    await reach("Sessions");
    await page.keyboard.press("Enter");
    // Not the list before it, in which he is too.
    await page.locator(".panel").getByRole("heading", { name: "Sessions", exact: true }).waitFor();
    await page.locator("li", { hasText: "Ben" }).waitFor();
    await reach("End", "Ben");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").getByText("Ben must sign in again.").waitFor();
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
    await isBack();
    assert.equal(await page.locator("li", { hasText: "Ben" }).count(), 1, "cancelled");
    // What is dangerous isn't where the focus is: Enter twice changes nothing.
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Enter");
    await page.locator("dialog").waitFor({ state: "detached" });
    await isBack();
    assert.equal(await page.locator("li", { hasText: "Ben" }).count(), 1, "cancelled again");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Shift+Tab");
    await page.keyboard.press("Enter");
    await people.ana.says("The session has ended.");
    assert.equal(await page.locator("li", { hasText: "Ben" }).count(), 0);
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "The session has ended.", "goes on where it is told");
    await people.ben.go("/me");
    await people.ben.at("/login");
  });
});
