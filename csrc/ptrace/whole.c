#include "whole.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/proc.h"
#include "fresh.h"
#include "mem.h"

enum { PAGE = 4096 };

/* A line of /proc/PID/maps. */
typedef struct mapping {
    uint64_t start, end;
    char access[5];
    uint64_t inode;
    char name[16]; /* its beginning */
} mapping;

static bool parse(const char *line, mapping *ret)
{
    ret->name[0] = 0;
    return sscanf(line, "%lx-%lx %4s %*x %*s %lu %15[^\n]", &ret->start, &ret->end, ret->access, &ret->inode,
                  ret->name) >= 4;
}

static bool is_anonymous(const mapping *m)
{
    return m->access[3] == 'p' && !m->inode && (!m->name[0] || strncmp(m->name, "[anon:", 6) == 0);
}

static bool is_of_host(const mapping *m)
{
    return strncmp(m->name, "[vvar", 5) == 0 || strcmp(m->name, "[vdso]") == 0 ||
           (is_anonymous(m) && strcmp(m->access, "---p") == 0);
}

typedef enum which { VDSO, PARAMS, INTERPRETER, HOST, DATA, PARTS } which;

static const struct part {
    uint64_t start, end;
    const char *access;
    int protection;
} PART[PARTS] = {
    [VDSO] = {ZT_STUB_BASE, ZT_VDSO_PARAMS, "r-xp", PROT_READ | PROT_EXEC},
    [PARAMS] = {ZT_VDSO_PARAMS, ZT_STUB_INTERPRETER, "rw-p", PROT_READ | PROT_WRITE},
    [INTERPRETER] = {ZT_STUB_INTERPRETER, ZT_STUB_HOST, "r-xp", PROT_READ | PROT_EXEC},
    [HOST] = {ZT_STUB_HOST, ZT_STUB_DATA, "---p", PROT_NONE},
    [DATA] = {ZT_STUB_DATA, ZT_STUB_LIMIT, "rw-p", PROT_READ | PROT_WRITE},
};

/* What is mapped of a part: so many bytes, and so many of them as we laid them. */
typedef struct found {
    uint64_t mapped, as_laid;
} found;

static int foreign(zt_err *err, uint64_t start, uint64_t end, const char *why)
{
    return zt_fail(err, ZT_ERR_FOREIGN, 0, "its memory at %#lx to %#lx %s", start, end, why);
}

static int add(const mapping *m, found ret[PARTS], zt_err *err)
{
    for (int i = 0; i < PARTS; i++) {
        const uint64_t start = m->start > PART[i].start ? m->start : PART[i].start;
        const uint64_t end = m->end < PART[i].end ? m->end : PART[i].end;
        if (start >= end)
            continue;
        if (i == HOST ? !is_of_host(m) : !is_anonymous(m))
            return foreign(err, m->start, m->end, "is another's than what was laid there");
        ret[i].mapped += end - start;
        if (strcmp(m->access, PART[i].access) == 0)
            ret[i].as_laid += end - start;
    }
    return 0;
}

static int look_at_maps(int32_t rpid, found ret[PARTS], zt_err *err)
{
    char line[512];
    mapping m;
    int failed = 0;
    FILE *maps = zt_proc_open(rpid, "maps");
    if (!maps)
        return zt_fail_os(err, "maps of a process");
    while (!failed && fgets(line, sizeof line, maps)) {
        if (!parse(line, &m) || m.end <= ZT_STUB_BASE)
            continue;
        if (m.start >= ZT_STUB_LIMIT)
            break;
        if (m.start < ZT_STUB_BASE || m.end > ZT_STUB_LIMIT)
            failed = foreign(err, m.start, m.end, "reaches into the place of the stub");
        else
            failed = add(&m, ret, err);
    }
    fclose(maps);
    return failed;
}

typedef enum content { OURS, EMPTY, OTHER, UNREADABLE } content;

/* By /proc/PID/mem, which reads what is protected too, and takes no page from those who share it. */
static content compare(int mem_fd, zt_stub_code code)
{
    unsigned char here[512];
    bool ours = true, empty = true;
    for (uint64_t at = 0; at < code.size; at += sizeof here) {
        size_t size = code.size - at < sizeof here ? code.size - at : sizeof here;
        if (pread(mem_fd, here, size, (off_t)(code.address + at)) != (ssize_t)size)
            return UNREADABLE;
        ours = ours && memcmp(here, code.bytes + at, size) == 0;
        for (size_t i = 0; i < size; i++)
            empty = empty && !here[i];
    }
    return ours ? OURS : empty ? EMPTY : OTHER;
}

static int look_at_code(int mem_fd, const found parts[PARTS], bool *ret_interpreter, zt_err *err)
{
    const struct part *vdso = &PART[VDSO], *text = &PART[INTERPRETER];
    content seen = compare(mem_fd, zt_stub_vdso());
    if (parts[VDSO].mapped && (seen == OTHER || seen == EMPTY))
        return foreign(err, vdso->start, vdso->end, "has other bytes than the vDSO that was laid there");
    seen = compare(mem_fd, zt_stub_interpreter());
    if (parts[INTERPRETER].mapped && seen == OTHER)
        return foreign(err, text->start, text->end, "has other bytes than those that were laid there");
    *ret_interpreter = seen == OURS;
    return 0;
}

/* --- laying it again */

/* An instruction that enters the kernel, wherever the process has one. 0: it has none. */
static uint64_t find_syscall(int32_t rpid, int mem_fd)
{
    enum { BITE = 16 * PAGE };
    char line[512];
    mapping m;
    uint64_t at = 0;
    unsigned char *bytes = malloc(BITE);
    FILE *maps = zt_proc_open(rpid, "maps");
    while (bytes && maps && !at && fgets(line, sizeof line, maps)) {
        if (!parse(line, &m) || m.access[2] != 'x' || strcmp(m.name, "[vsyscall]") == 0)
            continue;
        for (uint64_t from = m.start; !at && from < m.end; from += BITE) {
            const uint64_t size = m.end - from < BITE ? m.end - from : BITE;
            ssize_t got = pread(mem_fd, bytes, size, (off_t)from);
            const unsigned char *insn =
                got > 0 ? memmem(bytes, (size_t)got, zt_arch_syscall_insn, ZT_ARCH_SYSCALL_BYTES) : NULL;
            at = insn ? from + (uint64_t)(insn - bytes) : 0;
        }
    }
    if (maps)
        fclose(maps);
    free(bytes);
    return at;
}

static int lay_part(zt_stopped thread, uint64_t insn, which which, zt_err *err)
{
    const struct part *part = &PART[which];
    const uint64_t args[6] = {
        part->start,
        part->end - part->start,
        (uint64_t)part->protection,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
        (uint64_t)-1,
        0,
    };
    int64_t mapped;
    if (zt_fresh_call(thread, insn, zt_arch_nr(ZT_NR_MMAP), args, &mapped, err))
        return -1;
    if (mapped != (int64_t)part->start)
        return zt_fail(err, ZT_ERR_FOREIGN, (int)-mapped, "its stub is gone and cannot be laid again: %s",
                       strerror((int)-mapped));
    return 0;
}

/* In a thread with all signals blocked. */
static int lay(zt_stopped thread, uint64_t insn, const bool needed[PARTS], const zt_host_vdso *host,
               int64_t clock_offset_ns, zt_err *err)
{
    const zt_stub_code text = zt_stub_interpreter();
    for (int i = 0; i < PARTS; i++)
        if (needed[i] && lay_part(thread, insn, i, err))
            return -1;
    if (needed[PARAMS] && zt_stub_set_params(thread.rtid, host, clock_offset_ns, err))
        return -1;
    if (!needed[INTERPRETER])
        return 0;
    return zt_stopped_poke(thread, text.address, text.bytes, text.size, err);
}

static int lay_again(zt_stopped thread, int mem_fd, const bool needed[PARTS], const zt_host_vdso *host,
                     int64_t clock_offset_ns, zt_err *err)
{
    zt_regs before;
    zt_stop stop;
    uint64_t mask;
    const uint64_t insn = find_syscall(thread.rtid, mem_fd);
    if (!insn)
        return zt_fail(err, ZT_ERR_FOREIGN, 0, "its stub is gone, and it has no system call to lay it again by");
    if (zt_stopped_get_regs(thread, &before, err) || zt_stopped_get_mask(thread, &mask, err) ||
        zt_stopped_set_mask(thread, ~0ull, err))
        return -1;
    const int failed = lay(thread, insn, needed, host, clock_offset_ns, err);
    const zt_err why = *err;
    if ((failed && why.kind == ZT_ERR_GONE) || zt_stopped_set_regs(thread, &before, err) ||
        zt_stopped_rest(thread, &stop, err))
        return -1;
    if (stop.kind == ZT_STOP_EXITED)
        return zt_stop_fail_ended(stop, err);
    if (zt_stopped_set_regs(thread, &before, err) || zt_stopped_set_mask(thread, mask, err))
        return -1;
    if (failed)
        *err = why;
    return failed;
}

static int make(zt_stopped thread, int mem_fd, const zt_host_vdso *host, int64_t clock_offset_ns, zt_err *err)
{
    found parts[PARTS] = {0};
    bool needed[PARTS] = {false}, interpreter = false;
    if (look_at_maps(thread.rtid, parts, err) || look_at_code(mem_fd, parts, &interpreter, err))
        return -1;
    for (int i = 0; i < PARTS; i++)
        needed[i] = i != VDSO && i != HOST && parts[i].as_laid < PART[i].end - PART[i].start;
    needed[INTERPRETER] = needed[INTERPRETER] || !interpreter;
    if (!needed[PARAMS] && !needed[INTERPRETER] && !needed[DATA])
        return 0;
    return lay_again(thread, mem_fd, needed, host, clock_offset_ns, err);
}

int zt_whole_look(zt_stopped thread, zt_err *err)
{
    const found all = {1, 1};
    const found parts[PARTS] = {[INTERPRETER] = all};
    bool ours = false;
    int mem_fd = zt_proc_memory(thread.rtid);
    if (mem_fd < 0)
        return zt_fail_os(err, "memory of a process");
    int failed = look_at_code(mem_fd, parts, &ours, err);
    close(mem_fd);
    if (!failed && !ours)
        return foreign(err, PART[INTERPRETER].start, PART[INTERPRETER].end, "has been emptied");
    return failed;
}

int zt_whole_make(zt_stopped thread, const zt_host_vdso *host, int64_t clock_offset_ns, zt_err *err)
{
    int mem_fd = zt_proc_memory(thread.rtid);
    if (mem_fd < 0 && zt_proc_has_ended(thread.rtid)) /* the kernel says EACCES of what has no memory any more */
        return zt_fail(err, ZT_ERR_GONE, ESRCH, "thread %d died", thread.rtid);
    if (mem_fd < 0)
        return zt_fail_os(err, "memory of a process");
    int failed = make(thread, mem_fd, host, clock_offset_ns, err);
    close(mem_fd);
    return failed;
}
