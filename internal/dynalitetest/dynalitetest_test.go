package dynalitetest

import (
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// TestStart: dynalite answers while the test runs, and is gone after it.
func TestStart(t *testing.T) {
	var address string
	ran := false
	t.Run("while", func(t *testing.T) {
		address = "127.0.0.1:" + start(t)
		if _, err := Start(t).ListTables(t.Context(), &dynamodb.ListTablesInput{}); err != nil {
			t.Error(err)
		}
		ran = true
	})
	if !ran {
		t.Skip("dynalite is not installed")
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("dynalite still listens after the test")
	}
}

func TestModuleRoot(t *testing.T) {
	if _, err := os.Stat(filepath.Join(moduleRoot(t), "tools", "npm", "package-lock.json")); err != nil {
		t.Error(err)
	}
}
