.PHONY: outages orders proxies run check lint test race bench sim import replay kill nodes failover removal powercut disk bounds migrate deep week fuzz reproducible upgrade

# What a newcomer runs first: two organisations in conversation on this machine.
run:
	go run ./cmd/meridian demo

# What must pass before anything lands. PostgreSQL's tests say what is missing where there is none.
check: lint test race

lint:
	@unformatted=$$(go tool gofumpt -l .) && [ -z "$$unformatted" ] || { \
		echo "not formatted; run: go tool gofumpt -w $$unformatted"; exit 1; }
	go vet ./...
	go tool staticcheck ./...

test:
	go test -timeout 25m ./...

# The race detector needs a C compiler: without one the pass is left out, but never where CI is set.
race:
	@if command -v "$$(go env CC)" >/dev/null; then \
		echo "go test -race -short ./..."; CGO_ENABLED=1 go test -race -short -timeout 25m ./...; \
	elif [ -n "$$CI" ]; then \
		echo "no C compiler for the race detector; install one (Debian: apt-get install gcc libc6-dev)"; exit 1; \
	else \
		echo "race pass left out: it needs a C compiler (Debian: apt-get install gcc libc6-dev)"; \
	fi

# The speed table of docs/performance.md. ARGS="--only post_rate --json" and the like are passed on.
bench:
	go run ./cmd/meridian bench $(ARGS)

# Seeded simulations on all cores for MINUTES; each run goes on where the last one stopped, as .sim/
# remembers. A range with a failing seed comes first the next time.
MINUTES ?= 60
sim:
	@mkdir -p .sim
	go test ./internal/sim -run TestCampaign -count=1 -timeout 0 -v -args -sim.minutes=$(MINUTES) -sim.state="$(CURDIR)/.sim" \
		| grep -v '^ *\(=== \|--- PASS\)'

# Links that break for up to ten minutes while people go on, OUTAGES of them, in simulated time.
OUTAGES ?= 300
outages:
	go test ./internal/sim -run TestOutagesOfLinks -count=1 -timeout 0 -v -args -sim.outages=$(OUTAGES)

# Histories full of changes of members, brought in ORDERS orders and batches.
ORDERS ?= 10000
orders:
	go test ./internal/sim -run TestMembershipEnds -count=1 -timeout 0 -v -args -sim.orders=$(ORDERS)

# Campaigns with three real servers, two on SQLite and one on PostgreSQL.
PROCESSES = go test ./internal/sim -count=1 -timeout 2h -v

# A mailing-list archive imported on one server, the same at all: make import MBOX=FILE
import:
	@[ -f "$(MBOX)" ] || { echo "make import MBOX=FILE: name a mailing-list archive"; exit 1; }
	$(PROCESSES) -run TestAnImportedArchive -args -process.mbox="$(abspath $(MBOX))"

# The archive lived through again, each server stopped a third of the time: make replay MBOX=FILE
replay:
	@[ -f "$(MBOX)" ] || { echo "make replay MBOX=FILE: name a mailing-list archive"; exit 1; }
	$(PROCESSES) -run TestAReplayedArchive -args -process.mbox="$(abspath $(MBOX))"

# Servers killed under load: KILLS=N times.
KILLS ?= 50
kill:
	$(PROCESSES) -run TestServersKilledUnderLoad -args -process.kills=$(KILLS)

# Three nodes of one organisation on one PostgreSQL, killed and stopped under load: KILLS=N times.
nodes:
	$(PROCESSES) -run TestNodesKilledAndStopped -args -process.nodes=$(KILLS)

# A database of the first version brought up to date, the program killed meanwhile: KILLS=N times on
# each kind of database.
migrate:
	$(PROCESSES) -run TestAMigrationThatIsKilled -args -process.migrations=$(KILLS)

# Three servers under load brought from an earlier program to this one, one by one: FROM=COMMIT.
FROM ?= HEAD~150
upgrade:
	$(PROCESSES) -run TestARollingUpgrade -args -process.upgrade=$(FROM)

# A server and a person removed while cut off.
removal:
	$(PROCESSES) -run TestWhatWasWrittenBeyond

# The power cut under load, CUTS times on each database, on a file system of which only what was
# asked for reaches the disk. Needs root and loop devices.
CUTS ?= 300
powercut:
	$(PROCESSES) -run TestPowerCuts -args -process.cuts=$(CUTS)

# Calls to the disk that fail under load, FAULTS of each kind, and a disk that fills up. Needs root
# and strace.
FAULTS ?= 200
disk:
	$(PROCESSES) -run 'TestDiskErrors|TestAFullDisk' -args -process.faults=$(FAULTS)

# A real server besieged from outside: slow, many and malformed connections, and what is left for others.
bounds:
	$(PROCESSES) -run 'TestWhoIsSlow|TestStrangersLeave|TestFloodsOfFrames|TestAFloodOfEvents' -args -process.bounds

# A database's primary killed under load and its synchronous standby promoted, FAILOVERS times.
FAILOVERS ?= 100
failover:
	$(PROCESSES) -run TestASynchronousStandby -args -process.failovers=$(FAILOVERS)

# Real proxies in front of servers, and requests that could be read in two ways (Debian: nginx-light haproxy).
proxies:
	go test ./server -run TestRealProxies -count=1 -v -args -proxies

# A channel of EVENTS events: a newcomer joins, a server loses all of it, and it is verified, backed
# up, restored and copied. The channel is written once and kept in DEEP_DIR (1.3 GB a million).
EVENTS ?= 1000000
DEEP_DIR ?= $(CURDIR)/.deep
deep:
	$(PROCESSES) -run TestADeepChannel -args -process.deep=$(EVENTS) -process.deepdir=$(DEEP_DIR)

# SEARCHES made-up search strings on both databases, and injections in every parameter and path.
SEARCHES ?= 100000
.PHONY: injection
injection:
	$(PROCESSES) -run TestWhatIsSearchedFor -args -injection.searches=$(SEARCHES)

# Everything that reads what others wrote, given made-up input for FUZZ each: nothing may fail, take more than
# a second or more than 64 MiB. Go keeps what it found worth keeping in its cache, and goes on from there.
FUZZ ?= 5m
fuzz:
	@set -e; grep -ro '^func Fuzz[A-Za-z]*' --include='*_test.go' . | sort | sed 's/:func / /' | while read -r file target; do \
		go test "$$(dirname "$$file")" -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ) -fuzzminimizetime 100x </dev/null; done

# The program built twice, from copies of the present commit in folders of other names and depths: the same bytes,
# whose bill of materials names every module that Go finds in them.
reproducible:
	@set -e; work=$$(mktemp -d); trap 'rm -rf "$$work"' EXIT; for copy in one some/where/else; do \
		git clone -q . "$$work/$$copy"; \
		(cd "$$work/$$copy" && CGO_ENABLED=0 go build -trimpath -tags timetzdata -ldflags='-s -w' -o meridian ./cmd/meridian); done; \
	cd "$$work"; sha256sum one/meridian some/where/else/meridian; cmp one/meridian some/where/else/meridian; \
	one/meridian version --sbom | sed -n 's/.*"purl": "pkg:golang\/\(.*\)@\(.*\)",/\1 \2/p' | sort >billed; \
	go version -m one/meridian | awk '$$1 == "dep" { print $$2, $$3 }' | sort >found; \
	diff billed found; echo "$$(wc -l <billed) modules in the bill and in the program"; one/meridian version

# A week of simulated time with WEEK events, in which each of five servers is away for more than a day;
# in the end one is restored from the middle of the week and one has lost all but its key.
WEEK ?= 100000
week:
	go test ./internal/sim -count=1 -timeout 3h -v -run TestAWeekAway -args -sim.week=$(WEEK)
