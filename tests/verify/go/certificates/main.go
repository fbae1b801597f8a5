// Command certificates reads leaves and roots with Go's standard library alone, and compares each
// leaf with what its caller asked for and was answered. It shares no code and no constant with the
// authority: what docs/certificate-profile.md says is written down here a second time.
//
//	certificates manifest.json   ->   {"checked": 2000, "failures": ["0001-mtls.pem: …"]}
package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"
)

// leaf is a certificate and what it must say.
type leaf struct {
	File       string   `json:"file"`
	Kind       string   `json:"kind"`
	Root       string   `json:"root"`
	Subject    string   `json:"subject"`
	Identity   string   `json:"identity"`
	Scopes     []string `json:"scopes"`
	AuthMethod string   `json:"auth_method"`
	Epoch      int64    `json:"epoch"`
	ExpiresAt  int64    `json:"expires_at"`
	Binding    string   `json:"binding"`
	SPKI       []byte   `json:"spki"`
	AskedAt    int64    `json:"asked_at_ms"`
	AnsweredAt int64    `json:"answered_at_ms"`
}

type root struct {
	File string `json:"file"`
	Host string `json:"host"`
}

type manifest struct {
	Roots  []root `json:"roots"`
	Leaves []leaf `json:"leaves"`
}

func main() {
	path := os.Args[1]
	text, err := os.ReadFile(path)
	exitOn(err)
	var m manifest
	exitOn(json.Unmarshal(text, &m))
	folder := filepath.Dir(path)

	failures := []string{}
	fail := func(file string, problems []string) {
		for _, problem := range problems {
			failures = append(failures, file+": "+problem)
		}
	}
	serials := map[string]string{}
	unique := func(file string, serial *big.Int) {
		if first, ok := serials[serial.String()]; ok {
			fail(file, []string{"has the serial number of " + first})
		}
		serials[serial.String()] = file
	}
	roots := map[string]*x509.Certificate{}
	for _, r := range m.Roots {
		certificate, err := read(filepath.Join(folder, r.File))
		if err != nil {
			fail(r.File, []string{err.Error()})
			continue
		}
		roots[r.File] = certificate
		unique(r.File, certificate.SerialNumber)
		fail(r.File, checkRoot(certificate, r))
	}
	for _, l := range m.Leaves {
		certificate, err := read(filepath.Join(folder, l.File))
		if err != nil {
			fail(l.File, []string{err.Error()})
			continue
		}
		unique(l.File, certificate.SerialNumber)
		if roots[l.Root] == nil {
			fail(l.File, []string{"has no root"})
			continue
		}
		fail(l.File, checkLeaf(certificate, roots[l.Root], l))
	}
	exitOn(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"checked": len(m.Leaves), "roots": len(roots), "failures": failures,
	}))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

// read wants exactly one PEM block and nothing around it.
func read(path string) (*x509.Certificate, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) != 0 || len(bytes.TrimSpace(rest)) != 0 {
		return nil, fmt.Errorf("is not one PEM block")
	}
	return x509.ParseCertificate(block.Bytes)
}

// checks collects what is wrong.
type checks struct{ problems []string }

func (c *checks) that(holds bool, format string, args ...any) {
	if !holds {
		c.problems = append(c.problems, fmt.Sprintf(format, args...))
	}
}

func (c *checks) equal(what string, got, want any) {
	g, w := fmt.Sprint(got), fmt.Sprint(want)
	c.that(g == w, "%s is %q instead of %q", what, g, w)
}

func (c *checks) text(what string, der []byte, want string) {
	var value asn1.RawValue
	rest, err := asn1.Unmarshal(der, &value)
	c.that(err == nil && len(rest) == 0 && value.Class == asn1.ClassUniversal && value.Tag == asn1.TagUTF8String && !value.IsCompound,
		"%s is no UTF8String", what)
	c.equal(what, string(value.Bytes), want)
}

const arc = "1.3.6.1.4.1.99999.1."

// What stands in which order, and what of it is critical.
var (
	rootExtensions = []string{"2.5.29.19!", "2.5.29.15!", "2.5.29.14"}
	private        = []string{arc + "1", arc + "2", arc + "3", arc + "4", arc + "5", arc + "6", "2.5.29.17!", "2.5.29.35", "2.5.29.14"}
	leafExtensions = map[string][]string{
		"mtls":    append([]string{"2.5.29.19!", "2.5.29.15!", "2.5.29.37"}, private...),
		"signing": append([]string{"2.5.29.19!", "2.5.29.15!"}, private...),
	}
)

func (c *checks) extensions(certificate *x509.Certificate, want []string) {
	var got []string
	for _, extension := range certificate.Extensions {
		name := extension.Id.String()
		if extension.Critical {
			name += "!"
		}
		got = append(got, name)
	}
	c.equal("the list of extensions", strings.Join(got, " "), strings.Join(want, " "))
	c.equal("the number of unhandled critical extensions", len(certificate.UnhandledCriticalExtensions), 0)
}

func extension(certificate *x509.Certificate, oid string) []byte {
	for _, extension := range certificate.Extensions {
		if extension.Id.String() == oid {
			return extension.Value
		}
	}
	return nil
}

// common is what both kinds of certificate have to satisfy.
func (c *checks) common(certificate *x509.Certificate) {
	c.equal("the version", certificate.Version, 3)
	c.equal("the algorithm", certificate.SignatureAlgorithm, x509.PureEd25519)
	serial := certificate.SerialNumber
	c.that(serial.Sign() > 0 && serial.BitLen() <= 128, "the serial number %s is not of 1 to 128 bits", serial)
	c.equal("the zone of the times", certificate.NotBefore.Location().String()+certificate.NotAfter.Location().String(), "UTCUTC")
	again, err := remarshal(certificate.Raw)
	c.that(err == nil, "it cannot be encoded again: %v", err)
	c.that(bytes.Equal(again, certificate.Raw), "another encoding is shorter or more canonical")
	var point struct {
		Algorithm asn1.RawValue
		Bits      asn1.BitString
	}
	_, err = asn1.Unmarshal(certificate.RawSubjectPublicKeyInfo, &point)
	c.that(err == nil, "the key info cannot be read: %v", err)
	digest := sha256.Sum256(point.Bits.Bytes)
	c.equal("the subject key identifier", hex.EncodeToString(certificate.SubjectKeyId), hex.EncodeToString(digest[:20]))
}

// remarshal decodes a certificate whole and encodes what it read. Go's encoder knows one encoding
// of a value only, and it takes PrintableString wherever that can hold a string.
func remarshal(der []byte) ([]byte, error) {
	type validity struct{ NotBefore, NotAfter time.Time }
	type keyInfo struct {
		Algorithm pkix.AlgorithmIdentifier
		Bits      asn1.BitString
	}
	type tbs struct {
		Version    int `asn1:"optional,explicit,default:0,tag:0"`
		Serial     *big.Int
		Algorithm  pkix.AlgorithmIdentifier
		Issuer     pkix.RDNSequence
		Validity   validity
		Subject    pkix.RDNSequence
		Key        keyInfo
		Extensions []pkix.Extension `asn1:"omitempty,optional,explicit,tag:3"`
	}
	var certificate struct {
		TBS       tbs
		Algorithm pkix.AlgorithmIdentifier
		Signature asn1.BitString
	}
	rest, err := asn1.Unmarshal(der, &certificate)
	if err != nil || len(rest) != 0 {
		return nil, fmt.Errorf("%d bytes left, %w", len(rest), err)
	}
	return asn1.Marshal(certificate)
}

// name wants two RDNs of one attribute each: a common name, then the organization.
func (c *checks) name(what string, der []byte, commonName string) {
	var rdns []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &rdns)
	c.that(err == nil && len(rest) == 0 && len(rdns) == 2, "%s has %d RDNs (%v)", what, len(rdns), err)
	if len(rdns) != 2 {
		return
	}
	for i, want := range []struct{ oid, value string }{{"2.5.4.3", commonName}, {"2.5.4.10", "notme"}} {
		var attribute struct {
			Type  asn1.ObjectIdentifier
			Value asn1.RawValue
		}
		rest, err := asn1.Unmarshal(rdns[i].Bytes, &attribute)
		c.that(err == nil && len(rest) == 0, "RDN %d of %s has not one attribute (%v)", i, what, err)
		c.equal("the type of an attribute of "+what, attribute.Type, want.oid)
		c.equal("an attribute of "+what, string(attribute.Value.Bytes), want.value)
		tag := asn1.TagUTF8String
		if printable.MatchString(want.value) {
			tag = asn1.TagPrintableString
		}
		c.equal("the string type of an attribute of "+what, attribute.Value.Tag, tag)
	}
}

var printable = regexp.MustCompile(`^[A-Za-z0-9 '()+,./:=?-]*$`)

func commonName(subject string) string {
	if utf8.RuneCountInString(subject) <= 64 {
		return subject
	}
	digest := sha256.Sum256([]byte(subject))
	return string([]rune(subject)[:47]) + "~" + hex.EncodeToString(digest[:8])
}

func checkRoot(certificate *x509.Certificate, r root) []string {
	c := &checks{}
	c.common(certificate)
	c.extensions(certificate, rootExtensions)
	c.name("the subject", certificate.RawSubject, commonName("signet-authority "+r.Host))
	c.that(bytes.Equal(certificate.RawIssuer, certificate.RawSubject), "issuer and subject differ")
	_, isEd25519 := certificate.PublicKey.(ed25519.PublicKey)
	c.that(isEd25519, "the key is no Ed25519 key")
	c.that(certificate.BasicConstraintsValid && certificate.IsCA, "it is no CA")
	c.equal("the path length", certificate.MaxPathLen, 1)
	c.equal("the key usage", certificate.KeyUsage, x509.KeyUsageCertSign|x509.KeyUsageCRLSign)
	c.equal("the lifetime", certificate.NotAfter.Sub(certificate.NotBefore), time.Duration(315_576_000+60)*time.Second)
	err := certificate.CheckSignatureFrom(certificate)
	c.that(err == nil, "it is not signed by itself: %v", err)
	return c.problems
}

func checkLeaf(certificate, issuer *x509.Certificate, l leaf) []string {
	c := &checks{}
	c.common(certificate)
	c.extensions(certificate, leafExtensions[l.Kind])
	c.name("the subject", certificate.RawSubject, commonName(l.Subject))
	c.that(bytes.Equal(certificate.RawIssuer, issuer.RawSubject), "the issuer is not the root's subject, byte for byte")
	c.that(len(certificate.AuthorityKeyId) == 20 && bytes.Equal(certificate.AuthorityKeyId, issuer.SubjectKeyId),
		"the authority key identifier is not the root's subject key identifier")
	c.that(certificate.BasicConstraintsValid && !certificate.IsCA && certificate.MaxPathLen == -1, "it is a CA")
	c.equal("basic constraints", hex.EncodeToString(extension(certificate, "2.5.29.19")), "3000")

	c.that(bytes.Equal(certificate.RawSubjectPublicKeyInfo, l.SPKI), "the key is not the submitted one")
	switch key := certificate.PublicKey.(type) {
	case *ecdsa.PublicKey:
		c.that(l.Kind == "mtls" && key.Curve == elliptic.P256(), "it is a %s leaf over an EC key", l.Kind)
		c.equal("the key usage", certificate.KeyUsage, x509.KeyUsageDigitalSignature|x509.KeyUsageKeyAgreement)
		c.equal("the extended key usage", certificate.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth})
	case ed25519.PublicKey:
		c.equal("the kind of a leaf over an Ed25519 key", l.Kind, "signing")
		c.equal("the key usage", certificate.KeyUsage, x509.KeyUsageDigitalSignature)
		c.equal("the extended key usage", len(certificate.ExtKeyUsage)+len(certificate.UnknownExtKeyUsage), 0)
	default:
		c.that(false, "the key is a %T", key)
	}

	c.that(len(certificate.URIs) == 1, "it has %d URIs", len(certificate.URIs))
	c.equal("the number of other alternative names",
		len(certificate.DNSNames)+len(certificate.EmailAddresses)+len(certificate.IPAddresses), 0)
	for _, uri := range certificate.URIs {
		c.equal("the URI", uri, l.Identity)
	}
	var names []asn1.RawValue
	_, err := asn1.Unmarshal(extension(certificate, "2.5.29.17"), &names)
	c.that(err == nil && len(names) == 1, "the subject alternative name has %d entries (%v)", len(names), err)

	c.equal("notAfter", certificate.NotAfter.Unix(), l.ExpiresAt)
	c.equal("notBefore", certificate.NotBefore.Unix(), l.ExpiresAt-360)

	c.text("the subject identity", extension(certificate, arc+"1"), l.Subject)
	c.text("the authentication method", extension(certificate, arc+"5"), l.AuthMethod)
	c.issuanceTime(extension(certificate, arc+"2"), l)
	c.scopes(extension(certificate, arc+"3"), l.Scopes)
	var epoch int64
	rest, err := asn1.Unmarshal(extension(certificate, arc+"4"), &epoch)
	c.that(err == nil && len(rest) == 0, "the epoch cannot be read: %v", err)
	c.equal("the epoch", epoch, l.Epoch)
	c.equal("the pair binding", hex.EncodeToString(extension(certificate, arc+"6")), l.Binding)

	c.chains(certificate, issuer, l.Kind)
	return c.problems
}

var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`)

func (c *checks) issuanceTime(der []byte, l leaf) {
	var text string
	rest, err := asn1.UnmarshalWithParams(der, &text, "utf8")
	c.that(err == nil && len(rest) == 0 && rfc3339.MatchString(text), "the issuance time %q is malformed (%v)", text, err)
	at, err := time.Parse(time.RFC3339Nano, text)
	c.that(err == nil, "the issuance time %q is no time: %v", text, err)
	c.that(at.UnixMilli() >= l.AskedAt && at.UnixMilli() <= l.AnsweredAt, "the issuance time %q is outside of the exchange", text)
	c.equal("the lifetime", l.ExpiresAt-at.Unix(), 300)
}

func (c *checks) scopes(der []byte, want []string) {
	var raw []asn1.RawValue
	rest, err := asn1.Unmarshal(der, &raw)
	c.that(err == nil && len(rest) == 0, "the scopes cannot be read: %v", err)
	var got []string
	for _, value := range raw {
		c.equal("the string type of a scope", value.Tag, asn1.TagUTF8String)
		got = append(got, string(value.Bytes))
	}
	c.equal("the scopes", strings.Join(got, " "), strings.Join(want, " "))
}

func (c *checks) chains(certificate, issuer *x509.Certificate, kind string) {
	roots := x509.NewCertPool()
	roots.AddCert(issuer)
	verify := func(usage x509.ExtKeyUsage) error {
		_, err := certificate.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}})
		return err
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageAny, x509.ExtKeyUsageClientAuth} {
		err := verify(usage)
		c.that(err == nil, "it does not chain for usage %d: %v", usage, err)
	}
	if kind == "mtls" {
		c.that(verify(x509.ExtKeyUsageServerAuth) != nil, "it is good for servers")
	}
}
