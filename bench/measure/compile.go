package measure

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"hurdlab/bench"
	"hurdlab/lab"
	"hurdlab/lab/programs"
	goport "hurdlab/patches/go"
)

var compilePart = Part{
	Name: "compile", Title: "Go's compiler, assembler and linker build a program of 100 packages", MemoryMB: 768, Least: 2,
	Programs: []string{"hurdlab/suites/programs/distbuild"},
	measure:  (*measuring).compile,
}

// compiled are packages of Go's library that the program imports: what is not of the
// smallest programs already, needs no network, and is not long: what takes a tenth of the
// time by itself (math/big, encoding/gob) would have the others wait for it. With all that they import they are
// more than 100.
const compiled = `bufio compress/bzip2 compress/gzip compress/lzw compress/zlib container/heap container/list container/ring
crypto/hkdf crypto/hmac crypto/md5 crypto/pbkdf2 crypto/rc4 crypto/sha1 crypto/sha256 crypto/sha3 crypto/sha512 crypto/subtle
debug/plan9obj embed encoding/ascii85 encoding/base32 encoding/base64 encoding/binary encoding/csv encoding/hex encoding/pem flag
go/build/constraint go/scanner go/token go/version hash/adler32 hash/crc32 hash/crc64 hash/fnv hash/maphash html image/color/palette
image/draw image/gif image/png index/suffixarray io/ioutil log maps math/cmplx math/rand mime/quotedprintable os/signal path/filepath
regexp runtime/debug structs testing/iotest text/scanner text/tabwriter text/template/parse unicode/utf16 unique`

// few are those of a quick run.
const few = `encoding/csv encoding/hex container/list hash/crc64 text/tabwriter math/cmplx flag`

// each is how many tasks a node has at a time: on other nodes than node1 they wait for files half of the
// time.
const each = 3

// given is the package all whose imports are there already, compiled: what every
// program has.
const given = "fmt"

const (
	// tree is where sources and objects are: on node1, and by a link to that on the other nodes.
	tree = "/build"
	// toolDir has the tools: each node has its own.
	toolDir = "/tools"
)

// A goPackage is what go list says of a package.
type goPackage struct {
	ImportPath, Dir, Export         string
	Standard                        bool
	GoFiles, SFiles, HFiles         []string
	CgoFiles, EmbedFiles, SysoFiles []string
	Imports                         []string
	ImportMap                       map[string]string
}

// A compileTask is a task of program distbuild.
type compileTask struct {
	Name   string   `json:"name"`
	Needs  []string `json:"needs,omitempty"`
	Script string   `json:"script"`
	Cost   float64  `json:"cost,omitempty"`
	Here   bool     `json:"here,omitempty"`
}

// listPackages lists packages and all that they import.
func listPackages(ctx context.Context, tc *goport.Toolchain, export bool, names ...string) ([]*goPackage, error) {
	args := []string{"list", "-deps", "-json=ImportPath,Dir,Export,Standard,GoFiles,SFiles,HFiles,CgoFiles,EmbedFiles,SysoFiles,Imports,ImportMap"}
	if export {
		args = append(args, "-export")
	}
	cmd := tc.Command(ctx, append(args, names...)...)
	cmd.Dir = tc.Dir // not in a module of somebody's
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w\n%s", err, stderr.String())
	}
	var list []*goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(goPackage)
		if err := d.Decode(p); err == io.EOF {
			return list, nil
		} else if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
}

// A plan is what is to be built: files for the tree, and tasks.
type plan struct {
	root, tools string // the tree, and the directory of the tools
	packages    int
	tasks       []compileTask
	files       map[string]string // in the tree → on this host
	text        map[string]string // in the tree → what is in it
	objects     []string          // archives that are built, and the program
}

// object is where the archive of a package is.
func object(root, pkg string) string { return path.Join(root, "obj", pkg+".a") }

// makePlan plans to build a program that imports packages, below root, with the tools of a
// directory. have are archives that are there already.
func makePlan(root, tools string, list []*goPackage, have map[string]string, include string) (*plan, error) {
	p := &plan{root: root, tools: tools, files: make(map[string]string), text: make(map[string]string)}
	for name, file := range have {
		p.files[path.Join("given", name+".a")] = file
	}
	for _, h := range []string{"asm_amd64.h", "asm_ppc64x.h", "asm_riscv64.h", "funcdata.h", "textflag.h"} {
		p.files["include/"+h] = filepath.Join(include, h)
	}
	archive := func(pkg string) string {
		if _, ok := have[pkg]; ok {
			return path.Join(root, "given", pkg+".a")
		}
		return object(root, pkg)
	}
	var main, link strings.Builder
	main.WriteString("package main\n\nimport (\n")
	needs := []string{}
	for _, x := range list {
		fmt.Fprintf(&link, "packagefile %s=%s\n", x.ImportPath, archive(x.ImportPath))
		if _, ok := have[x.ImportPath]; ok {
			continue
		}
		if len(x.CgoFiles)+len(x.EmbedFiles)+len(x.SysoFiles) > 0 {
			return nil, fmt.Errorf("%s has files that this cannot build", x.ImportPath)
		}
		p.packages++
		t, err := p.pack(x, archive, have)
		if err != nil {
			return nil, err
		}
		p.tasks = append(p.tasks, t)
		needs = append(needs, x.ImportPath)
		if !strings.Contains("/"+x.ImportPath+"/", "/internal/") {
			fmt.Fprintf(&main, "\t_ %q\n", x.ImportPath)
		}
	}
	main.WriteString(")\n\nfunc main() { println(\"built on the Hurd\") }\n")
	p.text["src/main/main.go"] = main.String()
	t, err := p.pack(&goPackage{ImportPath: "main", Dir: "", GoFiles: []string{"main.go"}, Imports: needs}, archive, have)
	if err != nil {
		return nil, err
	}
	t.Name = "main"
	p.packages++
	p.text["link.cfg"] = link.String() + "packagefile main=" + object(root, "main") + "\n"
	program := path.Join(root, "obj", "program")
	p.tasks = append(p.tasks, t, compileTask{Name: "link", Needs: []string{"main"}, Cost: 2e5, Here: true, // it needs all files
		Script: fmt.Sprintf("%s/link -s -w -buildid= -importcfg %s/link.cfg -o %s %s\n", tools, root, program, object(root, "main"))})
	p.objects = append(p.objects, program)
	return p, nil
}

// pack plans the compilation of a package.
func (p *plan) pack(x *goPackage, archive func(string) string, have map[string]string) (compileTask, error) {
	t := compileTask{Name: x.ImportPath, Cost: 2e4}
	root, tools := p.root, p.tools
	src := path.Join(root, "src", x.ImportPath)
	var cfg strings.Builder
	for from, to := range x.ImportMap {
		fmt.Fprintf(&cfg, "importmap %s=%s\n", from, to)
	}
	for _, imp := range x.Imports {
		if to, ok := x.ImportMap[imp]; ok {
			imp = to
		}
		if imp == "unsafe" || imp == "C" {
			continue
		}
		fmt.Fprintf(&cfg, "packagefile %s=%s\n", imp, archive(imp))
		if _, ok := have[imp]; !ok {
			t.Needs = append(t.Needs, imp)
		}
	}
	p.text[path.Join("cfg", x.ImportPath+".cfg")] = cfg.String()
	for _, f := range slices.Concat(x.GoFiles, x.SFiles, x.HFiles) {
		if x.Dir == "" {
			continue // it is text of ours
		}
		st, err := os.Stat(filepath.Join(x.Dir, f))
		if err != nil {
			return t, err
		}
		t.Cost += float64(st.Size())
		p.files[path.Join("src", x.ImportPath, f)] = filepath.Join(x.Dir, f)
	}
	all := func(files []string) string {
		var b strings.Builder
		for _, f := range files {
			b.WriteString(" " + path.Join(src, f))
		}
		return b.String()
	}
	out := archive(x.ImportPath)
	flags := fmt.Sprintf("-o %s -trimpath %s -p %s -buildid= -c=1 -importcfg %s -pack", out, root, x.ImportPath, path.Join(root, "cfg", x.ImportPath+".cfg"))
	if x.Standard {
		flags += " -std"
	}
	if len(x.SFiles) == 0 {
		t.Script = fmt.Sprintf("%s/compile -complete %s%s\n", tools, flags, all(x.GoFiles))
	} else {
		// What only this task wants is on the file system of the node that it runs on, as go build
		// has it in a directory for temporary files.
		asm := fmt.Sprintf("%s/asm -p %s -trimpath \"$W=>;%s\" -I $W -I %s/include -D GOOS_hurd -D GOARCH_386 -D GO386_sse2", tools, x.ImportPath, root, root)
		var b, objects strings.Builder
		b.WriteString("W=/tmp/asm-$$\nmkdir $W\n: > $W/go_asm.h\n") // for the first, which only looks at names
		fmt.Fprintf(&b, "%s -gensymabis -o $W/symabis%s\n", asm, all(x.SFiles))
		fmt.Fprintf(&b, "%s/compile %s -symabis $W/symabis -asmhdr $W/go_asm.h%s\n", tools, flags, all(x.GoFiles))
		for _, f := range x.SFiles {
			o := "$W/" + strings.TrimSuffix(f, ".s") + ".o"
			fmt.Fprintf(&b, "%s -o %s %s\n", asm, o, path.Join(src, f))
			objects.WriteString(" " + o)
		}
		fmt.Fprintf(&b, "%s/pack r %s%s\nrm -r $W\n", tools, out, objects.String())
		t.Script = b.String()
	}
	p.objects = append(p.objects, out)
	return t, nil
}

// write writes the tree's files below dir, and which directories the objects need.
func (p *plan) write(dir string) error {
	put := func(name string, b []byte) error {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		return os.WriteFile(file, b, 0o644)
	}
	for name, from := range p.files {
		b, err := os.ReadFile(from)
		if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(name, "include/") {
			continue // this release has no such header
		} else if err != nil {
			return err
		}
		if err := put(name, b); err != nil {
			return err
		}
	}
	for name, text := range p.text {
		if err := put(name, []byte(text)); err != nil {
			return err
		}
	}
	b, err := json.MarshalIndent(p.tasks, "", "\t")
	if err != nil {
		return err
	}
	return put("tasks.json", b)
}

// directories are those that the objects go to.
func (p *plan) directories() []string {
	var list []string
	for _, o := range p.objects {
		list = append(list, path.Dir(o))
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// buildTools builds Go's tools for the nodes into a directory.
func buildTools(ctx context.Context, tc *goport.Toolchain, dir string) error {
	cmd := tc.Command(ctx, "build", "-ldflags=-s -w", "-o", dir+string(filepath.Separator), "cmd/compile", "cmd/asm", "cmd/link", "cmd/pack")
	cmd.Dir = tc.Dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", cmd.Args, err, out)
	}
	return nil
}

// planFor is the plan to build the packages with names.
func planFor(ctx context.Context, tc *goport.Toolchain, root, tools string, names []string) (*plan, error) {
	base, err := listPackages(ctx, tc, true, given)
	if err != nil {
		return nil, err
	}
	have := make(map[string]string)
	for _, p := range base {
		if p.Export != "" {
			have[p.ImportPath] = p.Export
		}
	}
	list, err := listPackages(ctx, tc, false, append(names, given)...)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(p *goPackage) bool { return p.ImportPath == "unsafe" })
	return makePlan(root, tools, list, have, filepath.Join(tc.Dir, "src", "runtime"))
}

func (m *measuring) compile(ctx context.Context) error {
	tc, err := programs.Toolchain(ctx)
	if err != nil {
		return err
	}
	names := strings.Fields(compiled)
	if m.Quick {
		names = strings.Fields(few)
	}
	m.Say("compiling what the nodes compile with")
	p, err := planFor(ctx, tc, tree, path.Join(toolDir, "bin"), names)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "hurdlab-compile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := p.write(filepath.Join(dir, "sources")); err != nil {
		return err
	}
	if err := buildTools(ctx, tc, filepath.Join(dir, "tools", "bin")); err != nil {
		return err
	}
	m.Say("copying tools to the nodes, and sources to node1")
	g, gctx := errgroup.WithContext(ctx)
	for n := range m.lab.Nodes() {
		g.Go(func() error {
			if err := m.put(gctx, n+1, filepath.Join(dir, "tools"), toolDir); err != nil {
				return err
			}
			if n == 0 {
				return m.put(gctx, 1, filepath.Join(dir, "sources"), tree)
			}
			_, err := m.run(gctx, n+1, "ln", "-s", "/n/node1"+tree, tree)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m.part.Notes = append(m.part.Notes, fmt.Sprintf("%d packages are compiled, assembled and linked, by distbuild on node1, where sources and objects are; each node has tools of its own; "+
		"each task but the last, link, is put by rexec on the node that has the fewest; of a quick run, by rexec --any, unless a node has three already. What the smallest programs have (package %s and all that it imports) is there, compiled.", p.packages, given))

	counts := m.Nodes
	if len(counts) == 0 || counts[0] != 1 {
		counts = append([]int{1}, counts...)
	}
	series := make(map[int]*bench.Series)
	for _, n := range counts {
		series[n] = m.part.Add(fmt.Sprintf("build/nodes=%d", n), "ns")
	}
	var sums string
	spread := make(map[string]share)
	turns := m.turns(1, 2)
	for turn := range turns {
		for _, n := range counts {
			m.Say(fmt.Sprintf("turn %d of %d: a build on %d of the nodes", turn+1, turns, n))
			if _, err := m.run(ctx, 1, "sh", "-c", "rm -rf "+tree+"/obj; mkdir -p "+strings.Join(p.directories(), " ")); err != nil {
				return err
			}
			args := []string{"distbuild", "-progress", "-j", fmt.Sprint(each * n)}
			if n > 1 {
				args = append(args, "-on", nodeNames(n))
			}
			if m.Quick && n == len(m.lab.Nodes()) { // on fewer, others have nothing to do, and would be taken
				args = append(args, "-any")
			}
			var r struct {
				Took float64            `json:"took_s"`
				On   map[string]int     `json:"on"`
				Each map[string]float64 `json:"each_s"`
			}
			if err := m.follow(ctx, &r, m.buildNote, 1, append(args, tree+"/tasks.json")...); err != nil {
				return err
			}
			series[n].Values = append(series[n].Values, r.Took*1e9)
			if n > 1 {
				for node, k := range r.On {
					x := spread[fmt.Sprintf("of %d nodes, %s", n, node)]
					spread[fmt.Sprintf("of %d nodes, %s", n, node)] = share{x.tasks + k, x.took + r.Each[node]}
				}
			}
			// The same bits, wherever it was compiled.
			now, err := m.run(ctx, 1, "distbuild", "-sums", tree+"/obj")
			if err != nil {
				return err
			}
			if sums == "" {
				sums = now
			} else if now != sums {
				return fmt.Errorf("objects of %d nodes are not those of one:\n%s\nand:\n%s", n, now, sums)
			}
			if out, err := m.run(ctx, 1, "sh", "-c", tree+"/obj/program 2>&1"); err != nil || strings.TrimSpace(out) != "built on the Hurd" {
				return fmt.Errorf("the program that was built says %q: %w", out, err)
			}
		}
	}
	for _, n := range counts[1:] {
		var goal *bench.Goal
		if n == 2 {
			goal = bench.AtLeast(1.6)
		}
		m.part.Faster(fmt.Sprintf("compiling on %d nodes, times one", n), series[1], series[n], true, goal)
		if n == 3 {
			m.part.Faster("compiling on 3 nodes, times two", series[2], series[3], true, bench.AtLeast(1))
		}
	}
	var where []string
	for k, v := range spread {
		where = append(where, fmt.Sprintf("%s: %d, of %.1f s", k, v.tasks, v.took/float64(v.tasks)))
	}
	slices.Sort(where)
	m.part.Notes = append(m.part.Notes, "Tasks, of all runs, and how long each took: "+strings.Join(where, "; ")+". The objects had the same bits each time.")
	return m.gcc(ctx, counts)
}

// buildNote notes how far a build is, if a line is what distbuild says of it.
func (m *measuring) buildNote(line []byte) bool {
	var p struct {
		Done, Tasks int
		Running     []struct{ Task, Node string }
	}
	if json.Unmarshal(line, &p) != nil || p.Tasks == 0 {
		return false
	}
	on := make(map[string][]string)
	for _, r := range p.Running {
		node := r.Node
		switch node {
		case "":
			node = "to be placed"
		case "here":
			node = "node1"
		}
		on[node] = append(on[node], r.Task)
	}
	text := fmt.Sprintf("%d of %d", p.Done, p.Tasks)
	for _, node := range slices.Sorted(maps.Keys(on)) {
		text += "; " + node + ": " + strings.Join(on[node], ", ")
	}
	m.Note(text)
	return true
}

// put copies a directory's files to one of a node, all at once.
func (m *measuring) put(ctx context.Context, node int, dir, to string) error {
	r, w := io.Pipe()
	go func() {
		// What is slow is a node's ssh.
		z := gzip.NewWriter(w)
		t := tar.NewWriter(z)
		w.CloseWithError(errors.Join(t.AddFS(os.DirFS(dir)), t.Close(), z.Close()))
	}()
	defer r.Close()
	var stderr bytes.Buffer
	p, err := m.lab.Nodes()[node-1].Start(ctx, lab.Cmd{Args: []string{"distbuild", "-unpack", to}, Stdin: r, Stderr: &stderr})
	if err != nil {
		return err
	}
	exit, err := p.Wait()
	if err == nil && !exit.Ok() {
		err = fmt.Errorf("%v: %s", exit, stderr.String())
	}
	if err != nil {
		return fmt.Errorf("copying %s to node%d: %w", dir, node, err)
	}
	return nil
}

// A share is what a node has done.
type share struct {
	tasks int
	took  float64
}

func nodeNames(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("node%d", i+1))
	}
	return strings.Join(list, ",")
}
