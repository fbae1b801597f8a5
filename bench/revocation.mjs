// `node bench/revocation.mjs`: how long it takes from the answer to a revocation until it is refused, by the
// authority itself and by a verifier that asks for the list as often as discovery says: of a pair, a principal, a
// delegation and an epoch in turn. Takes two minutes, for it waits as verifiers do; load is 200 trials of some
// requests over that time, to loopback.
//
//	node bench/revocation.mjs --quick   20 trials, and a verifier that asks each second
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { X509Certificate, createHash, sign as signBytes } from "node:crypto";
import { build } from "../tools/build.mjs";
import { isMain, main, say, stopOnSignals } from "../tools/lib/console.mjs";
import { setup } from "../tools/setup.mjs";
import { ES256, Passkey } from "../tests/support/authenticator.mjs";
import { Browser, CODE } from "../tests/support/browser.mjs";
import { Keys } from "../tests/support/client.mjs";
import { Verifier } from "../tests/support/revocations.mjs";
import { judge, quantile, startOurs } from "./lib.mjs";

const QUICK = process.argv.includes("--quick");
const TRIALS = QUICK ? 20 : 200;
/** Revocations are spread over so many polls. */
const POLLS = 3;

async function bench() {
  await build(await setup());
  const ours = await startOurs({ BOOTSTRAP_CODE: CODE }, "localhost");
  const discovery = await (await fetch(`${ours.url}/.well-known/signet-authority.json`)).json();
  const interval = (QUICK ? 1 : discovery.revocation_poll_seconds) * 1000;
  const admin = new Browser(ours);
  await expect(admin.register(new Passkey(ES256)), 200);

  const mint = async (browser, keys = new Keys(), delegation = undefined) => {
    return browser.post("/cert", { proof: { type: "session" }, public_keys: keys.publicKeys, proofs: keys.proofsOver(keys.message()), delegation });
  };
  // What is revoked, in turn: how, why a verifier refuses it then, and the first request after the answer, which is refused already.
  const GRAINS = [
    {
      revoke: ({ serial }) => admin.call("DELETE", `/admin/credentials/${serial}`),
      why: "the credential is revoked",
      refused: ({ pem, keys, id }) => expect(sign(ours, pem, keys, id), 401),
    },
    {
      revoke: ({ id }) => admin.post(`/admin/principals/${id}/disable`, {}),
      why: "the principal is revoked",
      refused: ({ guest }) => expect(mint(guest), 401),
    },
    {
      revoke: ({ guest, delegation }) => guest.call("DELETE", `/delegations/${delegation}`),
      why: "the delegation is revoked",
      refused: ({ guest, delegation }) => expect(mint(guest, new Keys(), delegation), 403),
      isDelegated: true,
    },
    {
      revoke: () => admin.post("/admin/epoch", {}),
      why: "another epoch",
      refused: ({ pem, keys, id }) => expect(sign(ours, pem, keys, id), 401),
    },
  ];
  const guests = [];
  for (let i = 0; i < TRIALS; i++) {
    const { json } = await expect(admin.post("/invites", { scopes: ["bridgeCert"] }), 200);
    const browser = new Browser(ours);
    await expect(browser.register(new Passkey(ES256), { wanted: { invite: json.token, displayName: `Guest ${i}` } }), 200);
    guests.push(browser);
  }
  const verifier = new Verifier(ours);
  await verifier.poll();

  const waiting = new Set();
  const heard = [];
  let isOver = false;
  const polling = (async () => {
    while (!isOver || waiting.size) {
      await verifier.poll();
      const now = performance.now();
      for (const one of waiting) {
        // An epoch that ended since is no reason of the others'.
        if (verifier.refusal(one.pem) !== one.why) continue;
        heard.push((now - one.at) / 1000);
        waiting.delete(one);
      }
      await sleep(interval);
    }
  })();
  const byAuthority = [];
  const pause = (POLLS * interval) / TRIALS;
  for (const [i, guest] of guests.entries()) {
    const { revoke, why, refused, isDelegated } = GRAINS[i % GRAINS.length];
    const keys = new Keys();
    const { userId: id } = (await guest.me()).json;
    const delegation = isDelegated ? (await expect(guest.post("/delegations", { delegate: id }), 200)).json.id : undefined;
    const { json } = await expect(mint(guest, keys, delegation), 200);
    const pem = json.certificates.signing;
    const one = { guest, id, keys, pem, serial: new X509Certificate(pem).serialNumber, delegation };
    await expect(revoke(one), 200);
    const at = performance.now();
    waiting.add({ pem, at, why });
    await refused(one);
    byAuthority.push((performance.now() - at) / 1000);
    await sleep(pause * 2 * Math.random());
  }
  isOver = true;
  await polling;
  await ours.stop();
  const bound = discovery.max_staleness_seconds;
  for (const [who, seconds] of [["the authority", byAuthority], ["a verifier", heard]]) {
    const [p50, p99, most] = [0.5, 0.99, 1].map((share) => quantile(seconds, share).toFixed(3));
    say(`${who.padEnd(14)} refuses after ${p50} s (p50), ${p99} s (p99), ${most} s (most), in ${seconds.length} trials`);
  }
  say(`  the verifier asks every ${interval / 1000} s; the published bound is ${bound} s`);
  const held = [["authority's p99 in seconds", byAuthority], ["verifier's p99 in seconds", heard]].map(([what, seconds]) => judge(what, quantile(seconds, 0.99), bound));
  return held.every(Boolean) && heard.length === TRIALS;
}

/** Signs a delegation with a pair, which the authority looks up. */
async function sign({ url }, pem, keys, delegate) {
  const post = async (path, body) => {
    const response = await fetch(url + path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    return { status: response.status, text: await response.text() };
  };
  const challenge = Buffer.from(JSON.parse((await post("/cert/challenge", {})).text).challenge, "base64url");
  const delegation = JSON.stringify({ delegate });
  const digest = (bytes) => createHash("sha256").update(bytes).digest();
  const message = Buffer.concat([Buffer.from("notme-delegation-v1\0"), challenge, digest(new X509Certificate(pem).raw), digest(delegation)]);
  const signature = signBytes(null, message, keys.signing.privateKey).toString("base64url");
  return post("/delegations", { proof: { type: "x509", chain: pem, signature }, challenge: challenge.toString("base64url"), delegation });
}

async function expect(answering, status) {
  const answer = await answering;
  if (answer.status !== status) throw new Error(`${answer.status} instead of ${status}: ${answer.text}`);
  return answer;
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => ((await bench()) ? 0 : 1));
}
