/* One system call of a tracee, and the row that says what is to be done about it. */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct zt_pod;
struct zt_task;

/* A call has three versions of its values: `asked` by the program, `issued` to the kernel, and the
 * `answer` that the program gets. A hook changes issued on the way in, and answer on the way out. */
typedef struct zt_call {
    int32_t nr, issued_nr;
    uint64_t ip;
    uint64_t asked[6];
    uint64_t issued[6];
    int64_t answer;
    bool as_vfork; /* the thread is to wait for the child, and we see to that: see loop/births.c */
    bool asks_for_ends; /* it does not wait for what it asks for: all ends that have come are to be known */
    bool end_is_known;   /* its exit half would find nothing to do */
    bool stands_in;     /* what is issued stands in for what was asked: the exit half sees it interrupted, too, ... */
    bool again;         /* ... and may say that the call is to be made again, as asked: all begins anew */
} zt_call;

/* What an enter half says. If the exit half runs is not its to say: the row does. */
typedef enum zt_verdict {
    ZT_GO,       /* run it as issued */
    ZT_AGAIN,    /* make it again once the pod has stood still, for which something has asked */
    ZT_ANSWERED, /* do not run it: call->answer is the result, and the exit half is not asked */
} zt_verdict;

typedef enum zt_class {
    ZT_UNKNOWN = 0, /* no row: ENOSYS */
    ZT_PASS,
    ZT_TRANSLATE,
    ZT_ANSWER,
    ZT_HOOK,
    ZT_REFUSE,
} zt_class;

typedef zt_verdict zt_enter_hook(struct zt_pod *pod, struct zt_task *task, zt_call *call);
typedef void zt_exit_hook(struct zt_pod *pod, struct zt_task *task, zt_call *call);

/* The bits of `mask` in the low half of argument `arg` are those of `value`; a mask of 0: always. */
typedef struct zt_arg_is {
    uint8_t arg;
    uint32_t mask, value;
} zt_arg_is;

static inline bool zt_arg_holds(const zt_arg_is *condition, const uint64_t *args)
{
    return ((uint32_t)args[condition->arg] & condition->mask) == condition->value;
}

typedef enum zt_unit {
    ZT_UNTIMED = 0,
    ZT_MILLISECONDS,
    ZT_TIMESPEC,
} zt_unit;

typedef struct zt_timeout {
    zt_unit unit;
    uint8_t arg;
    zt_arg_is span; /* else it is a moment, not a span */
} zt_timeout;

/* How a call says what it is to move: by its arguments `at` and `size` (class Shape of syscalls.py). */
typedef enum zt_shape {
    ZT_SHAPE_NONE = 0, /* a stop never finds it halfway */
    ZT_SHAPE_BYTES,
    ZT_SHAPE_VECTOR,
    ZT_SHAPE_MESSAGE,
    ZT_SHAPE_MESSAGES,
    ZT_SHAPE_LENGTH,
    ZT_SHAPE_EVENTS,
} zt_shape;

/* What a descriptor is of, as far as that tells a call that was cut short from one that was done
 * (class On of syscalls.py). */
enum {
    ZT_ON_PIPE = 1,     /* pipe or FIFO */
    ZT_ON_PIPE_END = 2, /* such, open for reading only: vmsplice reads from it */
    ZT_ON_SOCKET = 4,
    ZT_ON_STREAM = 8, /* a socket that keeps no boundaries: MSG_WAITALL means something */
    ZT_ON_TTY = 16,
    ZT_ON_TTY_MINIMUM = 32, /* a terminal that gives no less than VMIN characters */
    ZT_ON_MEMORY = 64,      /* /dev/zero, /dev/urandom and their like give all that is asked for */
    ZT_ON_OTHER = 128,
};

/* What a call does that is stopped halfway (class Part of syscalls.py). */
typedef struct zt_part {
    zt_shape shape;
    uint8_t at, size;
    uint8_t fd;
    uint16_t on; /* ZT_ON_*; 0: whatever it is */
    zt_arg_is when;
    bool receives;
    bool has_flags;
    uint8_t flags;
    uint32_t also; /* set in its flags for the rest */
    uint8_t drop;  /* bit i: argument i is of no use for the rest */
    bool noted;    /* the socket has noted the cut as its error */
} zt_part;

/* A row of csrc/syscalls.py, as gen_tables.py writes it. */
typedef struct zt_row {
    const char *name;
    zt_class class;
    bool looked;          /* it may be looked at without a stop: pod/looker.h */
    bool moved;           /* only of interest in a pod that was restored */
    bool exit_moved;      /* its end is */
    uint16_t refuse_errno;
    uint8_t arg_ids;      /* bit i: argument i is an id */
    bool result_id;
    zt_enter_hook *enter;
    zt_exit_hook *exit;
    zt_timeout timeout;
    bool eintr; /* answers EINTR to any stop */
    bool queue; /* who waits in it is served in turn */
    bool waits; /* it may, so that an interrupt would show */
    zt_part part;
} zt_row;

const zt_row *zt_row_of(int32_t nr); /* never NULL: an unknown number has an empty row */

/* Are other values issued than were asked for? */
static inline bool zt_call_is_changed(const zt_call *call)
{
    return call->nr != call->issued_nr || memcmp(call->asked, call->issued, sizeof call->asked) != 0;
}

/* Is the end of a call to be seen that was let go? For an exit half, for a result that is an id, and
 * to give the program its own arguments back where others were issued. */
static inline bool zt_row_sees_exit(const zt_row *row, const zt_call *call, bool moved)
{
    return (row->exit && (moved || !row->exit_moved) && !call->end_is_known) || (row->result_id && moved) ||
           zt_call_is_changed(call);
}

/* Was the call interrupted, so that the kernel will start it again (or make it EINTR)? */
static inline bool zt_call_interrupted(int64_t result)
{
    /* ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND, ERESTART_RESTARTBLOCK: include/linux/errno.h */
    return result == -512 || result == -513 || result == -514 || result == -516;
}
