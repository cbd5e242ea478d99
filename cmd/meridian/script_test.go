package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"meridian/internal/loopback"
	"meridian/internal/store/pgtest"
)

// The scripts in testdata run the real program in child processes.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"meridian": main})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Values["testing"] = t
			for _, name := range []string{"PORT", "ADMIN", "PORT2", "ADMIN2"} {
				port, err := loopback.Port()
				if err != nil {
					return err
				}
				e.Setenv(name, strconv.Itoa(port))
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ready": awaitReadyScript, "oneline": oneLine, "database": database, "pick": pick, "get": get,
		},
		RequireExplicitExec: true,
	})
}

// awaitReadyScript waits until admin_listen says that the server is ready: ready HOST:PORT
func awaitReadyScript(ts *testscript.TestScript, neg bool, args []string) {
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; time.Sleep(20 * time.Millisecond) {
		answer, err := http.Get("http://" + args[0] + "/readyz")
		if err == nil && answer.Body.Close() == nil && answer.StatusCode == http.StatusOK {
			return
		}
	}
	ts.Fatalf("%s is not ready", args[0])
}

// oneLine checks that standard error has exactly one line, with all that is
// named in it: oneline TEXT...
func oneLine(ts *testscript.TestScript, neg bool, args []string) {
	said := ts.ReadFile("stderr")
	if strings.Count(said, "\n") != 1 {
		ts.Fatalf("not one line: %q", said)
	}
	for _, part := range args {
		if !strings.Contains(said, part) {
			ts.Fatalf("%q does not say %q", said, part)
		}
	}
}

// database gives the script a PostgreSQL database of its own: database VARIABLE
func database(ts *testscript.TestScript, neg bool, args []string) {
	ts.Setenv(args[0], pgtest.URL(ts.Value("testing").(*testing.T)))
}

// pick sets a variable to a string member of the JSON object on standard output: pick VARIABLE MEMBER
func pick(ts *testscript.TestScript, neg bool, args []string) {
	said := ts.ReadFile("stdout")
	_, rest, found := strings.Cut(said, fmt.Sprintf("%q:\"", args[1]))
	if !found {
		ts.Fatalf("no %s in %s", args[1], said)
	}
	value, _, _ := strings.Cut(rest, `"`)
	ts.Setenv(args[0], value)
}

// get writes the answer to a request, its status first, to a file: get URL TOKEN FILE
func get(ts *testscript.TestScript, neg bool, args []string) {
	request, err := http.NewRequest(http.MethodGet, args[0], nil)
	ts.Check(err)
	request.Header.Set("Authorization", "Bearer "+args[1])
	answer, err := http.DefaultClient.Do(request)
	ts.Check(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(ts.MkAbs("."), args[2]), []byte(answer.Status+"\n"+string(body)), 0o600))
}
