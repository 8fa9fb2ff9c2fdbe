# pgbench: 4 clients with 500 transactions each, whose sums agree afterwards.
bin=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | tail -1)
PATH=$PATH:$bin
need initdb pgbench psql
as=
[ "$(id -u)" != 0 ] || { as="setpriv --reuid postgres --regid postgres --clear-groups"; chown postgres "$w"; }
$as initdb -A trust -N -D db >/dev/null
$as pg_ctl -D db -w -o "-k $w -c listen_addresses='' -c fsync=off" -l log start >/dev/null
$as pgbench -h "$w" -i -q postgres >/dev/null 2>&1
begin
$as pgbench -h "$w" -c 4 -t 500 postgres >said 2>&1
end
got=$($as psql -h "$w" -At -c 'select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history), (select count(*) from pgbench_history)' postgres)
$as pg_ctl -D db -m fast -w stop >/dev/null
right "$got" "t|2000"
