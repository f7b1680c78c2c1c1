package mach

// IdleReplyPorts counts the reply ports that wait to be used again.
func IdleReplyPorts() int {
	direct.mu.Lock()
	defer direct.mu.Unlock()
	parked.mu.Lock()
	defer parked.mu.Unlock()
	return len(direct.free) + len(parked.free)
}
