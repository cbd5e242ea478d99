package sim_test

import "syscall"

// childAttributes keep a terminal's Ctrl-C from servers, and let none outlive a
// test process that was killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
