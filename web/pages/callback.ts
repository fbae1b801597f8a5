/** Coming back from an issuer: what somebody went there for is finished. */

import { strings } from "../strings.ts";
import { Refusal } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { type Errand, type Pending, arrive, finish } from "../lib/federation.ts";
import { at } from "../lib/place.ts";
import { Status, button, empty } from "../lib/ui.ts";
import { federation as words } from "./strings.ts";

const app = byId("app");
const title = byId("title");
const status = new Status();

/** Where somebody goes on, whether it went well or not. */
const BACK: Record<Errand["purpose"], string> = { signIn: at("/login"), link: at("/me"), join: at("/login") };

const link = (href: string, text: string): HTMLElement => h("p", { class: "actions" }, h("a", { class: "button", href }, text));

/** Ends here, without what somebody came for. */
function stop(text: string, purpose: Errand["purpose"]): void {
  title.textContent = words.stopped;
  app.replaceChildren(empty(text, ...(purpose === "join" ? [words.inviteStays] : [])), link(BACK[purpose], words.back[purpose]));
}

async function complete(pending: Pending, code: string): Promise<void> {
  const { errand } = pending;
  app.replaceChildren(status.element);
  status.busy(words.checking(pending.label));
  try {
    await finish(pending, code);
    status.done(words.done[errand.purpose]);
    location.replace(errand.returnTo ?? at("/me"));
  } catch (error) {
    title.textContent = words.stopped;
    // Who couldn't be asked may be asked once more: nothing was used up.
    const mayRepeat = !(error instanceof Refusal) || error.status >= 500 || error.status === 429;
    status.failed(error, mayRepeat ? button(strings.common.retry, () => complete(pending, code)) : undefined);
    app.append(...(errand.purpose === "join" ? [empty(words.inviteStays)] : []), link(BACK[errand.purpose], words.back[errand.purpose]));
  }
}

const arrival = arrive();
if (!arrival) stop(words.nothing, "signIn");
else if (arrival.code === undefined) stop(words.refused(arrival.pending.label, arrival.error ?? ""), arrival.pending.errand.purpose);
else void complete(arrival.pending, arrival.code);
