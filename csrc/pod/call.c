#include "call.h"

#include "../api.h"
#include "zt_tables.h"

const zt_row *zt_row_of(int32_t nr)
{
    static const zt_row unknown = {0};
    if (nr < 0 || nr >= (int32_t)ZT_NR_COUNT)
        return &unknown;
    return &zt_rows[nr];
}

const char *zt_call_name(int32_t nr)
{
    return zt_row_of(nr)->name;
}

int32_t zt_call_count(void)
{
    return ZT_NR_COUNT;
}
