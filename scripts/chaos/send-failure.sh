#!/usr/bin/env bash
# Send failure: the sender is killed (SIGKILL) again and again in one shipment, and each time started again with the same
# parameters. The engine and the receiver run through. Whatever the sender was doing, the archive then holds the file's
# lines once each and in order.
# shellcheck disable=SC2034 # both are for the sourced file
readonly scenario=send-failure failure_is='the sender is killed'
# shellcheck source=shipment.sh
source "$(dirname "${BASH_SOURCE[0]}")/shipment.sh"

usage() {
  cat <<END
Usage: send-failure.sh [-n TIMES] [-k] [FILE]

Ships FILE (without it: 8 MB for each failure that are made up) through engine,
batchsend and batchrecv, kills batchsend with SIGKILL on the way, starts it again as
it was, and compares what arrived with FILE.

END
  common_usage
}

come_to() { drained; }

strike() {
  kill_role sender
  start_sender
}

ship_with_failures "$@"
