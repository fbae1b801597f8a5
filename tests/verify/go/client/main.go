// Command client enrols with Go's standard library alone, as a caller who shares no code with the
// authority would: it makes two keys, shows that it holds them, checks what it gets against the
// authority's root, and talks TLS with it.
//
//	echo TOKEN | client https://auth.example.com [pre-image|mixed]   ->   {"identity": "…", …}
//
// `mixed` is the form that clients in the field send: ECDSA over the pre-image, Ed25519 over its
// SHA-256.
package main

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

type pair struct {
	MTLS    string `json:"mtls"`
	Signing string `json:"signing"`
}

type request struct {
	PublicKeys pair `json:"public_keys"`
	Proofs     pair `json:"proofs"`
}

type answer struct {
	Certificates pair   `json:"certificates"`
	Identity     string `json:"identity"`
	ExpiresAt    int64  `json:"expires_at"`
	Error        string `json:"error"`
}

func main() {
	authority, form := os.Args[1], "pre-image"
	if len(os.Args) > 2 {
		form = os.Args[2]
	}
	token, err := io.ReadAll(os.Stdin)
	exitOn(err)
	result, err := enrol(authority, strings.TrimSpace(string(token)), form)
	exitOn(err)
	exitOn(json.NewEncoder(os.Stdout).Encode(result))
}

func exitOn(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func enrol(authority, token, form string) (map[string]any, error) {
	mtls, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	_, signing, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	body, err := prove(mtls, signing, token, form)
	if err != nil {
		return nil, err
	}
	answered, err := post(authority, token, body)
	if err != nil {
		return nil, err
	}
	roots, root, err := fetchRoot(authority)
	if err != nil {
		return nil, err
	}
	mtlsLeaf, err := check(answered.Certificates.MTLS, roots, mtls.Public(), answered)
	if err != nil {
		return nil, fmt.Errorf("the mTLS leaf: %w", err)
	}
	signingLeaf, err := check(answered.Certificates.Signing, roots, signing.Public(), answered)
	if err != nil {
		return nil, fmt.Errorf("the signing leaf: %w", err)
	}
	message := []byte("signed by the key of the leaf")
	if err := signingLeaf.CheckSignature(x509.PureEd25519, message, ed25519.Sign(signing, message)); err != nil {
		return nil, err
	}
	seen, err := handshake(roots, &tls.Certificate{Certificate: [][]byte{mtlsLeaf.Raw}, PrivateKey: mtls})
	if err != nil {
		return nil, fmt.Errorf("mutual TLS: %w", err)
	}
	refused, err := refusals(roots, mtls)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"identity": answered.Identity, "issuer": root.Subject.CommonName, "seen": seen, "refused": refused,
	}, nil
}

// prove signs both SPKIs and the token's digest with each key.
func prove(mtls *ecdsa.PrivateKey, signing ed25519.PrivateKey, token, form string) (*request, error) {
	body := &request{}
	var preImage []byte
	for _, key := range []struct {
		public crypto.PublicKey
		pem    *string
	}{{mtls.Public(), &body.PublicKeys.MTLS}, {signing.Public(), &body.PublicKeys.Signing}} {
		der, err := x509.MarshalPKIXPublicKey(key.public)
		if err != nil {
			return nil, err
		}
		preImage = append(preImage, der...)
		*key.pem = string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	digest := sha256.Sum256([]byte(token))
	preImage = append(preImage, digest[:]...)

	hashed := sha256.Sum256(preImage)
	r, s, err := ecdsa.Sign(rand.Reader, mtls, hashed[:])
	if err != nil {
		return nil, err
	}
	raw := make([]byte, 64)
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	message := preImage
	if form == "mixed" {
		message = hashed[:]
	}
	body.Proofs = pair{
		MTLS:    base64.RawURLEncoding.EncodeToString(raw),
		Signing: base64.RawURLEncoding.EncodeToString(ed25519.Sign(signing, message)),
	}
	return body, nil
}

func post(authority, token string, body *request) (*answer, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodPost, authority+"/cert/gha", bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answered answer
	if err := json.NewDecoder(response.Body).Decode(&answered); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, answered.Error)
	}
	return &answered, nil
}

func fetchRoot(authority string) (*x509.CertPool, *x509.Certificate, error) {
	response, err := http.Get(authority + "/.well-known/ca-bundle.pem")
	if err != nil {
		return nil, nil, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, nil, errors.New("the bundle has no certificate")
	}
	block, _ := pem.Decode(text)
	root, err := x509.ParseCertificate(block.Bytes)
	return pool, root, err
}

// check is what a careful client does with a leaf that it was given.
func check(text string, roots *x509.CertPool, key crypto.PublicKey, a *answer) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return nil, errors.New("no PEM")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, err
	}
	if !key.(interface{ Equal(crypto.PublicKey) bool }).Equal(leaf.PublicKey) {
		return nil, errors.New("it is over another key")
	}
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != a.Identity {
		return nil, fmt.Errorf("it is for %v, not %s", leaf.URIs, a.Identity)
	}
	if leaf.NotAfter.Unix() != a.ExpiresAt {
		return nil, errors.New("it expires at another time than the answer says")
	}
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	return leaf, err
}

// handshake makes one TLS connection on loopback, to a server that wants a certificate from roots,
// and gives the identity that the server saw.
func handshake(roots *x509.CertPool, client *tls.Certificate) (string, error) {
	server, serverRoots, err := serverCertificate()
	if err != nil {
		return "", err
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{server},
		ClientAuth:   tls.RequireAndVerifyClientCert,
		ClientCAs:    roots,
		MinVersion:   tls.VersionTLS12,
	})
	if err != nil {
		return "", err
	}
	defer listener.Close()
	served := make(chan error, 1)
	go func() { served <- serve(listener) }()

	config := &tls.Config{RootCAs: serverRoots, ServerName: "localhost"}
	if client != nil {
		config.Certificates = []tls.Certificate{*client}
	}
	connection, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", listener.Addr().String(), config)
	if err != nil {
		return "", err
	}
	defer connection.Close()
	// In TLS 1.3 a client learns that it was refused only when it reads.
	seen, err := io.ReadAll(connection)
	if serverErr := <-served; serverErr != nil {
		return "", serverErr
	}
	return string(seen), err
}

// serve answers one connection with the URI of its client's certificate.
func serve(listener net.Listener) error {
	connection, err := listener.Accept()
	if err != nil {
		return err
	}
	defer connection.Close()
	secured := connection.(*tls.Conn)
	if err := secured.Handshake(); err != nil {
		return err
	}
	_, err = io.WriteString(secured, secured.ConnectionState().PeerCertificates[0].URIs[0].String())
	return err
}

func serverCertificate() (tls.Certificate, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	pool := x509.NewCertPool()
	pool.AddCert(certificate)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool, nil
}

// refusals makes sure that the server's demand means something: neither no certificate nor one
// over the same key that its holder signed for itself is let in.
func refusals(roots *x509.CertPool, key *ecdsa.PrivateKey) ([]string, error) {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: "self"},
		NotBefore:    time.Now().Add(-time.Minute),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	var refused []string
	for name, certificate := range map[string]*tls.Certificate{
		"none": nil, "self-signed": {Certificate: [][]byte{der}, PrivateKey: key},
	} {
		if _, err := handshake(roots, certificate); err == nil {
			return nil, fmt.Errorf("a client with a certificate of kind %q was let in", name)
		}
		refused = append(refused, name)
	}
	return refused, nil
}
