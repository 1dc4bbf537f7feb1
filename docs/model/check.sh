#!/usr/bin/env bash
# Runs the model of the lock in every configuration of the table below, one
# line a run. The protocol must hold in each, in a search that is complete;
# each mistake must be found, by the claim that is named at the end of its line;
# and each claim must be broken by some mistake. Exits 1 on any surprise.
# ONLY=… runs the lines of the table that match, JOBS=… so many at a time.
set -u
cd "$(dirname "$0")" || exit 1

compiles() { echo '#include <stdlib.h>' | gcc -E - >/dev/null 2>&1; }
if ! command -v spin >/dev/null || ! compiles; then
	test "$(id -u)" = 0 && apt-get update -qq && apt-get install -qq -y --no-install-recommends spin gcc libc6-dev >/dev/null
	if ! command -v spin >/dev/null || ! compiles; then
		echo "make model needs spin and a C compiler: apt-get install spin gcc libc6-dev"
		exit 1
	fi
fi

FAULTS="CRASHES RESETS LOST_ANSWERS LATE_DRAINS LATE_ACTIVES TIMEOUTS MARKS GONE CUTS LOSSES"
PEOPLE="FOREIGN_DRAINS VERBS RELEASE_GONE"
# People who free the slot of a host that is alive: promises 1 and 4 are theirs
# then. With the intent file lost as well nothing knows of the drain.
ALIVE="${FAULTS/LOSSES/} FOREIGN_DRAINS VERBS RELEASE_ALIVE ANY_NUMBER_OUT"

# name: what must be found, and the definitions; the longest runs come first
runs() {
	cat <<-END
	people-good: holds HOSTS=2 GRANTS=2 FAULTS=2 OPS=2 $FAULTS $PEOPLE
	people-falls: holds HOSTS=2 GRANTS=2 FAULTS=2 OPS=2 FATE=FALLS $FAULTS $PEOPLE
	people-ill: holds HOSTS=2 GRANTS=2 FAULTS=2 OPS=2 FATE=ILL $FAULTS $PEOPLE
	two-slots-good: holds HOSTS=3 SLOTS=2 FAULTS=1 $FAULTS
	two-slots-falls: holds HOSTS=3 SLOTS=2 FAULTS=1 FATE=FALLS $FAULTS
	people-two-slots: holds HOSTS=2 SLOTS=2 GRANTS=2 FAULTS=1 OPS=1 FATE=FALLS $FAULTS $PEOPLE
	three-two-people-falls: holds HOSTS=3 SLOTS=2 FAULTS=0 OPS=1 FATE=FALLS $FAULTS $PEOPLE
	three-people-good: holds HOSTS=3 FAULTS=1 OPS=1 $FAULTS $PEOPLE
	three-hosts-good: holds HOSTS=3 FAULTS=2 $FAULTS
	three-two-people-good: holds HOSTS=3 SLOTS=2 FAULTS=0 OPS=1 $FAULTS $PEOPLE
	two-slots-ill: holds HOSTS=3 SLOTS=2 FAULTS=1 FATE=ILL $FAULTS
	freed-alive-falls: holds HOSTS=2 GRANTS=2 FAULTS=1 OPS=2 FATE=FALLS $ALIVE
	freed-alive-good: holds HOSTS=2 GRANTS=2 FAULTS=1 OPS=2 $ALIVE
	freed-alive-ill: holds HOSTS=2 GRANTS=2 FAULTS=1 OPS=2 FATE=ILL $ALIVE
	three-faults-good: holds HOSTS=2 FAULTS=3 $FAULTS
	three-people-falls: holds HOSTS=3 FAULTS=1 OPS=1 FATE=FALLS $FAULTS $PEOPLE
	two-failures: holds HOSTS=3 SLOTS=2 MAXFAIL=2 FAULTS=1 FATE=ILL $FAULTS
	three-hosts-falls: holds HOSTS=3 FAULTS=2 FATE=FALLS $FAULTS
	three-faults-falls: holds HOSTS=2 FAULTS=3 FATE=FALLS $FAULTS
	three-hosts-ill: holds HOSTS=3 FAULTS=2 FATE=ILL $FAULTS
	three-faults-ill: holds HOSTS=2 FAULTS=3 FATE=ILL $FAULTS
	three-people-ill: holds HOSTS=3 FAULTS=1 OPS=1 FATE=ILL $FAULTS $PEOPLE
	three-two-people-ill: holds HOSTS=3 SLOTS=2 FAULTS=0 OPS=1 FATE=ILL $FAULTS $PEOPLE
	comes-to-rest-good: ends HOSTS=2 GRANTS=2 FAULTS=1 OPS=1 $FAULTS $PEOPLE
	comes-to-rest-falls: ends HOSTS=2 GRANTS=2 FAULTS=1 OPS=1 FATE=FALLS $FAULTS $PEOPLE
	comes-to-rest-ill: ends HOSTS=2 GRANTS=2 FAULTS=1 OPS=1 FATE=ILL $FAULTS $PEOPLE
	MISTAKE_ROW1_NO_GRANT: fails
	MISTAKE_ROW1_SLOT_NOT_RETURNED: fails CRASHES
	MISTAKE_ROW2_NO_DUTY: fails CUTS CRASHES
	MISTAKE_ROW3_NO_REASSERT: fails FATE=ILL SLOTS=2
	MISTAKE_ROW3_SLOT_RETURNED_WITHOUT_FILE: fails LOSSES
	MISTAKE_ROW4_NO_PHASE: fails FATE=ILL GONE
	MISTAKE_ROW5_ACTIVATES_BEFORE_NOTE: fails FATE=ILL RESETS
	MISTAKE_ROW6_NOT_ARMED: fails CRASHES MARKS
	MISTAKE_ROW7_OUTCOME_NOT_DURABLE: fails FATE=FALLS CRASHES
	MISTAKE_ROW8_WAITS_FOR_TABLE: fails CUTS
	MISTAKE_ROW9_NO_RESTORED_NOTE: fails CRASHES LATE_DRAINS FOREIGN_DRAINS OPS=1
	MISTAKE_ROW10_TWO_WRITES: fails FATE=FALLS
	MISTAKE_ROW11_CLEARS_BEFORE_RETURN: fails CRASHES FOREIGN_DRAINS OPS=1
	MISTAKE_PHASE_GOES_BACK: fails FATE=FALLS GONE CRASHES RESETS FAULTS=3
	MISTAKE_UNDO_DEACTIVATES_BEFORE_DISARM: fails TIMEOUTS RESETS
	MISTAKE_UNDO_CLEARS_BEFORE_DEACTIVATING: fails TIMEOUTS CRASHES FAULTS=3
	MISTAKE_RELEASE_BEFORE_ACTIVE: fails
	MISTAKE_ARMS_BEFORE_ACTIVATING: fails RESETS
	MISTAKE_NO_LOOK_AFTER_LOST_ANSWER: fails LOST_ANSWERS
	MISTAKE_NO_REASSERT_ON_RESUME: fails FATE=ILL SLOTS=2 CRASHES
	MISTAKE_RESTORE_WAITS_FOR_TABLE: fails CUTS
	MISTAKE_RESTORE_WHILE_REQUEST_ALIVE: fails CRASHES
	MISTAKE_OUTCOME_OF_AN_EARLIER_BOOT: fails FATE=ILL MARKS CRASHES RESETS FAULTS=3
	MISTAKE_EARLIER_OUTCOME_HIDES_FALLBACK: fails FATE=FALLS MARKS CRASHES RESETS FAULTS=3
	MISTAKE_ADOPTED_ARMING_PROVES: fails LOSSES RESETS
	MISTAKE_ADOPTED_DRAIN_SETTLED: fails LATE_DRAINS LOSSES RESETS FAULTS=3
	MISTAKE_SEEN_DRAIN_SETTLES: fails LATE_DRAINS FOREIGN_DRAINS OPS=2
	MISTAKE_DRAINS_AGAIN: fails LATE_DRAINS CRASHES FOREIGN_DRAINS OPS=1
	MISTAKE_NO_LATE_LOOK: fails LATE_DRAINS TIMEOUTS
	MISTAKE_LATE_ACTIVE_NOT_WAITED_FOR: fails LATE_ACTIVES FOREIGN_DRAINS OPS=2
	MISTAKE_ACTIVE_NOT_NOTED: fails CRASHES FOREIGN_DRAINS OPS=1
	MISTAKE_UNDOES_A_DRAIN_NOT_OURS: fails FOREIGN_DRAINS OPS=1
	MISTAKE_HALT_NOT_IN_GUARD: fails FATE=ILL SLOTS=2
	MISTAKE_REFUSAL_NOT_IN_GUARD: fails FATE=FALLS RESUMES OPS=1
	MISTAKE_STUCK_NOT_IN_GUARD: fails MARKS RESUMES OPS=1
	MISTAKE_RECALL_NOT_IN_GUARD: fails VERBS OPS=1
	MISTAKE_SLOTS_NOT_IN_GUARD: fails
	MISTAKE_STUCK_FREES_SLOT: fails MARKS RESUMES OPS=1
	MISTAKE_MARK_IN_TWO_WRITES: fails MARKS
	MISTAKE_FAILURE_NOT_WITHDRAWN: fails MARKS
	MISTAKE_FAILURE_COUNTED_TWICE: fails FATE=FALLS CRASHES RESUMES OPS=1
	MISTAKE_FREED_WITHOUT_EVIDENCE: fails MARKS RESUMES OPS=1
	MISTAKE_NEVER_FREED: fails GONE
	MISTAKE_FREED_FAILURE_GOES: fails FATE=ILL GONE
	MISTAKE_FREED_FAILURE_STAYS: fails GONE
	MISTAKE_FREED_SICK_COUNTS_AGAIN: fails FATE=ILL RESUMES RELEASE_GONE GONE OPS=2
	MISTAKE_FREED_STUCK_COUNTS_NOT: fails FATE=FALLS MARKS GONE RESUMES OPS=1
	MISTAKE_FREED_FALLBACK_UNTOLD: fails FATE=FALLS RELEASE_ALIVE RESUMES ANY_NUMBER_OUT OPS=2
	MISTAKE_RESUME_TAKES_ALL: fails FATE=ILL SLOTS=2 RESUMES OPS=1
	MISTAKE_RESUME_TAKES_WHAT_CAME_IN_ITS_PLACE: fails FATE=ILL RESUMES MARKS OPS=1
	MISTAKE_SICK_TELLS_NOBODY: fails FATE=ILL
	MISTAKE_SICK_TELLS_FOR_EVER: cycles FATE=ILL
	WINDOW_ACTIVE_NOT_NOTED_YET: fails CRASHES FOREIGN_DRAINS OPS=1
	WINDOW_LATE_ACTIVE: fails LATE_ACTIVES FOREIGN_DRAINS OPS=2
	END
}

# claim NUMBER: its name in the model
claim() { awk -v n="$1" '$1 == "#define" && $3 == n { print tolower($2); exit }' lock.pml; }

# one "name: expectation definitions…"
one() {
	local name=${1%%:*} want words dir flags="-DSAFETY -DNOCOMP" go="" result extent states time memory
	read -r want words <<<"${1#*: }"
	case $want in
	ends) flags=-DNP go=-l ;;	# no run goes on for ever: every cycle is an error
	fails) words="HOSTS=2 $name $words" ;;	# of two definitions of one name the last one counts
	cycles) words="HOSTS=2 $name $words" flags=-DNP go=-l ;;
	esac
	test "$want" = holds && flags+=" -O1"
	dir=$(mktemp -d) && cp lock.pml "$dir" && cd "$dir" || return 255
	if ! { spin -a $(printf ' -D%s' $words) lock.pml && gcc -w $flags -DNOREDUCE -DNOFAIR -DMEMLIM=1800 -o pan pan.c; } >out 2>&1; then
		cat out; rm -r "$dir"; return 255
	fi
	./pan $go -m20000 -w23 >out 2>&1
	states=$(awk '/states, stored/ {print $1; exit}' out)
	memory=$(awk '/memory usage/ && $1 + 0 > m {m = $1 + 0} END {print int(m)}' out)
	time=$(sed -n 's/.*elapsed time \([0-9.]*\).*/\1/p' out)
	extent=complete
	grep -q 'out of memory\|max search depth too small\|memory exceeds' out && extent=INCOMPLETE
	if grep -q 'non-progress cycle' <(grep '^pan:1:' out); then result=cycles extent="goes on for ever"
	elif grep -q 'errors: [1-9]' out; then result=fails extent=$(claim "$(sed -n 's/^pan:1: assertion violated .*||(\([0-9]*\)==0)).*/\1/p' out)")
	elif grep -q 'errors: 0' out && test "$extent" = complete; then result=holds
	else result=unknown
	fi
	cd / && rm -r "$dir"
	printf '%-43s %-6s %8s states %5s s %4s MB  %s' "$name" "$result" "$states" "${time:-0}" "$memory" "${extent:-no claim}"
	case $want/$result/$extent in
	holds/holds/* | ends/holds/* | cycles/cycles/* | fails/fails/?*) echo ;;
	*) echo "  SURPRISE: $want was expected"; return 255 ;;
	esac
}
export -f one claim

chosen=$(runs | grep -cE -- "${ONLY:-.}")
if test "$chosen" = 0; then
	echo "no run matches ONLY=$ONLY"
	exit 1
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
runs | grep -E -- "${ONLY:-.}" | tr '\n' '\0' | nice xargs -0 -n1 -P"${JOBS:-$(nproc)}" bash -c 'one "$0" || exit 1' | tee "$log"
status=${PIPESTATUS[3]}

# A claim that no mistake breaks may be one that cannot be broken.
if test -z "${ONLY:-}"; then
	while read -r name; do
		grep -q " fails .*  ${name,,}$" "$log" || { echo "SURPRISE: no mistake breaks the claim ${name,,}"; status=1; }
	done < <(awk '$1 == "#define" && $3 ~ /^1[0-9][0-9]$/ {print $2}' lock.pml)
fi
if test "$status" != 0; then
	echo "there was a surprise"
elif test -n "${ONLY:-}"; then
	echo "$chosen of $(runs | wc -l) runs: as expected"
else
	echo "the protocol holds in every configuration, and every mistake is found"
fi
exit $((status != 0))
