package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// options are the flags.
type options struct {
	hosts, slots int
	timeout      time.Duration
	verbose      bool
	keep         string // folder for the hosts' files; "" is one that is removed
	drydock      string // path of the binary
	story        story
}

// Limits of the flags. A Unix socket's path may have 107 bytes.
const (
	maxHosts  = 100
	maxSlots  = 100
	maxFolder = 70
)

// parseOptions reads the flags; what is wrong with them is in the error.
// flag.ErrHelp means that the usage was printed.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	var name string
	flags := flag.NewFlagSet("drydock-demo", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.IntVar(&o.hosts, "hosts", 3, "simulated hosts")
	flags.IntVar(&o.slots, "slots", 1, "hosts that may be out of service at once; fewer than hosts")
	flags.DurationVar(&o.timeout, "timeout", 0, "give up after this; 0: 90s, or longer for many hosts")
	flags.BoolVar(&o.verbose, "verbose", false, "show the agents' debug log")
	flags.StringVar(&o.keep, "keep", "", "keep the hosts' files in this folder")
	flags.StringVar(&o.drydock, "drydock", "", "the drydock binary; default: beside this one")
	flags.StringVar(&name, "break", "", "what goes wrong: "+strings.Join(storyNames(), ", "))
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", flags.Arg(0))
	}
	return o, o.complete(name)
}

// complete checks the flags and fills in what was left open.
func (o *options) complete(name string) error {
	var ok bool
	if o.story, ok = findStory(name); !ok {
		return fmt.Errorf("--break=%s: there are %s", name, strings.Join(storyNames(), ", "))
	}
	switch {
	case o.hosts < 2 || o.hosts > maxHosts:
		return fmt.Errorf("--hosts %d: 2 to %d, since tasks need somewhere to go", o.hosts, maxHosts)
	case o.slots < 1 || o.slots > maxSlots:
		return fmt.Errorf("--slots %d: 1 to %d", o.slots, maxSlots)
	case o.slots >= o.hosts:
		return fmt.Errorf("--slots %d with --hosts %d: at least one host must stay in service", o.slots, o.hosts)
	case o.timeout < 0:
		return errors.New("--timeout must not be negative")
	}
	if err := o.findFolder(); err != nil {
		return err
	}
	if o.timeout == 0 {
		o.timeout = max(defaultTimeout, startLength+time.Duration(o.rounds())*roundLength) + o.story.extra
	}
	return o.findBinary()
}

// rounds is how often all slots are handed on.
func (o *options) rounds() int { return (o.hosts + o.slots - 1) / o.slots }

// findFolder makes the folder's path one that holds for other programs too.
func (o *options) findFolder() (err error) {
	if o.keep == "" {
		return nil
	}
	if o.keep, err = filepath.Abs(o.keep); err != nil {
		return fmt.Errorf("--keep: %w", err)
	}
	if len(o.keep) > maxFolder {
		return fmt.Errorf("--keep: %s has more than %d bytes, too long for a socket in it", o.keep, maxFolder)
	}
	return nil
}

// findBinary looks for drydock beside this program unless a flag names it.
func (o *options) findBinary() error {
	if o.drydock == "" {
		self, err := os.Executable()
		if err != nil {
			return fmt.Errorf("find the drydock binary: %w", err)
		}
		o.drydock = filepath.Join(filepath.Dir(self), "drydock")
	}
	path, err := filepath.Abs(o.drydock)
	if err != nil {
		return fmt.Errorf("find the drydock binary: %w", err)
	}
	if _, err := os.Stat(path); err != nil {
		return fmt.Errorf("find the drydock binary: %w (build it, or name it by --drydock)", err)
	}
	o.drydock = path
	return nil
}
