// Hello tells what its process was given: arguments, one line for each
// variable named by -env, and the bytes of standard input.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
)

func main() {
	env := flag.String("env", "", "print the value of this `variable`")
	stdin := flag.Bool("stdin", false, "copy standard input to standard output")
	stderr := flag.String("stderr", "", "print this `text` on standard error")
	status := flag.Int("status", 0, "exit with this `status`")
	flag.Parse()
	fmt.Printf("hello from %s/%s %q\n", runtime.GOOS, runtime.GOARCH, flag.Args())
	if *env != "" {
		v, ok := os.LookupEnv(*env)
		fmt.Printf("%s=%q %t\n", *env, v, ok)
	}
	if *stdin {
		n, err := io.Copy(os.Stdout, os.Stdin)
		if err != nil {
			log.Fatalf("copy standard input: %v", err)
		}
		fmt.Fprintf(os.Stderr, "%d bytes\n", n)
	}
	if *stderr != "" {
		fmt.Fprintln(os.Stderr, *stderr)
	}
	os.Exit(*status)
}
