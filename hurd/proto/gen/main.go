// Command gen generates the stubs of package proto from hurd.idl, in the
// directory of the package, where go generate runs it:
//
//	zz_clients.go        a function for each routine
//	zz_servers.go        an interface for each interface, and its dispatch
//	zz_stubs_test.go     what the tests of the stubs need of each routine
package main

import (
	"bytes"
	"fmt"
	"go/format"
	"log"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func main() {
	log.SetFlags(0)
	src, err := os.ReadFile("hurd.idl")
	if err != nil {
		log.Fatal(err)
	}
	files, err := Generate(string(src))
	if err != nil {
		log.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			log.Fatal(err)
		}
	}
}

// Generate returns the generated files by name.
func Generate(idl string) (map[string][]byte, error) {
	list, err := parse(idl)
	if err != nil {
		return nil, err
	}
	if err := distinct(list); err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, text := range map[string]string{
		"zz_clients.go":    clients(list),
		"zz_servers.go":    servers(list),
		"zz_stubs_test.go": tests(list),
	} {
		out, err := format.Source([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		files[name] = out
	}
	return files, nil
}

// An iface is an interface of the description.
type iface struct {
	name, section, doc string
	routines           []*routine
}

type routine struct {
	id       int
	name     string // as in the description: io_read
	args     []item
	results  []item
	answered bool
	iface    *iface
}

type item struct {
	name string // of the description
	typ  string
	n    int // of an array of fixed size
	// The name in Go, unique among arguments and results.
	ident string
}

var (
	ifaceLine   = regexp.MustCompile(`^interface (\w+) ([\d.]+): (.+)$`)
	routineLine = regexp.MustCompile(`^(\d+) (\w+)\((.*?)\)(?: → \((.*)\))?$`)
	itemForm    = regexp.MustCompile(`^(\w+):(\w+?\*?)(?:×(\d+))?$`)
)

func parse(idl string) ([]*iface, error) {
	var list []*iface
	for n, line := range strings.Split(idl, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		bad := func(why string) error { return fmt.Errorf("line %d: %s: %s", n+1, why, line) }
		if m := ifaceLine.FindStringSubmatch(line); m != nil {
			list = append(list, &iface{name: m[1], section: m[2], doc: m[3]})
			continue
		}
		m := routineLine.FindStringSubmatch(line)
		if m == nil || len(list) == 0 {
			return nil, bad("neither an interface nor a routine of one")
		}
		f := list[len(list)-1]
		r := &routine{name: m[2], answered: strings.Contains(line, "→"), iface: f}
		r.id, _ = strconv.Atoi(m[1])
		used := map[string]bool{"ctx": true, "to": true, "err": true, "m": true, "s": true, "req": true, "reply": true, "own": true}
		var err error
		if r.args, err = items(m[3], used, "Arg"); err == nil {
			r.results, err = items(m[4], used, "Out")
		}
		if err != nil {
			return nil, bad(err.Error())
		}
		if !r.gives() && slices.ContainsFunc(slices.Concat(r.args, r.results), func(it item) bool { return it.typ == "pages" }) {
			return nil, bad("pages can only be the one result")
		}
		f.routines = append(f.routines, r)
	}
	return list, nil
}

// distinct reports whether the id of a message says what it is. Answers have that of their
// request and 100.
func distinct(list []*iface) error {
	messages := map[int]string{}
	add := func(id int, name string) error {
		if other := messages[id]; other != "" {
			return fmt.Errorf("%s and %s have the same id, %d", other, name, id)
		}
		messages[id] = name
		return nil
	}
	for _, f := range list {
		for _, r := range f.routines {
			if err := add(r.id, r.name); err != nil {
				return err
			}
			if !r.answered {
				continue
			}
			if err := add(r.id+100, "the answer to "+r.name); err != nil {
				return err
			}
		}
	}
	return nil
}

func items(s string, used map[string]bool, suffix string) ([]item, error) {
	if s == "" {
		return nil, nil
	}
	var list []item
	for _, f := range strings.Split(s, ", ") {
		m := itemForm.FindStringSubmatch(f)
		if m == nil {
			return nil, fmt.Errorf("no item: %q", f)
		}
		it := item{name: m[1], typ: m[2]}
		if m[3] != "" {
			it.n, _ = strconv.Atoi(m[3])
		}
		if _, ok := kinds[it.key()]; !ok {
			return nil, fmt.Errorf("unknown type %q", it.key())
		}
		it.ident = camel(it.name, false)
		if used[it.ident] || keywords[it.ident] {
			it.ident += suffix
		}
		used[it.ident] = true
		list = append(list, it)
	}
	return list, nil
}

var keywords = map[string]bool{"type": true, "func": true, "map": true, "range": true, "select": true, "default": true, "go": true, "string": true}

// key is the type in the description, with × for any number.
func (it item) key() string {
	if it.n > 0 {
		return it.typ + "×"
	}
	return it.typ
}

// A kind is how a type of the description is in Go and in messages. In the
// texts M is the message, V the value, N the number of elements, OWN the
// rights that the dispatch took.
type kind struct {
	goType string // of an argument of a client's function, and of results
	server string // of an argument of a server's method, if different
	put    string // as an argument of a client
	take   string // as an argument, by a server
	putRes string // as a result, by a server; put if empty
	takRes string // as a result, by a client; take if empty
	right  bool   // it carries rights
}

var kinds = map[string]kind{
	"bool":     {goType: "bool", put: "M.PutBool(V)", take: "M.TakeBool()"},
	"i16":      {goType: "int16", put: "M.PutInt16(V)", take: "M.TakeInt16()"},
	"i32":      {goType: "int32", put: "M.PutInt32(V)", take: "M.TakeInt32()"},
	"i64":      {goType: "int64", put: "M.PutInt64(V)", take: "M.TakeInt64()"},
	"char":     {goType: "byte", put: "putChar(M, V)", take: "takeChar(M)"},
	"w":        {goType: "uint64", put: "M.PutWord(V)", take: "M.TakeWord()"},
	"name":     {goType: "mach.Port", put: "M.PutName(V)", take: "M.TakeName()"},
	"string":   {goType: "string", put: "M.PutString(V, stringSize)", take: "takeString(M)"},
	"data":     {goType: "[]byte", put: "putData(M, V)", take: "takeData(M)"},
	"pages":    {goType: "[]byte", put: "putData(M, V)", take: "takeData(M)"},
	"ints":     {goType: "[]int32", put: "M.PutInt32Array(V)", take: "M.TakeInt32s(maxItems)"},
	"longs":    {goType: "[]int64", put: "putLongs(M, V)", take: "M.TakeInt64s(maxItems)"},
	"names":    {goType: "[]mach.Port", put: "putNames(M, V)", take: "takeNames(M)"},
	"char×":    {goType: "[N]byte", put: "M.PutChars(V[:])", take: "[N]byte(takeChars(M, N))"},
	"i16×":     {goType: "[N]uint16", put: "M.PutInt16s(V[:]...)", take: "[N]uint16(takeInt16s(M, N))"},
	"i32×":     {goType: "[N]int32", put: "M.PutInt32s(V[:]...)", take: "[N]int32(takeInt32s(M, N))"},
	"state":    {goType: "[]int32", put: "M.PutInt32s(V...)", take: "M.TakeInt32s(maxState)"},
	"uname":    {goType: "Uname", put: "V.put(M)", take: "takeUname(M)"},
	"stat":     {goType: "Stat", put: "V.put(M)", take: "takeStat(M)"},
	"statfs":   {goType: "Statfs", put: "V.put(M)", take: "takeStatfs(M)"},
	"flock":    {goType: "Flock", put: "V.put(M)", take: "takeFlock(M)"},
	"timespec": {goType: "Timespec", put: "V.put(M)", take: "takeTimespec(M)"},
	"timeval":  {goType: "Timeval", put: "V.put(M)", take: "takeTimeval(M)"},
	"rusage":   {goType: "Rusage", put: "V.put(M)", take: "takeRusage(M)"},
	"cs":       {goType: "mach.Port", put: "M.PutRight(V, mach.CopySend)", take: "own.send(M)", right: true},
	"mks":      {goType: "mach.Port", put: "M.PutRight(V, mach.MakeSend)", take: "own.send(M)", right: true},
	"ms":       {goType: "mach.Port", put: "M.PutRight(V, mach.MoveSend)", take: "own.send(M)", right: true},
	"mkso":     {goType: "mach.Port", put: "M.PutRight(V, mach.MakeSendOnce)", take: "own.sendOnce(M)", right: true},
	"mr":       {goType: "mach.Port", put: "M.PutRight(V, mach.MoveReceive)", take: "own.receive(M)", right: true},
	"right":    {goType: "Right", server: "mach.Port", put: "V.put(M)", take: "own.send(M)", right: true},
	"anyright": {goType: "Right", put: "V.put(M)", take: "own.any(M)", right: true},
	"rights":   {goType: "[]mach.Port", put: "M.PutRights(V, mach.CopySend)", take: "own.sends(M)", right: true},
	"S":        {goType: "mach.Port", put: "M.PutRight(V, mach.MoveSend)", take: "own.send(M)", right: true},
	"sends":    {goType: "[]mach.Port", put: "M.PutRights(V, mach.MoveSend)", take: "own.sends(M)", right: true},
}

func (it item) kind() kind { return kinds[it.key()] }

func (it item) text(form, m string) string {
	form = regexp.MustCompile(`\bM\b`).ReplaceAllString(form, m)
	form = regexp.MustCompile(`\bV\b`).ReplaceAllString(form, it.ident)
	return regexp.MustCompile(`\bN\b`).ReplaceAllString(form, strconv.Itoa(it.n))
}

func (it item) goType(server bool) string {
	k := it.kind()
	if server && k.server != "" {
		return k.server
	}
	return it.text(k.goType, "")
}

var upper = map[string]string{"io": "IO", "iioctl": "IIoctl", "rioctl": "RIoctl", "tioctl": "TIoctl"}

// camel makes a name of Go's of one of the description's.
func camel(s string, exported bool) string {
	var b strings.Builder
	for i, w := range strings.Split(s, "_") {
		switch {
		case w == "":
		case i == 0 && !exported:
			b.WriteString(w)
		case upper[w] != "":
			b.WriteString(upper[w])
		default:
			b.WriteString(strings.ToUpper(w[:1]) + w[1:])
		}
	}
	return b.String()
}

func (r *routine) goName() string { return camel(r.name, true) }

func params(list []item, server bool) string {
	var b strings.Builder
	for _, it := range list {
		fmt.Fprintf(&b, ", %s %s", it.ident, it.goType(server))
	}
	return b.String()
}

func idents(list []item) string {
	var b strings.Builder
	for _, it := range list {
		b.WriteString(", " + it.ident)
	}
	return b.String()
}

// results is the result list of a function.
func (r *routine) resultList(server bool) string {
	if len(r.results) == 0 {
		return "error"
	}
	var b strings.Builder
	for _, it := range r.results {
		fmt.Fprintf(&b, "%s %s, ", it.ident, it.goType(server))
	}
	return "(" + b.String() + "err error)"
}

func (r *routine) resultIdents() string {
	var b strings.Builder
	for _, it := range r.results {
		b.WriteString(it.ident + ", ")
	}
	return b.String() + "err"
}

// gives reports whether a server may give the memory of the result away.
func (r *routine) gives() bool { return len(r.results) == 1 && r.results[0].typ == "pages" }

func carriesRights(list []item) bool {
	for _, it := range list {
		if it.kind().right {
			return true
		}
	}
	return false
}

const header = "// Code generated by hurdlab/hurd/proto/gen from hurd.idl. DO NOT EDIT.\n\npackage proto\n\n"

func clients(list []*iface) string {
	var b bytes.Buffer
	b.WriteString(header + "import (\n\"context\"\n\n\"hurdlab/mach\"\n)\n")
	for _, f := range list {
		fmt.Fprintf(&b, "\n// Interface %s (section %s): %s.\n", f.name, f.section, f.doc)
		for _, r := range f.routines {
			fmt.Fprintf(&b, "\n// %s calls %s (%d).\n", r.goName(), r.name, r.id)
			fmt.Fprintf(&b, "func %s(ctx context.Context, to mach.Port%s) %s {\n", r.goName(), params(r.args, false), r.resultList(false))
			fmt.Fprintf(&b, "m := newRequest(ctx, %d)\n", r.id)
			for _, it := range r.args {
				b.WriteString(it.text(it.kind().put, "m") + "\n")
			}
			switch {
			case !r.answered:
				fmt.Fprintf(&b, "return send(ctx, to, m, %q)\n", r.name)
			case len(r.results) == 0:
				fmt.Fprintf(&b, "if err := call(ctx, to, m, %q); err != nil {\nreturn err\n}\nreturn end(ctx, m, nil, %q)\n", r.name, r.name)
			default:
				fmt.Fprintf(&b, "if err = call(ctx, to, m, %q); err != nil {\nreturn\n}\n", r.name)
				own := "nil"
				if carriesRights(r.results) {
					b.WriteString("var own taken\n")
					own = "&own"
				}
				for _, it := range r.results {
					fmt.Fprintf(&b, "%s = %s\n", it.ident, it.text(it.kind().take, "m"))
				}
				fmt.Fprintf(&b, "if err = end(ctx, m, %s, %q); err != nil {\n", own, r.name)
				for _, it := range r.results {
					if it.kind().right {
						fmt.Fprintf(&b, "%s = %s\n", it.ident, map[bool]string{true: "nil", false: "mach.Null"}[strings.HasPrefix(it.goType(false), "[]")])
					}
				}
				b.WriteString("}\nreturn\n")
			}
			b.WriteString("}\n")
		}
	}
	return b.String()
}

func servers(list []*iface) string {
	var b bytes.Buffer
	b.WriteString(header + "import (\n\"context\"\n\n\"hurdlab/mach\"\n)\n")
	for _, f := range list {
		fmt.Fprintf(&b, "\n// A %sServer serves interface %s (section %s): %s.\n", f.name, f.name, f.section, f.doc)
		fmt.Fprintf(&b, "type %sServer interface {\n", f.name)
		for _, r := range f.routines {
			fmt.Fprintf(&b, "%s(ctx context.Context%s) %s\n", r.goName(), params(r.args, true), r.resultList(true))
		}
		fmt.Fprintf(&b, "}\n\n// Unimplemented%s fails every routine of %s with [EOPNOTSUPP]. Servers embed it.\ntype Unimplemented%s struct{}\n\n", f.name, f.name, f.name)
		fmt.Fprintf(&b, "var _ %sServer = Unimplemented%s{}\n\n", f.name, f.name)
		for _, r := range f.routines {
			if r.gives() {
				fmt.Fprintf(&b, "// %sGiver is what a server of %s implements that answers %s by giving memory away: with give, what is\n", r.goName(), f.name, r.name)
				fmt.Fprintf(&b, "// returned is in whole pages of package vmem, from the start of the first. Its method %s is not called.\n", r.goName())
				fmt.Fprintf(&b, "type %sGiver interface {\n%sGive(ctx context.Context%s) (%s []byte, give bool, err error)\n}\n\n", r.goName(), r.goName(), params(r.args, true), r.results[0].ident)
			}
		}
		for _, r := range f.routines {
			fmt.Fprintf(&b, "func (Unimplemented%s) %s(ctx context.Context%s) %s {\n", f.name, r.goName(), params(r.args, true), r.resultList(true))
			if len(r.results) == 0 {
				b.WriteString("return EOPNOTSUPP\n}\n")
			} else {
				b.WriteString("err = EOPNOTSUPP\nreturn\n}\n")
			}
		}
		fmt.Fprintf(&b, "\nfunc dispatch%s(ctx context.Context, server any, req, reply *mach.Message) error {\ns := server.(%sServer)\nswitch req.ID() {\n", f.name, f.name)
		for _, r := range f.routines {
			fmt.Fprintf(&b, "case %d: // %s\n", r.id, r.name)
			own := carriesRights(r.args)
			if own {
				b.WriteString("var own taken\n")
			}
			for _, it := range r.args {
				fmt.Fprintf(&b, "%s := %s\n", it.ident, it.text(it.kind().take, "req"))
			}
			b.WriteString("if req.End() != nil {\n")
			if own {
				b.WriteString("own.release(ctx)\n")
			}
			b.WriteString("return mach.MigBadArguments\n}\n")
			if r.gives() {
				out := r.results[0].ident
				fmt.Fprintf(&b, "if g, ok := server.(%sGiver); ok {\n%s, give, err := g.%sGive(ctx%s)\n", r.goName(), out, r.goName(), idents(r.args))
				fmt.Fprintf(&b, "if err != nil {\nreturn err\n}\nputPages(reply, %s, give)\nreturn nil\n}\n", out)
			}
			if len(r.results) == 0 {
				fmt.Fprintf(&b, "err := s.%s(ctx%s)\n", r.goName(), idents(r.args))
			} else {
				fmt.Fprintf(&b, "%s := s.%s(ctx%s)\n", r.resultIdents(), r.goName(), idents(r.args))
			}
			b.WriteString("if err != nil {\n")
			if own {
				b.WriteString("own.release(ctx)\n")
			}
			b.WriteString("return err\n}\n")
			for _, it := range r.results {
				b.WriteString(it.text(it.kind().put, "reply") + "\n")
			}
			b.WriteString("return nil\n")
		}
		b.WriteString("}\nreturn mach.MigBadID\n}\n")
	}
	b.WriteString("\n// interfaces has the interfaces in the order of the description.\nvar interfaces = [...]iface{\n")
	for _, f := range list {
		fmt.Fprintf(&b, "{%q, func(x any) bool { _, ok := x.(%sServer); return ok }, dispatch%s},\n", f.name, f.name, f.name)
	}
	b.WriteString("}\n\n// interfaceOf returns the index in interfaces of the one that has the routine id, or -1.\nfunc interfaceOf(id int32) int {\nswitch id {\n")
	for i, f := range list {
		var ids []string
		for _, r := range f.routines {
			ids = append(ids, strconv.Itoa(r.id))
		}
		fmt.Fprintf(&b, "case %s:\nreturn %d\n", strings.Join(ids, ", "), i)
	}
	b.WriteString("}\nreturn -1\n}\n")
	return b.String()
}

func tests(list []*iface) string {
	var b bytes.Buffer
	b.WriteString(header + "import \"context\"\n\n// A stub is a routine with its types in the description.\ntype stub struct {\nid int32\nname string\nargs, results []string\nanswered bool\nclient any\n}\n\nvar stubs = []stub{\n")
	list2 := func(items []item) string {
		var s []string
		for _, it := range items {
			t := it.typ
			if it.n > 0 {
				t += "×" + strconv.Itoa(it.n)
			}
			s = append(s, strconv.Quote(t))
		}
		if len(s) == 0 {
			return "nil"
		}
		return "[]string{" + strings.Join(s, ", ") + "}"
	}
	for _, f := range list {
		for _, r := range f.routines {
			fmt.Fprintf(&b, "{%d, %q, %s, %s, %t, %s},\n", r.id, r.name, list2(r.args), list2(r.results), r.answered, r.goName())
		}
	}
	b.WriteString("}\n\n// recorder serves everything: it is given the arguments and returns the results.\ntype recorder struct {\nserve func(name string, args []any, results ...any) error\n}\n")
	for _, f := range list {
		for _, r := range f.routines {
			args := "nil"
			if len(r.args) > 0 {
				args = "[]any{" + strings.TrimPrefix(idents(r.args), ", ") + "}"
			}
			var res string
			for _, it := range r.results {
				res += ", &" + it.ident
			}
			fmt.Fprintf(&b, "\nfunc (x recorder) %s(ctx context.Context%s) %s {\n", r.goName(), params(r.args, true), r.resultList(true))
			if len(r.results) == 0 {
				fmt.Fprintf(&b, "return x.serve(%q, %s)\n}\n", r.name, args)
			} else {
				fmt.Fprintf(&b, "err = x.serve(%q, %s%s)\nreturn\n}\n", r.name, args, res)
			}
		}
	}
	out := b.String()
	if strings.Contains(out, "mach.Port") {
		out = strings.Replace(out, "import \"context\"", "import (\n\"context\"\n\n\"hurdlab/mach\"\n)", 1)
	}
	return out
}
