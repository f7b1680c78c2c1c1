package harness

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"hurdlab/lab"
)

var conformed = regexp.MustCompile(`(?m)^\d+ cases: (\d+) ok, 0 failed`)

// Conform runs the conformance suite for file systems, program fstest, on a node
// and wants no case to fail and at least so many to pass.
func Conform(ctx context.Context, n *lab.Node, atLeast int, args ...string) {
	ginkgo.GinkgoHelper()
	ConformParts(ctx, []*lab.Node{n}, 1, atLeast, args...)
}

// ConformParts is Conform with the cases, one of every so many of all, dealt out to several
// programs, which run at the same time, each on a node of those given. A node may be given
// more than once.
func ConformParts(ctx context.Context, on []*lab.Node, every, atLeast int, args ...string) {
	ginkgo.GinkgoHelper()
	outs := make([]output, len(on))
	exits := make([]lab.Exit, len(on))
	errs := make([]error, len(on))
	var wg sync.WaitGroup
	for i, n := range on {
		wg.Go(func() {
			args := append([]string{"fstest", "-part", fmt.Sprintf("%d/%d", i+1, len(on)*every)}, args...)
			p, err := n.Start(ctx, lab.Cmd{Args: args, Stdout: &outs[i], Stderr: &outs[i]})
			if err == nil {
				exits[i], err = p.Wait()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	var bad, skipped []string
	passed := 0
	for i := range on {
		gomega.Expect(errs[i]).NotTo(gomega.HaveOccurred())
		out := outs[i].String()
		for line := range strings.Lines(out) {
			switch {
			case strings.HasPrefix(line, "ok "):
			case strings.HasPrefix(line, "skip "):
				skipped = append(skipped, line)
			default:
				bad = append(bad, line)
			}
		}
		if m := conformed.FindStringSubmatch(out); m != nil {
			ok, err := strconv.Atoi(m[1])
			gomega.Expect(err).NotTo(gomega.HaveOccurred())
			passed += ok
		} else {
			bad = append(bad, fmt.Sprintf("%s does not say that none has failed\n", on[i].Name()))
		}
	}
	ginkgo.AddReportEntry("conformance", strings.Join(append(skipped, bad...), ""))
	for i, exit := range exits {
		gomega.Expect(exit.Ok()).To(gomega.BeTrue(), "%v\n%s", exit, strings.Join(bad, ""))
		gomega.Expect(conformed.MatchString(outs[i].String())).To(gomega.BeTrue(), "%s", outs[i].String())
	}
	gomega.Expect(passed).To(gomega.BeNumerically(">=", atLeast))
}
