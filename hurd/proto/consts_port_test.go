package proto

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// imports has of other packages what constants need.
type imports struct{}

func (imports) Import(path string) (*types.Package, error) {
	pkg := types.NewPackage(path, path[strings.LastIndexByte(path, '/')+1:])
	name := types.NewTypeName(token.NoPos, pkg, "KernReturn", nil)
	types.NewNamed(name, types.Typ[types.Int32], nil)
	pkg.Scope().Insert(name)
	pkg.MarkComplete()
	return pkg, nil
}

// constants returns the integer constants of files as far as they can be
// evaluated with no more of their package than what is in more.
func constants(t *testing.T, more string, files ...string) map[string]int64 {
	t.Helper()
	fset := token.NewFileSet()
	var list []*ast.File
	for _, name := range append(files, "") {
		var src any
		if name == "" {
			src = more
		}
		f, err := parser.ParseFile(fset, filepath.FromSlash(name), src, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, f)
	}
	conf := types.Config{Importer: imports{}, Error: func(error) {}}
	pkg, _ := conf.Check("x", fset, list, nil)
	values := make(map[string]int64)
	for _, name := range pkg.Scope().Names() {
		c, ok := pkg.Scope().Lookup(name).(*types.Const)
		if !ok {
			continue
		}
		if n, exact := constant.Int64Val(constant.ToInt(c.Val())); exact {
			values[name] = n
		}
	}
	return values
}

// TestPort compares what both this package and package syscall of the Go port
// have of the Hurd's numbers.
func TestPort(t *testing.T) {
	const port = "../../patches/go/_src/syscall/"
	ours := constants(t, "package proto", "consts.go")
	theirs := constants(t, "package syscall; type (Errno uint32; Signal int)", port+"types_hurd.go", port+"errors_hurd.go")
	same := make(map[string]int)
	for name, n := range ours {
		m, ok := theirs[name]
		if !ok {
			continue
		}
		kind, _, _ := strings.Cut(name, "_")
		if kind == name {
			kind = name[:1]
		}
		if n != m {
			t.Errorf("%s is %#x here and %#x in the port", name, n, m)
		}
		same[kind]++
	}
	for kind, least := range map[string]int{"E": 80, "O": 12, "S": 11} {
		if same[kind] < least {
			t.Errorf("only %d constants of kind %s in both: %v", same[kind], kind, same)
		}
	}
	t.Log(same)
}
