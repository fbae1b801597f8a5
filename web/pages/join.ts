/** Redeeming an invite. */

import { strings } from "../strings.ts";
import { Refusal, ask } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { canUsePasskeys, register } from "../lib/passkeys.ts";
import { at } from "../lib/place.ts";
import { InvitationSchema } from "../../gen/ts/api.ts";
import { Status, attempt, button, empty, facts, form, nameField, telling, when } from "../lib/ui.ts";
import { scope } from "../lib/words.ts";

const words = strings.join;
const app = byId("app");
const status = new Status();

// Read once, and gone: neither the address bar nor the history keeps it.
const token = new URLSearchParams(location.hash.slice(1)).get("t") ?? "";
if (location.hash) history.replaceState(null, "", location.pathname + location.search);

async function start(): Promise<void> {
  app.replaceChildren(status.element);
  if (!token) return app.replaceChildren(empty(words.none, words.noneNext));
  if (!canUsePasskeys()) return app.replaceChildren(empty(strings.login.noWebAuthn, strings.login.noWebAuthnNext));
  status.busy(words.looking);
  try {
    const offer = await ask("POST", "/invites/lookup", InvitationSchema, { token });
    status.clear();
    const name = nameField();
    const join = async () => {
      const wish = { invite: token, displayName: name.input.value.trim() };
      const done = await attempt(status, () => register(wish, telling(status, strings.ceremony.creating)));
      if (!done) return;
      status.done(words.welcome);
      location.assign(at("/me"));
    };
    app.replaceChildren(
      h("p", {}, words.offer(offer.invitedBy)),
      facts([words.scopes, h("ul", {}, ...offer.scopes.map((name) => h("li", {}, scope(name))))], [words.expires, when(offer.expiresAt)]),
      form(join, words.button, name.element),
      status.element,
    );
  } catch (error) {
    if (error instanceof Refusal && error.status < 500 && error.status !== 429) return app.replaceChildren(empty(words.bad, words.badNext));
    status.failed(error, button(strings.common.retry, start));
  }
}

void start();
