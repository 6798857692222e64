#!/usr/bin/env bash
# Logging process and send failure: the process that logs and the sender are killed (SIGKILL) together, again and again.
#
# Every other time the sender alone is started again: what the dead process had committed lies in its ring, and must
# arrive while it is still dead. The other times the process is started first, and the sender finds both its lives. In
# the end the archive holds the file's lines once each and in order.
# shellcheck disable=SC2034 # both are for the sourced file
readonly scenario=logging-process-and-send-failure failure_is='logging process and sender are killed'
# shellcheck source=shipment.sh
source "$(dirname "${BASH_SOURCE[0]}")/shipment.sh"

usage() {
  cat <<END
Usage: logging-process-and-send-failure.sh [-n TIMES] [-k] [FILE]

Ships FILE (without it: 8 MB for each failure that are made up) through engine,
batchsend and batchrecv, kills engine and batchsend with SIGKILL on the way, starts
them again as they were, in turn the one or the other first, and compares what arrived
with FILE.

END
  common_usage
}

come_to() { drained; }

is_late=no # whether the process is to be started after the sender

strike() {
  if ((RANDOM % 2)); then
    kill_role engine
    kill_role sender
  else
    kill_role sender
    kill_role engine
  fi
  if [[ $is_late = yes ]]; then
    is_late=no
    start_engine
    start_sender
  else
    is_late=yes
    start_sender
    await "all that the dead process had committed is acknowledged" all_acknowledged
    start_engine
  fi
}

ship_with_failures "$@"
