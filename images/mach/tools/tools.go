// Package tools is the small commands of a node: what a shell needs to look
// after files, processes and translators.
//
// They are one program, images/mach/cmd/tools, which the image installs under
// each tool's name; [Run] picks the tool. Those about files and users use
// package os alone, and so are tested on the host. Those about translators,
// tasks and memory speak the Hurd's protocols through hurd/proto and mach, and
// nothing that only our own servers offer: they work on a GNU/Hurd too.
//
// The tools have the options that scripts and people use most, and complain
// about others. Exit statuses: 0, 1 if something could not be done (which is
// said on standard error, with the tool's name), 2 for wrong usage.
package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"hurdlab/hurd"
)

// A Call is what a tool is called with.
type Call struct {
	Args   []string // without the name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer

	name   string
	status int
	self   *hurd.Process
}

// A tool is one of the commands.
type tool struct {
	usage string // after the name
	run   func(ctx context.Context, c *Call) error
}

// A status is an exit status that says it all.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// A usageError is about the arguments.
type usageError string

func (e usageError) Error() string { return string(e) }

func usagef(format string, args ...any) error { return usageError(fmt.Sprintf(format, args...)) }

func all() map[string]tool {
	t := map[string]tool{
		"cat":      {"[FILE...]", cat},
		"chmod":    {"[-R] MODE FILE...", chmod},
		"chown":    {"[-R] [-h] OWNER[:GROUP] FILE...", chown},
		"cp":       {"[-r] [-p] [-f] FROM... TO", cp},
		"date":     {"[-u] [+FORMAT]", date},
		"echo":     {"[-n] [WORD...]", echo},
		"env":      {"[-i] [NAME=VALUE...] [COMMAND...]", env},
		"false":    {"", func(context.Context, *Call) error { return status(1) }},
		"head":     {"[-n LINES] [-c BYTES] [FILE...]", head},
		"hostname": {"[NAME]", hostname},
		"id":       {"[-u] [-g] [-G] [-n] [USER]", id},
		"kill":     {"[-l] [-SIGNAL] PID... (a negative PID is a process group)", kill},
		"ln":       {"[-s] [-f] TARGET... [NAME]", ln},
		"ls":       {"[-a] [-l] [-d] [-1] [-R] [-i] [-n] [FILE...]", ls},
		"mkdir":    {"[-p] [-m MODE] DIRECTORY...", mkdir},
		"mkfifo":   {"[-m MODE] FILE...", mkfifo},
		"mv":       {"[-f] [-n] FROM... TO", mv},
		"pwd":      {"", pwd},
		"readlink": {"[-f] FILE...", readlink},
		"rm":       {"[-r] [-f] FILE...", rm},
		"rmdir":    {"[-p] DIRECTORY...", rmdir},
		"scp":      {"-t|-f [-r] [-p] [-d] FILE... (the remote half: a client starts it)", remoteCopy},
		"sleep":    {"SECONDS", sleep},
		"stat":     {"[-L] [-c FORMAT] FILE...", stat},
		"su":       {"[-c COMMAND] [USER]", su},
		"sync":     {"[FILE...]", sync},
		"tail":     {"[-n LINES] [-c BYTES] [FILE...]", tail},
		"tee":      {"[-a] [FILE...]", tee},
		"touch":    {"[-c] [-d TIME] FILE...", touch},
		"true":     {"", func(context.Context, *Call) error { return nil }},
		"uname":    {"[-a] [-s] [-n] [-r] [-v] [-m]", uname},
		"wc":       {"[-l] [-w] [-c] [FILE...]", wc},
	}
	maps.Copy(t, hurdTools())
	return t
}

// Names returns the names of all tools, sorted.
func Names() []string { return slices.Sorted(maps.Keys(all())) }

// Run runs the tool of a name and returns its exit status.
func Run(ctx context.Context, name string, c Call) int {
	t, ok := all()[name]
	if !ok {
		fmt.Fprintf(c.Stderr, "%s: no such tool; there are %s\n", name, strings.Join(Names(), " "))
		return 127
	}
	c.name = name
	if c.self == nil {
		c.self = hurd.Self()
	}
	err := t.run(ctx, &c)
	var exit status
	var usage usageError
	switch {
	case errors.As(err, &usage):
		fmt.Fprintf(c.Stderr, "%s: %v\nusage: %s\n", name, usage, strings.TrimRight(name+" "+t.usage, " "))
		return 2
	case errors.As(err, &exit):
		return int(exit)
	case err != nil:
		c.complain(err)
	}
	return c.status
}

// complain says what could not be done; the tool goes on with the rest.
func (c *Call) complain(err error) {
	if err == nil {
		return
	}
	fmt.Fprintf(c.Stderr, "%s: %s\n", c.name, describe(err))
	c.status = 1
}

// describe leaves the name of the system call out of an error.
func describe(err error) string {
	var pe *fs.PathError
	var le *os.LinkError
	switch {
	case errors.As(err, &pe) && pe == err:
		return fmt.Sprintf("%s: %v", pe.Path, pe.Err)
	case errors.As(err, &le) && le == err:
		return fmt.Sprintf("%s to %s: %v", le.Old, le.New, le.Err)
	}
	return err.Error()
}

// options are the options of a call: letters, or names after two dashes, with
// their values.
type options map[string][]string

func (o options) has(name string) bool { return len(o[name]) > 0 }

// value is the last value given.
func (o options) value(name string) string {
	if v := o[name]; len(v) > 0 {
		return v[len(v)-1]
	}
	return ""
}

// options takes leading options from the call's arguments. In known, letters
// stand for themselves, a colon after one says that it has a value; long ones
// follow after blanks. Other arguments may come between, unless known begins
// with a plus.
func (c *Call) options(known string) (options, []string, error) {
	fields := strings.Fields(known)
	letters, long := "", []string(nil)
	if len(fields) > 0 {
		letters, long = fields[0], fields[1:]
	}
	ordered := strings.HasPrefix(letters, "+")
	opts := make(options)
	var rest []string
	for args := c.Args; len(args) > 0; {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			return opts, append(rest, args...), nil
		case strings.HasPrefix(word, "--"):
			name, value, hasValue := strings.Cut(word[2:], "=")
			switch {
			case slices.Contains(long, name+":"):
				if !hasValue {
					if len(args) == 0 {
						return nil, nil, usagef("option --%s needs a value", name)
					}
					value, args = args[0], args[1:]
				}
			case !slices.Contains(long, name) || hasValue:
				return nil, nil, usagef("no option %s", word)
			}
			opts[name] = append(opts[name], value)
		case len(word) > 1 && word[0] == '-':
			for i := 1; i < len(word); i++ {
				at := strings.IndexByte(letters, word[i])
				if at < 0 || word[i] == ':' || word[i] == '+' {
					return nil, nil, usagef("no option -%c", word[i])
				}
				name, value := word[i:i+1], ""
				if at+1 < len(letters) && letters[at+1] == ':' {
					if i+1 < len(word) {
						value = word[i+1:]
					} else if len(args) > 0 {
						value, args = args[0], args[1:]
					} else {
						return nil, nil, usagef("option -%s needs a value", name)
					}
					i = len(word)
				}
				opts[name] = append(opts[name], value)
			}
		case ordered:
			return opts, append([]string{word}, args...), nil
		default:
			rest = append(rest, word)
		}
	}
	return opts, rest, nil
}

// noArguments is for tools that take none.
func (c *Call) noArguments() error {
	if len(c.Args) > 0 {
		return usagef("unexpected %q", c.Args[0])
	}
	return nil
}
