/* The stub: the interpreter of syscall programs that lies in every process of a pod. */
#pragma once
#include "hostvdso.h"
#include "stop.h"

/* Called for a stop in the middle of a program. Returns 0 to let the program go on, 1 to end it
 * there (the handler brought the thread to rest, or saw it end), -1 on an error. */
typedef int zt_stub_event(void *context, zt_stop stop, zt_err *err);

/* Map the stub region into a program that was just executed, and has not begun, and make our vDSO the one
 * that it finds. Afterwards it is as it was found, and to be resumed; or at rest, if that is asked for, or
 * somebody has stopped it meanwhile: then *ret is that stop, else of kind ZT_STOP_SECCOMP. */
int zt_stub_install(zt_stopped thread, const zt_host_vdso *host, int64_t clock_offset_ns, bool rest, zt_stop *ret,
                    zt_err *err);

/* Tell an installed stub region what this host's vDSO and clock are. */
int zt_stub_set_params(int32_t rpid, const zt_host_vdso *host, int64_t clock_offset_ns, zt_err *err);

/* The mark of the pod that a process is of, or a thread; 0: it has no stub that can be read. Async-signal-safe. */
uint64_t zt_stub_mark(int32_t rpid);

/* The code of the stub region. */
typedef struct zt_stub_code {
    uint64_t address;
    const unsigned char *bytes;
    uint64_t size;
} zt_stub_code;
zt_stub_code zt_stub_interpreter(void);
zt_stub_code zt_stub_vdso(void);

/* What a program may take, and what a thread was before it ran. */
#define ZT_STUB_PATIENCE_MS 120000
typedef struct zt_stub_watch {
    int32_t patience_ms; /* for one row, the longest of which read and write much, or wait for a disk */
    zt_regs regs;        /* found */
    uint64_t mask;       /* found */
} zt_stub_watch;

/* Run `count` rows with `size` bytes of data behind them in a thread that is at rest, and leave it
 * at rest with the registers and signal mask that it had. Results are written into rows, and the
 * data read back. *ret_done is the number of rows that ran; less than count is ZT_ERR_PROGRAM,
 * unless `event` ended the program (then the rows stay as they were). Signals wait meanwhile.
 * The stub must be whole (whole.h). ZT_ERR_TIMEOUT: a row slept, or what ran is not our code;
 * ZT_ERR_HARMED: it faulted. After both the thread is where it was. ZT_ERR_LATE: as ZT_ERR_TIMEOUT, but
 * nothing brings it out of there: it runs, has been interrupted, and once it is at rest zt_stub_put_back
 * makes it what it was. */
int zt_stub_run(zt_stopped thread, zt_program_row *rows, uint32_t count, void *data, uint32_t size,
                zt_stub_event *event, void *context, zt_stub_watch *watch, uint32_t *ret_done, zt_err *err);
int zt_stub_put_back(zt_stopped thread, const zt_regs *regs, uint64_t mask, zt_err *err);
