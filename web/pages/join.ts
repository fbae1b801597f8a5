/** Redeeming an invite. */

import { strings } from "../strings.ts";
import { Refusal, ask } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { identityButtons, issuers } from "../lib/federation.ts";
import { canUsePasskeys, register } from "../lib/passkeys.ts";
import { at } from "../lib/place.ts";
import { InvitationSchema } from "../../gen/ts/api.ts";
import { Status, attempt, button, empty, facts, form, nameField, telling, when, whoIsHere } from "../lib/ui.ts";
import { scope } from "../lib/words.ts";
import { federation, further } from "./strings.ts";

const words = strings.join;
const app = byId("app");
const title = byId("title");
const status = new Status();

let token = "";

/** Reads the token once, and it is gone: neither the address bar nor the history keeps it. */
function take(): boolean {
  const found = new URLSearchParams(location.hash.slice(1)).get("t");
  if (found === null) return false;
  token = found;
  history.replaceState(null, "", location.pathname + location.search);
  return true;
}

/** There is none, or none that is good. */
function without(text: string, next: string): void {
  title.textContent = words.noHeadline;
  app.replaceChildren(empty(text, next));
}

async function start(): Promise<void> {
  const asked = token;
  status.clear();
  title.textContent = words.headline;
  app.replaceChildren(status.element);
  if (!token) return without(words.none, words.noneNext);
  status.busy(words.looking);
  try {
    const [offer, offered, name] = await Promise.all([ask("POST", "/invites/lookup", InvitationSchema, { token: asked }), issuers(), whoIsHere()]);
    if (asked !== token) return; // another invite was opened meanwhile
    status.clear();
    const entry = nameField();
    const { furtherFor } = offer;
    const join = async () => {
      const wish = { invite: asked, ...(furtherFor === undefined && { displayName: entry.input.value.trim() }) };
      const done = await attempt(status, () => register(wish, telling(status, strings.ceremony.creating)));
      if (!done) return;
      status.done(words.welcome);
      location.assign(at("/me"));
    };
    const errand = () => {
      if (furtherFor !== undefined) return { purpose: "join" as const, invite: asked };
      return entry.input.reportValidity() ? { purpose: "join" as const, invite: asked, displayName: entry.input.value.trim() } : undefined;
    };
    const buttons = identityButtons(offered, furtherFor === undefined ? federation.join : federation.further, status, errand);
    const byPasskey = canUsePasskeys();
    // Whoever joins by something else has a name as well.
    const nameOnly = !byPasskey && buttons && furtherFor === undefined;
    app.replaceChildren(
      h("p", {}, furtherFor === undefined ? words.offer(offer.invitedBy) : further.offer(offer.invitedBy, furtherFor)),
      facts([words.scopes, h("ul", {}, ...offer.scopes.map((name) => h("li", {}, scope(name))))], [words.expires, when(offer.expiresAt)]),
      ...(name === undefined ? [] : [empty(furtherFor === undefined ? words.signedIn(name) : further.signedIn(name), h("a", { href: at("/me") }, words.stay))]),
      ...(byPasskey ? [furtherFor === undefined ? form(join, words.button, entry.element) : form(join, further.button)] : [empty(strings.login.noWebAuthn, strings.login.noWebAuthnNext)]),
      ...(nameOnly ? [entry.element] : []),
      ...(buttons ? [h("section", { class: "part" }, h("h2", {}, federation.or), buttons)] : []),
      status.element,
    );
  } catch (error) {
    if (asked !== token) return;
    if (error instanceof Refusal && error.status < 500 && error.status !== 429) return without(words.bad, words.badNext);
    status.failed(error, button(strings.common.retry, start));
  }
}

// Another invite that is opened in the same tab loads no page.
addEventListener("hashchange", () => take() && void start());
take();
void start();
