//go:build unix && !linux

package sim_test

import "syscall"

// childAttributes keep a terminal's Ctrl-C from servers.
func childAttributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
