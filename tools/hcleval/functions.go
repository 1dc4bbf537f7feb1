package main

import (
	"encoding/base64"
	"os"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// functions are those of Terraform that the module uses. What cty has is what
// Terraform itself calls.
func functions() map[string]function.Function {
	return map[string]function.Function{
		"alltrue":      allTrue,
		"base64encode": base64Encode,
		"can":          tryfunc.CanFunc,
		"concat":       stdlib.ConcatFunc,
		"contains":     stdlib.ContainsFunc,
		"join":         stdlib.JoinFunc,
		"jsondecode":   stdlib.JSONDecodeFunc,
		"jsonencode":   stdlib.JSONEncodeFunc,
		"length":       stdlib.LengthFunc,
		"merge":        stdlib.MergeFunc,
		"regex":        stdlib.RegexFunc,
		"split":        stdlib.SplitFunc,
		"templatefile": templateFile,
	}
}

var allTrue = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		for _, v := range args[0].Elements() {
			if v.False() {
				return cty.False, nil
			}
		}
		return cty.True, nil
	},
})

var base64Encode = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		return cty.StringVal(base64.StdEncoding.EncodeToString([]byte(args[0].AsString()))), nil
	},
})

var templateFile = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "path", Type: cty.String}, {Name: "values", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		text, err := os.ReadFile(args[0].AsString())
		if err != nil {
			return cty.NilVal, err
		}
		parsed, faults := hclsyntax.ParseTemplate(text, args[0].AsString(), hcl.InitialPos)
		if faults.HasErrors() {
			return cty.NilVal, faults
		}
		v, faults := parsed.Value(&hcl.EvalContext{Variables: args[1].AsValueMap()})
		if faults.HasErrors() {
			return cty.NilVal, faults
		}
		return v, nil
	},
})
