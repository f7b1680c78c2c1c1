package door

import (
	"slices"
	"strings"
	"testing"

	"hurdlab/netmsg/rights"
)

const example = `
# what is exported
export / / *
export music /home/user/music node2 node3  # theirs only
user node2 0 0
user node2 1000 1001
user * 1000-1999 3000
group * 100 100
`

func TestPolicy(t *testing.T) {
	p, err := ParsePolicy(strings.NewReader(example))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer  string
		ids   []int32
		users []int32
	}{
		{"node2", []int32{0, 1000, 1001, 5}, []int32{0, 1001, 3001}},
		{"node3", []int32{0, 1000, 1999, 2000}, []int32{3000, 3999}},
		{"node3", []int32{-1, -1 << 31}, nil},
	} {
		if got := Map(p.Users, "node", nil); len(got) != 0 {
			t.Errorf("of no ids: %v", got)
		}
		if got := Map(p.Users, nodeID(c.peer), c.ids); !slices.Equal(got, c.users) {
			t.Errorf("users %v of %s are %v, want %v", c.ids, c.peer, got, c.users)
		}
	}
	for _, c := range []struct{ peer, name, path string }{
		{"node9", "", "/"}, {"node9", "/", "/"}, {"node2", "music", "/home/user/music"}, {"node9", "music", ""}, {"node2", "/etc", ""},
	} {
		e, ok := p.Find(nodeID(c.peer), c.name)
		if ok != (c.path != "") || e.Path != c.path {
			t.Errorf("%q for %s is %+v, want %q", c.name, c.peer, e, c.path)
		}
	}
}

func TestPolicyErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"export / /", "line 1: export NAME PATH PEER..."},
		{"\nexport x y *", "line 2: export x: y does not begin with a slash"},
		{"export x /y *\nexport x /z *", "there is one already"},
		{"user * 1 2 3", "there are 5 words"},
		{"user * 5-4 1", "is no range"},
		{"user * 0-9 0", "only one id can be root"},
		{"user * a 1", `"a" is not an id`},
		{"user * -1 1", `"" is not an id`},
		{"user * 1 4294967295", "is not an id"},
		{"user * 1-1000 2147483647", "does not fit"},
		{"allow everything", "a rule begins with"},
		{strings.Repeat("\n", maxRules+1), "more than 4096 lines"},
	} {
		if _, err := ParsePolicy(strings.NewReader(c.text)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.text, err, c.want)
		}
	}
}

func TestNobodyIsRootByDefault(t *testing.T) {
	p := Default()
	if got := Map(p.Users, "node2", []int32{0, 1000}); len(got) != 0 {
		t.Errorf("users are %v", got)
	}
	p, err := ReadPolicy(t.TempDir() + "/none")
	if err != nil || len(p.Users)+len(p.Groups) != 0 {
		t.Errorf("%+v, %v", p, err)
	}
}

func nodeID(s string) rights.NodeID { return rights.NodeID(s) }

func FuzzPolicy(f *testing.F) {
	f.Add(example)
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePolicy(strings.NewReader(s))
		if err != nil {
			return
		}
		// What is root here is one id of a peer, said so.
		for _, m := range p.Users {
			if m.Here == 0 && m.From != m.To || m.To < m.From {
				t.Errorf("%+v", m)
			}
		}
		p.Find("node2", "x")
		Map(p.Users, "node2", []int32{0, 1, -1})
	})
}
