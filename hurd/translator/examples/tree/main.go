// Tree is a translator: a directory that is made while it is looked at. It has
// the numbers up to --last; each is a directory of the numbers that divide it,
// and those are directories of the same kind, so that the tree has no end
// but paths do: primes have nothing in them.
//
//	settrans -ac /tmp/numbers /tmp/bin/tree --last=1000
//	ls /tmp/numbers/12/6/3
package main

import (
	"context"
	"flag"
	"strconv"

	"hurdlab/hurd/proto"
	"hurdlab/hurd/translator"
)

// A number is the directory of the numbers that divide it. 0 is the root,
// which all numbers up to the last divide.
type number int

var last = flag.Int("last", 100, "the last `number` in the root directory")

func (n number) Stat(context.Context) (translator.Stat, error) {
	return translator.Stat{Ino: uint64(n) + 1, Mode: proto.S_IFDIR | 0o555}, nil
}

// has reports whether the number m is in n.
func (n number) has(m number) bool {
	if n == 0 {
		return 1 <= m && m <= number(*last)
	}
	return 1 < m && m < n && n%m == 0
}

func (n number) Lookup(_ context.Context, name string) (translator.Node, error) {
	m, err := strconv.Atoi(name)
	if err != nil || strconv.Itoa(m) != name || !n.has(number(m)) {
		return nil, proto.ENOENT
	}
	return number(m), nil
}

func (n number) ReadDir(context.Context) (list []translator.Dirent, err error) {
	for m := number(1); m <= number(*last); m++ {
		if n.has(m) {
			list = append(list, translator.Dirent{Name: strconv.Itoa(int(m)), Ino: uint64(m) + 1, Type: proto.S_IFDIR})
		}
	}
	return list, nil
}

func main() { translator.Main(number(0)) }
