# pgbench: 4 clients with 200 transactions each, whose sums agree afterwards.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
PATH=$PATH:$bin
need initdb pgbench psql
as=
[ "$(id -u)" != 0 ] || { as="setpriv --reuid postgres --regid postgres --clear-groups"; chown postgres "$w"; }
if ! id -un >/dev/null 2>&1; then # initdb wants a name
    need cc
    printf '#include <pwd.h>\nstruct passwd *getpwuid(uid_t u) { static struct passwd p = {.pw_name = "me", .pw_dir = "/", .pw_shell = "/bin/sh"}; p.pw_uid = u; return &p; }\n' >me.c
    cc -shared -fPIC -o me.so me.c
    export LD_PRELOAD="$w/me.so"
fi
$as initdb -U postgres -A trust -N -D db >/dev/null
$as pg_ctl -D db -w -o "-k $w -c listen_addresses='' -c fsync=off" -l log start >/dev/null
$as pgbench -U postgres -h "$w" -i -q postgres >/dev/null 2>&1
begin
$as pgbench -U postgres -h "$w" -c 4 -t 200 postgres >said 2>&1
end
got=$($as psql -U postgres -h "$w" -At -c 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history), (select count(*) from pgbench_history)' postgres)
$as pg_ctl -D db -m fast -w stop >/dev/null
right "$got" "t|800"
