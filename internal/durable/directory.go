package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// directory is a directory on a real disk.
type directory string

// write overwrites in place: a file that is truncated first gives its blocks
// back and may not get them again.
func (d directory) write(name string, at int64, data []byte) error {
	file, err := os.OpenFile(d.path(name), os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(data, at)
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

func (d directory) swap(a, b string) error {
	if err := exchange(d.path(a), d.path(b)); err != nil {
		return err
	}
	return d.sync()
}

func (d directory) move(from, to string) error {
	if err := os.Rename(d.path(from), d.path(to)); err != nil {
		return err
	}
	return d.sync()
}

func (d directory) remove(name string) error {
	err := os.Remove(d.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sync makes the names in the directory durable.
func (d directory) sync() error {
	dir, err := os.Open(string(d))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d directory) path(name string) string { return filepath.Join(string(d), name) }
