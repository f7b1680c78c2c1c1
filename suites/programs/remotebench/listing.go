package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/hugelgupf/p9/p9"
)

// A Listing compares listing a directory and asking for the attributes of each of its
// files, in µs for each file; of the attributes, the median of the rounds.
type Listing struct {
	Files  int     `json:"files"`
	List   Compare `json:"list"`   // names: the whole directory
	Stat   Compare `json:"stat"`   // lstat by name in the current directory; walk, getattr and clunk
	Short  Compare `json:"short"`  // 9P with walk and getattr in one, which is an extension
	Path   Compare `json:"path"`   // lstat by the whole path
	Whole  Compare `json:"whole"`  // List and Stat
	Rounds int     `json:"rounds"` // of all files
}

// A Compare is two times, and the first divided by the second: the median of that of the
// rounds.
type Compare struct {
	Netmsg float64 `json:"netmsg_us"`
	NineP  float64 `json:"9p_us"`
	Ratio  float64 `json:"ratio"`

	all []pair
}

type pair struct{ netmsg, nineP time.Duration }

func (c *Compare) add(p pair) { c.all = append(c.all, p) }

// sum makes the figures of what was added, for so many files.
func (c *Compare) sum(files int) {
	med := func(f func(pair) float64) float64 {
		var list []float64
		for _, p := range c.all {
			list = append(list, f(p))
		}
		slices.Sort(list)
		return list[len(list)/2]
	}
	c.Netmsg = med(func(p pair) float64 { return us(p.netmsg) / float64(files) })
	c.NineP = med(func(p pair) float64 { return us(p.nineP) / float64(files) })
	c.Ratio = med(func(p pair) float64 { return float64(p.netmsg) / float64(p.nineP) })
}

// chunk is how many files are done in one way before it is the other's turn. Of a large
// directory only one chunk in some is done in the ways that are told besides.
const (
	chunk    = 50
	besides  = 4
	fewFiles = 400
)

// compare compares the mount of a directory with 9P's root, which is of the same
// directory.
func compare(ctx context.Context, dir, node string, secure bool, rounds int) error {
	root, err := dial9P(ctx, node, secure)
	if err != nil {
		return fmt.Errorf("9P: %w", err)
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return err
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	r := &Listing{Rounds: rounds}
	for round := range rounds + 1 {
		var list, stat, short, long pair
		start := time.Now()
		names, err := names9P(root)
		list.nineP = time.Since(start)
		if err != nil {
			return fmt.Errorf("9P: list: %w", err)
		}
		start = time.Now()
		mine, err := namesOf(".")
		list.netmsg = time.Since(start)
		if err != nil {
			return err
		}
		slices.Sort(names)
		slices.Sort(mine)
		if !slices.Equal(names, mine) {
			return errors.New("the mount and 9P do not show the same names")
		}
		r.Files = len(names)
		if round == 0 {
			names = names[:min(len(names), chunk)] // for what starts with the first
		}
		all := []struct {
			took  *time.Duration
			do    func(name string) error
			files int
		}{
			{took: &stat.netmsg, do: func(name string) error { _, err := os.Lstat(name); return err }},
			{took: &stat.nineP, do: func(name string) error { return stat9P(root, name) }},
			{took: &short.nineP, do: func(name string) error { return short9P(root, name) }},
			{took: &long.netmsg, do: func(name string) error { _, err := os.Lstat(dir + "/" + name); return err }},
		}
		for i := 0; i < len(names); i += chunk {
			ways := all
			if len(names) > fewFiles && i/chunk%besides != 0 {
				ways = ways[:2]
			}
			n := min(chunk, len(names)-i)
			for k := range ways {
				w := &ways[(k+i/chunk)%len(ways)]
				w.files += n
				start := time.Now()
				for _, name := range names[i : i+n] {
					if err := w.do(name); err != nil {
						return fmt.Errorf("%s: %w", name, err)
					}
				}
				*w.took += time.Since(start)
			}
		}
		for _, w := range all {
			*w.took = *w.took * time.Duration(len(names)) / time.Duration(max(w.files, 1))
		}
		if round == 0 {
			continue
		}
		r.List.add(list)
		r.Stat.add(stat)
		r.Short.add(pair{stat.netmsg, short.nineP})
		r.Path.add(pair{long.netmsg, stat.nineP})
		r.Whole.add(pair{list.netmsg + stat.netmsg, list.nineP + stat.nineP})
	}
	for _, c := range []*Compare{&r.List, &r.Stat, &r.Short, &r.Path, &r.Whole} {
		c.sum(r.Files)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

func namesOf(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func names9P(root p9.File) (names []string, err error) {
	_, dir, err := root.Walk(nil)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	if _, _, err := dir.Open(p9.ReadOnly); err != nil {
		return nil, err
	}
	for at := uint64(0); ; {
		list, err := dir.Readdir(at, 32<<10)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		if len(list) == 0 {
			return names, nil
		}
		for _, e := range list {
			names = append(names, e.Name)
			at = e.Offset
		}
	}
}

// stat9P asks for the attributes of a file as 9P2000.L has it.
func stat9P(root p9.File, name string) error {
	_, f, err := root.Walk([]string{name})
	if err != nil {
		return err
	}
	_, _, _, err = f.GetAttr(p9.AttrMaskAll)
	return errors.Join(err, f.Close())
}

// short9P does so with the walk and the question in one message.
func short9P(root p9.File, name string) error {
	_, f, _, _, err := root.WalkGetAttr([]string{name})
	if err != nil {
		return err
	}
	return f.Close()
}
