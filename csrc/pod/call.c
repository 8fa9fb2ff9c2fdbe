#include "call.h"

#include "zt_tables.h"

const zt_row *zt_row_of(int32_t nr)
{
    static const zt_row unknown = {0};
    if (nr < 0 || nr >= (int32_t)ZT_NR_COUNT)
        return &unknown;
    return &zt_rows[nr];
}
