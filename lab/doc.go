// Package lab runs labs: two or more nodes in virtual machines, on a network
// that the lab controls. The command hurdlab and the test suites use it.
//
// [Up] turns a [Spec] into a running [Lab], [Open] finds one that runs, and a
// lab gives its nodes: programs are run on a [Node] by SSH, files copied both
// ways, its console read, its power cut. The network's faults are in [Net].
//
// A lab lives in a daemon of its own (package labd), which outlives the
// program that started it; package lab is what talks to it, and knows what
// the daemon does not need to: images, keys, this host, and how to explain a
// lab that has died (package state). Below are qemu, a machine, and vnet, the
// network. docs/lab.md tells the whole story.
//
// The daemon is started from the program that calls Up, so that it is always
// of the same version. Therefore every such program, test programs too, calls
// [RunDaemon] before anything else:
//
//	func TestMain(m *testing.M) {
//		lab.RunDaemon()
//		os.Exit(m.Run())
//	}
package lab
