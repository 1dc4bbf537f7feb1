package kernel

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The program's code and its constants, and nothing that anybody has written
// to: not data, not relocated tables of a program at a random address, not
// another file.
func TestUnchanged(t *testing.T) {
	const smaps = `00400000-00b00000 r-xp 00000000 00:31 77                         /drydock
Size:               7168 kB
Rss:                5120 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd ex mr mw me
00b00000-00f00000 r--p 00700000 00:31 77                         /drydock
Anonymous:             0 kB
00f00000-00f80000 rw-p 00b00000 00:31 77                         /drydock
Anonymous:             0 kB
7f0000000000-7f0000010000 r--p 00b80000 00:31 77                 /drydock
Anonymous:            64 kB
7f0000010000-7f0000020000 r--p 00b90000 00:31 77                 /drydock
Anonymous:             0 kB
Swap:                 64 kB
SwapPss:              64 kB
7f0000020000-7f0000030000 r-xp 00000000 00:31 78                 /lib/drydock
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0 
Anonymous:             0 kB
7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                  [vdso]
Anonymous:             0 kB
`
	got, err := unchanged(strings.NewReader(smaps), "/drydock")
	if err != nil {
		t.Fatal(err)
	}
	want := []mapping{{0x400000, 0xb00000}, {0xb00000, 0xf00000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); diff != "" {
		t.Errorf("-want +got\n%s", diff)
	}
}

// A program goes on as if nothing had been, in fewer pages.
func TestForgetProgram(t *testing.T) {
	for _, page := range []func() string{runtime.Version, time.Now().String, func() string { return string(debug.Stack()) }} {
		t.Log(page()) // so that there is something to forget
	}
	before := filePages(t)
	if err := ForgetProgram(); err != nil {
		t.Fatal(err)
	}
	if after := filePages(t); after >= before {
		t.Errorf("%d kB of files were resident, now %d kB", before, after)
	}
}

// filePages is how much of files this process has mapped and used, in kB.
func filePages(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nRssFile:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}
