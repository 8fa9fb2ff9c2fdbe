# nginx answers 5,000 requests of 10 clients that keep their connections (ab).
PATH=$PATH:/usr/sbin
need nginx ab python3
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir html && echo hello >html/index.html
cat >conf <<END
daemon on; pid $w/pid; error_log $w/log;
events { worker_connections 256; }
http { access_log off; client_body_temp_path $w/1; proxy_temp_path $w/2; fastcgi_temp_path $w/3;
uwsgi_temp_path $w/4; scgi_temp_path $w/5; keepalive_requests 100000;
server { listen 127.0.0.1:$port; root $w/html; } }
END
[ "$(id -u)" != 0 ] || { chmod 755 "$w"; }
nginx -e "$w/log" -c "$w/conf"
begin
ab -q -k -c 10 -n 5000 "http://127.0.0.1:$port/" >said
end
kill "$(cat pid)"
right "$(awk '/^Complete requests/ { print $3 } /^Failed requests/ { print $3 } /^Non-2xx/ { print $0 }' said | tr '\n' ' ')" "5000 0 "
