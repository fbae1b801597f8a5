// People in front of real browsers: Chromium with virtual authenticators, on the real pages.
import { chromium } from "playwright-core";
import { onPath } from "../../tools/lib/places.mjs";

export const executablePath = onPath("chromium");

export const openBrowser = () => chromium.launch({ executablePath, args: ["--no-sandbox"] });

/** A person: a profile of their own, one page, and a device that keeps passkeys. */
export class Person {
  /** What the page complained about: its own errors, and what the policy stopped. */
  complaints = [];

  /**
   * @param {import("playwright-core").Browser} browser
   * @param {{ url: string }} authority
   * @param {import("playwright-core").BrowserContextOptions} [options]
   */
  static async meet(browser, authority, options = {}) {
    const person = new Person();
    person.url = authority.url;
    person.context = await browser.newContext({ viewport: { width: 1280, height: 900 }, reducedMotion: "reduce", ...options });
    person.page = await person.context.newPage();
    person.page.on("pageerror", (error) => person.complaints.push(String(error)));
    person.page.on("console", (message) => {
      // A refused request is no mistake of the page.
      if (message.type() === "error" && !/Failed to load resource/.test(message.text())) person.complaints.push(message.text());
    });
    person.devtools = await person.context.newCDPSession(person.page);
    await person.devtools.send("WebAuthn.enable");
    await person.addDevice();
    return person;
  }

  /** Another device that keeps passkeys. */
  async addDevice() {
    const options = { protocol: "ctap2", transport: "internal", hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
    const { authenticatorId } = await this.devtools.send("WebAuthn.addVirtualAuthenticator", { options });
    this.device = authenticatorId;
  }

  /** Takes the device away, with its passkeys. */
  removeDevice = () => this.devtools.send("WebAuthn.removeVirtualAuthenticator", { authenticatorId: this.device });

  /** Whether a finger is on the device. */
  touch = (enabled) => this.devtools.send("WebAuthn.setAutomaticPresenceSimulation", { authenticatorId: this.device, enabled });

  /** Has the other one's passkeys on a device of one's own: they are synced. */
  async carry(other) {
    const { credentials } = await other.devtools.send("WebAuthn.getCredentials", { authenticatorId: other.device });
    for (const credential of credentials) await this.devtools.send("WebAuthn.addCredential", { authenticatorId: this.device, credential });
  }

  go = (path) => this.page.goto(this.url + path);
  button = (name) => this.page.getByRole("button", { name, exact: true });
  says = (text) => this.page.getByText(text).first().waitFor();
  at = (path) => this.page.waitForURL(this.url + path);

  async becomeFirst(code, name) {
    await this.go("/login");
    await this.page.getByLabel("One-time code").fill(code);
    await this.page.getByLabel("Your name").fill(name);
    await this.button("Make a passkey and begin").click();
    await this.at("/me");
    await this.page.getByRole("heading", { name, exact: true }).waitFor();
  }

  /** Links an identity of an issuer that is trusted for people, as a program of theirs would do in their session. */
  async link(issuer, sub) {
    const post = (path, body) =>
      this.page.evaluate(
        async ([path, body]) => (await fetch(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) })).json(),
        [path, body],
      );
    const { challenge, nonce } = await post("/connections/options", {});
    return post("/connections", { proof: { type: "oidc", token: await issuer.token({ sub, nonce }) }, challenge });
  }

  async join(link, name) {
    await this.page.goto(link);
    await this.page.getByLabel("Your name").fill(name);
    await this.button("Make a passkey and join").click();
    await this.at("/me");
    await this.page.getByRole("heading", { name, exact: true }).waitFor();
  }
}
