// Responses: what is better said in JavaScript.

/** Headers by their text: the same few blocks recur, and copying one is one call. */
const blocks = new Map();
const MAX_BLOCKS = 64;

/**
 * @param {number} status
 * @param {string} block lines of `name: value`
 * @param {string} requestId
 * @param {string} cookie what the browser is to keep, or nothing: no two are the same
 * @param {Uint8Array} body our own copy
 */
export function respond(status, block, requestId, cookie, body) {
  const headers = headersOf(block, requestId);
  if (cookie) headers.set("set-cookie", cookie);
  return new Response(body.length ? body : null, { status, headers });
}

function headersOf(block, requestId) {
  let known = blocks.get(block);
  if (!known) {
    if (blocks.size >= MAX_BLOCKS) blocks.clear();
    known = new Headers();
    for (const line of block.split("\n")) {
      const colon = line.indexOf(": ");
      if (colon > 0) known.set(line.slice(0, colon), line.slice(colon + 2));
    }
    blocks.set(block, known);
  }
  const headers = new Headers(known);
  headers.set("x-request-id", requestId);
  return headers;
}

/**
 * A file of the build, through a binding that knows nothing of headers that we would want.
 * @param {{ fetch: typeof fetch }} assets
 * @param {string} file
 */
async function openFile(assets, file) {
  const response = await assets.fetch(`http://assets.invalid/${file}`);
  if (response.status === 200) return response;
  await response.body?.cancel();
  throw new Error(`status ${response.status}`);
}

export async function readFile(assets, file) {
  return new Uint8Array(await (await openFile(assets, file)).arrayBuffer());
}

/** A response whose body doesn't go through wasm. */
export async function respondFile(assets, file, status, block, requestId) {
  const { body } = await openFile(assets, file);
  return new Response(body, { status, headers: headersOf(block, requestId) });
}
