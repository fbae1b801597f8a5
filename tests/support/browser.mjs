// What a browser does for a page: one cookie, its headers, and both halves of a ceremony.

/** The operator's one-time code, in tests. */
export const CODE = "correct-horse-battery-staple";

/** A browser that remembers one cookie. */
export class Browser {
  cookie;

  /** @param {{ url: string }} authority @param {string} [origin] where its pages are, if not there */
  constructor(authority, origin = authority.url) {
    this.url = authority.url;
    this.origin = origin;
  }

  async call(method, path, body, headers = {}) {
    const response = await fetch(this.url + path, {
      method,
      headers: {
        origin: this.origin,
        "sec-fetch-site": "same-origin",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(this.cookie === undefined ? {} : { cookie: this.cookie }),
        ...headers,
      },
      body: body === undefined || typeof body === "string" ? body : JSON.stringify(body),
    });
    const set = response.headers.get("set-cookie");
    if (set) this.cookie = set.split(";")[0];
    const text = await response.text();
    let json;
    try {
      json = JSON.parse(text);
    } catch {
      // the caller looks at the text
    }
    return { status: response.status, headers: response.headers, text, json, set };
  }

  post = (path, body = {}, headers = {}) => this.call("POST", path, body, headers);
  me = (headers = {}) => this.call("GET", "/me", undefined, headers);
  ceremony = (challenge) => ({ rpId: new URL(this.origin).hostname, challenge, origin: this.origin });

  /** Registers a passkey; `bends` change its answer, `wanted` the request for options. */
  async register(passkey, { bends, wanted = { bootstrapCode: CODE, displayName: "Ana" } } = {}) {
    const begun = await this.post("/auth/passkey/register/options", wanted);
    if (begun.status !== 200) return begun;
    return this.answer(passkey, begun.json, bends);
  }

  answer(passkey, { options, userId }, bends, more = {}) {
    passkey.owner = Buffer.from(options.user.id, "base64url");
    const response = JSON.parse(passkey.register(this.ceremony(options.challenge), "none", bends));
    return this.post("/auth/passkey/register/verify", { userId, response, ...more });
  }

  async signIn(passkey, bends) {
    const { json: options } = await this.post("/auth/passkey/login/options");
    return this.assert(passkey, options, bends);
  }

  assert(passkey, { challenge }, bends) {
    passkey.counter += passkey.counter ? 1 : 0;
    const response = JSON.parse(passkey.authenticate(this.ceremony(challenge), bends));
    return this.post("/auth/passkey/login/verify", { response });
  }

  /** Shows a passkey again, so that the session may do what is dangerous. */
  async stepUp(passkey) {
    const { json: options } = await this.post("/auth/passkey/step-up/options");
    return this.showAgain(passkey, options);
  }

  showAgain(passkey, { challenge }, bends) {
    passkey.counter += passkey.counter ? 1 : 0;
    const response = JSON.parse(passkey.authenticate(this.ceremony(challenge), bends));
    return this.post("/auth/passkey/step-up/verify", { response });
  }
}
