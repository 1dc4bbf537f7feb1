package durable

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/drydock-ecs/drydock/agent"
	"pgregory.net/rapid"
)

// faulty is a real directory whose power fails at a step, or whose disk is
// full.
type faulty struct {
	directory
	steps   int  // left until the power fails; negative: never
	half    int  // how much of the failing step is done: 0 nothing, 1 half, 2 all
	full    bool // no file can grow
	noSwap  bool
	started int // steps begun
}

var errPower = errors.New("power failed")

// step runs one step, or fails in it.
func (d *faulty) step(act, half func() error) error {
	d.started++
	if d.steps == 0 {
		switch d.half {
		case 1:
			_ = half()
		case 2:
			_ = act()
		}
		d.half = 0 // everything after it is not done at all
		return errPower
	}
	d.steps--
	return act()
}

func (d *faulty) write(name string, at int64, data []byte) error {
	if info, err := os.Stat(d.path(name)); d.full && (err != nil || at+int64(len(data)) > info.Size()) {
		return syscall.ENOSPC
	}
	return d.step(
		func() error { return d.directory.write(name, at, data) },
		func() error { return d.directory.write(name, at, data[:len(data)/2]) })
}

func (d *faulty) swap(a, b string) error {
	if d.noSwap {
		return errors.ErrUnsupported
	}
	act := func() error { return d.directory.swap(a, b) }
	return d.step(act, act)
}

func (d *faulty) move(from, to string) error {
	act := func() error { return d.directory.move(from, to) }
	return d.step(act, act)
}

func (d *faulty) remove(name string) error {
	act := func() error { return d.directory.remove(name) }
	return d.step(act, act)
}

// sound is a directory that never fails.
func sound(dir string) *faulty { return &faulty{directory: directory(dir), steps: -1} }

func text(n int, c byte) []byte { return bytes.Repeat([]byte{c}, n) }

func load(t interface{ Fatalf(string, ...any) }, dir string) []byte {
	data, err := New(dir).Load()
	if err != nil && !errors.Is(err, agent.ErrNoIntent) {
		t.Fatalf("load: %v", err)
	}
	return data
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	f := New(dir)
	if _, err := f.Load(); !errors.Is(err, agent.ErrNoIntent) {
		t.Fatalf("load from an empty directory: %v", err)
	}
	if _, err := f.SetAside("damaged"); !errors.Is(err, agent.ErrNoIntent) {
		t.Fatalf("set nothing aside: %v", err)
	}
	for i, content := range [][]byte{[]byte("{}"), nil, []byte("a\nb\x00\xff"), text(100_000, 'x'), []byte("short again"), text(Largest, 'y')} {
		if err := f.Save(content); err != nil {
			t.Fatalf("save %d: %v", i, err)
		}
		got, err := New(dir).Load()
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("load %d: %d bytes, %v", i, len(got), err)
		}
	}
	if err := f.Save(text(Largest+1, 'z')); err == nil {
		t.Error("a content that is too large is saved")
	}
	info, err := os.Stat(filepath.Join(dir, live))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file's mode is %v, %v", info.Mode(), err)
	}
	if names := list(t, dir); !slices.Equal(names, []string{live, spare}) {
		t.Errorf("the directory holds %v", names)
	}
	if err := New(filepath.Join(dir, "missing")).Save(nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("save into a directory that is not there: %v", err)
	}
}

func list(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.Name()
	}
	return names
}

func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	f := New(dir)
	var paths []string
	for i, why := range []string{"damaged", "foreign", "Wr/ong..!", "", "damaged", "foreign", "damaged", strings.Repeat("long", 20)} {
		if err := f.Save(text(10, byte('a'+i))); err != nil {
			t.Fatal(err)
		}
		path, err := f.SetAside(why)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Load(); !errors.Is(err, agent.ErrNoIntent) {
			t.Fatalf("after setting aside: %v", err)
		}
		data, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(data, text(10, byte('a'+i))) {
			t.Fatalf("%s does not hold the content: %v", path, err)
		}
		paths = append(paths, path)
	}
	for i, word := range []string{"intent.damaged-2", "intent.foreign-2", "intent.wrong-2", "intent.aside-2"} {
		if name := filepath.Base(paths[i]); !strings.HasPrefix(name, word) {
			t.Errorf("set aside as %s, want %s…", name, word)
		}
	}
	want := []string{spare}
	for _, path := range paths[len(paths)-kept:] {
		want = append(want, filepath.Base(path))
	}
	if names := list(t, dir); !slices.Equal(names, slices.Sorted(slices.Values(want))) {
		t.Errorf("kept %v, want %v", names, want)
	}
}

// The power fails in each step of a Save, before, in the middle of and after
// it. The content is then the old or the new one, and nothing keeps the next
// Save from working, not even a disk that is full from then on.
func TestPowerFailure(t *testing.T) {
	for _, test := range []struct {
		name     string
		old, new []byte // old nil: there is none
		noSwap   bool
	}{
		{"first", nil, text(300, 'b'), false},
		{"same size", text(300, 'a'), text(300, 'b'), false},
		{"growing", text(300, 'a'), text(30_000, 'b'), false},
		{"shrinking", text(30_000, 'a'), text(300, 'b'), false},
		{"without exchange", text(300, 'a'), text(300, 'b'), true},
	} {
		for _, half := range []int{0, 1, 2} {
			steps := 0
			for done := false; !done; steps++ {
				done = powerFailure(t, test.name, test.old, test.new, test.noSwap, steps, half)
			}
			if steps < 3 {
				t.Errorf("%s: a Save has %d steps", test.name, steps-1)
			}
		}
	}
}

func powerFailure(t *testing.T, name string, old, next []byte, noSwap bool, steps, half int) (done bool) {
	dir := t.TempDir()
	if old != nil {
		if err := New(dir).Save(old); err != nil {
			t.Fatal(err)
		}
	}
	disk := &faulty{directory: directory(dir), steps: steps, half: half, noSwap: noSwap}
	err := (&File{dir, disk}).Save(next)
	got := load(t, dir)
	if !bytes.Equal(got, next) && (err == nil || !bytes.Equal(got, old)) {
		t.Fatalf("%s, %d steps and %d halves: %d bytes are neither the old nor the new content (%v)", name, steps, half, len(got), err)
	}
	again := sound(dir)
	again.full = old != nil && !noSwap
	if err := (&File{dir, again}).Save([]byte("third")); err != nil {
		t.Fatalf("%s, %d steps and %d halves: the next Save: %v", name, steps, half, err)
	}
	if got := load(t, dir); string(got) != "third" {
		t.Fatalf("%s, %d steps and %d halves: the next Load: %q", name, steps, half, got)
	}
	return err == nil && disk.started <= steps
}

// Any run of saves, failures of power, full disks and settings aside agrees
// with a value in memory.
func TestFileAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp("", "durable")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		may := [][]byte{nil} // contents that may stand
		fits := 0            // contents of so many bytes need no block
		for range rapid.IntRange(1, 12).Draw(t, "acts") {
			disk := sound(dir)
			f := &File{dir, disk}
			next := text(rapid.SampledFrom([]int{0, 1, 3000, 9000, 20_000}).Draw(t, "size"), byte(rapid.IntRange('a', 'z').Draw(t, "byte")))
			switch rapid.SampledFrom([]string{"save", "fail", "full", "aside"}).Draw(t, "act") {
			case "save":
				if err := f.Save(next); err != nil {
					t.Fatalf("save: %v", err)
				}
				may, fits = [][]byte{next}, max(fits, len(next))
			case "fail":
				disk.steps, disk.half = rapid.IntRange(0, 6).Draw(t, "steps"), rapid.IntRange(0, 2).Draw(t, "half")
				if err := f.Save(next); err == nil {
					may, fits = [][]byte{next}, max(fits, len(next))
				} else {
					may = append(may, next)
				}
			case "full":
				disk.full = true
				err := f.Save(next)
				if err != nil && (len(next) <= fits && may[0] != nil || !errors.Is(err, syscall.ENOSPC)) {
					t.Fatalf("save of %d bytes on a full disk, where %d fit: %v", len(next), fits, err)
				}
				if err == nil {
					may, fits = [][]byte{next}, max(fits, len(next))
				}
			case "aside":
				if _, err := f.SetAside("damaged"); err != nil && !errors.Is(err, agent.ErrNoIntent) {
					t.Fatalf("set aside: %v", err)
				}
				may, fits = [][]byte{nil}, 0
			}
			got := load(t, dir)
			if !slices.ContainsFunc(may, func(m []byte) bool { return bytes.Equal(m, got) }) {
				t.Fatalf("%d bytes stand, which nobody saved", len(got))
			}
			if len(may) > 1 || may[0] != nil {
				may = [][]byte{got}
			}
		}
	})
}

// However a file is changed, Load returns what was saved or says that it is
// damaged.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	want := []byte(`{"schema":1,"duty":{"instance":"i-0123456789abcdef0"}}`)
	if err := New(dir).Save(want); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, live)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	check := func(t interface{ Fatalf(string, ...any) }, data []byte) (damaged bool) {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatalf("%v", err)
		}
		got, err := New(dir).Load()
		if err == nil && bytes.Equal(got, want) {
			return false
		}
		if !errors.Is(err, agent.ErrDamaged) {
			t.Fatalf("%q is read as %q, %v", data[:min(len(data), 200)], got, err)
		}
		return true
	}
	head := bytes.Index(whole, want) + len(want)
	for at := range head { // every bit of the line and the content counts
		for bit := range 8 {
			data := slices.Clone(whole)
			data[at] ^= 1 << bit
			if !check(t, data) {
				t.Fatalf("bit %d of byte %d is changed, and nobody saw", bit, at)
			}
		}
		if !check(t, whole[:at]) {
			t.Fatalf("the file ends after byte %d, and nobody saw", at)
		}
	}
	for _, data := range []string{"", "\n", magic + "\n", magic + " -1 \n", magic + " 99999999 x\n", magic + " 0 \n"} {
		if !check(t, []byte(data)) {
			t.Errorf("%q is taken", data)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		data := slices.Clone(whole)
		for range rapid.IntRange(1, 5).Draw(t, "changes") {
			from := rapid.IntRange(0, len(data)).Draw(t, "from")
			to := rapid.IntRange(from, min(len(data), from+600)).Draw(t, "to")
			data = slices.Replace(data, from, to, rapid.SliceOfN(rapid.Byte(), 0, 50).Draw(t, "bytes")...)
		}
		check(t, data)
	})
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := New(dir).Load(); !errors.Is(err, agent.ErrDamaged) {
		t.Errorf("a directory is read with %v", err)
	}
	if err := New(dir).Save(want); err == nil {
		t.Error("a directory is overwritten")
	}
}

// An error that says nothing about the file is not taken for damage.
func TestLoadWithoutDescriptors(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, live)
	if err := os.Symlink(live, path); err != nil { // a loop: ELOOP
		t.Fatal(err)
	}
	if _, err := New(dir).Load(); err == nil || errors.Is(err, agent.ErrDamaged) || errors.Is(err, agent.ErrNoIntent) {
		t.Errorf("load: %v", err)
	}
}

// On a real full disk the first Save fails and leaves no intent, and any later
// one works.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("mount a small tmpfs: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	filler := filepath.Join(dir, "filler")
	if err := fill(filler); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	f := New(dir)
	for _, left := range []int64{0, 1, 2, 3} {
		if err := f.Save([]byte("first")); !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("first Save with %d blocks left: %v", left, err)
		}
		if _, err := f.Load(); !errors.Is(err, agent.ErrNoIntent) {
			t.Fatalf("Load with %d blocks left: %v", left, err)
		}
		if err := os.Truncate(filler, 64<<10-(left+1)*block); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Save([]byte("first")); err != nil {
		t.Fatalf("first Save with room for it: %v", err)
	}
	if err := fill(filler); err != nil && !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("fill the disk: %v", err)
	}
	for i := range 100 {
		want := text(i*50, 'x')
		if err := f.Save(want); err != nil {
			t.Fatalf("save %d on a full disk: %v", i, err)
		}
		if got := load(t, dir); !bytes.Equal(got, want) {
			t.Fatalf("load %d on a full disk: %d bytes", i, len(got))
		}
	}
	if err := f.Save(text(20_000, 'y')); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a content that does not fit is saved: %v", err)
	}
	if got := load(t, dir); len(got) != 99*50 {
		t.Errorf("it left %d bytes", len(got))
	}
	if err := f.Save([]byte("still")); err != nil {
		t.Errorf("the next one: %v", err)
	}
}

// fill writes until the disk is full.
func fill(path string) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	for {
		if _, err := file.Write(make([]byte, block)); err != nil {
			return err
		}
	}
}

// A process that is killed while it saves leaves the last content whose Save
// returned, or the one after it.
func TestKill(t *testing.T) {
	if dir := os.Getenv("DURABLE_TEST_DIR"); dir != "" {
		f := New(dir)
		for i := 0; ; i++ {
			if err := f.Save([]byte(strconv.Itoa(i))); err != nil {
				t.Fatal(err)
			}
			fmt.Println("saved", i)
		}
	}
	for kill := range 5 {
		dir := t.TempDir()
		child := exec.Command(os.Args[0], "-test.run=^TestKill$")
		child.Env = append(os.Environ(), "DURABLE_TEST_DIR="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		last := -1
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if number, ok := strings.CutPrefix(lines.Text(), "saved "); ok {
				last, _ = strconv.Atoi(number)
			}
			if last == 20+kill*7 {
				_ = child.Process.Kill() // the lines already on their way are read as well
			}
		}
		if err := child.Wait(); err == nil {
			t.Fatal("the child was not killed")
		}
		got, err := strconv.Atoi(string(load(t, dir)))
		if err != nil || got < last || got > last+1 {
			t.Errorf("%d was saved last, %d is read: %v", last, got, err)
		}
	}
}
