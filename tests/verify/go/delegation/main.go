// delegation verifies a task leaf's chain by Go's standard library, as a program does that knows the extension which
// binds the names below an issuing certificate (docs/certificate-profile.md), or as one that doesn't:
//
//	delegation knows|ignores ROOTS.pem CHAIN.pem…
//
// In a chain the leaf comes first. A line for each: "good", or why it isn't.
package main

import (
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"strings"
)

var namespace = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1, 8}

func certificates(file string) (found []*x509.Certificate) {
	rest, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			log.Fatal(err)
		}
		found = append(found, certificate)
	}
}

// handle takes the extension from what is unhandled, if the leaf is named as it says.
func handle(leaf, issuer *x509.Certificate) error {
	for _, extension := range issuer.Extensions {
		if !extension.Id.Equal(namespace) {
			continue
		}
		var prefix string
		if rest, err := asn1.UnmarshalWithParams(extension.Value, &prefix, "utf8"); err != nil || len(rest) > 0 {
			return fmt.Errorf("malformed namespace")
		}
		task, isBelow := "", len(leaf.URIs) == 1
		if isBelow {
			task, isBelow = strings.CutPrefix(leaf.URIs[0].String(), prefix)
		}
		if !isBelow || task == "" || strings.ContainsAny(task, "/?#%") {
			return fmt.Errorf("named otherwise than its issuer may")
		}
		var unhandled []asn1.ObjectIdentifier
		for _, id := range issuer.UnhandledCriticalExtensions {
			if !id.Equal(namespace) {
				unhandled = append(unhandled, id)
			}
		}
		issuer.UnhandledCriticalExtensions = unhandled
	}
	return nil
}

func verdict(roots *x509.CertPool, chain []*x509.Certificate, knows bool) error {
	middle := x509.NewCertPool()
	for _, issuer := range chain[1:] {
		if knows {
			if err := handle(chain[0], issuer); err != nil {
				return err
			}
		}
		middle.AddCert(issuer)
	}
	// The names of a leaf are a URI that Go leaves to programs.
	chain[0].UnhandledCriticalExtensions = nil
	_, err := chain[0].Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return err
}

func main() {
	roots := x509.NewCertPool()
	for _, root := range certificates(os.Args[2]) {
		roots.AddCert(root)
	}
	for _, file := range os.Args[3:] {
		if err := verdict(roots, certificates(file), os.Args[1] == "knows"); err != nil {
			fmt.Println(err)
		} else {
			fmt.Println("good")
		}
	}
}
