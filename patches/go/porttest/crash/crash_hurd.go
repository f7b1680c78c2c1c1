package main

import (
	"fmt"
	"maps"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"
	"unsafe"
)

var ways = map[string]func(){
	// Status 0.
	"return": func() {},
	// Status 3.
	"exit": func() { os.Exit(3) },
	// Status 2, and "panic: for a reason".
	"panic": func() { panic("for a reason") },
	// Status 2, and "nil pointer dereference".
	"nil": func() { fmt.Println(*(*int)(nil)) },
	// Status 2, and "all goroutines are asleep - deadlock!"
	"deadlock": func() {
		var m sync.Mutex
		m.Lock()
		m.Lock()
	},
	// Status 2, and "unexpected fault address 0x70000000".
	"address": func() { fmt.Println(*(*int)(unsafe.Add(nil, 0x70000000))) },
	// Status 2, and "goroutine stack exceeds".
	"stack": func() {
		debug.SetMaxStack(4 << 20)
		recurse(0)
	},
	// Status 2, and "goroutine stack exceeds" or "out of memory", with as
	// much stack as the program may have by itself.
	"bigstack": func() { recurse(0) },
	// Status 2, and "out of memory".
	"memory": func() {
		var keep [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = 1
			}
			keep = append(keep, b)
		}
	},
	// Status 2, and "fatal error": a fault outside of all Go code.
	"jump": func() {
		f := unsafe.Pointer(&struct{ pc uintptr }{0x70000000})
		(*(*func())(unsafe.Pointer(&f)))()
	},
	// Status 2, and "fatal error: unexpected exception": a fault of the
	// runtime itself, on the stack of the scheduler.
	"system": func() { onSystemStack(func() { *(*int)(unsafe.Add(nil, 0x10)) = 1 }) },
	// Status 2, and "exception in a thread that is not Go's".
	"foreign": func() {
		startForeignThread()
		time.Sleep(time.Hour)
	},
	// Status 2, and "panic: late", while other goroutines compute.
	"busy": func() {
		for range 3 {
			go func() {
				for {
				}
			}()
		}
		runtime.Gosched()
		panic("late")
	},
}

func recurse(n int) int {
	var a [128]int
	a[n%128] = n
	return recurse(n+1) + a[(n+1)%128]
}

func main() {
	if len(os.Args) != 2 || ways[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: crash", slices.Sorted(maps.Keys(ways)))
		os.Exit(64)
	}
	ways[os.Args[1]]()
}
