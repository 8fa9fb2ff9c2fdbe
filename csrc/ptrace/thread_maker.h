/* How the C library makes threads: its wrapper of clone3, called by pthread_create. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

typedef struct zt_thread_maker {
    bool known;
    uint32_t in_page;      /* address behind the wrapper's system call, within its page */
    uint32_t to_functions; /* from there to what may be the function that a new thread runs first: its ... */
    uint32_t size;         /* ... file has pthread_create as well */
} zt_thread_maker;

/* Of the library that this process runs with; wherever it is loaded, these are the same. Not known: it has
 * no such wrapper. */
zt_thread_maker zt_thread_maker_find(void);
