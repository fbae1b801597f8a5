// Crowds: many principals and what belongs to them, written into the state of a stopped authority.
import { databaseOf, sqlite } from "./state.mjs";

/** The id of the row with this number. */
export const idOf = (number) => {
  const hex = number.toString(16);
  return `${hex.padStart(8, "0")}-0000-4000-8000-${hex.padStart(12, "0")}`;
};

const ID = (n) => `printf('%08x-0000-4000-8000-%012x', ${n}, ${n})`;

/** What a job's credentials name. */
export const SUBJECT = "repo:acme/site";

/**
 * Adds people with a passkey, a grant and a session each, and lines and credentials. A third of the names
 * are `user`; every 50th is turned away, every 1000th manages; half of the sessions are over.
 * @param {string} stateDir of an authority that is stopped
 * @param {{ people: number, lines: number, credentials: number, invites: number }} counts
 */
export function addCrowd(stateDir, { people, lines, credentials, invites }) {
  const numbers = (count) => `WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ${count})`;
  const now = Math.floor(Date.now() / 1000);
  sqlite(databaseOf(stateDir), `
    PRAGMA synchronous = OFF;
    BEGIN;
    ${numbers(people)} INSERT INTO principals (id, kind, display_name, created_at, created_by, disabled_at)
      SELECT ${ID("i")}, 'human', CASE i % 3 WHEN 0 THEN 'user' ELSE 'Person ' || i END, ${now - 10_000_000} + i, NULL, CASE WHEN i % 50 = 0 THEN ${now} END FROM n;
    ${numbers(people)} INSERT INTO authenticators SELECT ${ID("i")}, ${ID("i")}, 'passkey', 'localhost', 'c' || i, 'passkey', ${now - 10_000_000} + i, NULL FROM n;
    ${numbers(people)} INSERT INTO grants SELECT ${ID("i")}, 'bridgeCert', NULL, ${now}, NULL FROM n;
    INSERT OR IGNORE INTO grants SELECT principal, 'authorityManage', NULL, ${now}, NULL FROM grants WHERE substr(principal, 6, 3) = '3e8';
    ${numbers(people)} INSERT INTO sessions SELECT randomblob(32), ${ID("i")}, ${ID("i")}, ${ID("i")}, 'passkey', '192.0.2.1', ${now} - i % 80000, ${now} - i % 57600, ${now} - 1000 FROM n;
    ${numbers(invites)} INSERT INTO invites SELECT ${ID("i")}, randomblob(32), ${ID(`1 + i % ${people}`)}, '["bridgeCert"]', ${now} - i, ${now} + 3600 - i, NULL, NULL, NULL FROM n;
    ${numbers(people)} INSERT INTO delegations SELECT ${ID("i")}, CASE i % 3 WHEN 0 THEN ${ID("i - 1")} END, ${ID(`1 + i % ${people}`)}, ${ID(`1 + i % ${people}`)}, ${ID(`1 + (i * 7) % ${people}`)},
      '["bridgeCert"]', NULL, NULL, 1, ${now} - i, ${now} + 3600 - i, CASE i % 10 WHEN 0 THEN ${now} END, NULL, NULL, NULL, NULL FROM n;
    ${numbers(credentials)} INSERT INTO credentials
      SELECT (${now} - (${credentials} - i) / 10) * 1048576 + i % 10, randomblob(16), randomblob(16),
        CASE i % 10 WHEN 0 THEN ${ID(`1 + i % ${people}`)} ELSE '${SUBJECT}-' || (i % 1000) END, 'wimse://x/' || i,
        CASE i % 10 WHEN 0 THEN ${ID(`1 + i % ${people}`)} END, CASE i % 10 WHEN 0 THEN 'passkey' ELSE 'gha-oidc' END, '["bridgeCert"]', 1,
        ${now} - (${credentials} - i) / 10, ${now} - (${credentials} - i) / 10 + 300, CASE i % 100 WHEN 7 THEN ${now} END, NULL, NULL, NULL, NULL, NULL, NULL FROM n;
    ${numbers(lines)} INSERT INTO audit (at, actor, action, target, source, request_id, details)
      SELECT ${now - 10_000_000} + i, ${ID(`1 + i % ${people}`)}, CASE WHEN i % 7 THEN 'session.began' ELSE 'grant.added' END, ${ID(`1 + (i * 7) % ${people}`)}, '192.0.2.1', 'r' || i, '{}' FROM n;
    COMMIT;
    PRAGMA wal_checkpoint(TRUNCATE);`);
}

/** What each list can be narrowed by, and values that a crowd has. */
export const LISTS = {
  "/admin/principals": { q: ["user", "Person 1", idOf(7)], state: ["active", "disabled"] },
  "/admin/authenticators": { principal: [idOf(7)] },
  "/admin/grants": { principal: [idOf(7)], scope: ["bridgeCert", "authorityManage"] },
  "/admin/sessions": { principal: [idOf(7)], method: ["passkey", "unheard-of"] },
  "/admin/credentials": {
    principal: [idOf(11)],
    subject: [`${SUBJECT}-7`, "nobody"],
    serial: ["00ff"],
    state: ["active", "expired", "revoked"],
    method: ["passkey", "unheard-of"],
  },
  "/admin/audit": { actor: [idOf(7)], target: [idOf(7)], action: ["session.began", "unheard.of"] },
  "/invites": { principal: [idOf(7)], state: ["open", "redeemed", "expired", "void"] },
  "/admin/delegations": { principal: [idOf(7)], delegate: [idOf(11)] },
  "/delegations": { side: ["given", "received"] },
  "/me/credentials": { state: ["active", "expired", "revoked"] },
  "/me/sessions": {},
};

/** Every path with every combination of filters, each value at least once. */
export function* searches() {
  for (const [path, filters] of Object.entries(LISTS)) {
    let combinations = [[]];
    for (const [name, values] of Object.entries(filters)) {
      combinations = combinations.flatMap((chosen) => [chosen, ...values.map((value) => [...chosen, [name, value]])]);
    }
    for (const chosen of combinations) yield `${path}?${new URLSearchParams(chosen)}`;
  }
}
