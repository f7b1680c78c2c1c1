package rexec

import (
	"context"
	"strings"

	"hurdlab/hurd"
	"hurdlab/hurd/proto"
	"hurdlab/mach"
)

// defaultPath is where programs are if the environment does not say.
const defaultPath = "/bin:/usr/bin"

// find opens a program, to be executed and read: a name without a slash is looked
// for in the PATH of an environment. It returns what it is called there. Of the
// errors it met it returns the most telling.
func find(ctx context.Context, p *hurd.Process, name string, env []string) (mach.Port, string, error) {
	candidates := []string{name}
	if name != "" && !strings.Contains(name, "/") {
		path := defaultPath
		for _, e := range env {
			if v, ok := strings.CutPrefix(e, "PATH="); ok {
				path = v
			}
		}
		candidates = nil
		for dir := range strings.SplitSeq(path, ":") {
			if dir == "" {
				dir = "."
			}
			candidates = append(candidates, dir+"/"+name)
		}
	}
	var first error
	for _, c := range candidates {
		file, err := open(ctx, p, c)
		if err == nil {
			return file, c, nil
		}
		if first == nil || missing(first) && !missing(err) {
			first = err
		}
	}
	return mach.Null, "", first
}

// open opens a program.
func open(ctx context.Context, p *hurd.Process, name string) (mach.Port, error) {
	// Who runs it reads it; where files are mapped, executing is enough.
	file, err := p.Lookup(ctx, name, proto.O_READ|proto.O_EXEC, 0)
	if proto.Code(err) == proto.EACCES {
		file, err = p.Lookup(ctx, name, proto.O_EXEC, 0)
	}
	if err != nil {
		return mach.Null, err
	}
	st, err := proto.IOStat(ctx, file)
	switch {
	case err != nil:
	case st.Mode&proto.S_IFMT == proto.S_IFDIR:
		err = proto.EISDIR
	case st.Mode&proto.S_IFMT != proto.S_IFREG || st.Mode&0o111 == 0:
		err = proto.EACCES
	default:
		return file, nil
	}
	proto.Release(ctx, file)
	return mach.Null, err
}

// missing reports whether an error says that there is no such file.
func missing(err error) bool {
	code := proto.Code(err)
	return code == proto.ENOENT || code == proto.ENOTDIR
}
