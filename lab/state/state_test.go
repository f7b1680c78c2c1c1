package state

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"hurdlab/lab/problem"
)

func testDir(t *testing.T) Dir {
	t.Helper()
	d, err := Dirs{State: t.TempDir()}.Lab("test")
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestDefaultDirs(t *testing.T) {
	for _, c := range []struct {
		env         map[string]string
		state, want string
	}{
		{map[string]string{"HOME": "/h"}, "/h/.local/state/hurdlab", "/h/.cache/hurdlab"},
		{map[string]string{"HOME": "/h", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "rel"}, "/s/hurdlab", "/h/.cache/hurdlab"},
		{map[string]string{"XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/c"}, "/s/hurdlab", "/c/hurdlab"},
	} {
		d, err := DefaultDirs(func(k string) string { return c.env[k] })
		if err != nil || d.State != c.state || d.Cache != c.want {
			t.Errorf("%v: got %+v, %v", c.env, d, err)
		}
	}
	if _, err := DefaultDirs(func(string) string { return "" }); problem.Advice(err) == "" {
		t.Errorf("no home: got %v, want advice", err)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"a": true, "my-lab-2": true, "2": true,
		"": false, "-x": false, "A": false, "a/b": false, "..": false, ".locks": false, "a b": false, strings.Repeat("a", 32): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
}

// TestLockOfAProcess checks the two things that the lock is for: a process
// that inherits it holds it, and one that is killed does not.
func TestLockOfAProcess(t *testing.T) {
	d := testDir(t)
	l, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lock(); !errors.Is(err, ErrLocked) {
		t.Errorf("second Lock = %v, want %v", err, ErrLocked)
	}
	cmd := exec.Command("cat") // waits for the end of its input
	cmd.ExtraFiles = []*os.File{l.File}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	if locked, err := d.Locked(); !locked || err != nil {
		t.Errorf("Locked = %v, %v while a process has inherited it", locked, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if locked, err := d.Locked(); locked || err != nil {
		t.Errorf("Locked = %v, %v after the process was killed", locked, err)
	}
	l, err = d.WaitUnlocked()
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}

func TestCondition(t *testing.T) {
	d := testDir(t)
	check := func(want Condition) {
		t.Helper()
		if got, err := d.Condition(); got != want || err != nil {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	check(Absent)
	l, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	check(Starting)
	lab := &Lab{Name: "test", Nodes: make([]Node, 3)}
	if err := d.WriteLab(lab); err != nil {
		t.Fatal(err)
	}
	check(Starting)
	l.Close()
	check(Crashed)
	if why, err := d.Explain(); err != nil || !strings.Contains(why, "cut off before it had a daemon") {
		t.Errorf("Explain = %q, %v", why, err)
	}

	if l, err = d.Lock(); err != nil {
		t.Fatal(err)
	}
	boot, err := BootID()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.WriteDaemon(&Daemon{PID: 4711, BootID: boot}); err != nil {
		t.Fatal(err)
	}
	check(Running)
	if err := d.Touch(time.Date(2026, 11, 21, 7, 8, 9, 0, time.Local)); err != nil {
		t.Fatal(err)
	}
	l.Close()
	check(Crashed)
	why, err := d.Explain()
	for _, want := range []string{`"test"`, "4711", "died without shutting down", "2026-11-21 07:08:09", "3 nodes", d.Path()} {
		if err != nil || !strings.Contains(why, want) {
			t.Errorf("Explain = %q, %v; want it to mention %s", why, err, want)
		}
	}
	if err := d.WriteDaemon(&Daemon{PID: 4711, BootID: "another"}); err != nil {
		t.Fatal(err)
	}
	if why, _ := d.Explain(); !strings.Contains(why, "host was booted") {
		t.Errorf("Explain = %q", why)
	}

	if err := d.WriteEnd(&End{Time: time.Now(), Why: "because"}); err != nil {
		t.Fatal(err)
	}
	check(Ended)
	if why, _ := d.Explain(); !strings.Contains(why, "because") {
		t.Errorf("Explain = %q", why)
	}
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	check(Absent)
}

func TestDamagedStateHasAdvice(t *testing.T) {
	d := testDir(t)
	if err := d.WriteLab(&Lab{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(d.File(labFile), []byte(`{"name":`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Lab(); err == nil || !strings.Contains(problem.Advice(err), "hurdlab down --name test") {
		t.Errorf("got %v, advice %q", err, problem.Advice(err))
	}
}

func TestStateIsPrivate(t *testing.T) {
	d := testDir(t)
	if err := d.WriteLab(&Lab{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	for _, p := range []string{d.Path(), d.File(labFile)} {
		st, err := os.Stat(p)
		if err != nil || st.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v, %v; others must not read keys", p, st.Mode(), err)
		}
	}
}

func TestJournal(t *testing.T) {
	var b bytes.Buffer
	var seen []Event
	j := NewJournal(&b, func(e Event) { seen = append(seen, e) })
	done := j.Step("dig")
	j.Logf("%d m", 3)
	done(errors.New("rock"))
	j.Step("rest")(nil)
	var got []Event
	for dec := json.NewDecoder(&b); dec.More(); {
		var e Event
		if err := dec.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.Time.IsZero() {
			t.Errorf("%+v has no time", e)
		}
		e.Time = time.Time{}
		got = append(got, e)
	}
	want := []Event{
		{Kind: KindStep, Step: "dig", Phase: Begun},
		{Kind: KindStep, Phase: Noted, Text: "3 m"},
		{Kind: KindStep, Step: "dig", Phase: Failed, Text: "rock"},
		{Kind: KindStep, Step: "rest", Phase: Begun},
		{Kind: KindStep, Step: "rest", Phase: Done},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if len(seen) != len(want) {
		t.Errorf("watched %d events, want %d", len(seen), len(want))
	}
}
