// Package harness is what the suites share: starting a lab for a suite and
// ending it with it, putting programs into nodes, and keeping what the lab
// knows when a spec fails.
//
// A suite drives its lab through package lab, as the command line does, and
// asks what its nodes can do, never which image they are.
package harness

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"hurdlab/images"
	"hurdlab/images/catalogue"
	machimage "hurdlab/images/mach"
	"hurdlab/lab"
	"hurdlab/lab/programs"
	"hurdlab/lab/state"
)

// Main is what a suite's TestMain calls.
func Main(m *testing.M) {
	lab.RunDaemon()
	os.Exit(m.Run())
}

// Run runs the specs of a suite.
func Run(t *testing.T, suite string) {
	gomega.RegisterFailHandler(ginkgo.Fail)
	gomega.EnforceDefaultTimeoutsWhenUsingContexts()
	gomega.SetDefaultEventuallyTimeout(time.Minute)
	ginkgo.RunSpecs(t, suite)
}

// Up starts a lab that ends with the suite, and with this process however
// that ends. Guard looks after it.
func Up(ctx context.Context, spec lab.Spec) *lab.Lab {
	ginkgo.GinkgoHelper()
	l, err := Start(ctx, spec)
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	ginkgo.DeferCleanup(func(ctx context.Context) {
		gomega.Expect(l.Down(ctx)).To(gomega.Succeed())
	})
	return l
}

// Start starts a lab for tests and benchmarks: as Up does, but ending it is
// left to the caller.
func Start(ctx context.Context, spec lab.Spec) (*lab.Lab, error) {
	dirs, err := state.DefaultDirs(os.Getenv)
	if err != nil {
		return nil, err
	}
	source, err := machimage.FindSource(".")
	if err != nil {
		return nil, err
	}
	if spec.Image, err = chosen(catalogue.Options{CacheDir: dirs.Cache, StateDir: dirs.State, Source: source}); err != nil {
		return nil, err
	}
	if os.Getenv(catalogue.TestEnv) != "" {
		spec.MemoryMB = 0 // suites know what is enough for mach
	}
	if spec.Name == "" {
		spec.Name = fmt.Sprintf("test-%d", os.Getpid())
	}
	spec.Leashed = true
	spec.Watch = report
	return lab.Up(ctx, spec)
}

// chosen is the image that the user asks for: hurdlab test --image.
func chosen(o catalogue.Options) (images.Image, error) {
	name := os.Getenv(catalogue.TestEnv)
	if name == "" {
		name = "mach"
	}
	file, ok, err := catalogue.File(name)
	if err != nil {
		return nil, err
	}
	if ok {
		name, o.File = file, file
	}
	list, err := catalogue.New(o)
	if err != nil {
		return nil, err
	}
	return list.Find(name)
}

// report tells of the steps that end, so that the log of a first run, which
// builds a tool chain, is not silent for minutes.
func report(e state.Event) {
	switch {
	case e.Kind == state.KindStep && e.Phase == state.Done:
		fmt.Fprintf(ginkgo.GinkgoWriter, "%s: done\n", e.Step)
	case e.Kind == state.KindStep && e.Phase == state.Failed:
		fmt.Fprintf(ginkgo.GinkgoWriter, "%s: %s\n", e.Step, e.Text)
	}
}

// Guard checks the consoles after every spec of the container it is called
// in, and leaves a bundle when one fails. The lab is asked for when a spec
// begins.
func Guard(l func() *lab.Lab) {
	var mark lab.ConsoleMark
	ginkgo.BeforeEach(func() {
		var err error
		mark, err = l().MarkConsoles()
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
	})
	ginkgo.AfterEach(func(ctx context.Context) {
		found, err := l().CheckConsoles(mark)
		if ginkgo.CurrentSpecReport().Failed() || err != nil || len(found) > 0 {
			file, berr := l().Bundle(ctx, "")
			if berr != nil {
				file = "not to be had: " + berr.Error()
			}
			ginkgo.AddReportEntry("bundle", file)
		}
		gomega.Expect(err).NotTo(gomega.HaveOccurred())
		gomega.Expect(found).To(gomega.BeEmpty(), "the consoles show trouble")
	})
}

// Install builds main packages for the nodes and copies each into /bin of
// every node, or of those named.
func Install(ctx context.Context, l *lab.Lab, pkgs []string, nodes ...string) error {
	return programs.Install(ctx, l, pkgs, nodes...)
}

// Build builds main packages for the nodes into the directory dir.
func Build(ctx context.Context, dir string, pkgs ...string) error {
	return programs.Build(ctx, dir, pkgs...)
}

// BuildTests builds the tests of packages for the nodes into the directory
// dir, each as its name with ".test".
func BuildTests(ctx context.Context, dir string, pkgs ...string) error {
	return programs.BuildTests(ctx, dir, pkgs...)
}

// BuildHost builds a main package for this host: the reference that a node is
// compared with. It returns the program's path.
func BuildHost(ctx context.Context, dir, pkg string) (string, error) {
	return programs.BuildHost(ctx, dir, pkg)
}
