// Package ociarchive reads images out of an OCI archive: a tar file with an
// OCI image layout (https://github.com/opencontainers/image-spec), whose index
// holds one image for each platform.
package ociarchive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Archive is what stands in an archive.
type Archive struct {
	// Digest names what the archive's index points at, "sha256:…": the list of
	// the images, as a registry will call it.
	Digest string
	Images []Image
}

// Image is the image for one platform.
type Image struct {
	Platform string // "linux/amd64"
	Digest   string // of its manifest
	Size     int64  // bytes that a registry sends for it: manifest, config and compressed layers
	Config   Config
	layers   [][]byte
}

// Config is a part of an image's configuration.
type Config struct {
	Created string
	Config  struct {
		User, WorkingDir string
		Entrypoint, Cmd  []string
		Env              []string
		Labels           map[string]string
	}
}

// descriptor points at a blob.
type descriptor struct {
	Digest   string
	Size     int64
	Platform struct{ Architecture, OS string }
}

// Read reads an archive, with its layers, into memory.
func Read(path string) (Archive, error) {
	files, err := untar(path)
	if err != nil {
		return Archive{}, fmt.Errorf("read image archive: %w", err)
	}
	var layout struct{ Manifests []descriptor }
	if err := parse(files["index.json"], &layout); err != nil {
		return Archive{}, fmt.Errorf("read %s: index.json: %w", path, err)
	}
	if n := len(layout.Manifests); n != 1 {
		return Archive{}, fmt.Errorf("read %s: index.json points at %d things, not at one list of images", path, n)
	}
	a := Archive{Digest: layout.Manifests[0].Digest}
	var list struct{ Manifests []descriptor }
	if err := parse(blob(files, a.Digest), &list); err != nil {
		return Archive{}, fmt.Errorf("read %s: list of images: %w", path, err)
	}
	for _, d := range list.Manifests {
		i, err := readImage(files, d)
		if err != nil {
			return Archive{}, fmt.Errorf("read %s: image %s: %w", path, d.Digest, err)
		}
		a.Images = append(a.Images, i)
	}
	return a, nil
}

func readImage(files map[string][]byte, d descriptor) (Image, error) {
	i := Image{Platform: d.Platform.OS + "/" + d.Platform.Architecture, Digest: d.Digest, Size: d.Size}
	var manifest struct {
		Config descriptor
		Layers []descriptor
	}
	if err := parse(blob(files, d.Digest), &manifest); err != nil {
		return Image{}, err
	}
	if err := parse(blob(files, manifest.Config.Digest), &i.Config); err != nil {
		return Image{}, err
	}
	i.Size += manifest.Config.Size
	for _, layer := range manifest.Layers {
		i.Size += layer.Size
		i.layers = append(i.layers, blob(files, layer.Digest))
	}
	return i, nil
}

// File is a file of an image.
type File struct {
	tar.Header
	Content []byte
}

// Files returns what the image's layers hold, by path without a leading slash.
// A layer that removes something from one below is an error: ours have no
// reason to.
func (i Image) Files() (map[string]File, error) {
	files := make(map[string]File)
	for _, layer := range i.layers {
		unpacked, err := gzip.NewReader(bytes.NewReader(layer))
		if err != nil {
			return nil, fmt.Errorf("read layer: %w", err)
		}
		err = each(unpacked, func(h *tar.Header, content []byte) error {
			if strings.Contains(h.Name, ".wh.") {
				return fmt.Errorf("%s removes a file", h.Name)
			}
			files[strings.Trim(h.Name, "/")] = File{*h, content}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read layer: %w", err)
		}
	}
	return files, nil
}

func blob(files map[string][]byte, digest string) []byte {
	return files["blobs/"+strings.Replace(digest, ":", "/", 1)]
}

func parse(data []byte, into any) error {
	if data == nil {
		return errors.New("it is missing")
	}
	return json.Unmarshal(data, into)
}

func untar(path string) (map[string][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	files := make(map[string][]byte)
	err = each(f, func(h *tar.Header, content []byte) error {
		files[strings.TrimPrefix(h.Name, "./")] = content
		return nil
	})
	return files, err
}

func each(r io.Reader, do func(*tar.Header, []byte) error) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		content, err := io.ReadAll(t)
		if err == nil {
			err = do(h, content)
		}
		if err != nil {
			return err
		}
	}
}
