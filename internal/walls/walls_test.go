package walls

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/drydock-ecs/drydock"

// bans say what a package must not import. Indirect bans hold for everything
// that its imports import as well, outside of the standard library.
var bans = []struct {
	pkg      string
	banned   string // a path, or what lies below it; "" is all but the standard library
	indirect bool
	reason   string
}{
	{"agent", "github.com/aws", true, "the agent's decisions are tested without AWS; doors to it are ports"},
	{"agent", "net/http", false, "whatever speaks HTTP is a door, and doors are ports"},
	{"agent", "os", false, "files, signals and the environment reach the agent through ports, so that a fleet of agents fits into one test"},
	{"agent", "os/exec", false, "the agent speaks to the API; it runs no programs"},
	{"agent", "os/signal", false, "the context that ends the agent comes from outside"},
	{"coordination", "", true, "the lock's rules can be read, moved and checked without anything else"},
	{"apiclientx", "", true, "the Bottlerocket client is of use to others, who should get nothing else with it"},
}

func TestImports(t *testing.T) {
	all := packages(t)
	for _, ban := range bans {
		pkg, ok := all[path.Join(module, ban.pkg)]
		if !ok {
			t.Errorf("there is no package %s", ban.pkg)
			continue
		}
		imports := pkg.Imports
		if ban.indirect {
			imports = pkg.Deps
		}
		for _, name := range imports {
			if breaks(ban.pkg, ban.banned, name, all) {
				t.Errorf("%s imports %s%s: %s", ban.pkg, name, via(pkg, name), ban.reason)
			}
		}
	}
}

// breaks reports whether an import falls under a ban. The package's own parts
// fall under none.
func breaks(pkg, banned, name string, all map[string]listed) bool {
	if banned == "" {
		return !all[name].Standard && name != path.Join(module, pkg)
	}
	return name == banned || strings.HasPrefix(name, banned+"/") && strings.Contains(banned, ".")
}

func via(pkg listed, name string) string {
	if slices.Contains(pkg.Imports, name) {
		return ""
	}
	return " (through another package)"
}

// The doors are opened in main alone: nothing imports a command, and the parts
// that are shared do not import those that use them.
func TestDirections(t *testing.T) {
	for name, pkg := range packages(t) {
		for _, dep := range pkg.Imports {
			switch {
			case !strings.HasPrefix(name, module):
			case strings.HasPrefix(dep, module+"/cmd/"):
				t.Errorf("%s imports the command %s", name, dep)
			case name == module+"/internal/hint" && strings.HasPrefix(dep, module):
				t.Errorf("%s imports %s: hints know nobody", name, dep)
			}
		}
	}
}

// A policy names time zones, and the image of the agent has no files of them.
func TestZonesAreEmbedded(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.pkg == "internal/zone" {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.SelectorExpr); ok && call.Sel.Name == "LoadLocation" {
				t.Errorf("%s: zones come from internal/zone, which has them in the program: elsewhere there are none on the hosts", s.at(n))
			}
			return true
		})
	}
}

// listed is what `go list` says of a package, without its tests.
type listed struct {
	ImportPath, Dir string
	Standard        bool
	Imports, Deps   []string
	GoFiles         []string
	Error           *struct{ Err string }
}

// packages lists the module's packages and all that they import.
func packages(t *testing.T) map[string]listed {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-deps", "-json=ImportPath,Dir,Standard,Imports,Deps,GoFiles,Error", module+"/...")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	all := map[string]listed{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Error != nil && strings.HasPrefix(p.ImportPath, module) {
			t.Errorf("%s: %s", p.ImportPath, p.Error.Err)
		}
		all[p.ImportPath] = p
	}
}

// source is one file of the module.
type source struct {
	pkg  string // the directory, relative to the module
	name string // the path, relative to the module
	test bool
	ast  *ast.File
	set  *token.FileSet
}

// sources parses every file of the module, tests among them.
func sources(t *testing.T) []source {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var all []source
	for name, pkg := range packages(t) {
		if !strings.HasPrefix(name, module) {
			continue
		}
		paths, err := filepath.Glob(filepath.Join(pkg.Dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range paths {
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			relative, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, source{filepath.Dir(relative), relative, strings.HasSuffix(file, "_test.go"), parsed, set})
		}
	}
	slices.SortFunc(all, func(a, b source) int { return strings.Compare(a.name, b.name) })
	return all
}

// at is a place in a file, for a message.
func (s source) at(node ast.Node) string {
	return fmt.Sprintf("%s:%d", s.name, s.set.Position(node.Pos()).Line)
}

func TestPackageComments(t *testing.T) {
	has := map[string]bool{}
	for _, s := range sources(t) {
		if !s.test {
			has[s.pkg] = has[s.pkg] || s.ast.Doc != nil
		}
	}
	for pkg, ok := range has {
		if !ok {
			t.Errorf("package %s has no comment that says what it gives", pkg)
		}
	}
}

// Every exported name outside of tests has a comment. Methods that every Go
// programmer knows need none.
func TestExportedNames(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, decl := range s.ast.Decls {
			for _, missing := range undocumented(decl) {
				t.Errorf("%s: %s has no comment", s.at(missing), missing.Name)
			}
		}
	}
}

// undocumented returns the exported names of a declaration that have no
// comment. A comment on a group is one for each of its constants and
// variables, not for its types.
func undocumented(decl ast.Decl) []*ast.Ident {
	if f, ok := decl.(*ast.FuncDecl); ok {
		if f.Name.IsExported() && f.Doc == nil && exportedReceiver(f) && !slices.Contains([]string{"Error", "String", "Unwrap", "Is"}, f.Name.Name) {
			return []*ast.Ident{f.Name}
		}
		return nil
	}
	var missing []*ast.Ident
	group := decl.(*ast.GenDecl)
	for _, spec := range group.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			if spec.Name.IsExported() && spec.Doc == nil && (group.Doc == nil || group.Lparen.IsValid()) {
				missing = append(missing, spec.Name)
			}
		case *ast.ValueSpec:
			for _, name := range spec.Names {
				if name.IsExported() && spec.Doc == nil && spec.Comment == nil && group.Doc == nil {
					missing = append(missing, name)
				}
			}
		}
	}
	return missing
}

// exportedReceiver reports whether a function can be seen from outside: it is
// no method of an unexported type.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	exported := true
	ast.Inspect(f.Recv.List[0].Type, func(n ast.Node) bool {
		if name, ok := n.(*ast.Ident); ok {
			exported = exported && name.IsExported()
			return false
		}
		_, generic := n.(*ast.IndexExpr)
		return !generic || exported
	})
	return exported
}

// A sleep in a test is slow or wrong, and often both; within a synctest bubble
// it is neither. A sleep in a program cannot be ended by its context. What no
// program contains are stand-ins, which live in the bubbles of tests.
func TestSleeps(t *testing.T) {
	all := packages(t)
	linked := slices.Concat(all[module+"/cmd/drydock"].Deps, all[module+"/cmd/drydock-demo"].Deps)
	for _, s := range sources(t) {
		bubble := slices.ContainsFunc(s.ast.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == `"testing/synctest"` })
		standIn := !strings.HasPrefix(s.pkg, "cmd/") && !slices.Contains(linked, path.Join(module, s.pkg))
		if s.test && bubble || !s.test && standIn {
			continue
		}
		for _, sleep := range sleeps(s.ast) {
			t.Errorf("%s sleeps: wait for a fact, with a deadline and a context", s.at(sleep))
		}
	}
}

func sleeps(file *ast.File) (found []ast.Node) {
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.SelectorExpr); ok && call.Sel.Name == "Sleep" {
			if pkg, ok := call.X.(*ast.Ident); ok && pkg.Name == "time" {
				found = append(found, n)
			}
		}
		return true
	})
	return found
}

const longest = 70 // lines of a function: what fits a screen

// long are the functions that may be longer than that, with the reason.
var long = map[string]string{}

func TestFunctionLength(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, decl := range s.ast.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := s.set.Position(f.End()).Line - s.set.Position(f.Pos()).Line + 1
			if name := s.pkg + "." + f.Name.Name; lines > longest && long[name] == "" {
				t.Errorf("%s: %s has %d lines, more than %d", s.at(f), f.Name.Name, lines, longest)
			}
		}
	}
}

// An interface says what one consumer needs. A wide one says that the cut is
// wrong.
func TestInterfaceWidth(t *testing.T) {
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		ast.Inspect(s.ast, func(n ast.Node) bool {
			if i, ok := n.(*ast.InterfaceType); ok && i.Methods.NumFields() > 4 {
				t.Errorf("%s: an interface has %d methods, more than 4", s.at(n), i.Methods.NumFields())
			}
			return true
		})
	}
}

// The rules themselves find what they are to find.
func TestRules(t *testing.T) {
	const text = `package p
func Bare() {}
// Told is told.
func Told() {}
func private() { time.Sleep(1) }
type t struct{}
func (t) Hidden() {}
type (
	Naked int
	// Clad is clad.
	Clad int
)
func (Clad) Method() {}
func (*Clad) Error() string { return "" }
type G[T any] struct{}
func (g *G[T]) Generic() {}
// Group.
const (
	A = 1
	B = 2
)
var C = 1
var D = 1 // told
`
	file, err := parser.ParseFile(token.NewFileSet(), "p.go", text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, decl := range file.Decls {
		for _, name := range undocumented(decl) {
			got = append(got, name.Name)
		}
	}
	if want := []string{"Bare", "Naked", "Method", "G", "Generic", "C"}; !slices.Equal(got, want) {
		t.Errorf("undocumented: %v, want %v", got, want)
	}
	if n := len(sleeps(file)); n != 1 {
		t.Errorf("%d sleeps are found", n)
	}
	all := map[string]listed{"os": {Standard: true}, module + "/agent": {}, "github.com/aws/x": {}}
	for _, test := range []struct {
		pkg, banned, name string
		want              bool
	}{
		{"agent", "os", "os", true},
		{"agent", "os", "os/exec", false},
		{"agent", "github.com/aws", "github.com/aws/x", true},
		{"agent", "github.com/aws", "github.com/awsome/x", false},
		{"coordination", "", "os", false},
		{"coordination", "", module + "/agent", true},
		{"coordination", "", module + "/coordination", false},
	} {
		if got := breaks(test.pkg, test.banned, test.name, all); got != test.want {
			t.Errorf("%s importing %s under the ban of %q: %v", test.pkg, test.name, test.banned, got)
		}
	}
}
