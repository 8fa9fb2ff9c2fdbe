#include "stub.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include "mem.h"

static const uint64_t ALL_SIGNALS = ~0ull;

uint64_t zt_stub_start(void)
{
    return ZT_STUB_BASE;
}

uint64_t zt_stub_end(void)
{
    return ZT_STUB_LIMIT;
}

uint64_t zt_stub_vdso_end(void)
{
    return ZT_VDSO_PARAMS;
}

uint64_t zt_stub_host(void)
{
    return ZT_STUB_HOST;
}

uint64_t zt_stub_data(uint32_t rows)
{
    return ZT_STUB_DATA + rows * sizeof(zt_program_row);
}

uint32_t zt_stub_capacity(void)
{
    return ZT_STUB_DATA_SIZE;
}

/* --- running a program */

typedef enum run_end { RUN_DONE, RUN_TAKEN, RUN_FAULT } run_end;

/* Bring a thread that sleeps in a row, or loops, out of it. ZT_ERR_LATE: it does not come. */
static int cut_short(zt_stopped thread, int32_t patience_ms, zt_stop *ret, zt_err *err)
{
    enum { MOST_MS = 5000 };
    if (zt_interrupt(thread.rtid, err))
        return -1;
    if (zt_stop_wait_for(thread.rtid, patience_ms < MOST_MS ? patience_ms : MOST_MS, ret, err)) {
        if (err->kind == ZT_ERR_TIMEOUT)
            err->kind = ZT_ERR_LATE;
        return -1;
    }
    bool at_rest = ret->kind == ZT_STOP_REST || ret->kind == ZT_STOP_GROUP;
    return at_rest || !zt_stopped_rest(thread, ret, err) ? 0 : -1;
}

/* Let the thread run until the interpreter makes its last call, it faults, or `event` ends it.
 * ZT_ERR_TIMEOUT: it got stuck, and is at rest there. *ret_stopped: the one other signal that nobody
 * can block came meanwhile, and is still to be given. */
static int run_to_end(zt_stopped thread, const zt_progress *progress, zt_stub_event *event, void *context, run_end *ret,
                      bool *ret_stopped, zt_err *err)
{
    for (;;) {
        zt_stop stop;
        if (zt_stopped_resume(thread, ZT_TO_EVENT, 0, err))
            return -1;
        if (zt_stop_wait_progress(thread.rtid, progress, &stop, err)) {
            zt_err why = *err;
            if (why.kind != ZT_ERR_TIMEOUT)
                return -1;
            if (!cut_short(thread, progress->patience_ms, &stop, err)) {
                if (stop.kind == ZT_STOP_EXITED)
                    return zt_stop_fail_ended(stop, err);
                *err = why;
            } else if (err->kind == ZT_ERR_LATE) {
                *err = why;
                err->kind = ZT_ERR_LATE;
            }
            return -1;
        }
        switch (stop.kind) {
        case ZT_STOP_SECCOMP:
            *ret = RUN_DONE;
            return 0;
        case ZT_STOP_REST:
        case ZT_STOP_GROUP:
        case ZT_STOP_CALL:
            continue; /* a freeze or a stop of its process, which will be seen again at the end */
        case ZT_STOP_SIGNAL:
            if (stop.value == SIGSTOP) {
                *ret_stopped = true;
                continue;
            }
            zt_fail(err, ZT_ERR_HARMED, 0, "thread %d got signal %d in a program of ours", thread.rtid, stop.value);
            *ret = RUN_FAULT;
            return 0;
        default: {
            if (!event && stop.kind == ZT_STOP_EXITED)
                return zt_stop_fail_ended(stop, err);
            int taken = event ? event(context, stop, err)
                              : zt_fail(err, ZT_ERR_GONE, ESRCH, "thread %d ended in a program", thread.rtid);
            if (taken < 0)
                return -1;
            if (taken) {
                *ret = RUN_TAKEN;
                return 0;
            }
        }
        }
    }
}

int zt_stub_put_back(zt_stopped thread, const zt_regs *regs, uint64_t mask, zt_err *err)
{
    return zt_stopped_set_regs(thread, regs, err) || zt_stopped_set_mask(thread, mask, err) ? -1 : 0;
}

/* From the interpreter's last call back to rest, as if nothing had been. */
static int run_leave(zt_stopped thread, const zt_regs *regs, uint64_t mask, bool *ret_stopped, zt_err *err)
{
    zt_regs skip = *regs;
    zt_stop stop;
    zt_arch_skip_call(&skip);
    if (zt_stopped_set_regs(thread, &skip, err))
        return -1;
    do { /* no other signal can come: all are blocked */
        if (zt_interrupt(thread.rtid, err) || zt_stopped_resume(thread, ZT_TO_EVENT, 0, err) ||
            zt_stop_wait(thread.rtid, &stop, err))
            return -1;
        *ret_stopped = *ret_stopped || (stop.kind == ZT_STOP_SIGNAL && stop.value == SIGSTOP);
    } while (stop.kind != ZT_STOP_REST && stop.kind != ZT_STOP_GROUP && stop.kind != ZT_STOP_EXITED);
    if (stop.kind == ZT_STOP_EXITED)
        return zt_stop_fail_ended(stop, err);
    return zt_stub_put_back(thread, regs, mask, err);
}

/* The registers that a program may be left with: at the call by which the interpreter says so, with the
 * number of a row. */
static bool is_end(const zt_regs *regs, uint32_t count)
{
    const uint64_t at = zt_arch_program_stopped_at(regs) - ZT_STUB_DATA;
    return zt_arch_call_nr(regs) == ZT_STUB_END_NR && at % sizeof(zt_program_row) == 0 &&
           at / sizeof(zt_program_row) <= count;
}

/* --- how far it is: rows are run in order, and have no result before */

static const int64_t NO_RESULT = INT64_MIN;

typedef struct program {
    int32_t rtid;
    uint32_t count;
} program;

static uint64_t rows_done(const void *context)
{
    const program *at = context;
    uint32_t low = 0, high = at->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;
        const uint64_t row = ZT_STUB_DATA + middle * sizeof(zt_program_row);
        int64_t result = NO_RESULT;
        zt_err ignored; /* it ends, or its memory does: then it gets on no more */
        if (!zt_mem_get(at->rtid, row + offsetof(zt_program_row, result), &result, sizeof result, &ignored) &&
            result != NO_RESULT)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void set_results(zt_program_row *rows, uint32_t first, uint32_t count, int64_t result)
{
    for (uint32_t i = first; i < count; i++)
        rows[i].result = result;
}

int zt_stub_run(zt_stopped thread, zt_program_row *rows, uint32_t count, void *data, uint32_t size,
                zt_stub_event *event, void *context, zt_stub_watch *watch, uint32_t *ret_done, zt_err *err)
{
    const uint64_t rows_size = count * sizeof *rows;
    const program program = {thread.rtid, count};
    const zt_progress progress = {watch ? watch->patience_ms : ZT_STUB_PATIENCE_MS, rows_done, &program};
    zt_regs before, run;
    uint64_t mask;
    run_end end = RUN_DONE;

    *ret_done = 0;
    if (rows_size + size > ZT_STUB_DATA_SIZE)
        return zt_fail(err, ZT_ERR_STATE, E2BIG, "a program of %u rows and %u bytes is too large", count, size);
    if (zt_stopped_get_regs(thread, &before, err) || zt_stopped_get_mask(thread, &mask, err))
        return -1;
    if (watch) {
        watch->regs = before;
        watch->mask = mask;
    }
    set_results(rows, 0, count, NO_RESULT);
    const int unwritten = zt_mem_put(thread.rtid, ZT_STUB_DATA, rows, rows_size, err);
    set_results(rows, 0, count, 0);
    if (unwritten)
        return -1;
    if (size && zt_mem_put(thread.rtid, ZT_STUB_DATA + rows_size, data, size, err))
        return -1;
    run = before;
    zt_arch_enter_program(&run, ZT_STUB_DATA, count);
    if (zt_stopped_set_mask(thread, ALL_SIGNALS, err) || zt_stopped_set_regs(thread, &run, err))
        return -1;
    bool stopped = false;
    if (run_to_end(thread, &progress, event, context, &end, &stopped, err)) {
        const zt_err why = *err;
        if (why.kind == ZT_ERR_TIMEOUT && !zt_stub_put_back(thread, &before, mask, err))
            *err = why;
        return -1;
    }
    if (end == RUN_TAKEN) {
        *ret_done = count;
        return 0;
    }
    const zt_err why = *err;
    if (zt_stopped_get_regs(thread, &run, err) || run_leave(thread, &before, mask, &stopped, err))
        return -1;
    if (stopped)
        kill(thread.rtid, SIGSTOP);
    if (end == RUN_FAULT) {
        *err = why;
        return -1;
    }
    if (!is_end(&run, count))
        return zt_fail(err, ZT_ERR_HARMED, 0, "thread %d came back otherwise than by the end of a program",
                       thread.rtid);
    *ret_done = (uint32_t)((zt_arch_program_stopped_at(&run) - ZT_STUB_DATA) / sizeof *rows);
    if (zt_mem_get(thread.rtid, ZT_STUB_DATA, rows, rows_size, err))
        return -1;
    if (size && zt_mem_get(thread.rtid, ZT_STUB_DATA + rows_size, data, size, err))
        return -1;
    if (*ret_done == count)
        return 0;
    set_results(rows, *ret_done + 1, count, 0);
    return zt_fail(err, ZT_ERR_PROGRAM, (int)-rows[*ret_done].result, "row %u failed", *ret_done);
}
