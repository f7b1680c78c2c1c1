package measure

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"hurdlab/bench"
	"hurdlab/images"
	"hurdlab/lab"
	"hurdlab/lab/rebuild"
)

// A cProject is a source package of the distribution that gcc and make build.
type cProject struct {
	source string // of apt-get source
	// configure is run in its directory, once; with build-dep before.
	configure string
	// build is the directory that make runs in, and target what it makes.
	build, target string
}

// cProjects are the kernel itself, and a program of size.
var cProjects = []cProject{
	{"gnumach", "mkdir obj && cd obj && ../configure", "obj", "gnumach"},
	{"bash", "./configure --without-bash-malloc", ".", "bash"},
}

// A gccBuild builds with gcc and make on nodes of a distribution that has both: make runs on
// node1, and each of its compilers where rexec puts it.
type gccBuild struct {
	// run runs a command on a node, from 1 on.
	run func(ctx context.Context, node int, args ...string) (string, error)
	// all is how many nodes there are.
	all int
	// root is the root directory of node1, without a slash at its end.
	root string
	// tree is the directory of sources and objects: on node1, and by a link on the others.
	tree string
}

// script runs a script of the shell, which ends at the first command that fails.
func (g *gccBuild) script(ctx context.Context, node int, format string, args ...any) (string, error) {
	return g.run(ctx, node, "sh", "-ec", fmt.Sprintf(format, args...))
}

// aptScript is for the shell: it installs packages, without what would start a server.
const aptScript = `export DEBIAN_FRONTEND=noninteractive
dpkg --configure -a
apt-get -q update
apt-get -q -y install %s
`

// prepare installs the compiler on all nodes, and configures the projects on node1.
func (g *gccBuild) prepare(ctx context.Context, projects []cProject) error {
	const packages = "gcc make"
	var versions []string
	for n := 1; n <= g.all; n++ {
		if _, err := g.script(ctx, n, aptScript, packages); err != nil {
			return err
		}
		// What is compiled on one node has the headers of that.
		v, err := g.script(ctx, n, `dpkg-query -W -f '${Package} ${Version}\n' $(dpkg-query -W -f '${Package} ' 'gcc*' 'cpp*' 'binutils*' 'libc*-dev' 'gnumach-dev*' 'hurd-dev*' 2>/dev/null) | grep ' .' | sort`)
		if err != nil {
			return err
		}
		if versions = append(versions, v); v != versions[0] {
			return fmt.Errorf("node%d has other compilers than node1:\n%s\nand:\n%s", n, v, versions[0])
		}
		if n > 1 {
			if _, err := g.script(ctx, n, "ln -sfn /n/node1%s %s", g.tree, g.tree); err != nil {
				return err
			}
		}
	}
	if _, err := g.script(ctx, 1, "mkdir -p %s\nR=%s\n%s\napt-get -q update\napt-get -q -y install dpkg-dev", g.tree, g.root, rebuild.NameSources); err != nil {
		return err
	}
	for _, p := range projects {
		if _, err := g.script(ctx, 1, `export DEBIAN_FRONTEND=noninteractive
apt-get -q -y build-dep %[2]s
mkdir -p %[1]s/fetch
cd %[1]s/fetch
rm -rf *
apt-get -q source %[2]s
set -- */
if [ $# != 1 ] || [ ! -d "$1" ]; then echo "apt-get has unpacked no source: $*" >&2; exit 1; fi
rm -rf ../%[2]s
mv "$1" ../%[2]s
cd ../%[2]s
%[3]s
rm -rf %[1]s/%[2]s.configured
cp -a %[1]s/%[2]s %[1]s/%[2]s.configured`, g.tree, p.source, p.configure); err != nil {
			return fmt.Errorf("%s: %w", p.source, err)
		}
	}
	return nil
}

// build builds a project on the first n nodes, from its state after prepare, and returns how long make
// took and the checksums of all objects.
func (g *gccBuild) build(ctx context.Context, p cProject, n int) (time.Duration, string, error) {
	dir := path.Join(g.tree, p.source)
	cc := "gcc"
	if n > 1 {
		by := "--any"
		if n < g.all { // others have nothing to do, and would be taken
			by = fmt.Sprintf("node$(($$ %% %d + 1))", n)
		}
		cc = path.Join(g.tree, "cc")
		if _, err := g.script(ctx, 1, "cat > %[1]s <<'EOF'\n#!/bin/sh\nexec rexec --root=there %[2]s gcc \"$@\"\nEOF\nchmod +x %[1]s", cc, by); err != nil {
			return 0, "", err
		}
	}
	if _, err := g.script(ctx, 1, "rm -rf %[1]s\ncp -a %[1]s.configured %[1]s", dir); err != nil {
		return 0, "", err
	}
	began := time.Now()
	// Debugging information has the directory, whose name is another one where it is a link.
	if _, err := g.script(ctx, 1, "cd %s/%s\nmake -j%d CC='%s -ffile-prefix-map=/n/node1%s=%s' %s", dir, p.build, 3*n, cc, g.tree, g.tree, p.target); err != nil {
		return 0, "", fmt.Errorf("%s on %d nodes: %w", p.source, n, err)
	}
	took := time.Since(began)
	sums, err := g.script(ctx, 1, "cd %s\nfind . -name '*.o' | sort | xargs sha256sum", dir)
	if err == nil && strings.Count(sums, "\n") < 2 {
		err = errors.New("it has made no objects")
	}
	return took, sums, err
}

// gcc measures it, or notes why it does not.
func (m *measuring) gcc(ctx context.Context, counts []int) error {
	const what = "gcc and make -j, of a distribution"
	if !m.can(images.CanApt, what) {
		return nil
	}
	g := &gccBuild{run: m.run, all: len(m.lab.Nodes()), tree: "/c"}
	m.Say("installing gcc on the nodes, and the sources of C programs on node1")
	if err := g.prepare(ctx, cProjects); err != nil {
		return err
	}
	all := newCollection(m.part)
	name := func(p cProject, n int) string { return fmt.Sprintf("gcc/project=%s/nodes=%d", p.source, n) }
	sums := make(map[string]string)
	for turn := range m.turns(1, 2) {
		for _, p := range cProjects {
			for _, n := range counts {
				m.Say(fmt.Sprintf("turn %d: make -j builds %s on %d of the nodes", turn+1, p.source, n))
				took, now, err := g.build(ctx, p, n)
				if err != nil {
					return err
				}
				all.series(name(p, n), "ns", float64(took))
				if was := sums[p.source]; was != "" && now != was {
					return fmt.Errorf("%s: objects of %d nodes are not those of before:\n%s\nand:\n%s", p.source, n, now, was)
				}
				sums[p.source] = now
			}
		}
	}
	for _, p := range cProjects {
		for _, n := range counts[1:] {
			var goal *bench.Goal
			if n == 2 {
				goal = bench.AtLeast(1.6)
			}
			m.part.Faster(fmt.Sprintf("gcc builds %s on %d nodes, times one", p.source, n), m.part.Find(name(p, 1)), m.part.Find(name(p, n)), true, goal)
		}
	}
	m.part.Notes = append(m.part.Notes, "gcc and make are the distribution's; make runs on node1, where sources and objects are, and each compiler by rexec --any. The objects had the same bits each time.")
	return nil
}

// can reports whether all nodes can do something (see the constants in images); if not, a note says
// what is not measured.
func (m *measuring) can(can, what string) bool {
	why := map[string]string{images.CanApt: "install no packages of a distribution"}[can]
	i := slices.IndexFunc(m.lab.Nodes(), func(n *lab.Node) bool { return !n.Can(can) })
	if i >= 0 {
		m.part.Notes = append(m.part.Notes, fmt.Sprintf("Not measured: %s. Nodes of the image %s %s.", what, m.part.Lab.Image, why))
	}
	return i < 0
}
