package main

import (
	"container/heap"
	"fmt"
)

// A Task is something to run when what it needs has been run.
type Task struct {
	Name  string   `json:"name"`
	Needs []string `json:"needs,omitempty"`
	// Commands are run in the tree, one after the other, until one fails. $TREE in
	// their arguments is the name of the tree's directory.
	Commands [][]string `json:"commands"`
	// Inputs are the files of the tree that they read, and Outputs those that they
	// write: names in the tree.
	Inputs  []string `json:"inputs,omitempty"`
	Outputs []string `json:"outputs,omitempty"`
	// Work is a directory in the tree that only this task has, while it runs.
	Work string `json:"work,omitempty"`
	// Cost is how long it takes, roughly, in any unit.
	Cost float64 `json:"cost,omitempty"`
	// Here is that it is to run on this node.
	Here bool `json:"here,omitempty"`
}

// A graph says which tasks can be run. What is most urgent is first: the one after which
// most is left to be done, one after the other.
type graph struct {
	tasks []*Task
	users [][]int // who needs it
	waits []int   // for so many
	left  int     // tasks that have not been done

	// The tasks that can be run, as a heap.
	urgency []float64
	list    []int
}

// newGraph checks the tasks: names are their own, needs are there, and nothing needs
// itself.
func newGraph(tasks []*Task) (*graph, error) {
	n := len(tasks)
	g := &graph{tasks: tasks, users: make([][]int, n), waits: make([]int, n), left: n, urgency: make([]float64, n)}
	index := make(map[string]int, n)
	for i, t := range tasks {
		if _, ok := index[t.Name]; ok {
			return nil, fmt.Errorf("two tasks are called %s", t.Name)
		}
		index[t.Name] = i
	}
	for i, t := range tasks {
		for _, need := range t.Needs {
			k, ok := index[need]
			if !ok {
				return nil, fmt.Errorf("%s needs %s, which is no task", t.Name, need)
			}
			g.users[k] = append(g.users[k], i)
			g.waits[i]++
		}
	}
	// In the order of needs, to see that there is one; then back, for the urgency.
	var sorted []int
	waits := append([]int(nil), g.waits...)
	for i := range tasks {
		if waits[i] == 0 {
			sorted = append(sorted, i)
		}
	}
	for k := 0; k < len(sorted); k++ {
		for _, u := range g.users[sorted[k]] {
			if waits[u]--; waits[u] == 0 {
				sorted = append(sorted, u)
			}
		}
	}
	if len(sorted) < n {
		for i, w := range waits {
			if w > 0 {
				return nil, fmt.Errorf("%s needs itself, or what does", tasks[i].Name)
			}
		}
	}
	for k := n - 1; k >= 0; k-- {
		i := sorted[k]
		for _, u := range g.users[i] {
			g.urgency[i] = max(g.urgency[i], g.urgency[u])
		}
		g.urgency[i] += max(tasks[i].Cost, 0.001)
	}
	for _, i := range sorted {
		if g.waits[i] == 0 {
			heap.Push(g, i)
		}
	}
	return g, nil
}

// next takes the most urgent task that can be run; ok is false if there is none.
func (g *graph) next() (i int, ok bool) {
	if len(g.list) == 0 {
		return 0, false
	}
	return heap.Pop(g).(int), true
}

// done says that a task has been run.
func (g *graph) done(i int) {
	g.left--
	for _, u := range g.users[i] {
		if g.waits[u]--; g.waits[u] == 0 {
			heap.Push(g, u)
		}
	}
}

// The methods of a heap.

func (g *graph) Len() int { return len(g.list) }
func (g *graph) Less(a, b int) bool {
	x, y := g.list[a], g.list[b]
	return g.urgency[x] > g.urgency[y] || g.urgency[x] == g.urgency[y] && x < y
}
func (g *graph) Swap(a, b int) { g.list[a], g.list[b] = g.list[b], g.list[a] }
func (g *graph) Push(x any)    { g.list = append(g.list, x.(int)) }
func (g *graph) Pop() any {
	x := g.list[len(g.list)-1]
	g.list = g.list[:len(g.list)-1]
	return x
}
