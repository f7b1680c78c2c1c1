package tools

import (
	"syscall"

	"hurdlab/mach"
)

func syncAll() error {
	syscall.Sync()
	return nil
}

// systemName is the names of the system: of itself, of the host, release,
// version and machine.
func systemName() (names [5]string, err error) {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return names, err
	}
	text := func(s [65]int8) string {
		var b []byte
		for _, c := range s {
			if c == 0 {
				break
			}
			b = append(b, byte(c))
		}
		return string(b)
	}
	return [5]string{text(u.Sysname), text(u.Nodename), text(u.Release), text(u.Version), text(u.Machine)}, nil
}

func systemError(err error) error { return err }

func enter(root mach.Port) error { return mach.NotMach }
