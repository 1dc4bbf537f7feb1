//go:build ignore

// Command generate packs the Go toolchain's zones into zones.gz.
package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"compress/gzip"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		log.Fatal(err)
	}
	zones, err := zip.OpenReader(filepath.Join(strings.TrimSpace(string(root)), "lib", "time", "zoneinfo.zip"))
	if err != nil {
		log.Fatal(err)
	}
	packed, err := pack(zones.File)
	if err != nil {
		log.Fatal(err)
	}
	if err := os.WriteFile("zones.gz", packed, 0o644); err != nil {
		log.Fatal(err)
	}
}

// pack writes the archive, the same one for the same zones.
func pack(files []*zip.File) ([]byte, error) {
	names := make(map[string][]string) // by the zone's bytes
	for _, f := range files {
		if f.FileInfo().IsDir() {
			continue
		}
		data, err := read(f)
		if err != nil {
			return nil, err
		}
		names[data] = append(names[data], f.Name)
	}
	var zones []string
	for data := range names {
		slices.Sort(names[data])
		zones = append(zones, data)
	}
	slices.SortFunc(zones, func(a, b string) int { return cmp.Compare(names[a][0], names[b][0]) })
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	for _, data := range zones {
		fmt.Fprintf(w, "%d %s\n%s", len(data), strings.Join(names[data], " "), data)
	}
	err = w.Close()
	return out.Bytes(), err
}

func read(f *zip.File) (string, error) {
	r, err := f.Open()
	if err != nil {
		return "", err
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	return string(data), err
}
