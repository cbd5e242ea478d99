// Package journal is the only write path: Do for what people of this server
// want, Ingest for what partners send. Both run the rules in one transaction,
// append, apply and commit, and only then answer and signal. It never reads a
// clock or a socket and never decides what the rules decide.
package journal
