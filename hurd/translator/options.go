package translator

import (
	"flag"
	"io"
	"strings"
	"sync/atomic"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
)

// maxOptions bounds the options that are set at once, in bytes.
const maxOptions = 16 << 10

// options returns the program's name and the options that are not at their
// defaults, as fsys_get_options does.
func (fs *FS) options() []byte {
	fs.optionsMu.Lock()
	defer fs.optionsMu.Unlock()
	args := []string{fs.config.Name}
	if fs.config.Options != nil {
		fs.config.Options.VisitAll(func(f *flag.Flag) {
			if v := f.Value.String(); v == f.DefValue {
				return
			} else if b, ok := f.Value.(interface{ IsBoolFlag() bool }); ok && b.IsBoolFlag() && v == "true" {
				args = append(args, "--"+f.Name)
			} else {
				args = append(args, "--"+f.Name+"="+v)
			}
		})
	}
	return hurd.Argz(args...)
}

// setOptions sets options. If one is wrong, those before it are put back.
func (fs *FS) setOptions(argz []byte) error {
	if len(argz) > maxOptions {
		return proto.E2BIG
	}
	if len(argz) > 0 && argz[len(argz)-1] != 0 {
		return proto.EINVAL
	}
	args := hurd.ParseArgz(argz)
	if len(args) == 0 {
		return nil
	}
	set := fs.config.Options
	if set == nil {
		return proto.EINVAL
	}
	fs.optionsMu.Lock()
	defer fs.optionsMu.Unlock()
	before := map[*flag.Flag]string{}
	set.VisitAll(func(f *flag.Flag) { before[f] = f.Value.String() })
	// A set of its own: the program's may end the program, or print.
	parse := flag.NewFlagSet(fs.config.Name, flag.ContinueOnError)
	parse.SetOutput(io.Discard)
	parse.Usage = func() {}
	set.VisitAll(func(f *flag.Flag) { parse.Var(f.Value, f.Name, f.Usage) })
	if err := parse.Parse(args); err != nil || parse.NArg() > 0 {
		for f, v := range before {
			_ = f.Value.Set(v)
		}
		return proto.EINVAL
	}
	return nil
}

// A Text is an option that is a string, which may be read at any time:
// [flag.Value].
//
//	var text translator.Text
//	flag.Var(&text, "contents", "what the file says")
type Text struct{ p atomic.Pointer[string] }

// NewText returns a Text with a default.
func NewText(s string) *Text {
	t := new(Text)
	t.p.Store(&s)
	return t
}

// Set sets the option: [flag.Value].
func (t *Text) Set(s string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return proto.EINVAL
	}
	t.p.Store(&s)
	return nil
}

// String returns the option.
func (t *Text) String() string {
	if s := t.p.Load(); s != nil {
		return *s
	}
	return ""
}
