package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

const packagingReadme = "../../packaging/README.md"

var shellBlock = regexp.MustCompile("(?s)```sh\n(.*?)```")

// readme writes the first block of shell commands under a heading of
// packaging/README.md into a file, and makes the folder packaging appear
// beside it. More than six commands are too many.
func readme(ts *testscript.TestScript, _ bool, args []string) {
	text, err := os.ReadFile(packagingReadme)
	ts.Check(err)
	_, section, ok := strings.Cut(string(text), "\n## "+args[0]+"\n")
	block := shellBlock.FindStringSubmatch(section)
	if !ok || block == nil {
		ts.Fatalf("%s has no commands under %q", packagingReadme, args[0])
	}
	commands := strings.ReplaceAll(block[1], "\\\n", "")
	if n := strings.Count(commands, "\n"); n > 6 {
		ts.Fatalf("%d commands under %q", n, args[0])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(commands), 0o600))
	folder, err := filepath.Abs(filepath.Dir(packagingReadme))
	ts.Check(err)
	if _, err := os.Lstat(ts.MkAbs("packaging")); err != nil {
		ts.Check(os.Symlink(folder, ts.MkAbs("packaging")))
	}
}
