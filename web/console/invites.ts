/** Invites: making one, which shows its link this once, and the list of all. */

import { strings } from "../strings.ts";
import { ask, path } from "../lib/api.ts";
import { h } from "../lib/dom.ts";
import { type Only, about, list, row } from "../lib/list.ts";
import { DoneSchema, type Invited, InvitedSchema, InvitesSchema, type Me } from "../../gen/ts/api.ts";
import { Status, attempt, badge, button, confirm, copyButton, empty, focus, form, pane, when, withPasskey } from "../lib/ui.ts";
import { scope } from "../lib/words.ts";
import { narrowedBy, principalLink } from "./links.ts";
import { invites as texts } from "./strings.ts";

const TTLS = [
  [3600, texts.ttls.hour],
  [86_400, texts.ttls.day],
  [604_800, texts.ttls.week],
] as const;

export function invites(me: Me, given: Record<string, string>): HTMLElement {
  const only = narrowedBy("invites", given, ["principal"]);
  // Whose invites these are is whom a further way in may be made for.
  const owner = only && given["principal"];
  const lists = h("div", {}, all(only));
  return h("div", {}, maker(me, given["scope"], owner, () => lists.replaceChildren(all(only))), pane(texts.window, strings.console.sections.invites, lists));
}

function maker(me: Me, wanted: string | undefined, owner: string | undefined, made: () => void): HTMLElement {
  const status = new Status();
  const result = h("div", {});
  const boxes = me.scopes.map((name) => {
    const box = h("input", { type: "checkbox", name: "scope", value: name, id: `invite-${name}`, checked: name === "bridgeCert" || name === wanted });
    return { box, element: h("label", { class: "check", for: box.id }, box, h("span", {}, scope(name), " ", h("code", {}, name))) };
  });
  const ttl = h("select", { id: "ttl" }, ...TTLS.map(([seconds, text]) => h("option", { value: seconds }, text)));
  const make = async () => {
    result.replaceChildren();
    const scopes = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
    if (!owner && !scopes.length) return status.warn(texts.chooseScope);
    status.busy(strings.common.loading);
    const wish = { ...(owner ? { principal: owner } : { scopes }), ttl: Number(ttl.value) };
    const invited = await attempt(status, () => withPasskey(() => ask("POST", "/invites", InvitedSchema, wish)));
    if (!invited) return;
    status.clear();
    const shown = await show(invited);
    result.replaceChildren(shown);
    focus(shown);
    made();
  };
  return pane(
    texts.makeWindow,
    owner ? texts.makeFurther : texts.make,
    form(
      make,
      owner ? texts.furtherButton : texts.button,
      owner
        ? h("p", {}, texts.further, " ", principalLink(owner, owner))
        : h("fieldset", {}, h("legend", {}, texts.scopes), ...boxes.map(({ element }) => element)),
      h("div", { class: "field" }, h("label", { for: "ttl" }, texts.ttl), ttl),
    ),
    status.element,
    result,
  );
}

/** What shows an invite's link, as long as it is shown. */
const linkOf = (id: string): string => `link-${id}`;

/** The invite's link, as text and as a picture. */
async function show(invited: Invited): Promise<HTMLElement> {
  const { qr } = await import("../lib/qr.ts");
  return h(
    "div",
    { class: "once", id: linkOf(invited.id), tabindex: -1 },
    h("p", {}, texts.once),
    h("pre", { class: "pem", tabindex: 0, role: "region", "aria-label": texts.link }, invited.url),
    h("p", { class: "actions" }, copyButton(() => invited.url, texts.link)),
    qr(invited.url, texts.qr),
  );
}

const all = (only: Only | undefined): HTMLElement =>
  list({
    path: "/invites",
    schema: InvitesSchema,
    empty: empty(texts.empty),
    choices: { state: { label: strings.console.state, values: texts.states } },
    only,
    canExport: true,
    row: (one, reload, status) => {
      const takeBack = async () => {
        if ((await confirm({ title: texts.takeBackTitle, text: texts.takeBackText, action: texts.takeBack })) === undefined) return;
        const done = await attempt(status, () => withPasskey(() => ask("DELETE", path`/invites/${one.id}`, DoneSchema)));
        if (!done) return;
        document.getElementById(linkOf(one.id))?.remove();
        await reload(texts.takenBack);
      };
      const kind = one.state === "open" ? "good" : one.state === "void" ? "bad" : "";
      return row(
        [badge(texts.states[one.state], kind), ...one.scopes.map((name) => badge(name))],
        [
          one.principal !== undefined && about(texts.furtherFor, principalLink(one.principal, one.principalName ?? one.principal)),
          about(texts.by, principalLink(one.createdBy, one.createdByName)),
          about(texts.made, when(one.createdAt)),
          about(texts.expires, when(one.expiresAt)),
          one.redeemedAt > 0 && about(texts.redeemed, when(one.redeemedAt)),
          one.redeemedBy !== undefined && about(texts.redeemedBy, principalLink(one.redeemedBy, one.redeemedByName ?? one.redeemedBy)),
        ],
        [one.state === "open" && button(texts.takeBack, takeBack, "danger")],
      );
    },
  });
