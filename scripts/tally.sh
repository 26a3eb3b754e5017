# To be sourced: runs steps one after another and adds up what they report.
#   suite NAME COMMAND...   a runner whose output ends with "N passed, N failed[, N skipped]"
#   check NAME COMMAND...   counts as one, by its exit status
#   tally_end               prints the sum in that same form; its status tells whether anything failed, or nothing ran
# A runner that dies, exits non-zero without naming a failure, or never gets to its closing line has failed.
# shellcheck shell=sh

tally_passed=0 tally_failed=0 tally_skipped=0
tally_log=$(mktemp)
trap 'rm -f "$tally_log" "$tally_log.status"' EXIT

# Shows the command's output as it comes and keeps it in the log; the status is the command's own.
tally_run() {
  printf '\n== %s\n' "$1"
  shift
  { status=0; "$@" </dev/null || status=$?; echo "$status" >"$tally_log.status"; } 2>&1 | tee "$tally_log"
  return "$(cat "$tally_log.status")"
}

tally_add() {
  tally_passed=$((tally_passed + $1)) tally_failed=$((tally_failed + $2)) tally_skipped=$((tally_skipped + $3))
}

suite() {
  status=0
  tally_run "$@" || status=$?
  counts=$(awk '/^[0-9]+ passed, [0-9]+ failed(, [0-9]+ skipped)?$/ { last = $1 " " $3 " " $5 + 0 } END { print last }' \
    "$tally_log")
  if [ -z "$counts" ]; then
    echo "FAIL $1: no closing line (exit status $status)"
    tally_add 0 1 0
    return
  fi
  # shellcheck disable=SC2086 # three numbers
  set -- "$1" $counts
  if [ "$status" -ne 0 ] && [ "$3" -eq 0 ]; then
    echo "FAIL $1: exit status $status"
    set -- "$1" "$2" 1 "$4"
  fi
  tally_add "$2" "$3" "$4"
}

check() {
  if tally_run "$@"; then
    tally_add 1 0 0
  else
    echo "FAIL $1"
    tally_add 0 1 0
  fi
}

tally_end() {
  printf '\n%d passed, %d failed, %d skipped\n' "$tally_passed" "$tally_failed" "$tally_skipped"
  [ "$tally_failed" -eq 0 ] && [ "$tally_passed" -gt 0 ]
}
