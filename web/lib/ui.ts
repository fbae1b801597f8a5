/** What all pages are put together from. */

import { strings } from "../strings.ts";
import { MeSchema } from "../../gen/ts/api.ts";
import { BadAnswer, Refusal, ask } from "./api.ts";
import { type Child, h } from "./dom.ts";
import { type Progress, stepUp } from "./passkeys.ts";
import { at } from "./place.ts";
import { explain, isSessionGone, time } from "./words.ts";

const { common } = strings;

/** A part of a page that looks like a terminal's window. */
export function pane(bar: string, heading: string | undefined, ...children: Child[]): HTMLElement {
  const title = heading === undefined ? undefined : h("h2", { tabindex: -1 }, heading);
  return h(
    "section",
    { class: "window", "aria-label": heading ?? bar },
    h("p", { class: "window-bar", "aria-hidden": "true" }, bar),
    h("div", { class: "window-body" }, title, ...children),
  );
}

/** Where progress and failures are told: read out by screen readers, and seen by everybody. */
export class Status {
  readonly element = h("div", { class: "status", tabindex: -1 });
  readonly #progress = h("p", { role: "status" });
  readonly #failure = h("div", { role: "alert" });

  constructor() {
    this.element.append(this.#progress, this.#failure);
  }

  #show(kind: "busy" | "ok" | "failed" | "", progress: string, ...failure: Child[]): void {
    this.element.dataset["kind"] = kind;
    this.#progress.textContent = progress;
    this.#failure.replaceChildren(...failure.filter((child): child is Node | string => Boolean(child)));
  }

  busy(text: string): void {
    this.#show("busy", text);
  }

  done(text: string): void {
    this.#show("ok", text);
    // What was pressed may be gone with what it did: whoever has no pointer goes on here.
    if (document.activeElement === document.body) focus(this.element);
  }

  clear(): void {
    this.#show("", "");
  }

  warn(text: string): void {
    this.#show("failed", "", h("p", {}, text));
  }

  /** Tells what went wrong, unless nothing did. */
  failed(error: unknown, ...more: Child[]): void {
    const text = explain(error);
    if (text === undefined) return this.clear();
    if (error instanceof BadAnswer || !(error instanceof Refusal || error instanceof DOMException)) console.error(error);
    this.#show("failed", "", h("p", {}, text), isSessionGone(error) && signInAgain(), ...more);
  }
}

/** Where to sign in, and from there back to here. */
const signInAddress = (): string => `${at("/login")}?${new URLSearchParams({ return_to: location.pathname + location.search + location.hash })}`;

const signInAgain = (): HTMLElement => h("p", {}, h("a", { href: signInAddress() }, strings.errors.signInAgain));

/** Leads to signing in whoever has no session. */
export const toSignIn = (): void => location.replace(signInAddress());

/** What a button does, with nothing else done by it meanwhile. */
export function button(text: string, act: (button: HTMLButtonElement) => unknown, kind = ""): HTMLButtonElement {
  const made = h("button", { type: "button", class: `button ${kind}`.trim(), on: { click: () => void during(made, () => act(made)) } }, text);
  return made;
}

/** Runs `act` unless the button's last work is still on its way. The button keeps its focus. */
export async function during(button: HTMLElement, act: () => unknown): Promise<void> {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try {
    await act();
  } finally {
    button.ariaDisabled = null;
  }
}

/** Runs a ceremony or a call whose failure is told in `status`. */
export async function attempt<T>(status: Status, act: () => Promise<T>): Promise<T | undefined> {
  try {
    return await act();
  } catch (error) {
    status.failed(error);
    return undefined;
  }
}

/** Says where a ceremony is. */
export const telling =
  (status: Status, touch: string = strings.login.touch) =>
  (at: Progress): void =>
    status.busy(at === "asking" ? strings.login.asking : at === "touch" ? touch : strings.login.checking);

let lastId = 0;

export interface FieldProps {
  hint?: string | undefined;
  [attribute: string]: unknown;
}

/** A text field with its label, and a hint that screen readers read with it. */
export function field(label: string, { hint, ...attributes }: FieldProps = {}): { element: HTMLElement; input: HTMLInputElement } {
  const id = `field-${++lastId}`;
  const input = h("input", { id, type: "text", autocomplete: "off", "aria-describedby": hint ? `${id}-hint` : undefined, ...attributes });
  const element = h("div", { class: "field" }, h("label", { for: id }, label), input, hint && h("p", { id: `${id}-hint`, class: "hint" }, hint));
  return { element, input };
}

/** The field for what somebody wants to be called: nothing but spaces is no name. */
export const nameField = (): ReturnType<typeof field> =>
  field(strings.login.nameLabel, { hint: strings.login.nameHint, autocomplete: "name", maxlength: 64, required: true, pattern: ".*\\S.*" });

/** A form that is sent by its button and by Enter. */
export function form(act: () => unknown, submit: string, ...children: Child[]): HTMLFormElement {
  const send = h("button", { class: "button primary" }, submit);
  return h(
    "form",
    {
      on: {
        submit: (event) => {
          event.preventDefault();
          void during(send, act);
        },
      },
    },
    ...children,
    h("p", { class: "actions" }, send),
  );
}

/** A button that copies. */
export function copyButton(text: () => string, label: string): HTMLElement {
  const told = h("span", { role: "status", class: "hint" });
  const copy = button(common.copy, async () => {
    try {
      await navigator.clipboard.writeText(text());
      told.textContent = common.copied;
    } catch {
      told.textContent = common.copyFailed;
    }
  });
  copy.setAttribute("aria-label", `${common.copy}: ${label}`);
  return h("span", { class: "copy" }, copy, told);
}

/** A button that hands a text over as a file. */
export const downloadButton = (text: string, file: string, type: string): HTMLElement =>
  button(`${common.download} ${file}`, async () => (await import("./export.ts")).save(new Blob([text], { type }), file));

/** Names and their values. */
export const facts = (...pairs: [string, Child | Child[]][]): HTMLElement =>
  h("dl", { class: "facts" }, ...pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, ...(Array.isArray(value) ? value : [value])))));

export const badge = (text: string, kind = ""): HTMLElement => h("span", { class: `badge ${kind}`.trim() }, text);

export const code = (text: string): HTMLElement => h("code", {}, text);

export const when = (seconds: number, zero?: string): HTMLElement | string =>
  seconds === 0 ? time(0, zero) : h("time", { datetime: isoOf(seconds) }, time(seconds));

const isoOf = (seconds: number): string | undefined => {
  const date = new Date(seconds * 1000);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
};

/** What stands where there is nothing. */
export const empty = (text: string, ...next: Child[]): HTMLElement => h("p", { class: "empty" }, text, ...next.flatMap((child) => [" ", child]));

export interface Question {
  title: string;
  text: string;
  action: string;
  /** What has to be typed first. */
  phrase?: string;
  /** A field to fill in. */
  ask?: { label: string; value: string; maxlength: number };
  kind?: "danger" | "primary";
}

/** Asks in a dialog; nothing, if it was closed. */
export function confirm({ title, text, action, phrase, ask, kind = "danger" }: Question): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = ask ?? (phrase === undefined ? undefined : { label: strings.console.confirmLabel(phrase), value: "", maxlength: 64 });
    const entry = asked && field(asked.label, { value: asked.value, maxlength: asked.maxlength, autofocus: true, required: true });
    const go = h("button", { class: `button ${kind}` }, action);
    const isTyped = () => phrase === undefined || entry?.input.value.trim().toLowerCase() === phrase;
    if (phrase !== undefined) {
      go.disabled = true;
      entry?.input.addEventListener("input", () => (go.disabled = !isTyped()));
    }
    const dialog = openDialog(title, (close) => {
      const cancel = button(common.cancel, () => close(undefined));
      // Whoever presses Enter twice has changed nothing.
      cancel.autofocus = kind === "danger" && !entry;
      const submit = (event: Event) => {
        event.preventDefault();
        if (isTyped()) close(entry ? entry.input.value.trim() : action);
      };
      return [h("p", {}, text), h("form", { on: { submit } }, entry?.element, h("p", { class: "actions" }, go, cancel))];
    });
    void dialog.then(resolve);
  });
}

/** Opens a dialog, and gives what it was closed with. */
function openDialog(title: string, content: (close: (value: string | undefined) => void) => Child[]): Promise<string | undefined> {
  return new Promise((resolve) => {
    const before = document.activeElement;
    let result: string | undefined;
    const close = (value: string | undefined) => {
      result = value;
      dialog.close();
    };
    const id = `dialog-${++lastId}`;
    const dialog = h(
      "dialog",
      {
        class: "window",
        "aria-labelledby": id,
        on: {
          close: () => {
            dialog.remove();
            if (before instanceof HTMLElement && before.isConnected) before.focus();
            resolve(result);
          },
        },
      },
      h("p", { class: "window-bar", "aria-hidden": "true" }, title),
      h("div", { class: "window-body" }, h("h2", { id }, title), ...content(close)),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Does what may ask for a passkey first: then it is shown, and `act` done once more. */
export async function withPasskey<T>(act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof Refusal && error.code === "step_up_required")) throw error;
  }
  const shown = await openDialog(strings.stepUp.title, (close) => {
    const status = new Status();
    return [
      h("p", {}, strings.stepUp.text),
      status.element,
      h(
        "p",
        { class: "actions" },
        button(
          strings.stepUp.button,
          async () => {
            const done = await attempt(status, () => stepUp(telling(status, strings.stepUp.working)));
            if (done) close("shown");
          },
          "primary",
        ),
        button(common.cancel, () => close(undefined)),
      ),
    ];
  });
  if (shown === undefined) throw new DOMException("", "AbortError");
  return act();
}

/** Puts the focus where a reader should go on. */
export function focus(element: Element | null | undefined): void {
  if (element instanceof HTMLElement) element.focus({ preventScroll: false });
}

/** Who is signed in in this browser already, if anybody. */
export async function whoIsHere(): Promise<string | undefined> {
  try {
    return (await ask("GET", "/me", MeSchema)).displayName;
  } catch {
    return undefined;
  }
}
