// Package durable keeps a few kilobytes on disk so that they are always either
// the old ones or the new ones, and can be replaced on a full disk.
package durable

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/drydock-ecs/drydock/agent"
)

// The names in the directory. live has the content; spare waits to be
// overwritten; fresh exists only while the first content is
// written.
const (
	live  = "intent"
	spare = "intent.spare"
	fresh = "intent.new"
)

const (
	magic    = "drydock intent 1"
	block    = 4096 // sizes are multiples of it
	smallest = 2 * block
	// Largest is the most bytes that a content may have.
	Largest = 1 << 20
	kept    = 5 // files set aside that are kept
)

// File is the intent file of one host: `intent` in a directory that survives
// reboots. It has one writer.
//
// The file is a line of text, the content, and a padding of empty lines. The
// line names the content's length and SHA-256. Beside it lies a spare whose
// blocks are all allocated. Save overwrites the spare and exchanges the two
// names. Neither file ever gets shorter, so that after a first Save none needs
// a new block, unless its content is longer than all before it.
type File struct {
	dir  string
	disk disk
}

var _ agent.IntentFile = (*File)(nil)

// New returns the intent file in dir, which must exist. It touches nothing.
func New(dir string) *File { return &File{dir, directory(dir)} }

// disk is what Save needs of a directory. Every method is durable when it
// returns nil; after an error it may have been done, in part or not at all.
type disk interface {
	// write puts data at an offset into a file, which it makes if need be.
	write(name string, at int64, data []byte) error
	// swap exchanges two names in one step. It fails with
	// errors.ErrUnsupported where the file system cannot.
	swap(a, b string) error
	// move gives a file another name, over a file that has it.
	move(from, to string) error
	// remove removes a file. A file that is not there is removed.
	remove(name string) error
}

// Load returns the content last saved. It fails with agent.ErrNoIntent when
// there is none, and with agent.ErrDamaged when the file is not as it was
// written or the disk cannot read it. Other errors (no permission, no file
// descriptor) say nothing about the file.
func (f *File) Load() ([]byte, error) {
	data, err := f.read(live)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("load %s: %w", f.path(live), agent.ErrNoIntent)
	case unreadable(err):
		return nil, fmt.Errorf("load %s: %w: %w", f.path(live), agent.ErrDamaged, err)
	case err != nil:
		return nil, fmt.Errorf("load intent: %w", err)
	}
	content, err := decode(data)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w: %w", f.path(live), agent.ErrDamaged, err)
	}
	return content, nil
}

// Save makes content durable. On an error the old content stands; only where
// the disk failed in the very last step, the fsync of the directory, either
// may stand.
func (f *File) Save(content []byte) error {
	if len(content) > Largest {
		return fmt.Errorf("save intent: %d bytes are more than %d", len(content), Largest)
	}
	data := encode(content)
	err := f.ensure(spare, len(data))
	if err == nil {
		_, err = f.size(live)
		if errors.Is(err, fs.ErrNotExist) {
			err = f.first(data)
		} else if err == nil {
			err = f.replace(data)
		}
	}
	if err != nil {
		return fmt.Errorf("save intent: %w", err)
	}
	return nil
}

// first writes the first content. Whatever needs blocks comes before the one
// step that makes the content count.
func (f *File) first(data []byte) error {
	// Dies here, or in the write: there is no intent. What was written is
	// overwritten by the next Save.
	if err := f.disk.write(fresh, 0, data); err != nil {
		// A full disk: give back what was taken, so that the next try does
		// not find it fuller. Should that fail too, nothing is lost.
		return errors.Join(err, f.disk.remove(fresh))
	}
	// Dies in the move: no intent, or the whole of it.
	return f.disk.move(fresh, live)
}

// replace writes content over the spare and makes the spare the intent.
func (f *File) replace(data []byte) error {
	// Left by a death in first; the blocks are better free.
	if err := f.disk.remove(fresh); err != nil {
		return err
	}
	// The old file is the next spare. What it lacks it gets now, so that a
	// full disk is noticed before anything is changed: longer padding changes
	// no content. Dies here: the old intent.
	if err := f.ensure(live, len(data)); err != nil {
		return err
	}
	// Dies in the write: the old intent, and a torn spare that nobody reads.
	if err := f.disk.write(spare, 0, data); err != nil {
		return err
	}
	// Dies in the swap: one name has the old content, the other the new, each
	// whole. The reader sees one of them.
	err := f.disk.swap(spare, live)
	if !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	// This file system exchanges no names: the old file is given up, and its
	// blocks go to a new spare. Dies between the two: the new intent, and a
	// spare that the next Save makes.
	if err := f.disk.move(spare, live); err != nil {
		return err
	}
	// The content is saved; a spare that could not be made is for the next
	// Save to report.
	_ = f.ensure(spare, len(data))
	return nil
}

// SetAside renames the intent to intent.<why>-<UTC time> and returns its new
// path. The spare stays. Of such files the newest few are kept. It fails with
// agent.ErrNoIntent when there is nothing to set aside.
func (f *File) SetAside(why string) (string, error) {
	name := fmt.Sprintf("%s.%s-%s", live, word(why), time.Now().UTC().Format("20060102T150405.000000000Z"))
	err := f.disk.move(live, name)
	if errors.Is(err, fs.ErrNotExist) {
		err = agent.ErrNoIntent
	}
	if err != nil {
		return "", fmt.Errorf("set intent aside: %w", err)
	}
	// Dies here, or fails: one file too many, removed the next time.
	_ = f.prune()
	return f.path(name), nil
}

// prune removes all but the newest files that were set aside.
func (f *File) prune() error {
	names, err := filepath.Glob(f.path(live) + ".*-*Z")
	stamp := func(name string) string { return name[strings.LastIndexByte(name, '-'):] }
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(stamp(b), stamp(a)) })
	for _, name := range names[min(kept, len(names)):] {
		err = errors.Join(err, f.disk.remove(filepath.Base(name)))
	}
	return err
}

// ensure makes a file at least so long, with blocks of its own for all of it.
func (f *File) ensure(name string, size int) error {
	has, err := f.size(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if has >= size {
		return nil
	}
	return f.pad(name, has, size)
}

// pad fills a file with padding. Written bytes, not a preallocation: blocks
// that were only reserved may need another one when they are written.
func (f *File) pad(name string, from, to int) error {
	return f.disk.write(name, int64(from), bytes.Repeat([]byte("\n"), to-from))
}

// size returns how long a file is.
func (f *File) size(name string) (int, error) {
	info, err := os.Lstat(f.path(name))
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, fmt.Errorf("%s is not a regular file", f.path(name))
	}
	return int(min(info.Size(), 2*Largest)), nil
}

// read returns what a file holds, up to more than any intent has.
func (f *File) read(name string) ([]byte, error) {
	file, err := os.Open(f.path(name))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, 2*Largest))
}

func (f *File) path(name string) string { return filepath.Join(f.dir, name) }

// encode frames content and pads it to whole blocks.
func encode(content []byte) []byte {
	data := fmt.Appendf(nil, "%s %d %x\n", magic, len(content), sha256.Sum256(content))
	data = append(data, content...)
	size := max(smallest, (len(data)+block-1)/block*block)
	return append(data, bytes.Repeat([]byte("\n"), size-len(data))...)
}

// decode returns the content of a frame. What follows the content is not
// looked at: it may be padding of any length, or the end of a longer content.
func decode(data []byte) ([]byte, error) {
	line, rest, found := bytes.Cut(data, []byte("\n"))
	if !found {
		return nil, errors.New("it has no first line")
	}
	var length int
	if _, err := fmt.Sscanf(string(line), magic+" %d ", &length); err != nil || length < 0 || length > len(rest) {
		return nil, errors.New("its first line does not fit")
	}
	content := rest[:length]
	// The line is compared as a whole, so that nothing else is taken for it.
	if want := fmt.Sprintf("%s %d %x", magic, length, sha256.Sum256(content)); want != string(line) {
		return nil, errors.New("its checksum does not fit")
	}
	return slices.Clone(content), nil
}

// word makes a part of a file name of a reason.
func word(why string) string {
	clean := strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' {
			return c
		}
		return -1
	}, strings.ToLower(why))
	if clean == "" {
		return "aside"
	}
	return clean[:min(len(clean), 32)]
}
