package agent

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

// stateDoc is made of the tables that the machine goes by.
const stateDoc = "../docs/state-machine.md"

var rewrite = flag.Bool("update", false, "rewrite generated files instead of comparing them")

// TestStateMachineDoc fails when docs/state-machine.md is not what the tables
// of phases and edges say. `go generate ./agent` rewrites it.
func TestStateMachineDoc(t *testing.T) {
	want := stateMachineDoc()
	if *rewrite {
		if err := os.WriteFile(stateDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(stateDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("docs/state-machine.md is stale: run go generate ./agent\n%s", firstDifference(string(got), want))
	}
}

func firstDifference(got, want string) string {
	have := strings.Split(got, "\n")
	for i, line := range strings.Split(want, "\n") {
		if i >= len(have) || have[i] != line {
			return fmt.Sprintf("line %d must be %q", i+1, line)
		}
	}
	return fmt.Sprintf("line %d is too many", strings.Count(want, "\n")+1)
}

const stateDocIntro = `# The state machine

<!-- Made by go generate ./agent out of the tables in agent/machine.go. Do not edit. -->

The agent of a host is always in one phase. A phase names what the agent is busy with, never what it has done. Each turn
of a phase ends in one outcome, and a pure function takes phase and outcome to the next phase; an outcome that has no
row below leaves the agent where it is. An agent that starts works its phase out from facts (the intent file, the boot id,
the running version, the lock record), never from a saved phase. Before the reboot request everything turns back, after
it everything goes forward; a slot is given back by restoring alone.
`

func stateMachineDoc() string {
	var b strings.Builder
	b.WriteString(stateDocIntro)
	b.WriteString("\n```mermaid\nstateDiagram-v2\n    [*] --> starting\n")
	for _, e := range edges {
		fmt.Fprintf(&b, "    %s --> %s: %s\n", e.from, e.to, e.on)
	}
	b.WriteString("```\n\n## Phases\n\n| phase | what is true in it | slot |\n|---|---|---|\n")
	for _, p := range allPhases() {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", p, cell(phases[p].truth), phases[p].slot)
	}
	b.WriteString("\n## Moves\n\n| from | on | to | why |\n|---|---|---|---|\n")
	for _, e := range edges {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", e.from, e.on, e.to, cell(e.why))
	}
	return b.String()
}

// cell keeps a text within its cell.
func cell(text string) string { return strings.ReplaceAll(text, "|", `\|`) }

// TestStateMachineDocIsWhole: no phase and no move is missing in either form.
func TestStateMachineDocIsWhole(t *testing.T) {
	text := stateMachineDoc()
	for _, p := range allPhases() {
		if !strings.Contains(text, fmt.Sprintf("\n| %s | %s", p, phases[p].truth)) {
			t.Errorf("phase %s has no row", p)
		}
	}
	diagram, tables, _ := strings.Cut(text, "## Phases")
	if drawn := strings.Count(diagram, " --> "); drawn != len(edges)+1 {
		t.Errorf("%d arrows for %d moves", drawn, len(edges))
	}
	for _, e := range edges {
		if !strings.Contains(diagram, fmt.Sprintf("    %s --> %s: %s\n", e.from, e.to, e.on)) {
			t.Errorf("%s on %s to %s is not drawn", e.from, e.on, e.to)
		}
		if !strings.Contains(tables, fmt.Sprintf("| %s | %s | %s | %s |\n", e.from, e.on, e.to, e.why)) {
			t.Errorf("%s on %s to %s has no row", e.from, e.on, e.to)
		}
	}
}
