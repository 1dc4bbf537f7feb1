package main

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"slices"
	"testing"
)

// AWS APIs present certificates of Amazon Trust Services, those in China of
// DigiCert.
func TestRootsOfAWS(t *testing.T) {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		t.Fatal(err)
	}
	var names []string
	for rest := b.Bytes(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		root, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !root.IsCA {
			t.Errorf("%s is no CA", root.Subject)
		}
		names = append(names, root.Subject.CommonName)
	}
	for _, name := range []string{"Amazon Root CA 1", "Amazon Root CA 2", "Amazon Root CA 3", "Amazon Root CA 4", "DigiCert Global Root G2"} {
		if !slices.Contains(names, name) {
			t.Errorf("%s is missing from %d roots", name, len(names))
		}
	}
	if len(names) < 50 {
		t.Errorf("only %d roots", len(names))
	}
}
