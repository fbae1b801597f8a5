"""Says to notme who is asking, in the name of your own sign-in: a JWT that lives for a minute and works once."""
import base64, json, sys, time, uuid
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_private_key


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def assertion(key_file: str, issuer: str, audience: str, subject: str) -> str:
    key = load_pem_private_key(Path(key_file).read_bytes(), password=None)  # Ed25519
    now = int(time.time())
    claims = {"iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + 60, "jti": str(uuid.uuid4())}
    parts = [base64url(json.dumps(part).encode()) for part in ({"alg": "EdDSA"}, claims)]
    signature = key.sign(".".join(parts).encode())
    return ".".join([*parts, base64url(signature)])


if __name__ == "__main__":
    print(assertion(*sys.argv[1:5]))
