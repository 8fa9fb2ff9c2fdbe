#include "thread_maker.h"

#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "../arch/arch.h"

enum { PAGE = 4096, NEARBY = 16 * PAGE, FILE_SIZE = 4 * PAGE };

typedef struct segment {
    uintptr_t holds, start, end;
} segment;

static int find_segment(struct dl_phdr_info *object, size_t size, void *context)
{
    segment *wanted = context;
    (void)size;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const uintptr_t start = object->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || wanted->holds < start || wanted->holds >= end)
            continue;
        *wanted = (segment){wanted->holds, start, end};
        return 1;
    }
    return 0;
}

/* clone3 is exported nowhere, but is a neighbour of clone. 0: there is none. */
static uintptr_t find_wrapper(uintptr_t clone)
{
    segment text = {.holds = clone};
    if (!clone || !dl_iterate_phdr(find_segment, &text))
        return 0;
    const uintptr_t from = clone - text.start > NEARBY ? clone - NEARBY : text.start;
    const uintptr_t to = text.end - clone > NEARBY ? clone + NEARBY : text.end;
    const unsigned char *at = memmem((const void *)from, to - from, zt_arch_clone3_call, ZT_ARCH_CLONE3_CALL_BYTES);
    return at ? (uintptr_t)at + ZT_ARCH_CLONE3_CALL_BYTES : 0;
}

zt_thread_maker zt_thread_maker_find(void)
{
    zt_thread_maker ret = {.known = false};
    void *library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (!library)
        return ret;
    const uintptr_t call = find_wrapper((uintptr_t)dlsym(library, "clone"));
    const uintptr_t maker = (uintptr_t)dlsym(library, "pthread_create");
    if (call && maker)
        ret = (zt_thread_maker){true, (uint32_t)(call % PAGE), (uint32_t)(maker - FILE_SIZE - call), 2 * FILE_SIZE};
    dlclose(library);
    return ret;
}
