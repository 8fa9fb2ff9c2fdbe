# a_life.sh: a pod is run, checkpointed, stopped by a checkpoint, restored, and ends well.
# $ZT_PYTHON is ours, $ZT_PROGRAM the program, $ZT_WORK a directory that can be written to.
set -eu
z() { "$ZT_PYTHON" -m zaptrace "$@"; }
cd "$ZT_WORK"
z run -d --name web -- env ZT_GO="$ZT_WORK/go" "$ZT_PROGRAM" processes 3
until z logs web | grep -q ready; do z ps >/dev/null; done
z checkpoint web --to one
z checkpoint web --to two --stop
z restore two -d
touch go
z logs web --follow >/dev/null
z logs web
