#include "intmap.h"

#include <stdlib.h>

enum { FIRST_SLOTS = 64 };

static uint32_t home(const zt_intmap *map, int32_t key)
{
    return ((uint32_t)key * 2654435769u) >> 7 & map->mask;
}

int zt_intmap_create(zt_intmap *map)
{
    map->slots = calloc(FIRST_SLOTS, sizeof *map->slots);
    map->mask = FIRST_SLOTS - 1;
    map->used = 0;
    return map->slots ? 0 : -1;
}

void zt_intmap_destroy(zt_intmap *map)
{
    free(map->slots);
    map->slots = NULL;
}

static zt_intmap_slot *find(const zt_intmap *map, int32_t key)
{
    uint32_t i = home(map, key);
    while (map->slots[i].key && map->slots[i].key != key)
        i = (i + 1) & map->mask;
    return &map->slots[i];
}

static int grow(zt_intmap *map)
{
    zt_intmap bigger = {.mask = map->mask * 2 + 1, .used = map->used};
    bigger.slots = calloc((size_t)bigger.mask + 1, sizeof *bigger.slots);
    if (!bigger.slots)
        return -1;
    for (uint32_t i = 0; i <= map->mask; i++)
        if (map->slots[i].key)
            *find(&bigger, map->slots[i].key) = map->slots[i];
    free(map->slots);
    *map = bigger;
    return 0;
}

int zt_intmap_put(zt_intmap *map, int32_t key, uintptr_t value)
{
    zt_intmap_slot *slot = find(map, key);
    if (!slot->key) {
        if ((map->used + 1) * 2 > map->mask) {
            if (grow(map))
                return -1;
            slot = find(map, key);
        }
        map->used++;
        slot->key = key;
    }
    slot->value = value;
    return 0;
}

uintptr_t zt_intmap_get(const zt_intmap *map, int32_t key)
{
    const zt_intmap_slot *slot = key > 0 ? find(map, key) : NULL;
    return slot && slot->key ? slot->value : 0;
}

/* Close the gap: move back every later entry of the run that would no longer be found. */
void zt_intmap_remove(zt_intmap *map, int32_t key)
{
    zt_intmap_slot *slot = find(map, key);
    if (!slot->key)
        return;
    uint32_t gap = (uint32_t)(slot - map->slots);
    map->used--;
    for (uint32_t i = (gap + 1) & map->mask; map->slots[i].key; i = (i + 1) & map->mask) {
        uint32_t from_home = (i - home(map, map->slots[i].key)) & map->mask;
        uint32_t from_gap = (i - gap) & map->mask;
        if (from_home >= from_gap) {
            map->slots[gap] = map->slots[i];
            gap = i;
        }
    }
    map->slots[gap].key = 0;
}
