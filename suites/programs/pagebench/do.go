package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"sync/atomic"
	"unsafe"
)

// do maps a file and does what the lines of standard input say, each of which is
// answered by a line:
//
//	get OFFSET           the word there, or fault
//	set OFFSET VALUE     ok, or fault
//	sync                 ok, or the error
//	quit
func do(name string) error {
	b, f, err := mapFile(name, true)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		var verb string
		var at int
		var value uint32
		n, _ := fmt.Sscan(in.Text(), &verb, &at, &value)
		switch {
		case verb == "get" && n == 2:
			if v, ok := get(b, at); ok {
				fmt.Println(v)
			} else {
				fmt.Println("fault")
			}
		case verb == "set" && n == 3:
			if set(b, at, value) {
				fmt.Println("ok")
			} else {
				fmt.Println("fault")
			}
		case verb == "sync":
			if err := f.Sync(); err != nil {
				fmt.Println(err)
			} else {
				fmt.Println("ok")
			}
		case verb == "quit":
			return nil
		default:
			return fmt.Errorf("%q?", in.Text())
		}
	}
	return in.Err()
}

func word(b []byte, at int) *uint32 { return (*uint32)(unsafe.Pointer(&b[at])) }

// get reads a word; false is an exception.
func get(b []byte, at int) (v uint32, ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { recover() }()
	return atomic.LoadUint32(word(b, at)), true
}

func set(b []byte, at int, v uint32) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { recover() }()
	atomic.StoreUint32(word(b, at), v)
	return true
}
