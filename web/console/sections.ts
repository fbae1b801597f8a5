/** The console's sections: one list each. */

import { strings } from "../strings.ts";
import { ask, path } from "../lib/api.ts";
import { h } from "../lib/dom.ts";
import { about, list, row } from "../lib/list.ts";
import * as wire from "../../gen/ts/api.ts";
import { type Status, attempt, badge, button, code, confirm, during, empty, facts, field, pane, when, withPasskey, Status as Told } from "../lib/ui.ts";
import { method, scope } from "../lib/words.ts";
import { ID, listLink, narrowedBy, principalLink, serialOf } from "./links.ts";

const words = strings.console;

/** What the address narrows a list to. */
type Given = Record<string, string>;

/** A change that is asked about first and may want a passkey. */
async function change(status: Status, question: Parameters<typeof confirm>[0] | undefined, act: () => Promise<unknown>): Promise<boolean> {
  if (question && (await confirm(question)) === undefined) return false;
  return (await attempt(status, () => withPasskey(act))) !== undefined;
}

const badges = (scopes: string[]): HTMLElement[] => scopes.map((name) => badge(name));

/** Ways in, of those that there may be. */
const methods = (...names: string[]) => ({ label: words.method, values: Object.fromEntries(names.map((name) => [name, method(name)])) });

const scopes = { label: words.grants.scope, values: Object.fromEntries(Object.keys(strings.scopes).map((name) => [name, name])) };

const states = (values: Record<string, string>) => ({ label: words.state, values });

export function principals(me: wire.Me, id: string | undefined): HTMLElement {
  if (id !== undefined) return principal(me, id);
  const texts = words.principals;
  return pane(
    texts.window,
    words.sections.principals,
    list({
      path: "/admin/principals",
      schema: wire.PrincipalsSchema,
      empty: empty(texts.empty),
      search: { hint: texts.hint, query: (q) => ({ q }) },
      choices: { state: states(texts.states) },
      canExport: true,
      row: (one) =>
        row(
          [principalLink(one.id, one.displayName), " ", one.disabledAt > 0 && badge(texts.disabled, "bad"), ...badges(one.scopes)],
          [about(texts.created, when(one.createdAt)), about(texts.kind, one.kind), about(texts.identity, code(one.id))],
        ),
    }),
  );
}

/** One principal, and what can be done about them. */
function principal(me: wire.Me, id: string): HTMLElement {
  const texts = words.principals;
  const status = new Told();
  const body = h("div", {});
  const load = async (said?: string): Promise<void> => {
    status.busy(strings.common.loading);
    const one = await attempt(status, () => ask("GET", path`/admin/principals/${id}`, wire.PrincipalSchema));
    if (!one) return body.replaceChildren(button(strings.common.retry, () => load()));
    status.clear();
    show(one);
    if (said !== undefined) status.done(said);
  };
  const apply = async (said: string, question: Parameters<typeof confirm>[0] | undefined, act: () => Promise<unknown>) => {
    if (await change(status, question, act)) await load(said);
  };
  const show = (one: wire.Principal) => {
    const name = one.displayName;
    const disable = () =>
      apply(texts.disabled2, { title: texts.disableTitle, text: texts.disableText(name), action: texts.disable }, () =>
        ask("POST", path`/admin/principals/${id}/disable`, wire.DoneSchema),
      );
    const enable = () =>
      apply(texts.enabled, { title: texts.enableTitle, text: texts.enableText(name), action: texts.enable, kind: "primary" }, () =>
        ask("POST", path`/admin/principals/${id}/enable`, wire.DoneSchema),
      );
    body.replaceChildren(
      h("h3", {}, name, " ", one.disabledAt > 0 && badge(texts.disabled, "bad")),
      facts(
        [texts.identity, code(one.id)],
        [texts.kind, one.kind],
        [texts.created, when(one.createdAt)],
        [texts.invitedBy, one.createdBy === undefined ? strings.common.nobody : principalLink(one.createdBy, one.createdBy)],
      ),
      h("p", { class: "actions" }, one.disabledAt > 0 ? button(texts.enable, enable, "primary") : button(texts.disable, disable, "danger")),
      h("h3", {}, words.sections.grants),
      grantList({ query: { principal: id } }, texts.noGrants),
      granting(one),
      h("h3", {}, words.sections.authenticators),
      authenticatorList({ query: { principal: id } }),
      h("h3", {}, words.sections.sessions),
      sessionList({ query: { principal: id } }),
      h("h3", {}, texts.more),
      h(
        "ul",
        { class: "links" },
        h("li", {}, listLink("credentials", { principal: id }, texts.credentials)),
        h("li", {}, listLink("invites", { principal: id }, texts.invites)),
        h("li", {}, listLink("audit", { actor: id }, texts.actor)),
        h("li", {}, listLink("audit", { target: id }, texts.target)),
      ),
    );
  };
  /** Nobody grants what they don't have, so that isn't offered; what the other one has may get another end. */
  const granting = (one: wire.Principal) => {
    const lacks = me.scopes.find((name) => !one.scopes.includes(name));
    const choice = h("select", { id: "scope" }, ...me.scopes.map((name) => h("option", { value: name, selected: name === lacks }, name)));
    const soon = new Date(Date.now() + 60_000).toISOString().slice(0, 16);
    const until = field(texts.until, { type: "datetime-local", hint: texts.untilHint, min: soon });
    const send = h("button", { class: "button" }, texts.grant);
    const submit = (event: Event) => {
      event.preventDefault();
      const { value } = until.input;
      const wish = { scope: choice.value, ...(value && { expiresAt: Date.parse(`${value}Z`) / 1000 }) };
      void during(send, () => apply(texts.granted, undefined, () => ask("POST", path`/admin/principals/${id}/grants`, wire.DoneSchema, wish)));
    };
    return h(
      "form",
      { class: "search", on: { submit } },
      h("div", { class: "field short" }, h("label", { for: choice.id }, words.grants.scope), choice),
      until.element,
      send,
    );
  };
  void load();
  return pane(texts.window, texts.details, h("p", {}, h("a", { href: "#principals" }, `← ${texts.back}`)), status.element, body);
}

/** How a list is narrowed: as a part of something else, or by the address, and then it is a section. */
type Part = { query: Given } | { only: ReturnType<typeof narrowedBy>; canExport: true };

const grantList = (part: Part, none: string = words.grants.empty): HTMLElement => {
  const texts = words.grants;
  return list({
    path: "/admin/grants",
    schema: wire.GrantsSchema,
    empty: empty(none),
    ...part,
    ...("only" in part && { choices: { scope: scopes } }),
    row: (one, reload, status) => {
      const takeBack = async () => {
        const question = { title: texts.takeBackTitle, text: texts.takeBackText(one.displayName, scope(one.scope)), action: texts.takeBack };
        const act = () => ask("DELETE", path`/admin/principals/${one.principal}/grants/${one.scope}`, wire.DoneSchema);
        if (await change(status, question, act)) await reload(texts.takenBack);
      };
      const isOver = one.expiresAt > 0 && one.expiresAt * 1000 <= Date.now();
      const by = one.grantedBy === undefined ? texts.byRegistration : principalLink(one.grantedBy, one.grantedByName ?? one.grantedBy);
      return row(
        ["only" in part && principalLink(one.principal, one.displayName), badge(one.scope), isOver && badge(texts.over, "bad")],
        [
          h("span", {}, scope(one.scope)),
          about(texts.since, when(one.grantedAt)),
          about(texts.until, when(one.expiresAt, strings.common.forGood)),
          about(texts.by, by),
        ],
        [button(texts.takeBack, takeBack, "danger")],
      );
    },
  });
};

export const grants = (given: Given): HTMLElement =>
  pane(words.grants.window, words.sections.grants, grantList({ only: narrowedBy("grants", given, ["principal"]), canExport: true }));

const authenticatorList = (part: Part): HTMLElement => {
  const texts = words.authenticators;
  return list({
    path: "/admin/authenticators",
    schema: wire.AuthenticatorsSchema,
    empty: empty(texts.empty),
    ...part,
    row: (one, reload, status) => {
      const remove = async () => {
        const question = { title: texts.removeTitle, text: texts.removeText(one.name || one.kind, one.displayName), action: texts.remove };
        if (await change(status, question, () => ask("DELETE", path`/admin/authenticators/${one.id}`, wire.DoneSchema))) await reload(texts.removed);
      };
      return row(
        [one.name || one.kind, " ", badge(one.kind)],
        [about(texts.of, principalLink(one.principal, one.displayName)), about(texts.added, when(one.createdAt)), about(texts.used, when(one.lastUsedAt))],
        [button(texts.remove, remove, "danger")],
      );
    },
  });
};

export const authenticators = (given: Given): HTMLElement =>
  pane(
    words.authenticators.window,
    words.sections.authenticators,
    authenticatorList({ only: narrowedBy("authenticators", given, ["principal"]), canExport: true }),
  );

const sessionList = (part: Part): HTMLElement => {
  const texts = strings.me.sessions;
  return list({
    path: "/admin/sessions",
    schema: wire.SessionsSchema,
    empty: empty(words.sessions.empty),
    ...part,
    ...("only" in part && { choices: { method: methods("passkey") } }),
    row: (one, reload, status) => {
      const end = async () => {
        const question = { title: texts.endTitle, text: words.sessions.endText(one.displayName), action: texts.end };
        if (await change(status, question, () => ask("DELETE", path`/admin/sessions/${one.id}`, wire.DoneSchema))) await reload(texts.ended);
      };
      return row(
        [principalLink(one.principal, one.displayName), " ", one.current && badge(texts.current, "good")],
        [
          about(strings.me.method, method(one.method)),
          about(texts.from, code(one.source)),
          about(texts.began, when(one.createdAt)),
          about(texts.seen, when(one.seenAt)),
          about(texts.expires, when(one.expiresAt)),
        ],
        [button(texts.end, end, "danger")],
      );
    },
  });
};

export const sessions = (given: Given): HTMLElement =>
  pane(words.sessions.window, words.sections.sessions, sessionList({ only: narrowedBy("sessions", given, ["principal"]), canExport: true }));

/** What was typed: a principal's id, a serial number, or how a subject begins. */
function credentialQuery(text: string): Given {
  const serial = serialOf(text);
  return ID.test(text) ? { principal: text } : serial === undefined ? { subject: text } : { serial };
}

export function credentials(given: Given): HTMLElement {
  const texts = words.credentials;
  return pane(
    texts.window,
    words.sections.credentials,
    list({
      path: "/admin/credentials",
      schema: wire.CredentialsSchema,
      empty: empty(texts.empty),
      search: { hint: texts.hint, query: credentialQuery },
      choices: { state: states(texts.states), method: methods("passkey", "gha-oidc") },
      only: narrowedBy("credentials", given, ["principal"]),
      canExport: true,
      row: (one, reload, status) => {
        const revoke = async () => {
          const question = { title: texts.revokeTitle, text: texts.revokeText(one.subject), action: texts.revoke };
          if (await change(status, question, () => ask("DELETE", path`/admin/credentials/${one.serial}`, wire.DoneSchema))) await reload(texts.revoked);
        };
        const kind = one.state === "active" ? "good" : one.state === "revoked" ? "bad" : "";
        return row(
          [code(one.identity), " ", badge(texts.states[one.state], kind), ...badges(one.scopes)],
          [
            one.principal === undefined ? one.subject !== one.identity && h("span", {}, one.subject) : principalLink(one.principal, one.subject),
            about(words.method, method(one.method)),
            about(texts.issued, when(one.issuedAt)),
            about(texts.expires, when(one.expiresAt)),
            about(texts.epoch, String(one.epoch)),
            about(texts.serial, code(one.serial)),
            listLink("audit", { target: one.serial }, words.sections.audit),
          ],
          [one.state === "active" && button(texts.revoke, revoke, "danger")],
        );
      },
    }),
  );
}

/** The members of a line's details; what is no object stands there as it is. */
function details(text: string): HTMLElement[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // told as it is
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return text ? [h("code", { class: "wide" }, text)] : [];
  const word = (member: unknown): string => (typeof member === "string" ? member : Array.isArray(member) ? member.map(word).join(", ") : JSON.stringify(member));
  return Object.entries(value)
    .filter(([, member]) => member !== null)
    .map(([name, member]) => about(name.replaceAll("_", " "), /_at$/.test(name) && typeof member === "number" ? when(member) : code(word(member))));
}

/** What was typed, and what it is looked for in. An action looks like no id. */
function auditQuery(text: string, kind: string): Given {
  if (kind === "target") return { target: serialOf(text) ?? text };
  return kind === "actor" || ID.test(text) ? { actor: text } : { action: text };
}

export function audit(given: Given): HTMLElement {
  const texts = words.audit;
  return pane(
    texts.window,
    words.sections.audit,
    list({
      path: "/admin/audit",
      schema: wire.AuditSchema,
      empty: empty(texts.empty),
      search: { hint: texts.hint, kinds: { label: texts.kind, values: texts.kinds }, query: auditQuery },
      only: narrowedBy("audit", given, ["actor", "target"]),
      canExport: true,
      row: (one) =>
        row(
          [code(one.action), " ", one.actor === undefined ? texts.stranger : principalLink(one.actor, one.actorName ?? one.actor)],
          [
            when(one.at),
            about(texts.from, code(one.source)),
            one.target !== undefined && h("span", {}, "→ ", listLink("audit", { target: one.target }, code(one.target))),
            ...details(one.details),
            about(texts.request, code(one.requestId)),
          ],
        ),
    }),
  );
}

export function keys(): HTMLElement {
  const texts = words.keys;
  const status = new Told();
  const now = h("div", {});
  const load = async (): Promise<void> => {
    const found = await attempt(status, () => ask("GET", "/auth/passkey/status", wire.StatusSchema));
    if (found) now.replaceChildren(facts([texts.current, code(found.authority.keyId)], [words.overview.epoch, String(found.authority.epoch)]));
  };
  const part = (title: string, text: string, open: string, phrase: string, where: string, said: (answer: wire.KeyChanged) => string, kind = "") => {
    const reason = field(texts.reason, { hint: texts.reasonHint, maxlength: 200 });
    const act = async () => {
      let answer: wire.KeyChanged | undefined;
      const body = { reason: reason.input.value.trim() || undefined };
      const isDone = await change(status, { title, text, action: title, phrase }, async () => (answer = await ask("POST", where, wire.KeyChangedSchema, body)));
      if (!isDone || !answer) return;
      reason.input.value = "";
      await load();
      status.done(said(answer));
    };
    return h("section", { class: "part" }, h("h3", {}, title), h("p", {}, text), reason.element, h("p", { class: "actions" }, button(open, act, kind)));
  };
  void load();
  return pane(
    texts.window,
    words.sections.keys,
    now,
    status.element,
    part(texts.rolloverTitle, texts.rolloverText, texts.rolloverButton, texts.rolloverConfirm, "/admin/key/rollover", ({ keyId }) => texts.rolloverDone(keyId)),
    part(texts.epochTitle, texts.epochText, texts.epochButton, texts.epochConfirm, "/admin/epoch", ({ epoch }) => texts.epochDone(String(epoch)), "danger"),
  );
}
