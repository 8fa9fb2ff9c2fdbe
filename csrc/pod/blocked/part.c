#include "part.h"

#include <linux/aio_abi.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>

#include "../../ptrace/mem.h"
#include "descriptor.h"
#include "scratch.h"

/* The kernel's limits: no call moves more bytes or entries at once. */
enum { MOST_BYTES = 0x7ffff000 /* MAX_RW_COUNT */, MOST_ENTRIES = 1024 /* UIO_MAXIOV */ };

/* --- the program's memory */

static bool read_from(const zt_task *task, uint64_t address, void *ret, uint64_t size)
{
    return zt_mem_read(task->rtid.n, address, ret, size) == (int64_t)size;
}

static bool write_to(const zt_task *task, uint64_t address, const void *from, uint64_t size)
{
    return zt_mem_write(task->rtid.n, address, from, size) == (int64_t)size;
}

static int64_t least(uint64_t a, int64_t b)
{
    return a < (uint64_t)b ? (int64_t)a : b;
}

/* --- vectors */

static bool read_vector(const zt_task *task, uint64_t vector, uint64_t count, struct iovec ret[MOST_ENTRIES])
{
    return count <= MOST_ENTRIES && read_from(task, vector, ret, count * sizeof *ret);
}

static int64_t vector_size(const zt_task *task, uint64_t vector, uint64_t count)
{
    struct iovec entries[MOST_ENTRIES];
    int64_t size = 0;
    if (!read_vector(task, vector, count, entries))
        return 0;
    for (uint64_t i = 0; i < count; i++)
        size += least(entries[i].iov_len, MOST_BYTES - size);
    return size;
}

/* What follows the first `moved` bytes. A copy of it lies in our scratch slot, where its first entry
 * has lost what is done. When it is too long for that, the rest of that entry is a piece of its own,
 * and what comes after it is still in its place. */
static bool rest_of_vector(zt_task *task, uint64_t vector, uint64_t count, uint64_t moved, uint64_t *ret_vector,
                           uint64_t *ret_count)
{
    struct iovec entries[MOST_ENTRIES];
    uint64_t at = 0;
    if (!read_vector(task, vector, count, entries))
        return false;
    while (at < count && moved >= entries[at].iov_len)
        moved -= entries[at++].iov_len;
    *ret_vector = vector + at * sizeof *entries;
    *ret_count = count - at;
    task->reissue.step = ZT_STEP_REST;
    if (!*ret_count || !moved)
        return *ret_count;
    entries[at].iov_base = (char *)entries[at].iov_base + moved;
    entries[at].iov_len -= moved;
    if (*ret_count > ZT_SCRATCH_ENTRIES) {
        *ret_count = 1;
        task->reissue.step = ZT_STEP_PIECE;
        task->reissue.step_size = (int64_t)entries[at].iov_len;
    }
    *ret_vector = zt_scratch_of(task, offsetof(zt_scratch, vector));
    return write_to(task, *ret_vector, &entries[at], *ret_count * sizeof *entries);
}

/* --- messages */

static bool put_message(zt_task *task, const struct msghdr *message, uint64_t *ret)
{
    *ret = zt_scratch_of(task, offsetof(zt_scratch, message));
    return write_to(task, *ret, message, sizeof *message);
}

/* A message with the rest of a vector. Its address was of use for the first part, and a sender's
 * descriptors went with it. */
static bool rest_in_message(zt_task *task, uint64_t vector, uint64_t count, uint64_t moved, struct msghdr *ret)
{
    uint64_t rest, rest_count;
    if (!rest_of_vector(task, vector, count, moved, &rest, &rest_count))
        return false;
    *ret = (struct msghdr){.msg_iov = (struct iovec *)rest, .msg_iovlen = rest_count};
    return true;
}

/* Descriptors end what a receiver gets, however much it asked for (net/unix/af_unix.c). */
static bool holds_descriptors(const zt_task *task, const struct msghdr *message)
{
    enum { MOST = 8192 };
    char control[MOST];
    struct msghdr here = {.msg_control = control, .msg_controllen = message->msg_controllen};
    if (message->msg_flags & MSG_CTRUNC || message->msg_controllen > MOST)
        return true; /* perhaps: they had no room */
    if (!message->msg_controllen || !read_from(task, (uint64_t)message->msg_control, control, message->msg_controllen))
        return false;
    for (struct cmsghdr *each = CMSG_FIRSTHDR(&here); each; each = CMSG_NXTHDR(&here, each))
        if (each->cmsg_level == SOL_SOCKET && each->cmsg_type == SCM_RIGHTS)
            return true;
    return false;
}

int64_t zt_part_control_size(const zt_task *task, const zt_row *row, const uint64_t *args)
{
    struct msghdr message;
    if (row->part.shape != ZT_SHAPE_MESSAGE || !row->part.receives ||
        !read_from(task, args[row->part.at], &message, sizeof message))
        return 0;
    int64_t size = (int64_t)message.msg_controllen; /* unsigned, of 4 or 8 bytes: it is the C library's */
    return size < 0 || size == INT64_MAX ? 0 : size + 1;
}

static uint64_t message_at(const zt_row *row, const uint64_t *args, int64_t index)
{
    return args[row->part.at] + (uint64_t)index * sizeof(struct mmsghdr);
}

/* The last one that is done, which may be so in part only. */
static bool read_last(const zt_task *task, const zt_row *row, const uint64_t *args, int64_t done, struct mmsghdr *ret)
{
    return read_from(task, message_at(row, args, done - 1), ret, sizeof *ret);
}

static bool last_is_whole(const zt_task *task, const struct mmsghdr *last)
{
    return last->msg_len >= vector_size(task, (uint64_t)last->msg_hdr.msg_iov, last->msg_hdr.msg_iovlen);
}

static int64_t message_count(const zt_row *row, const uint64_t *args)
{
    return least((uint32_t)args[row->part.size], MOST_ENTRIES);
}

/* --- was it cut? */

static bool is_short_of_messages(const zt_task *task, const zt_row *row, const uint64_t *args, int64_t done)
{
    enum { RECVMMSG_TIMEOUT = 4 };
    struct mmsghdr last;
    struct timespec left;
    if (!row->part.receives)
        return done < message_count(row, args) ||
               (read_last(task, row, args, done, &last) && !last_is_whole(task, &last));
    uint64_t timeout = args[RECVMMSG_TIMEOUT];
    bool over = timeout && read_from(task, timeout, &left, sizeof left) && !left.tv_sec && !left.tv_nsec;
    return done < message_count(row, args) && !over;
}

static bool is_short_of_message(const zt_task *task, const zt_row *row, const uint64_t *args, int64_t done)
{
    struct msghdr message;
    if (!read_from(task, args[row->part.at], &message, sizeof message) ||
        done >= vector_size(task, (uint64_t)message.msg_iov, message.msg_iovlen))
        return false;
    if (!row->part.receives || !message.msg_control)
        return true;
    return task->control_size && !zt_part_only_looked(row, args) && !holds_descriptors(task, &message);
}

static bool is_short(const zt_task *task, const zt_row *row, const uint64_t *args, int64_t done)
{
    const zt_part *part = &row->part;
    switch (part->shape) {
    case ZT_SHAPE_BYTES:
    case ZT_SHAPE_LENGTH:
        return done < least(args[part->size], MOST_BYTES);
    case ZT_SHAPE_VECTOR:
        return done < vector_size(task, args[part->at], args[part->size]);
    case ZT_SHAPE_MESSAGE:
        return is_short_of_message(task, row, args, done);
    case ZT_SHAPE_MESSAGES:
        return is_short_of_messages(task, row, args, done);
    case ZT_SHAPE_EVENTS:
        return done < (int64_t)args[part->size - 1];
    default:
        return false;
    }
}

bool zt_part_was_cut(zt_task *task, const zt_regs *regs)
{
    const zt_row *row = zt_row_of((int32_t)zt_arch_call_nr(regs));
    uint64_t args[6];
    int64_t result = zt_arch_result(regs);
    zt_arch_get_args(regs, args);
    return row->part.shape != ZT_SHAPE_NONE && result > 0 && zt_arg_holds(&row->part.when, args) &&
           is_short(task, row, args, result) && zt_descriptor_may_be(task, row, args);
}

bool zt_part_only_looked(const zt_row *row, const uint64_t *args)
{
    return row->part.receives && row->part.has_flags && args[row->part.flags] & MSG_PEEK;
}

/* --- the rest */

static bool next_bytes(zt_task *task, const zt_part *part)
{
    uint64_t *issued = task->reissue.call.issued;
    int64_t wanted = least(issued[part->size], MOST_BYTES);
    if (task->reissue.on & part->on & ZT_ON_TTY_MINIMUM && wanted > task->reissue.minimum)
        wanted = task->reissue.minimum;
    int64_t left = wanted - task->reissue.done;
    issued[part->at] += (uint64_t)task->reissue.done;
    issued[part->size] = left > 0 ? (uint64_t)left : 0;
    if (task->reissue.on & ZT_ON_SOCKET && !part->has_flags) { /* no SIGPIPE: syscalls.py, _sent */
        task->reissue.issued_nr = SYS_sendto;
        issued[3] = MSG_NOSIGNAL;
        issued[4] = issued[5] = 0;
    }
    return left > 0;
}

static bool next_of_vector(zt_task *task, const zt_part *part)
{
    uint64_t *issued = task->reissue.call.issued;
    uint64_t done = (uint64_t)task->reissue.done;
    struct msghdr message;
    if (!(task->reissue.on & ZT_ON_SOCKET))
        return rest_of_vector(task, issued[part->at], issued[part->size], done, &issued[part->at], &issued[part->size]);
    task->reissue.issued_nr = SYS_sendmsg;
    issued[2] = MSG_NOSIGNAL;
    return rest_in_message(task, issued[1], task->reissue.call.asked[2], done, &message) &&
           put_message(task, &message, &issued[1]);
}

static bool next_of_message(zt_task *task, const zt_part *part)
{
    uint64_t *at = &task->reissue.call.issued[part->at];
    struct msghdr message, rest;
    if (!read_from(task, *at, &message, sizeof message) ||
        !rest_in_message(task, (uint64_t)message.msg_iov, message.msg_iovlen, (uint64_t)task->reissue.done, &rest))
        return false;
    if (part->receives && message.msg_control) {
        rest.msg_control = message.msg_control;
        rest.msg_controllen = (uint64_t)task->control_size - 1;
    }
    return put_message(task, &rest, at);
}

static bool next_of_messages(zt_task *task, const zt_row *row)
{
    const uint64_t *asked = task->reissue.call.asked;
    uint64_t *issued = task->reissue.call.issued;
    int64_t done = task->reissue.done;
    struct mmsghdr last;
    struct msghdr rest;
    if (!read_last(task, row, asked, done, &last))
        return false;
    if (!row->part.receives && !last_is_whole(task, &last)) {
        if (!rest_in_message(task, (uint64_t)last.msg_hdr.msg_iov, last.msg_hdr.msg_iovlen, last.msg_len, &rest))
            return false;
        if (task->reissue.step == ZT_STEP_REST) /* of this message, not of all */
            task->reissue.step_size =
                vector_size(task, (uint64_t)last.msg_hdr.msg_iov, last.msg_hdr.msg_iovlen) - last.msg_len;
        task->reissue.step = ZT_STEP_PIECE;
        task->reissue.issued_nr = SYS_sendmsg;
        issued[2] = asked[row->part.flags] | row->part.also;
        return put_message(task, &rest, &issued[1]);
    }
    issued[row->part.at] = message_at(row, asked, done);
    issued[row->part.size] = (uint64_t)(message_count(row, asked) - done);
    return issued[row->part.size] > 0;
}

static bool next_events(zt_task *task, const zt_part *part)
{
    uint64_t *issued = task->reissue.call.issued;
    uint64_t done = (uint64_t)task->reissue.done;
    issued[part->at] += done * sizeof(struct io_event);
    issued[part->size] -= done;
    issued[part->size - 1] -= done;
    return (int64_t)issued[part->size - 1] > 0;
}

bool zt_part_next(zt_task *task, const zt_row *row)
{
    const zt_part *part = &row->part;
    uint64_t *issued = task->reissue.call.issued;
    memcpy(issued, task->reissue.call.asked, sizeof task->reissue.call.issued);
    task->reissue.issued_nr = task->reissue.call.nr;
    task->reissue.step = ZT_STEP_REST;
    task->reissue.step_size = 0;
    if (part->has_flags && part->shape != ZT_SHAPE_MESSAGES)
        issued[part->flags] |= part->also;
    for (int i = 0; i < 6; i++)
        if (part->drop >> i & 1)
            issued[i] = 0;
    switch (part->shape) {
    case ZT_SHAPE_BYTES:
        return next_bytes(task, part);
    case ZT_SHAPE_VECTOR:
        return next_of_vector(task, part);
    case ZT_SHAPE_MESSAGE:
        return next_of_message(task, part);
    case ZT_SHAPE_MESSAGES:
        return next_of_messages(task, row);
    case ZT_SHAPE_LENGTH:
        issued[part->size] = (uint64_t)(least(issued[part->size], MOST_BYTES) - task->reissue.done);
        return issued[part->size] > 0;
    case ZT_SHAPE_EVENTS:
        return next_events(task, part);
    default:
        return false;
    }
}

/* --- what it came to */

/* What the kernel has said of the rest is said of the whole. */
static bool tell_of_rest(const zt_task *task, const zt_row *row)
{
    const uint64_t from = offsetof(struct msghdr, msg_controllen);
    const uint64_t there = task->reissue.call.asked[row->part.at] + from;
    struct msghdr rest;
    return read_from(task, zt_scratch_of(task, offsetof(zt_scratch, message)), &rest, sizeof rest) &&
           write_to(task, there, (char *)&rest + from, sizeof rest - from) && !holds_descriptors(task, &rest);
}

static void add_to_last(const zt_task *task, const zt_row *row, int64_t moved)
{
    uint64_t at = message_at(row, task->reissue.call.asked, task->reissue.done - 1);
    uint32_t length;
    at += offsetof(struct mmsghdr, msg_len);
    if (!read_from(task, at, &length, sizeof length))
        return;
    length += (uint32_t)moved;
    write_to(task, at, &length, sizeof length);
}

bool zt_part_moved(zt_task *task, const zt_row *row, int64_t result)
{
    const zt_part *part = &row->part;
    bool whole = result == task->reissue.step_size;
    if (result > 0 && part->shape == ZT_SHAPE_MESSAGES && task->reissue.step == ZT_STEP_PIECE)
        add_to_last(task, row, result);
    else if (result > 0)
        task->reissue.done += result;
    if (result > 0 && part->shape == ZT_SHAPE_MESSAGE && part->receives && !tell_of_rest(task, row))
        return false;
    return task->reissue.step == ZT_STEP_PIECE && whole;
}
