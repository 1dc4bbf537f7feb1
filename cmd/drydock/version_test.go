package main

import (
	"regexp"
	"runtime/debug"
	"testing"
)

func TestVersionOf(t *testing.T) {
	vcs := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: "0123456789abcdef0123"}, {Key: "vcs.modified", Value: modified}}
	}
	for _, test := range []struct {
		linked, module string
		settings       []debug.BuildSetting
		want           string
	}{
		{"v1.2.3", "v1.2.2", vcs("true"), "v1.2.3"},
		{"", "v1.2.2", vcs("false"), "v1.2.2"},
		{"", "(devel)", vcs("false"), "0123456789ab"},
		{"", "(devel)", vcs("true"), "0123456789ab-dirty"},
		{"", "(devel)", nil, "devel"},
		{"", "", nil, "devel"},
		{"", "", []debug.BuildSetting{{Key: "vcs.modified", Value: "true"}}, "devel"},
		{"", "", []debug.BuildSetting{{Key: "vcs.revision", Value: "abc"}}, "abc"},
	} {
		info := &debug.BuildInfo{Main: debug.Module{Version: test.module}, Settings: test.settings}
		if got := versionOf(test.linked, info); got != test.want {
			t.Errorf("%+v: %s", test, got)
		}
	}
}

func TestVersionCommand(t *testing.T) {
	code, stdout, stderr := runIn(t, "", "version")
	if want := regexp.MustCompile(`^drydock \S+ go\S+ \w+/\w+\n$`); code != 0 || !want.MatchString(stdout) || stderr != "" {
		t.Errorf("ends with %d: %q, %q", code, stdout, stderr)
	}
}
