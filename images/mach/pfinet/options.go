package pfinet

import (
	"flag"
	"fmt"
	"net"
	"net/netip"
	"sync"

	"hurdlab/images/mach/ipstack"
)

// Options are those of the command line and of fsysopts (section 6.3):
//
//	--interface=MAC --address=A --netmask=M --gateway=A
//
// and their short forms -i, -a, -m and -g. The interface is the card, by its
// address or as eth0; it cannot be changed later. An empty value is none.
type Options struct {
	mu        sync.Mutex
	stack     *ipstack.Stack
	card      net.HardwareAddr
	addr      netip.Addr
	mask      netip.Addr
	gateway   netip.Addr
	ifaceText string
}

// Flags declares the options.
func (o *Options) Flags(set *flag.FlagSet) {
	ip := func(name, short, usage string, to *netip.Addr) {
		f := &option{set: func(s string) error { return o.setAddr(to, s) }, get: func() string { return o.text(to) }}
		set.Var(f, name, usage)
		set.Var(alias{f}, short, "short for --"+name)
	}
	iface := &option{set: o.setCard, get: func() string {
		o.mu.Lock()
		defer o.mu.Unlock()
		return o.ifaceText
	}}
	set.Var(iface, "interface", "the network card: its Ethernet `address`, or eth0 for the first")
	set.Var(alias{iface}, "i", "short for --interface")
	ip("address", "a", "IPv4 `address`", &o.addr)
	ip("netmask", "m", "`mask` of the network", &o.mask)
	ip("gateway", "g", "`address` of the default route", &o.gateway)
}

// Card returns the card's address, nil for the first.
func (o *Options) Card() net.HardwareAddr {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.card
}

// Use gives the addresses to a stack, now and whenever they are set.
func (o *Options) Use(s *ipstack.Stack) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.stack = s
	return o.apply()
}

// apply tells the stack. An address without a mask has that of its class, as
// in the old days.
func (o *Options) apply() error {
	if o.stack == nil {
		return nil
	}
	var c ipstack.Config
	if o.addr.IsValid() {
		n := class(o.addr)
		if o.mask.IsValid() {
			var err error
			if n, err = bits(o.mask); err != nil {
				return fmt.Errorf("netmask %s: %w", o.mask, err)
			}
		}
		c.Addr = netip.PrefixFrom(o.addr, n)
		if o.gateway.IsValid() && c.Addr.Contains(o.gateway) {
			c.Gateway = o.gateway
		}
	}
	return o.stack.Configure(c)
}

func class(a netip.Addr) int {
	switch b := a.As4()[0]; {
	case b < 128:
		return 8
	case b < 192:
		return 16
	}
	return 24
}

func (o *Options) setAddr(to *netip.Addr, s string) error {
	var a netip.Addr
	if s != "" {
		var err error
		if a, err = netip.ParseAddr(s); err != nil {
			return err
		}
		if !a.Is4() {
			return fmt.Errorf("%s is not an IPv4 address", a)
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	old := *to
	*to = a
	err := o.apply()
	if err != nil {
		*to = old
	}
	return err
}

func (o *Options) text(a *netip.Addr) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func (o *Options) setCard(s string) error {
	var card net.HardwareAddr
	if s != "" && s != "eth0" && s != "/dev/eth0" {
		var err error
		if card, err = net.ParseMAC(s); err != nil {
			return err
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.stack != nil && s != o.ifaceText {
		return fmt.Errorf("the interface is %q: another needs another pfinet", o.ifaceText)
	}
	o.card, o.ifaceText = card, s
	return nil
}

// An option is a [flag.Value].
type option struct {
	set func(string) error
	get func() string
}

func (o *option) Set(s string) error { return o.set(s) }

func (o *option) String() string {
	if o.get == nil {
		return "" // as package flag makes one
	}
	return o.get()
}

// alias is another name of an option, under which it is not told.
type alias struct{ *option }

func (alias) String() string { return "" }
