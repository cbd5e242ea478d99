package store

import "database/sql"

// Databases are the connection pools by name, for their statistics: "read" and
// "write", on PostgreSQL both in one, "all".
func (s *Store) Databases() map[string]*sql.DB {
	if s.postgres {
		return map[string]*sql.DB{"all": s.readers.DB}
	}
	return map[string]*sql.DB{"read": s.readers.DB, "write": s.writers.DB}
}
