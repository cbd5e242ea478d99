package store

import (
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"

	"github.com/lib/pq"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Lost reports whether an error means that the database cannot be reached or
// cannot work now: nobody's fault who asked, and worth trying again later.
func Lost(err error) bool {
	for _, gone := range []error{driver.ErrBadConn, sql.ErrConnDone, io.EOF, io.ErrUnexpectedEOF, net.ErrClosed} {
		if errors.Is(err, gone) {
			return true
		}
	}
	var network net.Error
	var postgres *pq.Error
	var lite *sqlite.Error
	switch {
	case errors.As(err, &network):
		return true
	case errors.As(err, &postgres):
		switch postgres.Code.Class() {
		case "08", "53", "57", "58": // connection, resources, operator's intervention, system
			return true
		}
	case errors.As(err, &lite):
		switch lite.Code() & 0xff { // the rest are details
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY:
			return true
		}
	}
	return false
}
