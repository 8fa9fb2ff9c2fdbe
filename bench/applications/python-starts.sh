# Python started 20 times: execs, and many small files.
need python3
begin
got=$(for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do python3 -c "print($n)"; done | tr '\n' ' ')
end
right "$got" "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 "
