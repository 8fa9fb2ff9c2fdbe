# A log is followed, and renamed meanwhile: tail(1) sees each line when inotify tells that it is there.
: >log
mkfifo told
tail -n +1 -f log >told &
exec 3<told
for i in $(seq 1 60); do
	sleep 0.03
	echo "line $i" >>log
	read -r line <&3
	echo "$line"
	if [ "$i" = 30 ]; then
		mv log log.1
		ln log.1 log
	fi
done
kill $!
wait
