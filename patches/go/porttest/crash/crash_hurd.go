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
	"return": func() {},
	"exit":   func() { os.Exit(3) },
	"panic":  func() { panic("for a reason") },
	"nil":    func() { fmt.Println(*(*int)(nil)) },
	"deadlock": func() {
		var m sync.Mutex
		m.Lock()
		m.Lock()
	},
	"address": func() { fmt.Println(*(*int)(unsafe.Add(nil, 0x70000000))) },
	"stack": func() {
		debug.SetMaxStack(4 << 20)
		recurse(0)
	},
	"bigstack": func() { recurse(0) },
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
	"jump": func() {
		f := unsafe.Pointer(&struct{ pc uintptr }{0x70000000})
		(*(*func())(unsafe.Pointer(&f)))()
	},
	"system": func() { onSystemStack(func() { *(*int)(unsafe.Add(nil, 0x10)) = 1 }) },
	"foreign": func() {
		startForeignThread()
		time.Sleep(time.Hour)
	},
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
