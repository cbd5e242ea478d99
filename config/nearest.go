package config

import "slices"

// nearest is the remedy for an unknown name: the known one it is closest to, if any is close.
func nearest(name string, known []string) string {
	slices.Sort(known)
	best, least := "", len(name)/3+1
	for _, k := range known {
		if d := distance(name, k); d < least {
			best, least = k, d
		}
	}
	if best == "" {
		return "; remove it (meridian init writes a file with every setting there is)"
	}
	return "; did you mean " + best + "?"
}

// distance counts the single-byte changes between a and b (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}
