// `node bench/lists.mjs`: what each list and search page takes of a small authority and of a large one.
//
// Only the ratio means anything: both authorities run at the same time, and are asked in turn.
import { performance } from "node:perf_hooks";
import { build } from "../tools/build.mjs";
import { isMain, main, say, stopOnSignals } from "../tools/lib/console.mjs";
import { setup } from "../tools/setup.mjs";
import { startAuthority } from "../tests/support/authority.mjs";
import { ES256, Passkey } from "../tests/support/authenticator.mjs";
import { Browser, CODE } from "../tests/support/browser.mjs";
import { addCrowd, searches } from "../tests/support/crowd.mjs";
import { judge, median } from "./lib.mjs";

const ROUNDS = 41;
/** What a page of the large authority takes, in pages of the small one. */
const AIM = 3;
const SMALL = { people: 1000, lines: 1000, credentials: 1000, invites: 1000 };
const LARGE = { people: 100_000, lines: 1_000_000, credentials: 1_000_000, invites: 5000 };

async function crowded(counts) {
  const authority = await startAuthority({ vars: { BOOTSTRAP_CODE: CODE } });
  const browser = new Browser(authority);
  await browser.register(new Passkey(ES256));
  await authority.kill9();
  addCrowd(authority.stateDir, counts);
  await authority.restart();
  const get = async (path) => {
    const began = performance.now();
    const { status, text, json } = await browser.call("GET", path);
    if (status !== 200) throw new Error(`${path}: ${text}`);
    return { time: performance.now() - began, json };
  };
  return { authority, get };
}

async function bench() {
  await build(await setup());
  say("Seeding 1,000 and 100,000 principals, 1,000 and 1,000,000 lines and credentials …");
  const small = await crowded(SMALL);
  const large = await crowded(LARGE);
  say("");
  say(`${"ms, median".padEnd(12)}${"1,000".padStart(8)}${"large".padStart(8)}${"ratio".padStart(8)}`);
  let worst = 0;
  for (const path of searches()) {
    // The second page too: it begins in the middle.
    const { json } = await large.get(path);
    const cursor = { small: (await small.get(path)).json.next, large: json.next };
    for (const page of cursor.small && cursor.large ? [1, 2] : [1]) {
      const times = { small: [], large: [] };
      for (let i = 0; i < ROUNDS; i++) {
        for (const [name, one] of Object.entries({ small, large })) {
          times[name].push((await one.get(page === 1 ? path : `${path}&cursor=${cursor[name]}`)).time);
        }
      }
      const [a, b] = [median(times.small), median(times.large)];
      worst = Math.max(worst, b / a);
      say(`${"".padEnd(12)}${a.toFixed(2).padStart(8)}${b.toFixed(2).padStart(8)}${(b / a).toFixed(2).padStart(8)}  ${path}${page === 2 ? " (second page)" : ""}`);
    }
  }
  say("");
  for (const { authority } of [small, large]) await authority.stop();
  return judge("worst ratio", worst, AIM);
}

if (isMain(import.meta.url)) {
  stopOnSignals();
  await main(async () => {
    return (await bench()) ? 0 : 1;
  });
}
