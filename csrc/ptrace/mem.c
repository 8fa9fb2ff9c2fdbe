#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

int64_t zt_mem_read(int32_t rpid, uint64_t address, void *ret, uint64_t size)
{
    struct iovec here = {ret, size}, there = {(void *)address, size};
    return process_vm_readv(rpid, &here, 1, &there, 1, 0);
}

int64_t zt_mem_write(int32_t rpid, uint64_t address, const void *from, uint64_t size)
{
    struct iovec here = {(void *)from, size}, there = {(void *)address, size};
    return process_vm_writev(rpid, &here, 1, &there, 1, 0);
}

int64_t zt_mem_read_string(int32_t rpid, uint64_t address, char *ret, uint64_t size)
{
    enum { PAGE = 4096 };
    for (uint64_t got = 0; got < size;) {
        uint64_t bite = PAGE - (address + got) % PAGE;
        bite = bite < size - got ? bite : size - got;
        if (zt_mem_read(rpid, address + got, ret + got, bite) != (int64_t)bite)
            return -EFAULT;
        const char *end = memchr(ret + got, 0, bite);
        if (end)
            return end - ret;
        got += bite;
    }
    return -ENAMETOOLONG;
}

static int moved_all(int64_t moved, uint64_t size, const char *what, zt_err *err)
{
    if (moved == (int64_t)size)
        return 0;
    if (moved >= 0)
        errno = EFAULT;
    return zt_fail_os(err, what);
}

int zt_mem_get(int32_t rpid, uint64_t address, void *ret, uint64_t size, zt_err *err)
{
    return moved_all(zt_mem_read(rpid, address, ret, size), size, "process_vm_readv", err);
}

int zt_mem_put(int32_t rpid, uint64_t address, const void *from, uint64_t size, zt_err *err)
{
    return moved_all(zt_mem_write(rpid, address, from, size), size, "process_vm_writev", err);
}

int zt_mem_put_all(int32_t rpid, const zt_mem_piece *pieces, int count, zt_err *err)
{
    struct iovec here[ZT_MEM_PIECES], there[ZT_MEM_PIECES];
    uint64_t size = 0;
    for (int i = 0; i < count; i++) {
        here[i] = (struct iovec){(void *)pieces[i].from, pieces[i].size};
        there[i] = (struct iovec){(void *)pieces[i].address, pieces[i].size};
        size += pieces[i].size;
    }
    const unsigned long n = (unsigned long)count;
    return moved_all(process_vm_writev(rpid, here, n, there, n, 0), size, "process_vm_writev", err);
}

/* PAGEMAP_SCAN, Linux 6.7 (Documentation/admin-guide/mm/pagemap.rst); older headers lack it. */
struct scan_region {
    uint64_t start, end, categories;
};
struct scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_IOCTL _IOWR('f', 16, struct scan_arg)
enum {
    IS_FILE = 1 << 2,
    IS_PRESENT = 1 << 3,
    IS_SWAPPED = 1 << 4,
    IS_PFNZERO = 1 << 5,
    IS_GUARD = 1 << 8, /* Linux 6.15; a guard page is "swapped" too */
};

enum { PAGE = 4096, SCAN_BATCH = 512 };

/* Runs in the order of addresses; neighbours of one kind are one. False: there is no place for more. */
static bool add_run(zt_page_run *runs, int *count, int32_t capacity, uint64_t start, uint64_t end, uint32_t kind)
{
    zt_page_run *last = *count ? &runs[*count - 1] : NULL;
    if (last && last->end == start && last->kind == kind) {
        last->end = end;
        return true;
    }
    if (*count == capacity)
        return false;
    runs[(*count)++] = (zt_page_run){start, end, kind};
    return true;
}

static int scan(int fd, uint64_t start, uint64_t end, int32_t what, bool guards, zt_page_run *ret, int32_t capacity,
                uint64_t *ret_next, zt_err *err)
{
    struct scan_region regions[SCAN_BATCH];
    const uint64_t not_those = IS_PFNZERO | (what == ZT_PAGES_UNLIKE_FILE ? IS_FILE : 0);
    const uint64_t guard = guards ? IS_GUARD : 0;
    struct scan_arg arg = {
        .size = sizeof arg,
        .start = start,
        .end = end,
        .vec = (uint64_t)regions,
        .vec_len = capacity < SCAN_BATCH ? (uint64_t)capacity : SCAN_BATCH,
        .category_inverted = not_those,
        .category_mask = not_those,
        .category_anyof_mask = what == ZT_PAGES_GUARD ? guard : IS_PRESENT | IS_SWAPPED | guard,
        .return_mask = guard ? guard : IS_PRESENT,
    };
    if (what == ZT_PAGES_GUARD && !guards) {
        *ret_next = end;
        return 0;
    }
    int found = ioctl(fd, SCAN_IOCTL, &arg);
    if (found < 0)
        return zt_fail_os(err, "ioctl(PAGEMAP_SCAN)");
    int runs = 0;
    for (int i = 0; i < found; i++)
        add_run(ret, &runs, capacity, regions[i].start, regions[i].end,
                regions[i].categories & guard ? ZT_RUN_GUARD : ZT_RUN_HELD);
    *ret_next = arg.walk_end;
    return runs;
}

/* /proc/PID/pagemap: bit 63 present, 62 swapped, 61 file page or shared, 58 guard (Linux 6.15), 56 mapped here
 * alone. */
static ssize_t read_entries(int fd, uint64_t start, uint64_t end, uint64_t *ret, zt_err *err)
{
    uint64_t pages = (end - start) / PAGE;
    ssize_t got = pread(fd, ret, (pages < SCAN_BATCH ? pages : SCAN_BATCH) * 8, (off_t)(start / PAGE * 8));
    return got < 0 ? zt_fail_os(err, "read of pagemap") : got / 8;
}

/* The same for kernels before 6.7, or who does not let us ask. The zero page cannot be told apart there; it
 * is saved as what it reads as. */
static int read_pagemap(int fd, uint64_t start, uint64_t end, int32_t what, zt_page_run *ret, int32_t capacity,
                        uint64_t *ret_next, zt_err *err)
{
    uint64_t entries[SCAN_BATCH];
    int runs = 0;
    *ret_next = end;
    while (start < end) {
        ssize_t got = read_entries(fd, start, end, entries, err);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        for (ssize_t i = 0; i < got; i++, start += PAGE) {
            const bool guard = entries[i] >> 58 & 1;
            const bool holds =
                entries[i] >> 62 && what != ZT_PAGES_GUARD && !(what == ZT_PAGES_UNLIKE_FILE && entries[i] >> 61 & 1);
            const uint32_t kind = guard ? ZT_RUN_GUARD : ZT_RUN_HELD;
            if ((guard || holds) && !add_run(ret, &runs, capacity, start, start + PAGE, kind)) {
                *ret_next = start;
                return runs;
            }
        }
    }
    return runs;
}

int zt_mem_pages(int pagemap_fd, uint64_t start, uint64_t end, int32_t what, zt_page_run *ret, int32_t capacity,
                 uint64_t *ret_next, zt_err *err)
{
    int runs = scan(pagemap_fd, start, end, what, true, ret, capacity, ret_next, err);
    if (runs < 0 && err->os_errno == EINVAL)
        runs = scan(pagemap_fd, start, end, what, false, ret, capacity, ret_next, err);
    if (runs < 0 && (err->os_errno == ENOTTY || err->os_errno == EINVAL))
        return read_pagemap(pagemap_fd, start, end, what, ret, capacity, ret_next, err);
    return runs;
}

int zt_mem_often(int pagemap_fd, uint64_t start, uint64_t end, zt_page_run *ret, int32_t capacity, uint64_t *ret_next,
                 zt_err *err)
{
    uint64_t entries[SCAN_BATCH];
    int runs = 0;
    while (start < end) {
        ssize_t got = read_entries(pagemap_fd, start, end, entries, err);
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        for (ssize_t i = 0; i < got; i++, start += PAGE) {
            uint32_t kind = entries[i] >> 56 & 1 ? ZT_RUN_HELD : ZT_RUN_OFTEN;
            if (!add_run(ret, &runs, capacity, start, start + PAGE, kind)) {
                *ret_next = start;
                return runs;
            }
        }
    }
    *ret_next = end;
    return runs;
}

/* One run by /proc/PID/mem, which pins nothing and asks for no permission. */
static bool read_aside(int mem_fd, uint64_t at, uint64_t end, char *ret)
{
    while (at < end) {
        ssize_t got = pread(mem_fd, ret, end - at, (off_t)at);
        if (got <= 0)
            return false;
        at += (uint64_t)got;
        ret += got;
    }
    return true;
}

int32_t zt_mem_gather(int32_t rpid, int mem_fd, const zt_page_run *runs, int32_t count, void *ret)
{
    enum { MOST = 1024 }; /* UIO_MAXIOV */
    struct iovec there[MOST];
    char *to = ret;
    for (int32_t first = 0; first < count;) {
        int32_t n = 0;
        uint64_t size = 0;
        while (first + n < count && n < MOST && runs[first + n].kind == ZT_RUN_HELD) {
            const zt_page_run *run = &runs[first + n];
            there[n++] = (struct iovec){(void *)run->start, run->end - run->start};
            size += run->end - run->start;
        }
        struct iovec here = {to, size};
        if (n && process_vm_readv(rpid, &here, 1, there, (unsigned long)n, 0) == (ssize_t)size) {
            to += size;
            first += n;
            continue;
        }
        for (n = n ? n : 1; n; n--, first++) {
            if (!read_aside(mem_fd, runs[first].start, runs[first].end, to))
                return first;
            to += runs[first].end - runs[first].start;
        }
    }
    return count;
}

enum { COMPARED = 32 * PAGE };

int zt_mem_equal(int mem_fd1, int mem_fd2, uint64_t start, uint64_t end, zt_page_run *ret, int32_t capacity,
                 uint64_t *ret_next)
{
    char one[COMPARED], other[COMPARED];
    int runs = 0;
    while (start < end) {
        uint64_t stop = end - start < COMPARED ? end : start + COMPARED;
        bool both = read_aside(mem_fd1, start, stop, one) && read_aside(mem_fd2, start, stop, other);
        for (uint64_t at = start; both && at < stop; at += PAGE) {
            if (memcmp(one + (at - start), other + (at - start), PAGE) == 0 &&
                !add_run(ret, &runs, capacity, at, at + PAGE, ZT_RUN_OFTEN)) {
                *ret_next = at;
                return runs;
            }
        }
        start = stop;
    }
    *ret_next = end;
    return runs;
}

int32_t zt_mem_hashes(int mem_fd, uint64_t start, uint64_t end, uint64_t *ret)
{
    char page[PAGE];
    for (; start < end; start += PAGE) {
        uint64_t word, hash = 0x9e3779b97f4a7c15ull;
        if (!read_aside(mem_fd, start, start + PAGE, page))
            return -1;
        for (unsigned i = 0; i < PAGE; i += 8) {
            memcpy(&word, page + i, 8);
            hash = (hash ^ word) * 0xff51afd7ed558ccdull;
            hash ^= hash >> 32;
        }
        *ret++ = hash;
    }
    return 0;
}
