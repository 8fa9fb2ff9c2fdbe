#include "descriptor.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>

#include "../../ptrace/mem.h"
#include "scratch.h"
#include "seen.h"

/* Documentation/admin-guide/devices.txt */
enum { MEMORY_DEVICES = 1, TTY_AUX_DEVICES = 5, PTMX = 2 };

static uint16_t of_device(const zt_seen_fd *seen)
{
    if (seen->major == MEMORY_DEVICES)
        return ZT_ON_MEMORY;
    if (seen->major == TTY_AUX_DEVICES && seen->minor == PTMX)
        return ZT_ON_TTY; /* a master has no VMIN; asked for it, it tells its slave's */
    return ZT_ON_TTY | ZT_ON_TTY_MINIMUM;
}

/* All that it may be. */
static uint16_t of_file(const zt_seen_fd *seen)
{
    switch (seen->type) {
    case S_IFIFO:
        return (seen->flags & O_ACCMODE) == O_RDONLY ? ZT_ON_PIPE | ZT_ON_PIPE_END : ZT_ON_PIPE;
    case S_IFSOCK:
        return ZT_ON_SOCKET | ZT_ON_STREAM;
    case S_IFCHR:
        return of_device(seen);
    default:
        return ZT_ON_OTHER;
    }
}

bool zt_descriptor_may_be(zt_task *task, const zt_row *row, const uint64_t *args)
{
    const uint16_t unhurried = ZT_ON_MEMORY | ZT_ON_OTHER;
    zt_seen_fd seen;
    task->reissue.on = task->reissue.asked = 0;
    if (!row->part.on)
        return true;
    if (!zt_seen_descriptor(task->rtid.n, (int)args[row->part.fd], &seen))
        return false;
    task->reissue.on = of_file(&seen) & (seen.flags & O_NONBLOCK ? unhurried : (uint16_t)~0);
    return task->reissue.on & row->part.on;
}

/* --- what only it knows */

/* The next question that is open; 0: none. */
static uint16_t question(const zt_task *task, const zt_row *row)
{
    const uint16_t terminal = ZT_ON_TTY | ZT_ON_TTY_MINIMUM, open = (uint16_t)~task->reissue.asked;
    const uint16_t matters = task->reissue.on & row->part.on;
    if (matters & ZT_ON_STREAM && open & ZT_ASKED_STREAM)
        return ZT_ASKED_STREAM;
    if (row->part.noted && open & ZT_ASKED_ERROR)
        return ZT_ASKED_ERROR;
    if (matters & terminal && task->reissue.on & ZT_ON_TTY_MINIMUM && open & ZT_ASKED_TTY)
        return ZT_ASKED_TTY;
    return 0;
}

static void ask_option(zt_task *task, int fd, int option)
{
    const socklen_t size = sizeof(int);
    const uint64_t args[6] = {(uint64_t)fd, SOL_SOCKET, (uint64_t)option,
                              zt_scratch_of(task, offsetof(zt_scratch, answer)),
                              zt_scratch_of(task, offsetof(zt_scratch, answer_size))};
    zt_mem_write(task->rtid.n, args[4], &size, sizeof size); /* failing, it makes the call fail */
    task->reissue.issued_nr = SYS_getsockopt;
    memcpy(task->reissue.call.issued, args, sizeof args);
}

static void ask_terminal(zt_task *task, int fd)
{
    const uint64_t args[6] = {(uint64_t)fd, TCGETS, zt_scratch_of(task, offsetof(zt_scratch, answer))};
    task->reissue.issued_nr = SYS_ioctl;
    memcpy(task->reissue.call.issued, args, sizeof args);
}

bool zt_descriptor_ask(zt_task *task, const zt_row *row)
{
    const int fd = (int)task->reissue.call.asked[row->part.fd];
    const uint16_t asked = question(task, row);
    if (!asked)
        return false;
    if (asked == ZT_ASKED_TTY)
        ask_terminal(task, fd);
    else
        ask_option(task, fd, asked == ZT_ASKED_STREAM ? SO_TYPE : SO_ERROR);
    task->reissue.step = ZT_STEP_ASK;
    return true;
}

/* net/socket.c, do_recvmmsg, leaves the signal's own error for the next call. The freeze has taken it
 * out already, and a restored socket never had it. Any other error did end the call. */
bool zt_descriptor_was_cut(int error)
{
    const int restartsys = 512;
    return error == 0 || error == restartsys || error == EINTR;
}

enum { KERNEL_TERMIOS = 36, LFLAG_AT = 12, CC_AT = 17 }; /* asm-generic/termbits.h, struct termios */

static void told_terminal(zt_task *task, const unsigned char *termios)
{
    enum { MOST_AT_ONCE = 64 }; /* Linux 5.12: VMIN is good for one bite of iterate_tty_read() */
    uint32_t lflag;
    memcpy(&lflag, termios + LFLAG_AT, sizeof lflag);
    int minimum = termios[CC_AT + VMIN];
    task->reissue.minimum = minimum < MOST_AT_ONCE ? minimum : MOST_AT_ONCE;
    if (lflag & ICANON || termios[CC_AT + VTIME]) /* a line, or a pause, ends it as well */
        task->reissue.on &= (uint16_t)~ZT_ON_TTY_MINIMUM;
}

bool zt_descriptor_answered(zt_task *task, const zt_row *row, int64_t result)
{
    const uint16_t asked = question(task, row);
    unsigned char answer[KERNEL_TERMIOS];
    int number;
    task->reissue.asked |= asked;
    if (result < 0 || zt_mem_read(task->rtid.n, zt_scratch_of(task, offsetof(zt_scratch, answer)), answer,
                                  sizeof answer) != sizeof answer)
        return false;
    memcpy(&number, answer, sizeof number);
    if (asked == ZT_ASKED_TTY)
        told_terminal(task, answer);
    else if (asked == ZT_ASKED_STREAM && number != SOCK_STREAM)
        task->reissue.on &= (uint16_t)~ZT_ON_STREAM;
    else if (asked == ZT_ASKED_ERROR && !zt_descriptor_was_cut(number))
        return false;
    return task->reissue.on & row->part.on;
}
