// Package threads is the rule book of Meridian: what an event is, what may
// happen in a conversation, and what it means.
//
// Everything in it is a pure function of its arguments. It never reads a
// clock, a file, a socket or a database, never starts a goroutine and never
// draws a random number: instants and random bytes are handed to it.
package threads

// RulesVersion names these rules in state hashes: hashes are comparable only
// between replicas that computed them under one version.
const RulesVersion = 1
