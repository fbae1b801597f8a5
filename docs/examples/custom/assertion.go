// Says to notme who is asking, in the name of your own sign-in: a JWT that lives for a minute and works once.
package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"os"
	"time"
)

func assertion(keyFile, issuer, audience, subject string) (string, error) {
	file, err := os.ReadFile(keyFile)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(file)
	if block == nil {
		return "", errors.New("no PEM in " + keyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", err
	}
	key, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return "", errors.New("not an Ed25519 key")
	}
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	now := time.Now().Unix()
	claims, err := json.Marshal(map[string]any{
		"iss": issuer, "aud": audience, "sub": subject, "iat": now, "exp": now + 60, "jti": hex.EncodeToString(id),
	})
	if err != nil {
		return "", err
	}
	encode := base64.RawURLEncoding.EncodeToString
	input := encode([]byte(`{"alg":"EdDSA"}`)) + "." + encode(claims)
	return input + "." + encode(ed25519.Sign(key, []byte(input))), nil
}

func main() {
	token, err := assertion(os.Args[1], os.Args[2], os.Args[3], os.Args[4])
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(token)
}
