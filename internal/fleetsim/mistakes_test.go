package fleetsim

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mistakes are planted one at a time, in a copy of the source that only the
// compiler sees; the stories, the table of writes and the seeds must each time
// find the fleet broken. They are the test of this test: when one of them goes
// unnoticed, a promise is no longer watched.
var mistakes = []struct{ name, file, old, new string }{
	{"release before ACTIVE", "agent/restore.go",
		"	if !a.intent.Duty.Restored {\n",
		"	if o, ok := a.returnSlot(ctx); !ok {\n		return o\n	}\n	if !a.intent.Duty.Restored {\n"},
	{"arm before activate", "agent/reboot.go",
		"func(d *Duty) { d.Activating = true }",
		"func(d *Duty) { d.Activating, d.Armed, d.ArmedUptime = true, true, a.uptime() }"},
	{"no look after a lost answer", "coordination/fleet.go",
		"		case err == nil:\n",
		"		case err == nil || errors.Is(err, ErrUnknown):\n"},
	{"no re-assert on resume", "agent/drain.go",
		"	if a.update.proof == 0 || !a.update.draining && !a.proven() {\n",
		"	if a.update.generation == 0 {\n		a.update.proof = a.uptime()\n	} else if a.update.proof == 0 || !a.update.draining && !a.proven() {\n"},
	{"restore waits for the table", "agent/restore.go",
		"	if !a.intent.Duty.Restored {\n",
		"	if _, err := a.fleet.Look(ctx); err != nil {\n		return a.again(\"waiting for the table\", err)\n	}\n	if !a.intent.Duty.Restored {\n"},
	{"no note that the host was restored", "agent/restore.go",
		"	err := a.note(restored)\n",
		"	err := a.note(func(*Duty) {})\n	a.intent.Duty.Restored = true\n"},
	{"outcome not durable before disarming", "agent/restore.go",
		"		a.noteAnyway(func(d *Duty) { d.Outcome = s.Result })\n",
		"		defer a.noteAnyway(func(d *Duty) { d.Outcome = s.Result })\n"},
	{"slot returned on a missing file while draining", "agent/intent.go",
		"	if h.Phase == coordination.Granted {\n",
		"	if true {\n"},
	{"restore while a reboot request is alive", "agent/resume.go",
		"		return resumed(Rebooting, d, \"\", \"\")\n",
		"		return resumed(Restoring, d, NotRebooted, \"\")\n"},
	{"failure counted twice", "coordination/rules.go",
		"		published := i >= 0 && r.Holders[i].Phase == Sick // see Fail\n",
		"		published := false\n"},
	{"failure of a returned slot counted again", "coordination/rules.go",
		"		counts := i >= 0 || f >= 0 && r.Failures[f].Cause != report.Cause\n",
		"		counts := i >= 0 || f < 0 && report.Cause != \"\"\n"},
	{"refusal not in the guard", "coordination/rules.go",
		"	if r.Refuses(target) {\n		return &Denied{Refused, \"the fleet refuses release \" + target}\n	}\n",
		""},
	{"halt not in the guard", "coordination/rules.go",
		"	if why := r.Halted(limits); why != \"\" {\n		return &Denied{FleetHalted, \"the fleet is halted: \" + why}\n	}\n",
		""},
	{"slots not in the guard", "coordination/rules.go",
		"	if len(r.Holders) >= limits.Slots {\n",
		"	if len(r.Holders) > limits.Slots {\n"},
	{"no look before the reboot request", "agent/reboot.go",
		"	if o, ok := a.activate(ctx); !ok {\n		return o\n	}\n	if o, ok := a.lastLook(ctx); !ok {\n		return o\n	}\n",
		"	if o, ok := a.activate(ctx); !ok {\n		return o\n	}\n"},
	{"someone else's drain is taken for our own", "agent/restore.go",
		"	if d.DrainCalls == 0 || !a.update.activated.IsZero() {\n",
		"	if !a.update.activated.IsZero() {\n"},
	{"no look for a drain that lands late", "agent/restore.go",
		"	if d.DrainOpen == 0 || d.DrainCalls == 0 {\n",
		"	if d != nil {\n"},
	{"marked without a second look", "coordination/late.go",
		"			s.suspect = ended\n",
		"			s.suspect = ended\n			due = append(due, e)\n"},
	{"marked on what was seen before an outage", "coordination/late.go",
		"		s.suspect, s.between = time.Time{}, 0\n",
		""},
	{"marked without its failure", "coordination/late.go",
		"		if r.failure(e.Host, e.Generation) < 0 {\n",
		"		if false {\n"},
	{"stuck frees the slot", "coordination/late.go",
		"		return r, nil\n	}}\n}\n\n// Prolong",
		"		r.Holders = append(r.Holders[:i:i], r.Holders[i+1:]...)\n		return r, nil\n	}}\n}\n\n// Prolong"},
	{"stuck not in the guard", "coordination/rules.go",
		"		if mine.Stuck || mine.Phase == Sick {\n",
		"		if mine.Phase == Sick {\n"},
	{"failure not withdrawn", "coordination/rules.go",
		"			r.withdraw(host, generation)\n",
		""},
	{"frees on one answer", "agent/watch.go",
		"		return proof{first: ended, again: ended.Add(gap), vainly: p.vainly}\n",
		"		return proof{first: ended, complete: true}\n"},
	{"frees on age", "agent/watch.go",
		".judge(err == nil && (!known || state == \"terminated\"), ",
		".judge(err == nil && (known || !known || state == \"\"), "},
	{"own instance not required in the answer", "agent/watch.go",
		"	if err == nil && states[a.identity.Instance] != \"running\" {\n",
		"	if false {\n"},
	{"freed without a failure", "coordination/operator.go",
		"		case gone.Phase == Granted || gone.Phase == Draining:\n",
		"		case true:\n"},
}

func TestPlantedMistakesAreFound(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the simulation once for each mistake")
	}
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			program := plant(t, m.file, m.old, m.new)
			for _, tests := range []string{"TestStories", "TestSeeds", "TestEveryWrite"} {
				out, err := exec.Command(program, "-test.run=^"+tests+"$", "-test.failfast", "-seeds=200").CombinedOutput()
				if err != nil {
					t.Logf("found by %s: %s", tests, firstBreach(string(out)))
					return
				}
			}
			t.Errorf("nothing noticed it")
		})
	}
}

// plant builds this package's tests with one place of a file changed.
func plant(t *testing.T, file, old, new string) string {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, filepath.FromSlash(file))
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), old); n != 1 {
		t.Fatalf("the place for the mistake stands %d times in %s; it must follow the code", n, file)
	}
	dir := t.TempDir()
	changed := filepath.Join(dir, "changed.go")
	if err := os.WriteFile(changed, []byte(strings.Replace(string(source), old, new, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), overlay, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(dir, "planted.test")
	build := exec.Command("go", "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build with the mistake: %v\n%s", err, out)
	}
	return program
}

// firstBreach is the first promise that a transcript says was broken.
func firstBreach(out string) string {
	for line := range strings.Lines(out) {
		if _, text, ok := strings.Cut(line, "!!!! "); ok {
			return strings.TrimSpace(text)
		}
	}
	return "a result that is not the wanted one"
}
