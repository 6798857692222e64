#!/usr/bin/env bash
# Receive failure: the receiver is killed (SIGKILL) again and again in one shipment, and each time started again with the
# same parameters, at the same port. Engine and sender run through. The sender learns from the receiver what it has and
# goes on from there, so the archive then holds the file's lines once each and in order.
# shellcheck disable=SC2034 # these are for the sourced file
readonly scenario=receive-failure failure_is='the receiver is killed'
# shellcheck source=shipment.sh
source "$(dirname "${BASH_SOURCE[0]}")/shipment.sh"

usage() {
  cat <<END
Usage: receive-failure.sh [-n TIMES] [-k] [FILE]

Ships FILE (without it: 8 MB for each failure that are made up) through engine,
batchsend and batchrecv, kills batchrecv with SIGKILL on the way, starts it again as
it was, and compares what arrived with FILE.

END
  common_usage
}

# What the archive holds: the sender is through with the file long before. As it is not compressed, its bytes are those of the stream, and a few more.
sender_options=(--compress none)
come_to() { stored; }

strike() {
  kill_role receiver
  start_receiver
}

ship_with_failures "$@"
