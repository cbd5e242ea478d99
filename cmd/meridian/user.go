package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"meridian/api"
	"meridian/server"
)

func userCommand() *cobra.Command {
	c := &cobra.Command{Use: "user", Short: "Add, disable and erase people of this server, and give them passwords"}
	c.AddCommand(userAddCommand(), userPasswordCommand(), userDisableCommand(), userEraseCommand())
	return c
}

// addedUser is a person with the password that was made for them, if one was.
type addedUser struct {
	server.Account
	Password string `json:"password,omitempty"`
}

func userAddCommand() *cobra.Command {
	var in server.NewAccount
	var fromStdin bool
	c := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a person, with a password made here or read from standard input",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in.Name = args[0]
			password, made, err := newPassword(c, fromStdin)
			if err != nil {
				return err
			}
			if in.Hash, err = api.HashPassword(password); err != nil {
				return err
			}
			added := addedUser{Password: made}
			err = attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "people.add", in, &added.Account)
			})
			if err != nil {
				return err
			}
			return report(c, added, func(w io.Writer) { userWords(w, added) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	c.Flags().BoolVar(&in.Admin, "admin", false, "may administer people and partners")
	passwordFlag(c, &fromStdin)
	c.Flags().StringVar(&in.Shown, "show-as", "", "the name that others see (default NAME)")
	c.Flags().StringVar(&in.Zone, "zone", "", "time zone, such as Europe/Berlin")
	return c
}

// newPassword is read from standard input, or made here and to be shown.
func newPassword(c *cobra.Command, fromStdin bool) (password, made string, err error) {
	if !fromStdin {
		made = rand.Text()
		return made, made, nil
	}
	if f, ok := c.InOrStdin().(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprint(c.ErrOrStderr(), "Password: ")
		typed, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(c.ErrOrStderr())
		return string(typed), "", err
	}
	password, err = readPassword(c.InOrStdin())
	return password, "", err
}

// maxPasswordLine bounds what is read, in bytes.
const maxPasswordLine = 4096

func readPassword(r io.Reader) (string, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxPasswordLine))
	if err != nil {
		return "", fmt.Errorf("--password-stdin: %w", err)
	}
	line, _, _ := strings.Cut(string(raw), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", errors.New("--password-stdin: standard input is empty; write the password to it")
	}
	return line, nil
}

func userPasswordCommand() *cobra.Command {
	var fromStdin bool
	c := &cobra.Command{
		Use:   "password NAME",
		Short: "Give a person a new password and end all their sessions",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			password, made, err := newPassword(c, fromStdin)
			if err != nil {
				return err
			}
			in := server.NewPassword{Name: args[0]}
			if in.Hash, err = api.HashPassword(password); err != nil {
				return err
			}
			changed := addedUser{Password: made}
			err = attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "people.password", in, &changed.Account)
			})
			if err != nil {
				return err
			}
			return report(c, changed, func(w io.Writer) { userWords(w, changed) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	passwordFlag(c, &fromStdin)
	return c
}

func userWords(w io.Writer, u addedUser) {
	fmt.Fprintln(w, u.Address)
	if u.Password != "" {
		fmt.Fprintln(w, "password:", u.Password, "(shown this once)")
	}
}

func passwordFlag(c *cobra.Command, fromStdin *bool) {
	c.Flags().BoolVar(fromStdin, "password-stdin", false, "read the password from the first line of standard input, unseen on a terminal")
}

func userDisableCommand() *cobra.Command {
	return userEnd("disable", "people.disable", "is disabled", "Keep a person from signing in and end all their sessions")
}

func userEraseCommand() *cobra.Command {
	return userEnd("erase", "people.erase", "is erased", "Erase a person with all that they wrote, at every partner and for good")
}

// userEnd is a command that ends something for a person; done says what.
func userEnd(verb, operation, done, short string) *cobra.Command {
	c := &cobra.Command{
		Use:   verb + " NAME",
		Short: short,
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var account server.Account
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, operation, server.Named{Name: args[0]}, &account)
			})
			if err != nil {
				return err
			}
			return report(c, account, func(w io.Writer) { fmt.Fprintln(w, account.Address, done) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	return c
}

func tokenCommand() *cobra.Command {
	c := &cobra.Command{Use: "token", Short: "Make tokens for clients"}
	create := tokenCreateCommand()
	c.AddCommand(create)
	return c
}

func tokenCreateCommand() *cobra.Command {
	in := server.TokenFor{Label: "command line"}
	c := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a token that acts for a person",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			in.Name = args[0]
			var issued server.IssuedToken
			err := attach(c, func(client *http.Client) error {
				return server.Call(c.Context(), client, "tokens.create", in, &issued)
			})
			if err != nil {
				return err
			}
			return report(c, issued, func(w io.Writer) { fmt.Fprintln(w, issued.Token) })
		},
	}
	configFlag(c)
	jsonFlag(c)
	c.Flags().BoolVar(&in.Bot, "bot", false, "for a program; makes a bot account where nobody has the name")
	return c
}
