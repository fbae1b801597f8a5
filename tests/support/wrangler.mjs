// Plays the Workers host: wrangler's own runtime, with the same options as `launch` of plain workerd.
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { ROOT } from "../../tools/lib/places.mjs";
import { WEB } from "../../tools/lib/web.mjs";

/**
 * Starts `wrangler dev` on the built worker, from the example configuration.
 * @param {{ port: number, stateDir: string, vars: Record<string, string>, wrangler?: string }} options
 */
export function launchWrangler({ port, stateDir, vars, wrangler = "" }) {
  mkdirSync(stateDir, { recursive: true });
  // What is built is what is tested, and the variables are the test's own.
  const config = readFileSync(join(ROOT, "wrangler.toml.example"), "utf8")
    .replace(/^main = .*$/m, `main = ${JSON.stringify(join(ROOT, "src/entry.mjs"))}`)
    .replace(/^directory = .*$/m, `directory = ${JSON.stringify(join(ROOT, WEB))}`)
    .replace(/^\[build\]\n(?:(?!\[).*\n)*/m, "")
    .replace(/^\[vars\]\n[\s\S]*/m, "");
  const lines = Object.entries(vars).map(([name, value]) => `${name} = ${JSON.stringify(value)}`);
  const file = join(stateDir, "wrangler.toml");
  writeFileSync(file, `${config}\n${wrangler}\n[vars]\n${lines.join("\n")}\n`, { mode: 0o600 });
  const program = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
  const args = ["dev", "--config", file, "--port", String(port), "--ip", "127.0.0.1", "--persist-to", join(stateDir, "objects"), "--show-interactive-dev-session=false", "--inspector-port", "0"];
  const child = spawn(process.execPath, [program, ...args], {
    cwd: ROOT,
    // Wrangler runs workerd as a child of its own: a signal is for both.
    detached: true,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_LOG_PATH: join(stateDir, "logs"), CI: "true" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  child.kill = (signal) => {
    try {
      return process.kill(-child.pid, signal);
    } catch {
      return false; // they ended by themselves
    }
  };
  return child;
}
