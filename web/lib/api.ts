/** Asking the authority. What it answers is checked here, and nothing else is let in. */

import * as z from "zod/mini";
import { at } from "./place.ts";
import { ProblemSchema } from "../../gen/ts/api.ts";

/** The authority refused, and says why. */
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    text: string,
    readonly retryAfter: number | undefined,
  ) {
    super(text);
  }
}

/** An answer that isn't of the form that it should have. */
export class BadAnswer extends Error {}

/** No answer came. */
export class Unreachable extends Error {}

export type Method = "GET" | "POST" | "PUT" | "DELETE";

/** What `schema` makes of the answer to a request. */
export async function ask<T>(method: Method, path: string, schema: z.ZodMiniType<T>, body?: unknown): Promise<T> {
  let response: Response;
  let json: unknown;
  const hasBody = method === "POST" || method === "PUT";
  try {
    response = await fetch(at(path), {
      method,
      headers: { accept: "application/json", ...(hasBody ? { "content-type": "application/json" } : {}) },
      body: hasBody ? JSON.stringify(body ?? {}) : null,
      credentials: "same-origin",
      redirect: "error",
      cache: "no-store",
    });
  } catch (error) {
    throw new Unreachable(path, { cause: error });
  }
  try {
    json = await response.json();
  } catch (error) {
    throw new BadAnswer(`${path}: no JSON`, { cause: error });
  }
  if (!response.ok) {
    const problem = z.safeParse(ProblemSchema, json);
    if (!problem.success) throw new BadAnswer(`${path}: status ${response.status}`);
    const seconds = Number(response.headers.get("retry-after") ?? Number.NaN);
    throw new Refusal(response.status, problem.data.code, problem.data.error, Number.isFinite(seconds) ? seconds : undefined);
  }
  const answer = z.safeParse(schema, json);
  if (!answer.success) {
    const [issue] = answer.error.issues;
    throw new BadAnswer(`${path}: ${issue?.path.join(".")} ${issue?.code}`);
  }
  return answer.data;
}

/** A path with values in it, and a query without what is empty. */
export function path(parts: TemplateStringsArray, ...values: string[]): string {
  return parts.reduce((whole, part, i) => whole + encodeURIComponent(values[i - 1] ?? "") + part);
}

export function withQuery(path: string, query: Record<string, string | undefined>): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}
