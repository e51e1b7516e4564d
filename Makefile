# The two commands that matter: `make run` and `make test`. Needs Rust (rust-toolchain.toml), Node 20 or later, and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.PHONY: help run demo test attack engine-chaos cluster-chaos bi-clients fuzz check measure format size release packaging bench bench-page bench-report e2e chromium clean

# Cargo knows where it builds: CARGO_TARGET_DIR and cargo's own configuration are respected. Asked only when needed.
TARGET = $(shell cargo metadata --no-deps --format-version 1 --locked | node -p 'JSON.parse(require("fs").readFileSync(0)).target_directory')

# What Prettier lays out. `make format` does so.
WRITTEN = '**/*.{js,mjs,ts,svelte,css}'

help:
	@echo 'make run      build, and start the collector with the sample profile'
	@echo 'make demo     the same with 90 days of generated visits'
	@echo 'make test     every test: cargo, then a real browser against the real collector; about an hour'
	@echo 'make check    formatting, lints, licences, lock files, documentation, the scripts in the page'
	@echo 'make format   formats Rust, JavaScript, TypeScript, Svelte and CSS'
	@echo 'make attack   all attacks on the promises to visitors, in full; about an hour'
	@echo 'make engine-chaos  kills and stops the embedded engine 240 times under load; ten minutes'
	@echo 'make cluster-chaos  breaks 2 collectors, 4 replicas and their network under load; ten minutes, CHAOS_SECS=60 for one'
	@echo 'make bi-clients    reads the BI port with the Python clients of ClickHouse; needs python3-venv'
	@echo 'make fuzz     the parsers of foreign bytes, a minute each; FUZZ_SECS=600 for longer'
	@echo 'make measure  names, documentation and structure of the code, as figures'
	@echo 'make size     what the dashboard costs to open, and what a page pays for our scripts'
	@echo 'make bench    benchmarks'
	@echo 'make packaging  builds and starts the images and the systemd service without a container engine; as root'
	@echo 'make release  an archive for a Debian without Rust or Node: binary, licences, checksums, bill of materials'

# The embedded engine and the data files; once, and again when the lock changes.
node_modules/.installed: package.json package-lock.json
	npm ci --ignore-scripts
	touch $@

tests/e2e/node_modules/.installed: tests/e2e/package.json tests/e2e/package-lock.json
	npm ci --ignore-scripts --prefix tests/e2e
	touch $@

tracker/node_modules/.installed: tracker/package.json tracker/package-lock.json
	npm ci --ignore-scripts --prefix tracker
	touch $@

dashboards/app/node_modules/.installed: dashboards/app/package.json dashboards/app/package-lock.json
	npm ci --ignore-scripts --prefix dashboards/app
	touch $@

run: node_modules/.installed
	cargo build --release --locked
	@echo
	@echo '  the sample profile   http://127.0.0.1:8080/u/demo'
	@echo '  its report           http://127.0.0.1:8080/?site=demo'
	@echo '  stop with Ctrl-C'
	@echo
	exec "$(TARGET)/release/footfall" serve --config config/sample.toml

demo: node_modules/.installed
	cargo build --release --locked
	exec "$(TARGET)/release/footfall" demo

# Most tests wait for a collector or an engine rather than for a processor: two of them share a core.
test: node_modules/.installed
	RUST_TEST_THREADS=$${RUST_TEST_THREADS:-$$(( 2 * $$(nproc) ))} cargo test --locked --no-fail-fast
	$(MAKE) e2e

# With the program that `cargo test` builds: `cargo build` selects other features of dependencies, and builds most anew.
e2e: node_modules/.installed tests/e2e/node_modules/.installed tracker/node_modules/.installed chromium
	cargo test --locked --no-run
	cd tests/e2e && FOOTFALL_BIN="$(TARGET)/debug/footfall" node_modules/.bin/playwright test

# Small in `make test`. Ends with lines for machines; tests/attacks/README.md says what they mean.
attack: node_modules/.installed tests/e2e/node_modules/.installed chromium
	cargo test --locked --no-run
	cd tests/e2e && FOOTFALL_BIN="$(TARGET)/debug/footfall" node_modules/.bin/playwright test consent.spec.js
	node tests/attacks/core_dump.mjs "$(TARGET)/debug/footfall"
	cargo test --locked --test attacks -- --full

# Small in `make test`. The last three lines are for machines.
engine-chaos: node_modules/.installed
	cargo test --locked --test it -- --ignored --exact --nocapture engine::engine_chaos_in_full | tee "$(TARGET)/engine-chaos.log"
	@grep -E '^(engine_kills|lost|doubled)=' "$(TARGET)/engine-chaos.log"

# Small in `make test`. The last four lines are for machines.
cluster-chaos: node_modules/.installed
	CHAOS_SECS=$${CHAOS_SECS:-600} cargo test --locked --test it -- --ignored --exact --nocapture cluster_chaos::cluster_chaos_in_full | tee "$(TARGET)/cluster-chaos.log"
	@grep -E '^(faults|lost|doubled|visitors_off)=' "$(TARGET)/cluster-chaos.log"

# Clients that are not needed to build or test: into the build folder.
bi-clients: node_modules/.installed
	python3 -m venv "$(TARGET)/bi-clients"
	"$(TARGET)/bi-clients/bin/pip" install --quiet --require-hashes -r tests/it/bi_port/requirements.txt
	BI_CLIENTS_PYTHON="$(TARGET)/bi-clients/bin/python" cargo test --locked --test it -- \
		--ignored --exact --nocapture bi_port::python_clients_read_the_views

# libFuzzer with the compiler of rust-toolchain.toml; fuzz/README.md says how. What is new is kept in the build folder; a
# crash goes to fuzz/regressions, which `cargo test` replays.
FUZZ_TARGETS = wire_hit consent_cookie mail_token journal_segment ledger_line
FUZZ_SECS = 60
fuzz:
	built="$(TARGET)"; \
	RUSTC_WRAPPER="$(CURDIR)/fuzz/rustc" cargo build --locked --manifest-path fuzz/Cargo.toml --target-dir "$$built"; \
	for target in $(FUZZ_TARGETS); do \
		mkdir -p "$$built/fuzz/$$target" "fuzz/regressions/$$target"; \
		"$$built/debug/$$target" -max_total_time=$(FUZZ_SECS) -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
			-print_final_stats=1 -artifact_prefix="fuzz/regressions/$$target/" \
			"$$built/fuzz/$$target" "fuzz/corpus/$$target" "fuzz/regressions/$$target"; \
	done

chromium:
	@scripts/need-chromium

check: node_modules/.installed tracker/node_modules/.installed dashboards/app/node_modules/.installed
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	node scripts/check-dependencies.mjs
	@if command -v cargo-deny >/dev/null; then cargo deny --offline --locked check bans licenses sources; \
	else echo 'cargo-deny is not installed: skipped'; fi
	@if command -v promtool >/dev/null; then promtool check rules packaging/prometheus/alerts.yml \
		&& promtool test rules packaging/prometheus/alerts_test.yml; \
	else echo 'promtool is not installed: skipped (Debian: apt-get install prometheus)'; fi
	node scripts/check-tree.mjs
	dashboards/app/node_modules/.bin/prettier --check --log-level warn $(WRITTEN)
	dashboards/app/node_modules/.bin/biome lint --error-on-warnings .
	node scripts/check-links.mjs
	node scripts/check-docs.mjs
	node scripts/check-prose.mjs
	node scripts/release.mjs --check
	cd tracker && node_modules/.bin/tsc
	node tracker/build.mjs --check
	npm run check --prefix dashboards/app
	node dashboards/app/build.mjs --check
	node dashboards/app/size.mjs
	node tracker/size.mjs

format: dashboards/app/node_modules/.installed
	cargo fmt
	dashboards/app/node_modules/.bin/prettier --write --log-level warn $(WRITTEN)

# Names, documentation and structure of src/; `cargo run --example measure -- --list` names each place.
measure:
	@cargo run --quiet --locked --example measure

# Of what is committed: nothing need be installed.
size:
	@node dashboards/app/size.mjs
	@node tracker/size.mjs

# Into the build folder; RELEASING.md says what comes before and after.
release: node_modules/.installed tracker/node_modules/.installed dashboards/app/node_modules/.installed
	cargo build --release --locked
	node scripts/release.mjs "$(TARGET)/release/footfall" "$(TARGET)/dist"

# docs/operate/CONTAINERS.md says what it checks.
packaging: node_modules/.installed
	cargo build --release --locked
	{ command -v debootstrap && command -v systemd-nspawn; } >/dev/null || apt-get install -y --no-install-recommends debootstrap systemd-container
	packaging/check-image.sh --binary "$(TARGET)/release/footfall" embedded
	packaging/check-image.sh --binary "$(TARGET)/release/footfall" slim
	packaging/check-systemd.sh "$(TARGET)/release/footfall"

# About six minutes. `make bench BENCH=--gate` fails where a promise is not kept.
bench: node_modules/.installed
	@command -v nginx >/dev/null || { [ "$$(id -u)" = 0 ] && apt-get install -y --no-install-recommends nginx-light; } || true
	cargo bench --locked --bench load -- run $(BENCH)

# The first run makes 100 million rows, for some minutes; they stay in the build folder.
bench-report: node_modules/.installed
	cargo bench --locked --bench report -- $(BENCH)

# The first number of a dashboard, in the browser.
bench-page: node_modules/.installed tests/e2e/node_modules/.installed chromium
	cargo build --release --locked
	cd tests/e2e && FOOTFALL_BIN="$(TARGET)/release/footfall" node_modules/.bin/playwright test --config bench.config.js

clean:
	cargo clean
	rm -rf test-results
