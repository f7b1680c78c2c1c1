package exec

import (
	"bytes"

	"hurdlab/hurd/proto"
)

// maxLine is the longest first line of a script, with its #!.
const maxLine = 1024

// interpreter returns what the first line of a script names: a program and at
// most one argument. ok is whether it is a script at all.
func interpreter(head []byte) (program, arg string, ok bool, err error) {
	rest, ok := bytes.CutPrefix(head, []byte("#!"))
	if !ok {
		return "", "", false, nil
	}
	line, _, whole := bytes.Cut(rest[:min(len(rest), maxLine)], []byte{'\n'})
	if !whole && len(rest) >= maxLine || bytes.IndexByte(line, 0) >= 0 {
		return "", "", true, proto.ENOEXEC
	}
	line = bytes.Trim(line, " \t\r")
	name, after, _ := bytes.Cut(bytes.ReplaceAll(line, []byte{'\t'}, []byte{' '}), []byte{' '})
	if len(name) == 0 || len(name) > proto.MaxString {
		return "", "", true, proto.ENOEXEC
	}
	return string(name), string(bytes.Trim(after, " ")), true, nil
}

// scriptArgs are the arguments of the interpreter of a script called name,
// which was to have the arguments argv, a list of strings with a zero byte
// after each.
func scriptArgs(program, arg, name string, argv []byte) []byte {
	b := append([]byte(program), 0)
	if arg != "" {
		b = append(append(b, arg...), 0)
	}
	b = append(append(b, name...), 0)
	if _, rest, ok := bytes.Cut(argv, []byte{0}); ok {
		b = append(b, rest...)
	}
	return b
}

// withOrigin sets the variable that tells the dynamic loader where the program
// is.
func withOrigin(env []byte, abspath string) []byte {
	const name = "LD_ORIGIN_PATH="
	if len(abspath) == 0 || abspath[0] != '/' {
		return env
	}
	dir := abspath[:bytes.LastIndexByte([]byte(abspath), '/')]
	if dir == "" {
		dir = "/"
	}
	out := append([]byte(name+dir), 0)
	for len(env) > 0 {
		v, rest, _ := bytes.Cut(env, []byte{0})
		if !bytes.HasPrefix(v, []byte(name)) {
			out = append(append(out, v...), 0)
		}
		env = rest
	}
	return out
}
