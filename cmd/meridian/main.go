// Command meridian runs and administers a Meridian server. It reads flags,
// calls what does the work and prints what came of it; it decides nothing.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"meridian/threads"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	if err := newRoot().ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "meridian:", inOneLine(err))
		os.Exit(1)
	}
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "meridian",
		Short: "Threaded conversations between organisations, each on its own server",
		Long: `Meridian keeps threaded, unhurried conversations between organisations.
Each runs its own server; channels they share are replicated by signed federation.

  meridian demo     two organisations in conversation on this machine
  meridian init     what a server of your own needs`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		demoCommand(), initCommand(), serveCommand(),
		userCommand(), tokenCommand(), partnerCommand(), clockCommand(), keysCommand(),
		importCommand(), verifyCommand(), rebuildCommand(),
		backupCommand(), restoreCommand(), dbCommand(),
		benchCommand(), versionCommand(), healthcheckCommand(),
	)
	return root
}

// inOneLine is an error as people read it: the place and the text of a refusal
// rather than its code, and no line breaks.
func inOneLine(err error) string {
	text := err.Error()
	var refused *threads.Error
	if errors.As(err, &refused) {
		text = strings.TrimPrefix(refused.Field+" "+refused.Text, "/")
	}
	return strings.Join(strings.Fields(text), " ")
}
