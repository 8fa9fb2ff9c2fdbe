# redis-benchmark on its unix socket: 20,000 requests of 20 clients.
need redis-server redis-cli redis-benchmark
redis-server --port 0 --unixsocket "$w/s" --save '' --daemonize yes --pidfile "$w/pid" --dir "$w" >/dev/null
until redis-cli -s s ping >/dev/null 2>&1; do sleep 0.05; done
begin
redis-benchmark -q -s s -c 20 -n 20000 -t incr >/dev/null
end
got=$(redis-cli -s s get counter:__rand_int__)
redis-cli -s s shutdown nosave >/dev/null 2>&1 || :
right "$got" 20000
