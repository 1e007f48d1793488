#!/usr/bin/env bash
# scripts/phase.sh NAME COMMAND…: runs the command and says how many seconds it took; also appends
# that to the file of PHALA_PHASES, if there is one, for who sums a run up.
set -uo pipefail
name=$1
shift
start=$EPOCHREALTIME
"$@"
status=$?
seconds=$(awk -v a="$start" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.0f", b - a }')
echo "==> $name: ${seconds} s$([ "$status" = 0 ] || echo ', failed')"
[ -z "${PHALA_PHASES:-}" ] || printf '%s\t%s\t%s\n' "$name" "$seconds" "$status" >>"$PHALA_PHASES"
exit "$status"
