# 3,000 small files made, packed, unpacked, found and removed, as a package manager does.
begin
mkdir in out
n=0
while [ $n -lt 3000 ]; do [ -d in/d$((n / 50)) ] || mkdir in/d$((n / 50)); echo $n >in/d$((n / 50))/f$n; n=$((n + 1)); done
tar -cf all.tar in && tar -C out -xf all.tar
got=$(find out -type f | wc -l)
rm -r in
end
right "$got" 3000
