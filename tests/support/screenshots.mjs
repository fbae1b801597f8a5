// Takes pictures of the pages, as somebody sees them who has used the authority for a while:
//
//   node tests/support/screenshots.mjs [folder]
//
// Without a folder, those of README.md go to docs/images; with one, all pages go there, in both themes
// and both widths, to be looked at.
import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import process from "node:process";
import { ROOT } from "../../tools/lib/places.mjs";
import { startAuthority } from "./authority.mjs";
import { CODE } from "./browser.mjs";
import { Person, openBrowser } from "./pages.mjs";

const PAGES = {
  landing: "/",
  login: "/login",
  join: "/join",
  me: "/me",
  overview: "/console",
  principals: "/console#principals",
  grants: "/console#grants",
  authenticators: "/console#authenticators",
  sessions: "/console#sessions",
  invites: "/console#invites",
  issuers: "/console#issuers",
  issued: "/console#credentials",
  audit: "/console#audit",
  keys: "/console#keys",
  "not-found": "/nope",
};

/** Pictures of the README: page, theme, width, height. */
const KEPT = [
  ["landing", "light", 1080, 640],
  ["login", "dark", 1080, 640],
  ["me", "light", 1080, 900],
  ["principals", "dark", 1080, 640],
  ["invite", "light", 1080, 900],
  ["mint", "dark", 1080, 760],
];

/** What isn't there until somebody does something: from which page, and what. */
const STATES = {
  invite: ["invites", async (person) => {
    await person.button("Make the invite").click();
    await person.says("Here it is.");
    await person.page.evaluate(() => scrollTo(0, 0));
  }],
  mint: ["me", async (person) => {
    await person.button("Make a pair").click();
    await person.says("Issued.");
    await person.page.getByRole("heading", { name: "Certificate pairs" }).evaluate((heading) => scrollTo(0, heading.getBoundingClientRect().top + scrollY - 70));
  }],
  issuer: ["issuers", async (person) => {
    await person.button("Add an issuer…").click();
    await person.page.getByLabel("Begin with").selectOption("gitlab");
  }],
  principal: ["principals", async (person) => {
    await person.page.getByRole("link", { name: "Ben Okafor" }).click();
    await person.page.getByRole("heading", { name: "Grants" }).waitFor();
    await person.page.waitForLoadState("networkidle");
  }],
  confirm: ["keys", async (person) => {
    await person.button("Begin a new epoch…").click();
    await person.page.getByRole("dialog").getByRole("textbox").fill("revoke");
  }],
  "step-up": ["keys", async (person) => {
    await person.page.route("**/admin/epoch", (route) => route.fulfill({ status: 403, json: { error: "show a passkey again", code: "step_up_required" } }));
    await person.button("Begin a new epoch…").click();
    await person.page.getByRole("dialog").getByRole("textbox").fill("revoke everything");
    await person.page.keyboard.press("Enter");
    await person.page.getByRole("heading", { name: "Show your passkey again" }).waitFor();
  }],
  rename: ["me", async (person) => {
    await person.button("Rename").click();
  }],
  narrowed: ["principals", async (person) => {
    await person.page.getByRole("link", { name: "Ben Okafor" }).click();
    await person.page.getByRole("link", { name: "What they did" }).click();
    await person.says("1 entry");
  }],
  nothing: ["issued", async (person) => {
    await person.page.getByLabel("Search").fill("nobody");
    await person.button("Search").click();
    await person.says("Nothing was found.");
  }],
  "signed-in": ["login", async (person) => {
    await person.page.getByText("You are signed in as").waitFor();
  }, "ana"],
  offer: ["join", async (person) => {
    await person.page.goto(open);
    await person.says("You may then");
  }],
  "further-maker": ["principals", async (person) => {
    await person.page.getByRole("link", { name: "Ben Okafor" }).click();
    await person.page.getByRole("link", { name: "Invites by them, and a further way in" }).click();
    await person.button("Make the link").click();
    await person.says("Here it is.");
  }],
  "further-offer": ["join", async (person) => {
    await person.page.goto(further);
    await person.says("made this link for");
  }],
  recovery: ["login", async (person) => {
    await person.page.getByText("Every administrator lost their passkey?").click();
  }],
};

const [folder] = process.argv.slice(2);
const out = folder ? resolve(folder) : join(ROOT, "docs/images");
mkdirSync(out, { recursive: true });

/** What a picture may take, in bytes, before its colours become fewer. */
const MOST = 60_000;

// Comes with wrangler.
const sharp = createRequire(createRequire(join(ROOT, "package.json")).resolve("miniflare"))("sharp");

/** An invite that nobody used, and a link for a further way in. */
let open;
let further;

const AUDIENCE = "https://id.example.org";
const ROWS = [{ preset: "gitlab", audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{ namespace_id: "72", ref_protected: "true" }] }];
const MADE = { name: "builds", preset: "buildkite", audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{ organization_id: "0184990a-477b-4fa8-9968-496074483k77", pipeline_id: ["0184990a", "0184990b"] }] };

const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(ROWS) } });
const browser = await openBrowser();
try {
  const ana = await Person.meet(browser, authority);
  await ana.becomeFirst(CODE, "Ana Almeida");
  for (const name of ["Ben Okafor", "Chen Wei", "Dora Lindqvist"]) {
    await ana.go("/console#invites");
    await ana.page.reload();
    if (name.startsWith("Ben")) await ana.page.getByLabel("administer this authority").check();
    await ana.button("Make the invite").click();
    await ana.says("Here it is.");
    const link = await ana.page.locator(".once pre").textContent();
    if (name.startsWith("Dora")) open = link;
    else await (await Person.meet(browser, authority)).join(link, name);
  }
  await ana.go("/me");
  await ana.button("Make a pair").click();
  await ana.says("Issued.");

  await ana.page.evaluate((row) => fetch("/policy/issuers", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ row }) }), MADE);

  await ana.go("/console#principals");
  await ana.page.getByRole("link", { name: "Ben Okafor" }).click();
  await ana.page.getByRole("link", { name: "Invites by them, and a further way in" }).click();
  await ana.button("Make the link").click();
  await ana.says("Here it is.");
  further = await ana.page.locator(".once pre").textContent();

  await ana.touch(false);
  const signedOut = await Person.meet(browser, authority);
  await signedOut.touch(false);
  const shoot = async (name, colorScheme, width, height, fullPage) => {
    const [shown, act, who] = STATES[name] ?? [name];
    const person = ["login", "join"].includes(shown) && !who ? signedOut : ana;
    const { page } = person;
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize({ width, height });
    await page.goto("about:blank");
    await page.goto(authority.url + PAGES[shown]);
    await page.waitForLoadState("networkidle");
    await act?.(person);
    await page.evaluate(() => document.activeElement?.blur());
    const png = await page.screenshot({ fullPage });
    const file = folder ? `${name}-${colorScheme}-${width}.png` : `${name}.png`;
    const exact = await sharp(png).png({ effort: 10, compressionLevel: 9 }).toBuffer();
    const small = exact.length <= MOST ? exact : await sharp(png).png({ palette: true, colours: 256, effort: 10 }).toBuffer();
    writeFileSync(join(out, file), small);
    console.log(`${file}  ${small.length} bytes`);
  };
  if (folder) {
    for (const name of [...Object.keys(PAGES), ...Object.keys(STATES)])
      for (const theme of ["light", "dark"]) for (const width of [360, 1280]) await shoot(name, theme, width, 740, true);
  } else for (const [name, theme, width, height] of KEPT) await shoot(name, theme, width, height, false);
} finally {
  await browser.close();
  await authority.stop();
}
