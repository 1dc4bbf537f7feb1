package packaging_test

import (
	"bytes"
	"encoding/json"
	"errors"
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

const (
	module   = "github.com/drydock-ecs/drydock"
	services = "github.com/aws/aws-sdk-go-v2/service/"
)

// programCalls are the IAM actions of every AWS request that the sources of
// cmd/drydock name: ecs.StopTaskInput is ecs:StopTask.
func programCalls(t *testing.T) []string {
	t.Helper()
	var calls []string
	for _, file := range sources(t, "cmd/drydock", true) {
		clients := map[string]string{} // the name in the file, the service
		for _, i := range file.Imports {
			if service, ok := strings.CutPrefix(strings.Trim(i.Path.Value, `"`), services); ok && !strings.Contains(service, "/") {
				name := service
				if i.Name != nil {
					name = i.Name.Name
				}
				clients[name] = service
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			pkg, name := selector(n)
			operation, ok := strings.CutSuffix(name, "Input")
			if service := clients[pkg]; ok && service != "" {
				calls = append(calls, service+":"+operation)
			}
			return true
		})
	}
	return calls
}

// selector takes x.Name apart.
func selector(n ast.Node) (x, name string) {
	s, ok := n.(*ast.SelectorExpr)
	if !ok {
		return "", ""
	}
	if id, ok := s.X.(*ast.Ident); ok {
		return id.Name, s.Sel.Name
	}
	return "", s.Sel.Name
}

// callGraph says which methods of the lock's two types name which others, and
// which of DynamoDB's operations.
type callGraph map[string][]string

// lockCalls reads coordination.Fleet, which names methods of its Store and its
// Rows, and dynamo.Table, which is both and names operations of its api.
func lockCalls(t *testing.T) callGraph {
	t.Helper()
	graph := callGraph{}
	for pkg, owners := range map[string]map[string]string{
		"coordination":        {"": "coordination.Fleet.", "Store": "dynamo.Table.", "Rows": "dynamo.Table."},
		"coordination/dynamo": {"": "dynamo.Table.", "api": "dynamodb:"},
	} {
		for _, file := range sources(t, pkg, false) {
			for _, decl := range file.Decls {
				if f, ok := decl.(*ast.FuncDecl); ok && f.Recv != nil && len(f.Recv.List[0].Names) > 0 {
					from := path.Base(pkg) + "." + receiver(f) + "." + f.Name.Name
					graph[from] = append(graph[from], named(f, owners)...)
				}
			}
		}
	}
	return graph
}

func receiver(f *ast.FuncDecl) string {
	kind := f.Recv.List[0].Type
	if pointer, ok := kind.(*ast.StarExpr); ok {
		kind = pointer.X
	}
	if id, ok := kind.(*ast.Ident); ok {
		return id.Name
	}
	return ""
}

// named are the methods that a method names: r.m for a method of its own type,
// r.field.m for one of what the field holds. Being named is taken for being
// called, so that method values count.
func named(f *ast.FuncDecl, owners map[string]string) []string {
	own := f.Recv.List[0].Names[0].Name
	var found []string
	ast.Inspect(f.Body, func(n ast.Node) bool {
		s, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, name := selector(s); x == own {
			found = append(found, owners[""]+name)
		} else if x, field := selector(s.X); x == own && owners[field] != "" {
			found = append(found, owners[field]+s.Sel.Name)
		}
		return true
	})
	return found
}

// of are the operations that a method comes to.
func (g callGraph) of(owner, method string) []string {
	var operations []string
	seen := map[string]bool{}
	var visit func(string)
	visit = func(name string) {
		if seen[name] {
			return
		}
		seen[name] = true
		if strings.HasPrefix(name, "dynamodb:") {
			operations = append(operations, name)
		}
		for _, next := range g[name] {
			visit(next)
		}
	}
	visit(owner + "." + method)
	return operations
}

// sources parses a package, with all of the module that it imports if wanted;
// tests are left out.
func sources(t *testing.T, pkg string, imports bool) []*ast.File {
	t.Helper()
	args := []string{"list", "-json=ImportPath,Dir,GoFiles", module + "/" + pkg}
	if imports {
		args = slices.Insert(args, 1, "-deps")
	}
	out, err := exec.Command("go", args...).Output()
	if err != nil {
		t.Fatalf("go %v: %v", args, err)
	}
	var files []*ast.File
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var listed struct {
			ImportPath, Dir string
			GoFiles         []string
		}
		if err := d.Decode(&listed); errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(listed.ImportPath, module) {
			continue
		}
		for _, name := range listed.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(listed.Dir, name), nil, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, file)
		}
	}
}
