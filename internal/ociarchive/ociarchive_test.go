package ociarchive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tarball packs files, given as name and content in turn.
func tarball(t *testing.T, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		h := &tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// archive writes an archive with one image of one layer, and lets a test
// change a file of it.
func archive(t *testing.T, layer string, change map[string]string) string {
	t.Helper()
	files := map[string]string{
		"index.json":        `{"manifests":[{"digest":"sha256:list"}]}`,
		"blobs/sha256/list": `{"manifests":[{"digest":"sha256:image","size":5,"platform":{"os":"linux","architecture":"arm64"}}]}`,
		"blobs/sha256/image": fmt.Sprintf(`{"config":{"digest":"sha256:config","size":7},"layers":[{"digest":"sha256:layer","size":%d}]}`,
			len(layer)),
		"blobs/sha256/config": `{"created":"then","config":{"User":"0:0","Entrypoint":["/x"],"Labels":{"a":"b"}}}`,
		"blobs/sha256/layer":  layer,
	}
	var all []string
	for name, content := range files {
		if other, ok := change[name]; ok {
			content = other
		}
		all = append(all, name, content)
	}
	path := filepath.Join(t.TempDir(), "archive.tar")
	if err := os.WriteFile(path, tarball(t, all...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRead(t *testing.T) {
	layer := zipped(t, tarball(t, "bin/x", "program", "y", "text"))
	a, err := Read(archive(t, layer, nil))
	if err != nil {
		t.Fatal(err)
	}
	if a.Digest != "sha256:list" || len(a.Images) != 1 {
		t.Fatalf("%+v", a)
	}
	i := a.Images[0]
	if i.Platform != "linux/arm64" || i.Digest != "sha256:image" || i.Size != int64(5+7+len(layer)) {
		t.Errorf("%s %s %d", i.Platform, i.Digest, i.Size)
	}
	if i.Config.Config.User != "0:0" || i.Config.Config.Labels["a"] != "b" || i.Config.Created != "then" {
		t.Errorf("%+v", i.Config)
	}
	files, err := i.Files()
	if err != nil || len(files) != 2 || string(files["bin/x"].Content) != "program" {
		t.Errorf("%v, %v", files, err)
	}
}

func TestReadRefuses(t *testing.T) {
	layer := zipped(t, tarball(t, "x", "y"))
	for name, test := range map[string]struct{ file, content, want string }{
		"no list":        {"index.json", `{}`, "0 things"},
		"no JSON":        {"index.json", `{`, "index.json: unexpected end"},
		"missing image":  {"blobs/sha256/list", `{"manifests":[{"digest":"sha256:other"}]}`, "image sha256:other: it is missing"},
		"missing config": {"blobs/sha256/image", `{"config":{"digest":"sha256:other"}}`, "it is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read(archive(t, layer, map[string]string{test.file: test.content}))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %s", err, test.want)
			}
		})
	}
	for name, layer := range map[string]string{
		"not compressed": "text",
		"removes":        zipped(t, tarball(t, "etc/.wh.passwd", "")),
	} {
		t.Run(name, func(t *testing.T) {
			a, err := Read(archive(t, layer, nil))
			if err != nil {
				t.Fatal(err)
			}
			if files, err := a.Images[0].Files(); err == nil {
				t.Errorf("read as %v", files)
			}
		})
	}
}
