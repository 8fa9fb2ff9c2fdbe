# 2,000 transactions on a database in a file, then a sum over an index.
need sqlite3
{ echo 'create table t (a integer primary key, b integer);'; n=0; while [ $n -lt 2000 ]; do echo "insert into t values ($n, $n % 17);"; n=$((n + 1)); done; } >in.sql
begin
sqlite3 db <in.sql
got=$(sqlite3 db 'select sum(b) from t where a < 1700;')
end
right "$got" 13600
