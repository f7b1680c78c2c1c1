package shell

import (
	"errors"
	"strings"
)

// Words splits a command line as a POSIX shell would: quotes and backslashes
// join and protect; nothing is expanded. Characters that would mean something
// else to a shell are an error unless they are quoted, so that nobody takes
// this for one.
func Words(line string) ([]string, error) {
	var words []string
	var w strings.Builder
	in := false // within a word
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t', '\n':
			if in {
				words = append(words, w.String())
				w.Reset()
				in = false
			}
		case '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				return nil, errors.New("unterminated '")
			}
			w.WriteString(line[i+1 : i+1+n])
			i += n + 1
			in = true
		case '"':
			in = true
			for i++; ; i++ {
				if i >= len(line) {
					return nil, errors.New(`unterminated "`)
				}
				if line[i] == '"' {
					break
				}
				if line[i] == '\\' && i+1 < len(line) && strings.IndexByte("\"\\$`\n", line[i+1]) >= 0 {
					i++
				} else if line[i] == '$' || line[i] == '`' {
					return nil, errors.New("expansions are not supported: quote " + string(line[i]))
				}
				w.WriteByte(line[i])
			}
		case '\\':
			if i++; i >= len(line) {
				return nil, errors.New(`\ at the end`)
			}
			w.WriteByte(line[i])
			in = true
		case '|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?':
			return nil, errors.New("a node has no shell: quote " + string(c) + " if it is part of an argument")
		case '#':
			if !in {
				return words, nil
			}
			fallthrough
		default:
			w.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, w.String())
	}
	return words, nil
}
