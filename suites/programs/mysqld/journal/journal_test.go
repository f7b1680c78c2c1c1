package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// open opens a journal and returns what was in it.
func open(t *testing.T, name string) (*Journal, Opened, [][]byte) {
	t.Helper()
	var got [][]byte
	j, o, err := Open(name, func(b []byte) error { got = append(got, b); return nil })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j, o, got
}

func same(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// random returns payloads, and their seed in the log.
func random(t *testing.T, n int) [][]byte {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var list [][]byte
	for range n {
		b := make([]byte, 1+rnd.IntN(40))
		for i := range b {
			b[i] = byte(rnd.IntN(256))
		}
		list = append(list, b)
	}
	return list
}

func TestAppendAndOpen(t *testing.T) {
	name := filepath.Join(t.TempDir(), "j")
	want := random(t, 30)
	for i, p := range want {
		j, o, got := open(t, name)
		if !same(got, want[:i]) || o != (Opened{Records: i}) {
			t.Fatalf("after %d: %q, %+v", i, got, o)
		}
		if err := j.Append(p); err != nil {
			t.Fatal(err)
		}
		if st, err := os.Stat(name); err != nil || st.Size() != j.Size() {
			t.Fatalf("size %d, %v, %v", j.Size(), st, err)
		}
		j.Close()
	}
}

// A file that is cut anywhere has the records that were whole, and takes others after them.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "j")
	j, _, _ := open(t, name)
	want := random(t, 12)
	ends := []int64{j.Size()}
	for _, p := range want {
		if err := j.Append(p); err != nil {
			t.Fatal(err)
		}
		ends = append(ends, j.Size())
	}
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range int64(len(all) + 1) {
		torn := filepath.Join(dir, fmt.Sprint(cut))
		if err := os.WriteFile(torn, all[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		if cut < ends[0] { // never left by a crash: it is renamed when it is whole
			if _, _, err := Open(torn, func([]byte) error { return nil }); !errors.Is(err, ErrCorrupt) {
				t.Fatalf("cut at %d: %v", cut, err)
			}
			continue
		}
		n := 0
		for n < len(want) && ends[n+1] <= cut {
			n++
		}
		j, o, got := open(t, torn)
		if !same(got, want[:n]) || o.Cut != cut-ends[n] {
			t.Fatalf("cut at %d: %d records of %d, %d bytes cut off", cut, len(got), n, o.Cut)
		}
		if err := j.Append([]byte("more")); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if _, o, got := open(t, torn); len(got) != n+1 || string(got[n]) != "more" || o.Cut != 0 {
			t.Fatalf("cut at %d, then written: %q", cut, got)
		}
	}
}

// A bit that is wrong in the last record is a torn one, and anywhere before it is not ours.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "j")
	j, _, _ := open(t, name)
	want := random(t, 4)
	var last int64
	for _, p := range want {
		last = j.Size()
		if err := j.Append(p); err != nil {
			t.Fatal(err)
		}
	}
	all, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for at := range all {
		for bit := range 8 {
			bad := bytes.Clone(all)
			bad[at] ^= 1 << bit
			file := filepath.Join(dir, "bad")
			if err := os.WriteFile(file, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			n := 0
			j, _, err := Open(file, func([]byte) error { n++; return nil })
			if int64(at) < last {
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("bit %d of byte %d: %v", bit, at, err)
				}
				continue
			}
			if err != nil || n != len(want)-1 {
				t.Fatalf("bit %d of byte %d of the last record: %d records, %v", bit, at, n, err)
			}
			j.Close()
		}
	}
}

// What is made anew is there, or the old, whenever it is cut short.
func TestReplace(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "j")
	j, _, _ := open(t, name)
	old, anew := random(t, 5), random(t, 3)
	for _, p := range old {
		if err := j.Append(p); err != nil {
			t.Fatal(err)
		}
	}
	fill := func(put func([]byte) error) error {
		for _, p := range anew {
			if err := put(p); err != nil {
				return err
			}
		}
		return nil
	}
	for _, fault := range []*faulty{{write: true}, {sync: true}} {
		j.create = func(name string) (file, error) {
			f, err := os.Create(name)
			fault.File = f
			return fault, err
		}
		if err := j.Replace(fill); !errors.Is(err, errFault) {
			t.Fatal(err)
		}
		if err := j.Append([]byte("x")); err != ErrBroken {
			t.Fatal(err)
		}
		var got [][]byte
		j, _, got = open(t, name)
		if !same(got, old) {
			t.Fatalf("%q", got)
		}
	}
	if err := j.Replace(fill); err != nil {
		t.Fatal(err)
	}
	if err := j.Append(old[0]); err != nil {
		t.Fatal(err)
	}
	j.Close()
	// And the beginning of another.
	if err := os.WriteFile(name+".new", []byte(magic+"xyz"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, got := open(t, name); !same(got, append(slices.Clone(anew), old[0])) {
		t.Fatalf("%q", got)
	}
}

var errFault = errors.New("fault")

// A faulty file fails.
type faulty struct {
	*os.File
	write, sync bool
}

func (f *faulty) Write(b []byte) (int, error) {
	if f.write {
		f.File.Write(b[:len(b)/2])
		return len(b) / 2, errFault
	}
	return f.File.Write(b)
}

func (f *faulty) Sync() error {
	if f.sync {
		return errFault
	}
	return f.File.Sync()
}

func TestNothingAfterAnError(t *testing.T) {
	name := filepath.Join(t.TempDir(), "j")
	j, _, _ := open(t, name)
	if err := j.Append([]byte("a")); err != nil {
		t.Fatal(err)
	}
	j.f = &faulty{File: j.f.(*os.File), write: true}
	if err := j.Append([]byte("bbbbbbbbbbbbbbbbbbbbbbbbbbbbbb")); !errors.Is(err, errFault) {
		t.Fatal(err)
	}
	if err := j.Append([]byte("c")); err != ErrBroken {
		t.Fatal(err)
	}
	if _, o, got := open(t, name); len(got) != 1 || o.Cut == 0 {
		t.Fatalf("%q, %+v", got, o)
	}
}

func TestRecordsHaveBounds(t *testing.T) {
	j, _, _ := open(t, filepath.Join(t.TempDir(), "j"))
	if err := j.Append(nil); err == nil {
		t.Fatal("an empty record")
	}
	if err := j.Append(make([]byte, MaxRecord+1)); err == nil {
		t.Fatal("a record that is too long")
	}
	if err := j.Append([]byte("a")); err != nil {
		t.Fatal(err)
	}
}

// Whatever is in the file, opening it ends, and what it gives can be written again.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(magic))
	r, _ := record(1, []byte("one"))
	s, _ := record(2, []byte("two"))
	f.Add(slices.Concat([]byte(magic), r, s))
	f.Add(slices.Concat([]byte(magic), r, s[:9]))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "j")
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, o, err := Open(name, func([]byte) error { return nil })
		if err != nil {
			return
		}
		if err := j.Append([]byte("x")); err != nil {
			t.Fatal(err)
		}
		j.Close()
		if _, again, err := Open(name, func([]byte) error { return nil }); err != nil || again.Records != o.Records+1 || again.Cut != 0 {
			t.Fatalf("%+v, then %+v, %v", o, again, err)
		}
	})
}
