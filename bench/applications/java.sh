# The JVM started three times.
need java
begin
got=$(for n in 1 2 3; do java -Xshare:auto -version 2>&1 | grep -c -i 'version'; done | tr '\n' ' ')
end
right "$got" "1 1 1 "
