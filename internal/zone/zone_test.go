package zone

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// The zones of the archive say the same as those of time/tzdata or the
// machine: in winter and in summer, with their own names.
func TestFind(t *testing.T) {
	for _, test := range []struct {
		zone           string
		winter, summer string
	}{
		{"Europe/Berlin", "CET +0100", "CEST +0200"},
		{"America/New_York", "EST -0500", "EDT -0400"},
		{"US/Eastern", "EST -0500", "EDT -0400"}, // another name of the same
		{"Asia/Kolkata", "IST +0530", "IST +0530"},
		{"Australia/Sydney", "AEDT +1100", "AEST +1000"},
		{"Etc/UTC", "UTC +0000", "UTC +0000"},
	} {
		data, known := find(test.zone)
		if !known {
			t.Errorf("%s is not known", test.zone)
			continue
		}
		zone, err := time.LoadLocationFromTZData(test.zone, data)
		if err != nil {
			t.Errorf("%s: %v", test.zone, err)
			continue
		}
		for month, want := range map[time.Month]string{time.January: test.winter, time.July: test.summer} {
			if got := time.Date(2026, month, 15, 12, 0, 0, 0, zone).Format("MST -0700"); got != want {
				t.Errorf("%s in %s: %s, want %s", test.zone, month, got, want)
			}
		}
	}
}

func TestFindNothing(t *testing.T) {
	for _, name := range []string{"", "Mars/Olympus", "europe/berlin", "Europe", "../Europe/Berlin", "Europe/Berlin\n", "107"} {
		if _, known := find(name); known {
			t.Errorf("%q is known", name)
		}
	}
}

// Every zone of the archive can be used, and it has all of them.
func TestArchive(t *testing.T) {
	packed, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for r := bufio.NewReader(packed); ; {
		names, data, err := next(r)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if seen[name] {
				t.Errorf("%s is there twice", name)
			}
			seen[name] = true
			if _, err := time.LoadLocationFromTZData(name, data); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	if len(seen) < 590 { // 597 in 2026; the database keeps old names for ever
		t.Errorf("only %d zones", len(seen))
	}
}

func TestNextIsStrict(t *testing.T) {
	for _, text := range []string{"x UTC\n", "-1 UTC\n", "99999999 UTC\n", "5 UTC\nabc", "5 UTC"} {
		if _, _, err := next(bufio.NewReader(strings.NewReader(text))); err == nil {
			t.Errorf("%q was read", text)
		}
	}
}

// Load is time.LoadLocation for what needs no archive, and for what is nowhere.
func TestLoad(t *testing.T) {
	if _, err := Load("Europe/Berlin"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"", "UTC", "Local", "Mars/Olympus", "../etc/passwd"} {
		want, wantErr := time.LoadLocation(name)
		got, err := Load(name)
		if (err == nil) != (wantErr == nil) || err == nil && got.String() != want.String() || err != nil && err.Error() != wantErr.Error() {
			t.Errorf("%q: %v, %v; want %v, %v", name, got, err, want, wantErr)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, known := find("Europe/Berlin"); !known {
			b.Fatal("not known")
		}
	}
}
