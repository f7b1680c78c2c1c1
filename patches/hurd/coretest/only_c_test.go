package coretest

import (
	"strings"
	"testing"
)

// TestDiscard and TestOffer are about what only the core in C has, for pager_flush and
// pager_offer_page.
func TestDiscard(t *testing.T) {
	p := start(t)
	p.ask("begin 8 0 1 1 0 0 0 0 0 0 0 0 0 0 0")
	p.ask("attach 0")
	p.tell("request 1 2 1 3")
	p.tell("loaded 2 1 0 77")
	p.tell("request 1 3 1 3")
	p.tell("loaded 3 1 0 78")
	p.tell("returned 1 3 1 0 79") // changed, and being stored
	p.ask("actions")
	p.tell("discard 0 8")
	p.tell("take 1 0 8 3")
	got := strings.Join(p.ask("actions"), "\n")
	// The page that somebody has is taken, and not returned; nobody is asked for the other.
	if got != "lock 1 2 1 0 1 0 1 0 0 0 0 0 0" {
		t.Errorf("discard: %s", got)
	}
	p.tell("returned 1 2 1 0 80") // dropped
	p.tell("stored 3 1 0")
	p.tell("completed 1 2 1")
	got = strings.Join(p.ask("actions"), "\n")
	if !strings.HasPrefix(got, "granted ") || strings.Contains(got, "store ") || !strings.Contains(got, " 79") || !strings.Contains(got, " 80") {
		t.Errorf("after that: %s", got)
	}
	p.tell("release 1")
	if at := p.ask("at-rest 2")[0] + p.ask("at-rest 3")[0]; at != "11" {
		t.Errorf("at rest: %s\n%s", at, strings.Join(p.ask("dump"), "\n"))
	}
}

func TestOffer(t *testing.T) {
	p := start(t)
	p.ask("begin 8 0 1 1 0 0 0 0 0 0 0 0 0 0 0")
	p.ask("attach 0")
	p.ask("actions")
	if ok := p.ask("offer 5 90")[0]; ok != "1" {
		t.Errorf("a page that nobody has: %s", ok)
	}
	if got := strings.Join(p.ask("actions"), "\n"); !strings.HasPrefix(got, "store 0 5 1 ") || !strings.HasSuffix(got, " 90") {
		t.Errorf("it is not stored: %s", got)
	}
	p.tell("request 1 5 1 1")
	if got := strings.Join(p.ask("actions"), "\n"); !strings.HasPrefix(got, "supply 1 5 1 ") || !strings.HasSuffix(got, " 90") {
		t.Errorf("it is not served: %s", got)
	}
	for _, n := range []string{"offer 5 91", "offer 8 92", "offer -1 93"} {
		if ok := p.ask("%s", n)[0]; ok != "0" {
			t.Errorf("%s: %s", n, ok)
		}
	}
	p.tell("stored 5 1 0")
	if got := strings.Join(p.ask("actions"), "\n"); !strings.HasPrefix(got, "discard ") {
		t.Errorf("it is not given back: %s", got)
	}
}
