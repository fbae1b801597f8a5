/** Who is let in beside people: the rows of issuers, which administrators make, change, try and take back. */

import * as z from "zod/mini";
import { strings } from "../strings.ts";
import { Refusal, ask, path, withQuery } from "../lib/api.ts";
import { type Child, h } from "../lib/dom.ts";
import { about, list, row as item } from "../lib/list.ts";
import { DoneSchema, IssuerMadeSchema, type Me } from "../../gen/ts/api.ts";
import { Status, attempt, badge, button, code, confirm, empty, field, focus, form, pane, when, withPasskey } from "../lib/ui.ts";
import { principalLink } from "./links.ts";
import { issuers as texts } from "./strings.ts";

type Row = Record<string, unknown>;

const optionalText = z.optional(z.string());
const optionalTime = z.optional(z.int());

const IssuerSchema = z.object({
  id: optionalText,
  name: z.string(),
  type: z.string(),
  // Whatever members its type has: the authority reads them, and says what is wrong with them.
  row: z.unknown(),
  redirectUri: optionalText,
  revision: z.optional(z.int()),
  createdAt: optionalTime,
  createdBy: optionalText,
  createdByName: optionalText,
  changedAt: optionalTime,
  changedBy: optionalText,
  changedByName: optionalText,
  changedByDisabled: z.optional(z.boolean()),
  problem: optionalText,
});
type Issuer = z.infer<typeof IssuerSchema>;

const isRow = (value: unknown): value is Row => typeof value === "object" && value !== null && !Array.isArray(value);
const isRules = (value: unknown): value is Row[] => Array.isArray(value) && value.every(isRow);
const rowOf = ({ row }: Issuer): Row => (isRow(row) ? row : {});

const IssuersSchema = z.object({ revision: z.int(), items: z.array(IssuerSchema), next: optionalText });

const TestedSchema = z.object({
  signature: z.enum(["valid", "invalid", "unknown_issuer", "unknown_key", "unavailable", "not_checked"]),
  rows: z.array(
    z.object({
      row: z.string(),
      id: optionalText,
      draft: z.optional(z.boolean()),
      type: z.string(),
      fits: z.boolean(),
      subject: optionalText,
      singleBy: optionalText,
      why: z.optional(z.array(z.string())),
    }),
  ),
});

/** What a row may begin as: its type, or a preset, and the rules that such a row needs. */
const BEGINNINGS: Record<keyof typeof texts.beginnings, { type?: string; preset?: string; hasIssuer?: false; hasAudience?: false; rules: Row[]; more?: Row }> = {
  oidc: { rules: [{ sub: "" }] },
  kubernetes: { type: "kubernetes", rules: [{ "/kubernetes.io/namespace": "" }] },
  access: { type: "access", rules: [{ email: "" }] },
  custom: { type: "custom", rules: [{}], more: { jwks: { keys: [] } } },
  x509: { type: "x509", hasIssuer: false, hasAudience: false, rules: [{ spiffe_trust_domain: "" }], more: { roots: "" } },
  mtls: { type: "mtls", hasIssuer: false, hasAudience: false, rules: [{ spiffe_trust_domain: "" }], more: { roots: "" } },
  github_pat: { type: "github_pat", hasIssuer: false, hasAudience: false, rules: [{ organization_ids: "" }] },
  github: { preset: "github", hasIssuer: false, rules: [{ repository_owner_id: "" }] },
  "github-enterprise": { preset: "github-enterprise", rules: [{ repository_owner_id: "" }] },
  gitlab: { preset: "gitlab", hasIssuer: false, rules: [{ namespace_id: "" }] },
  buildkite: { preset: "buildkite", hasIssuer: false, rules: [{ organization_id: "" }] },
  circleci: { preset: "circleci", rules: [{ "oidc.circleci.com/project-id": "" }] },
  google: { preset: "google", hasIssuer: false, rules: [{ sub: "" }] },
  azure: { preset: "azure", rules: [{ oid: "" }] },
  aws: { preset: "aws", rules: [{ sub: "" }] },
  vault: { preset: "vault", rules: [{ sub: "" }] },
  spiffe: { preset: "spiffe", rules: [{ sub: "" }] },
};
type Beginning = keyof typeof BEGINNINGS;

/** What certificates may carry, and so what a row may give. */
const SCOPES = ["bridgeCert"];

export function issuers(me: Me): HTMLElement {
  const below = h("div", {}, tried());
  const open = (one?: Issuer) => {
    const { element, heading } = edit(me, one, (said) => {
      below.replaceChildren(tried());
      if (said === undefined) focus(adds);
      else show(said);
    });
    below.replaceChildren(element);
    focus(heading);
  };
  const adds = button(texts.add, () => open(), "primary");
  const lists = h("div", {});
  const show = (said?: string) => {
    const status = new Status();
    lists.replaceChildren(status.element, listOf(open));
    if (said !== undefined) status.done(said);
  };
  show();
  return h("div", {}, pane(texts.window, strings.console.sections.issuers, h("p", {}, texts.lead), h("p", { class: "actions" }, adds), lists), below);
}

/** All rows, in the order in which they are asked. */
const listOf = (edit: (one: Issuer) => void): HTMLElement =>
  list<Issuer>({
    path: "/policy/issuers",
    schema: IssuersSchema,
    empty: empty(texts.empty),
    row: (one, reload, status) => {
      const { id } = one;
      const row = rowOf(one);
      const remove = async () => {
        const question = { title: texts.removeTitle, text: texts.removeText(one.name), action: texts.remove };
        if (id === undefined || (await confirm(question)) === undefined) return;
        const gone = () => ask("DELETE", withQuery(path`/policy/issuers/${id}`, { revision: String(one.revision) }), DoneSchema);
        if (await attempt(status, () => withPasskey(gone))) await reload(texts.removed);
      };
      const scopes = Array.isArray(row["scopes"]) ? row["scopes"].map(String) : [];
      return item(
        [
          one.name || texts.unnamed,
          " ",
          badge(one.type),
          id === undefined && badge(texts.configured, "good"),
          one.problem !== undefined && badge(texts.unusable, "bad"),
          ...scopes.map((name) => badge(name)),
        ],
        [
          one.problem !== undefined && h("span", {}, texts.problem, " ", one.problem),
          typeof row["issuer"] === "string" && row["issuer"] !== one.name && about(texts.issuer, code(row["issuer"])),
          typeof row["audience"] === "string" && about(texts.audience, code(row["audience"])),
          one.redirectUri !== undefined && about(texts.redirectUri, code(one.redirectUri)),
          about(texts.rules, code(JSON.stringify(row["rules"] ?? []))),
          one.createdBy !== undefined && about(texts.madeBy, principalLink(one.createdBy, one.createdByName ?? one.createdBy), " ", when(one.createdAt ?? 0)),
          one.changedBy !== undefined &&
            one.changedAt !== one.createdAt &&
            about(texts.changedBy, principalLink(one.changedBy, one.changedByName ?? one.changedBy), " ", when(one.changedAt ?? 0)),
          one.changedByDisabled === true && badge(texts.makerGone, "bad"),
        ],
        id === undefined ? [] : [button(texts.edit, () => edit(one)), button(texts.remove, remove, "danger")],
      );
    },
  });

interface Area {
  element: HTMLElement;
  input: HTMLTextAreaElement;
  /** Says what is wrong with what stands there; nothing, if nothing is. */
  complain: (problem: string | undefined) => void;
}

let lastId = 0;

/** A field of several lines. */
function area(label: string, hint: string, rows: number, value = ""): Area {
  const id = `area-${++lastId}`;
  const problem = h("p", { id: `${id}-problem`, class: "hint bad", role: "alert" });
  const input = h("textarea", { id, rows, spellcheck: "false", autocomplete: "off", autocapitalize: "off", "aria-describedby": `${id}-hint ${id}-problem` });
  input.value = value;
  const complain = (text: string | undefined) => {
    problem.textContent = text ?? "";
    if (text === undefined) input.removeAttribute("aria-invalid");
    else input.setAttribute("aria-invalid", "true");
  };
  input.addEventListener("input", () => complain(undefined));
  const element = h("div", { class: "field" }, h("label", { for: id }, label), input, h("p", { id: `${id}-hint`, class: "hint" }, hint), problem);
  return { element, input, complain };
}

/** The JSON in a field, if it is of the form that it has to be. */
function read<T>({ input, complain }: Area, is: (value: unknown) => value is T, form: string): T | undefined {
  let value: unknown;
  try {
    value = JSON.parse(input.value || "null");
  } catch (error) {
    complain(texts.notJson(error instanceof Error ? error.message : ""));
    return undefined;
  }
  if (is(value)) {
    complain(undefined);
    return value;
  }
  complain(form);
  return undefined;
}

const pretty = (value: unknown): string => JSON.stringify(value, null, 2);

/** What a row is begun as: that of a new one is chosen, that of another one stands in it. */
const beginningOf = (row: Row): Beginning => {
  const name = String(row["preset"] ?? row["type"] ?? "oidc");
  return Object.hasOwn(BEGINNINGS, name) ? (name as Beginning) : "oidc";
};

/** The form that makes a row, or changes one. */
function edit(me: Me, one: Issuer | undefined, close: (said?: string) => void): { element: HTMLElement; heading: Element | null } {
  const status = new Status();
  const given: Row = one ? rowOf(one) : {};
  const text = (name: string): string => (typeof given[name] === "string" ? given[name] : "");
  const beginning = h("select", { id: "beginning" }, ...Object.entries(texts.beginnings).map(([value, name]) => h("option", { value, selected: one && value === beginningOf(given) }, name)));
  const chosen = () => BEGINNINGS[beginning.value as Beginning];
  const name = field(texts.name, { hint: texts.nameHint, maxlength: 200, value: text("name") });
  const issuer = field(texts.issuer, { hint: texts.issuerHint, maxlength: 2000, value: text("issuer"), spellcheck: "false" });
  const audience = field(texts.audience, { hint: texts.audienceHint, maxlength: 2000, value: one ? text("audience") : location.origin, spellcheck: "false" });
  const rules = area(texts.rules, texts.rulesHint, 5);
  const more = area(texts.more, texts.moreHint, 4);
  const offered = SCOPES.filter((scope) => me.scopes.includes(scope) || (Array.isArray(given["scopes"]) && given["scopes"].includes(scope)));
  const boxes = offered.map((scope) => {
    const box = h("input", { type: "checkbox", id: `row-${scope}`, value: scope, checked: one === undefined || (Array.isArray(given["scopes"]) && given["scopes"].includes(scope)) });
    return { box, element: h("label", { class: "check", for: box.id }, box, h("span", {}, strings.scopes[scope], " ", h("code", {}, scope))) };
  });
  const known = ["type", "preset", "name", "issuer", "audience", "rules", "scopes"];
  const rest = Object.fromEntries(Object.entries(given).filter(([member]) => !known.includes(member)));

  const turn = (isFirst: boolean) => {
    const { hasIssuer = true, hasAudience = true, rules: begin, more: further } = chosen();
    issuer.element.hidden = !hasIssuer && !text("issuer");
    audience.element.hidden = !hasAudience;
    if (isFirst && one) return;
    rules.input.value = pretty(begin);
    more.input.value = further ? pretty(further) : "";
    rules.complain(undefined);
    more.complain(undefined);
  };
  rules.input.value = pretty(given["rules"] ?? []);
  more.input.value = Object.keys(rest).length ? pretty(rest) : "";
  turn(true);
  beginning.addEventListener("change", () => turn(false));

  /** The row as the form has it. */
  const draft = (): Row | undefined => {
    const wanted = read(rules, isRules, texts.rulesForm);
    const further = more.input.value.trim() ? read(more, isRow, texts.moreForm) : {};
    if (!wanted || !further) {
      focus(wanted ? more.input : rules.input);
      return undefined;
    }
    const { type, preset } = chosen();
    const typed = { name: name.input, issuer: issuer.input, audience: audience.input };
    const said = Object.entries(typed).flatMap(([member, input]) => {
      const value = input.value.trim();
      return value && !input.closest<HTMLElement>(".field")?.hidden ? [[member, value]] : [];
    });
    const scopes = boxes.filter(({ box }) => box.checked).map(({ box }) => box.value);
    return { ...(type && { type }), ...(preset && { preset }), ...Object.fromEntries(said), ...further, rules: wanted, scopes };
  };
  /** The field of what the authority complains about: its sentence begins with it. */
  const blame = (sentence: string): HTMLElement => {
    const fields: Record<string, HTMLElement> = { name: name.input, issuer: issuer.input, audience: audience.input, rule: rules.input, rules: rules.input };
    return fields[/^\w+/.exec(sentence)?.[0] ?? ""] ?? more.input;
  };

  const save = async () => {
    const row = draft();
    if (!row) return;
    status.busy(strings.common.loading);
    const change = () =>
      one?.id === undefined
        ? ask("POST", "/policy/issuers", IssuerMadeSchema, { row })
        : ask("PUT", path`/policy/issuers/${one.id}`, IssuerMadeSchema, { row, revision: one.revision });
    try {
      await withPasskey(change);
      close(one ? texts.changed : texts.made);
    } catch (error) {
      status.failed(error);
      if (error instanceof Refusal && error.code === "invalid_row") focus(blame(error.message));
    }
  };
  const cancel = button(strings.common.cancel, () => close());
  const element = pane(
    one ? texts.editWindow : texts.addWindow,
    one ? texts.editTitle(one.name) : texts.addTitle,
    form(
      save,
      one ? texts.save : texts.make,
      h("div", { class: "field" }, h("label", { for: beginning.id }, texts.beginning), beginning),
      name.element,
      issuer.element,
      audience.element,
      rules.element,
      h("fieldset", {}, h("legend", {}, texts.scopes), ...boxes.map(({ element }) => element)),
      more.element,
    ),
    status.element,
    h("section", { class: "part" }, h("h3", {}, texts.tryDraft), ...trial(draft, one?.id)),
  );
  element.querySelector("form .actions")?.append(cancel);
  return { element, heading: element.querySelector("h2") };
}

/** Where a token is tried against what is there. */
const tried = (): HTMLElement => pane(texts.tryWindow, texts.tryTitle, ...trial(() => ({})));

/** Tries a token, against a row that isn't saved if `draft` gives one with members. */
function trial(draft: () => Row | undefined, id?: string): Child[] {
  const status = new Status();
  const result = h("div", { role: "status" });
  const token = area(texts.token, texts.tokenHint, 4);
  const run = async () => {
    result.replaceChildren();
    const row = draft();
    if (!row) return;
    const wanted = token.input.value.trim();
    if (!wanted) {
      token.complain(texts.noToken);
      return focus(token.input);
    }
    status.busy(strings.common.loading);
    const body = { token: wanted, ...(Object.keys(row).length && { row, id }) };
    const answer = await attempt(status, () => ask("POST", "/policy/test", TestedSchema, body));
    if (!answer) return;
    status.clear();
    const shown = answer.rows.map((one) =>
      h(
        "li",
        {},
        h("div", { class: "row-title" }, one.draft ? texts.thisRow : one.row, " ", badge(one.type), badge(one.fits ? texts.fits : texts.fitsNot, one.fits ? "good" : "")),
        h(
          "div",
          { class: "row-about" },
          one.subject !== undefined && about(texts.asWhom, code(one.subject)),
          one.singleBy !== undefined && h("span", {}, texts.singleBy[one.singleBy] ?? one.singleBy),
          ...(one.why ?? []).map((why) => h("span", {}, why)),
        ),
      ),
    );
    result.replaceChildren(
      h("p", {}, badge(texts.signature[answer.signature], answer.signature === "valid" ? "good" : "bad")),
      shown.length ? h("ul", { class: "rows" }, ...shown) : empty(texts.noRows),
    );
  };
  return [form(run, texts.tryButton, token.element), status.element, result];
}
