package threads

// Fence is the right to do a step that one node of the organisation does at a
// time, as it was given: whoever has it later has a greater Number. The zero
// Fence guards nothing, where one process has the database to itself.
type Fence struct {
	Step   string
	Number int64
}
