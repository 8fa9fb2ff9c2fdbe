#!/bin/bash
# scripts/as_user.sh COMMAND...   (root only)
#
# Runs COMMAND as an ordinary user: a uid that nobody has, no groups, no capability (an empty
# bounding set), no_new_privs. It works in a copy of this tree that is this user's, in a directory
# that goes away afterwards; paths named in KEEP (relative) are copied back first.
# Fails also when the user's processes outlive COMMAND: they are listed, then killed.
set -euo pipefail

if [ "$(id -u)" != 0 ]; then
    echo "as_user.sh: only root can become somebody else" >&2
    exit 1
fi
if ! command -v setpriv >/dev/null; then
    printf 'needed   setpriv\ndo       apt-get install util-linux\n' >&2
    exit 1
fi

source=$(cd "$(dirname "$0")/.." && pwd -P)

uid_in_use() {
    getent passwd "$1" >/dev/null || [ -n "$(find /proc -maxdepth 1 -uid "$1" -print -quit 2>/dev/null)" ]
}

# The directory is the lock on the uid: mkdir lets one of two simultaneous runs have it.
for ((uid = 61300; ; uid++)); do
    place=/tmp/zap-$uid # short, for the names of sockets below it have an end
    if ! uid_in_use "$uid" && mkdir -m 0700 "$place" 2>/dev/null; then break; fi
    if ((uid > 61400)); then
        echo "as_user.sh: no free uid; remove stale /tmp/zap-*" >&2
        exit 1
    fi
done

processes_of_user() {
    find /proc -maxdepth 1 -uid "$uid" -name '[0-9]*' -printf '%f\n' 2>/dev/null || true
}

kept=/tmp/zap-kept-$uid-$$

keep() {
    local result
    for result in ${KEEP:-}; do
        [ -e "$place/tree/$result" ] || continue
        mkdir -p "$source/$(dirname "$result")"
        cp -r --no-preserve=ownership -T "$place/tree/$result" "$source/$result"
    done
}

clean() {
    local pid
    for pid in $(processes_of_user); do kill -KILL "$pid" 2>/dev/null || true; done
    rm -rf "$place"
    if [ -d "$kept" ] && ! rmdir "$kept" 2>/dev/null; then
        chown -Rh 0:0 "$kept"
        echo "as_user.sh: what failed tests left is in $kept" >&2
    fi
}
trap clean EXIT
trap 'keep; exit 130' INT
trap 'keep; exit 143' TERM

mkdir "$place"/{tree,home,run,t}
tar -C "$source" -cf - --exclude=./.venv --exclude=./build --exclude=./.git --exclude='*.so' --exclude='*.o' --exclude=./zaptrace/_native.c \
    --exclude='*.egg-info' --exclude=__pycache__ --exclude='./.*_cache' --exclude=./bench/results \
    . | tar -C "$place/tree" -xf - --no-same-owner

# What root's pip was told (mirrors, certificates) the user's pip has to know as well.
if pip_conf=$(for f in "${PIP_CONFIG_FILE:-}" "$HOME/.config/pip/pip.conf" "$HOME/.pip/pip.conf"; do
        [ -n "$f" ] && [ -f "$f" ] && echo "$f" && break; done) && [ -n "$pip_conf" ]; then
    mkdir -p "$place/home/.config/pip"
    cp "$pip_conf" "$place/home/.config/pip/pip.conf"
fi
chown -R "$uid:$uid" "$place"
chmod 0700 "$place/run" "$place/home"
chmod 0755 "$place"
mkdir -m 0700 "$kept" # fails where somebody else has made it
chown "$uid:$uid" "$kept"

as_user=(setpriv --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all --bounding-set=-all
    --no-new-privs)

# Directories of PATH that this user may not search only hide programs from it.
path=
IFS=:
for directory in $PATH; do
    if "${as_user[@]}" test -x "$directory"; then path=${path:+$path:}$directory; fi
done
unset IFS

in_place() {
    env -u PIP_CONFIG_FILE -u PIP_CACHE_DIR -u XDG_CONFIG_HOME -u XDG_CACHE_HOME -u XDG_DATA_HOME \
        -u XDG_STATE_HOME -u PYTHONPATH -u PYTHONHOME -u VIRTUAL_ENV -u MAKEFLAGS -u MAKELEVEL \
        -u MFLAGS -u OLDPWD -u ZAPTRACE_RUNTIME_DIR -u KEEP \
        HOME="$place/home" USER=zap LOGNAME=zap PATH="$path" ZAPTRACE_TEST_KEEP="$kept" \
        XDG_RUNTIME_DIR="$place/run" TMPDIR="$place/t" \
        "${as_user[@]}" "$@"
}

# What the virtual environment is made of, as one word; nothing where it cannot be made.
venv_key() {
    local python
    python=$(in_place scripts/find_python.sh 2>/dev/null) || return 0
    {
        find csrc setup.py pyproject.toml Makefile -type f -not -name '*.pyc' -print0 | sort -z |
            xargs -0 sha256sum
        echo "$python" "$(in_place "$python" -VV)" "$(uname -m)"
        in_place "${CC:-cc}" --version
    } | sha256sum | cut -c1-32
}

# Lays the kept environment into the tree; fails when there is none. Its files name the tree that it
# was built in.
take_venv() {
    local from
    [ -d "$1" ] && from=$(cat "$1/origin") && touch "$1" &&
        cp -a "$1/.venv" .venv && cp -a "$1"/_native*.so zaptrace/ && touch .venv/.built &&
        chown -Rh "$uid:$uid" .venv zaptrace || return 1
    [ "$from" = "$PWD" ] ||
        in_place sh -c 'grep -rlIFZ -e "$1" .venv | xargs -0 sed -i "s|$1|$2|g"' sh "$from" "$PWD"
}

put_venv_by() {
    local new="$cache/new-$$"
    rm -rf "$new"
    mkdir "$new"
    cp -a .venv "$new/.venv"
    cp -a zaptrace/_native*.so "$new/"
    echo "$PWD" >"$new/origin"
    chown -Rh 0:0 "$new"
    mv -T "$new" "$1"
    # The last few stay.
    find "$cache" -mindepth 1 -maxdepth 1 -type d -printf '%T@ %p\n' | sort -rn | tail -n +5 |
        cut -d' ' -f2- | xargs -r rm -rf
}

echo "running as root: continuing as ordinary user $uid, without capabilities, in $place" >&2
cd "$place/tree"
cache=$(getent passwd 0 | cut -d: -f6)/.cache/zaptrace/as_user # root's own, whatever HOME says
mkdir -p -m 0700 "$cache"
if key=$(venv_key) && [ -n "$key" ] && ! take_venv "$cache/$key"; then
    exec 9>"$cache/lock"
    flock 9
    if ! take_venv "$cache/$key" && in_place "${MAKE:-make}" --no-print-directory build 9>&-; then
        put_venv_by "$cache/$key"
    fi
    exec 9>&-
fi

status=0
in_place "$@" || status=$?

keep

# Processes that are just ending get a moment; one that waits for whoever adopted it has ended.
for _ in {1..50}; do
    left=$(for pid in $(processes_of_user); do
        grep -q '^State:[[:space:]]Z' "/proc/$pid/status" 2>/dev/null || echo "$pid"
    done)
    [ -n "$left" ] || break
    sleep 0.2
done
if [ -n "$left" ]; then
    echo "as_user.sh: processes were left behind:" >&2
    for pid in $left; do
        echo "  $pid $(tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null) $(grep State "/proc/$pid/status" 2>/dev/null)" >&2
    done
    [ "$status" != 0 ] || status=1
fi
exit "$status"
