/** Where this authority is, as the page's own address tells it: it may live under a path. */

/** Scripts are in `assets`, under the authority's own path. */
export const base = new URL("..", import.meta.url).pathname.replace(/\/$/, "");

/** The path of something of this authority, `path` beginning with a slash. */
export const at = (path: string): string => base + path;

/**
 * Where to go after signing in: `wanted`, if it is a path of this authority, else one's own page.
 * Whoever made the link may have chosen it.
 */
export function returnTo(wanted: string | null, origin: string, root: string): string {
  const fallback = `${root}/me`;
  // What a browser would skip, or read as another host, has no place in a path of ours.
  if (wanted === null || !/^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(wanted)) return fallback;
  let url: URL;
  try {
    url = new URL(wanted, origin);
  } catch {
    return fallback;
  }
  // Dots may have led out of the authority's path, or to two slashes.
  const isOurs = url.origin === origin && (url.pathname === root || url.pathname.startsWith(`${root}/`)) && !url.pathname.startsWith("//");
  return isOurs ? url.pathname + url.search + url.hash : fallback;
}
