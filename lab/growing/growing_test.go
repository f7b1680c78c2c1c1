package growing

import (
	"bufio"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
)

func open(t *testing.T, max int64) *File {
	t.Helper()
	f, err := Open(filepath.Join(t.TempDir(), "log"), max)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestFollowWaitsForMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := open(t, 1<<20)
		io.WriteString(f, "one\n")
		r, err := f.Follow(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		lines := make(chan string)
		go func() {
			defer close(lines)
			for s := bufio.NewScanner(r); s.Scan(); {
				lines <- s.Text()
			}
		}()
		if got := <-lines; got != "one" {
			t.Errorf("got %q, want one", got)
		}
		synctest.Wait() // the reader is at the end
		io.WriteString(f, "two\n")
		if got := <-lines; got != "two" {
			t.Errorf("got %q, want two", got)
		}
		f.Close()
		if got, ok := <-lines; ok {
			t.Errorf("got %q after Close, want the end", got)
		}
	})
}

func TestFollowEndsWithContext(t *testing.T) {
	f := open(t, 1<<20)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := f.Follow(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %v, want %v", err, context.Canceled)
	}
}

func TestFollowFromOffset(t *testing.T) {
	f := open(t, 1<<20)
	io.WriteString(f, "old new")
	r, err := f.Follow(t.Context(), 4)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f.Close()
	if b, err := io.ReadAll(r); string(b) != "new" || err != nil {
		t.Errorf("got %q, %v; want new", b, err)
	}
}

func TestFullFileDropsTheRest(t *testing.T) {
	f := open(t, 10)
	for range 100 {
		if n, err := io.WriteString(f, "abcd"); n != 4 || err != nil {
			t.Fatalf("Write = %d, %v; the source must not notice", n, err)
		}
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), "abcdabcdab\n[hurdlab: this file is full") {
		t.Errorf("got %q", b)
	}
	if len(b) > 200 {
		t.Errorf("%d bytes on disk, limit 10 and a note", len(b))
	}
}

func TestWriteDoesNotChangeItsArgument(t *testing.T) {
	f := open(t, 2)
	p := []byte("abcd" + strings.Repeat(".", 200))
	f.Write(p[:4])
	if strings.Trim(string(p), ".") != "abcd" {
		t.Errorf("argument is now %q", p)
	}
}
