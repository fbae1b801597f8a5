// Command chain has Go's standard library verify leaves against a file of roots, as a server does that
// trusts whatever root is in it.
//
//	chain roots.pem leaf.pem …   ->   leaf.pem: OK, or leaf.pem: and why not
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
)

func main() {
	text, err := os.ReadFile(os.Args[1])
	exitOn(err)
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		exitOn(fmt.Errorf("%s: no roots", os.Args[1]))
	}
	for _, path := range os.Args[2:] {
		if err := verify(roots, path); err != nil {
			fmt.Printf("%s: %v\n", path, err)
		} else {
			fmt.Printf("%s: OK\n", path)
		}
	}
}

func verify(roots *x509.CertPool, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return fmt.Errorf("no PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return err
	}
	usages := []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: usages})
	return err
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}
