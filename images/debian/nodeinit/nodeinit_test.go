package nodeinit

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hurdlab/images/mach/nodeconfig"
)

// console ends what runs when it has seen enough.
type console struct {
	mu   sync.Mutex
	b    bytes.Buffer
	done func(s string) bool
	stop func()
}

func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.b.Write(p)
	if c.done(c.b.String()) {
		c.stop()
	}
	return len(p), nil
}

func TestRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	c := &console{stop: cancel, done: func(s string) bool {
		return strings.Count(s, "serving") >= 2 && strings.Contains(s, "then autoboot")
	}}
	err := Run(ctx, &Config{
		First:    [][]string{{"/bin/sh", "-c", "echo first"}, {"/bin/false"}},
		Network:  t.TempDir(),
		Addr:     "10.0.0.1",
		Services: []Service{{Name: "s", Argv: []string{"/bin/sh", "-c", "echo serving $X; exit 3"}, Env: []string{"X=now"}}},
		Then:     writeScript(t, "echo then $1"),
	}, []string{"autoboot"}, c)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	s := c.b.String()
	for _, want := range []string{MarkInit, nodeconfig.MarkNetwork + " 10.0.0.1", "first\n", "/bin/false: exit status 1", "serving now", "s has ended (status 3)"} {
		if !strings.Contains(s, want) {
			t.Errorf("no %q in %q", want, s)
		}
	}
	if strings.Contains(s, nodeconfig.MarkReady) {
		t.Error("it said that it was ready")
	}
}

func TestRunFails(t *testing.T) {
	var b bytes.Buffer
	if err := Run(t.Context(), &Config{Network: filepath.Join(t.TempDir(), "none")}, nil, &b); err == nil {
		t.Error("a network that is not there")
	}
	if err := Run(t.Context(), &Config{Services: []Service{{Name: "s", Argv: []string{"/none"}}}}, nil, &b); err == nil {
		t.Error("a program that is not there")
	}
}

func TestParse(t *testing.T) {
	if c, err := Parse([]byte(`{"network": "/x", "services": [{"argv": ["/bin/true"]}]}`)); err != nil || c.Network != "/x" {
		t.Errorf("%+v, %v", c, err)
	}
	for _, s := range []string{"", "{", `{"services": [{"name": "x"}]}`, `{"first": [[]]}`} {
		if _, err := Parse([]byte(s)); err == nil {
			t.Errorf("%q", s)
		}
	}
}

func writeScript(t *testing.T, body string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}
