package main

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// module is a parsed module.
type module struct {
	dir    string
	blocks []*hclsyntax.Block
}

// result is what a module says: resources by type and name, and outputs.
type result struct {
	Resource map[string]map[string]any `json:"resource"`
	Output   map[string]any            `json:"output"`
}

func (m module) evaluate(given input) (result, error) {
	at := &hcl.EvalContext{Functions: functions(), Variables: map[string]cty.Value{
		"path": cty.ObjectVal(map[string]cty.Value{"module": cty.StringVal(m.dir)}),
		"data": given.Data.Value,
		"each": cty.DynamicVal,
	}}
	if err := m.variables(given.Var, at); err != nil {
		return result{}, err
	}
	if err := m.locals(at); err != nil {
		return result{}, err
	}
	for _, b := range m.blocks {
		if b.Type == "resource" {
			at.Variables[b.Labels[0]] = cty.DynamicVal // a provider would know
		}
	}
	r := result{map[string]map[string]any{}, map[string]any{}}
	for _, b := range m.blocks {
		if b.Type != "resource" && b.Type != "output" {
			continue
		}
		body, err := object(b.Body, at)
		if err != nil {
			return result{}, err
		}
		if b.Type == "output" {
			r.Output[b.Labels[0]] = body["value"]
			continue
		}
		if r.Resource[b.Labels[0]] == nil {
			r.Resource[b.Labels[0]] = map[string]any{}
		}
		r.Resource[b.Labels[0]][b.Labels[1]] = body
	}
	return r, nil
}

// variables takes those that were given, else the defaults, and holds each
// against its type and its validation.
func (m module) variables(given map[string]value, at *hcl.EvalContext) error {
	all := map[string]cty.Value{}
	for _, b := range m.blocks {
		if b.Type != "variable" {
			continue
		}
		name := b.Labels[0]
		v, ok := given[name]
		if !ok {
			fallback := b.Body.Attributes["default"]
			if fallback == nil {
				return fmt.Errorf("variable %s is missing", name)
			}
			var faults hcl.Diagnostics
			if v.Value, faults = fallback.Expr.Value(nil); faults.HasErrors() {
				return faults
			}
		}
		want, faults := typeexpr.Type(b.Body.Attributes["type"].Expr)
		if faults.HasErrors() {
			return faults
		}
		typed, err := convert.Convert(v.Value, want)
		if err != nil {
			return fmt.Errorf("variable %s: %w", name, err)
		}
		all[name] = typed
		delete(given, name)
	}
	for name := range given {
		return fmt.Errorf("there is no variable %s", name)
	}
	at.Variables["var"] = cty.ObjectVal(all)
	return m.validate(at)
}

func (m module) validate(at *hcl.EvalContext) error {
	for _, b := range m.blocks {
		for _, v := range b.Body.Blocks {
			if b.Type != "variable" || v.Type != "validation" {
				continue
			}
			holds, faults := v.Body.Attributes["condition"].Expr.Value(at)
			if faults.HasErrors() {
				return faults
			}
			if holds.False() {
				return fmt.Errorf("variable %s is not valid", b.Labels[0])
			}
		}
	}
	return nil
}

// locals evaluates the locals, each after those that it names.
func (m module) locals(at *hcl.EvalContext) error {
	open := map[string]*hclsyntax.Attribute{}
	for _, b := range m.blocks {
		if b.Type == "locals" {
			for name, a := range b.Body.Attributes {
				open[name] = a
			}
		}
	}
	known := map[string]cty.Value{}
	for before := -1; len(open) != before; {
		before = len(open)
		at.Variables["local"] = cty.ObjectVal(known)
		for name, a := range open {
			if v, faults := a.Expr.Value(at); !faults.HasErrors() {
				known[name] = v
				delete(open, name)
			}
		}
	}
	for _, a := range open { // one that never got its values says why
		_, faults := a.Expr.Value(at)
		return faults
	}
	return nil
}

// object evaluates a body: attributes by name, and blocks as lists.
func object(body *hclsyntax.Body, at *hcl.EvalContext) (map[string]any, error) {
	all := map[string]any{}
	for name, a := range body.Attributes {
		v, faults := a.Expr.Value(at)
		if faults.HasErrors() {
			return nil, faults
		}
		all[name] = nil
		if v.IsWhollyKnown() {
			all[name] = ctyjson.SimpleJSONValue{Value: v}
		}
	}
	for _, b := range body.Blocks {
		name, bodies, err := expand(b, at)
		if err != nil {
			return nil, err
		}
		if list, _ := all[name].([]any); len(list)+len(bodies) > 0 {
			all[name] = append(list, bodies...)
		}
	}
	return all, nil
}

// expand is one block, or as many as a dynamic one makes.
func expand(b *hclsyntax.Block, at *hcl.EvalContext) (string, []any, error) {
	if b.Type != "dynamic" {
		body, err := object(b.Body, at)
		return b.Type, []any{body}, err
	}
	each, faults := b.Body.Attributes["for_each"].Expr.Value(at)
	if faults.HasErrors() {
		return "", nil, faults
	}
	bodies := []any{}
	for key, v := range each.Elements() {
		within := at.NewChild()
		within.Variables = map[string]cty.Value{
			b.Labels[0]: cty.ObjectVal(map[string]cty.Value{"key": key, "value": v}),
		}
		for _, content := range b.Body.Blocks {
			body, err := object(content.Body, within)
			if err != nil {
				return "", nil, err
			}
			bodies = append(bodies, body)
		}
	}
	return b.Labels[0], bodies, nil
}
