package mach

import (
	"time"

	"hurdlab/mach/wire"
)

// A HostInfo describes the machine.
type HostInfo struct {
	MaxCPUs, CPUs    int
	Memory           uintptr // bytes of physical memory
	CPUType, Subtype int
}

// HostBasicInfo describes the machine.
func HostBasicInfo(host Port) (HostInfo, error) {
	const words = 1024
	r := begin("host_info", 2638)
	r.PutInt32(1) // HOST_BASIC_INFO
	r.PutInt32(words)
	if err := r.call(host); err != nil {
		return HostInfo{}, err
	}
	f := fieldsOf(r.TakeInt32s(words))
	info := HostInfo{MaxCPUs: f.int(), CPUs: f.int(), Memory: f.word(), CPUType: f.int(), Subtype: f.int()}
	return info, r.endInfo(f)
}

// A HostLoad is how busy the machine is: averages over 5, 30 and 60 seconds,
// in thousandths.
type HostLoad struct{ Average, MachFactor [3]int }

// HostLoadInfo tells how busy the machine is.
func HostLoadInfo(host Port) (HostLoad, error) {
	const words = 1024
	r := begin("host_info", 2638)
	r.PutInt32(4) // HOST_LOAD_INFO
	r.PutInt32(words)
	if err := r.call(host); err != nil {
		return HostLoad{}, err
	}
	f := fieldsOf(r.TakeInt32s(words))
	l := HostLoad{[3]int{f.int(), f.int(), f.int()}, [3]int{f.int(), f.int(), f.int()}}
	return l, r.endInfo(f)
}

// HostKernelVersion returns the kernel's description of itself.
func HostKernelVersion(host Port) (string, error) {
	r := begin("host_get_kernel_version", 2646)
	if err := r.call(host); err != nil {
		return "", err
	}
	s := r.TakeString()
	return s, r.end()
}

// HostTime returns the wall clock of the kernel.
func HostTime(host Port) (time.Time, error) {
	d, err := takeTime(begin("host_get_time64", 2643), host)
	return time.Unix(0, int64(d)), err
}

// HostUptime returns the time since the kernel started.
func HostUptime(host Port) (time.Duration, error) {
	return takeTime(begin("host_get_uptime64", 2647), host)
}

// HostSetTime sets the wall clock of the kernel.
func HostSetTime(hostPriv Port, t time.Time) error {
	r := begin("host_set_time64", 2644)
	r.putTime(t.Unix(), int64(t.Nanosecond()))
	return r.do(hostPriv)
}

// HostAdjustTime makes the wall clock run faster or slower until it has
// gained d, and returns what was outstanding of the adjustment before.
func HostAdjustTime(hostPriv Port, d time.Duration) (old time.Duration, err error) {
	r := begin("host_adjust_time64", 2645)
	// The kernel wants nanoseconds of 0 to 1e9.
	s := int64(d.Truncate(time.Second) / time.Second)
	ns := int64(d % time.Second)
	if ns < 0 {
		s, ns = s-1, ns+int64(time.Second)
	}
	r.putTime(s, ns)
	return takeTime(r, hostPriv)
}

// The kernel's time is {seconds, nanoseconds} of 64 bits each, declared as
// 32-bit integers in the 32-bit layout.

func (r routine) putTime(s, ns int64) {
	if r.Layout() == wire.Layout64 {
		r.PutInt64s(s, ns)
	} else {
		r.PutInt32s(int32(s), int32(s>>32), int32(ns), int32(ns>>32))
	}
}

func takeTime(r routine, host Port) (time.Duration, error) {
	if err := r.call(host); err != nil {
		return 0, err
	}
	var s, ns int64
	if r.Layout() == wire.Layout64 {
		x := append(r.TakeInt64s(2), 0, 0)
		s, ns = x[0], x[1]
	} else {
		f := fieldsOf(r.takeExactly(4))
		s, ns = f.int64(), f.int64()
	}
	return time.Duration(s)*time.Second + time.Duration(ns), r.end()
}

// How [HostReboot] goes about it.
const (
	Reboot = 0
	Halt   = 8
)

// HostReboot restarts or halts the machine. It does not return if it
// succeeds.
func HostReboot(hostPriv Port, how int) error {
	r := begin("host_reboot", 2635)
	r.PutInt32(int32(how))
	return r.do(hostPriv)
}

// HostProcessors returns send rights to the processors of the machine.
func HostProcessors(hostPriv Port) ([]Port, error) {
	r := begin("host_processors", 2600)
	if err := r.call(hostPriv); err != nil {
		return nil, err
	}
	p, _ := r.TakeRights(-1)
	return p, r.end()
}

// ProcessorSetDefault returns the name port of the set of all processors,
// a send right.
func ProcessorSetDefault(host Port) (Port, error) {
	r := begin("processor_set_default", 2606)
	if err := r.call(host); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// HostProcessorSetPriv returns the control port of a processor set that name
// names, a send right.
func HostProcessorSetPriv(hostPriv, name Port) (Port, error) {
	r := begin("host_processor_set_priv", 2630)
	r.PutRight(name, CopySend)
	if err := r.call(hostPriv); err != nil {
		return Null, err
	}
	p := r.TakeSend()
	return p, r.end()
}

// ProcessorSetTasks returns send rights to all tasks of a processor set, by
// its control port.
func ProcessorSetTasks(set Port) ([]Port, error) {
	r := begin("processor_set_tasks", 2627)
	if err := r.call(set); err != nil {
		return nil, err
	}
	p, _ := r.TakeRights(-1)
	return p, r.end()
}
