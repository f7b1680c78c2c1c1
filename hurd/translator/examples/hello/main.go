// Hello is a translator: a file that says what its option tells it to.
//
//	settrans -ac /tmp/hello /tmp/bin/hello --contents="hello, world"
//	cat /tmp/hello
//	fsysopts /tmp/hello --contents="good bye"
package main

import (
	"context"
	"flag"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
)

// A hello is the file.
type hello struct{ contents *translator.Text }

func newHello() *hello { return &hello{translator.NewText("hello, world\n")} }

func (h *hello) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Ino: 1, Mode: proto.S_IFREG | 0o444, Size: int64(len(h.contents.String()))}, nil
}

func (h *hello) ReadAt(_ context.Context, p []byte, off int64) (int, error) {
	s := h.contents.String()
	return copy(p, s[min(off, int64(len(s))):]), nil
}

func main() {
	h := newHello()
	flag.Var(h.contents, "contents", "what the file says")
	translator.Main(h)
}
