"""Makes foreign.json: ceremonies by other people's code.

Structures, CBOR and COSE keys are python-fido2's, signatures and certificates are cryptography's;
python-fido2's own relying party has to accept each ceremony before it is written down.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install -r requirements.txt
    /tmp/venv/bin/python make.py > foreign.json
"""

import datetime
import json
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, padding, rsa
from cryptography.x509.oid import NameOID
from fido2 import cose
from fido2.attestation import NoneAttestation, PackedAttestation
from fido2.server import Fido2Server
from fido2.utils import sha256, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
    PublicKeyCredentialRpEntity,
)

RP_ID = "example.org"
ORIGIN = "https://example.org"
UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80

# Each algorithm: a key, the COSE key of its public half, a signature.
ALGORITHMS = {
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), cose.ES256, hashes.SHA256()),
    "ES384": (lambda: ec.generate_private_key(ec.SECP384R1()), cose.ES384, hashes.SHA384()),
    "ES512": (lambda: ec.generate_private_key(ec.SECP521R1()), cose.ES512, hashes.SHA512()),
    "RS256": (lambda: rsa.generate_private_key(65537, 3072), cose.RS256, hashes.SHA256()),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, cose.EdDSA, None),
    "Ed448": (ed448.Ed448PrivateKey.generate, cose.Ed448, None),
}


def sign(algorithm, key, message):
    digest = ALGORITHMS[algorithm][2]
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message, ec.ECDSA(digest))
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(message, padding.PKCS1v15(), digest)
    return key.sign(message)


def certificate(key):
    """As §8.2.1 asks for, by a CA that nobody knows."""
    attribute = x509.NameAttribute
    subject = x509.Name(
        [
            attribute(NameOID.COMMON_NAME, "Foreign model"),
            attribute(NameOID.ORGANIZATION_NAME, "Maker"),
            attribute(NameOID.ORGANIZATIONAL_UNIT_NAME, "Authenticator Attestation"),
            attribute(NameOID.COUNTRY_NAME, "AA"),
        ]
    )
    maker = ec.generate_private_key(ec.SECP256R1())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(x509.Name([attribute(NameOID.COMMON_NAME, "Maker's CA")]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.datetime(2024, 1, 1))
        .not_valid_after(datetime.datetime(2074, 1, 1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(maker, hashes.SHA256())
    )


def verify_attestation(result, client_data_hash):
    """python-fido2's, of the two formats; it follows nothing to an anchor either."""
    formats = {"none": NoneAttestation, "packed": PackedAttestation}
    formats[result.fmt]().verify(result.att_stmt, result.auth_data, client_data_hash)


def ceremony(name, attestation, algorithm, *, flags=UV, used=UV, id_length=32, cross_origin=False, counters=(0, 0), extensions=None):
    """A registration with `flags`, and an assertion with `used`, both beside UP."""
    generate, cose_key, _ = ALGORITHMS[algorithm]
    key = generate()
    credential = AttestedCredentialData.create(
        os.urandom(16), os.urandom(id_length), cose_key.from_cryptography_key(key.public_key())
    )

    def client(kind):
        challenge = os.urandom(32)
        return challenge, CollectedClientData.create(kind, challenge, ORIGIN, cross_origin=cross_origin)

    challenge, client_data = client("webauthn.create")
    auth_data = AuthenticatorData.create(
        sha256(RP_ID.encode()), AuthenticatorData.FLAG(UP | AT | flags), counters[0], bytes(credential), extensions
    )
    message = auth_data + client_data.hash
    if attestation == "none":
        statement = {}
    elif attestation == "self":
        statement = {"alg": cose_key.ALGORITHM, "sig": sign(algorithm, key, message)}
    else:
        maker = ec.generate_private_key(ec.SECP256R1())
        der = certificate(maker).public_bytes(serialization.Encoding.DER)
        statement = {"alg": cose.ES256.ALGORITHM, "sig": sign("ES256", maker, message), "x5c": [der]}
    object = AttestationObject.create("none" if attestation == "none" else "packed", auth_data, statement)

    server = Fido2Server(PublicKeyCredentialRpEntity(name="", id=RP_ID), attestation="direct")
    verify_attestation(object, client_data.hash)
    id = websafe_encode(credential.credential_id)

    def judge(complete, challenge, *arguments, **response):
        state = {"challenge": websafe_encode(challenge), "user_verification": "required"}
        response = {name: websafe_encode(value) for name, value in response.items()}
        complete(state, *arguments, {"id": id, "rawId": id, "type": "public-key", "response": response})

    # It knows no frames; what is made in one is only to be refused.
    if not cross_origin and flags & UV:
        judge(server.register_complete, challenge, clientDataJSON=client_data, attestationObject=object)
    registration = {
        "challenge": challenge.hex(),
        "aaguid": bytes(credential.aaguid).hex(),
        "credential_id": credential.credential_id.hex(),
        "clientDataJSON": client_data.hex(),
        "attestationObject": object.hex(),
    }

    challenge, client_data = client("webauthn.get")
    auth_data = AuthenticatorData.create(
        sha256(RP_ID.encode()), AuthenticatorData.FLAG(UP | used), counters[1], extensions=extensions
    )
    signature = sign(algorithm, key, auth_data + client_data.hash)
    if not cross_origin and used & UV:
        judge(
            server.authenticate_complete,
            challenge,
            [credential],
            clientDataJSON=client_data,
            authenticatorData=auth_data,
            signature=signature,
        )
    authentication = {
        "challenge": challenge.hex(),
        "authenticatorData": auth_data.hex(),
        "clientDataJSON": client_data.hex(),
        "signature": signature.hex(),
    }
    return {"name": name, "registration": registration, "authentication": authentication}


VECTORS = [
    ceremony("none.ES256", "none", "ES256", flags=UV | BE | BS, used=UV | BE),
    ceremony("none.EdDSA", "none", "EdDSA"),
    ceremony("none.RS256", "none", "RS256"),
    ceremony("none.ES256.unverified", "none", "ES256", flags=0, used=0),
    ceremony("none.ES256.crossOrigin", "none", "ES256", cross_origin=True),
    ceremony("none.ES256.long-credential-id", "none", "ES256", id_length=1023),
    ceremony("none.ES256.extensions", "none", "ES256", flags=UV | ED, used=UV | ED, extensions={"credProtect": 2, "hmac-secret": True}),
    ceremony("none.ES256.counter", "none", "ES256", counters=(41, 42)),
    ceremony("packed-self.ES256", "self", "ES256", flags=UV | BE | BS, used=UV | BE | BS),
    ceremony("packed-self.EdDSA", "self", "EdDSA"),
    ceremony("packed-self.RS256", "self", "RS256"),
    ceremony("packed.ES256", "certificate", "ES256", flags=UV | BE, used=UV | BE),
    ceremony("packed.EdDSA", "certificate", "EdDSA"),
    ceremony("packed.RS256", "certificate", "RS256"),
    ceremony("packed.ES384", "certificate", "ES384"),
    ceremony("packed.ES512", "certificate", "ES512"),
    ceremony("packed.Ed448", "certificate", "Ed448"),
]

print(json.dumps({"made_by": "make.py", "vectors": VECTORS}, indent=1))
