// Passkeys in a real browser: Chromium with its virtual authenticator, and what it makes of our options.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { chromium } from "playwright-core";
import { onPath } from "../tools/lib/places.mjs";
import { startAuthority } from "./support/authority.mjs";
import { CODE } from "./support/browser.mjs";

const executablePath = onPath("chromium");

describe("Chromium", { skip: executablePath ? false : "chromium is not installed" }, () => {
  let authority;
  let browser;
  let context;
  let page;
  before(async () => {
    authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
    browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
    // There is no page of ours for this yet: the test is the page, which our own policy would stop.
    context = await browser.newContext({ bypassCSP: true });
    page = await context.newPage();
    const devtools = await context.newCDPSession(page);
    await devtools.send("WebAuthn.enable");
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
    await devtools.send("WebAuthn.addVirtualAuthenticator", { options });
    await page.goto(`${authority.url}/`);
    await page.evaluate(() => {
      globalThis.post = async (path, body = {}) => {
        const response = await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
        return { status: response.status, json: await response.json() };
      };
      globalThis.register = async (wanted) => {
        const begun = await post("/auth/passkey/register/options", wanted);
        if (begun.status !== 200) return begun;
        const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(begun.json.options);
        const made = await navigator.credentials.create({ publicKey });
        return post("/auth/passkey/register/verify", { userId: begun.json.userId, response: made.toJSON() });
      };
      globalThis.signIn = async () => {
        const { json } = await post("/auth/passkey/login/options");
        const shown = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(json) });
        return post("/auth/passkey/login/verify", { response: shown.toJSON() });
      };
      globalThis.me = async () => {
        const response = await fetch("/me");
        return { status: response.status, json: await response.json() };
      };
    });
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
  });

  test("registers the first administrator, signs out, and signs in without being told who", async () => {
    const registered = await page.evaluate((bootstrapCode) => register({ bootstrapCode, displayName: "Ana" }), CODE);
    assert.deepEqual(registered, { status: 200, json: { verified: true, scopes: ["bridgeCert", "authorityManage", "certMint"] } });
    const before = await page.evaluate(() => me());
    assert.equal(before.json.displayName, "Ana");
    assert.equal((await page.evaluate(() => post("/logout"))).status, 200);
    assert.equal((await page.evaluate(() => me())).status, 401);
    const signedIn = await page.evaluate(() => signIn());
    assert.deepEqual(signedIn, { status: 200, json: { verified: true, userId: before.json.userId, isAdmin: true } });
    assert.deepEqual((await page.evaluate(() => me())).json.scopes, before.json.scopes);
  });

  test("keeps the session from scripts, and from other sites", async () => {
    assert.equal(await page.evaluate(() => document.cookie), "");
    const [cookie] = await context.cookies();
    assert.deepEqual([cookie.name, cookie.httpOnly, cookie.secure, cookie.sameSite], ["notme_session", true, true, "Strict"]);
    const other = await context.newPage();
    // Another host on the same machine is another site.
    await other.goto(`http://127.0.0.1:${authority.port}/`);
    await other.evaluate((url) => fetch(`${url}/logout`, { method: "POST", mode: "no-cors", credentials: "include" }), authority.url);
    assert.equal((await page.evaluate(() => me())).status, 200, "still signed in");
  });
});
