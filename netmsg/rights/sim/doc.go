// Package sim proves package rights: it runs nodes of netmsg with model kernels,
// tasks and a network, all in memory and one event at a time, and checks after each
// what must always hold.
//
// Every node has a table (what is tested), an adapter that does what package bridge
// does, and a kernel that counts send rights, makes-send and send-once rights,
// queues messages, destroys messages with all rights in them, and sends
// notifications, which the adapter sees late and in any order. Records go in order
// within a session and direction, and at any time otherwise; sessions break, and
// the two ends notice apart; nodes crash and come back.
//
// # What is checked
//
// The truth travels beside the protocol: each message knows which ports its rights
// are rights to, and the tables never see it. So:
//
//   - a right denotes what it denoted when it was sent, and dies only if the port
//     dies or a loss has cut the node off; at the end a message by every right that
//     is left must arrive;
//   - a port has no senders only when no task and no message anywhere has a right to
//     it that has not been cut off by a loss;
//   - a port has one name on a node, and at home it is itself (unless it has moved
//     twice, see M8 of docs/netmsg-protocol.md);
//   - messages of a node to a port arrive in order, and without a loss all of them,
//     once;
//   - a send-once right is used or fires exactly once, whatever is lost;
//   - window and budget are kept; no node closes a session with an honest peer;
//   - the table uses no reference that it does not have, and forgets none;
//   - when all rights have been dropped nothing is left, on any node.
//
// TestMutants puts faults into the tables and checks that each is found: the checks
// can fail. Explore tries all orders in which three nodes can see what two ports and a
// few messages give rise to, and finds the shortest way to a failure.
//
// # Failures
//
// An episode is made of a seed: how many nodes, which limits, what is done how often,
// and the operations. Operations name ports and messages by numbers of their own, so
// that leaving some out does not change what the others mean: a failing episode
// is shrunk to a few, and printed with all that happens.
//
//	go run ./netmsg/rights/sim/cmd/netmsg-sim -ops 1e8 -seed 7
//	go run ./netmsg/rights/sim/cmd/netmsg-sim -episode 0xddfcd92ab490c639
//	go run ./netmsg/rights/sim/cmd/netmsg-sim -explore -sends 3 -losses 1
package sim
