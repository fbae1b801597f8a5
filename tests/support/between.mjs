// Somebody between a client and an authority, who passes everything on but what a test wants changed.
import { createServer } from "node:http";

/**
 * `seen` are the paths that were asked for. `tamper(path, text, authorization, body)` may give another answer than the
 * authority's: `{ status, headers, text }`; `instead(path, body)` one without asking it: a text.
 * @param {{ url: string }} authority
 * @returns {Promise<{ url: string, seen: string[], tamper?: Function, instead?: Function, close: () => void }>}
 */
export async function startBetween(authority) {
  const between = { url: "", seen: [], tamper: undefined, instead: undefined, close: () => server.close() };
  const server = createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    between.seen.push(req.url);
    const { authorization } = req.headers;
    const own = await between.instead?.(req.url, body);
    if (own !== undefined) return res.writeHead(200).end(own);
    const response = await fetch(authority.url + req.url, {
      method: req.method,
      headers: { "content-type": "application/json", ...(authorization ? { authorization } : {}) },
      body: body.length ? body : undefined,
    });
    let text = await response.text();
    if (req.url === "/.well-known/signet-authority.json") text = text.replaceAll(authority.url, between.url);
    const changed = await between.tamper?.(req.url, text, authorization, body);
    res.writeHead(changed?.status ?? response.status, changed?.headers ?? {}).end(changed?.text ?? text);
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  between.url = `http://127.0.0.1:${server.address().port}`;
  return between;
}
