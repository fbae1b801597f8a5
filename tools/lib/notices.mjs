// The licence notices of what is compiled into the worker.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { Plain, run } from "./console.mjs";
import { ROOT } from "./places.mjs";
import { WASM } from "./toolchain.mjs";

/** Files in which licences are. */
export const NOTICE = /^(licen[cs]e|copying|copyright|notice|unlicense)/i;

/**
 * Every crate that the worker is linked from, with its licence and the texts that it ships.
 * @param {NodeJS.ProcessEnv} env
 */
export async function notices(env) {
  const args = ["metadata", "--format-version=1", "--locked", `--filter-platform=${WASM}`];
  const { code, output } = await run("cargo", args, { cwd: ROOT, env: { ...env, CARGO_TERM_QUIET: "true" }, what: "reading the crates' licences" });
  if (code !== 0) throw new Plain(`the crates' licences could not be read:\n\n${output}`);
  const metadata = JSON.parse(output.slice(output.indexOf("{")));
  const packages = new Map(metadata.packages.map((one) => [one.id, one]));
  const nodes = new Map(metadata.resolve.nodes.map((one) => [one.id, one]));
  const linked = new Set();
  /** @param {string} id */
  const visit = (id) => {
    if (linked.has(id)) return;
    linked.add(id);
    for (const { pkg, dep_kinds } of nodes.get(id).deps) if (dep_kinds.some(({ kind }) => kind === null)) visit(pkg);
  };
  visit(metadata.resolve.root);
  const foreign = [...linked].map((id) => packages.get(id)).filter(({ source }) => source !== null);
  foreign.sort((a, b) => (a.name < b.name ? -1 : 1));
  /** @type {Map<string, string[]>} the same text is printed once, under all that have it */
  const texts = new Map();
  for (const { name, version, manifest_path } of foreign) {
    const folder = dirname(manifest_path);
    const files = existsSync(folder) ? readdirSync(folder).filter((file) => NOTICE.test(file)) : [];
    for (const file of files) {
      const text = readFileSync(join(folder, file), "utf8").trim();
      texts.set(text, [...(texts.get(text) ?? []), `${name} ${version}`]);
    }
  }
  const list = foreign.map(({ name, version, license }) => `${name} ${version}: ${license}`).join("\n");
  const bodies = [...texts].map(([text, names]) => `${"-".repeat(80)}\n${names.join(", ")}\n\n${text}\n`).join("\n");
  return `notme is compiled from these crates of other people.\n\n${list}\n\n${bodies}`;
}
