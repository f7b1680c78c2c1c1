// Remoteprog is a program to be run elsewhere, and to see how that goes:
//
//	remoteprog say [ARGUMENT...]    say who and where it is, and what it has got
//	remoteprog status N             end with a status
//	remoteprog die SIGNAL           end by a signal
//	remoteprog signals              say which signals come; USR2 ends it with status 7
//	remoteprog family N             start N that linger, and wait for ever
//	remoteprog linger               wait for ever, whatever signals say
//	remoteprog fd N                 copy descriptor N to standard output
//	remoteprog write BYTES          write so many bytes of a known pattern
//	remoteprog check                read them, and say how many there were
//	remoteprog chain N COMMAND...   start a child, that starts a child ..., N deep, then COMMAND
//	remoteprog become COMMAND...    become COMMAND
//
// and what starts rexec, to be run here:
//
//	remoteprog inherit NODE FILE    rexec NODE remoteprog fd 5, which is FILE
//	remoteprog states NODE          what becomes of rexec when its program is stopped and goes on
//	remoteprog shell NODE           rexec NODE remoteprog typed, as a shell at a terminal would
//
// At a terminal:
//
//	remoteprog typed                read a line at the beginning and whenever it goes on, and say it,
//	                                the size of the window, and signals; the end of the file ends it
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/term"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "remoteprog: what?")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.Exited() {
			os.Exit(exit.ExitCode())
		}
		fmt.Fprintln(os.Stderr, "remoteprog:", err)
		os.Exit(1)
	}
}

func run(verb string, args []string) error {
	number := func(i int) int {
		if i >= len(args) {
			return 0
		}
		n, _ := strconv.Atoi(args[i])
		return n
	}
	switch verb {
	case "say":
		dir, err := os.Getwd()
		if err != nil {
			return err
		}
		mask := syscall.Umask(0)
		fmt.Printf("args %q\ndir %s\numask %03o\nuid %d\nX=%s\n", args, dir, mask, os.Getuid(), os.Getenv("X"))
	case "status":
		os.Exit(number(0))
	case "die":
		if err := syscall.Kill(os.Getpid(), named(args[0])); err != nil {
			return err
		}
		time.Sleep(time.Hour)
	case "signals":
		return signals()
	case "family":
		for range number(0) {
			c := exec.Command(os.Args[0], "linger")
			c.Stdout = os.Stdout
			if err := c.Start(); err != nil {
				return err
			}
		}
		fmt.Println("ready")
		time.Sleep(time.Hour)
	case "linger":
		signal.Ignore(syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT)
		fmt.Println("lingers")
		time.Sleep(time.Hour)
	case "fd":
		f := os.NewFile(uintptr(number(0)), "given")
		_, err := io.Copy(os.Stdout, f)
		return err
	case "write":
		w := bufio.NewWriterSize(os.Stdout, 64<<10)
		for i := range number(0) {
			_ = w.WriteByte(pattern(i))
		}
		return w.Flush()
	case "check":
		r, n := bufio.NewReaderSize(os.Stdin, 64<<10), 0
		for ; ; n++ {
			b, err := r.ReadByte()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			if b != pattern(n) {
				return fmt.Errorf("byte %d is %#x", n, b)
			}
		}
		fmt.Println(n)
	case "chain":
		next := args[1:]
		if n := number(0); n > 0 {
			next = append([]string{os.Args[0], "chain", strconv.Itoa(n - 1)}, args[1:]...)
		}
		c := exec.Command(next[0], next[1:]...)
		c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
		return c.Run()
	case "become":
		return syscall.Exec(args[0], args, os.Environ())
	case "inherit":
		f, err := os.Open(args[1])
		if err != nil {
			return err
		}
		c := exec.Command("rexec", args[0], "remoteprog", "fd", "5")
		c.ExtraFiles = []*os.File{nil, nil, f} // 3 and 4 are closed
		c.Stdout, c.Stderr = os.Stdout, os.Stderr
		return c.Run()
	case "states":
		return states(args[0])
	case "shell":
		return shell(args[0])
	case "typed":
		return typed()
	default:
		return fmt.Errorf("%s?", verb)
	}
	return nil
}

func pattern(i int) byte { return byte(i ^ i>>8 ^ i>>16) }

var names = map[string]syscall.Signal{
	"HUP": syscall.SIGHUP, "INT": syscall.SIGINT, "QUIT": syscall.SIGQUIT, "TERM": syscall.SIGTERM, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	"KILL": syscall.SIGKILL, "WINCH": syscall.SIGWINCH, "CONT": syscall.SIGCONT, "STOP": syscall.SIGSTOP, "TSTP": syscall.SIGTSTP,
}

func named(s string) syscall.Signal { return names[strings.TrimPrefix(s, "SIG")] }

func signals() error {
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH, syscall.SIGCONT)
	fmt.Println("ready")
	for sig := range c {
		for name, n := range names {
			if n == sig {
				fmt.Println(name)
			}
		}
		if sig == syscall.SIGUSR2 {
			os.Exit(7)
		}
	}
	return nil
}

// states says how rexec looks to its parent while its program is stopped, goes on and is
// killed.
func states(node string) error {
	c := exec.Command("rexec", node, "remoteprog", "signals")
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.Start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(out)
	line := func() string { lines.Scan(); return lines.Text() }
	fmt.Println(line())
	pid := c.Process.Pid
	see := func(sig syscall.Signal) error {
		if err := syscall.Kill(pid, sig); err != nil {
			return err
		}
		var ws syscall.WaitStatus
		for {
			_, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED|syscall.WCONTINUED, nil)
			if err == syscall.EINTR {
				continue
			}
			if err != nil {
				return err
			}
			break
		}
		switch {
		case ws.Continued():
			fmt.Println("continued")
		case ws.Stopped():
			fmt.Println("stopped", int(ws>>8&0xff))
		case ws.Signaled():
			fmt.Println("signal", int(ws.Signal()))
		default:
			fmt.Println("status", ws.ExitStatus())
		}
		return nil
	}
	for _, sig := range []syscall.Signal{syscall.SIGTSTP, syscall.SIGCONT, syscall.SIGSTOP, syscall.SIGCONT} {
		if err := see(sig); err != nil {
			return err
		}
	}
	// It does go on: both times it has seen why.
	fmt.Println(line(), line())
	if err := syscall.Kill(pid, syscall.SIGWINCH); err != nil {
		return err
	}
	fmt.Println(line())
	return see(syscall.SIGUSR2) // which ends it
}

// typed says what comes from its terminal. It does not read while it waits for a signal:
// what it had begun to read it would get, stopped or not.
func typed() error {
	c := make(chan os.Signal, 16)
	signal.Notify(c, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH, syscall.SIGCONT)
	size := func() {
		w, h, err := term.GetSize(0)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d x %d\n", w, h)
	}
	if !term.IsTerminal(0) {
		return errors.New("standard input is no terminal")
	}
	size()
	line := make([]byte, 100)
	for {
		n, err := os.Stdin.Read(line)
		if n == 0 || err != nil {
			fmt.Println("end")
			os.Exit(3)
		}
		fmt.Printf("read %q\n", line[:n])
		for sig := range c {
			fmt.Println(sig)
			if sig == syscall.SIGWINCH {
				size()
			}
			if sig == syscall.SIGCONT {
				break
			}
		}
	}
}

// shell does what a shell at a terminal does with a job, which is rexec: in the foreground,
// in a group of its own; when it has stopped, until somebody types something.
func shell(node string) error {
	c := exec.Command("rexec", node, os.Args[0], "typed")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: 0}
	if err := c.Start(); err != nil {
		return err
	}
	pid := c.Process.Pid
	line := make([]byte, 100)
	for {
		var ws syscall.WaitStatus
		_, err := syscall.Wait4(pid, &ws, syscall.WUNTRACED, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
		if err := foreground(0, syscall.Getpgrp()); err != nil {
			return err
		}
		if !ws.Stopped() {
			fmt.Println("status", ws.ExitStatus())
			return nil
		}
		fmt.Println("stopped", int(ws>>8&0xff))
		n, err := os.Stdin.Read(line)
		if err != nil {
			return err
		}
		fmt.Printf("shell %q\n", line[:n])
		if err := foreground(0, pid); err != nil {
			return err
		}
		if err := syscall.Kill(-pid, syscall.SIGCONT); err != nil {
			return err
		}
	}
}
