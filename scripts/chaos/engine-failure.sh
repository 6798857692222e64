#!/usr/bin/env bash
# Engine failure: the engine is killed (SIGKILL) again and again while it logs a file, and each time started again with the
# same parameters. Sender and receiver run through. Its next life goes on behind the last line that was committed, so
# the archive then holds the file's lines once each and in order.
# shellcheck disable=SC2034 # both are for the sourced file
readonly scenario=engine-failure failure_is='the engine is killed'
# shellcheck source=shipment.sh
source "$(dirname "${BASH_SOURCE[0]}")/shipment.sh"

usage() {
  cat <<END
Usage: engine-failure.sh [-n TIMES] [-k] [FILE]

Ships FILE (without it: 8 MB for each failure that are made up) through engine,
batchsend and batchrecv, kills the engine with SIGKILL on the way, starts it again as
it was, and compares what arrived with FILE.

END
  common_usage
}

come_to() { logged; }

strike() {
  kill_role engine
  start_engine
}

ship_with_failures "$@"
