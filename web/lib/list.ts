/** Lists that the authority gives in pages. */

import type * as z from "zod/mini";
import { strings } from "../strings.ts";
import { ask, withQuery } from "./api.ts";
import { type Child, h } from "./dom.ts";
import type { Format } from "./export.ts";
import { Status, attempt, button, during, empty, field } from "./ui.ts";

const words = strings.console;

export interface ListOf<T> {
  /** Where the list is. */
  path: string;
  schema: z.ZodMiniType<{ items: T[]; next?: string | undefined }>;
  /** What stands there if there is nothing at all. */
  empty: Child;
  /** How an item looks. */
  row: (item: T, reload: (said?: string) => Promise<void>, status: Status) => HTMLElement;
  /** What can be searched for, and the query for what was typed; `kind` is what was chosen of `kinds`, if anything. */
  search?: { hint: string; kinds?: Choice; query: (text: string, kind: string) => Record<string, string> };
  /** What can be chosen from: parameters of the query, and their values. */
  choices?: Record<string, Choice>;
  /** Whether all of it can be taken away as a file. */
  canExport?: boolean;
  /** More of the query. */
  query?: Record<string, string>;
  /** More of the query, that the address asked for, and where the list is without it. */
  only?: Only | undefined;
}

/** What can be chosen: its name, and the values with theirs. */
export interface Choice {
  label: string;
  values: Record<string, string>;
}

/** What a list was narrowed to by whoever led to it. */
export interface Only {
  query: Record<string, string>;
  /** How that is told. */
  told: Child[];
  /** The address of the whole list. */
  all: string;
}

/** A list that begins to load. */
export function list<T>(of: ListOf<T>): HTMLElement {
  const status = new Status();
  const items = h("ul", { class: "rows" });
  const count = h("p", { class: "hint", role: "status" });
  const foot = h("p", { class: "actions" });
  let wanted = "";
  let kind = "";
  let chosen: Record<string, string> = {};
  let shown = 0;

  const query = () => ({ ...of.query, ...of.only?.query, ...chosen, ...(wanted && of.search?.query(wanted, kind)) });
  const isNarrowed = () => Boolean(wanted || of.only || Object.values(chosen).some(Boolean));
  const reload = async (said?: string): Promise<void> => {
    items.replaceChildren();
    shown = 0;
    await load(undefined);
    if (said !== undefined) status.done(said);
  };
  const load = async (cursor: string | undefined): Promise<void> => {
    status.busy(strings.common.loading);
    foot.replaceChildren();
    const page = await attempt(status, () => ask("GET", withQuery(of.path, { ...query(), cursor }), of.schema));
    if (!page) {
      foot.replaceChildren(button(strings.common.retry, () => load(cursor)));
      return;
    }
    status.clear();
    items.querySelector(".none")?.remove();
    const rows = page.items.map((item) => of.row(item, reload, status));
    items.append(...rows);
    shown += rows.length;
    const next = page.next;
    count.textContent = shown ? words.shown(shown, next !== undefined) : "";
    // Where several things were asked for at once, a page may have none of what the next ones have.
    if (!shown && next !== undefined) count.textContent = words.noneYet;
    else if (!shown) items.replaceChildren(h("li", { class: "none" }, isNarrowed() ? empty(words.nothingFound) : of.empty));
    if (next !== undefined)
      foot.append(
        button(strings.common.more, async () => {
          await load(next);
          // What was read is behind: go on with what is new.
          const first = rows.length ? items.children.item(shown - (items.children.length - shown)) : undefined;
          if (first instanceof HTMLElement) first.focus();
        }),
      );
  };

  void reload();
  return h("div", { class: "list" }, of.only && narrowed(of.only), tools(), status.element, items, h("div", { class: "list-foot" }, count, foot, of.canExport && exports()));

  function tools(): HTMLElement | undefined {
    const { search, choices = {} } = of;
    if (!search && !of.choices) return undefined;
    const text = search && field(words.search, { type: "search", hint: search.hint, maxlength: 128 });
    const kinds = search?.kinds && choose("kind", search.kinds);
    const selects = Object.entries(choices).map(([name, choice]) => ({ name, ...choose(name, choice, words.all) }));
    const send = h("button", { class: "button" }, of.search ? words.searchButton : words.showButton);
    const submit = (event: Event) => {
      event.preventDefault();
      wanted = text?.input.value.trim() ?? "";
      kind = kinds?.select.value ?? "";
      chosen = Object.fromEntries(selects.map(({ name, select }) => [name, select.value]));
      void during(send, () => reload());
    };
    return h(
      "form",
      { role: "search", class: "search tools", on: { submit } },
      text?.element,
      kinds?.element,
      ...selects.map(({ element }) => element),
      send,
    );
  }

  function choose(name: string, { label, values }: Choice, all?: string): { element: HTMLElement; select: HTMLSelectElement } {
    const options = [...(all === undefined ? [] : [["", all] as const]), ...Object.entries(values)];
    const select = h("select", { id: `${name}-${of.path}` }, ...options.map(([value, text]) => h("option", { value }, text)));
    return { element: h("div", { class: "field short" }, h("label", { for: select.id }, label), select), select };
  }

  function narrowed({ told, all }: Only): HTMLElement {
    return h("p", { class: "only" }, ...told, " ", h("a", { href: all }, words.showAll));
  }

  /** All that was searched for, not what is shown alone. */
  function exports(): HTMLElement {
    const take = async (format: Format) => {
      const { exportAll, save } = await import("./export.ts");
      const blob = await attempt(status, () => exportAll(format, of.path, query(), of.schema, (rows) => status.busy(words.exporting(rows))));
      if (!blob) return;
      status.clear();
      save(blob, `notme-${of.path.split("/").pop()}.${format}`);
    };
    return h("p", { class: "exports" }, button(words.exportCsv, () => take("csv")), button(words.exportJson, () => take("json")));
  }
}

/** An item of a list: what it is, more about it, and what can be done with it. */
export const row = (title: Child[], about: Child[], actions: Child[] = []): HTMLElement =>
  h(
    "li",
    { tabindex: -1 },
    h("div", { class: "row-title" }, ...title),
    h("div", { class: "row-about" }, ...about),
    actions.some(Boolean) && h("div", { class: "row-actions" }, ...actions),
  );

/** Something about an item, with its name. */
export const about = (name: string, ...value: Child[]): HTMLElement => h("span", {}, h("b", {}, name), " ", ...value);
