package sh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

const usage = "usage: sh [-eunfxi] [-c COMMAND [NAME [ARGUMENT...]] | SCRIPT [ARGUMENT...]]"

// grace is how long a program has to end after an interrupt, when the shell
// is told to.
const grace = 2 * time.Second

// defaultPath is where programs are looked for if the environment does not
// say.
const defaultPath = "/bin:/sbin:/usr/bin:/usr/sbin"

// run is the shell, and returns its exit status.
func run(ctx context.Context, args []string, stdin *os.File, stdout, stderr io.Writer) int {
	sh := &shell{stdin: stdin, stdout: stdout, stderr: stderr}
	if err := sh.parse(args); err != nil {
		fmt.Fprintf(stderr, "sh: %v\n%s\n", err, usage)
		return 2
	}
	status, err := sh.run(ctx)
	if err != nil {
		fmt.Fprintf(stderr, "sh: %v\n", err)
	}
	return status
}

type shell struct {
	stdin          *os.File
	stdout, stderr io.Writer

	command     string // of -c
	hasCommand  bool
	script      string // a file
	interactive bool
	name        string   // $0
	params      []string // for interp.Params: options, and $1 and so on
}

func (sh *shell) parse(args []string) error {
	var options []string
	sh.name = "sh"
	for len(args) > 0 && len(args[0]) > 1 && (args[0][0] == '-' || args[0][0] == '+') {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		if strings.HasPrefix(word, "--") {
			return fmt.Errorf("no option %s", word)
		}
		for _, o := range word[1:] {
			switch o {
			case 'c':
				sh.hasCommand = true
			case 'i':
				sh.interactive = true
			case 's', 'l':
				// Commands from standard input are the rule; there are no
				// profiles.
			case 'o':
				if len(args) == 0 {
					return errors.New("option -o needs a value")
				}
				options = append(options, word[:1]+"o", args[0])
				args = args[1:]
			case 'e', 'u', 'n', 'f', 'x', 'a':
				options = append(options, word[:1]+string(o))
			default:
				return fmt.Errorf("no option -%c", o)
			}
		}
	}
	if sh.hasCommand {
		if len(args) == 0 {
			return errors.New("option -c needs a command")
		}
		sh.command, args = args[0], args[1:]
		if len(args) > 0 {
			sh.name, args = args[0], args[1:]
		}
	} else if len(args) > 0 {
		sh.script, sh.name, args = args[0], args[0], args[1:]
	}
	sh.params = append(append(options, "--"), args...)
	return nil
}

func (sh *shell) run(ctx context.Context) (int, error) {
	environ := os.Environ()
	if os.Getenv("PATH") == "" {
		environ = append(environ, "PATH="+defaultPath)
	}
	fromStdin := !sh.hasCommand && sh.script == ""
	if fromStdin && !sh.interactive {
		sh.interactive = term.IsTerminal(int(sh.stdin.Fd()))
	}
	// Somebody else's directory may be out of one's sight.
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
		if err := os.Chdir(dir); err != nil {
			return 2, err
		}
	}
	r, err := interp.New(
		interp.Dir(dir),
		interp.Env(expand.ListEnviron(environ...)),
		interp.StdIO(sh.stdin, sh.stdout, sh.stderr),
		interp.Interactive(sh.interactive), // which has aliases
		interp.Params(sh.params...),
		interp.CallHandler(call),
		interp.ExecHandlers(func(interp.ExecHandlerFunc) interp.ExecHandlerFunc {
			return interp.DefaultExecHandler(grace)
		}),
	)
	if err != nil {
		return 2, err
	}
	switch {
	case sh.hasCommand:
		return sh.source(ctx, r, strings.NewReader(sh.command))
	case sh.script != "":
		f, err := os.Open(sh.script)
		if err != nil {
			return 127, err
		}
		defer f.Close()
		return sh.source(ctx, r, f)
	}
	return sh.read(ctx, r)
}

// source runs a whole program.
func (sh *shell) source(ctx context.Context, r *interp.Runner, src io.Reader) (int, error) {
	program, err := syntax.NewParser().Parse(src, sh.name)
	if err != nil {
		return 2, err
	}
	return statusOf(r.Run(ctx, program))
}

// read runs commands as they are read.
func (sh *shell) read(ctx context.Context, r *interp.Runner) (status int, err error) {
	prompt := func(s string) {
		if sh.interactive {
			fmt.Fprint(sh.stderr, s)
		}
	}
	first := "$ "
	if os.Geteuid() == 0 {
		first = "# "
	}
	for again := true; again; {
		again = false
		parser := syntax.NewParser()
		prompt(first)
		for statements, err := range parser.InteractiveSeq(sh.stdin) {
			if err != nil {
				if !sh.interactive {
					return 2, err
				}
				// The line is lost, the shell goes on.
				fmt.Fprintf(sh.stderr, "sh: %v\n", err)
				again, status = true, 2
				break
			}
			if parser.Incomplete() {
				prompt("> ")
				continue
			}
			for _, s := range statements {
				if status, err = statusOf(r.Run(ctx, s)); err != nil {
					fmt.Fprintf(sh.stderr, "sh: %v\n", err)
				}
				if r.Exited() || ctx.Err() != nil {
					return status, nil
				}
			}
			prompt(first)
		}
	}
	return status, nil
}

func statusOf(err error) (int, error) {
	var exit interp.ExitStatus
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return int(exit), nil
	case errors.Is(err, context.Canceled):
		return 128 + int(syscall.SIGTERM), nil
	}
	return 1, err
}

// call replaces built-in commands that the interpreter has only the names of.
func call(ctx context.Context, args []string) ([]string, error) {
	hc := interp.HandlerCtx(ctx)
	switch args[0] {
	case "kill":
		// A path is no built-in command.
		if path, err := interp.LookPathDir(hc.Dir, hc.Env, "kill"); err == nil {
			return append([]string{path}, args[1:]...), nil
		}
	case "umask":
		if err := umask(hc.Stdout, args[1:]); err != nil {
			fmt.Fprintf(hc.Stderr, "umask: %v\n", err)
			return []string{"false"}, nil
		}
		return []string{"true"}, nil
	}
	return args, nil
}

// umask is the process's, which the programs inherit that it starts.
func umask(w io.Writer, args []string) error {
	switch len(args) {
	case 0:
		mask := syscall.Umask(0)
		syscall.Umask(mask)
		_, err := fmt.Fprintf(w, "%04o\n", mask)
		return err
	case 1:
		mask, err := strconv.ParseUint(args[0], 8, 32)
		if err != nil || mask > 0o777 {
			return fmt.Errorf("%q is not a mask", args[0])
		}
		syscall.Umask(int(mask))
		return nil
	}
	return errors.New("one mask at a time")
}
