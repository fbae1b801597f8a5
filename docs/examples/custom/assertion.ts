// Says to notme who is asking, in the name of your own sign-in: a JWT that lives for a minute and works once.
import { readFileSync } from "node:fs";
import { SignJWT, importPKCS8 } from "jose";

export async function assertion(keyFile: string, issuer: string, audience: string, subject: string): Promise<string> {
  const key = await importPKCS8(readFileSync(keyFile, "utf8"), "EdDSA");
  return new SignJWT({})
    .setProtectedHeader({ alg: "EdDSA" })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject(subject)
    .setIssuedAt()
    .setExpirationTime("60s")
    .setJti(crypto.randomUUID())
    .sign(key);
}

const [keyFile, issuer, audience, subject] = process.argv.slice(2);
console.log(await assertion(keyFile, issuer, audience, subject));
