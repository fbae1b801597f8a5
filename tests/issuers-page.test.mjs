// The console's issuers, in a real browser: made, tried, changed and taken back by an administrator.
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { startAuthority } from "./support/authority.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { startOidc } from "./support/oidc.mjs";
import { Person, executablePath, openBrowser } from "./support/pages.mjs";
import { longAgo, meanwhile, noSqlite } from "./support/state.mjs";

const skip = executablePath ? false : "chromium is not installed";
const AUDIENCE = "https://id.example";

describe("an administrator in front of the issuers", { skip }, () => {
  let authority;
  let browser;
  let issuer;
  let ana;
  before(async () => {
    issuer = await startOidc({ algorithms: ["RS256"] });
    const people = { name: "staff", for: "people", issuer: issuer.url, audience: "pages", scopes: ["bridgeCert"], rules: [{}], sign_in: { label: "Acme" } };
    const asked = { name: "pipeline", issuer: issuer.url, audience: "https://nobody.example", scopes: ["bridgeCert"], rules: [{ sub: "nobody" }] };
    authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify([asked, people]) } });
    browser = await openBrowser();
    ana = await Person.meet(browser, authority);
    await ana.becomeFirst(CODE, "Ana");
  });
  after(async () => {
    await browser?.close();
    await authority?.stop();
    await issuer?.close();
  });
  afterEach(() => assert.deepEqual(ana.complaints.splice(0), []));

  const open = async () => {
    await ana.page.goto("about:blank");
    await ana.go("/console#issuers");
    await ana.says("pipeline");
  };
  const field = (name) => ana.page.getByLabel(name, { exact: true });
  const row = (name) => ana.page.locator(".list li", { hasText: name });
  const enroll = async (claims) => {
    const token = await issuer.token({ aud: AUDIENCE, ...claims });
    const keys = new Keys();
    return new Browser(authority).post("/cert", { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token) });
  };
  const fill = async () => {
    await open();
    await ana.button("Add an issuer…").click();
    await ana.page.getByRole("heading", { name: "Add an issuer" }).waitFor();
    await field("Name").fill("builds");
    await field("Issuer").fill(issuer.url);
    await field("Audience").fill(AUDIENCE);
    await field("Rules").fill('[{ "team": "red" }]');
  };
  /** The form's own, not that of the list. */
  const tries = () => ana.page.locator("section", { has: ana.page.getByRole("heading", { name: "Try a token before you save" }) }).last();

  test("sees those of the configuration, which can't be changed there", async () => {
    await open();
    await row("pipeline").getByText("configuration").waitFor();
    assert.equal(await row("pipeline").getByRole("button").count(), 0);
    const { issuers } = (await new Browser(authority).call("GET", "/auth/oidc/issuers")).json;
    await row("staff").getByText(issuers[0].redirectUri).waitFor();
    assert.equal(await row("pipeline").getByText("Redirect URI").count(), 0);
  });

  test("tries a token before anything is saved, adds the row, and it lets in", async () => {
    await fill();
    await tries().getByLabel("Token").fill(await issuer.token({ aud: AUDIENCE, team: "blue" }));
    await tries().getByRole("button", { name: "Try it" }).click();
    await ana.says("rule 1: `team` isn't what it has to be");
    await tries().getByLabel("Token").fill(await issuer.token({ aud: AUDIENCE }));
    await tries().getByRole("button", { name: "Try it" }).click();
    await ana.says("The signature is its issuer's.");
    await tries().locator("li", { hasText: "this row" }).getByText("lets it in").waitFor();
    assert.equal((await enroll()).status, 401, "nothing is saved");
    await field("More members").fill('{ "subject": "job:{sub}" }');
    await ana.button("Let them in").click();
    await ana.says("The row was made.");
    await row("builds").getByText('[{"team":"red"}]').waitFor();
    await row("builds").getByRole("link", { name: "Ana" }).waitFor();
    assert.equal(await ana.page.getByRole("heading", { name: "Add an issuer" }).count(), 0);
    assert.equal((await enroll()).status, 200);
  });

  test("is told what is wrong, at the field, and nothing is lost", async () => {
    await fill();
    await field("Rules").fill("[{]");
    await ana.button("Let them in").click();
    await ana.says("It is no JSON");
    assert.equal(await field("Rules").getAttribute("aria-invalid"), "true");
    assert.ok(await field("Rules").evaluate((input) => input === document.activeElement));
    await field("Rules").fill("{}");
    await ana.button("Let them in").click();
    await ana.says("It must be a list of objects");
    await field("Rules").fill("[{}]");
    assert.equal(await field("Rules").getAttribute("aria-invalid"), null);
    await field("Issuer").fill("http://127.0.0.1:1");
    await ana.button("Let them in").click();
    await ana.says("must be https, at a name that is public");
    assert.ok(await field("Issuer").evaluate((input) => input === document.activeElement));
    assert.equal(await field("Name").inputValue(), "builds");
    await ana.button("Cancel").click();
    assert.ok(await ana.button("Add an issuer…").evaluate((button) => button === document.activeElement));
  });

  test("begins with what is known of an issuer", async () => {
    await open();
    await ana.button("Add an issuer…").click();
    await ana.page.getByLabel("Begin with").selectOption({ label: "GitLab" });
    assert.match(await field("Rules").inputValue(), /"namespace_id": ""/);
    assert.equal(await field("Issuer").isVisible(), false);
    assert.equal(await field("Audience").inputValue(), authority.url);
    await field("Rules").fill('[{ "project_path": "acme/site" }]');
    await ana.button("Let them in").click();
    await ana.says("must pin namespace_id or project_id");
    await field("Rules").fill('[{ "namespace_id": "7" }]');
    await ana.button("Let them in").click();
    await ana.says("The row was made.");
    await row("https://gitlab.com").getByText('[{"namespace_id":"7"}]').waitFor();
  });

  test("changes a row as it is, unless somebody else did", async () => {
    await open();
    await row("builds").getByRole("button", { name: "Change" }).click();
    await ana.page.getByRole("heading", { name: "Change builds" }).waitFor();
    assert.equal(await field("Issuer").inputValue(), issuer.url);
    assert.deepEqual(JSON.parse(await field("More members").inputValue()), { subject: "job:{sub}" });
    await field("Rules").fill('[{ "team": "blue" }]');
    await ana.button("Save").click();
    await ana.says("The row was changed");
    assert.equal((await enroll()).status, 403);
    assert.equal((await enroll({ team: "blue" })).status, 200);
    // In another tab meanwhile.
    await row("builds").getByRole("button", { name: "Change" }).click();
    await ana.page.evaluate(async () => {
      const { items } = await (await fetch("/policy/issuers")).json();
      const { id, row, revision } = items.find(({ name }) => name === "builds");
      const body = JSON.stringify({ row: { ...row, rules: [{ team: "green" }] }, revision });
      await fetch(`/policy/issuers/${id}`, { method: "PUT", headers: { "content-type": "application/json" }, body });
    });
    await ana.button("Save").click();
    await ana.says("Somebody changed this row meanwhile");
    assert.equal((await enroll({ team: "green" })).status, 200);
  });

  test("shows a passkey when it is a while ago, and then it is removed", { skip: noSqlite }, async () => {
    await meanwhile(authority, longAgo(301));
    await open();
    await row("builds").getByRole("button", { name: "Remove" }).click();
    await ana.page.getByRole("dialog").getByRole("button", { name: "Remove" }).click();
    await ana.page.getByRole("heading", { name: "Show your passkey again" }).waitFor();
    assert.equal((await enroll({ team: "green" })).status, 200, "not yet");
    await ana.page.getByRole("dialog").getByRole("button", { name: "Use my passkey" }).click();
    await ana.says("The row was removed");
    assert.equal(await row("builds").count(), 0);
    assert.equal((await enroll({ team: "green" })).status, 401);
  });

  test("tries a token against what is there", async () => {
    await open();
    await field("Token").fill(await issuer.token({ aud: "https://nobody.example", sub: "nobody" }));
    await ana.button("Try it").click();
    await ana.says("The signature is its issuer's.");
    await ana.page.locator("[role=status] li", { hasText: "pipeline" }).getByText("lets it in").waitFor();
    await field("Token").fill("no token");
    await ana.button("Try it").click();
    await ana.page.getByRole("alert").filter({ hasText: /\w/ }).first().waitFor();
  });
});
