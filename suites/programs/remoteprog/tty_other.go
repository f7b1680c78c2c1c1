//go:build !hurd

package main

import "errors"

func foreground(fd, pgrp int) error { return errors.New("a program for the Hurd") }
