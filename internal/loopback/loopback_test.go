package loopback

import (
	"net"
	"testing"
)

func TestNoAddressIsGivenTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 300 {
		a, err := Address()
		if err != nil {
			t.Fatal(err)
		}
		if seen[a] {
			t.Fatalf("%s twice", a)
		}
		seen[a] = true
	}
}

func TestWhereSomebodyListensIsPassedOver(t *testing.T) {
	port, err := Port()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", address(port+1))
	if err != nil {
		t.Skip("somebody else listens there already")
	}
	defer l.Close()
	if next, err := Port(); err != nil || next == port+1 {
		t.Errorf("port %d, %v", next, err)
	}
}
