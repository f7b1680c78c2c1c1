package harness

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"hurdlab/lab"
)

var conformed = regexp.MustCompile(`(?m)^\d+ cases: (\d+) ok, 0 failed`)

// Conform runs the conformance suite for file systems, program fstest, on a node
// and wants no case to fail and at least so many to pass.
func Conform(ctx context.Context, n *lab.Node, atLeast int, args ...string) {
	ginkgo.GinkgoHelper()
	var out strings.Builder
	p, err := n.Start(ctx, lab.Cmd{Args: append([]string{"fstest"}, args...), Stdout: &out, Stderr: &out})
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	exit, err := p.Wait()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	var bad, skipped []string
	for line := range strings.Lines(out.String()) {
		switch {
		case strings.HasPrefix(line, "ok "):
		case strings.HasPrefix(line, "skip "):
			skipped = append(skipped, line)
		default:
			bad = append(bad, line)
		}
	}
	ginkgo.AddReportEntry("conformance", strings.Join(append(skipped, bad...), ""))
	gomega.Expect(exit.Ok()).To(gomega.BeTrue(), "%v\n%s", exit, strings.Join(bad, ""))
	m := conformed.FindStringSubmatch(out.String())
	gomega.Expect(m).NotTo(gomega.BeNil(), "%s", out.String())
	ok, err := strconv.Atoi(m[1])
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	gomega.Expect(ok).To(gomega.BeNumerically(">=", atLeast))
}
