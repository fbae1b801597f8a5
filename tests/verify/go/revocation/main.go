// revocation says of each leaf whether a revocation list of its issuer has it, by Go's standard library alone:
//
//	revocation ROOTS.pem CRLS.pem LEAF.pem…
//
// A line for each leaf: its file, and "good", "revoked" or why nobody can tell.
package main

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log"
	"os"
	"time"
)

func blocks(file, kind string) [][]byte {
	rest, err := os.ReadFile(file)
	if err != nil {
		log.Fatal(err)
	}
	var found [][]byte
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return found
		}
		if block.Type == kind {
			found = append(found, block.Bytes)
		}
	}
}

func judge(leaf *x509.Certificate, roots []*x509.Certificate, lists []*x509.RevocationList) string {
	for _, root := range roots {
		if leaf.CheckSignatureFrom(root) != nil {
			continue
		}
		for _, list := range lists {
			if list.CheckSignatureFrom(root) != nil {
				continue
			}
			if now := time.Now(); now.Before(list.ThisUpdate) || now.After(list.NextUpdate) {
				return "stale"
			}
			for _, entry := range list.RevokedCertificateEntries {
				if entry.SerialNumber.Cmp(leaf.SerialNumber) == 0 {
					return "revoked"
				}
			}
			return "good"
		}
		return "no list"
	}
	return "no root"
}

func main() {
	var roots []*x509.Certificate
	for _, der := range blocks(os.Args[1], "CERTIFICATE") {
		root, err := x509.ParseCertificate(der)
		if err != nil {
			log.Fatal(err)
		}
		roots = append(roots, root)
	}
	var lists []*x509.RevocationList
	for _, der := range blocks(os.Args[2], "X509 CRL") {
		list, err := x509.ParseRevocationList(der)
		if err != nil {
			log.Fatal(err)
		}
		if list.Number == nil || len(list.AuthorityKeyId) == 0 {
			log.Fatal("a list without number or key identifier")
		}
		lists = append(lists, list)
	}
	for _, file := range os.Args[3:] {
		leaf, err := x509.ParseCertificate(blocks(file, "CERTIFICATE")[0])
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s %s\n", file, judge(leaf, roots, lists))
	}
}
