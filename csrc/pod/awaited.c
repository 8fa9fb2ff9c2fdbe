#include "awaited.h"

#include <unistd.h>

void zt_awaited_tell(zt_intmap *awaited, int32_t rtid, int wait_status)
{
    const int fd = awaited->used ? (int)zt_intmap_get(awaited, rtid) : 0;
    if (!fd)
        return;
    zt_intmap_remove(awaited, rtid);
    if (write(fd, &wait_status, sizeof wait_status) < 0)
        wait_status = 0; /* whoever wanted to know is gone */
    close(fd);
}

void zt_awaited_destroy(zt_intmap *awaited)
{
    for (uint32_t i = 0; awaited->slots && i <= awaited->mask; i++)
        if (awaited->slots[i].key)
            close((int)awaited->slots[i].value);
    zt_intmap_destroy(awaited);
}
