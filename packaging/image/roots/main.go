// Command roots prints the CA certificates of the image, in PEM: those of
// Mozilla's program, as package bundle has them. The module's version stands in
// go.mod, so the same commit gives the same image.
package main

import (
	"bufio"
	"encoding/pem"
	"fmt"
	"io"
	"os"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	err := write(out)
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "roots:", err)
		os.Exit(1)
	}
}

// write leaves out the roots that are believed under a condition only, such as
// "issued before some day": a file cannot say that, and no AWS API needs them.
func write(w io.Writer) error {
	for root := range bundle.Roots() {
		if root.Constraint != nil {
			continue
		}
		if err := pem.Encode(w, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return fmt.Errorf("write a certificate: %w", err)
		}
	}
	return nil
}
