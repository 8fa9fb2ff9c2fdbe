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
};

enum { SCAN_BATCH = 512 };

static int scan(int fd, uint64_t start, uint64_t end, bool private_file, zt_page_run *ret, int32_t capacity,
                uint64_t *ret_next, zt_err *err)
{
    struct scan_region regions[SCAN_BATCH];
    struct scan_arg arg = {
        .size = sizeof arg,
        .start = start,
        .end = end,
        .vec = (uint64_t)regions,
        .vec_len = capacity < SCAN_BATCH ? (uint64_t)capacity : SCAN_BATCH,
        .category_inverted = IS_PFNZERO | (private_file ? IS_FILE : 0),
        .category_mask = IS_PFNZERO | (private_file ? IS_FILE : 0),
        .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
        .return_mask = IS_PRESENT,
    };
    int found = ioctl(fd, SCAN_IOCTL, &arg);
    if (found < 0)
        return zt_fail_os(err, "ioctl(PAGEMAP_SCAN)");
    int runs = 0;
    for (int i = 0; i < found; i++) {
        if (runs && ret[runs - 1].end == regions[i].start)
            ret[runs - 1].end = regions[i].end;
        else
            ret[runs++] = (zt_page_run){regions[i].start, regions[i].end};
    }
    *ret_next = arg.walk_end;
    return runs;
}

/* The same by reading /proc/PID/pagemap, for kernels before 6.7: bit 63 present, 62 swapped, 61
 * file page or shared. The zero page cannot be told apart there; it is saved as what it reads as. */
static int read_pagemap(int fd, uint64_t start, uint64_t end, bool private_file, zt_page_run *ret, int32_t capacity,
                        uint64_t *ret_next, zt_err *err)
{
    enum { PAGE = 4096 };
    uint64_t entries[SCAN_BATCH];
    int runs = 0;
    while (start < end) {
        uint64_t pages = (end - start) / PAGE;
        ssize_t got = pread(fd, entries, (pages < SCAN_BATCH ? pages : SCAN_BATCH) * 8, (off_t)(start / PAGE * 8));
        if (got < 0)
            return zt_fail_os(err, "read of pagemap");
        if (got == 0)
            break;
        for (ssize_t i = 0; i < got / 8; i++, start += PAGE) {
            bool holds = entries[i] >> 62 && !(private_file && entries[i] >> 61 & 1);
            if (!holds)
                continue;
            if (runs && ret[runs - 1].end == start)
                ret[runs - 1].end += PAGE;
            else if (runs == capacity) {
                *ret_next = start;
                return runs;
            } else
                ret[runs++] = (zt_page_run){start, start + PAGE};
        }
    }
    *ret_next = end;
    return runs;
}

int zt_mem_pages(int pagemap_fd, uint64_t start, uint64_t end, int32_t private_file, zt_page_run *ret, int32_t capacity,
                 uint64_t *ret_next, zt_err *err)
{
    int runs = scan(pagemap_fd, start, end, private_file, ret, capacity, ret_next, err);
    if (runs < 0 && (err->os_errno == ENOTTY || err->os_errno == EINVAL))
        return read_pagemap(pagemap_fd, start, end, private_file, ret, capacity, ret_next, err);
    return runs;
}
