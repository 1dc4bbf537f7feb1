# Everything that is done to this repository, in the words that CI uses too.

# The version of a build: the tag, or the commit, if git is here to say so.
# Without it the program asks its own build information.
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null)

# How the binaries are built. What each saves of drydock's 13.4 MB (amd64) is in
# brackets, and `make bench` shows the sum.
#
# CGO_ENABLED=0      static: the image has nothing but the binary
# -trimpath          the same binary from every folder
# -s -w              no symbol table, no DWARF: stack traces need neither
# -funcalign=16      functions begin at 16 bytes, as on arm64, not at 32 [0.15 MB]
# nethttpomithttp2   no HTTP/2: AWS APIs speak HTTP/1.1, and so do IMDS, the ECS
#                    agent and the Bottlerocket API [0.36 MB]
# -gcflags=all=-l    no inlining: JSON takes 1.3 times as long, in a program that
#                    sleeps; most of it is tables for stack traces [1.12 MB]
LDFLAGS := -s -w -funcalign=16 $(if $(VERSION),-X main.linkedVersion=$(VERSION))
BUILD   := CGO_ENABLED=0 go build -trimpath -tags nethttpomithttp2 -gcflags=all=-l -ldflags "$(LDFLAGS)"

# The race detector needs a C compiler; Go says whether it found one. The
# simulated fleets go without: they are ten times slower under it.
RACE    := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
TOOL    := go tool -modfile=tools/go.mod
SEEDS   ?= 2000

.DEFAULT_GOAL := help
.PHONY: help build test lint demo bench sim model generate clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

build: ## build bin/drydock and bin/drydock-demo, static and stripped
	$(BUILD) -o bin/ ./cmd/drydock ./cmd/drydock-demo

test: tools/npm/node_modules/.ready ## run all tests (TESTFLAGS=…), against dynalite if npm is here
	@if test -e $<; then export DRYDOCK_REQUIRE_DYNALITE=1; fi; \
	go test $(RACE) -timeout 15m $(TESTFLAGS) $$(go list ./... | grep -v /fleetsim); first=$$?; \
	go test -timeout 15m $(TESTFLAGS) ./internal/fleetsim/... && exit $$first

lint: ## check the form (gofmt) and the sense (go vet, staticcheck) of the code
	@files=$$(gofmt -l .); if test -n "$$files"; then echo "gofmt -w these:"; echo "$$files"; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...

demo: build ## update a simulated cluster with real agent processes (ARGS=…)
	bin/drydock-demo $(ARGS)

bench: build ## measure size, memory, start and calls of bin/drydock, and hot code
	DRYDOCK_BENCH=$(CURDIR)/bin/drydock go test -run '^$$' -bench . ./agent ./coordination ./internal/zone ./cmd/drydock

sim: ## simulate fleets, SEEDS=2000 of them
	go test ./internal/fleetsim/... -count=1 -timeout 30m -args -seeds=$(SEEDS)

model: ## check the lock protocol as a model, with spin (about five minutes)
	@docs/model/check.sh

generate: ## write what is generated: docs/state-machine.md
	go generate ./...

clean: ## remove what was built and installed here
	rm -rf bin dist tools/npm/node_modules

# dynalite stands in for DynamoDB. Where it is not to be had the file is not
# made either, and the tests that need it are skipped.
tools/npm/node_modules/.ready: tools/npm/package-lock.json
	@if ! command -v npm >/dev/null; then echo "npm is missing: testing without dynalite"; \
	elif npm ci --prefix tools/npm --ignore-scripts --no-audit --no-fund --loglevel=error; then touch $@; \
	else echo "npm ci failed: testing without dynalite"; fi
