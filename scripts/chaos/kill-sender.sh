#!/usr/bin/env bash
# Ships a file through the three roles on this machine and kills the sender (SIGKILL) again and again on the way.
#
# What is to be seen: whoever is killed, whenever, the archive holds the file's lines once each and in order. The engine
# and the receiver run through; the sender dies N times, at even distances in the stream, and each time is started again
# with the same parameters. Between two kills it must have made real progress, or the run fails.
#
# Words go to stderr; the result is one line on stdout:
#   kills=10 lost=0 doubled=0 seconds=3.1
# lost: lines of the file that the archive lacks. doubled: lines that the archive has and the file has not, or not as
# often.
set -euo pipefail

usage() {
  cat <<'END'
Usage: kill-sender.sh [-n KILLS] [-k] [FILE]

Ships FILE (without it: 8 MB a kill that are made up) through engine, batchsend and
batchrecv, kills batchsend KILLS times (10) with SIGKILL on the way, and compares
what arrived with FILE. Prints kills= lost= doubled= seconds=.

  -n KILLS  how often to kill; a FILE with less than 8 MB a kill may be over before
  -k        keep the working directory, to look at it
  -h        print this

The binary is $HOG, else target/release/hog of this checkout, else hog in $PATH.
Exit: 0 FILE arrived exactly and the sender was killed KILLS times; 1 not so;
2 the command line does not make sense.
END
}

say() { printf '%s\n' "kill-sender: $*" >&2; }
refuse() { say "$*"; usage >&2; exit 2; }
fail() {
  say "$*"
  for role in engine batchsend batchrecv; do
    [[ -s $work/$role.stderr ]] && tail -n 3 "$work/$role.stderr" | sed "s/^/  $role: /" >&2
  done
  exit 1
}

kills_wanted=10
keep=no
while getopts n:kh option; do
  case $option in
    n) kills_wanted=$OPTARG ;;
    k) keep=yes ;;
    h) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done
shift $((OPTIND - 1))
[[ $kills_wanted =~ ^[1-9][0-9]{0,5}$ ]] || refuse "-n takes a number from 1"
(($# <= 1)) || refuse "one file at a time"

checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
if [[ -n ${HOG:-} ]]; then
  hog=$HOG
elif [[ -x $checkout/target/release/hog ]]; then
  hog=$checkout/target/release/hog
else
  hog=$(command -v hog) || refuse "no hog found: set HOG, or run cargo build --release"
fi
[[ -x $hog ]] || refuse "$hog is not a program"

# ---------------------------------------------------------------- the scene

readonly group=chaos
readonly patience=30 # seconds; a run in which nothing moves for so long has failed
engine=
sender=
receiver=
work=$(mktemp -d "${TMPDIR:-/tmp}/hog-chaos.XXXXXX")
shm=

clean_up() {
  local pid
  for pid in "$engine" "$sender" "$receiver"; do
    if [[ -n $pid ]]; then
      kill -KILL "$pid" 2>/dev/null || true # it may have ended already
      wait "$pid" 2>/dev/null || true
    fi
  done
  [[ -z $shm ]] || rm -rf -- "$shm"
  if [[ $keep = yes ]]; then say "kept $work"; else rm -rf -- "$work"; fi
}
trap clean_up EXIT
trap 'exit 1' INT TERM
shm=$(mktemp -d /dev/shm/hog-chaos.XXXXXX)

if (($# == 1)); then
  [[ -f $1 && -r $1 ]] || refuse "cannot read the file $1"
  input=$(realpath -- "$1")
else
  input=$work/input.log
  # No two lines are the same, so that a line that is lost and one that is doubled cannot make up for each other.
  awk -v "lines=$((kills_wanted * 80000))" 'BEGIN {
    for (n = 0; n < lines; n++)
      printf "12:%02d:%02d.%03d %s request %08d from 10.0.%d.%d served in %d us by worker %02d, user %d\n", \
        n / 60000 % 60, n / 1000 % 60, n % 1000, n % 7 ? "INFO " : "WARN ", n, n % 251, n % 241, \
        n * 7919 % 99991, n % 16, n * 31 % 50021
  }' >"$input"
fi
size=$(stat -c %s -- "$input")

# The smallest ring: so the engine is never far ahead of the sender, and a dead sender stops it at once.
start_engine() {
  "$hog" engine -g "$group" --ring-size 64KiB --shm-dir "$shm" -- "$input" 2>>"$work/engine.stderr" &
  engine=$!
}

# The one place that says how the sender is started: each of its lives has the same parameters.
start_sender() {
  "$hog" batchsend -g "$group" --to "$address" -d "$work/spool" -m "$work/send" --shm-dir "$shm" \
    2>>"$work/batchsend.stderr" &
  sender=$!
}

start_receiver() {
  : >"$work/address" # it is looked at before the receiver has opened it
  "$hog" batchrecv --listen 127.0.0.1:0 -d "$work/archive" -m "$work/recv" \
    >"$work/address" 2>>"$work/batchrecv.stderr" &
  receiver=$!
}

is_alive() { kill -0 "$1" 2>/dev/null; }

# ring_word OFFSET: a number of the header of the engine's ring (docs/FORMATS.md, section 1); 0 while there is no ring.
# The ring is named, so it stays when the engine has ended.
ring_word() {
  local rings=("$shm/hog/$group"/*.ring) word=0
  [[ ! -e ${rings[0]} ]] || read -r word < <(od -An -t u8 -j "$1" -N 8 -- "${rings[0]}")
  echo "$word"
}
logged() { ring_word 384; }  # tail: bytes that the engine logged, ever
drained() { ring_word 512; } # head: bytes of them that are in the spool

# What rings and spool hold that the receiver has not acknowledged. Exit 3 of status only says that no sender runs.
unacknowledged() {
  local status
  status=$("$hog" status -m "$work/send" --shm-dir "$shm" --format json 2>>"$work/status.stderr") \
    || [[ $? = 3 ]] || return 1
  sed -n '1s/^[^[]*"unacked_bytes":\([0-9]*\).*/\1/p' <<<"$status"
}

# await WHAT CONDITION...: looks until CONDITION holds; fails when a role is gone that should run, or nothing moves.
await() {
  local what=$1 deadline=$((SECONDS + patience)) before='' now
  shift
  until "$@"; do
    is_alive "$receiver" || fail "the receiver ended while waiting until $what"
    [[ -z $sender ]] || is_alive "$sender" || fail "the sender ended by itself while waiting until $what"
    if ((SECONDS >= deadline)); then
      now="$(drained) $(unacknowledged || true)"
      [[ $now != "$before" ]] || fail "nothing moved for $patience s while waiting until $what"
      before=$now
      deadline=$((SECONDS + patience))
    fi
    sleep 0.002
  done
}

receiver_listens() { [[ $(wc -l <"$work/address") -ge 1 ]]; }
engine_ended() { ! is_alive "$engine"; }
all_acknowledged() { [[ $(unacknowledged) = 0 ]]; }

nothing_is_left() { engine_ended && (($(drained) == $(logged))); }
has_come_to() { (($(drained) >= $1)) || nothing_is_left; }

# ---------------------------------------------------------------- the shipment

micros() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }
began=$(micros)

start_receiver
await "the receiver listens" receiver_listens
read -r address <"$work/address"
start_sender
start_engine

kills=0
position=0
while ((kills < kills_wanted)); do
  # Always further than at the last kill, and what is left of the file in even parts. (The stream is a little longer.)
  left=$((size > position ? size - position : 0))
  await "the sender makes progress" has_come_to $((position + 1 + left / (kills_wanted - kills + 1)))
  ! nothing_is_left || break
  kill -KILL "$sender"
  wait "$sender" 2>/dev/null || true
  kills=$((kills + 1))
  position=$(drained)
  say "kill $kills: $position bytes of the stream were in the spool; the file has $size"
  start_sender
done

await "the engine has logged all" engine_ended
status=0
wait "$engine" || status=$?
engine=
((status == 0)) || fail "the engine ended with status $status"
await "all is acknowledged" all_acknowledged
seconds=$(awk -v "us=$(($(micros) - began))" 'BEGIN { printf "%.1f", us / 1e6 }')

# ---------------------------------------------------------------- the comparison

"$hog" cat --format raw "$work/archive" >"$work/arrived.log" || fail "hog cat failed with status $?"
lost=0
doubled=0
equal=yes
if ! cmp -s -- "$input" "$work/arrived.log"; then
  equal=no
  export LC_ALL=C
  sort -- "$input" >"$work/input.sorted"
  sort -- "$work/arrived.log" >"$work/arrived.sorted"
  lost=$(comm -23 "$work/input.sorted" "$work/arrived.sorted" | wc -l)
  doubled=$(comm -13 "$work/input.sorted" "$work/arrived.sorted" | wc -l)
  ((lost + doubled > 0)) || say "every line arrived once, but not in order"
fi
echo "kills=$kills lost=$lost doubled=$doubled seconds=$seconds"
[[ $equal = yes ]] || fail "what arrived is not what was shipped"
((kills == kills_wanted)) || fail "the stream was over after $kills kills: ship a longer file, or ask for fewer with -n"
