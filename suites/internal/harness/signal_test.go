package harness

import (
	"fmt"
	"strings"
	"testing"
)

// However the text is cut into writes, it is seen, and only it.
func TestSignal(t *testing.T) {
	const text = "serving on"
	const all = "xserving" + text + "y"
	for i := range len(all) {
		for j := i; j <= len(all); j++ {
			s := NewSignal(text)
			for _, part := range []string{all[:i], all[i:j], all[j:]} {
				fmt.Fprint(s, part)
			}
			select {
			case <-s.Seen:
			default:
				t.Errorf("%q, %q, %q: not seen", all[:i], all[i:j], all[j:])
			}
		}
	}
	s := NewSignal(text)
	fmt.Fprint(s, strings.ReplaceAll(all, "on", "off"))
	select {
	case <-s.Seen:
		t.Error("seen, but it was not there")
	default:
	}
}
