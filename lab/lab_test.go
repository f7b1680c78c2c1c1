package lab

import (
	"context"
	"os"
	"testing"

	"hurdlab/lab/labtest"
	"hurdlab/lab/state"
)

func TestMain(m *testing.M) {
	labtest.RunMachine()
	RunDaemon()
	os.Exit(m.Run())
}

// testSpec is a lab of n machines without an emulator.
func testSpec(t *testing.T, n int) Spec {
	t.Helper()
	root := t.TempDir()
	return Spec{
		Name: "t", Nodes: n, Image: &labtest.Image{}, Accel: "tcg",
		Dirs:  state.Dirs{State: root + "/state", Cache: root + "/cache"},
		Watch: func(e state.Event) { t.Logf("%+v", e) },
	}
}

// testUp starts a lab and takes it down at the end of the test.
func testUp(t *testing.T, spec Spec) *Lab {
	t.Helper()
	l, err := Up(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Down(context.Background()) })
	return l
}

func TestUpRunDown(t *testing.T) {
	l := testUp(t, testSpec(t, 2))
	r, err := l.Node("node1").Run(t.Context(), "echo", "hello")
	if err != nil || r.Stdout != "hello\n" || !r.Ok() {
		t.Errorf("got %+v, %v", r, err)
	}
}
