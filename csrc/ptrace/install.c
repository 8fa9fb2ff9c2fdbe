/* The stub is laid into a program that was just executed. It stops twice for that:
 *
 *   PTRACE_EVENT_EXEC     where it is found. A call that maps the region is poked over the head of its vDSO,
 *                         which from then on nobody reads
 *   at the trapped call   that follows it there: the region is there, and is filled; the rows are run
 *   at the stub's end     it is made what it was, and begins
 *
 * All signals but SIGKILL and SIGSTOP are blocked meanwhile. By SIGSTOP its process is stopped at once, as the
 * kernel does it, for its parent, and for SIGCONT, which may come right behind; this thread alone is driven on
 * (ptrace(2), group-stop) to where it rests. */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../base/proc.h"
#include "../vdso/params.h"
#include "fresh.h"
#include "mem.h"
#include "stub.h"
#include "zt_vdso_image.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

_Static_assert(ZT_VDSO_IMAGE_PARAMS == ZT_VDSO_PARAMS, "our vDSO looks for its parameters elsewhere");

/* The rows lie behind the parameters: a page of the data that nobody has touched costs a fork nothing. */
static const uint64_t ROWS = ZT_VDSO_PARAMS + 0x400;

zt_stub_code zt_stub_interpreter(void)
{
    return (zt_stub_code){ZT_STUB_INTERPRETER, zt_arch_stub_start, (uint64_t)(zt_arch_stub_end - zt_arch_stub_start)};
}

zt_stub_code zt_stub_vdso(void)
{
    return (zt_stub_code){ZT_STUB_VDSO, zt_vdso_image, sizeof zt_vdso_image};
}

static uint64_t at_host(const zt_host_vdso *host, uint64_t offset)
{
    return offset ? ZT_STUB_HOST + offset - (uint64_t)host->lowest : 0;
}

static struct zt_vdso_params params_of(const zt_host_vdso *host, int64_t clock_offset_ns)
{
    return (struct zt_vdso_params){
        .clock_gettime = at_host(host, host->symbol.clock_gettime),
        .gettimeofday = at_host(host, host->symbol.gettimeofday),
        .time = at_host(host, host->symbol.time),
        .clock_getres = at_host(host, host->symbol.clock_getres),
        .getcpu = at_host(host, host->symbol.getcpu),
        .monotonic_offset_ns = clock_offset_ns,
        .pod_mark = host->mark,
    };
}

int zt_stub_set_params(int32_t rpid, const zt_host_vdso *host, int64_t clock_offset_ns, zt_err *err)
{
    struct zt_vdso_params params = params_of(host, clock_offset_ns);
    return zt_mem_put(rpid, ZT_VDSO_PARAMS, &params, sizeof params, err);
}

static int read_mark(void *ret, int32_t rtid)
{
    uint64_t *mark = ret;
    if (*mark)
        return 0;
    return zt_mem_read(rtid, ZT_VDSO_PARAMS + offsetof(struct zt_vdso_params, pod_mark), mark, sizeof *mark) > 0;
}

uint64_t zt_stub_mark(int32_t rpid)
{
    uint64_t mark = 0;
    if (read_mark(&mark, rpid) || errno != ESRCH)
        return mark;
    const int threads = zt_proc_open_threads_of(rpid); /* its first one, which has ended, has no memory any more */
    if (threads < 0)
        return 0;
    zt_proc_each(threads, read_mark, &mark);
    close(threads);
    return mark;
}

static zt_program_row protect(uint64_t start, uint64_t end, int protection)
{
    return (zt_program_row){
        .nr = (uint32_t)zt_arch_nr(ZT_NR_MPROTECT),
        .flags = ZT_ROW_MUST,
        .args = {start, end - start, (uint64_t)protection},
    };
}

/* --- from stop to stop */

typedef struct way {
    zt_stopped thread;
    bool seen_stop; /* a freeze or a stop of its process came meanwhile: it shows once more when it comes to rest */
} way;

static int to_trapped_call(way *way, zt_err *err)
{
    zt_stop stop;
    int signal = 0;
    for (;;) {
        if (zt_stopped_resume(way->thread, ZT_TO_EVENT, signal, err) || zt_stop_wait(way->thread.rtid, &stop, err))
            return -1;
        signal = 0;
        switch (stop.kind) {
        case ZT_STOP_SECCOMP:
            return 0;
        case ZT_STOP_EXITED:
            return zt_stop_fail_ended(stop, err);
        case ZT_STOP_REST:
        case ZT_STOP_GROUP:
            way->seen_stop = true;
            continue;
        case ZT_STOP_ENDING:
            continue;
        default:
            if (stop.kind != ZT_STOP_SIGNAL || stop.value != SIGSTOP)
                return zt_fail(err, ZT_ERR_STATE, 0, "a stop of kind %d (%d) before its first instruction", stop.kind,
                               stop.value);
            signal = SIGSTOP;
        }
    }
}

/* To rest, with everything blocked: no signal but SIGSTOP can come. */
static int to_rest(way *way, zt_stop *ret, zt_err *err)
{
    int signal = 0;
    do {
        if (zt_interrupt(way->thread.rtid, err) || zt_stopped_resume(way->thread, ZT_TO_EVENT, signal, err) ||
            zt_stop_wait(way->thread.rtid, ret, err))
            return -1;
        signal = ret->kind == ZT_STOP_SIGNAL && ret->value == SIGSTOP ? SIGSTOP : 0;
    } while (ret->kind != ZT_STOP_REST && ret->kind != ZT_STOP_GROUP && ret->kind != ZT_STOP_EXITED);
    return ret->kind == ZT_STOP_EXITED ? zt_stop_fail_ended(*ret, err) : 0;
}

/* --- what is done in between */

static int map_region(way *way, uint64_t vdso, const zt_regs *before, zt_err *err)
{
    const uint64_t args[6] = {
        ZT_STUB_BASE,
        ZT_STUB_LIMIT - ZT_STUB_BASE,
        PROT_READ | PROT_WRITE | PROT_EXEC,
        MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE,
        (uint64_t)-1,
        0,
    };
    const unsigned char *own = (const void *)getauxval(AT_SYSINFO_EHDR); /* the same in all processes */
    zt_regs regs = *before;
    zt_arch_enter_call(&regs, vdso, zt_arch_nr(ZT_NR_MMAP), args);
    if (zt_stopped_poke(way->thread, vdso, zt_arch_first_call, ZT_ARCH_FIRST_CALL_BYTES, err) ||
        zt_stopped_set_regs(way->thread, &regs, err) || to_trapped_call(way, err) ||
        zt_stopped_get_regs(way->thread, &regs, err) ||
        zt_stopped_poke(way->thread, vdso, own, ZT_ARCH_FIRST_CALL_BYTES, err))
        return -1;
    const int64_t mapped = zt_arch_first_result(&regs);
    if (mapped != (int64_t)ZT_STUB_BASE)
        return zt_fail(err, ZT_ERR_OS, (int)-mapped, "cannot map the stub region: %s", strerror((int)-mapped));
    return 0;
}

static uint32_t rows_of(const zt_host_vdso *host, uint64_t vdso, zt_program_row ret[ZT_HOST_PARTS + 5])
{
    uint32_t count = 0;
    ret[count++] = protect(ZT_STUB_HOST, ZT_STUB_DATA, PROT_NONE);
    for (int i = 0; i < host->parts; i++)
        ret[count++] = (zt_program_row){
            .nr = (uint32_t)zt_arch_nr(ZT_NR_MREMAP),
            .flags = ZT_ROW_MUST,
            .args = {vdso + (uint64_t)host->part[i].offset, host->part[i].size, host->part[i].size,
                     MREMAP_MAYMOVE | MREMAP_FIXED, ZT_STUB_HOST + (uint64_t)(host->part[i].offset - host->lowest)},
        };
    /* The host's parts keep the protection that the kernel gave them. */
    ret[count++] = protect(ZT_STUB_BASE, ZT_VDSO_PARAMS, PROT_READ | PROT_EXEC);
    ret[count++] = protect(ZT_VDSO_PARAMS, ZT_STUB_INTERPRETER, PROT_READ | PROT_WRITE);
    ret[count++] = protect(ZT_STUB_INTERPRETER, ZT_STUB_HOST, PROT_READ | PROT_EXEC);
    ret[count++] = protect(ZT_STUB_DATA, ZT_STUB_LIMIT, PROT_READ | PROT_WRITE);
    return count;
}

static int fill_region(way *way, const zt_host_vdso *host, int64_t clock_offset_ns, uint64_t entry, uint64_t vdso,
                       const zt_regs *before, zt_err *err)
{
    zt_program_row rows[ZT_HOST_PARTS + 5];
    const uint32_t count = rows_of(host, vdso, rows);
    const struct zt_vdso_params params = params_of(host, clock_offset_ns);
    const zt_stub_code interpreter = zt_stub_interpreter(), image = zt_stub_vdso();
    const uint64_t ours = ZT_STUB_VDSO;
    const zt_mem_piece pieces[] = {
        {interpreter.address, interpreter.bytes, interpreter.size},
        {image.address, image.bytes, image.size},
        {ZT_VDSO_PARAMS, &params, sizeof params},
        {ROWS, rows, count * sizeof *rows},
        {entry, &ours, sizeof ours}, /* in its auxv */
    };
    zt_regs regs = *before;
    zt_arch_enter_program(&regs, ROWS, count);
    if (zt_mem_put_all(way->thread.rtid, pieces, sizeof pieces / sizeof *pieces, err) ||
        zt_stopped_set_regs(way->thread, &regs, err) || to_trapped_call(way, err) ||
        zt_stopped_get_regs(way->thread, &regs, err))
        return -1;
    const uint64_t done = (zt_arch_program_stopped_at(&regs) - ROWS) / sizeof *rows;
    if (done == count)
        return 0;
    if (done < count && !zt_mem_get(way->thread.rtid, ROWS, rows, count * sizeof *rows, err))
        return zt_fail(err, ZT_ERR_PROGRAM, (int)-rows[done].result, "row %lu failed", done);
    return zt_fail(err, ZT_ERR_STATE, 0, "it does not run the stub");
}

int zt_stub_install(zt_stopped thread, const zt_host_vdso *host, int64_t clock_offset_ns, bool rest, zt_stop *ret,
                    zt_err *err)
{
    way way = {.thread = thread};
    uint64_t entry, vdso = 0, mask;
    zt_regs before;

    *ret = (zt_stop){.rtid = thread.rtid, .kind = ZT_STOP_SECCOMP};
    if (zt_stopped_get_regs(thread, &before, err) || zt_stopped_get_mask(thread, &mask, err))
        return -1;
    if (zt_fresh_auxv(thread, before.rsp, AT_SYSINFO_EHDR, &entry, &vdso, err))
        return -1;
    if (!entry)
        return zt_fail(err, ZT_ERR_OS, 0, "a new program has no vDSO");
    if (zt_stopped_set_mask(thread, ~0ull, err) || map_region(&way, vdso, &before, err) ||
        fill_region(&way, host, clock_offset_ns, entry, vdso, &before, err))
        return -1;
    zt_arch_skip_call(&before); /* of the stub's end; execve is over */
    zt_arch_set_result(&before, 0);
    if (zt_stopped_set_regs(thread, &before, err))
        return -1;
    if ((rest || way.seen_stop) && to_rest(&way, ret, err))
        return -1;
    if (zt_stopped_set_mask(thread, mask, err))
        return -1;
    return 0;
}
