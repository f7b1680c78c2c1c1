package session

import "strings"

// split splits a command line as a POSIX shell would: quotes and backslashes
// join and protect. simple is false if the line has anything that takes a
// shell: what a shell would expand or act on, or an assignment, or a quote
// without its end.
func split(line string) (words []string, simple bool) {
	var w strings.Builder
	in := false // within a word
	for i := 0; i < len(line); i++ {
		switch c := line[i]; c {
		case ' ', '\t':
			if in {
				words = append(words, w.String())
				w.Reset()
				in = false
			}
		case '\'':
			n := strings.IndexByte(line[i+1:], '\'')
			if n < 0 {
				return nil, false
			}
			w.WriteString(line[i+1 : i+1+n])
			i += n + 1
			in = true
		case '"':
			in = true
			for i++; ; i++ {
				if i >= len(line) {
					return nil, false
				}
				if line[i] == '"' {
					break
				}
				if line[i] == '\\' && i+1 < len(line) && strings.IndexByte("\"\\$`\n", line[i+1]) >= 0 {
					if i++; line[i] == '\n' {
						continue
					}
				} else if line[i] == '$' || line[i] == '`' {
					return nil, false
				}
				w.WriteByte(line[i])
			}
		case '\\':
			if i++; i >= len(line) || line[i] == '\n' {
				return nil, false
			}
			w.WriteByte(line[i])
			in = true
		case '\n', '|', '&', ';', '<', '>', '(', ')', '$', '`', '*', '?', '[', '{', '}', '!':
			return nil, false
		case '~', '#':
			if !in {
				return nil, false
			}
			w.WriteByte(c)
		case '=':
			if len(words) == 0 {
				return nil, false
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
	return words, len(words) > 0
}
