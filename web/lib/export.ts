/** Takes a whole list away as a file, page after page. */

import * as z from "zod/mini";
import { BadAnswer, Refusal, Unreachable, ask, withQuery } from "./api.ts";
import { h } from "./dom.ts";
import { at } from "./place.ts";

/** The most that a page may have. */
const LIMIT = "1000";

export type Format = "csv" | "json";

type Query = Record<string, string | undefined>;

/** Gathers all pages; `tell` hears how many rows there are already. */
export async function exportAll<T>(
  format: Format,
  path: string,
  query: Query,
  schema: z.ZodMiniType<{ items: T[]; next?: string | undefined }>,
  tell: (rows: number) => void,
): Promise<Blob> {
  const wanted = { ...query, limit: LIMIT };
  return format === "csv" ? gatherCsv(path, { ...wanted, format }, tell) : gatherJson(path, wanted, schema, tell);
}

async function gatherJson<T>(path: string, query: Query, schema: z.ZodMiniType<{ items: T[]; next?: string | undefined }>, tell: (rows: number) => void): Promise<Blob> {
  const parts: string[] = [];
  let rows = 0;
  let cursor: string | undefined;
  do {
    const page = await ask("GET", withQuery(path, { ...query, cursor }), schema);
    for (const item of page.items) parts.push(rows++ ? ",\n" : "", JSON.stringify(item));
    tell(rows);
    cursor = page.next;
  } while (cursor !== undefined);
  return new Blob(['{"items":[\n', ...parts, "\n]}\n"], { type: "application/json" });
}

async function gatherCsv(path: string, query: Query, tell: (rows: number) => void): Promise<Blob> {
  const parts: string[] = [];
  let rows = 0;
  let search: string | undefined = withQuery("", query);
  do {
    const { text, next } = await csvPage(path + search);
    // The head of the first page is that of all.
    const headEnd = text.indexOf("\r\n") + 2;
    const body = text.slice(headEnd);
    parts.push(parts.length ? body : text);
    rows += body.split("\r\n").length - 1;
    tell(rows);
    search = next;
  } while (search !== undefined);
  return new Blob(parts, { type: "text/csv" });
}

async function csvPage(path: string): Promise<{ text: string; next: string | undefined }> {
  let response: Response;
  try {
    response = await fetch(at(path), { credentials: "same-origin", redirect: "error", cache: "no-store" });
  } catch (error) {
    throw new Unreachable(path, { cause: error });
  }
  if (!response.ok) throw new Refusal(response.status, "", response.statusText, undefined);
  if (!response.headers.get("content-type")?.startsWith("text/csv")) throw new BadAnswer(`${path}: no CSV`);
  const next = /<(\?[^>]*)>; rel="next"/.exec(response.headers.get("link") ?? "")?.[1];
  return { text: await response.text(), next };
}

/** Hands a file over. */
export function save(blob: Blob, file: string): void {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: file }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
