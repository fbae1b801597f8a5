// `npm start`, as whoever types it meets it.
import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { existsSync, readdirSync } from "node:fs";
import { connect, createServer } from "node:net";
import { createServer as createHttpServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { ROOT } from "../tools/lib/places.mjs";
import { parsePort } from "../tools/lib/checks.mjs";
import { requireNode } from "../tools/lib/console.mjs";
import { ES256, Passkey } from "./support/authenticator.mjs";
import { Browser } from "./support/browser.mjs";
import { SECRETS, VARIABLES, misspelt, parseDevVars, resolveVariables } from "../tools/lib/variables.mjs";
import { COMPATIBILITY_DATE, OBJECTS } from "../tools/lib/workerd.mjs";
import { freePort } from "./support/authority.mjs";
import { begin, isAlive, until } from "./support/processes.mjs";

const READY = /notme is ready at http:\/\/localhost:\d+/;
const NO_STACK = /^\s+at .*\(?(file|node):/m;

let folder;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "notme-start-"));
});
after(() => rm(folder, { recursive: true, force: true }));

let count = 0;
/** An environment of its own for one test. */
async function place(changes = {}) {
  const home = join(folder, String((count += 1)));
  await mkdir(home);
  const port = await freePort();
  return {
    home,
    port,
    stateDir: join(home, "state"),
    env: {
      PORT: String(port),
      NOTME_STATE_DIR: join(home, "state"),
      NOTME_TEST_HOST: undefined,
      XDG_STATE_HOME: join(home, "xdg"),
      // Whoever runs the tests may have some set.
      ...Object.fromEntries(VARIABLES.map((name) => [name, undefined])),
      ...changes,
    },
  };
}

/** @param {string} stateDir */
const workerdPid = async (stateDir) => JSON.parse(await readFile(join(stateDir, "serving.json"), "utf8")).pid;

/** Runs `npm start` to the failure that is expected. */
async function fails(env, args = []) {
  const run = begin(process.execPath, [...args, "tools/start.mjs"], { env });
  try {
    const { code, output } = await run.ended;
    assert.equal(code, 1, output);
    assert.doesNotMatch(output, NO_STACK);
    return output;
  } finally {
    run.cleanUp();
  }
}

test("the code for the first administrator is printed until it is used, and kept", async () => {
  const { env, port } = await place();
  const printed = /^ {2}code {6}(([a-z2-9]{5}-){3}[a-z2-9]{5})$/m;
  const url = `http://localhost:${port}`;
  let code;
  for (const start of [1, 2, 3]) {
    const isArmed = start < 3;
    const run = begin("npm", ["start"], { env });
    try {
      await run.says(/Ctrl-C stops it/);
      const found = printed.exec(run.output());
      assert.equal(found !== null, isArmed, run.output());
      if (isArmed) assert.equal(found[1], code ??= found[1]);
      if (start === 2) {
        const registered = await new Browser({ url }).register(new Passkey(ES256), { wanted: { bootstrapCode: code } });
        assert.equal(registered.status, 200, registered.text);
      }
      run.signalGroup("SIGINT");
      await run.ended;
    } finally {
      run.cleanUp();
    }
  }
});

test("Ctrl-C ends npm start and everything it started, and leaves no note", async () => {
  const { env, stateDir, port } = await place();
  const run = begin("npm", ["start"], { env });
  try {
    await run.says(READY);
    const pid = await workerdPid(stateDir);
    assert.ok(isAlive(pid));
    assert.equal((await fetch(`http://localhost:${port}/.well-known/jwks.json`)).status, 200);
    run.signalGroup("SIGINT");
    await run.ended;
    assert.ok(!isAlive(pid));
    assert.ok(!existsSync(join(stateDir, "serving.json")));
    assert.doesNotMatch(run.output(), /ended by itself|npm error/);
  } finally {
    run.cleanUp();
  }
});

test("SIGTERM to start alone ends workerd, also while a client keeps its connection", async () => {
  const { env, stateDir, port } = await place();
  const run = begin(process.execPath, ["tools/start.mjs"], { env });
  try {
    await run.says(READY);
    const pid = await workerdPid(stateDir);
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("POST /cert/gha HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{");
    await until(() => socket.bytesWritten > 0, "the half request is sent");
    run.signal("SIGTERM");
    const { code } = await run.ended;
    assert.equal(code, 0);
    assert.ok(!isAlive(pid));
    socket.destroy();
  } finally {
    run.cleanUp();
  }
});

test("SIGTERM to npm ends workerd", async () => {
  const { env, stateDir } = await place();
  const run = begin("npm", ["start"], { env });
  try {
    await run.says(READY);
    const pid = await workerdPid(stateDir);
    run.signal("SIGTERM");
    await run.ended;
    await until(() => !isAlive(pid), "workerd ends", 10_000);
  } finally {
    run.cleanUp();
  }
});

test("when npm is killed outright, workerd ends too", async () => {
  const { env, stateDir } = await place();
  const run = begin("npm", ["start"], { env });
  try {
    await run.says(READY);
    const pid = await workerdPid(stateDir);
    run.signal("SIGKILL");
    await until(() => !isAlive(pid), "workerd ends", 15_000);
  } finally {
    run.cleanUp();
  }
});

test("workerd dying by itself ends start with a message", async () => {
  const { env, stateDir } = await place();
  const run = begin(process.execPath, ["tools/start.mjs"], { env });
  try {
    await run.says(READY);
    process.kill(await workerdPid(stateDir), "SIGKILL");
    const { code, output } = await run.ended;
    assert.equal(code, 1);
    assert.match(output, /workerd ended by itself \(SIGKILL\)/);
    assert.doesNotMatch(output, NO_STACK);
  } finally {
    run.cleanUp();
  }
});

test("a crash of start leaves a state that starts again, once its workerd is gone", async () => {
  const { env, stateDir, home } = await place();
  const first = begin(process.execPath, ["tools/start.mjs"], { env });
  let pid;
  try {
    await first.says(READY);
    pid = await workerdPid(stateDir);
    first.signal("SIGKILL");
    await until(() => !isAlive(first.pid), "start is gone");
    const output = await fails({ ...env, PORT: String(await freePort()) });
    assert.match(output, new RegExp(`already served at .* process ${pid}`));
  } finally {
    first.cleanUp();
  }
  await until(() => !isAlive(pid), "workerd is gone");
  const second = begin(process.execPath, ["tools/start.mjs"], { env });
  try {
    await second.says(READY);
    second.signal("SIGINT");
    assert.equal((await second.ended).code, 0);
  } finally {
    second.cleanUp();
  }
  assert.ok(existsSync(join(home, "state")));
});

test("the second start builds nothing, and takes the same generated secret", async () => {
  const { env, home } = await place();
  const wasm = join(ROOT, "build/index_bg.wasm");
  const secrets = () => readdirSync(join(home, "xdg/notme")).map((name) => join(home, "xdg/notme", name, "kek-secret"));
  const values = [];
  const built = [];
  for (const round of [1, 2]) {
    const run = begin(process.execPath, ["tools/start.mjs"], { env });
    try {
      await run.says(READY);
      const [path, ...others] = secrets();
      assert.equal(others.length, 0);
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      const value = (await readFile(path, "utf8")).trim();
      assert.ok(value.length >= 32);
      values.push(value);
      built.push((await stat(wasm)).mtimeMs);
      run.signal("SIGINT");
      const { output } = await run.ended;
      assert.ok(output.includes(path), "the path is told");
      assert.ok(!output.includes(value), "the value is not");
      if (round === 2) {
        assert.match(output, /up to date/);
        assert.doesNotMatch(output, /Installing|Building|made now/);
      }
    } finally {
      run.cleanUp();
    }
  }
  assert.equal(values[0], values[1]);
  assert.equal(built[0], built[1]);
});

test("a secret that was given is used, and none is made", async () => {
  const secret = "given-by-the-environment-0123456789";
  const { env, home } = await place({ NOTME_KEK_SECRET: secret });
  const run = begin(process.execPath, ["tools/start.mjs"], { env });
  try {
    await run.says(READY);
    assert.ok(!readdirSync(join(home, "xdg"), { recursive: true }).some((path) => path.endsWith("kek-secret")));
    assert.ok(!run.output().includes(secret));
    assert.match(run.output(), /NOTME_KEK_SECRET that was given/);
  } finally {
    run.signal("SIGINT");
    await run.ended;
  }
});

test("a taken port is told, with the way out", async () => {
  for (const host of ["127.0.0.1", "0.0.0.0", "::1"]) {
    const server = createServer();
    const listening = await new Promise((resolve) => {
      server.once("error", () => resolve(false));
      server.listen({ port: 0, host }, () => resolve(true));
    });
    if (!listening && host === "::1") continue;
    const { port } = server.address();
    try {
      const { env } = await place({ PORT: String(port) });
      const output = await fails(env);
      assert.match(output, new RegExp(`port ${port} is taken by another program.*PORT=\\d+ npm start`));
      assert.doesNotMatch(output, /Installing|Building|up to date/, "told at once");
    } finally {
      server.close();
    }
  }
});

test("a PORT that is none is told", async () => {
  const { env } = await place({ PORT: "eighty" });
  assert.match(await fails(env), /PORT=eighty is not a port/);
  for (const bad of ["0", "65536", "-1", "1.5", "1e3", " 80"]) assert.throws(() => parsePort(bad), /not a port/);
  assert.equal(parsePort(undefined), 8788);
  assert.equal(parsePort("65535"), 65_535);
});

test("a state folder that cannot be written is told", async (t) => {
  const { env, home } = await place();
  const file = join(home, "file");
  await writeFile(file, "");
  assert.match(await fails({ ...env, NOTME_STATE_DIR: file }), /state folder .* cannot be written: a file is in the way.*NOTME_STATE_DIR=/);
  assert.match(await fails({ ...env, NOTME_STATE_DIR: join(file, "state") }), /cannot be written: a file is in the way/);
  if (process.platform === "linux") {
    // Here not even root can make a folder.
    assert.match(await fails({ ...env, NOTME_STATE_DIR: "/proc/notme" }), /state folder \/proc\/notme cannot be written/);
  }
  if (process.getuid() === 0) return t.diagnostic("root may write everywhere: the folder without permission was left out");
  const closed = join(home, "closed");
  await mkdir(closed, { mode: 0o555 });
  assert.match(await fails({ ...env, NOTME_STATE_DIR: join(closed, "state") }), /permission denied/);
});

test("a Node that is too old is told before anything else happens", async () => {
  const { env, stateDir } = await place();
  const older = `Object.defineProperty(process, "versions", { value: { ...process.versions, node: "18.20.4" } });`;
  const output = await fails(env, ["--import", `data:text/javascript,${encodeURIComponent(older)}`]);
  assert.match(output, /Node 18\.20\.4 is too old: notme needs Node 20 or newer/);
  assert.ok(!existsSync(stateDir));
  assert.throws(() => requireNode("9.11.2"), /too old/);
  assert.doesNotThrow(() => requireNode("20.0.0"));
  assert.doesNotThrow(() => requireNode("100.1.0"));
});

test("an authority that refuses to serve stops start, with its reason and its last words", async () => {
  const { env, home, stateDir } = await place();
  const copy = join(home, "copy");
  await copyOfCheckout(copy);
  await pretend(copy, `
    console.log(JSON.stringify({ level: "error", event: "the log tells more" }));
    return Response.json({ error: "NOTME_KEK_SECRET does not open this state", code: "kek" }, { status: 503 });`);
  const run = begin(process.execPath, ["tools/start.mjs"], { env, cwd: copy });
  try {
    const { code, output } = await run.ended;
    assert.equal(code, 1);
    assert.match(output, /the authority does not start: NOTME_KEK_SECRET does not open this state \(status 503\)/);
    assert.match(output, /last words:\n.*the log tells more/);
    assert.doesNotMatch(output, READY);
    assert.doesNotMatch(output, NO_STACK);
    assert.ok(!existsSync(join(stateDir, "serving.json")));
  } finally {
    run.cleanUp();
  }
});

test("the worker gets its variables, and reaches loopback only if its issuer is there", async () => {
  const { env, home, port } = await place();
  const copy = join(home, "copy");
  await copyOfCheckout(copy);
  await pretend(copy, `
    const issuer = await fetch(request.headers.get("x-issuer") ?? "http://127.0.0.1:9").then((r) => r.text(), () => "out of reach");
    return Response.json({ issuer, owners: env.GHA_ALLOWED_OWNERS, site: env.SITE_URL, unset: env.GHA_ALLOWED_REFS ?? null });`);
  const issuer = createHttpServer((_, response) => response.end("the issuer")).listen(0, "127.0.0.1");
  await new Promise((resolve) => issuer.once("listening", resolve));
  const address = `http://127.0.0.1:${issuer.address().port}`;
  try {
    for (const [configured, expected] of [[address, "the issuer"], ["https://token.example.org", "out of reach"]]) {
      const changes = { GHA_ISSUER: configured, GHA_ALLOWED_OWNERS: "octo-org" };
      const run = begin(process.execPath, ["tools/start.mjs"], { env: { ...env, ...changes }, cwd: copy });
      try {
        await run.says(READY);
        const answer = await fetch(`http://localhost:${port}/`, { headers: { "x-issuer": address } });
        assert.deepEqual(await answer.json(), { issuer: expected, owners: "octo-org", site: `http://localhost:${port}`, unset: null });
      } finally {
        run.signal("SIGINT");
        await run.ended;
      }
    }
  } finally {
    issuer.close();
  }
});

test("an issuer on loopback is told, another is not", async () => {
  for (const [issuer, expected] of [["http://127.0.0.1:9", true], ["https://token.example.org", false]]) {
    const { env, stateDir } = await place({ GHA_ISSUER: issuer, GHA_ALLOWED_OWNERS: "octo-org" });
    const run = begin(process.execPath, ["tools/start.mjs"], { env });
    try {
      await run.says(READY);
      assert.equal(/may reach servers on loopback/.test(run.output()), expected);
      assert.match(run.output(), /workflows of the GitHub owners octo-org/);
      const config = await readFile(join(stateDir, "workerd.capnp"), "utf8");
      assert.equal(config.includes('"local"'), expected);
    } finally {
      run.signal("SIGINT");
      await run.ended;
    }
  }
});

test("the environment wins over .dev.vars, which wins over defaults", async () => {
  const path = join((await place()).home, ".dev.vars");
  await writeFile(path, `# local\nGHA_ALLOWED_OWNERS=from-file # why\nGHA_CERT_AUDIENCE="from file"\nOTHER=1\nSITE_URL='https://a.example'\n`);
  const values = resolveVariables({
    env: { GHA_ALLOWED_OWNERS: "from-env", GHA_ALLOWED_REFS: "", OTHER: "2" },
    devVarsPath: path,
    origin: "http://localhost:1",
  });
  assert.deepEqual(values, {
    SITE_URL: "https://a.example",
    SIGNET_AUTHORITY_URL: "http://localhost:1",
    GHA_CERT_AUDIENCE: "from file",
    GHA_ALLOWED_OWNERS: "from-env",
    GHA_ALLOWED_REFS: "",
  });
  const none = resolveVariables({ env: {}, devVarsPath: `${path}.none`, origin: "http://localhost:1" });
  assert.deepEqual(none, { SITE_URL: "http://localhost:1", SIGNET_AUTHORITY_URL: "http://localhost:1" });
});

test("lines of .dev.vars are read as wrangler reads them", () => {
  assert.deepEqual(parseDevVars(`A=1\r\nexport B = two words \n C="x # y" # z\nD='it "is"'\nE=\nF=a#b\nG= # only a comment\n#H=1\n`), {
    A: "1",
    B: "two words",
    C: "x # y",
    D: 'it "is"',
    E: "",
    F: "a#b",
    G: "",
  });
});

test("what is misspelt is told, not ignored", async () => {
  const path = join((await place()).home, ".dev.vars");
  for (const [text, env, expected] of [
    ["GHA_ALLOWED_REF=refs/heads/main\n", {}, /GHA_ALLOWED_REF in .*\.dev\.vars is no variable of notme/],
    ["", { NOTME_KEK: "x" }, /NOTME_KEK in the environment is no variable of notme/],
    ["A=1\nnonsense\n", {}, /line 2, is no NAME=value/],
  ]) {
    await writeFile(path, text);
    assert.throws(() => resolveVariables({ env, devVarsPath: path, origin: "http://localhost:1" }), expected);
  }
});

test("what the commands read themselves is no mistake", () => {
  const names = ["NOTME_CACHE_DIR", "NOTME_STATE_DIR", "NOTME_TEST_CERTIFICATES", "NOTME_TEST_HOST", "NOTME_TOOLCHAIN", "NOTME_WRITE_DOCS", ...VARIABLES];
  assert.deepEqual(misspelt([...names, "PATH"]), []);
});

test("the trust domain is that of the authority, if no site is given", () => {
  const env = { SIGNET_AUTHORITY_URL: "https://id.example.com" };
  const values = resolveVariables({ env, devVarsPath: "/nowhere/.dev.vars", origin: "http://localhost:1" });
  assert.equal(values.SITE_URL, "https://id.example.com");
});

test("a state is served under the URL that it was made for", async () => {
  const { env, stateDir, port } = await place();
  const run = begin(process.execPath, ["tools/start.mjs"], { env });
  try {
    await run.says(READY);
  } finally {
    run.signal("SIGINT");
    await run.ended;
  }
  const other = await fails({ ...env, PORT: String(await freePort()) });
  assert.match(other, new RegExp(`was made for http://localhost:${port}, .*Start it with PORT=${port}`));
  // Moved, it has lost its secret, and is told where that is.
  const moved = `${stateDir}-moved`;
  await cp(stateDir, moved, { recursive: true });
  const told = await fails({ ...env, NOTME_STATE_DIR: moved });
  const [, command] = /(mkdir -p \S+ && cp -p \S+ \S+)/.exec(told);
  assert.equal((await begin("sh", ["-c", command]).ended).code, 0);
  const again = begin(process.execPath, ["tools/start.mjs"], { env: { ...env, NOTME_STATE_DIR: moved } });
  try {
    await again.says(READY);
    assert.doesNotMatch(again.output(), /made now/);
  } finally {
    again.signal("SIGINT");
    await again.ended;
  }
});

test("wrong variables are told by name, as a list", async () => {
  const { env } = await place({ GHA_ALLOWED_OWNERS: "*", GHA_CERT_TTL_MS: "1" });
  const output = await fails(env);
  assert.match(output, /does not start:\n {2}- GHA_CERT_TTL_MS must be .*\n {2}- GHA_ALLOWED_OWNERS must list names/);
});

test("a place for secrets that cannot be made is told", async () => {
  const output = await fails((await place({ XDG_STATE_HOME: "/proc/nope" })).env);
  assert.match(output, /the secret \/proc\/nope\S+ could not be made/);
});

test("a checkout with .dev.vars starts with its values", async () => {
  const { env, home, stateDir } = await place();
  const copy = join(home, "copy");
  await copyOfCheckout(copy);
  const lines = [`PORT=${env.PORT}`, `NOTME_STATE_DIR=${env.NOTME_STATE_DIR}`, "GHA_ALLOWED_OWNERS=file-org", "NOTME_KEK_SECRET=from-the-file-0123456789-0123456789"];
  await writeFile(join(copy, ".dev.vars"), `${lines.join("\n")}\n`);
  env.PORT = env.NOTME_STATE_DIR = undefined;
  for (const [changes, owner] of [[{}, "file-org"], [{ GHA_ALLOWED_OWNERS: "env-org" }, "env-org"]]) {
    const run = begin(process.execPath, ["tools/start.mjs"], { env: { ...env, ...changes }, cwd: copy });
    try {
      await run.says(READY);
      assert.match(run.output(), new RegExp(`owners ${owner}`));
      assert.match(run.output(), /NOTME_KEK_SECRET that was given/);
      assert.doesNotMatch(run.output(), /Building/);
    } finally {
      run.signal("SIGINT");
      await run.ended;
    }
  }
  assert.ok(existsSync(stateDir));
});

test("wrangler deploy --dry-run works from the unedited example", async () => {
  const { home } = await place();
  const copy = join(home, "copy");
  await copyOfCheckout(copy);
  await cp(join(ROOT, "wrangler.toml.example"), join(copy, "wrangler.toml"));
  const run = begin("npm", ["run", "deploy:check"], { cwd: copy, env: { CLOUDFLARE_API_TOKEN: undefined } });
  try {
    const { code, output } = await run.ended;
    assert.equal(code, 0, output);
    for (const { binding } of OBJECTS) assert.ok(output.includes(binding), output);
    assert.match(output, /--dry-run: exiting now/);
    assert.doesNotMatch(output, /WARNING/i);
  } finally {
    run.cleanUp();
  }
});

test("wrangler dev serves the unedited example, and Ctrl-C ends it", async () => {
  const { home, port } = await place();
  const copy = join(home, "copy");
  await copyOfCheckout(copy);
  await cp(join(ROOT, "wrangler.toml.example"), join(copy, "wrangler.toml"));
  await writeFile(join(copy, ".dev.vars"), "NOTME_KEK_SECRET=from-the-file-0123456789-0123456789\n");
  const env = { WRANGLER_SEND_METRICS: "false", CLOUDFLARE_CF_FETCH_ENABLED: "false" };
  const run = begin("npx", ["wrangler", "dev", "--port", String(port)], { cwd: copy, env });
  try {
    await run.says(/Ready on http:\/\/localhost:/);
    assert.equal((await fetch(`http://localhost:${port}/.well-known/jwks.json`)).status, 200);
    run.signalGroup("SIGINT");
    await run.ended;
    await assert.rejects(fetch(`http://localhost:${port}/`));
  } finally {
    run.cleanUp();
  }
});

test("wrangler.toml.example names exactly the variables and objects that there are", async () => {
  const text = await readFile(join(ROOT, "wrangler.toml.example"), "utf8");
  const named = [...text.matchAll(/^(?:# )?([A-Z][A-Z0-9_]+) = "/gm)].map((match) => match[1]);
  const secret = [...text.matchAll(/^# Set it by: npx wrangler secret put (\S+)$/gm)].map((match) => match[1]);
  assert.deepEqual([...named, ...secret].sort(), [...VARIABLES].sort());
  assert.deepEqual(secret, [...SECRETS]);
  assert.equal(text.match(/^# Unit: /gm).length, VARIABLES.length, "each has a unit");
  assert.equal(text.match(/Default: /g).length, VARIABLES.length, "each has a default");

  const names = (key) => [...text.matchAll(new RegExp(`^${key} = "(.+)"$`, "gm"))].map((match) => match[1]);
  assert.deepEqual(names("class_name"), OBJECTS.map((object) => object.className));
  assert.deepEqual([...text.matchAll(/^new_sqlite_classes = \[(.*)\]$/gm)].flatMap((match) => JSON.parse(`[${match[1]}]`)), OBJECTS.map((object) => object.className));
  assert.match(text, new RegExp(`^compatibility_date = "${COMPATIBILITY_DATE}"$`, "m"));
});

/** What a start needs of the checkout, for tests that put files into it; packages are shared. */
async function copyOfCheckout(copy) {
  await mkdir(copy);
  const kept = ["Cargo.toml", "Cargo.lock", "rust-toolchain.toml", "package.json", "package-lock.json", "src", "durable", "crates", "gen", "schema", "tools", "web", "build"];
  for (const name of kept) {
    const from = join(ROOT, name);
    if (existsSync(from)) await cp(from, join(copy, name), { recursive: true, preserveTimestamps: true });
  }
  await symlink(join(ROOT, "node_modules"), join(copy, "node_modules"));
}

/** Puts another worker in the place of the authority's, as if it had just been built. */
async function pretend(copy, body) {
  const classes = OBJECTS.map((object) => `export class ${object.className} extends DurableObject {}`).join("\n");
  await writeFile(
    join(copy, "src/entry.mjs"),
    `import { DurableObject } from "cloudflare:workers";\n${classes}\nexport default { async fetch(request, env) {${body}\n} };\n`,
  );
  const { STAMP, fingerprint } = await import(pathToFileURL(join(copy, "tools/build.mjs")).href);
  await writeFile(join(copy, STAMP), fingerprint(process.env));
}

test("an empty secret is named, and nothing is sealed with it", async () => {
  const { env, home } = await place();
  const first = begin(process.execPath, ["tools/start.mjs"], { env });
  try {
    await first.says(READY);
    first.signalGroup("SIGINT");
    await first.ended;
  } finally {
    first.cleanUp();
  }
  const [folderName] = readdirSync(join(home, "xdg/notme"));
  assert.deepEqual(readdirSync(join(home, "xdg/notme", folderName)), ["bootstrap-code", "kek-secret"], "no draft is left");
  await writeFile(join(home, "xdg/notme", folderName, "kek-secret"), "");
  assert.match(await fails(env), /the secret .*kek-secret is empty/);
});

test("a state is served once, by whatever name", async () => {
  const { env, home, stateDir } = await place();
  const first = begin(process.execPath, ["tools/start.mjs"], { env });
  try {
    await first.says(READY);
    await symlink(stateDir, join(home, "link"));
    const output = await fails({ ...env, PORT: String(await freePort()), NOTME_STATE_DIR: join(home, "link") });
    assert.match(output, /is already served at/);
  } finally {
    first.signalGroup("SIGINT");
    await first.ended;
    first.cleanUp();
  }
});
