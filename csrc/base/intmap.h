/* A map from positive int to pointer-sized value; open addressing, no deletion marks. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct zt_intmap_slot {
    int32_t key; /* 0: free */
    uintptr_t value;
} zt_intmap_slot;

typedef struct zt_intmap {
    zt_intmap_slot *slots;
    uint32_t mask; /* number of slots - 1 */
    uint32_t used;
} zt_intmap;

int zt_intmap_create(zt_intmap *map);
void zt_intmap_destroy(zt_intmap *map);
int zt_intmap_put(zt_intmap *map, int32_t key, uintptr_t value); /* replaces; -1: no memory */
uintptr_t zt_intmap_get(const zt_intmap *map, int32_t key);      /* 0: not there */
void zt_intmap_remove(zt_intmap *map, int32_t key);
