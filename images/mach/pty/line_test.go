package pty

import (
	"slices"
	"testing"

	"hurdlab/hurd/proto"
)

func TestLine(t *testing.T) {
	for _, c := range []struct {
		name, typed string
		change      func(*Modes)
		echo        string
		reads       []string
		signals     []int32
	}{
		{name: "line", typed: "ab\r", echo: "ab\r\n", reads: []string{"ab\n"}},
		{name: "two lines", typed: "a\nb\nc", echo: "a\r\nb\r\nc", reads: []string{"a\n", "b\n"}},
		{name: "erase", typed: "ab\x7fc\x7f\x7f\x7f\x7fd\n", echo: "ab\b \bc\b \b\b \bd\r\n", reads: []string{"d\n"}},
		{name: "kill", typed: "ab\x15c\n", echo: "ab\b \b\b \bc\r\n", reads: []string{"c\n"}},
		{name: "word", typed: "a bc \x17d\n", echo: "a bc \b \b\b \b\b \bd\r\n", reads: []string{"a d\n"}},
		{name: "end of file", typed: "\x04", reads: []string{""}},
		{name: "end of a line only", typed: "ab\x04\x04", echo: "ab", reads: []string{"ab", ""}},
		{name: "interrupt", typed: "ab\x03c\n", echo: "ab^Cc\r\n", reads: []string{"c\n"}, signals: []int32{proto.SIGINT}},
		{name: "all signals", typed: "\x03\x1c\x1a", echo: "^C^\\^Z", signals: []int32{proto.SIGINT, proto.SIGQUIT, proto.SIGTSTP}},
		{name: "signals keep lines", change: func(m *Modes) { m.Local |= noflsh }, typed: "ab\n\x03", echo: "ab\r\n^C", reads: []string{"ab\n"}, signals: []int32{proto.SIGINT}},
		{name: "no signals", change: func(m *Modes) { m.Local &^= isig }, typed: "\x03\n", echo: "^C\r\n", reads: []string{"\x03\n"}},
		{name: "no echo", change: func(m *Modes) { m.Local &^= echo }, typed: "ab\x7f\n", reads: []string{"a\n"}},
		{name: "raw", change: func(m *Modes) { m.Local &^= icanon | isig | echo; m.In &^= icrnl; m.Out &^= opost }, typed: "a\x03\r\x04", reads: []string{"a\x03\r\x04"}},
		{name: "disabled key", change: func(m *Modes) { m.Keys[vIntr] = disabled }, typed: "\xff\n", echo: "\xff\r\n", reads: []string{"\xff\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := line{Modes: sane()}
			if c.change != nil {
				c.change(&l.Modes)
			}
			var echo string
			var signals []int32
			for _, k := range []byte(c.typed) { // as by hand
				e, s := l.typed([]byte{k})
				echo += string(e)
				signals = append(signals, s...)
			}
			if echo != c.echo || !slices.Equal(signals, c.signals) {
				t.Errorf("echo %q, want %q; signals %v, want %v", echo, c.echo, signals, c.signals)
			}
			var reads []string
			for l.readable() {
				reads = append(reads, string(l.read(100)))
			}
			if !slices.Equal(reads, c.reads) {
				t.Errorf("reads %q, want %q", reads, c.reads)
			}
		})
	}
}

func TestReadInParts(t *testing.T) {
	l := line{Modes: sane()}
	l.typed([]byte("abc\nd\n\x04"))
	var reads []string
	for l.readable() {
		reads = append(reads, string(l.read(2)))
	}
	if want := []string{"ab", "c\n", "d\n", ""}; !slices.Equal(reads, want) {
		t.Errorf("%q, want %q", reads, want)
	}
}

// FuzzLine checks the bounds, that nothing is read that was not typed, and that reading ends.
func FuzzLine(f *testing.F) {
	f.Add([]byte("ab\n\x03\x7f\x15\x04"), int32(echo|icanon|isig))
	f.Fuzz(func(t *testing.T, typed []byte, local int32) {
		l := line{Modes: sane()}
		l.Local = local
		l.typed(typed)
		if len(l.edited) > maxLine || len(l.ready) > maxReady || len(l.eofs) > maxEOFs {
			t.Fatalf("%d, %d, %d", len(l.edited), len(l.ready), len(l.eofs))
		}
		n := 0
		for range len(typed) + 1 {
			if !l.readable() {
				break
			}
			n += len(l.read(7))
		}
		if l.readable() || n > len(typed) {
			t.Errorf("%d bytes of %d, more: %v", n, len(typed), l.readable())
		}
	})
}
