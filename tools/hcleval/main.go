// Hcleval evaluates a Terraform module without Terraform and without providers:
// what its resources and outputs are for given variables. It knows the functions
// that packaging/terraform uses and no others.
//
// Usage: hcleval DIRECTORY < INPUT
//
// INPUT is a JSON object: "var" has the variables, "data" what data sources
// answer, by type and name. What only a provider knows is null in the output.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: hcleval DIRECTORY < INPUT")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hcleval:", err)
		os.Exit(1)
	}
}

func run(dir string, in io.Reader, out io.Writer) error {
	blocks, err := load(dir)
	if err != nil {
		return err
	}
	var given input
	if err := json.NewDecoder(in).Decode(&given); err != nil {
		return fmt.Errorf("read input: %w", err)
	}
	m := module{dir: dir, blocks: blocks}
	result, err := m.evaluate(given)
	if err != nil {
		return err
	}
	return json.NewEncoder(out).Encode(result)
}

// input is what the module is evaluated for.
type input struct {
	Var  map[string]value `json:"var"`
	Data value            `json:"data"`
}

// value is a JSON value of any type, as cty has it.
type value struct{ cty.Value }

// UnmarshalJSON takes the type that the text implies.
func (v *value) UnmarshalJSON(text []byte) error {
	t, err := ctyjson.ImpliedType(text)
	if err == nil {
		v.Value, err = ctyjson.Unmarshal(text, t)
	}
	return err
}

// load parses every .tf file of a directory.
func load(dir string) ([]*hclsyntax.Block, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.tf"))
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("%s has no .tf files", dir)
	}
	var blocks []*hclsyntax.Block
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		parsed, faults := hclsyntax.ParseConfig(text, filepath.Base(file), hcl.InitialPos)
		if faults.HasErrors() {
			return nil, faults
		}
		blocks = append(blocks, parsed.Body.(*hclsyntax.Body).Blocks...)
	}
	return blocks, nil
}
