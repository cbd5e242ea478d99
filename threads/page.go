package threads

// MaxPage is how many items a page has at most, and how many it has when its
// Limit is 0.
const (
	MaxPage     = 200
	DefaultPage = 50
)

// Page asks for one page of a list.
type Page struct {
	After string // the cursor that came with the page before, "" for the first
	Limit int    // items at most: DefaultPage for 0, never more than MaxPage
}

// Size is the number of items that the page has at most.
func (p Page) Size() int {
	if p.Limit <= 0 {
		return DefaultPage
	}
	return min(p.Limit, MaxPage)
}
