package main

import "syscall"

// foreground puts a process group into the foreground of the terminal fd.
func foreground(fd, pgrp int) error { return syscall.Tcsetpgrp(fd, int32(pgrp)) }
