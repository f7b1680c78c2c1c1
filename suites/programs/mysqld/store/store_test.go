package store

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func open(t *testing.T, dir string, o Options) *Store {
	t.Helper()
	s, _, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dump is all that a new transaction sees.
func dump(t *testing.T, s *Store) string {
	t.Helper()
	var b strings.Builder
	tx := s.Begin()
	for _, name := range tx.Tables() {
		schema, _ := tx.Schema(name)
		fmt.Fprintf(&b, "%s(%s)\n", name, schema)
		list, err := tx.Range(nil, name, "", "")
		must(t, err)
		for _, r := range list {
			fmt.Fprintf(&b, " %s=%v\n", r.Key, r.Row)
		}
	}
	return b.String()
}

func put(t *testing.T, s *Store, table, key string, v any) {
	t.Helper()
	tx := s.Begin()
	must(t, tx.Put(table, key, []any{v}))
	must(t, tx.Commit())
}

func TestTransactions(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	must(t, s.Create("t", "schema"))
	if err := s.Create("t", "x"); !errors.Is(err, ErrExists) {
		t.Fatal(err)
	}
	put(t, s, "t", "a", int64(1))
	put(t, s, "t", "b", int64(1))

	// A transaction sees its own, and nothing that is committed after its beginning.
	a, b := s.Begin(), s.Begin()
	must(t, a.Put("t", "a", []any{int64(2)}))
	if r, _ := a.Get("t", "a"); r.Row[0] != int64(2) {
		t.Fatal(r)
	}
	if r, _ := b.Get("t", "a"); r.Row[0] != int64(1) {
		t.Fatal(r)
	}
	must(t, a.Commit())
	if r, _ := b.Get("t", "a"); r.Row[0] != int64(1) {
		t.Fatal(r)
	}
	// The first wins, also against one that removes, or that writes the same.
	must(t, b.Delete("t", "a"))
	if err := b.Commit(); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	// Others do not disturb each other.
	a, b = s.Begin(), s.Begin()
	must(t, a.Put("t", "a", []any{int64(3)}))
	must(t, b.Put("t", "b", []any{int64(3)}))
	must(t, a.Commit())
	must(t, b.Commit())
	// Two that make the same row.
	a, b = s.Begin(), s.Begin()
	must(t, a.Put("t", "new", nil))
	must(t, b.Put("t", "new", nil))
	must(t, b.Commit())
	if err := a.Commit(); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	// Back to a mark.
	a = s.Begin()
	must(t, a.Put("t", "a", []any{int64(4)}))
	mark := a.Mark()
	must(t, a.Put("t", "a", []any{int64(5)}))
	must(t, a.Delete("t", "b"))
	must(t, a.Put("t", "c", []any{}))
	a.Back(mark)
	must(t, a.Commit())
	if got := dump(t, s); got != "t(schema)\n a=[4]\n b=[3]\n new=[]\n" {
		t.Fatal(got)
	}
	// A table that was made again is another one.
	a = s.Begin()
	must(t, a.Put("t", "a", []any{int64(6)}))
	must(t, s.Drop("t"))
	must(t, s.Create("t", "schema"))
	if err := a.Commit(); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	if err := s.Begin().Put("none", "k", nil); !errors.Is(err, ErrNoTable) {
		t.Fatal(err)
	}
}

// history does random things, and returns what was there after each record of the journal, by
// the journal's length.
func history(t *testing.T, s *Store, file string, steps int) map[int64]string {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	at := make(map[int64]string)
	note := func() {
		st, err := os.Stat(file)
		must(t, err)
		at[st.Size()] = dump(t, s)
	}
	note()
	for i := range steps {
		name := fmt.Sprint("t", rnd.IntN(2))
		tx := s.Begin()
		if _, ok := tx.Schema(name); !ok {
			must(t, s.Create(name, fmt.Sprint("made in ", i)))
			note()
			continue
		}
		if rnd.IntN(20) == 0 {
			must(t, s.Drop(name))
			note()
			continue
		}
		for range 1 + rnd.IntN(3) {
			key := fmt.Sprint("k", rnd.IntN(6))
			if rnd.IntN(3) == 0 {
				must(t, tx.Delete(name, key))
			} else {
				must(t, tx.Put(name, key, []any{int64(i), fmt.Sprint(rnd.IntN(1000)), nil}))
			}
		}
		must(t, tx.Commit())
		note()
	}
	return at
}

// Wherever the journal is cut, what is there is what was there after some transaction: the
// last that is whole.
func TestCutAnywhere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "journal")
	s := open(t, dir, Options{})
	at := history(t, s, file, 40)
	s.Close()
	all, err := os.ReadFile(file)
	must(t, err)
	want := ""
	seen := 0
	for cut := range int64(len(all) + 1) {
		if x, ok := at[cut]; ok {
			want = x
			seen++
		}
		if seen == 0 {
			continue // the file's first bytes: package journal
		}
		other := t.TempDir()
		must(t, os.WriteFile(filepath.Join(other, "journal"), all[:cut], 0o600))
		s := open(t, other, Options{})
		if got := dump(t, s); got != want {
			t.Fatalf("cut at %d:\n%swant:\n%s", cut, got, want)
		}
		s.Close()
	}
	if seen != len(at) {
		t.Fatalf("%d states of %d", seen, len(at))
	}
}

// Making the journal anew changes nothing of what is there, and it gets shorter.
func TestCompact(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "journal")
	s := open(t, dir, Options{Compact: 300})
	for range 5 {
		history(t, s, file, 60)
		want := dump(t, s)
		s.Close()
		st, err := os.Stat(file)
		must(t, err)
		if st.Size() > 5000 {
			t.Fatalf("the journal has %d bytes", st.Size())
		}
		s = open(t, dir, Options{Compact: 300})
		if got := dump(t, s); got != want {
			t.Fatalf("%swant:\n%s", got, want)
		}
	}
}

// Money is neither lost nor made by many transactions at a time, nor by a restart.
func TestConcurrent(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{Compact: 20000})
	must(t, s.Create("a", ""))
	const accounts, each, workers = 10, 200, 8
	for i := range accounts {
		put(t, s, "a", fmt.Sprint(i), int64(100))
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	for w := range workers {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(w)))
			for done := 0; done < each; {
				tx := s.Begin()
				from, to := fmt.Sprint(rnd.IntN(accounts)), fmt.Sprint(rnd.IntN(accounts))
				for key, by := range map[string]int64{from: -1, to: +1} {
					if from == to {
						break
					}
					r, err := tx.Get("a", key)
					if err == nil {
						err = tx.Put("a", key, []any{r.Row[0].(int64) + by})
					}
					if err != nil {
						errs <- err
						return
					}
				}
				if err := tx.Commit(); err == nil {
					done++
				} else if !errors.Is(err, ErrConflict) {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	sum := func(s *Store) (sum int64) {
		list, err := s.Begin().Range(nil, "a", "", "")
		must(t, err)
		for _, r := range list {
			sum += r.Row[0].(int64)
		}
		return sum
	}
	want := dump(t, s)
	if sum(s) != accounts*100 {
		t.Fatal(want)
	}
	s.Close()
	if got := dump(t, open(t, dir, Options{})); got != want {
		t.Fatalf("%swant:\n%s", got, want)
	}
}

// A store whose journal cannot be written says so to all, and shows nothing of what failed.
func TestFailure(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, Options{})
	must(t, s.Create("t", ""))
	put(t, s, "t", "a", "b")
	s.journal.Close() // nobody is committing
	tx := s.Begin()
	must(t, tx.Put("t", "a", []any{"c"}))
	if err := tx.Commit(); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
	<-s.Failed()
	if got := dump(t, s); got != "t()\n a=[b]\n" {
		t.Fatal(got)
	}
	if err := s.Create("u", ""); !errors.Is(err, ErrFailed) {
		t.Fatal(err)
	}
}

func TestTooLarge(t *testing.T) {
	s := open(t, t.TempDir(), Options{})
	must(t, s.Create("t", ""))
	tx := s.Begin()
	for i := range 3 {
		must(t, tx.Put("t", fmt.Sprint(i), []any{make([]byte, MaxTransaction/2)}))
	}
	if err := tx.Commit(); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
	put(t, s, "t", "a", "b")
}

func TestValues(t *testing.T) {
	row := []any{nil, int8(-1), int16(-300), int32(1 << 30), int64(-1 << 60), uint8(255), uint16(65535), uint32(1 << 31), uint64(1 << 63),
		float32(1.5), 2.5, "", "text\x00", []byte{}, []byte{0, 1}, time.Date(2026, 11, 27, 9, 30, 0, 5000, time.UTC)}
	b, err := op{kind: opPut, table: "t", key: "k", row: row}.append(nil)
	must(t, err)
	ops, err := decode(b)
	must(t, err)
	if len(ops) != 1 || !reflect.DeepEqual(ops[0].row, row) {
		t.Fatalf("%#v", ops)
	}
	if _, err := (op{kind: opPut, row: []any{struct{}{}}}).append(nil); err == nil {
		t.Fatal("a struct was stored")
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := op{kind: opPut, table: "t", key: "k", row: []any{nil, int8(1), "x", []byte("y"), 2.5}}.append(nil)
	f.Add(b)
	b, _ = op{kind: opCreate, table: "t", schema: "s"}.append(b)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		ops, err := decode(b)
		if err != nil {
			return
		}
		var again []byte
		for _, o := range ops {
			if again, err = o.append(again); err != nil {
				t.Fatal(err)
			}
		}
		if len(ops) > 0 {
			if twice, err := decode(again); err != nil || len(twice) != len(ops) {
				t.Fatal(err)
			}
		}
	})
}
