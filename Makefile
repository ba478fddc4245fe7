# Every target installs what it needs, may be run again at any time, and says little unless something fails.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.SILENT:
.DEFAULT_GOAL := help

SYSTEM_PACKAGES := libcurl4-openssl-dev libsqlite3-dev libssl-dev pkg-config zlib1g-dev
FORMATTED := $(wildcard Package.swift Sources Tests Benchmarks)
# `check` and `test` share these, so that nothing is compiled twice. Packages that we depend on keep their warnings.
STRICT := -Xswiftc -warnings-as-errors --explicit-target-dependency-import-check error
CONFIG ?= routes.json

.PHONY: help run test test-unit test-integration test-nginx test-sdk test-browser check format bench fuzz soak clean \
    system swift strict-build

help: ## this list
	awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: system ## build and serve routes.json (another: CONFIG=path)
	[ -e .build/release/safelight ] || echo "Building. The first time takes some minutes; later it is seconds."
	scripts/build-release
	exec .build/release/safelight serve --config $(CONFIG)

test: test-unit test-integration ## all tests

test-unit: strict-build ## Swift tests alone
	echo "Running the Swift tests"
	log=.build/unit-tests.log
	if ! swift test --skip-build >$$log 2>&1; then cat $$log; echo "Swift tests failed" >&2; exit 1; fi
	grep -E 'Test run with|^Executed|skipped' $$log | tail -n 20

test-integration: strict-build ## the real server against nginx, the OpenAI SDK and a browser
	scripts/install nginx-light python3 curl strace
	scripts/install chromium || echo "No chromium package here: the browser tests will be skipped."
	scripts/install nodejs node-react node-react-dom || echo "No React packages here: tests of its bindings will be skipped."
	scripts/integration

test-nginx: strict-build ## behind nginx
	scripts/install nginx-light python3
	scripts/integration Tests/Integration/test_nginx.py

test-sdk: strict-build ## with the stock OpenAI SDK
	scripts/install python3
	scripts/integration Tests/Integration/test_openai_sdk.py

test-browser: strict-build ## the playground in Chromium
	scripts/install chromium python3
	scripts/integration Tests/Integration/test_browser.py Tests/Integration/test_browser_client.py

check: system ## format, imports, links, and a build without warnings: all that CI asks besides the tests
	scripts/install python3
	echo "Checking format, imports and links"
	swift format lint --strict --recursive --parallel --configuration .swift-format $(FORMATTED)
	scripts/check-imports
	scripts/check-links
	$(MAKE) --no-print-directory strict-build

format: swift ## formats all Swift sources in place
	swift format --in-place --recursive --parallel --configuration .swift-format $(FORMATTED)

bench: system ## measures; prints figures
	Benchmarks/run.sh

fuzz: system ## hostile input against the parsers
	Tests/Fuzz/run.sh

soak: strict-build ## a thousand clients, the silences of the field, five minutes of fuzzing a parser, both sanitizers
	scripts/install nginx-light chromium python3 curl strace
	SAFELIGHT_SOAK=1 swift test --skip-build --filter Resuming
	# As operators run it: an unoptimised gateway was seen to hold more memory than docs/memory.md says.
	scripts/build-release
	SAFELIGHT_SOAK=1 SAFELIGHT_BINARY=$(CURDIR)/.build/release/safelight scripts/integration
	Tests/Fuzz/run.sh 300
	Tests/Sanitizers/run.sh address
	# Codecs, providers and dialects are pure: they know no threads, and their exhaustive tests would take hours.
	Tests/Sanitizers/run.sh thread '^(Admission|Gateway|SQLiteStorage|Simulator|Storage|Tokens|Transport)Tests\.'

clean: ## removes what was built, not what was stored
	rm -rf .build .build-* var/venv

strict-build: system
	echo "Building with warnings as errors"
	swift build --quiet --build-tests $(STRICT)

system: swift
	scripts/install $(SYSTEM_PACKAGES)

swift:
	command -v swift >/dev/null || { echo "Swift is not installed: see https://www.swift.org/install/linux/" >&2; exit 1; }
