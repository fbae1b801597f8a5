/** Coming back from an issuer: what somebody went there for is finished. */

import { strings } from "../strings.ts";
import { Refusal } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { type Errand, type Pending, arrive, depart, finish, isKept } from "../lib/federation.ts";
import { at } from "../lib/place.ts";
import { Status, attempt, button, empty } from "../lib/ui.ts";
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

/** Whether the authority said no before anything came of it. */
const isRefused = (error: unknown): error is Refusal => error instanceof Refusal && error.status < 500;

async function complete({ errand, issuer, ...pending }: Pending, code: string): Promise<void> {
  const { purpose } = errand;
  app.replaceChildren(status.element);
  status.busy(words.checking(issuer.label));
  try {
    await finish({ errand, issuer, ...pending }, code);
    // Else the next page would lead to signing in, and nobody would know why.
    if (!(await isKept())) return stop(words.notKept, "signIn");
    status.done(words.done[purpose]);
    location.replace(errand.returnTo ?? at("/me"));
  } catch (error) {
    title.textContent = words.stopped;
    // A code is good once: whoever tries again goes there again.
    const again = () => attempt(status, () => depart(issuer, errand));
    const mayRepeat = !isRefused(error) || error.status === 429;
    status.failed(error, mayRepeat ? button(strings.common.retry, again) : undefined);
    const isAsGood = purpose === "join" && isRefused(error) && error.code !== "bad_invite";
    app.append(...(isAsGood ? [empty(words.inviteStays)] : []), link(BACK[purpose], words.back[purpose]));
  }
}

const arrival = arrive();
if (!arrival) stop(words.nothing, "signIn");
else if (arrival.code === undefined) stop(words.refused(arrival.pending.issuer.label, arrival.error ?? ""), arrival.pending.errand.purpose);
else void complete(arrival.pending, arrival.code);
