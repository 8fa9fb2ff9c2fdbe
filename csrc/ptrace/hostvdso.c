#include "hostvdso.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>
#include <sys/auxv.h>

#include "../arch/arch.h"
#include "../base/proc.h"

static int find_parts(zt_host_vdso *ret, uint64_t vdso, zt_err *err)
{
    FILE *maps = zt_proc_open(ZT_PROC_SELF, "maps");
    if (!maps)
        return zt_fail_os(err, "our own maps");
    char line[512];
    uint64_t end = 0;
    while (fgets(line, sizeof line, maps) && ret->parts < ZT_HOST_PARTS) {
        uint64_t from, to;
        if (!strstr(line, "[vvar") && !strstr(line, "[vdso]"))
            continue;
        if (sscanf(line, "%lx-%lx", &from, &to) != 2)
            continue;
        if (!ret->parts)
            ret->lowest = (int64_t)(from - vdso);
        ret->part[ret->parts].offset = (int64_t)(from - vdso);
        ret->part[ret->parts++].size = to - from;
        end = to;
    }
    fclose(maps);
    if (!ret->parts)
        return zt_fail(err, ZT_ERR_OS, 0, "the kernel maps no vDSO");
    ret->size = end - (vdso + (uint64_t)ret->lowest);
    if (ret->size > ZT_STUB_HOST_SIZE)
        return zt_fail(err, ZT_ERR_OS, 0, "the host's vDSO is larger than its place in the stub region");
    return 0;
}

static void find_symbols(zt_host_vdso *ret, uint64_t vdso)
{
    const Elf64_Ehdr *elf = (const void *)vdso;
    const Elf64_Phdr *segment = (const void *)(vdso + elf->e_phoff);
    const Elf64_Dyn *dynamic = NULL;
    uint64_t bias = 0;
    for (int i = 0; i < elf->e_phnum; i++) {
        if (segment[i].p_type == PT_LOAD && segment[i].p_flags & PF_X)
            bias = vdso + segment[i].p_offset - segment[i].p_vaddr;
        if (segment[i].p_type == PT_DYNAMIC)
            dynamic = (const void *)(vdso + segment[i].p_offset);
    }
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const Elf64_Word *hash = NULL;
    uint64_t count = 0;
    for (; dynamic && dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const void *)(bias + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_STRTAB)
            strings = (const void *)(bias + dynamic->d_un.d_ptr);
        if (dynamic->d_tag == DT_HASH)
            hash = (const void *)(bias + dynamic->d_un.d_ptr);
    }
    if (hash)
        count = hash[1];
    else if (symbols && (const char *)symbols < strings)
        count = (uint64_t)(strings - (const char *)symbols) / sizeof *symbols; /* the tables follow each other */
    const struct {
        const char *name;
        uint64_t *into;
    } wanted[] = {
        {"__vdso_clock_gettime", &ret->symbol.clock_gettime},
        {"__vdso_gettimeofday", &ret->symbol.gettimeofday},
        {"__vdso_time", &ret->symbol.time},
        {"__vdso_clock_getres", &ret->symbol.clock_getres},
        {"__vdso_getcpu", &ret->symbol.getcpu},
    };
    for (uint64_t i = 0; i < count; i++)
        for (size_t w = 0; w < sizeof wanted / sizeof *wanted; w++)
            if (symbols[i].st_shndx && strcmp(strings + symbols[i].st_name, wanted[w].name) == 0)
                *wanted[w].into = bias + symbols[i].st_value - vdso;
}

int zt_host_vdso_find(zt_host_vdso *ret, zt_err *err)
{
    memset(ret, 0, sizeof *ret);
    uint64_t vdso = getauxval(AT_SYSINFO_EHDR);
    if (!vdso)
        return zt_fail(err, ZT_ERR_OS, 0, "the kernel gives programs no vDSO (booted with vdso=0?)");
    if (find_parts(ret, vdso, err))
        return -1;
    find_symbols(ret, vdso);
    uint64_t text = ret->part[ret->parts - 1].size;
    const unsigned char *insn = memmem((const void *)vdso, text, zt_arch_syscall_insn, ZT_ARCH_SYSCALL_BYTES);
    if (!insn)
        return zt_fail(err, ZT_ERR_OS, 0, "the host's vDSO has no system call instruction");
    ret->syscall_insn = (uint64_t)insn - vdso;
    return 0;
}
