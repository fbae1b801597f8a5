// GitHub's API as far as the door asks it, on loopback: answers in the shape of its documentation's examples, and only
// to requests that are made as the documentation asks for.
import { createServer } from "node:http";

const user = ({ id, login, type = "User" }) => ({
  login,
  id,
  node_id: "MDQ6VXNlcjE=",
  avatar_url: `https://github.com/images/error/${login}_happy.gif`,
  gravatar_id: "",
  url: `https://api.github.com/users/${login}`,
  html_url: `https://github.com/${login}`,
  organizations_url: `https://api.github.com/users/${login}/orgs`,
  type,
  site_admin: false,
});

const profile = (who) => ({
  ...user(who),
  name: "monalisa octocat",
  company: "GitHub",
  blog: "https://github.com/blog",
  location: "San Francisco",
  email: "octocat@github.com",
  hireable: false,
  bio: "There once was...",
  public_repos: 2,
  followers: 20,
  created_at: "2008-01-14T04:33:35Z",
  updated_at: "2008-01-14T04:33:35Z",
});

const membership = (who, { id, login, state = "active", role = "member" }) => ({
  url: `https://api.github.com/orgs/${login}/memberships/${who.login}`,
  state,
  role,
  organization_url: `https://api.github.com/orgs/${login}`,
  organization: { login, id, node_id: "MDEyOk9yZ2FuaXphdGlvbjE=", url: `https://api.github.com/orgs/${login}`, description: "A great organization" },
  user: user(who),
});

const app = ({ id, slug, owner }) => ({
  id,
  slug,
  node_id: "MDExOkludGVncmF0aW9uMQ==",
  owner: user({ ...owner, type: "Organization" }),
  name: "Octocat App",
  description: "",
  external_url: "https://example.com",
  html_url: `https://github.com/apps/${slug}`,
  created_at: "2017-07-08T16:18:44-04:00",
  updated_at: "2017-07-08T16:18:44-04:00",
  permissions: { metadata: "read" },
  events: ["push"],
});

/**
 * @typedef {object} Known a token that it knows
 * @property {{ id: number, login: string }} [user]
 * @property {{ id: number, slug: string, owner: { id: number, login: string } }} [app]
 * @property {string} [scopes] of classic tokens
 * @property {{ id: number, login: string, state?: string }[]} [organizations]
 * @property {boolean} [mayNotList] its token may not see memberships
 * @property {{ status: number, headers?: Record<string, string>, body?: string | object }} [misbehaves]
 */

/** Starts an API that knows no token yet; `tokens` is a map. */
export async function startGitHub() {
  /** @type {{ tokens: Map<string, Known>, requests: { path: string, token?: string }[], faults: string[], url: string, close: () => Promise<void>, wait?: Promise<void> }} */
  const api = { tokens: new Map(), requests: [], faults: [], url: "", close: async () => {}, wait: undefined };
  const server = createServer(async (req, res) => {
    const answer = (status, body, headers = {}) =>
      res
        .writeHead(status, { "content-type": "application/json; charset=utf-8", "x-github-media-type": "github.v3; format=json", "x-ratelimit-remaining": "4999", ...headers })
        .end(typeof body === "string" ? body : JSON.stringify(body));
    const expected = { accept: "application/vnd.github+json", "x-github-api-version": "2022-11-28", "user-agent": "notme" };
    for (const [name, value] of Object.entries(expected)) {
      if (req.headers[name] !== value) api.faults.push(`${req.url}: ${name} is ${req.headers[name]}`);
    }
    if (req.method !== "GET") api.faults.push(`${req.url}: ${req.method}`);
    if (req.headers.cookie) api.faults.push(`${req.url}: a cookie`);
    const token = /^Bearer (\S+)$/.exec(req.headers.authorization ?? "")?.[1];
    api.requests.push({ path: req.url, token });
    await api.wait;
    const known = api.tokens.get(token);
    if (!known) return answer(401, { message: "Bad credentials", documentation_url: "https://docs.github.com/rest", status: "401" });
    if (known.misbehaves) return answer(known.misbehaves.status, known.misbehaves.body ?? { message: "" }, known.misbehaves.headers);
    if (req.url === "/api/v3/user" && known.user) {
      return answer(200, profile(known.user), known.scopes === undefined ? {} : { "x-oauth-scopes": known.scopes, "x-accepted-oauth-scopes": "" });
    }
    if (req.url === "/api/v3/user/memberships/orgs?state=active&per_page=100" && known.user) {
      if (known.mayNotList) return answer(403, { message: "Resource not accessible by personal access token", status: "403" });
      return answer(200, (known.organizations ?? []).map((one) => membership(known.user, one)));
    }
    if (req.url === "/api/v3/app" && known.app) return answer(200, app(known.app));
    return answer(404, { message: "Not Found", status: "404" });
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  api.url = `http://127.0.0.1:${server.address().port}/api/v3`;
  api.close = () =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  return api;
}
