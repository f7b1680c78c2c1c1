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
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
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

// each is how many tasks a node has at a time: on other nodes than node1 they wait for files, some of the time. With more, those
// that others wait for take longer.
const each = 2

// given is the package all whose imports are there already, compiled: what every
// program has.
const given = "fmt"

const (
	// tree is where sources and objects are: on node1.
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
	Name     string     `json:"name"`
	Needs    []string   `json:"needs,omitempty"`
	Commands [][]string `json:"commands"`
	Inputs   []string   `json:"inputs,omitempty"`
	Outputs  []string   `json:"outputs"`
	Work     string     `json:"work,omitempty"`
	Cost     float64    `json:"cost,omitempty"`
	Here     bool       `json:"here,omitempty"`
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

// A plan is what is to be built: files for the tree, and tasks. All names of files are those in
// the tree, whose directory commands are run in.
type plan struct {
	tools    string // the directory of the tools
	packages int
	tasks    []compileTask
	files    map[string]string // in the tree → on this host
	text     map[string]string // in the tree → what is in it
}

// An archive is what is made of a package: what those that import it read, and what the linker does. A
// compiler makes both at once (its -linkobj), so that nobody has to read all of it to import it.
type archive struct{ exports, code string }

// built is the archive that a task makes.
func built(pkg string) archive { return archive{"obj/" + pkg + ".x", "obj/" + pkg + ".o"} }

// ready is the archive of a package that is there.
func ready(pkg string) archive { return archive{"given/" + pkg + ".x", "given/" + pkg + ".a"} }

// makePlan plans to build a program that imports packages, with the tools of a
// directory. have are archives that are there already.
func makePlan(tools string, list []*goPackage, have map[string]string, include string) (*plan, error) {
	p := &plan{tools: tools, files: make(map[string]string), text: make(map[string]string)}
	for name, file := range have {
		exports, err := exportsOf(file)
		if err != nil {
			return nil, err
		}
		p.files[ready(name).code] = file
		p.text[ready(name).exports] = string(exports)
	}
	for _, h := range headers {
		file := filepath.Join(include, h)
		if _, err := os.Stat(file); err == nil { // not all releases have all
			p.files["include/"+h] = file
		}
	}
	p.text["empty/go_asm.h"] = "// for who only looks at names\n"
	at := func(pkg string) archive {
		if _, ok := have[pkg]; ok {
			return ready(pkg)
		}
		return built(pkg)
	}
	var main, cfg strings.Builder
	main.WriteString("package main\n\nimport (\n")
	needs := []string{}
	link := compileTask{Name: "link", Needs: []string{"main"}, Cost: 2e5, Here: true} // it needs all files
	for _, x := range list {
		fmt.Fprintf(&cfg, "packagefile %s=%s\n", x.ImportPath, at(x.ImportPath).code)
		link.Inputs = append(link.Inputs, at(x.ImportPath).code)
		if _, ok := have[x.ImportPath]; ok {
			continue
		}
		if len(x.CgoFiles)+len(x.EmbedFiles)+len(x.SysoFiles) > 0 {
			return nil, fmt.Errorf("%s has files that this cannot build", x.ImportPath)
		}
		if err := p.pack(x, at); err != nil {
			return nil, err
		}
		needs = append(needs, x.ImportPath)
		if !strings.Contains("/"+x.ImportPath+"/", "/internal/") {
			fmt.Fprintf(&main, "\t_ %q\n", x.ImportPath)
		}
	}
	main.WriteString(")\n\nfunc main() { println(\"built on the Hurd\") }\n")
	p.text["src/main/main.go"] = main.String()
	if err := p.pack(&goPackage{ImportPath: "main", GoFiles: []string{"main.go"}, Imports: needs}, at); err != nil {
		return nil, err
	}
	p.text["link.cfg"] = cfg.String() + "packagefile main=" + built("main").code + "\n"
	link.Inputs = append(link.Inputs, "link.cfg", built("main").code)
	link.Outputs = []string{program}
	link.Commands = [][]string{{path.Join(tools, "link"), "-s", "-w", "-buildid=", "-importcfg", "link.cfg", "-o", program, built("main").code}}
	p.tasks = append(p.tasks, link)
	return p, nil
}

// program is what is built.
const program = "obj/program"

// headers are those of Go's library that its assembly includes.
var headers = []string{"asm_amd64.h", "asm_ppc64x.h", "asm_riscv64.h", "funcdata.h", "textflag.h"}

// exportsOf returns an archive of only what those read who import the package of one: its first
// member.
func exportsOf(file string) ([]byte, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	const magic, header = "!<arch>\n", 60
	if !strings.HasPrefix(string(b), magic+"__.PKGDEF ") || len(b) < len(magic)+header {
		return nil, fmt.Errorf("%s is no archive of a package", file)
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b[len(magic)+48 : len(magic)+58])))
	if err != nil || n < 0 || n > len(b)-len(magic)-header {
		return nil, fmt.Errorf("%s: the length of its first member is %q", file, b[len(magic)+48:len(magic)+58])
	}
	return b[:len(magic)+header+n], nil
}

// pack plans the compilation of a package. at says where the archives of others are.
func (p *plan) pack(x *goPackage, at func(pkg string) archive) error {
	t := compileTask{Name: x.ImportPath, Cost: 5e3} // to start takes as long as some 5 kB of source
	tools := p.tools
	src := path.Join("src", x.ImportPath)
	config := path.Join("cfg", x.ImportPath+".cfg")
	t.Inputs = append(t.Inputs, config)
	var cfg strings.Builder
	for _, from := range slices.Sorted(maps.Keys(x.ImportMap)) {
		fmt.Fprintf(&cfg, "importmap %s=%s\n", from, x.ImportMap[from])
	}
	for _, imp := range x.Imports {
		if to, ok := x.ImportMap[imp]; ok {
			imp = to
		}
		if imp == "unsafe" || imp == "C" {
			continue
		}
		fmt.Fprintf(&cfg, "packagefile %s=%s\n", imp, at(imp).exports)
		t.Inputs = append(t.Inputs, at(imp).exports)
		if at(imp) == built(imp) {
			t.Needs = append(t.Needs, imp)
		}
	}
	p.text[config] = cfg.String()
	for _, f := range slices.Concat(x.GoFiles, x.SFiles, x.HFiles) {
		t.Inputs = append(t.Inputs, path.Join(src, f))
		if x.Dir == "" {
			continue // it is text of ours
		}
		st, err := os.Stat(filepath.Join(x.Dir, f))
		if err != nil {
			return err
		}
		t.Cost += float64(st.Size())
		p.files[path.Join(src, f)] = filepath.Join(x.Dir, f)
	}
	all := func(files []string) []string {
		var list []string
		for _, f := range files {
			list = append(list, path.Join(src, f))
		}
		return list
	}
	out := built(x.ImportPath)
	t.Outputs = []string{out.exports, out.code}
	compile := []string{path.Join(tools, "compile"), "-o", out.exports, "-linkobj", out.code, "-trimpath", "$TREE", "-p", x.ImportPath, "-buildid=", "-c=1", "-importcfg", config, "-pack"}
	if x.Standard {
		compile = append(compile, "-std")
	}
	if len(x.SFiles) == 0 {
		t.Commands = [][]string{slices.Concat(compile, []string{"-complete"}, all(x.GoFiles))}
	} else {
		t.Work = path.Join("work", x.ImportPath)
		asm := func(more ...string) []string {
			return slices.Concat([]string{path.Join(tools, "asm"), "-p", x.ImportPath, "-trimpath", "$TREE", "-I", "include", "-D", "GOOS_hurd", "-D", "GOARCH_386", "-D", "GO386_sse2"}, more)
		}
		names, macros := path.Join(t.Work, "symabis"), path.Join(t.Work, "go_asm.h")
		t.Inputs = append(t.Inputs, "empty/go_asm.h")
		for _, h := range headers {
			if _, ok := p.files["include/"+h]; ok {
				t.Inputs = append(t.Inputs, "include/"+h)
			}
		}
		t.Commands = [][]string{
			asm(append([]string{"-I", "empty", "-gensymabis", "-o", names}, all(x.SFiles)...)...),
			slices.Concat(compile, []string{"-symabis", names, "-asmhdr", macros}, all(x.GoFiles)),
		}
		add := []string{path.Join(tools, "pack"), "r", out.code}
		for _, f := range x.SFiles {
			o := path.Join(t.Work, strings.TrimSuffix(f, ".s")+".o")
			t.Commands = append(t.Commands, asm("-I", t.Work, "-o", o, path.Join(src, f)))
			add = append(add, o)
		}
		t.Commands = append(t.Commands, add)
	}
	p.packages++
	p.tasks = append(p.tasks, t)
	return nil
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
		if err != nil {
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
	if err := put("tasks.json", b); err != nil {
		return err
	}
	if b, err = json.Marshal(p.first()); err != nil {
		return err
	}
	return put("first.json", b)
}

// first are some tasks that need no other: four for each of three nodes.
func (p *plan) first() []compileTask {
	var list []compileTask
	for _, t := range p.tasks {
		if len(t.Needs) == 0 && len(list) < 12 {
			list = append(list, t)
		}
	}
	return list
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
func planFor(ctx context.Context, tc *goport.Toolchain, tools string, names []string) (*plan, error) {
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
	return makePlan(tools, list, have, filepath.Join(tc.Dir, "src", "runtime"))
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
	p, err := planFor(ctx, tc, path.Join(toolDir, "bin"), names)
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
	m.Say("copying tools and sources to the nodes")
	g, gctx := errgroup.WithContext(ctx)
	for n := range m.lab.Nodes() {
		g.Go(func() error {
			if err := m.put(gctx, n+1, filepath.Join(dir, "tools"), toolDir); err != nil {
				return err
			}
			return m.put(gctx, n+1, filepath.Join(dir, "sources"), tree)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	m.part.Notes = append(m.part.Notes, fmt.Sprintf("%d packages are compiled, assembled and linked, by distbuild on node1, where sources and objects are; each node has tools of its own. "+
		"Tasks, %d at a time for each node, are run by workers, which rexec --any has put on the nodes, but the last, link: on node1 in the tree, elsewhere on copies of what a task reads; what it makes goes to node1's tree. "+
		"Where the nodes are named, a task runs on the one that has the fewest. What the smallest programs have (package %s and all that it imports) is there, compiled.", p.packages, each, given))

	var ways []way
	counts := m.Nodes
	if len(counts) == 0 || counts[0] != 1 {
		counts = append([]int{1}, counts...)
	}
	for _, n := range counts {
		ways = append(ways, way{nodes: n})
		if n > 1 && n == slices.Max(counts) && !m.Quick {
			ways = append(ways, way{nodes: n, named: true})
		}
	}
	series := make(map[way]*bench.Series)
	paths := make(map[way]*bench.Series)
	shares := make(map[way]map[string]*share)
	for _, w := range ways {
		series[w] = m.part.Add("build/"+w.String(), "ns")
		paths[w] = m.part.Add("longest-path/"+w.String(), "ns")
		shares[w] = make(map[string]*share)
	}
	if !m.Quick {
		m.Say("compiling some packages on all nodes: none is the first to do so when it counts, with an emulator that has to translate the compiler")
		all := len(m.lab.Nodes())
		if _, err := m.run(ctx, 1, "distbuild", "-j", fmt.Sprint(each*all), "-on", nodeNames(all), tree+"/first.json"); err != nil {
			return err
		}
	}
	alone := make(map[int]*bench.Series)
	for _, n := range counts {
		alone[n] = m.part.Add(fmt.Sprintf("alone/nodes=%d", n), "1/s")
	}
	var sums string
	turns := m.turns(1, 2)
	for turn := range turns {
		for _, w := range ways {
			m.Say(fmt.Sprintf("turn %d of %d: a build, %v", turn+1, turns, w))
			r, now, err := m.buildOnce(ctx, w)
			if err != nil {
				return err
			}
			series[w].Values = append(series[w].Values, r.Took*1e9)
			for node, x := range r.Nodes {
				if shares[w][node] == nil {
					shares[w][node] = new(share)
				}
				shares[w][node].add(x)
			}
			if turn == turns-1 {
				m.part.Times = append(m.part.Times, r.timeline(w))
			}
			paths[w].Values = append(paths[w].Values, r.Path*1e9)
			// The same bits, wherever it was compiled.
			if sums == "" {
				sums = now
			} else if now != sums {
				return fmt.Errorf("objects of %v are not those of one:\n%s\nand:\n%s", w, now, sums)
			}
		}
		for _, n := range counts {
			m.Say(fmt.Sprintf("turn %d of %d: packages that each of %d compiles for itself", turn+1, turns, n))
			rate, err := m.compileAlone(ctx, n)
			if err != nil {
				return err
			}
			alone[n].Values = append(alone[n].Values, rate)
		}
	}
	one := series[way{nodes: 1}]
	for _, w := range ways[1:] {
		var goal *bench.Goal
		if w == (way{nodes: 2}) {
			goal = bench.AtLeast(1.6)
		}
		m.part.Faster("compiling on "+w.text()+", times one", one, series[w], true, goal)
		if w.named {
			m.part.Faster("compiling on "+w.text()+", times where rexec --any chooses", series[way{nodes: w.nodes}], series[w], true, nil)
		}
		if w == (way{nodes: 3}) && series[way{nodes: 2}] != nil {
			m.part.Faster("compiling on 3 nodes, times two", series[way{nodes: 2}], series[w], true, bench.AtLeast(1))
		}
	}
	// What this host can give, at most: its processors are the nodes', and their emulators'.
	for _, n := range counts[1:] {
		m.part.Faster(fmt.Sprintf("%d nodes, each for itself, times one", n), alone[1], alone[n], true, nil)
	}
	var where []string
	for _, w := range ways[1:] {
		for _, node := range slices.Sorted(maps.Keys(shares[w])) {
			where = append(where, fmt.Sprintf("of %s, %s: %v", w.text(), node, shares[w][node]))
		}
	}
	m.part.Notes = append(m.part.Notes, "Tasks of all turns, and how long each took: "+strings.Join(where, "; ")+". The objects had the same bits each time.")
	return m.gcc(ctx, counts)
}

// compileAlone has the first nodes each compile the same packages for itself, at the same time, and returns how many
// all compiled in a second.
func (m *measuring) compileAlone(ctx context.Context, nodes int) (float64, error) {
	g, ctx := errgroup.WithContext(ctx)
	rates := make([]float64, nodes)
	for i := range nodes {
		g.Go(func() error {
			text, err := m.run(ctx, i+1, "distbuild", "-j", fmt.Sprint(each), tree+"/first.json")
			if err != nil {
				return err
			}
			var r build
			if err := json.Unmarshal([]byte(text), &r); err != nil {
				return err
			}
			rates[i] = float64(len(r.Spans)) / r.Took
			return nil
		})
	}
	err := g.Wait()
	sum := 0.0
	for _, r := range rates {
		sum += r
	}
	return sum, err
}

// A way is on how many nodes a build is, and who places tasks: rexec --any, unless they are named.
type way struct {
	nodes int
	named bool
}

func (w way) String() string {
	if w.named {
		return fmt.Sprintf("nodes=%d/placed=named", w.nodes)
	}
	return fmt.Sprintf("nodes=%d", w.nodes)
}

// text is what people read.
func (w way) text() string {
	switch {
	case w.named:
		return fmt.Sprintf("%d nodes that are named", w.nodes)
	case w.nodes == 1:
		return "one node"
	}
	return fmt.Sprintf("%d nodes", w.nodes)
}

// A build is what distbuild reports: see its Report.
type build struct {
	Took  float64           `json:"took_s"`
	Path  float64           `json:"path_s"`
	Nodes map[string]*share `json:"nodes"`
	Spans []struct {
		Task  string  `json:"task"`
		Node  string  `json:"node"`
		Began float64 `json:"began_s"`
		Ended float64 `json:"ended_s"`
	} `json:"spans"`
}

// timeline shows what ran where, and when.
func (r *build) timeline(w way) *bench.Timeline {
	t := &bench.Timeline{Title: "A build on " + w.text(), Unit: "s"}
	for _, s := range r.Spans {
		t.Spans = append(t.Spans, bench.Span{Place: s.Node, What: s.Task, Begin: s.Began, End: s.Ended})
	}
	return t
}

// buildOnce builds all once, and returns the sums of what was made, too.
func (m *measuring) buildOnce(ctx context.Context, w way) (*build, string, error) {
	if _, err := m.run(ctx, 1, "rm", "-rf", tree+"/obj"); err != nil {
		return nil, "", err
	}
	args := []string{"distbuild", "-progress", "-j", fmt.Sprint(each * w.nodes)}
	if w.nodes > 1 {
		args = append(args, "-on", nodeNames(w.nodes))
	}
	if w.nodes > 1 && !w.named {
		args = append(args, "-any")
	}
	r := new(build)
	if err := m.follow(ctx, r, m.buildNote, 1, append(args, tree+"/tasks.json")...); err != nil {
		return nil, "", err
	}
	sums, err := m.run(ctx, 1, "distbuild", "-sums", tree+"/obj")
	if err != nil {
		return nil, "", err
	}
	out, err := m.run(ctx, 1, "sh", "-c", tree+"/"+program+" 2>&1")
	if err != nil || strings.TrimSpace(out) != "built on the Hurd" {
		return nil, "", fmt.Errorf("the program that was built says %q: %w", out, err)
	}
	return r, sums, nil
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
		if node == "" {
			node = "to be placed"
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

// A share is what a node has done: see distbuild's Share.
type share struct {
	Tasks int     `json:"tasks"`
	Took  float64 `json:"took_s"`
	Fetch float64 `json:"fetch_s"`
	Run   float64 `json:"run_s"`
	Store float64 `json:"store_s"`
	Files int     `json:"files"`
	Bytes int64   `json:"bytes"`
}

func (s *share) add(x *share) {
	s.Tasks += x.Tasks
	s.Took += x.Took
	s.Fetch += x.Fetch
	s.Run += x.Run
	s.Store += x.Store
	s.Files += x.Files
	s.Bytes += x.Bytes
}

// String says what a task took, on average.
func (s *share) String() string {
	n := float64(max(s.Tasks, 1))
	text := fmt.Sprintf("%d, of %.1f s", s.Tasks, s.Took/n)
	if s.Files > 0 {
		text += fmt.Sprintf(" (%.1f to get files, %.1f to run, %.1f to put back; %.1f files of %.0f kB)", s.Fetch/n, s.Run/n, s.Store/n, float64(s.Files)/n, float64(s.Bytes)/n/1e3)
	}
	return text
}

func nodeNames(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprintf("node%d", i+1))
	}
	return strings.Join(list, ",")
}
