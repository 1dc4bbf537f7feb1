package hosttest

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/drydock-ecs/drydock/internal/ociarchive"
)

// maxImage is what the image may weigh, compressed.
const maxImage = 6e6

// rootsFile is where crypto/x509 looks for certificates.
const rootsFile = "etc/ssl/certs/ca-certificates.crt"

func TestImage(t *testing.T) {
	archive, err := ociarchive.Read(os.Getenv(imageEnv))
	if err != nil {
		t.Fatal(err)
	}
	var platforms []string
	for _, i := range archive.Images {
		platforms = append(platforms, i.Platform)
		t.Logf("MEASURE image for %s: %.2f MB compressed", i.Platform, float64(i.Size)/1e6)
		if i.Size > maxImage {
			t.Errorf("%s: %d bytes, more than %.0f", i.Platform, i.Size, maxImage)
		}
		checkConfig(t, i)
		checkFiles(t, i)
	}
	if want := []string{"linux/amd64", "linux/arm64"}; !slices.Equal(platforms, want) {
		t.Errorf("platforms %v, want %v", platforms, want)
	}
}

func checkConfig(t *testing.T, i ociarchive.Image) {
	t.Helper()
	c := i.Config.Config
	if c.User != "0:0" || c.WorkingDir != "/" || !slices.Equal(c.Entrypoint, []string{"/drydock"}) || !slices.Equal(c.Cmd, []string{"agent"}) {
		t.Errorf("%s: %+v", i.Platform, c)
	}
	for _, label := range []string{"title", "description", "licenses", "source", "version", "revision"} {
		if c.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("%s: no label %s in %v", i.Platform, label, c.Labels)
		}
	}
}

// checkFiles wants the program and the certificates, and nothing else.
func checkFiles(t *testing.T, i ociarchive.Image) {
	t.Helper()
	files, err := i.Files()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for name, f := range files {
		if !f.FileInfo().IsDir() {
			names = append(names, name)
		}
		if f.Uid != 0 || f.Gid != 0 || f.Mode&0o022 != 0 || f.Mode&0o444 != 0o444 {
			t.Errorf("%s: %s is %d:%d, mode %o", i.Platform, name, f.Uid, f.Gid, f.Mode)
		}
	}
	slices.Sort(names)
	if want := []string{"drydock", rootsFile}; !slices.Equal(names, want) {
		t.Errorf("%s: files %v, want %v", i.Platform, names, want)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(files[rootsFile].Content) {
		t.Errorf("%s: no certificates in %s", i.Platform, rootsFile)
	}
	if i.Platform == "linux/"+runtime.GOARCH {
		checkVersion(t, i, files["drydock"].Content)
	}
}

// checkVersion runs the program out of the image: it says the image's version.
func checkVersion(t *testing.T, i ociarchive.Image, program []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "drydock")
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(path, "version").CombinedOutput()
	version := i.Config.Config.Labels["org.opencontainers.image.version"]
	if err != nil || !strings.HasPrefix(string(out), "drydock "+version+" ") {
		t.Errorf("%q, %v; the label says %s", out, err, version)
	}
}

// Two clones of the same commit, in different places and under different
// umasks, give the same bytes.
func TestImageIsReproducible(t *testing.T) {
	top, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var digests []string
	var archives []string
	for _, umask := range []string{"022", "077"} {
		clone := filepath.Join(t.TempDir(), "clone")
		script := "umask " + umask + ` && git clone --quiet "$1" "$2" && cd "$2" && make --silent image VERSION=test`
		if out, err := exec.Command("sh", "-ec", script, "sh", top, clone).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		path := filepath.Join(clone, "dist/drydock-test-image.tar")
		archive, err := ociarchive.Read(path)
		if err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		digests, archives = append(digests, archive.Digest), append(archives, string(data))
	}
	if digests[0] != digests[1] || archives[0] != archives[1] {
		t.Errorf("digests %v; the same archive: %v", digests, archives[0] == archives[1])
	}
	t.Logf("MEASURE two builds of one commit: %s, %s", digests[0], digests[1])
}
