package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// ForgetProgram unmaps the pages of this program's own file that were used so
// far. What runs next is mapped again as it is touched, from the kernel's page
// cache as a rule: code that ran once, at the start or in another phase, is no
// longer counted as this process's memory, and the kernel may drop it first.
func ForgetProgram() error {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("find the program: %w", err)
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return fmt.Errorf("list the program's pages: %w", err)
	}
	defer func() { _ = maps.Close() }() // it was only read
	all, err := unchanged(maps, exe)
	for _, m := range all {
		if _, _, number := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); number != 0 {
			err = errors.Join(err, fmt.Errorf("unmap the program's pages: %w", number))
		}
	}
	return err
}

// mapping is a range of addresses.
type mapping struct{ from, to uintptr }

// unchanged finds in the text of /proc/<pid>/smaps (proc(5)) the mappings of a
// file that hold what the file holds: nobody may write to them, and nobody has.
// In others, as in relocated tables, unmapping would lose what was written.
func unchanged(smaps io.Reader, file string) ([]mapping, error) {
	var all []mapping
	var m mapping
	for lines := bufio.NewScanner(smaps); ; {
		if !lines.Scan() {
			return all, lines.Err()
		}
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) > 1 && len(fields[1]) == 4 && strings.Contains(fields[0], "-"):
			m = mapping{}
			if strings.HasSuffix(lines.Text(), " "+file) && (fields[1] == "r-xp" || fields[1] == "r--p") {
				m = parseRange(fields[0])
			}
		case len(fields) == 3 && fields[0] == "Anonymous:" && fields[1] == "0" && m.to > m.from:
			all = append(all, m)
		case len(fields) == 3 && fields[0] == "Swap:" && fields[1] != "0" && len(all) > 0 && all[len(all)-1] == m:
			all = all[:len(all)-1] // written to, and swapped out since
		}
	}
}

func parseRange(text string) mapping {
	from, to, _ := strings.Cut(text, "-")
	first, errFirst := strconv.ParseUint(from, 16, 64)
	last, errLast := strconv.ParseUint(to, 16, 64)
	if errFirst != nil || errLast != nil {
		return mapping{}
	}
	return mapping{uintptr(first), uintptr(last)}
}
