# What one does with this repository. `.ci/run` needs none of it: it is for people.

# So that a file name with a space stays one argument
set positional-arguments

# Lists the recipes
default:
    @just --list --unsorted

# All that a change must pass
check: check-format lint deny test

# Whether the code is formatted
check-format:
    cargo fmt --all --check

# Clippy, with warnings as errors
lint:
    cargo clippy --workspace --all-targets --locked -- -D warnings

# Licences, bans and sources of the dependencies, as deny.toml says
deny:
    #!/usr/bin/env bash
    set -euo pipefail
    if cargo deny --version >/dev/null 2>&1; then
        cargo deny check licenses bans sources
    else
        echo "cargo-deny is not installed, so licences and sources are not checked: cargo install cargo-deny"
    fi

# The README's test command
test:
    cargo test --workspace

# Kills each role at each system call of a shipment, where `test` leaves some out
syscalls:
    HOG_EVERY_SYSCALL=1 cargo test --test hog -- --nocapture syscalls::

# Simulates runs from seeds, on disks, lines and clocks that fail: [--seeds N] [--from N] [--verbose]
sim *ARGUMENTS:
    cargo test --release --features simulation,mutants --test simulate -- "$@"

# Goes through the ring's memory orderings with more records than `test` does
models RECORDS="3":
    HOG_LOOM_RECORDS={{RECORDS}} cargo test -p hog-ring --lib order::

# Fuzzes a target for some minutes (classic, frame, recording, segment, wire, ring_region, statement, resume_state); needs cargo-fuzz (cargo install cargo-fuzz)
fuzz TARGET SECONDS="300":
    mkdir -p fuzz/target/found/{{TARGET}}
    RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir fuzz {{TARGET}} fuzz/target/found/{{TARGET}} fuzz/corpus/{{TARGET}} -- -max_total_time={{SECONDS}}

# Formats the code
fmt:
    cargo fmt --all

# Measures all that docs/PERFORMANCE.md shows, and writes its table and plots anew (12 minutes): [--rounds N] [--row NAME]... [--plot NAME]... [--large] [MEGABYTES | FILE]
bench *ARGUMENTS:
    cargo build --release --features mutants
    cp "${CARGO_TARGET_DIR:-target}/release/hog" "${CARGO_TARGET_DIR:-target}/release/hog-with-mutants"
    HOG_WITH_MUTANTS="${CARGO_TARGET_DIR:-target}/release/hog-with-mutants" cargo bench --bench pipeline -- --json benches/runs --plots docs/performance --page docs/PERFORMANCE.md "$@"

# Measures single steps of rings, formats and spools: [FILTER]
micro *ARGUMENTS:
    cargo bench --bench micro -- "$@"

# Ships a file (made up if none is named) with kills on the way
demo *FILE:
    cargo run --release -- demo "$@"

# Kills roles ten times in a shipment and compares; SCENARIO is send, engine, receive or logging-process-and-send
chaos SCENARIO="send" *ARGUMENTS:
    cargo build --release
    scripts/chaos/"$1"-failure.sh "${@:2}"

# Kills everything at random for some minutes, and compares
soak *ARGUMENTS:
    scripts/chaos/soak.sh "$@"

# Writes the header of the C library anew, from its source
header:
    HOG_UPDATE_HEADER=1 cargo test -p hog-ring-capi --test header

# Writes manual pages and completions anew, from the command line's definition and docs/FORMATS.md
man:
    cargo xtask manual

# Makes the Debian packages, target/debian/*.deb; needs cargo-deb (cargo install cargo-deb --locked)
deb:
    cargo deb --locked
    cargo deb --locked -p hog-ring-capi
