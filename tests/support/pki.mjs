// Certificate authorities of others: OpenSSL makes their keys and certificates.
import { execFileSync } from "node:child_process";
import { X509Certificate, createHash, createPrivateKey, sign } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Whom a leaf is for where nobody says. */
export const SVID = "spiffe://td.example/ns/agents/sa/web";

/** A folder of keys and certificates. */
export class Pki {
  folder = mkdtempSync(join(tmpdir(), "notme-x509-"));
  count = 0;

  openssl = (...args) => execFileSync("openssl", args, { cwd: this.folder, stdio: ["ignore", "pipe", "pipe"] });
  remove = () => rmSync(this.folder, { recursive: true });

  key(kind = "ec") {
    const name = `key-${this.count++}.pem`;
    const how = { ec: ["EC", "ec_paramgen_curve:P-256"], p384: ["EC", "ec_paramgen_curve:P-384"], rsa: ["RSA", "rsa_keygen_bits:2048"], ed25519: ["ED25519"] }[kind];
    this.openssl("genpkey", "-algorithm", how[0], ...(how[1] ? ["-pkeyopt", how[1]] : []), "-out", name);
    return name;
  }

  /** A certificate, by `issuer` or by itself; `printable` is how Go writes its subject: as PrintableString, where OpenSSL has UTF8String. */
  certificate({ subject, extensions, issuer, kind, days = 2, printable = false }) {
    const [name, key] = [`cert-${this.count++}`, this.key(kind)];
    writeFileSync(join(this.folder, `${name}.ext`), `subjectKeyIdentifier=hash\n${issuer ? "authorityKeyIdentifier=keyid:always\n" : ""}${extensions.join("\n")}\n`);
    if (printable) writeFileSync(join(this.folder, "printable.cnf"), "[req]\ndistinguished_name = name\nstring_mask = pkix\n[name]\n");
    this.openssl("req", "-new", "-key", key, "-subj", subject, ...(printable ? ["-config", "printable.cnf"] : []), "-out", `${name}.csr`);
    const by = issuer ? ["-CA", issuer.file, "-CAkey", issuer.key] : ["-signkey", key];
    const serial = `0x7${createHash("sha256").update(name).digest("hex").slice(0, 30)}`;
    this.openssl("x509", "-req", "-in", `${name}.csr`, ...by, "-set_serial", serial, "-days", String(days), "-extfile", `${name}.ext`, "-out", `${name}.pem`);
    const pem = readFileSync(join(this.folder, `${name}.pem`), "utf8");
    const secret = createPrivateKey(readFileSync(join(this.folder, key)));
    return { file: `${name}.pem`, key, pem, secret, der: new X509Certificate(pem).raw };
  }

  ca = (subject, issuer, { constraint = "", more = [], kind, days, printable } = {}) =>
    this.certificate({ subject, issuer, kind, days, printable, extensions: [`basicConstraints=critical,CA:TRUE${constraint}`, "keyUsage=critical,keyCertSign,cRLSign", ...more] });

  leaf = (issuer, { uris = [SVID], names = uris.map((uri) => `URI:${uri}`), usage = "digitalSignature", more = [], kind, days, printable, subject = "/O=Acme/OU=agents/CN=web" } = {}) =>
    this.certificate({
      subject,
      issuer,
      kind,
      days,
      printable,
      extensions: ["basicConstraints=critical,CA:FALSE", `keyUsage=critical,${usage}`, ...(names.length ? [`subjectAltName=${names.join(",")}`] : []), ...more],
    });
}

/** A signature by a certificate's key. */
export function signed({ secret }, bytes, dsaEncoding = "ieee-p1363") {
  const hash = secret.asymmetricKeyType === "ed25519" ? null : "sha256";
  return sign(hash, bytes, { key: secret, dsaEncoding }).toString("base64url");
}
