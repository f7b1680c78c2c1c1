package door

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"hurdlab/netmsg/rights"
)

// A Policy says what peers may have of this node. The zero Policy gives nothing to
// anybody.
//
// It is read from text, a rule a line:
//
//	# what is exported under which name, and to whom (* is every peer)
//	export / / *
//	export music /home/user/music node2 node3
//	# who users and groups of a peer are here: PEER, THEIR-ID or FROM-TO, OUR-ID
//	user node2 1000 1000
//	user * 2000-2999 3000
//	group node2 100 100
//
// The ids from FROM to TO become OUR-ID and those that follow it. The first rule that
// fits counts. Who has no rule has no ids, and may do what everybody may. An id
// becomes 0, which is root, only if OUR-ID is 0 and THEIR-ID is a single one.
type Policy struct {
	Exports []Export
	Users   []Mapping
	Groups  []Mapping
}

// An Export is a directory or file that peers may look into.
type Export struct {
	Name  string // what they call it
	Path  string // where it is
	Peers []string
}

// A Mapping says who some users, or groups, of a peer are here.
type Mapping struct {
	Peer     string // a node, or * for all
	From, To uint32
	Here     uint32 // who From is
}

// Default is the policy of a node that has none: everything is exported to every peer
// that may open a session, for what everybody may do.
func Default() *Policy {
	return &Policy{Exports: []Export{{Name: "/", Path: "/", Peers: []string{"*"}}}}
}

// ReadPolicy reads a policy from a file. If there is none, it is [Default].
func ReadPolicy(file string) (*Policy, error) {
	f, err := os.Open(file)
	if os.IsNotExist(err) {
		return Default(), nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	p, err := ParsePolicy(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return p, nil
}

// maxRules bounds the rules of a policy.
const maxRules = 4096

// ParsePolicy reads a policy. Errors name the line.
func ParsePolicy(r io.Reader) (*Policy, error) {
	p := new(Policy)
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if err := p.rule(strings.Fields(text)); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if n > maxRules {
			return nil, fmt.Errorf("more than %d lines", maxRules)
		}
	}
	return p, lines.Err()
}

func (p *Policy) rule(f []string) error {
	if len(f) == 0 {
		return nil
	}
	switch f[0] {
	case "export":
		if len(f) < 4 {
			return fmt.Errorf("export NAME PATH PEER...: there are %d words", len(f))
		}
		if !path.IsAbs(f[2]) {
			return fmt.Errorf("export %s: %s does not begin with a slash", f[1], f[2])
		}
		for _, e := range p.Exports {
			if e.Name == f[1] {
				return fmt.Errorf("export %s: there is one already, of %s", f[1], e.Path)
			}
		}
		p.Exports = append(p.Exports, Export{f[1], path.Clean(f[2]), f[3:]})
		return nil
	case "user", "group":
		m, err := mapping(f)
		if err != nil {
			return err
		}
		if f[0] == "user" {
			p.Users = append(p.Users, m)
		} else {
			p.Groups = append(p.Groups, m)
		}
		return nil
	}
	return fmt.Errorf("%q: a rule begins with export, user or group", f[0])
}

func mapping(f []string) (m Mapping, err error) {
	if len(f) != 4 {
		return m, fmt.Errorf("%s PEER THEIR-ID OUR-ID: there are %d words", f[0], len(f))
	}
	number := func(s string) (uint32, error) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil || int32(n) < 0 {
			return 0, fmt.Errorf("%s %s: %q is not an id", f[0], f[1], s)
		}
		return uint32(n), nil
	}
	from, to, ok := strings.Cut(f[2], "-")
	if !ok {
		to = from
	}
	m.Peer = f[1]
	if m.From, err = number(from); err == nil {
		m.To, err = number(to)
	}
	if err == nil {
		m.Here, err = number(f[3])
	}
	switch {
	case err != nil:
		return m, err
	case m.To < m.From:
		return m, fmt.Errorf("%s %s: %s is no range", f[0], f[1], f[2])
	case m.Here == 0 && m.To != m.From:
		return m, fmt.Errorf("%s %s: only one id can be root", f[0], f[1])
	case uint64(m.Here)+uint64(m.To-m.From) > 1<<31-1:
		return m, fmt.Errorf("%s %s: %s does not fit behind %s", f[0], f[1], f[2], f[3])
	}
	return m, nil
}

// Find returns what a peer means by the name of an export. Empty is "/".
func (p *Policy) Find(peer rights.NodeID, name string) (Export, bool) {
	if name == "" {
		name = "/"
	}
	for _, e := range p.Exports {
		if e.Name != name {
			continue
		}
		for _, who := range e.Peers {
			if who == "*" || who == string(peer) {
				return e, true
			}
		}
	}
	return Export{}, false
}

// Map returns who users, or groups, of a peer are here. Who is nobody is left out.
func Map(list []Mapping, peer rights.NodeID, ids []int32) []int32 {
	here := make([]int32, 0, len(ids))
	for _, id := range ids {
		for _, m := range list {
			if (m.Peer == "*" || m.Peer == string(peer)) && uint32(id) >= m.From && uint32(id) <= m.To {
				here = append(here, int32(m.Here+uint32(id)-m.From))
				break
			}
		}
	}
	return here
}
