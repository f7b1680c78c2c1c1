package remotemount

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"hurdlab/netmsg/rights"
)

// policy is that of node2 for the specs of exports: "/" is for nobody, and who the
// others' users are here differs.
const policy = `export music /tmp/exp/music *
export hall /tmp/exp/hall node3 rogue
export file /tmp/exp/music/song *
user node1 1000 1500
user node1 2000-2009 1600
group node1 1000 1500
export all / rogue
`

var _ = Describe("an export", Ordered, ContinueOnFailure, func() {
	guarded()

	var g *gang

	BeforeAll(func(ctx SpecContext) {
		on(ctx, 2, `rm -rf /tmp/exp; mkdir -p /tmp/exp/music/deep/er /tmp/exp/hall && cd /tmp/exp &&
			echo secret > secret && echo song > music/song && echo deep > music/deep/er/note && echo hall > hall/x &&
			ln -s /etc/hostname music/absolute && ln -s ../secret music/up && ln -s ../../../../../etc/hostname music/deep/er/farup &&
			ln -s song music/beside && ln -s deep/../song music/round && ln -s .. music/parent &&
			echo root > music/root && chmod 600 music/root && mkdir music/open && chmod 1777 music/open &&
			echo mine > music/mine && chmod 600 music/mine && chown 1500 music/mine && chmod 777 music &&
			echo ours > music/ours && chmod 640 music/ours && chown 0:1500 music/ours`)
		on(ctx, 2, "cp /etc/netmsg/policy /tmp/policy && cat > /etc/netmsg/policy <<'END'\n"+policy+"END")
		DeferCleanup(func(ctx SpecContext) {
			on(ctx, 2, "mv /tmp/policy /etc/netmsg/policy")
			restart(ctx, 2)
			on(ctx, 2, "rm -rf /tmp/exp")
		})
		g = newGang(ctx, 2, enlist(ctx, 2))
		nodes.Kill(ctx, 2, "netmsg serve")
		on(ctx, 1, "mkdir -p /tmp/exp/m /tmp/exp/h; echo here > /tmp/exp/here; echo 'not so secret' > /tmp/exp/secret; settrans -a /tmp/exp/m /hurd/netmsg node2:music")
		DeferCleanup(func(ctx SpecContext) { on(ctx, 1, "settrans -fga /tmp/exp/m; rm -r /tmp/exp") })
		Eventually(ctx, func() string { return try(ctx, 1, "cat /tmp/exp/m/song").Stdout }).Should(Equal("song\n"))
	})

	DescribeTable("is not left by",
		func(ctx SpecContext, script, want string) { Expect(on(ctx, 1, script)).To(Equal(want)) },
		Entry("..: it leads to where the mount is", SpecTimeout(time.Minute), "cat /tmp/exp/m/../here", "here\n"),
		Entry(".. from below", SpecTimeout(time.Minute), "cat /tmp/exp/m/deep/er/../../../here", "here\n"),
		Entry(".. of a program that is in it", SpecTimeout(time.Minute), "cd /tmp/exp/m/deep/er && cat ../../song ../../../here", "song\nhere\n"),
		Entry("more .. than there are directories", SpecTimeout(time.Minute), "cat /tmp/exp/m/../../../../../../etc/hostname", "node1\n"),
		Entry("an absolute link: it is followed here", SpecTimeout(time.Minute), "cat /tmp/exp/m/absolute", "node1\n"),
		Entry("a link up", SpecTimeout(time.Minute), "cat /tmp/exp/m/up", "not so secret\n"),
		Entry("a link far up", SpecTimeout(time.Minute), "cat /tmp/exp/m/deep/er/farup", "node1\n"),
		Entry("a link to its parent", SpecTimeout(time.Minute), "cat /tmp/exp/m/parent/here", "here\n"),
		Entry("links within it", SpecTimeout(time.Minute), "cat /tmp/exp/m/beside /tmp/exp/m/round", "song\nsong\n"),
		Entry("its name, when it is asked for", SpecTimeout(time.Minute), "cd /tmp/exp/m/deep && pwd", "/tmp/exp/m/deep\n"),
	)

	It("may be a file", func(ctx SpecContext) {
		on(ctx, 1, "touch /tmp/exp/f; settrans -a /tmp/exp/f /hurd/netmsg node2:file")
		Expect(on(ctx, 1, "cat /tmp/exp/f; settrans -fga /tmp/exp/f")).To(Equal("song\n"))
	}, SpecTimeout(time.Minute))

	It("is there only for whom it is for", func(ctx SpecContext) {
		for export, node := range map[string]int{"hall": 1, "all": 1, "/": 1, "nothing": 1, "..": 1, "/etc": 1, "all ": 3} {
			on(ctx, node, fmt.Sprintf("mkdir -p /tmp/h; settrans -a /tmp/h /hurd/netmsg 'node2:%s'", export))
			r := try(ctx, node, "ls /tmp/h/")
			Expect(r.Ok()).To(BeFalse(), "%s: %s", export, r.Stdout)
			on(ctx, node, "settrans -fga /tmp/h")
		}
		on(ctx, 3, "settrans -a /tmp/h /hurd/netmsg node2:hall")
		Expect(on(ctx, 3, "cat /tmp/h/x; settrans -fga /tmp/h; rmdir /tmp/h")).To(Equal("hall\n"))
		on(ctx, 1, "rmdir /tmp/h")
		// The mount that the lab has made is of "/", which node2 exports no more.
		Expect(try(ctx, 3, "ls /n/node2/").Ok()).To(BeFalse())
	}, SpecTimeout(3*time.Minute))

	It("is used as who the policy says, by those who have a rule", func(ctx SpecContext) {
		nodes.NeedUsers(ctx, 1)
		// 1000 there is 1500 here.
		Expect(on(ctx, 1, "su user -c 'cat /tmp/exp/m/mine /tmp/exp/m/ours; echo new > /tmp/exp/m/open/user; cat /tmp/exp/m/open/user'")).To(Equal("mine\nours\nnew\n"))
		Expect(on(ctx, 2, "stat -c %u /tmp/exp/music/open/user")).To(Equal("1500\n"))
		Expect(try(ctx, 1, "su 2003 -c 'cat /tmp/exp/m/ours'").Stderr).To(ContainSubstring("permission denied"))
		on(ctx, 1, "su 2003 -c 'echo new > /tmp/exp/m/open/2003'")
		Expect(on(ctx, 2, "stat -c %u /tmp/exp/music/open/2003")).To(Equal("1603\n"))
		Expect(try(ctx, 1, "su 2003 -c 'cat /tmp/exp/m/mine'").Stderr).To(ContainSubstring("permission denied"))
		Expect(try(ctx, 1, "su 2003 -c 'rm -f /tmp/exp/m/open/user'").Ok()).To(BeFalse())
	}, SpecTimeout(2*time.Minute))

	It("is used as nobody by those who have none: root, too", func(ctx SpecContext) {
		on(ctx, 2, "echo new > /tmp/exp/music/open/user; chown 1500 /tmp/exp/music/open/user")
		users := []string{""}
		if try(ctx, 1, "ls /servers/password").Ok() {
			users = append(users, "su 3000 -c ")
		}
		for _, as := range users {
			do := func(script string) string {
				if as == "" {
					return script
				}
				return as + "'" + script + "'"
			}
			Expect(on(ctx, 1, do("cat /tmp/exp/m/song"))).To(Equal("song\n"), "what all may read")
			for _, script := range []string{
				"cat /tmp/exp/m/root", "cat /tmp/exp/m/mine", "echo x > /tmp/exp/m/song", "rm /tmp/exp/m/open/user",
				"chmod 777 /tmp/exp/m/root", "chown 0 /tmp/exp/m/mine", "touch /tmp/exp/m/song",
			} {
				r := try(ctx, 1, do(script))
				Expect(r.Ok()).To(BeFalse(), "%s: %s", do(script), r.Stdout)
				Expect(r.Stderr).To(SatisfyAny(ContainSubstring("permi"), ContainSubstring("denied")), "%s", do(script))
			}
		}
		Expect(on(ctx, 2, "cat /tmp/exp/music/song /tmp/exp/music/open/user")).To(Equal("song\nnew\n"))
	}, SpecTimeout(3*time.Minute))

	It("is not left by who writes the messages themselves", func(ctx SpecContext) {
		r := g.intrude(ctx)
		root := r.open("music", "")
		deep := r.open("music", "deep/er")
		// What "../secret" is for the one who has given no directory that the export
		// is mounted in: nothing.
		for _, path := range []string{"..", "../", "../secret", "../../etc/passwd", "deep/../../secret", "up", "parent/secret", "./../secret", "deep/er/../../../secret"} {
			for dir, from := range map[string]rights.ID{"root": root, "deep": deep} {
				p := path
				if dir == "deep" {
					p = "../../" + path
				}
				a, err := r.lookup(from, p, 1)
				Expect(err).NotTo(HaveOccurred())
				if a.code != 0 {
					continue
				}
				// What there is, is within the export: it has the song.
				Expect(a.rights).To(HaveLen(1))
				b, err := r.lookup(a.rights[0].ID, "song", 1)
				Expect(err).NotTo(HaveOccurred())
				Expect(b.code).To(BeZero(), "%s from the %s is outside", p, dir)
				c, err := r.lookup(a.rights[0].ID, "secret", 1)
				Expect(err).NotTo(HaveOccurred())
				Expect(c.code).NotTo(BeZero(), "%s from the %s is outside", p, dir)
			}
		}
		// An absolute link is for the client to follow, not for the server.
		a, err := r.lookup(root, "absolute", 1)
		Expect(err).NotTo(HaveOccurred())
		Expect(a.text()).To(Equal("/etc/hostname"))
		// The file system's control port, by which one would get at all of it, is not
		// for who is nobody.
		a, err = r.call(root, idFileGetcontrol, nil)
		Expect(err).NotTo(HaveOccurred())
		Expect(a.code).NotTo(BeZero())
	}, SpecTimeout(3*time.Minute))
})
