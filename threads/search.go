package threads

// Hit is one thing that a search found.
type Hit struct {
	Thread  ThreadRecord
	Message *MessageRecord // nil where the thread's own title or objective was found
}
