//go:build linux || hurd

package fstest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"
)

// A User is somebody whom a case has do things.
type User struct {
	Name     string
	UID, GID int
	Groups   []int // beside GID
}

func (u User) supplementary() []uint32 {
	groups := []uint32{}
	for _, g := range u.Groups {
		groups = append(groups, uint32(g))
	}
	return groups
}

// The users of the cases: somebody, one who has the first's group, one who
// has it besides, and one who has nothing to do with them.
var (
	owner  = User{"owner", 2001, 2001, nil}
	member = User{"member", 2002, 2001, nil}
	guest  = User{"guest", 2003, 2003, []int{2001}}
	other  = User{"other", 2004, 2004, nil}
	root   = User{"root", 0, 0, nil}
)

// An Op is a call. Files that stay open have a number that the one who opens
// them chooses.
type Op struct {
	Call     string // a name in calls
	Path, To string
	Flags    int
	Mode     uint32
	UID, GID int
	Size     int64
	Times    []syscall.Timespec
	File     int
	Data     []byte
	Lock     syscall.Flock_t
}

// An Outcome is what came of an Op.
type Outcome struct {
	Errno syscall.Errno
	Names []string
	Data  []byte
	Stat  syscall.Stat_t
	Lock  syscall.Flock_t
}

// Err is the outcome's error, nil if it has none.
func (o Outcome) Err() error {
	if o.Errno == 0 {
		return nil
	}
	return o.Errno
}

// calls are what an Op can be.
var calls = map[string]func(a *actor, op *Op, out *Outcome) error{
	// open opens and closes.
	"open": func(_ *actor, op *Op, _ *Outcome) error {
		fd, err := open(op.Path, op.Flags, op.Mode)
		if err == nil {
			syscall.Close(fd)
		}
		return err
	},
	"hold": func(a *actor, op *Op, _ *Outcome) error {
		fd, err := open(op.Path, op.Flags, op.Mode)
		if err == nil {
			a.files[op.File] = fd
		}
		return err
	},
	"close": func(a *actor, op *Op, _ *Outcome) error {
		err := syscall.Close(a.files[op.File])
		delete(a.files, op.File)
		return err
	},
	"read": func(a *actor, op *Op, out *Outcome) error {
		b := make([]byte, op.Size)
		n, err := syscall.Pread(a.files[op.File], b, 0)
		out.Data = b[:max(n, 0)]
		return err
	},
	"write": func(a *actor, op *Op, _ *Outcome) error {
		_, err := syscall.Write(a.files[op.File], op.Data)
		return err
	},
	"flock": func(a *actor, op *Op, _ *Outcome) error {
		return again(func() error { return syscall.Flock(a.files[op.File], op.Flags) })
	},
	"fcntl": func(a *actor, op *Op, out *Outcome) error {
		out.Lock = op.Lock
		return again(func() error { return syscall.FcntlFlock(uintptr(a.files[op.File]), op.Flags, &out.Lock) })
	},
	"readdir": func(_ *actor, op *Op, out *Outcome) error {
		entries, err := os.ReadDir(op.Path)
		for _, e := range entries {
			out.Names = append(out.Names, e.Name())
		}
		return err
	},
	"stat":     func(_ *actor, op *Op, out *Outcome) error { return syscall.Stat(op.Path, &out.Stat) },
	"lstat":    func(_ *actor, op *Op, out *Outcome) error { return syscall.Lstat(op.Path, &out.Stat) },
	"access":   func(_ *actor, op *Op, _ *Outcome) error { return syscall.Access(op.Path, op.Mode) },
	"mkdir":    func(_ *actor, op *Op, _ *Outcome) error { return syscall.Mkdir(op.Path, op.Mode) },
	"rmdir":    func(_ *actor, op *Op, _ *Outcome) error { return syscall.Rmdir(op.Path) },
	"unlink":   func(_ *actor, op *Op, _ *Outcome) error { return syscall.Unlink(op.Path) },
	"rename":   func(_ *actor, op *Op, _ *Outcome) error { return syscall.Rename(op.Path, op.To) },
	"link":     func(_ *actor, op *Op, _ *Outcome) error { return syscall.Link(op.Path, op.To) },
	"symlink":  func(_ *actor, op *Op, _ *Outcome) error { return syscall.Symlink(op.To, op.Path) },
	"mkfifo":   func(_ *actor, op *Op, _ *Outcome) error { return syscall.Mkfifo(op.Path, op.Mode) },
	"readlink": func(_ *actor, op *Op, _ *Outcome) error { _, err := readlink(op.Path); return err },
	"chmod":    func(_ *actor, op *Op, _ *Outcome) error { return syscall.Chmod(op.Path, op.Mode) },
	"chown":    func(_ *actor, op *Op, _ *Outcome) error { return syscall.Chown(op.Path, op.UID, op.GID) },
	"truncate": func(_ *actor, op *Op, _ *Outcome) error { return syscall.Truncate(op.Path, op.Size) },
	"utimens":  func(_ *actor, op *Op, _ *Outcome) error { return syscall.UtimesNano(op.Path, op.Times) },
}

// An actor does what it is told, in this process.
type actor struct{ files map[int]int }

func (a *actor) do(op *Op) (out Outcome) {
	call := calls[op.Call]
	if call == nil {
		out.Errno = syscall.ENOSYS
		return out
	}
	out.Errno = errnoOf(call(a, op, &out))
	return out
}

// actVariable in the environment makes a program an actor.
const actVariable = "FSTEST_ACT"

// Act does not return if the process was started to do things for cases.
// Programs that call [Run] call it before anything else.
func Act() {
	if os.Getenv(actVariable) == "" {
		return
	}
	if err := act(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "fstest, as another user:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// act does the operations that it reads and writes their outcomes, as JSON.
func act(r io.Reader, w io.Writer) error {
	syscall.Umask(0o22)
	a := &actor{files: make(map[int]int)}
	dec, enc := json.NewDecoder(bufio.NewReader(r)), json.NewEncoder(w)
	for {
		var op Op
		if err := dec.Decode(&op); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := enc.Encode(a.do(&op)); err != nil {
			return err
		}
	}
}

// A crew is the actors of a run: a process for each user, for as long as it
// is wanted.
type crew struct {
	mu   sync.Mutex
	here []*process
}

type process struct {
	user User
	cmd  *exec.Cmd
	in   io.WriteCloser
	enc  *json.Encoder
	dec  *json.Decoder
}

// as returns the actor of a user, which it starts if need be.
func (c *crew) as(u User) (*process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.IndexFunc(c.here, func(p *process) bool { return p.user.Name == u.Name }); i >= 0 {
		return c.here[i], nil
	}
	p, err := start(u)
	if err != nil {
		return nil, err
	}
	c.here = append(c.here, p)
	return p, nil
}

func start(u User) (*process, error) {
	program, err := self()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program)
	cmd.Env = []string{actVariable + "=1"}
	cmd.Dir = "/"
	cmd.Stderr = os.Stderr
	if u.UID != os.Geteuid() || u.GID != os.Getegid() {
		becomes(cmd, u)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("a process of user %d: %w", u.UID, err)
	}
	return &process{user: u, cmd: cmd, in: in, enc: json.NewEncoder(in), dec: json.NewDecoder(out)}, nil
}

func (p *process) do(op *Op) (out Outcome, err error) {
	if err := p.enc.Encode(op); err != nil {
		return out, err
	}
	err = p.dec.Decode(&out)
	return out, err
}

// kill ends a process the hard way and returns when it has ended.
func (p *process) kill() {
	p.cmd.Process.Kill()
	p.in.Close()
	p.cmd.Wait()
}

func (c *crew) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.here {
		// It ends when its input does, unless it hangs.
		p.in.Close()
		late := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
		p.cmd.Wait()
		late.Stop()
	}
	c.here = nil
}

// drop ends the actor of a user, as a crash would.
func (c *crew) drop(u User) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.here = slices.DeleteFunc(c.here, func(p *process) bool {
		if p.user.Name == u.Name {
			p.kill()
			return true
		}
		return false
	})
}

// Do does something in this process. It cannot keep files open.
func (t *T) Do(op Op) Outcome { return (&actor{}).do(&op) }

// As has a user do something.
func (t *T) As(u User, op Op) Outcome {
	p, err := t.crew.as(u)
	t.OK(err, "another user")
	out, err := p.do(&op)
	t.OK(err, "the process of user %s", u.Name)
	return out
}

// WantAs has a user do something and reports an outcome that is none of want.
func (t *T) WantAs(u User, op Op, want ...syscall.Errno) {
	t.Want(t.As(u, op).Err(), u.Name+": "+op.Call, want...)
}

// me is a further process with this one's user: for locks, which are between
// processes.
var me = User{Name: "me", UID: os.Geteuid(), GID: os.Getegid()}
