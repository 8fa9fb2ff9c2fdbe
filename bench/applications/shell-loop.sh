# A shell that starts 300 programs, one after the other.
begin
n=0
while [ $n -lt 300 ]; do /bin/true; n=$((n + 1)); done
end
right $n 300
