package console

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		line, kind string
	}{
		// Seen on real consoles.
		{"panic ../kern/bootstrap.c:182: bootstrap_create: No bootstrap code loaded with the kernel!", "kernel panic"},
		{"panic {cpu0} ../i386/i386/trap.c:282: kernel_trap: trap", "kernel panic"},
		{"Kernel page fault at address 0x0, eip = 0xc1000000", "unexpected fault"},
		{"kernel: General protection trap (13), code=0", ""},
		{"../vm/vm_page.c:123: vm_page_free: Assertion `page->busy' failed.", "assertion"},
		{"fatal error: all goroutines are asleep - deadlock!", "Go runtime failure"},
		{"start /x/boot: fatal error: out of threads", "Go runtime failure"},
		{"panic: runtime error: index out of range [3] with length 2", "Go panic"},
		{"[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x80a]", "Go crash"},
		{"db{0}>", "kernel debugger"},
		{"no more memory", "out of memory"},
		// Harmless lines of a healthy boot.
		{"GNU Mach 1.8+git20250702-up-486", ""},
		{"probing scsi 6/16: NCR53c406a", ""},
		{"hurdlab: network up 10.77.0.11/24", ""},
		{"com 2 out of range", ""},
		{"the panic room is closed", ""},
	} {
		if f, _ := Check(c.line); f.Kind != c.kind {
			t.Errorf("Check(%q) = %q, want %q", c.line, f.Kind, c.kind)
		}
	}
}

func TestScan(t *testing.T) {
	text := "GNU Mach\r\n\x1b[2Kpanic ../a.c:1: f: oops\r\n" + strings.Repeat("x", 3*maxLine) + "\npanic: allowed\nlast fatal error: no\nfatal error: yes"
	got, err := Scan(iotest.OneByteReader(strings.NewReader(text)), regexp.MustCompile("allowed"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Finding{
		{"kernel panic", "panic ../a.c:1: f: oops", 2, true},
		{"Go runtime failure", "fatal error: yes", 6, false},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestWatcherFindsMarksInPieces(t *testing.T) {
	text := "aaGNU Mach\nstart x\nhurdlab: network up 1\nhurdlab: ready"
	marks := []string{"GNU Mach", "start ", "hurdlab: network up", "hurdlab: ready"}
	for size := 1; size <= len(text); size++ {
		w := NewWatcher(marks)
		var got []int
		w.Mark = func(i int) { got = append(got, i) }
		for rest := text; rest != ""; {
			n := min(size, len(rest))
			w.Write([]byte(rest[:n]))
			rest = rest[n:]
		}
		if want := []int{0, 1, 2, 3}; !reflect.DeepEqual(got, want) {
			t.Errorf("pieces of %d: got marks %v, want %v", size, got, want)
		}
	}
}

func TestWatcherKeepsOrder(t *testing.T) {
	w := NewWatcher([]string{"one", "two"})
	var got []int
	w.Mark = func(i int) { got = append(got, i) }
	w.Write([]byte("two one t"))
	w.Write([]byte("w"))
	if want := []int{0}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got marks %v, want %v: two came before one", got, want)
	}
	w.Write([]byte("o"))
	if want := []int{0, 1}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got marks %v, want %v", got, want)
	}
}

func TestWatcherFindsTrouble(t *testing.T) {
	w := NewWatcher(nil)
	var got []Finding
	w.Trouble = func(f Finding) { got = append(got, f) }
	w.Write([]byte("fine\npan"))
	w.Write([]byte("ic ../kern/x.c:1: f: m"))
	if len(got) != 0 {
		t.Fatalf("found %v in an incomplete line", got)
	}
	w.Write([]byte("\r\n" + strings.Repeat("y", 2*maxLine)))
	want := []Finding{{"kernel panic", "panic ../kern/x.c:1: f: m", 2, true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if len(w.line) > maxLine {
		t.Errorf("%d bytes of one line are kept, limit %d", len(w.line), maxLine)
	}
}

// The kernel may say something in the middle of a mark, and all of it may
// come in pieces.
func TestMarkInterrupted(t *testing.T) {
	const mark, said = "hurdlab: ready", "intnull(15)\r\n\r"
	for at := range len(mark) {
		text := "\r" + mark[:at] + said + mark[at:] + "\r\n\r"
		for cut := range len(text) {
			seen := 0
			w := NewWatcher([]string{mark})
			w.Mark = func(int) { seen++ }
			w.Write([]byte(text[:cut]))
			w.Write([]byte(text[cut:]))
			if seen != 1 {
				t.Errorf("%q, %q: the mark was seen %d times", text[:cut], text[cut:], seen)
			}
		}
	}
}
