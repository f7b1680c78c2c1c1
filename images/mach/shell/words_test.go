package shell

import (
	"slices"
	"testing"
)

func TestWords(t *testing.T) {
	for in, want := range map[string][]string{
		``:                         nil,
		`  a  b	c `:                {"a", "b", "c"},
		`'a b' "c d" e\ f`:         {"a b", "c d", "e f"},
		`a'b'"c"\d`:                {"abcd"},
		`''  ""`:                   {"", ""},
		`"a\"b\\c\$d\e"`:           {`a"b\c$d\e`},
		`'a"b\c'`:                  {`a"b\c`},
		`'it'\''s'`:                {"it's"},
		`a#b # c`:                  {"a#b"},
		`x=1 ./p --flag='*' "a;b"`: {"x=1", "./p", "--flag=*", "a;b"},
	} {
		got, err := Words(in)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{`'a`, `"a`, `a\`, `a | b`, `a; b`, `$HOME`, `"$HOME"`, "`a`", `a > b`, `*.go`, `a & b`} {
		if got, err := Words(in); err == nil {
			t.Errorf("%s: got %q", in, got)
		}
	}
}
