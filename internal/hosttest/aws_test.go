package hosttest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Where AWS and the ECS agent are, seen from a host.
const (
	region          = "eu-west-1"
	ecsName         = "ecs." + region + ".amazonaws.com"
	dynamoName      = "dynamodb." + region + ".amazonaws.com"
	apisAddress     = "127.0.0.1:443"
	metadataAddress = "169.254.169.254:80"
	agentAddress    = "127.0.0.1:51678"
)

// hostsFile is what the host's /etc/hosts says, so that AWS's names lead here.
const hostsFile = "127.0.0.1 localhost " + ecsName + " " + dynamoName + "\n"

// serve answers on an address until the test ends.
func serve(t *testing.T, address string, certificate *tls.Certificate, handler http.Handler) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if certificate != nil {
		l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*certificate}})
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)} // killed clients leave broken connections
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
}

// apis leads a request to the API that its Host header names.
type apis map[string]http.Handler

func (a apis) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	handler, ok := a[r.Host]
	if !ok {
		http.Error(w, "no such API here", http.StatusForbidden)
		return
	}
	handler.ServeHTTP(w, r)
}

// newCertificate makes a CA, which it writes to a file as settings.pki would,
// and a certificate of it for AWS's names.
func newCertificate(t *testing.T, file string) *tls.Certificate {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of the test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	authority, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	must(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: ecsName}, DNSNames: []string{ecsName, dynamoName},
		NotBefore: ca.NotBefore, NotAfter: ca.NotAfter, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	must(err)
	must(os.MkdirAll(filepath.Dir(file), 0o755))
	must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: authority}), 0o644))
	return &tls.Certificate{Certificate: [][]byte{der, authority}, PrivateKey: key}
}
