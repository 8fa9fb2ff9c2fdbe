/* Memory of other processes. */
#pragma once
#include "../base/err.h"

/* Read or write all of it, or fail with -1. */
int zt_mem_get(int32_t rpid, uint64_t address, void *ret, uint64_t size, zt_err *err);
/* A string, up to its NUL and never beyond the page that holds it: its length, -EFAULT, or
 * -ENAMETOOLONG when it has no end within `size` bytes. */
int64_t zt_mem_read_string(int32_t rpid, uint64_t address, char *ret, uint64_t size);
int zt_mem_put(int32_t rpid, uint64_t address, const void *from, uint64_t size, zt_err *err);

/* The same for what goes to several places: in one call. */
enum { ZT_MEM_PIECES = 8 }; /* the most */
typedef struct zt_mem_piece {
    uint64_t address;
    const void *from;
    uint64_t size;
} zt_mem_piece;
int zt_mem_put_all(int32_t rpid, const zt_mem_piece *pieces, int count, zt_err *err);
