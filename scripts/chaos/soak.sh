#!/usr/bin/env bash
# Ships logs on this machine while everything is killed at random, and compares what arrived.
#
# Two engines, whose files grow, and three Rust producers (one with resume state, one with transactions, one with a new ring for each run)
# log; one sender ships to two receivers, each behind a network that cuts, delays and splits. All of them are killed with
# SIGKILL, alone or together, and started again as they were. Then the rest is shipped, and every record of both archives is held
# against what was logged.
#
# Words go to stderr; the last line, on stdout, is
#   kills=1200 records=8000000 lost=0 doubled=0 out_of_order=0 seconds=600.2
# and the exit status is 1 unless those three are 0. The same seed makes the same choices; what they meet depends on the machine.
set -euo pipefail

case ${1:-} in
  -h | --help)
    cat <<'END'
Usage: soak.sh [--minutes M] [--seed S]

  --minutes M  how long to kill; may be a fraction [default: 1]
  --seed S     the seed of all choices [default: drawn, and told on stderr]

The binary is $HOG, else this checkout's, built for release.
END
    exit 0
    ;;
esac

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cargo build --quiet --release --manifest-path "$checkout/Cargo.toml" -p hog-soak
if [[ -z ${HOG:-} ]]; then
  cargo build --quiet --release --manifest-path "$checkout/Cargo.toml" -p hog
fi
target=${CARGO_TARGET_DIR:-$checkout/target}
exec "$target/release/hog-soak" --hog "${HOG:-$target/release/hog}" "$@"
