package hurd

import "strings"

// Argz returns strings as the Hurd's messages have them: one after the other,
// with a zero byte after each.
func Argz(args ...string) []byte {
	n := 0
	for _, a := range args {
		n += len(a) + 1
	}
	if n == 0 {
		return nil
	}
	b := make([]byte, 0, n)
	for _, a := range args {
		b = append(b, a...)
		b = append(b, 0)
	}
	return b
}

// ParseArgz is the opposite of [Argz]. The last string may lack its end.
func ParseArgz(b []byte) []string {
	if len(b) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
}
