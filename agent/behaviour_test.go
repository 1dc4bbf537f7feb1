package agent_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

)

// story is one transcript.
type story struct {
	name    string // of the file
	title   string
	options options
	act     func(w *world)
}

// TestTranscripts holds what an operator would see of an update, story by
// story, to testdata/transcripts. `go generate ./agent` does not touch them:
// run `go test ./agent -run ^TestTranscripts$ -update` and read what changed.
func TestTranscripts(t *testing.T) {
	for _, s := range stories() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			var got string
			inWorld(t, s.options, func(w *world) {
				s.act(w)
				got = "# " + s.title + "\n\n" + w.transcript()
			})
			golden(t, filepath.Join("testdata", "transcripts", s.name+".txt"), got)
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	want := string(data)
	if want == got {
		return
	}
	have := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(have) || have[i] != line {
			t.Errorf("%s: line %d must be\n\t%s\nthe whole transcript is\n%s", file, i+1, line, got)
			return
		}
	}
	t.Errorf("%s: %d lines are too many:\n%s", file, len(have)-strings.Count(want, "\n")-1, got)
}

func stories() []story {
	return []story{
		{"updated", "A good day: the release is staged, the host drained, rebooted and put back.", options{}, func(w *world) {
			w.start()
			w.untilUpdated()
		}},
	}
}
