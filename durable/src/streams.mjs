// Bodies, of requests that come and of answers to requests that go out: read to their end or to a limit.

const TOO_LARGE = "too large";

/** How long a body may take to arrive, in milliseconds. workerd itself would wait for ever. */
const BODY_TIMEOUT = 10_000;

/**
 * Reads a request's body.
 * @returns {Promise<Uint8Array | "too large" | "too slow" | "incomplete">}
 */
export async function readBody(request, maxBytes) {
  // HTTP holds a sender to the length that it announced, and the caller has looked at that; a body
  // of unknown length is counted while it comes. With both headers the announced one means nothing.
  const announced = request.headers.has("content-length") && !request.headers.has("transfer-encoding");
  const arriving = announced ? request.arrayBuffer().then((buffer) => new Uint8Array(buffer)) : readAll(request.body ?? [], maxBytes);
  let timer;
  const tooSlow = new Promise((resolve) => {
    timer = setTimeout(() => resolve("too slow"), BODY_TIMEOUT);
  });
  try {
    return await Promise.race([arriving, tooSlow]);
  } catch {
    return "incomplete";
  } finally {
    clearTimeout(timer);
  }
}

/** All of a stream, or "too large". */
async function readAll(stream, maxBytes) {
  const chunks = [];
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > maxBytes) return TOO_LARGE;
    chunks.push(chunk);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}

/**
 * GETs a document of a token issuer. Redirects are refused, because they would lead to an address
 * that nobody configured; the body is read no further than `maxBytes`.
 * @returns {Promise<Uint8Array>} the body
 * @throws {Error} with a reason for the operator
 */
export async function fetchDocument(url, timeoutMillis, maxBytes) {
  const response = await fetch(url, {
    headers: { accept: "application/json", "user-agent": "notme" },
    redirect: "manual",
    // How long a key set counts is ours to say: a key that was taken back must not come out of somebody's cache.
    cache: "no-store",
    signal: AbortSignal.timeout(timeoutMillis),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}`);
  }
  const body = await readAll(response.body ?? [], maxBytes);
  if (body === TOO_LARGE) throw new Error(`${url} is longer than ${maxBytes} bytes`);
  return body;
}

/**
 * What an API answers to a GET, or to a form that is POSTed, whatever its status. As with documents a redirect leads nowhere, and no more than `maxBytes`
 * is read; no HTTP cache keeps it.
 * @param {string} url
 * @param {string} headers names and values, each on a line
 * @param {string | undefined} form
 * @param {string} wanted names of the answer's headers, each on a line
 * @returns {Promise<[string, Uint8Array, ...(string | null)[]]>} status, body, and the headers that were wanted
 * @throws {Error} with a reason for the operator, in which no header is
 */
export async function askApi(url, headers, form, wanted, timeoutMillis, maxBytes) {
  const lines = headers.split("\n");
  const all = new Headers({ "user-agent": "notme" });
  for (let at = 0; at + 1 < lines.length; at += 2) all.set(lines[at], lines[at + 1]);
  const asked = form === undefined ? {} : { method: "POST", body: new URLSearchParams(form) };
  const response = await fetch(url, { ...asked, headers: all, redirect: "manual", cache: "no-store", signal: AbortSignal.timeout(timeoutMillis) });
  const body = await readAll(response.body ?? [], maxBytes);
  if (body === TOO_LARGE) throw new Error(`${url} is longer than ${maxBytes} bytes`);
  return [String(response.status), body, ...wanted.split("\n").map((name) => response.headers.get(name))];
}
