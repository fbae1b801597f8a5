// nginx in front of an authority, with the configuration that the documentation gives.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { ROOT } from "../../tools/lib/places.mjs";
import { freePort } from "./authority.mjs";

const alive = new Set();
process.on("exit", () => {
  for (const child of alive) child.kill("SIGKILL");
});

/** The server of docs/doors.md, its names and numbers changed. */
function documented(changes) {
  const page = readFileSync(join(ROOT, "docs/doors.md"), "utf8");
  let [, text] = /^```nginx\n([^]*?)^```$/m.exec(page);
  for (const [from, to] of changes) {
    if (text.split(from).length !== 2) throw new Error(`the documented configuration has no ${from}`);
    text = text.replace(from, to);
  }
  return text;
}

/**
 * @param {object} options
 * @param {{ port: number }} options.authority
 * @param {string} options.secret
 * @param {{ certificate: string, key: string, clientCa: string }} options.files
 * @param {string} [options.verify] what nginx itself makes of client certificates
 */
export async function startNginx({ authority, secret, files, verify = "optional" }) {
  const folder = mkdtempSync(join(tmpdir(), "notme-nginx-"));
  const port = await freePort();
  const server = documented([
    ["listen 443 ssl;", `listen 127.0.0.1:${port} ssl;`],
    ["ssl_certificate server.pem;", `ssl_certificate ${files.certificate};`],
    ["ssl_certificate_key server.key;", `ssl_certificate_key ${files.key};`],
    ["ssl_client_certificate client-ca.pem;", `ssl_client_certificate ${files.clientCa};`],
    ["ssl_verify_client optional;", `ssl_verify_client ${verify};`],
    ["http://127.0.0.1:8788;", `http://127.0.0.1:${authority.port};`],
    ['"…";', `"${secret}";`],
  ]);
  const temporary = ["client_body", "proxy", "fastcgi", "scgi", "uwsgi"].map((name) => `${name}_temp_path ${join(folder, name)};`);
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off; master_process off; pid ${join(folder, "pid")}; error_log stderr;\nevents {}\nhttp {\naccess_log off;\n${temporary.join("\n")}\n${server}}\n`,
  );
  const child = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"], { stdio: ["ignore", "pipe", "pipe"] });
  alive.add(child);
  let log = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (log += chunk));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  void ended.then(() => alive.delete(child));
  for (let tries = 0; !(await listens(port)); tries++) {
    if (tries > 200 || child.exitCode !== null) throw new Error(`nginx did not start:\n${log}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    port,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const listens = (port) =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => resolve(true) || socket.destroy());
    socket.once("error", () => resolve(false));
  });
