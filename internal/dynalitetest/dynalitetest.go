// Package dynalitetest starts dynalite, a stand-in for DynamoDB that is
// independent of this project, for tests that ask it to be the judge.
package dynalitetest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// Require is the environment variable that, set to 1, turns a missing dynalite
// from a reason to skip into a failure.
const Require = "DRYDOCK_REQUIRE_DYNALITE"

const readyWithin = 30 * time.Second

// Start runs a dynalite until the end of the test and returns a client for
// it. The test is skipped when node or tools/npm/node_modules is missing.
func Start(t testing.TB) *dynamodb.Client {
	t.Helper()
	return dynamodb.New(dynamodb.Options{
		Region:       "eu-north-1",
		BaseEndpoint: aws.String("http://127.0.0.1:" + start(t)),
		Credentials:  credentials.NewStaticCredentialsProvider("dynalite", "secret", ""),
	})
}

// start returns the port.
func start(t testing.TB) string {
	t.Helper()
	dir := filepath.Join(moduleRoot(t), "tools", "npm")
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "node is not installed")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "dynalite")); err != nil {
		missing(t, "dynalite is not installed; run: npm ci --prefix tools/npm")
	}
	command := exec.Command(node, "dynalite.js")
	command.Dir = dir
	command.Stderr = os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatalf("start dynalite: %v", err)
	}
	// Held open until the end of the test: dynalite.js ends when it closes,
	// also when this process is killed.
	stdin, err := command.StdinPipe()
	if err != nil {
		t.Fatalf("start dynalite: %v", err)
	}
	if err := command.Start(); err != nil {
		t.Fatalf("start dynalite: %v", err)
	}
	t.Cleanup(func() {
		stdin.Close()
		_ = command.Process.Kill()
		_ = command.Wait() // "signal: killed" is how it is meant to end
	})
	return port(t, out)
}

// port waits for the line that says that dynalite is ready.
func port(t testing.TB, out io.Reader) string {
	t.Helper()
	ready := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(out).ReadString('\n')
		ready <- strings.TrimSpace(line)
	}()
	select {
	case port := <-ready:
		if port == "" {
			t.Fatal("dynalite ended before it was ready")
		}
		return port
	case <-time.After(readyWithin):
		t.Fatalf("dynalite was not ready within %v", readyWithin)
	}
	return ""
}

func missing(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv(Require) == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// moduleRoot is the directory of go.mod above the test's own.
func moduleRoot(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test's directory")
		}
		dir = parent
	}
}
