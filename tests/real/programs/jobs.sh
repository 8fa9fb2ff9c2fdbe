#!/bin/bash
# Pipelines, subshells, traps, background jobs, here-documents: what shell scripts are made of.
set -u
trap 'echo "trapped USR1 number $((++usr1))"' USR1
trap 'echo "leaving with $?"' EXIT
usr1=0

numbers() { local i; for ((i = 1; i <= $1; i++)); do echo "$i"; sleep 0.01; done; }

echo "pipeline $(numbers 40 | while read -r n; do echo $((n * n)); done | sort -n | tail -1)"

(
	cd / || exit 9
	trap 'echo "subshell leaves"' EXIT
	sleep 0.1
	exit 7
)
echo "subshell said $? and we are still in $(basename "$PWD")"

while read -r word rest; do
	sleep 0.05
	echo "here: $word/$rest"
done <<HERE
one two three
$((6 * 7)) is computed
$(numbers 3 | tr '\n' ' ')
HERE

pids=()
for job in 1 2 3 4; do
	( numbers $((job * 10)) >"job.$job"; exit $((10 + job)) ) &
	pids+=($!)
done
kill -USR1 $$
for i in "${!pids[@]}"; do
	while :; do
		wait "${pids[$i]}"
		status=$?
		((status > 128)) || break
	done
	echo "job $((i + 1)) ended with $status after $(wc -l <"job.$((i + 1))") lines"
done

mkfifo fifo
numbers 30 >fifo &
total=0
while read -r n; do total=$((total + n)); done <fifo
echo "fifo total $total"
wait
kill -USR1 $$
sleep 0.1

coproc CAT { while read -r line; do echo "coproc: $line"; sleep 0.01; done; }
for n in 1 2 3; do
	echo "message $n" >&"${CAT[1]}"
	read -r answer <&"${CAT[0]}"
	echo "$answer"
done
exec {CAT[1]}>&-
wait "$CAT_PID"
echo "coproc ended with $?"

diff <(numbers 15) <(numbers 15) && echo "process substitutions agree"
exit 3
