/** Ways from one section of the console to another. */

import { strings } from "../strings.ts";
import { withQuery } from "../lib/api.ts";
import { type Child, h } from "../lib/dom.ts";
import type { Only } from "../lib/list.ts";
import { code } from "../lib/ui.ts";

const words = strings.console;

/** The id of a principal. */
export const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

type Section = keyof typeof words.sections;

/** To a principal's own part of the console. */
export const principalLink = (id: string, name: string): HTMLElement => h("a", { href: `#principals/${encodeURIComponent(id)}` }, name || id);

/** To a list that is narrowed. */
export const listLink = (section: Section, query: Record<string, string>, ...text: Child[]): HTMLElement =>
  h("a", { href: withQuery(`#${section}`, query) }, ...text);

/** What an address narrows a section's list to: by those of its parameters that the list knows. */
export function narrowedBy(section: Section, given: Record<string, string>, known: readonly (keyof typeof words.only)[]): Only | undefined {
  const query = Object.fromEntries(known.flatMap((name) => (given[name] ? [[name, given[name]]] : [])));
  const told = Object.entries(query).flatMap(([name, value]) => [
    words.only[name as keyof typeof words.only],
    " ",
    name !== "target" && ID.test(value) ? principalLink(value, value) : code(value),
    " ",
  ]);
  return told.length ? { query, told, all: `#${section}` } : undefined;
}

/** A serial number as it is stored, if a text is one as tools print them: in upper case, with colons. */
export function serialOf(text: string): string | undefined {
  const digits = text.replace(/^(serial=|0x)/i, "").replace(/[:\s]/g, "").toLowerCase();
  return /^[0-9a-f]{16,64}$/.test(digits) ? digits : undefined;
}
