// Delegations as a tree that nobody thought of before: what is taken back is a node and all below it, and nothing else.
//
//   NOTME_TEST_SEED=<number>   repeats a run's trees
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import process from "node:process";
import { startAuthority } from "./support/authority.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser, CODE } from "./support/browser.mjs";
import { Keys } from "./support/client.mjs";
import { startOidc } from "./support/oidc.mjs";
import { seeded } from "./support/random.mjs";
import { Verifier } from "./support/revocations.mjs";

const SEED = Number(process.env.NOTME_TEST_SEED ?? Date.now() % 1_000_000);
const random = seeded(SEED);
const AUDIENCE = "https://id.example";
const MOST_DEPTH = 4;
const NODES = 20;

const good = (answer) => {
  assert.equal(answer.status, 200, `seed ${SEED}: ${answer.text}`);
  return answer.json;
};

describe("of a tree of delegations", () => {
  let issuer;
  let authority;
  let admin;
  /** Who gives and is given to: people, who sign in, and agents, who come by tokens and hand nothing on. */
  const people = [];
  const agents = [];
  before(async () => {
    issuer = await startOidc();
    const rows = [{ issuer: issuer.url, audience: AUDIENCE, scopes: ["bridgeCert"], rules: [{}] }];
    authority = await startAuthority({ allowLoopback: true, vars: { BOOTSTRAP_CODE: CODE, TRUSTED_ISSUERS: JSON.stringify(rows) } });
    admin = await person({ bootstrapCode: CODE, displayName: "Ana" });
    for (const displayName of ["Ben", "Cleo", "Dan", "Erin"]) {
      people.push(await person({ invite: good(await admin.browser.post("/invites", {})).token, displayName }));
    }
    for (const sub of ["bot-0", "bot-1"]) agents.push({ id: good(await byToken(sub)).principal_id, sub });
  });
  after(async () => {
    await authority?.stop();
    await issuer?.close();
  });

  async function person(wanted) {
    const browser = new Browser(authority);
    good(await browser.register(new Passkey(ES256), { wanted }));
    return { id: (await browser.me()).json.userId, browser };
  }

  async function byToken(sub, delegation) {
    const [keys, token] = [new Keys(), await issuer.token({ sub })];
    return new Browser(authority).post("/cert", { proof: { type: "oidc", token }, public_keys: keys.publicKeys, proofs: keys.proofs(token), delegation });
  }

  async function bySession({ browser }, delegation) {
    const keys = new Keys();
    return browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()), delegation });
  }

  const mint = ({ delegate, id }) => (delegate.sub ? byToken(delegate.sub, id) : bySession(delegate, id));

  /** A delegation below `parent`, or of somebody's own rights, and a pair on it. */
  async function grow(parent) {
    const delegator = parent?.delegate ?? random.one(people);
    const depth = random.between(parent ? 0 : 1, parent ? parent.depth - 1 : MOST_DEPTH);
    // Whoever can't hand on gets what can't be.
    const delegate = random.one(depth ? people : [...people, ...agents]);
    const { id } = good(await delegator.browser.post("/delegations", { delegate: delegate.id, parent: parent?.id, depth }));
    const node = { id, parent, delegator, delegate, depth, isGone: false, isTaken: false, pairs: [] };
    node.pairs.push(good(await mint(node)).certificates);
    return node;
  }

  async function plant() {
    const nodes = [];
    while (nodes.length < NODES) {
      const parents = nodes.filter(({ depth }) => depth > 0);
      nodes.push(await grow(parents.length && random.between(0, 9) ? random.one(parents) : undefined));
    }
    return nodes;
  }

  const above = (node) => (node ? [node, ...above(node.parent)] : []);

  /** Takes a node back, as somebody who may. */
  async function takeBack(node, nodes) {
    const { browser } = random.one([admin, ...above(node).map(({ delegator }) => delegator)]);
    good(await browser.call("DELETE", `/delegations/${node.id}`));
    node.isTaken = true;
    for (const one of nodes) one.isGone ||= above(one).includes(node);
  }

  /** What each node is, by the signed list and by asking for a further pair on it. */
  async function judged(nodes) {
    const verifier = new Verifier(authority);
    await verifier.poll();
    const verdicts = nodes.map(({ pairs }) => pairs.flatMap(Object.values).map((pem) => verifier.refusal(pem) ?? "good"));
    const told = async (node, i) => {
      const { status, json } = await mint(node);
      if (status === 200) node.pairs.push(json.certificates);
      return `${i}: ${[...new Set(verdicts[i])].join(" and ")}, then ${status === 200 ? "issued" : `${status} ${json.code}`}`;
    };
    return Promise.all(nodes.map(told));
  }

  const expected = (nodes) =>
    nodes.map(({ isGone }, i) => `${i}: ${isGone ? "the delegation is revoked, then 403 delegation_revoked" : "good, then issued"}`);

  test("exactly what hangs on a node that is taken back is refused", async (t) => {
    t.diagnostic(`seed ${SEED}`);
    for (let round = 0; round < 3; round++) {
      const nodes = await plant();
      assert.deepEqual(await judged(nodes), expected(nodes), `seed ${SEED}, tree ${round}: as it grew`);
      // First one with others below it, then whichever, above one that was taken back or below it.
      let candidates = nodes.filter((node) => nodes.some(({ parent }) => parent === node));
      for (let turn = 0; turn < 4; turn++) {
        const node = random.one(candidates);
        await takeBack(node, nodes);
        assert.deepEqual(await judged(nodes), expected(nodes), `seed ${SEED}, tree ${round}: after ${nodes.indexOf(node)} was taken back`);
        const again = await node.delegator.browser.post("/delegations", { delegate: admin.id, parent: node.parent?.id });
        const [status, code] = node.parent?.isGone ? [403, "delegation_revoked"] : [200, undefined];
        assert.deepEqual([again.status, again.json.code], [status, code], `seed ${SEED}: ${again.text}`);
        candidates = nodes.filter(({ isTaken }) => !isTaken);
      }
    }
  });
});
