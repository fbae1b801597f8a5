#!/bin/sh
# The smallest client there can be: enrols with curl and openssl alone.
#
#   enrol.sh https://auth.example.com FOLDER < token
#
# makes two keys, shows that it holds them, and leaves in FOLDER: mtls.key, mtls.pem, signing.key,
# signing.pem and root.pem. In a GitHub Actions job with `id-token: write` the token comes from
#
#   curl -fsS -H "Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN" \
#     "$ACTIONS_ID_TOKEN_REQUEST_URL&audience=notme.bot" | sed 's/.*"value":"\([^"]*\)".*/\1/'
set -eu
authority=$1
folder=$2
umask 077
token=$(cat)
# What is half made is no pair: all of it appears at the end.
work=$(mktemp -d "$folder/.enrol.XXXXXX")
trap 'rm -rf "$work"' EXIT
cd "$work"

openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out mtls.key
openssl genpkey -algorithm ED25519 -out signing.key

# What both keys sign: the two public keys, and the SHA-256 of the token.
{
  openssl pkey -in mtls.key -pubout -outform DER
  openssl pkey -in signing.key -pubout -outform DER
  printf %s "$token" | openssl dgst -sha256 -binary
} > pre-image

openssl pkeyutl -sign -rawin -inkey signing.key -in pre-image -out signing.sig
openssl pkeyutl -sign -rawin -digest sha256 -inkey mtls.key -in pre-image -out mtls.der

# openssl gives SEQUENCE { r INTEGER, s INTEGER }; wanted are 32 bytes of each. asn1parse prints the
# numbers in hex without leading zeros, and makes bytes of hex, after two bytes of header.
padded=
for number in $(openssl asn1parse -inform DER -in mtls.der | sed -n 's/.*INTEGER *://p'); do
  padded=$padded$(printf %64s "$number" | tr ' ' 0)
done
openssl asn1parse -genstr "FORMAT:HEX,OCTETSTRING:$padded" -noout -out mtls.octets
tail -c 64 mtls.octets > mtls.sig

base64url() { openssl base64 -A -in "$1" | tr '+/' '-_' | tr -d '='; }
json_text() { awk '{ printf "%s\\n", $0 }'; }
public() { openssl pkey -in "$1" -pubout | json_text; }

status=$(curl -sS --header "Authorization: Bearer $token" --header 'Content-Type: application/json' \
  --data @- --output answer.json --write-out '%{http_code}' "$authority/cert/gha" << BODY
{ "public_keys": { "mtls": "$(public mtls.key)", "signing": "$(public signing.key)" },
  "proofs": { "mtls": "$(base64url mtls.sig)", "signing": "$(base64url signing.sig)" } }
BODY
)
if [ "$status" != 200 ]; then
  echo "the authority answers with status $status: $(cat answer.json)" >&2
  exit 1
fi

# In the answer a line break of a certificate is `\n`.
certificate() {
  sed 's/.*"'"$1"'":"\(-----BEGIN CERTIFICATE-----[^"]*\)".*/\1/' answer.json | awk '{ gsub(/\\n/, "\n"); print }'
}
certificate mtls > mtls.pem
certificate signing > signing.pem
curl -fsS "$authority/.well-known/ca-bundle.pem" > root.pem
openssl verify -x509_strict -no-CApath -no-CAstore -CAfile root.pem -purpose sslclient mtls.pem
openssl verify -x509_strict -no-CApath -no-CAstore -CAfile root.pem signing.pem
mv mtls.key mtls.pem signing.key signing.pem root.pem ..
