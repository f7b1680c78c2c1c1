// Package sim proves package coherence: it runs an object with model kernels, a store,
// and somebody who reads and writes the store, all in memory and one event at a time,
// and checks after each what must always hold.
//
// A kernel does with a memory object what GNU Mach does (docs/pager.md, K1 to K9): it
// evicts clean pages without a word and dirty ones by returning them; carries out a lock
// request page by page, with faults between the pages, returning few pages a message;
// drops supplies of pages that it has, lock and all; asks once for a page that threads wait
// for; terminates, crashes, or no longer answers. What it says arrives in order, or, with
// coherence.Weak, in any. The store reads and writes when it likes, and fails at times.
// One kernel may be an enemy that has the object for reading: it says anything.
//
// # What is checked
//
//   - a page that a kernel may write to is in no other kernel (single writer, many
//     readers), and in none while somebody has taken it for writing;
//   - whatever is read, by kernels or from the store by somebody who has taken the page,
//     is what was written last (freshness), but for what died with a kernel;
//   - nothing written is lost while its kernel lives: at the end the store has it;
//   - every thread that waits for a page gets it, or an error if there was one; nobody gets
//     an answer without having asked, unless read-ahead is on;
//   - a Sync ends, and the store has what was written before it;
//   - a kernel that does not answer is cut off, and the others go on;
//   - all data is given back, once; there is never more than one load and one store of a page;
//   - when everybody has gone, nothing is left;
//   - the history of each page is linearizable, as package porcupine sees it, which knows
//     nothing of all this.
//
// TestMutants puts faults into the object and checks that each is found: the checks can
// fail. Explore tries all orders in which three kernels can see what a few accesses to two
// pages give rise to, and finds a shortest way to a failure.
//
// # Failures
//
// An episode is made of a seed: the configuration and the operations. A failing episode
// is shrunk to a few operations, and printed with all that happens.
//
//	go run ./pager/coherence/sim/cmd/pager-sim -ops 1e8 -seed 7
//	go run ./pager/coherence/sim/cmd/pager-sim -minutes 24
//	go run ./pager/coherence/sim/cmd/pager-sim -episode 0xddfcd92ab490c639
//	go run ./pager/coherence/sim/cmd/pager-sim -explore -reads 2 -writes 2 -evicts 1
package sim
