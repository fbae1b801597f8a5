/** One's own page. */

import { strings } from "../strings.ts";
import { ask, path } from "../lib/api.ts";
import { byId, h } from "../lib/dom.ts";
import { about, list, row } from "../lib/list.ts";
import { NoEd25519, type Pair, mint } from "../lib/mint.ts";
import { identityButtons, issuers } from "../lib/federation.ts";
import { canUsePasskeys, register, stepUp } from "../lib/passkeys.ts";
import { at } from "../lib/place.ts";
import { type Connection, ConnectionsSchema, CredentialsSchema, DoneSchema, type Me, MeSchema, type Passkey, PasskeysSchema, SessionsSchema, SignedOutSchema } from "../../gen/ts/api.ts";
import { Status, attempt, badge, button, code, confirm, copyButton, downloadButton, empty, facts, pane, telling, toSignIn, when, withPasskey } from "../lib/ui.ts";
import { isSessionGone, method, scope, time } from "../lib/words.ts";
import { federation, mint as minting } from "./strings.ts";

const words = strings.me;
const app = byId("app");

function you(me: Me): HTMLElement {
  const status = new Status();
  const signOut = async () => {
    status.busy(words.signingOut);
    if (await attempt(status, () => ask("POST", "/logout", SignedOutSchema))) location.assign(at("/login"));
  };
  const take = async () => {
    if (await attempt(status, () => stepUp(telling(status, strings.stepUp.working)))) location.reload();
  };
  const scopes = (names: string[]) => h("ul", {}, ...names.map((name) => h("li", {}, scope(name))));
  const pending: [string, HTMLElement][] = me.pending.length ? [[words.pending, h("div", {}, scopes(me.pending), h("p", { class: "actions" }, button(strings.stepUp.button, take, "primary")))]] : [];
  const isFresh = me.freshUntil * 1000 > Date.now();
  return pane(
    words.window,
    me.displayName,
    facts(
      [words.identity, code(me.identity)],
      [words.scopes, scopes(me.scopes)],
      ...pending,
      [words.method, method(me.authMethod)],
      [words.ends, when(me.expiresAt)],
      [words.fresh, isFresh ? words.freshUntil(time(me.freshUntil)) : words.notFresh],
    ),
    status.element,
    h("p", { class: "actions" }, me.isAdmin && h("a", { class: "button", href: at("/console") }, strings.common.console), button(words.signOut, signOut)),
  );
}

function passkeys(): HTMLElement {
  const texts = words.passkeys;
  const status = new Status();
  const items = h("ul", { class: "rows" });

  const change = async (said: string, act: () => Promise<unknown>) => {
    const done = await attempt(status, () => withPasskey(act));
    if (done === undefined) return;
    await load();
    status.done(said);
  };
  const rename = async ({ id, name }: Passkey) => {
    const wanted = await confirm({ title: texts.renameTitle, text: "", action: texts.rename, ask: { label: texts.renameLabel, value: name, maxlength: 64 }, kind: "primary" });
    if (wanted !== undefined) await change(texts.renamed, () => ask("POST", path`/me/passkeys/${id}`, DoneSchema, { name: wanted }));
  };
  const remove = async ({ id, name }: Passkey) => {
    const sure = await confirm({ title: texts.removeTitle, text: texts.removeText(name || texts.unnamed), action: texts.remove });
    if (sure !== undefined) await change(texts.removed, () => ask("DELETE", path`/me/passkeys/${id}`, DoneSchema));
  };
  const show = (passkey: Passkey) =>
    row(
      [passkey.name || texts.unnamed, " ", passkey.current && badge(texts.current, "good"), badge(passkey.synced ? texts.synced : texts.deviceBound), passkey.backedUp && badge(texts.backedUp)],
      [about(texts.created, when(passkey.createdAt)), about(texts.used, when(passkey.lastUsedAt))],
      [button(texts.rename, () => rename(passkey)), button(texts.remove, () => remove(passkey), "danger")],
    );
  const load = async (): Promise<void> => {
    status.busy(strings.common.loading);
    const found = await attempt(status, () => ask("GET", "/me/passkeys", PasskeysSchema));
    if (!found) return;
    status.clear();
    items.replaceChildren(...found.passkeys.map(show));
    if (found.passkeys.length < 2) items.append(h("li", { class: "none" }, empty(found.passkeys.length ? texts.one : texts.empty)));
  };
  const add = async () => {
    const name = await confirm({ title: texts.add, text: texts.addText, action: texts.add, ask: { label: texts.renameLabel, value: texts.unnamed, maxlength: 64 }, kind: "primary" });
    if (name !== undefined) await change(texts.added, () => register({ further: true }, telling(status, strings.ceremony.creating), { name }));
  };
  void load();
  return pane(texts.window, texts.title, status.element, items, h("p", { class: "actions" }, canUsePasskeys() && button(texts.add, add, "primary")));
}

/** How long somebody may be away at an issuer, in seconds, while the passkey that was shown before still counts. */
const AWAY = 240;

function connections(me: Me): HTMLElement {
  const texts = words.connections;
  const removal = strings.console.authenticators;
  const status = new Status();
  const items = h("ul", { class: "rows" });

  const remove = async ({ id, provider, subject }: Connection) => {
    if ((await confirm({ title: removal.removeTitle, text: removal.removeText(subject, method(provider)), action: removal.remove })) === undefined) return;
    const done = await attempt(status, () => withPasskey(() => ask("DELETE", path`/connections/${id}`, DoneSchema)));
    if (done === undefined) return;
    await load();
    status.done(removal.removed);
  };
  const show = (connection: Connection) =>
    row(
      [code(connection.subject)],
      [about(texts.by, method(connection.provider)), about(texts.since, when(Date.parse(`${connection.connectedAt.replace(" ", "T")}Z`) / 1000))],
      [button(removal.remove, () => remove(connection), "danger")],
    );
  const further = h("div", {});
  const errand = async () => {
    if (me.freshUntil < Date.now() / 1000 + AWAY) await stepUp(telling(status, strings.stepUp.working));
    return { purpose: "link" as const };
  };
  const load = async (): Promise<void> => {
    status.busy(strings.common.loading);
    const found = await attempt(status, () => Promise.all([ask("GET", "/connections", ConnectionsSchema), issuers(), ask("GET", "/me/passkeys", PasskeysSchema)]));
    if (!found) return;
    const [{ connections }, offered, { passkeys }] = found;
    status.clear();
    items.replaceChildren(...connections.map(show));
    // Linking takes a passkey.
    const buttons = passkeys.length ? identityButtons(offered, federation.link, status, errand) : undefined;
    if (!connections.length) items.append(h("li", { class: "none" }, empty(buttons ? federation.none : texts.empty)));
    further.replaceChildren(...(buttons ? [buttons, h("p", { class: "hint" }, federation.linkHint)] : []));
  };
  void load();
  return pane(texts.window, texts.title, status.element, items, further);
}

function sessions(): HTMLElement {
  const texts = words.sessions;
  return pane(
    texts.window,
    texts.title,
    list({
      path: "/me/sessions",
      schema: SessionsSchema,
      empty: empty(texts.empty),
      row: (session, reload, status) => {
        const end = async () => {
          if ((await confirm({ title: texts.endTitle, text: texts.endText, action: texts.end })) === undefined) return;
          const done = await attempt(status, () => withPasskey(() => ask("DELETE", path`/me/sessions/${session.id}`, DoneSchema)));
          if (done) await (session.current ? location.assign(at("/login")) : reload(texts.ended));
        };
        return row(
          [method(session.method), " ", session.current && badge(texts.current, "good")],
          [about(texts.from, code(session.source)), about(texts.began, when(session.createdAt)), about(texts.seen, when(session.seenAt)), about(texts.expires, when(session.expiresAt))],
          [button(texts.end, end, "danger")],
        );
      },
    }),
  );
}

function pairs(): HTMLElement {
  const texts = words.pairs;
  const states = strings.console.credentials.states;
  return list({
    path: "/me/credentials",
    schema: CredentialsSchema,
    empty: empty(texts.empty),
    row: ({ identity, serial, state, issuedAt, expiresAt }) =>
      row(
        [code(identity), " ", badge(states[state], state === "active" ? "good" : state === "revoked" ? "bad" : "")],
        [about(texts.issued, when(issuedAt)), about(texts.expires, when(expiresAt)), about(texts.serial, code(serial))],
      ),
  });
}

function certificates(me: Me): HTMLElement {
  const texts = minting;
  const status = new Status();
  const result = h("div", {});
  const lists = h("div", {}, pairs());
  const show = (pair: Pair) => {
    const block = (label: string, pem: string, file: string) =>
      h(
        "section",
        { class: "part" },
        h("h3", {}, label),
        h("pre", { class: "pem", tabindex: 0, role: "region", "aria-label": label }, pem.trim()),
        h("p", { class: "actions" }, copyButton(() => pem, label), downloadButton(pem, file, "application/x-pem-file")),
      );
    result.replaceChildren(
      h("p", {}, texts.use),
      block(texts.mtls, pair.certificates.mtls, "mtls.pem"),
      block(texts.signingPem, pair.certificates.signing, "signing.pem"),
      h("p", {}, h("a", { href: at("/.well-known/ca-bundle.pem"), download: "root.pem" }, texts.root)),
    );
  };
  const make = async () => {
    result.replaceChildren();
    try {
      const pair = await mint((step) => status.busy(texts[step]));
      status.done(texts.done(time(pair.expires_at)));
      show(pair);
      lists.replaceChildren(pairs());
    } catch (error) {
      if (error instanceof NoEd25519) {
        status.clear();
        result.replaceChildren(empty(texts.noEd25519, texts.noEd25519Next));
      } else status.failed(error);
    }
  };
  const canMint = me.scopes.includes("bridgeCert");
  return pane(
    words.pairs.window,
    words.pairs.title,
    h("p", {}, texts.text),
    canMint ? h("p", { class: "actions" }, button(texts.button, make, "primary")) : empty(texts.notGranted),
    status.element,
    result,
    lists,
  );
}

async function start(): Promise<void> {
  const status = new Status();
  app.replaceChildren(status.element);
  status.busy(strings.common.loading);
  try {
    const me = await ask("GET", "/me", MeSchema);
    app.replaceChildren(you(me), passkeys(), connections(me), certificates(me), sessions());
  } catch (error) {
    if (isSessionGone(error)) return toSignIn();
    status.failed(error, button(strings.common.retry, start));
  }
}

void start();
