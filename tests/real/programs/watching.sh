# Each file that is told to be written has the next one written: an event that is lost ends the chain,
# and one too many is printed.
mkdir watched
mkfifo told
inotifywait -q -m -e close_write --format %f watched >told &
exec 3<told
until grep -qs '^inotify wd' /proc/$!/fdinfo/*; do sleep 0.01; done
: >watched/0
while read -r name <&3; do
	echo "$name"
	[ "$name" = 60 ] && break
	sleep 0.03
	: >watched/$((name + 1))
done
kill $!
wait
