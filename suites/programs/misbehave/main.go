// Misbehave ends badly, in the way that its argument names. A node must
// survive each of them.
package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"sort"
	"strings"
	"unsafe"
)

var zero int

var ways = map[string]func(){
	"panic":  func() { panic("on purpose") },
	"nil":    func() { *(*int)(nil) = 1 },
	"divide": func() { fmt.Println(1 / zero) },
	"wild":   func() { *(*int)(unsafe.Add(nil, -0x50000000)) = 1 },
	"deadlock": func() {
		select {}
	},
	"stack": func() {
		debug.SetMaxStack(8 << 20) // the default is more memory than a node has
		fmt.Println(deep(1))
	},
	"memory": func() {
		var all [][]byte
		for {
			b := make([]byte, 1<<20)
			for i := range b {
				b[i] = byte(i)
			}
			all = append(all, b)
		}
	},
	"spin": func() {
		for {
			zero++
		}
	},
}

func deep(n int) int { return deep(n+1) + n }

func main() {
	if len(os.Args) == 2 {
		if f := ways[os.Args[1]]; f != nil {
			fmt.Println("about to", os.Args[1])
			f()
			return
		}
	}
	var names []string
	for n := range ways {
		names = append(names, n)
	}
	sort.Strings(names)
	fmt.Fprintf(os.Stderr, "usage: misbehave %s\n", strings.Join(names, "|"))
	os.Exit(64)
}
