// `node bench/login.mjs`: what signing in with a passkey costs, beside the floor, in one run. The floor is
// one P-256 verification, one object hop and one write, which is what the request that ends the ceremony has to do.
// The request that begins it verifies and writes nothing: the floor of that is random bytes. Both are judged: the last
// request by itself, and both together.
//
//   node bench/login.mjs --quick   one short round, to see that it works
import process from "node:process";
import { build } from "../tools/build.mjs";
import { isMain, main, say, stopOnSignals } from "../tools/lib/console.mjs";
import { setup } from "../tools/setup.mjs";
import { ES256, Passkey } from "../tests/support/authenticator.mjs";
import { Browser, CODE } from "../tests/support/browser.mjs";
import { cpu, fire, judge, median, startFloor, startOurs } from "./lib.mjs";

/** A sign-in's CPU, in floors. */
const AIM = 2;
const QUICK = process.argv.includes("--quick");
// Many short rounds: what else the machine does weighs on both of a round alike, and the median forgets the rest.
const ROUNDS = QUICK ? 1 : 41;
const LOGINS = QUICK ? 50 : 100;
const WARM_UP = QUICK ? 50 : 1000;
const VERIFY = "/auth/passkey/login/verify";

async function bench() {
  await build(await setup());
  const ours = await startOurs({ BOOTSTRAP_CODE: CODE }, "localhost");
  const browser = new Browser(ours);
  const passkey = new Passkey(ES256);
  const registered = await browser.register(passkey);
  if (registered.status !== 200) throw new Error(registered.text);
  const floor = await startFloor("login-floor", { "key.json": JSON.stringify(passkey.publicKey.export({ format: "jwk" })) });

  const headers = { origin: ours.url, "sec-fetch-site": "same-origin" };
  /** Logins up to their last request, and what asking for the options cost. */
  const prepare = async (count) => {
    const before = cpu(ours.pid);
    const challenges = [];
    for (let i = 0; i < count; i++) challenges.push((await new Browser(ours).post("/auth/passkey/login/options")).json.challenge);
    const options = (cpu(ours.pid) - before) / count;
    const requests = challenges.map((challenge) => ({ headers, body: JSON.stringify({ response: JSON.parse(passkey.authenticate(browser.ceremony(challenge))) }) }));
    return { options, requests };
  };
  const run = async (kind, requests) => {
    const before = cpu(kind.pid);
    const { statuses } = await fire(kind.url, requests, 16, VERIFY);
    if (statuses[200] !== requests.length) throw new Error(`not every sign-in succeeded: ${JSON.stringify(statuses)}`);
    return (cpu(kind.pid) - before) / requests.length;
  };

  const warm = await prepare(WARM_UP);
  for (const kind of [floor, ours]) await run(kind, warm.requests);
  /** What a request for a challenge costs the floor. */
  const ask = async (count) => {
    const before = cpu(floor.pid);
    for (let i = 0; i < count; i++) await new Browser(floor).post("/options");
    return (cpu(floor.pid) - before) / count;
  };
  const rounds = [];
  for (let round = 0; round < ROUNDS; round++) {
    const { options, requests } = await prepare(LOGINS);
    const order = round % 2 ? ["ours", "floor"] : ["floor", "ours"];
    const measured = { options, challenge: await ask(LOGINS) };
    for (const name of order) measured[name] = await run({ floor, ours }[name], requests);
    rounds.push(measured);
  }
  for (const name of ["floor", "ours", "options", "challenge"]) say(`${name.padEnd(9)} ${median(rounds.map((round) => round[name])).toFixed(2)} CPU ms`);
  const ratios = rounds.map((round) => round.ours / round.floor);
  say(`  ratio, round by round: median ${median(ratios).toFixed(2)} (${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)})`);
  say(`  "options" begins the ceremony; "challenge" is the least that it could be, random bytes`);
  const both = rounds.map((round) => (round.ours + round.options) / (round.floor + round.challenge));
  await floor.stop();
  await ours.stop();
  const ends = judge("ratio of the request that ends a sign-in", median(ratios), AIM);
  return judge("ratio of both requests", median(both), AIM) && ends;
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => {
    return (await bench()) ? 0 : 1;
  });
}
