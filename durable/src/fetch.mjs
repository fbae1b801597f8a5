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
    signal: AbortSignal.timeout(timeoutMillis),
  });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw new Error(`${url} answered ${response.status}`);
  }
  const chunks = [];
  let length = 0;
  for await (const chunk of response.body ?? []) {
    length += chunk.length;
    if (length > maxBytes) throw new Error(`${url} is longer than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  const body = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    body.set(chunk, at);
    at += chunk.length;
  }
  return body;
}
