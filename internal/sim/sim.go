// Package sim runs several servers under a seeded, faulty, lying network and
// holds them to the properties of the protocol. All of it is tests: nothing
// imports it, and no part of it is in the binary.
package sim
