package porttest

// An Ending is what must come of one way in which the program crash, below
// this package, ends.
type Ending struct {
	// Way is the program's argument.
	Way string
	// Status is its exit status.
	Status int
	// Says is a regular expression that matches its standard error.
	Says string
}

// Endings are those of all the ways that crash knows.
var Endings = []Ending{
	{"return", 0, `^$`},
	{"exit", 3, `^$`},
	{"panic", 2, `^panic: for a reason`},
	{"nil", 2, `^panic: runtime error: invalid memory address or nil pointer dereference\n\[signal EXC_BAD_ACCESS`},
	{"deadlock", 2, `all goroutines are asleep - deadlock!`},
	{"address", 2, `unexpected fault address 0x70000000`},
	{"jump", 2, `unexpected fault address 0x70000000`},
	{"stack", 2, `goroutine stack exceeds 4194304-byte limit`},
	// Whichever comes first: the limit of a stack, or the machine's.
	{"bigstack", 2, `goroutine stack exceeds|out of memory`},
	{"memory", 2, `out of memory`},
	// A fault on the scheduler's stack, which no panic can come of.
	{"system", 2, `fatal error: unexpected exception\n\[EXC_BAD_ACCESS`},
	{"foreign", 2, `exception in a thread that is not Go's`},
	// While other goroutines compute.
	{"busy", 2, `^panic: late`},
}
