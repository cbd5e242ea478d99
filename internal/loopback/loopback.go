// Package loopback finds addresses on which a server of this machine can listen:
// for the demonstration, the benchmark and the tests. It never listens itself.
package loopback

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// The system gives no outgoing connection a port of this range, so that a server
// which is down gets its own again.
const first, many = 12000, 18000

// last is the port given last. Each process begins elsewhere and none is given
// twice until all have been: a port is free between its choice and its use, and
// must not be chosen again meanwhile.
var last atomic.Int64

// Port is a TCP port of 127.0.0.1 on which nobody listened a moment ago, another
// one at each call.
func Port() (int, error) {
	last.CompareAndSwap(0, 1+rand.Int64N(many))
	for range 1000 {
		port := int(first + last.Add(1)%many)
		if l, err := net.Listen("tcp", address(port)); err == nil {
			return port, l.Close()
		}
	}
	return 0, errors.New("no free port on 127.0.0.1 between 12000 and 29999: end a program that listens there")
}

// Address is 127.0.0.1 with a Port.
func Address() (string, error) {
	port, err := Port()
	return address(port), err
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
