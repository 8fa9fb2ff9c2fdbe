/* Memory of other processes. */
#pragma once
#include "../base/err.h"

/* Read or write all of it, or fail with -1. */
int zt_mem_get(int32_t rpid, uint64_t address, void *ret, uint64_t size, zt_err *err);
int zt_mem_put(int32_t rpid, uint64_t address, const void *from, uint64_t size, zt_err *err);
