package packaging_test

import (
	"encoding/base64"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/pelletier/go-toml/v2"

	"github.com/drydock-ecs/drydock/agent"
)

const userDataLimit = 16 << 10 // what EC2 takes

// settings.toml has every setting, with its default and a comment.
func TestSettings(t *testing.T) {
	text := read(t, "host-container/settings.toml")
	got, err := agent.ParseConfig("settings.toml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if want := agent.DefaultConfig(); got != want {
		t.Errorf("it changes settings:\n%s", cmp.Diff(want, got))
	}
	explained, known := keys(text), keys(agent.DefaultConfig().TOML())
	for key := range known {
		if _, ok := explained[key]; !ok {
			t.Errorf("it lacks %s", key)
		}
	}
	for key, comment := range explained {
		if _, ok := known[key]; !ok {
			t.Errorf("%s is no setting", key)
		}
		if !comment {
			t.Errorf("%s has no comment above it", key)
		}
	}
}

var (
	sectionLine = regexp.MustCompile(`^\[(.*)\]`)
	keyLine     = regexp.MustCompile(`^([a-z-_]+) *=`)
)

// keys are the settings in a text, and whether a comment stands above each.
func keys(text string) map[string]bool {
	found := map[string]bool{}
	section, above := "", ""
	for line := range strings.Lines(text) {
		if m := sectionLine.FindStringSubmatch(line); m != nil {
			section = m[1] + "."
		}
		if m := keyLine.FindStringSubmatch(line); m != nil {
			found[section+m[1]] = strings.HasPrefix(above, "#")
		}
		above = line
	}
	return found
}

// user-data.toml is what Bottlerocket reads; what is in its base64 is what the
// agent reads.
func TestUserData(t *testing.T) {
	text := read(t, "host-container/user-data.toml")
	var got struct {
		Settings struct {
			HostContainers map[string]struct {
				Enabled, Superpowered bool
				Source                string
				UserData              string `toml:"user-data"`
			} `toml:"host-containers"`
		}
	}
	decoder := toml.NewDecoder(strings.NewReader(text)).DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	container, ok := got.Settings.HostContainers["drydock"]
	if !ok || !container.Enabled || container.Superpowered || !strings.Contains(container.Source, "@sha256:") {
		t.Errorf("the host container is %+v", container)
	}
	settings, err := base64.StdEncoding.DecodeString(container.UserData)
	if err != nil {
		t.Fatal(err)
	}
	config, err := agent.ParseConfig("user-data", settings)
	if err != nil {
		t.Fatal(err)
	}
	if want := agent.DefaultConfig(); config != want {
		t.Errorf("it changes settings:\n%s", cmp.Diff(want, config))
	}
	for key, comment := range keys(text) {
		if !comment {
			t.Errorf("%s has no comment above it", key)
		}
	}
	for line := range strings.Lines(string(settings)) {
		if !strings.Contains(text, "#   "+line) {
			t.Errorf("the comment does not say that user-data holds %q", line)
		}
	}
}

// Even the whole of settings.toml fits into EC2's user data.
func TestSettingsFit(t *testing.T) {
	encoded := base64.StdEncoding.EncodedLen(len(read(t, "host-container/settings.toml")))
	if n := encoded + len(read(t, "host-container/user-data.toml")); n > userDataLimit {
		t.Errorf("user data of %d bytes", n)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
