/** Signing in; the first administrator; registration where it is open; recovery. */

import { strings } from "../strings.ts";
import { ask } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { canUsePasskeys, register, signIn } from "../lib/passkeys.ts";
import { identityButtons, isKept, issuers } from "../lib/federation.ts";
import { base, returnTo } from "../lib/place.ts";
import { type Door, DoorSchema, type SignInIssuer, SignedOutSchema } from "../../gen/ts/api.ts";
import { Status, attempt, button, empty, field, form, nameField, telling, whoIsHere } from "../lib/ui.ts";
import { federation } from "./strings.ts";

const words = strings.login;
const app = byId("app");
const title = byId("title");
const status = new Status();
const destination = returnTo(new URLSearchParams(location.search).get("return_to"), location.origin, base);

/** How long a challenge is waited with, shorter than it lives. */
const REFRESH_MS = 4 * 60 * 1000;

/** The request that waits in the browser's list of passkeys: only one may be made at a time. */
let waiting = new AbortController();

async function leave(): Promise<void> {
  status.done(words.welcome);
  // Else the next page would lead back to here, and nobody would know why.
  if (!(await isKept())) return status.warn(words.notKept);
  location.assign(destination);
}

/** Offers passkeys in the field, for as long as nothing else asks for one. */
async function waitForChoice(): Promise<void> {
  const canWait = await PublicKeyCredential.isConditionalMediationAvailable?.();
  while (canWait && !waiting.signal.aborted) {
    const turn = new AbortController();
    const timer = setTimeout(() => turn.abort(), REFRESH_MS);
    const signal = AbortSignal.any ? AbortSignal.any([waiting.signal, turn.signal]) : waiting.signal;
    try {
      // Nobody has done anything yet: there is nothing to tell before there is an answer.
      await signIn((at) => at === "checking" && status.busy(words.checking), { mediation: "conditional", signal });
      waiting.abort();
      return await leave();
    } catch (error) {
      if (waiting.signal.aborted) return;
      if (turn.signal.aborted) continue;
      // The button is there: what the browser can't offer by itself is no failure.
      if (error instanceof DOMException) return;
      return status.failed(error);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** A ceremony that somebody asked for. */
async function perform(ceremony: () => Promise<unknown>, told: Status = status): Promise<void> {
  waiting.abort();
  // The browser lets go of one request before it takes the next.
  await new Promise((resolve) => setTimeout(resolve, 0));
  const done = await attempt(told, ceremony);
  if (done) return leave();
  waiting = new AbortController();
  if (isOffering) void waitForChoice();
}

let isOffering = false;

function signInForm(isSignedIn: boolean): HTMLElement {
  const { element } = field(words.fieldLabel, { hint: words.fieldHint, autocomplete: "username webauthn", inputmode: "none", maxlength: 0 });
  isOffering = true;
  void waitForChoice();
  const send = button(words.button, () => perform(() => signIn(telling(status))), isSignedIn ? "" : "primary");
  return h("div", { class: isSignedIn ? "part" : "" }, element, h("p", { class: "actions" }, send));
}

const codeField = () => field(words.codeLabel, { hint: words.codeHint, type: "password", autocomplete: "one-time-code", required: true });

/** The form for the code, and where to tell what becomes of it. */
function codeForm(submit: string, isRecovery: boolean, told: Status = status): HTMLElement {
  const [code, name] = [codeField(), nameField()];
  const wish = () => ({ bootstrapCode: code.input.value.trim(), displayName: name.input.value.trim() });
  return form(() => perform(() => register(wish(), telling(told, strings.ceremony.creating), { isRecovery }), told), submit, code.element, name.element);
}

function firstBoot(): HTMLElement[] {
  title.textContent = words.firstHeadline;
  return [h("p", {}, words.firstText), codeForm(words.firstButton, false)];
}

function openRegistration(isSignedIn: boolean): HTMLElement {
  // Whoever is signed in is somebody already.
  if (isSignedIn) return h("section", { class: "part" }, h("h2", {}, words.registerHeadline), h("p", {}, words.registerSignedIn));
  const name = nameField();
  const wish = () => ({ displayName: name.input.value.trim() });
  return h(
    "section",
    { class: "part" },
    h("h2", {}, words.registerHeadline),
    h("p", {}, words.registerText),
    form(() => perform(() => register(wish(), telling(status, strings.ceremony.creating))), words.registerButton, name.element),
  );
}

/** Ends the session, and shows the page as whoever comes next sees it. */
const signOutButton = () =>
  button(strings.me.signOut, async () => {
    if (await attempt(status, () => ask("POST", "/logout", SignedOutSchema))) location.reload();
  });

/** What lets in beside passkeys. */
function elsewhere(offered: SignInIssuer[] | undefined): HTMLElement | undefined {
  const told = new Status();
  const errand = () => ({ purpose: "signIn" as const, returnTo: destination });
  const buttons = identityButtons(offered, federation.signIn, told, errand);
  return buttons && h("section", { class: "part" }, h("h2", {}, federation.or), buttons, told.element);
}

function recovery(): HTMLElement {
  const told = new Status();
  const inside = [h("p", {}, words.recoverText), codeForm(words.recoverButton, true, told), told.element];
  return h("details", { class: "part" }, h("summary", {}, words.recoverSummary), ...inside);
}

/** Whether this page is elsewhere than the authority: nobody signs in here. */
const isAstray = ({ rpId }: Door): boolean => rpId !== undefined && location.hostname !== rpId && !location.hostname.endsWith(`.${rpId}`);

/** Why nobody can use a passkey here, if so. */
function obstacle(door: Door): HTMLElement | undefined {
  const { rpId } = door;
  if (rpId === undefined) return empty(words.noPasskeys, words.noPasskeysNext);
  if (isAstray(door)) return empty(words.wrongPlace(rpId), words.wrongPlaceNext);
  return canUsePasskeys() ? undefined : empty(words.noWebAuthn, words.noWebAuthnNext);
}

function content(door: Door, offered: SignInIssuer[] | undefined, isSignedIn: boolean): (HTMLElement | undefined)[] {
  const stopped = obstacle(door);
  if (stopped) return [stopped, isAstray(door) ? undefined : elsewhere(offered)];
  if (door.firstBoot === "armed") return firstBoot();
  if (door.firstBoot === "unconfigured") return [empty(words.unconfigured, words.unconfiguredNext)];
  return [signInForm(isSignedIn), elsewhere(offered), door.registration ? openRegistration(isSignedIn) : undefined, recovery()];
}

async function start(): Promise<void> {
  app.replaceChildren(status.element);
  status.busy(strings.common.loading);
  const [door, offered, name] = await Promise.all([attempt(status, () => ask("GET", "/auth/state", DoorSchema)), issuers(), whoIsHere()]);
  if (!door) {
    app.append(button(strings.common.retry, start));
    return;
  }
  status.clear();
  if (name !== undefined) {
    const go = h("a", { class: "button primary", href: destination }, words.continue);
    app.append(h("p", {}, words.already(name)), h("p", { class: "actions" }, go, signOutButton()));
  }
  // The status stands below what it is about.
  app.append(...content(door, offered, name !== undefined).filter((part) => part !== undefined));
  app.querySelector("form, .actions")?.after(status.element);
}

void start();
