# shellcheck shell=bash
# One shipment of a file through the three roles on this machine, for scripts that kill roles on the way and compare
# what arrived. To be sourced.
#
# A script first names itself (`scenario`) and says what `-n` counts (`failure_is`); then it gives its `usage` and defines
#   strike    what happens at each failure: who is killed, and who is started again, always with the same parameters
#   come_to   how far the shipment is, in bytes of the engine's stream, as far as this failure is concerned
# and then runs `ship_with_failures "$@"`.
#
# Between two failures the shipment must have come further, or the run fails. Words go to stderr; the result is the last
# line, on stdout:
#   kills=10 lost=0 doubled=0 out_of_order=0 seconds=3.1
# lost: lines of the file that the archive lacks. doubled: lines that the archive has and the file has not, or not as
# often. out_of_order: lines behind one that comes later in the file.
set -euo pipefail

: "${scenario:?the name of the script that sources this}" "${failure_is:?what it counts}"
readonly group=chaos
readonly patience=60 # seconds; a run in which nothing moves for so long has failed

say() { printf '%s\n' "$scenario: $*" >&2; }
refuse() { say "$*"; usage >&2; exit 2; }
fail() {
  local role
  say "$*"
  for role in engine batchsend batchrecv; do
    [[ -s $work/$role.stderr ]] && tail -n 3 "$work/$role.stderr" | sed "s/^/  $role: /" >&2
  done
  exit 1
}

common_usage() {
  cat <<END
  -n TIMES  how often $failure_is (10);
            a FILE with less than 8 MB for each may be over before
  -k        keep the working directory, to look at it
  -h        print this

Prints kills= lost= doubled= out_of_order= seconds=. The binary is \$HOG, else
target/release/hog of this checkout, else hog in \$PATH. Rings lie in \$SHM_DIR (/dev/shm),
all else in \$TMPDIR (/tmp).
Exit: 0 FILE arrived exactly, after all failures; 1 not so; 2 the command line does
not make sense.
END
}

# ---------------------------------------------------------------- the scene

hog=
failures_wanted=10
keep=no
work=
shm=
input=
size=0   # of the input
address= # of the receiver
engine=  # the pids of the roles that run
sender=
receiver=
sender_options=() # besides those that all scripts need
kills=0

find_program() {
  local checkout
  checkout=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
  if [[ -n ${HOG:-} ]]; then
    hog=$HOG
  elif [[ -x $checkout/target/release/hog ]]; then
    hog=$checkout/target/release/hog
  else
    hog=$(command -v hog) || refuse "no hog found: set HOG, or run cargo build --release"
  fi
  [[ -x $hog ]] || refuse "$hog is not a program"
}

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

# set_scene ARGUMENT...: what the command line asks for, directories, and the file.
set_scene() {
  local option
  while getopts n:kh option; do
    case $option in
      n) failures_wanted=$OPTARG ;;
      k) keep=yes ;;
      h) usage; exit 0 ;;
      *) usage >&2; exit 2 ;;
    esac
  done
  shift $((OPTIND - 1))
  [[ $failures_wanted =~ ^[1-9][0-9]{0,5}$ ]] || refuse "-n takes a number from 1"
  (($# <= 1)) || refuse "one file at a time"
  (($# == 0)) || [[ -f $1 && -r $1 ]] || refuse "cannot read the file $1"
  find_program
  work=$(mktemp -d "${TMPDIR:-/tmp}/hog-chaos.XXXXXX")
  trap clean_up EXIT
  trap 'exit 1' INT TERM
  shm=$(mktemp -d "${SHM_DIR:-/dev/shm}/hog-chaos.XXXXXX") # must be on tmpfs
  if (($# == 1)); then
    input=$(realpath -- "$1")
  else
    input=$work/input.log
    make_up_lines $((failures_wanted * 80000)) >"$input"
  fi
  size=$(stat -c %s -- "$input")
}

# make_up_lines COUNT: of a hundred bytes each, no two the same: one that is lost and one that is doubled must not make up for each other.
make_up_lines() {
  awk -v "lines=$1" 'BEGIN {
    for (n = 0; n < lines; n++)
      printf "12:%02d:%02d.%03d %s request %08d from 10.0.%d.%d served in %d us by worker %02d, user %d\n", \
        n / 60000 % 60, n / 1000 % 60, n % 1000, n % 7 ? "INFO " : "WARN ", n, n % 251, n % 241, \
        n * 7919 % 99991, n % 16, n * 31 % 50021
  }'
}

# ---------------------------------------------------------------- the roles
# The one place that says how each is started: all of its lives have the same parameters.

# The smallest ring: so the engine is never far ahead of the sender, and a dead sender stops it at once.
start_engine() {
  "$hog" engine -g "$group" --ring-size 64KiB --shm-dir "$shm" -m "$work/places" -- "$input" 2>>"$work/engine.stderr" &
  engine=$!
}

start_sender() {
  "$hog" batchsend -g "$group" --to "$address" -d "$work/spool" -m "$work/send" --shm-dir "$shm" \
    "${sender_options[@]}" 2>>"$work/batchsend.stderr" &
  sender=$!
}

# At any port; later lives at the same one.
start_receiver() {
  : >"$work/address" # it is looked at before the receiver has opened it
  "$hog" batchrecv --listen "${address:-127.0.0.1:0}" -d "$work/archive" -m "$work/recv" \
    >"$work/address" 2>>"$work/batchrecv.stderr" &
  receiver=$!
  await "the receiver listens" receiver_listens
  read -r address <"$work/address"
}
receiver_listens() { [[ $(wc -l <"$work/address") -ge 1 ]]; }

# kill_role engine|sender|receiver: with SIGKILL. One that has ended by itself is no kill.
kill_role() {
  local role=$1
  local pid=${!role}
  if [[ -n $pid ]] && is_alive "$pid"; then
    kill -KILL "$pid" 2>/dev/null || true
    local status=0
    wait "$pid" 2>/dev/null || status=$?
    ((status != 137)) || kills=$((kills + 1))
    [[ $role != engine ]] || ((status == 137 || status == 0)) || fail "the engine ended with status $status"
  fi
  printf -v "$role" ''
}

is_alive() { kill -0 "$1" 2>/dev/null; }

# Whether the engine is through with the file; one that was killed is not.
engine_ended() {
  [[ -n $engine ]] && ! is_alive "$engine"
}

# ---------------------------------------------------------------- how far it is

# ring_word OFFSET: a number of the header of the engine's ring (docs/FORMATS.md, section 1); 0 while there is no ring.
# The ring is named, so it stays when the engine has ended.
ring_word() {
  local rings=("$shm/hog/$group"/*.ring) word=0
  [[ ! -e ${rings[0]} ]] || read -r word < <(od -An -t u8 -j "$1" -N 8 -- "${rings[0]}")
  echo "$word"
}
logged() { ring_word 384; }  # tail: bytes that engines logged, ever
drained() { ring_word 512; } # head: bytes of them that are in the spool

# What rings and spool hold that the receiver has not acknowledged. Exit 3 of status only says that no sender runs.
unacknowledged() {
  local status
  status=$("$hog" status -m "$work/send" --shm-dir "$shm" --format json 2>>"$work/status.stderr") \
    || [[ $? = 3 ]] || return 1
  sed -n '1s/^[^[]*"unacked_bytes":\([0-9]*\).*/\1/p' <<<"$status"
}

# Bytes in the receiver's archive.
stored() {
  local bytes=0
  [[ ! -d $work/archive ]] || read -r bytes _ < <(du -sb --apparent-size -- "$work/archive")
  echo "$bytes"
}

all_acknowledged() { [[ $(unacknowledged) = 0 ]]; }
nothing_is_left() { engine_ended && (($(come_to) >= $(logged))); }
has_come_to() { (($(come_to) >= $1)) || nothing_is_left; }

# await WHAT CONDITION...: looks until CONDITION holds; fails when a role is gone that should run, or nothing moves.
await() {
  local what=$1 deadline=$((SECONDS + patience)) before='' now
  shift
  until "$@"; do
    [[ -z $receiver ]] || is_alive "$receiver" || fail "the receiver ended by itself while waiting until $what"
    [[ -z $sender ]] || is_alive "$sender" || fail "the sender ended by itself while waiting until $what"
    if ((SECONDS >= deadline)); then
      now="$(logged) $(drained) $(unacknowledged || true)"
      [[ $now != "$before" ]] || fail "nothing moved for $patience s while waiting until $what"
      before=$now
      deadline=$((SECONDS + patience))
    fi
    sleep 0.002
  done
}

# ---------------------------------------------------------------- the shipment

micros() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }

ship_with_failures() {
  local began failures=0 position=0 left status=0 seconds
  set_scene "$@"
  began=$(micros)
  start_receiver
  start_sender
  start_engine
  while ((failures < failures_wanted)); do
    # Always further than at the last failure, and what is left of the file in even parts. (The stream is a little longer.)
    left=$((size > position ? size - position : 0))
    await "the shipment makes progress" has_come_to $((position + 1 + left / (failures_wanted - failures + 1)))
    ! nothing_is_left || break
    strike
    failures=$((failures + 1))
    position=$(come_to)
    say "failure $failures: $position bytes of the stream had come through; the file has $size"
  done
  await "the engine has logged all" engine_ended
  wait "$engine" || status=$?
  engine=
  ((status == 0)) || fail "the engine ended with status $status"
  await "all is acknowledged" all_acknowledged
  seconds=$(awk -v "us=$(($(micros) - began))" 'BEGIN { printf "%.1f", us / 1e6 }')
  compare "$seconds"
  ((failures == failures_wanted)) \
    || fail "the stream was over after $failures failures: ship a longer file, or ask for fewer with -n"
}

# compare SECONDS: prints the result; fails unless what arrived is the file.
compare() {
  local counts='lost=0 doubled=0 out_of_order=0' equal=yes
  "$hog" cat --format raw "$work/archive" >"$work/arrived.log" || fail "hog cat failed with status $?"
  if ! cmp -s -- "$input" "$work/arrived.log"; then
    equal=no
    counts=$(count_differences "$input" "$work/arrived.log")
  fi
  echo "kills=$kills $counts seconds=$1"
  [[ $equal = yes ]] || fail "what arrived is not what was shipped"
}

# count_differences FILE ARRIVED. Each line that arrived stands for the first of its kind in the file that none stands for yet.
count_differences() {
  LC_ALL=C awk '
    NR == FNR { place[$0, ++of_kind[$0]] = NR; lost++; next }
    taken[$0] == of_kind[$0] { doubled++; next }
    {
      here = place[$0, ++taken[$0]]
      lost--
      if (here < furthest) out_of_order++; else furthest = here
    }
    END { printf "lost=%d doubled=%d out_of_order=%d\n", lost, doubled, out_of_order }
  ' "$1" "$2"
}
