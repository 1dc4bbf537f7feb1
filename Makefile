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
# -funcalign=8       functions begin at 8 bytes, not at 32; arm64 keeps its 16 [0.22 MB]
# nethttpomithttp2   no HTTP/2: AWS APIs speak HTTP/1.1, and so do IMDS, the ECS
#                    agent and the Bottlerocket API [0.36 MB]
# -gcflags=all=-l    no inlining: JSON takes 1.3 times as long, in a program that
#                    sleeps; most of it is tables for stack traces [1.12 MB]
LDFLAGS := -s -w -funcalign=8 $(if $(VERSION),-X main.linkedVersion=$(VERSION))
BUILD   := CGO_ENABLED=0 go build -trimpath -tags nethttpomithttp2 -gcflags=all=-l -ldflags "$(LDFLAGS)"

# The race detector needs a C compiler; Go says whether it found one. The
# simulated fleets go without: they are ten times slower under it.
RACE    := $(if $(filter 1,$(shell go env CGO_ENABLED)),-race)
TOOL    := go tool -modfile=tools/go.mod
SEEDS   ?= 10000

.DEFAULT_GOAL := help
.PHONY: help build test test-host lint packaging demo bench sim model rootfs image release generate clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 20

build: ## build bin/drydock and bin/drydock-demo, static and stripped
	$(BUILD) -o bin/ ./cmd/drydock ./cmd/drydock-demo

test: tools/npm/node_modules/.ready ## run all tests (TESTFLAGS=…), against dynalite if npm is here
	@if test -e $<; then export DRYDOCK_REQUIRE_DYNALITE=1; fi; \
	go test $(RACE) -timeout 15m $(TESTFLAGS) $$(go list ./... | grep -v /fleetsim); first=$$?; \
	go test -timeout 15m $(TESTFLAGS) ./internal/fleetsim/... && exit $$first

test-host: image ## run the image as Bottlerocket would, under containerd and systemd (root)
	internal/hosttest/run $(IMAGE) $(HOSTFLAGS)

lint: ## check the form (gofmt) and the sense (go vet, staticcheck) of the code
	@files=$$(gofmt -l .); if test -n "$$files"; then echo "gofmt -w these:"; echo "$$files"; exit 1; fi
	go vet ./...
	$(TOOL) staticcheck ./...

packaging: tools/npm/node_modules/.ready tools/pip/.venv/.ready ## check what is deployed: template, rights, Terraform module
	node --test --test-reporter=spec tools/npm/packaging/*.test.js
	tools/pip/.venv/bin/cfn-lint --regions ALL_REGIONS --template packaging/cloudformation/drydock.yaml

demo: build ## update a simulated cluster with real agent processes (ARGS=…)
	bin/drydock-demo $(ARGS)

bench: build ## measure size, memory, start and calls of bin/drydock, and hot code
	DRYDOCK_BENCH=$(CURDIR)/bin/drydock go test -run '^$$' -bench . ./agent ./coordination ./internal/zone ./cmd/drydock

sim: ## simulate SEEDS=10000 fleets in which all fails, then measure the lock with up to 10,000 hosts
	go test ./internal/fleetsim -run TestSeeds -count=1 -timeout 60m -args -seeds=$(SEEDS)
	cd internal/fleetsim/scale && GOMEMLIMIT=3GiB go test -run TestTable -count=1 -timeout 60m -args -table

# The files of the image, in dist/rootfs, for the architecture ARCH.
ARCH ?= $(shell go env GOARCH)
ROOTFS ?= dist/rootfs
rootfs:
	rm -rf $(ROOTFS) && mkdir -p $(ROOTFS)/etc/ssl/certs
	GOOS=linux GOARCH=$(ARCH) $(BUILD) -o $(ROOTFS)/drydock ./cmd/drydock
	go run ./packaging/image/roots >$(ROOTFS)/etc/ssl/certs/ca-certificates.crt

IMAGE := dist/drydock-$(or $(VERSION),devel)-image.tar
image: ## build the image for amd64 and arm64 as an OCI archive in dist/, without Docker
	@$(MAKE) --no-print-directory -s rootfs ARCH=amd64 ROOTFS=dist/rootfs-amd64
	@$(MAKE) --no-print-directory -s rootfs ARCH=arm64 ROOTFS=dist/rootfs-arm64
	@packaging/image/build "$(or $(VERSION),devel)" $(IMAGE)
	@go run ./packaging/image/inspect $(IMAGE)

release: image ## gather binaries, image, SBOMs, template and checksums in dist/release
	@packaging/release "$(or $(VERSION),devel)" $(IMAGE) dist/release

model: ## check the lock protocol as a model, with spin (about five minutes)
	@docs/model/check.sh

generate: ## write what is generated: docs/state-machine.md
	go generate ./...

clean: ## remove what was built and installed here
	rm -rf bin dist tools/npm/node_modules tools/pip/.venv

# dynalite stands in for DynamoDB. Where it is not to be had the file is not
# made either, and the tests that need it are skipped.
tools/npm/node_modules/.ready: tools/npm/package-lock.json
	@if ! command -v npm >/dev/null; then echo "npm is missing: testing without dynalite"; \
	elif npm ci --prefix tools/npm --ignore-scripts --no-audit --no-fund --loglevel=error; then touch $@; \
	else echo "npm ci failed: testing without dynalite"; fi

# cfn-lint, with the schemas of CloudFormation in it.
tools/pip/.venv/.ready: tools/pip/requirements.txt
	rm -rf $(@D)
	python3 -m venv $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	touch $@
