package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
)

// Machine is where figures were measured. What the system does not tell is empty.
type Machine struct {
	CPU         string `json:"cpu"`
	Cores       int    `json:"cores"`
	MemoryBytes int64  `json:"memory_bytes"`
	System      string `json:"system"`
	Go          string `json:"go"`
	Store       string `json:"store"`
	// FileSystem is the kind that holds the servers' data.
	FileSystem string `json:"file_system"`
	// LoadAverage is that of the minute before the first figure: others at work
	// make all figures worse.
	LoadAverage float64 `json:"load_average"`
}

func describe(dir string, s store) Machine {
	m := Machine{
		CPU: field("/proc/cpuinfo", "model name"), Cores: runtime.NumCPU(), System: runtime.GOOS + "/" + runtime.GOARCH,
		Go: runtime.Version(), Store: s.about, FileSystem: fileSystem(dir),
	}
	m.MemoryBytes = kilobytes(field("/proc/meminfo", "MemTotal"))
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.System += " " + strings.TrimSpace(string(release))
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m.LoadAverage, _ = strconv.ParseFloat(strings.Fields(string(load))[0], 64)
	}
	return m
}

// field is the value of the first line "name : value" of a file below /proc.
func field(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if key, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// kilobytes turns "123 kB" into bytes.
func kilobytes(s string) int64 {
	n, err := strconv.ParseInt(strings.TrimSuffix(s, " kB"), 10, 64)
	if err != nil {
		return 0
	}
	return n << 10
}

// fileSystem is the type of the mount that dir is in.
func fileSystem(dir string) string {
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return ""
	}
	kind, at := "", ""
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) > 2 && strings.HasPrefix(dir+"/", strings.TrimSuffix(f[1], "/")+"/") && len(f[1]) >= len(at) {
			at, kind = f[1], f[2]
		}
	}
	return kind
}

// residentBytes is the resident set of a process (proc(5), VmRSS).
func residentBytes(pid int) (int64, error) {
	n := kilobytes(field(fmt.Sprintf("/proc/%d/status", pid), "VmRSS"))
	if n == 0 {
		return 0, fmt.Errorf("read the memory of process %d: /proc does not tell it", pid)
	}
	return n, nil
}
