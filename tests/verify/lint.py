"""Lints certificates with pkilint's own RFC 5280 validators, many in one process.

    lint.py ISSUER.pem... -- CERT.pem...   ->   {"linted": 2001, "findings": [...]}

Each is linted by itself and, below the issuer that its file name begins with (`NAME.pem` of
`NAME.REST.pem`, no dot in REST), as a chain. A process per certificate would spend all its time on starting up.
"""

import json
import multiprocessing
import sys
from pathlib import Path

from pkilint import loader, validation
from pkilint.bin import lint_pkix_signer_signee_cert_chain as chain
from pkilint.pkix import certificate, extension, name

SINGLE = certificate.create_pkix_certificate_validator_container(
    certificate.create_decoding_validators(
        name.ATTRIBUTE_TYPE_MAPPINGS, extension.EXTENSION_MAPPINGS
    ),
    [
        certificate.create_issuer_validator_container([]),
        certificate.create_validity_validator_container(),
        certificate.create_subject_validator_container([]),
        certificate.create_extensions_validator_container([]),
        certificate.create_spki_validator_container([]),
    ],
)
DECODER = chain.create_decoder_validation_container()
ISSUER = chain.create_issuer_validation_container()
SUBJECT = chain.create_subject_validation_container()
NOTEWORTHY = validation.ValidationFindingSeverity.INFO
LOADER = loader.RFC5280CertificateDocumentLoader()


def load(path, role=None, documents=None):
    text = Path(path).read_text("ascii")
    document = LOADER.load_pem_document(text, role, path, documents)
    if role is not None:
        documents[role] = document
    return document


def findings(path, results):
    for result in results:
        for description in result.finding_descriptions:
            finding = description.finding
            # The most severe has the lowest number.
            if finding.severity < NOTEWORTHY:
                yield {
                    "file": Path(path).name,
                    "severity": finding.severity.name,
                    "code": finding.code,
                    "message": description.message or "",
                    "where": result.node.path,
                }


def lint(job):
    path, above = job
    found = list(findings(path, SINGLE.validate(load(path).root)))
    if above is not None:
        documents = {}
        issuer = load(above, "issuer", documents)
        subject = load(path, "subject", documents)
        results = DECODER.validate(issuer.root)
        results += DECODER.validate(subject.root)
        results += ISSUER.validate(issuer.root)
        results += SUBJECT.validate(subject.root)
        found += findings(path, results)
    return found


def main(arguments):
    split = arguments.index("--")
    issuers, certificates = arguments[:split], arguments[split + 1 :]
    by_name = {Path(issuer).stem: issuer for issuer in issuers}
    jobs = [(issuer, None) for issuer in issuers]
    jobs += [(path, by_name[Path(path).stem.rpartition(".")[0]]) for path in certificates]
    with multiprocessing.Pool() as pool:
        found = [f for each in pool.imap_unordered(lint, jobs, 50) for f in each]
    json.dump({"linted": len(jobs), "findings": found}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
