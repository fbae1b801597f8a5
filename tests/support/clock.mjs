// workerd under a wall clock that a test sets, so that what takes an hour is over in a moment. Its code is what it is
// elsewhere: a library in front of the C library tells it the time.
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { onPath, ROOT } from "../../tools/lib/places.mjs";
import { THROUGH_WRANGLER } from "./authority.mjs";

/** Why there can be no such clock here, if so. */
export const noClock = process.platform !== "linux" ? "only Linux has it" : !onPath("cc") ? "there is no C compiler" : THROUGH_WRANGLER && "its workerd is started by wrangler";

/** A clock, as the machine's until it is set. */
export class Clock {
  #folder = mkdtempSync(join(tmpdir(), "notme-clock-"));
  #file = join(this.#folder, "ahead");
  /** How far ahead it is, in seconds. */
  ahead = 0;

  constructor() {
    const library = join(this.#folder, "clock.so");
    execFileSync("cc", ["-shared", "-fPIC", "-O1", "-o", library, join(ROOT, "tests/support/clock.c"), "-ldl"]);
    this.set(0);
    /** What workerd has to have in its environment. */
    this.vars = { LD_PRELOAD: library, WALL_CLOCK_FILE: this.#file };
  }

  /** Sets it so many seconds ahead of the machine's. */
  set(seconds) {
    this.ahead = seconds;
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    // In place: it is mapped.
    writeFileSync(this.#file, bytes, { flag: this.vars ? "r+" : "w" });
  }

  /** Lets so many seconds pass. */
  pass = (seconds) => this.set(this.ahead + seconds);

  /** What it says, in Unix seconds. */
  now = () => Math.floor(Date.now() / 1000) + this.ahead;

  remove = () => rmSync(this.#folder, { recursive: true });
}
