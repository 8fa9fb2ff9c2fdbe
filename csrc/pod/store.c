#include "store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

typedef struct zt_store_entry {
    zt_stored stored; /* first: what a caller holds is the entry */
    struct zt_store_entry *next, *previous;
    struct zt_store_entry *chain; /* in its bucket */
    uint32_t hash;
    uint8_t bytes[]; /* room with its NUL, key, value */
} zt_store_entry;

enum { FIRST_BUCKETS = 64 };

static uint32_t hash_bytes(uint32_t hash, const void *bytes, size_t size) /* FNV-1a */
{
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * 16777619u;
    return hash;
}

static uint32_t hash_of(const char *room, const void *key, uint32_t key_size)
{
    return hash_bytes(hash_bytes(2166136261u, room, strlen(room) + 1), key, key_size);
}

/* Where the pointer to this entry is, or, at the end of its chain, would be. */
static zt_store_entry **place_of(const zt_store *store, uint32_t hash, const char *room, const void *key,
                                 uint32_t key_size)
{
    zt_store_entry **place = &store->buckets[hash & (store->bucket_count - 1)];
    for (; *place; place = &(*place)->chain) {
        const zt_stored *other = &(*place)->stored;
        if ((*place)->hash == hash && other->key_size == key_size && strcmp(other->room, room) == 0 &&
            (!key_size || memcmp(other->key, key, key_size) == 0))
            break;
    }
    return place;
}

/* Room for one more. With twice the buckets where chains grow long. */
static int reserve(zt_store *store)
{
    if (store->count < store->bucket_count)
        return 0;
    uint32_t more = store->bucket_count ? store->bucket_count * 2 : FIRST_BUCKETS;
    zt_store_entry **buckets = more ? calloc(more, sizeof *buckets) : NULL;
    if (!buckets)
        return store->buckets ? 0 : -ENOMEM; /* long chains are slow, not wrong */
    for (zt_store_entry *entry = store->first; entry; entry = entry->next) {
        zt_store_entry **bucket = &buckets[entry->hash & (more - 1)];
        entry->chain = *bucket;
        *bucket = entry;
    }
    free(store->buckets);
    store->buckets = buckets;
    store->bucket_count = more;
    return 0;
}

static zt_store_entry *entry_create(const char *room, const void *key, uint32_t key_size, const void *value,
                                    uint32_t value_size)
{
    const size_t room_size = strlen(room) + 1;
    zt_store_entry *entry = malloc(sizeof *entry + room_size + key_size + value_size);
    if (!entry)
        return NULL;
    uint8_t *bytes = entry->bytes;
    *entry = (zt_store_entry){
        .stored = {(const char *)bytes, bytes + room_size, bytes + room_size + key_size, key_size, value_size},
        .hash = hash_of(room, key, key_size),
    };
    memcpy(bytes, room, room_size);
    if (key_size)
        memcpy(bytes + room_size, key, key_size);
    if (value_size)
        memcpy(bytes + room_size + key_size, value, value_size);
    return entry;
}

/* `entry` between these two; NULL is the end of the list. */
static void link_between(zt_store *store, zt_store_entry *entry, zt_store_entry *previous, zt_store_entry *next)
{
    entry->previous = previous;
    entry->next = next;
    *(previous ? &previous->next : &store->first) = entry;
    *(next ? &next->previous : &store->last) = entry;
}

static void unlink_entry(zt_store *store, zt_store_entry *entry)
{
    *(entry->previous ? &entry->previous->next : &store->first) = entry->next;
    *(entry->next ? &entry->next->previous : &store->last) = entry->previous;
}

int zt_store_put(zt_store *store, const char *room, const void *key, uint32_t key_size, const void *value,
                 uint32_t value_size)
{
    zt_store_entry *entry = entry_create(room, key, key_size, value, value_size);
    if (!entry || reserve(store)) {
        free(entry);
        return -ENOMEM;
    }
    zt_store_entry **place = place_of(store, entry->hash, room, key, key_size), *former = *place;
    if (former) {
        entry->chain = former->chain;
        link_between(store, entry, former->previous, former->next);
        free(former);
    } else {
        link_between(store, entry, store->last, NULL);
        store->count++;
    }
    *place = entry;
    return 0;
}

const zt_stored *zt_store_get(zt_store *store, const char *room, const void *key, uint32_t key_size)
{
    if (!store->buckets)
        return NULL;
    zt_store_entry *found = *place_of(store, hash_of(room, key, key_size), room, key, key_size);
    return found ? &found->stored : NULL;
}

void zt_store_remove(zt_store *store, const char *room, const void *key, uint32_t key_size)
{
    if (!store->buckets)
        return;
    zt_store_entry **place = place_of(store, hash_of(room, key, key_size), room, key, key_size), *entry = *place;
    if (!entry)
        return;
    *place = entry->chain;
    unlink_entry(store, entry);
    free(entry);
    store->count--;
}

const zt_stored *zt_store_next(zt_store *store, const zt_stored *after)
{
    const zt_store_entry *next = after ? ((const zt_store_entry *)after)->next : store->first;
    return next ? &next->stored : NULL;
}

void zt_store_clear(zt_store *store)
{
    while (store->first) {
        zt_store_entry *entry = store->first;
        unlink_entry(store, entry);
        free(entry);
    }
    free(store->buckets);
    *store = (zt_store){0};
}
