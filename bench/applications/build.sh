# A project of 100 files in C, by make -j2.
need make cc
n=0
while [ $n -lt 100 ]; do
    printf '#include <stdio.h>\n#include <string.h>\nint f%s(int x) { char b[32]; snprintf(b, sizeof b, "%%d", x + %s); return (int)strlen(b); }\n' $n $n >f$n.c
    printf 'int f%s(int);\n' $n >>all.h
    printf 's += f%s(s);\n' $n >>sum.h
    n=$((n + 1))
done
printf '#include <stdio.h>\n#include "all.h"\nint main(void) { int s = 1;\n#include "sum.h"\nprintf("%%d\\n", s); return 0; }\n' >main.c
printf 'O = $(patsubst %%.c,%%.o,$(wildcard *.c))\nprogram: $(O)\n\tcc -o $@ $(O)\n%%.o: %%.c\n\tcc -O1 -c $<\n' >Makefile
begin
make -s -j2
end
right "$(./program)" 261
