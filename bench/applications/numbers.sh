# A loop that computes, in Python: no system calls at all.
need python3
begin
got=$(python3 -c 'print(sum(n * n % 7 for n in range(2000000)))')
end
right "$got" 3999997
