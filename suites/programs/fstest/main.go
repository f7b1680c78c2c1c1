// Fstest runs the conformance suite for file systems (package
// hurdlab/hurd/fstest) in a directory.
//
//	fstest [-run REGEXP] [-skip REGEXP] [-part K/N] [-without FEATURE,...] [-q] DIRECTORY
//	fstest -list [-run REGEXP] [-skip REGEXP]
//
// It prints a line for each case (ok NAME, FAIL NAME: why, skip NAME: why),
// with -q only for those that fail, and a last one that counts them. Its exit
// status is 0 if none has failed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"time"

	"hurdlab/hurd/fstest"
)

func main() {
	fstest.Act()
	run := flag.String("run", "", "only the cases whose names match this `regexp`")
	skip := flag.String("skip", "", "leave out the cases whose names match this `regexp`, as those that a file system does not survive")
	part := flag.String("part", "1/1", "only the first of every three cases, with `1/3`, or the second, with 2/3")
	list := flag.Bool("list", false, "list the cases instead of running them")
	quiet := flag.Bool("q", false, "print only what fails")
	slow := flag.Duration("slow", 0, "print also how long cases took that took longer than this")
	timeout := flag.Duration("timeout", time.Minute, "how long a case may take")
	without := flag.String("without", "", "`features` that the file system does not offer, with commas between them")
	flag.Parse()
	status, err := do(*run, *skip, *part, *list, *quiet, *slow, *timeout, *without, flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "fstest:", err)
	}
	os.Exit(status)
}

func do(run, skip, part string, list, quiet bool, slow, timeout time.Duration, without string, args []string) (status int, err error) {
	match, err := regexp.Compile(run)
	if err != nil {
		return 2, err
	}
	leave := func(string) bool { return false }
	if skip != "" {
		r, err := regexp.Compile(skip)
		if err != nil {
			return 2, err
		}
		leave = r.MatchString
	}
	cases := slices.DeleteFunc(fstest.Cases(), func(c fstest.Case) bool { return !match.MatchString(c.Name) || leave(c.Name) })
	var k, n int
	if _, err := fmt.Sscanf(part, "%d/%d", &k, &n); err != nil || n < 1 || k < 1 || k > n {
		return 2, fmt.Errorf("%q is no part, such as 1/3", part)
	}
	i := -1
	cases = slices.DeleteFunc(cases, func(fstest.Case) bool { i++; return i%n != k-1 })
	if list {
		for _, c := range cases {
			fmt.Println(c.Name)
		}
		return 0, nil
	}
	if len(args) != 1 {
		return 2, fmt.Errorf("want a directory to work in, have %q", args)
	}
	b := fstest.Backend{Dir: args[0], Timeout: timeout}
	for _, name := range strings.FieldsFunc(without, func(r rune) bool { return r == ',' }) {
		f, err := fstest.ParseFeature(name)
		if err != nil {
			return 2, err
		}
		b.Lacks |= f
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	counts := make(map[fstest.Status]int)
	begun := time.Now()
	err = fstest.Run(ctx, b, cases, func(r fstest.Result) {
		counts[r.Status]++
		if !quiet || r.Status == fstest.Failed {
			fmt.Println(r)
		}
		if slow > 0 && r.Took > slow {
			fmt.Printf("# %s took %v\n", r.Name, r.Took.Round(time.Millisecond))
		}
	})
	fmt.Printf("%d cases: %d ok, %d failed, %d skipped, in %v\n", counts[fstest.Passed]+counts[fstest.Failed]+counts[fstest.Skipped],
		counts[fstest.Passed], counts[fstest.Failed], counts[fstest.Skipped], time.Since(begun).Round(time.Millisecond))
	if err != nil {
		return 2, err
	}
	if counts[fstest.Failed] > 0 {
		return 1, nil
	}
	return 0, nil
}
