#!/bin/bash
# supervisord with two programs, and its client, which asks for their state again and again.
set -eu
cat >supervisord.conf <<END
[unix_http_server]
file=$PWD/sup.sock
[supervisord]
nodaemon=true
logfile=$PWD/sup.log
pidfile=$PWD/sup.pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://$PWD/sup.sock
[program:steady]
command=sleep 1000
[program:dying]
command=sh -c 'sleep 0.3; echo died >>$PWD/deaths; exit 0'
startsecs=0
autorestart=true
END
"$1" -m supervisor.supervisord -c supervisord.conf >/dev/null 2>&1 &
daemon=$!
ctl() { "$1" -m supervisor.supervisorctl -c supervisord.conf "${@:2}"; }
for _ in $(seq 200); do ctl "$1" status steady 2>/dev/null | grep -q RUNNING && break; sleep 0.1; done
for n in $(seq 6); do
    ctl "$1" status steady | awk '{print $1, $2}'
    ctl "$1" restart steady | awk '{print $1, $2}'
    sleep 0.2
done
[ "$(wc -l <deaths)" -ge 3 ] && echo "restarted what died"
kill "$daemon"
wait "$daemon" && echo "ended well"
