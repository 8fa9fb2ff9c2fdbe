/* The store of a pod: what the lower halves of rooms note for their upper halves.
 *
 * A room's entries are its own: a key and a value, both bytes of any length. They are kept until they
 * are removed, listed in the order in which their keys were first put, and travel with the pod: the
 * engine puts all of them into an image, and a restored pod has them again before any room is asked.
 * So an entry names things as the pod does, by vpids and never by rpids or addresses of ours.
 *
 * The functions are in api.h, because the upper halves use them too. */
#pragma once
#include <stddef.h>

#include "../api.h"

struct zt_store {
    struct zt_store_entry *first, *last;
    struct zt_store_entry **buckets; /* NULL before the first entry */
    uint32_t bucket_count;           /* a power of two */
    uint32_t count;
};

void zt_store_clear(zt_store *store);
