// Command boot is the first program of a mach node: it brings up the network
// and serves SSH. GNU Mach starts it as its only module.
package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"

	"hurdlab/images/mach/fwcfg"
	"hurdlab/images/mach/ipstack"
	"hurdlab/images/mach/machine"
	"hurdlab/images/mach/nodeconfig"
	"hurdlab/images/mach/pci"
	"hurdlab/images/mach/pio"
	"hurdlab/images/mach/scp"
	"hurdlab/images/mach/sshd"
	"hurdlab/images/mach/store"
	"hurdlab/images/mach/virtio"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Println("hurdlab: boot failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	if err := machine.GrantPorts(0x510, 0x511); err != nil {
		return err
	}
	bus := pio.Ports{}
	b, err := fwcfg.Read(bus, nodeconfig.File, nodeconfig.MaxSize)
	if err != nil {
		return err
	}
	cfg, err := nodeconfig.Parse(b)
	if err != nil {
		return err
	}
	if err := machine.GrantPorts(pci.FirstPort, pci.LastPort); err != nil {
		return err
	}
	cards := virtio.Find(pci.Scan(bus))
	if len(cards) == 0 {
		return fmt.Errorf("no network card")
	}
	base, _ := cards[0].IOBase(0)
	if err := machine.GrantPorts(base, base+virtio.Ports-1); err != nil {
		return err
	}
	cards[0].Enable()
	irq, err := machine.OpenInterrupt(ctx, int(cards[0].IRQ()))
	if err != nil {
		return err
	}
	dev, err := virtio.Open(bus, base, irq, machine.AllocateDMA)
	if err != nil {
		return err
	}
	st, err := ipstack.New(dev, ipstack.Config{Addr: cfg.Addr, Gateway: cfg.Gateway})
	if err != nil {
		return err
	}
	go func() { fmt.Println(st.Serve(ctx)) }()
	fmt.Println(nodeconfig.MarkNetwork, cfg.Addr.Addr())
	host, err := ssh.ParsePrivateKey([]byte(cfg.HostKey))
	if err != nil {
		return err
	}
	keys, err := sshd.ParseAuthorizedKeys([]byte(cfg.AuthorizedKeys))
	if err != nil {
		return err
	}
	files := store.New(store.Heap{}, 16<<20)
	srv, err := sshd.New(sshd.Config{HostKey: host, Authorized: keys, User: cfg.User, Logf: func(f string, a ...any) { fmt.Printf(f+"\n", a...) },
		Run: func(ctx context.Context, s *sshd.Session) sshd.Exit {
			w := strings.Fields(s.Command)
			if w[0] == "scp" {
				return sshd.Exit{Status: scp.Run(files, w[1:], s.Stdin, s.Stdout)}
			}
			fmt.Fprintln(s.Stdout, s.Command)
			return sshd.Exit{Status: 3}
		}})
	if err != nil {
		return err
	}
	l, err := st.Listen(22)
	if err != nil {
		return err
	}
	fmt.Println(nodeconfig.MarkReady)
	return srv.Serve(ctx, l)
}
