package coherence_test

import (
	"testing"

	"hurdlab/internal/scripts"
	"hurdlab/pager/coherence"
	"hurdlab/pager/coherence/stories"
)

// TestScripts runs the scripts in testdata: see package stories.
func TestScripts(t *testing.T) {
	stories.Run(t, func(c coherence.Config) stories.Core { return coherence.New(c) })
}

// TestRulesHaveScripts checks that each rule, and each defect that the rules are there to
// prevent, is named by a script.
func TestRulesHaveScripts(t *testing.T) {
	scripts.CheckRules(t, scripts.Rules{
		Doc: "../../docs/pager.md", Scripts: 40,
		// What the kernel does, and what is asked of the caller: package sim models the one,
		// and package pager tests the other.
		Elsewhere: func(r string) bool { return r[0] == 'K' || r[0] == 'C' },
	})
}
