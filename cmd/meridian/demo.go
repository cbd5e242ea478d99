package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"meridian/internal/loopback"
)

func demoCommand() *cobra.Command {
	var ports, dir string
	c := &cobra.Command{
		Use:   "demo",
		Short: "Two organisations in conversation, on this machine alone",
		Long: `Run two servers on loopback: Kobo in Tokyo and Havel in Berlin. Their
administrators make them partners, their people share a channel and have been
writing to each other since yesterday. Ctrl-C ends it, and removes all of it
unless --dir keeps it.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			chosen, err := choosePorts(ports)
			if err != nil {
				return err
			}
			asJSON, _ := c.Flags().GetBool("json")
			return runDemo(c.Context(), &demo{dir: dir, ports: chosen, json: asJSON, out: c.OutOrStdout(), says: c.ErrOrStderr()})
		},
	}
	jsonFlag(c)
	c.Flags().StringVar(&ports, "ports", "", "ports of Kobo and of Havel, such as 8001,8002 (default: these, or free ones)")
	c.Flags().StringVar(&dir, "dir", "", "a new directory to keep the servers in (default: a temporary one)")
	return c
}

// choosePorts reads --ports P,Q.
func choosePorts(s string) (ports [2]int, err error) {
	if s == "" {
		return [2]int{portNear(8001), portNear(8002)}, nil
	}
	for i, part := range strings.Split(s, ",") {
		n, err := strconv.Atoi(part)
		if err != nil || i > 1 || n < 1 || n > 65535 {
			return ports, fmt.Errorf("--ports: %q is not two ports; write them as 8001,8002", s)
		}
		ports[i] = n
	}
	if ports[0] == ports[1] || ports[1] == 0 {
		return ports, fmt.Errorf("--ports: %q is not two different ports; write them as 8001,8002", s)
	}
	return ports, nil
}

// portNear is the wanted port where nobody listens on it, else any other.
func portNear(wanted int) int {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(wanted)))
	if err == nil {
		defer l.Close()
		return wanted
	}
	if port, err := loopback.Port(); err == nil {
		return port
	}
	return wanted // listening will fail with the reason
}

// demo is one run of it.
type demo struct {
	dir   string
	ports [2]int
	json  bool
	out   io.Writer
	says  io.Writer // progress and what goes wrong

	clock   *storyClock
	houses  [2]*house
	channel string
	told    []toldThread
}

// setupTimeout bounds everything until the demo is ready.
const setupTimeout = 2 * time.Minute

// runDemo sets the scene, shows it, and watches until ctx is done.
func runDemo(ctx context.Context, d *demo) (err error) {
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "meridian-demo-"); err != nil {
			return fmt.Errorf("make a directory for the demo: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(d.dir)) }()
	} else if d.dir, err = newDirectory(d.dir); err != nil {
		return err
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	d.clock = newStoryClock(time.Now())
	defer func() {
		stop(nil)
		for _, h := range d.houses {
			err = errors.Join(err, h.wait())
		}
	}()
	if err := d.setUp(running, stop); err != nil {
		if ctx.Err() != nil {
			return nil // interrupted: there is nothing to say
		}
		return errors.Join(err, context.Cause(running))
	}
	if err := d.present(); err != nil {
		return err
	}
	if err := d.watch(running); err != nil && ctx.Err() == nil {
		return errors.Join(err, context.Cause(running))
	}
	return nil
}

// newDirectory refuses one that holds something: a demo begins from nothing.
func newDirectory(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return "", fmt.Errorf("--dir: %w", err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return "", fmt.Errorf("--dir: %w", err)
	}
	if len(entries) > 0 {
		return "", fmt.Errorf("--dir: %s is not empty; name a new directory (a kept demo runs on with meridian serve --config %s)", path, filepath.Join(path, "kobo", "meridian.yaml"))
	}
	return path, nil
}

// setUp opens both houses, makes them partners and has their people converse.
func (d *demo) setUp(ctx context.Context, stop context.CancelCauseFunc) error {
	running := ctx
	ctx, cancel := context.WithTimeoutCause(ctx, setupTimeout, errors.New("the demo was not ready within two minutes; is the machine very busy?"))
	defer cancel()
	for i, o := range []organisation{kobo(), havel()} {
		h, err := d.open(ctx, o, d.ports[i])
		if err == nil {
			d.houses[i] = h
			h.run(running, stop)
			err = h.populate(ctx)
		}
		if err != nil {
			return fmt.Errorf("open %s's server: %w", o.title, err)
		}
		fmt.Fprintf(d.says, "%s in %s runs at %s\n", o.title, o.city, h.url)
	}
	for _, act := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"make the two partners", d.befriend},
		{"make the channel", d.makeChannel},
		{"tell the story", d.tell},
	} {
		if err := act.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", act.what, err)
		}
	}
	d.clock.now()
	return nil
}

// demoReady is what --json prints.
type demoReady struct {
	Servers []demoServer `json:"servers"`
	Channel demoChannel  `json:"channel"`
}

type demoServer struct {
	Name     string       `json:"name"`
	URL      string       `json:"url"`
	AdminURL string       `json:"admin_url"`
	Config   string       `json:"config"`
	People   []demoPerson `json:"people"`
}

type demoPerson struct {
	Address  string `json:"address"`
	Name     string `json:"name"`
	Password string `json:"password"`
	Token    string `json:"token"`
}

type demoChannel struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Threads []demoThread `json:"threads"`
}

type demoThread struct {
	ID    string `json:"id"`
	Title string `json:"title"`
}

func (d *demo) ready() demoReady {
	r := demoReady{Channel: demoChannel{ID: d.channel, Name: storyChannel}}
	for _, h := range d.houses {
		r.Servers = append(r.Servers, demoServer{Name: h.title, URL: h.url, AdminURL: h.adminURL, Config: h.config, People: h.signedIn})
	}
	for _, t := range d.told {
		r.Channel.Threads = append(r.Channel.Threads, demoThread{ID: t.id, Title: t.title})
	}
	return r
}

func (d *demo) present() error {
	if d.json {
		out := json.NewEncoder(d.out)
		out.SetEscapeHTML(false)
		return out.Encode(d.ready())
	}
	return d.welcome()
}
