package port

import (
	"path/filepath"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/patches/go/porttest"
	"hurdlab/suites/internal/harness"
)

var _ = Describe("a program that ends by", Ordered, func() {
	BeforeAll(func(ctx SpecContext) {
		Expect(harness.Build(ctx, dir, "hurdlab/patches/go/porttest/crash")).To(Succeed())
		Expect(l.Nodes()[0].CopyTo(ctx, filepath.Join(dir, "crash"), "/tmp/crash")).To(Succeed())
	}, NodeTimeout(5*time.Minute))

	for _, e := range porttest.Endings {
		It(e.Way+" says so and has its status", func(ctx SpecContext) {
			r, err := l.Nodes()[0].Run(ctx, "/tmp/crash", e.Way)
			Expect(err).NotTo(HaveOccurred())
			Expect(string(r.Stderr)).To(MatchRegexp(e.Says))
			Expect(r.Exit.Status).To(Equal(e.Status))
		}, SpecTimeout(time.Minute))
	}
})
