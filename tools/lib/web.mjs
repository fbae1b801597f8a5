// Builds what browsers load: pages, scripts, styles, and the manifest of what may be asked for.
//
//   build/web/manifest.json   which files may be asked for by name, with type and hash
//   build/web/pages/*.html    templates: the worker puts the authority's URL in
//   build/web/assets/*        files whose names have their hash
//   build/web/openapi.json    the API reference, for machines
import { createHash } from "node:crypto";
import { copyFileSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { Plain } from "./console.mjs";
import { NOTICE } from "./notices.mjs";
import { ROOT } from "./places.mjs";

/** The folder that the worker's binding `ASSETS` reads. */
export const WEB = "build/web";

const TYPES = {
  ".css": "text/css; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
  ".woff2": "font/woff2",
};

/**
 * @typedef {object} PageSource an entry of `web/pages.mjs`
 * @property {string} name the template's name; its content is `web/pages/NAME.html`
 * @property {string} title a name in `web/strings.ts`
 * @property {string} [script] in `web`
 * @property {string} style in `web`
 */

const read = (path) => readFileSync(join(ROOT, path), "utf8");
const escape = (text) =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;");

/** @returns {Promise<string>} the licences of other people's code in what browsers load */
export async function buildWeb() {
  // Not at the top: it may not be installed before `setup` has run.
  const esbuild = await import("esbuild");
  const { pages, assets } = await import(`${pathToFileURL(join(ROOT, "web/pages.mjs")).href}?${Date.now()}`);
  const entries = [...new Set([...pages.flatMap(({ script, style }) => [script, style]), ...assets].filter(Boolean))];
  const options = {
    absWorkingDir: ROOT,
    entryPoints: entries.map((path) => `web/${path}`),
    bundle: true,
    splitting: true,
    format: "esm",
    target: ["es2022", "chrome111", "firefox115", "safari16.4"],
    minify: true,
    charset: "utf8",
    legalComments: "none", // the notices have them
    outdir: join(WEB, "assets"),
    entryNames: "[name]-[hash]",
    chunkNames: "part-[hash]",
    assetNames: "[name]-[hash]",
    loader: { ".svg": "copy", ".woff2": "file" },
    metafile: true,
    write: false,
    logLevel: "silent",
  };
  /** @type {import("esbuild").BuildResult<typeof options>} */
  let result;
  try {
    result = await esbuild.build(options);
  } catch (error) {
    throw new Plain(`the web pages could not be built:\n\n${error.message}`);
  }
  const notices = licences(Object.keys(result.metafile.inputs));
  const files = new Map(result.outputFiles.map(({ path, contents }) => [basename(path), contents]));
  const noticesFile = `licences-${hashOf(notices).slice(0, 8)}.txt`;
  files.set(noticesFile, Buffer.from(notices));

  const outputs = Object.entries(result.metafile.outputs);
  /** @param {string} source in `web` */
  const made = (source) => {
    const found = outputs.find(([, { entryPoint }]) => entryPoint === `web/${source}`);
    if (!found) throw new Plain(`nothing was made of web/${source}`);
    return basename(found[0]);
  };
  /** What a script imports as it starts: the browser may fetch it at once. */
  const parts = (file) => {
    const found = new Set();
    const visit = (name) => {
      for (const { path, kind } of result.metafile.outputs[`${WEB}/assets/${name}`].imports) {
        if (kind !== "import-statement" || found.has(basename(path))) continue;
        found.add(basename(path));
        visit(basename(path));
      }
    };
    visit(file);
    return [...found];
  };
  const strings = await loadStrings(esbuild);

  rmSync(join(ROOT, WEB), { recursive: true, force: true });
  mkdirSync(join(ROOT, WEB, "assets"), { recursive: true });
  mkdirSync(join(ROOT, WEB, "pages"), { recursive: true });
  const manifest = { assets: {} };
  for (const [name, contents] of [...files].sort()) {
    const type = TYPES[extname(name)];
    if (!type) throw new Plain(`web: ${name} is of no known type`);
    writeFileSync(join(ROOT, WEB, "assets", name), contents);
    manifest.assets[name] = { file: `assets/${name}`, type, hash: hashOf(contents) };
  }
  for (const page of pages) {
    const script = page.script && made(page.script);
    const head = [
      `<link rel="icon" type="image/svg+xml" href="{{base}}/assets/${made("icon.svg")}">`,
      `<link rel="stylesheet" href="{{base}}/assets/${made(page.style)}">`,
      ...(script ? parts(script).map((part) => `<link rel="modulepreload" href="{{base}}/assets/${part}">`) : []),
      ...(script ? [`<script type="module" src="{{base}}/assets/${script}"></script>`] : []),
    ].join("\n");
    const values = { head, page: page.name, title: strings(page.title), licences: noticesFile };
    const body = fill(read(`web/pages/${page.name}.html`), values, strings);
    writeFileSync(join(ROOT, WEB, "pages", `${page.name}.html`), fill(read("web/layout.html"), { ...values, body }, strings));
  }
  copyFileSync(join(ROOT, "gen/openapi/openapi.json"), join(ROOT, WEB, "openapi.json"));
  writeFileSync(join(ROOT, WEB, "manifest.json"), JSON.stringify(manifest));
  return notices;
}

/** @param {string | Uint8Array} content */
const hashOf = (content) => createHash("sha256").update(content).digest("base64url").slice(0, 22);

/**
 * Puts values, which are HTML, and strings, which are text, in the place of their names in `[[…]]`.
 * @param {string} template
 * @param {Record<string, string>} values
 * @param {(name: string) => string} strings
 */
const fill = (template, values, strings) =>
  template.trim().replace(/\[\[([\w.]+)\]\]/g, (_, name) => values[name] ?? escape(strings(name)));

/** @param {typeof import("esbuild")} esbuild @returns {Promise<(name: string) => string>} */
async function loadStrings(esbuild) {
  const { code } = await esbuild.transform(read("web/strings.ts"), { loader: "ts", format: "esm" });
  const { strings } = await import(`data:text/javascript,${encodeURIComponent(code)}`);
  return (name) => {
    const text = name.split(".").reduce((at, key) => at?.[key], strings);
    if (typeof text !== "string") throw new Plain(`web/strings.ts has no ${name}`);
    return text;
  };
}

/** @param {string[]} inputs paths of what was bundled */
function licences(inputs) {
  const folders = new Map();
  for (const path of inputs) {
    const found = /^(.*node_modules\/((?:@[^/]+\/)?[^/]+))\//.exec(path);
    if (found) folders.set(found[2], join(ROOT, found[1]));
  }
  const texts = [...folders].sort().map(([name, folder]) => {
    const { version, license } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const files = existsSync(folder) ? readdirSync(folder).filter((file) => NOTICE.test(file)) : [];
    if (!files.length) throw new Plain(`${name} has no licence text, and what has none can't go into the pages`);
    // What was bundled before has the licences of what is in it beside it.
    const bundled = inputs.map((path) => `${path}.LICENSE.txt`).filter((path) => path.includes(`node_modules/${name}/`) && existsSync(join(ROOT, path)));
    const paths = [...files.map((file) => join(folder, file)), ...bundled.map((path) => join(ROOT, path))];
    const text = paths.map((path) => readFileSync(path, "utf8").trim()).join("\n\n");
    return `${"-".repeat(80)}\n${name} ${version}: ${license}\n\n${text}\n`;
  });
  return `The pages of notme are made with the work of other people.\n\n${texts.join("\n")}`;
}
