#include "thread_maker.h"

#include <link.h>
#include <string.h>

#include "../arch/arch.h"

enum { PAGE = 4096, NEARBY = 16 * PAGE, FILE_SIZE = 4 * PAGE };

typedef struct found {
    uintptr_t clone, pthread_create, start, end; /* and the code that has clone */
} found;

/* Without dlsym(3), whose version would ask for glibc 2.34. The names of symbols lie behind their table. */
static uintptr_t address_of(const struct dl_phdr_info *object, const ElfW(Dyn) * dynamic, const char *name)
{
    const ElfW(Sym) *symbols = NULL;
    const char *names = NULL;
    for (; dynamic->d_tag != DT_NULL; dynamic++) {
        if (dynamic->d_tag == DT_SYMTAB)
            symbols = (const void *)dynamic->d_un.d_ptr;
        if (dynamic->d_tag == DT_STRTAB)
            names = (const void *)dynamic->d_un.d_ptr;
    }
    for (; symbols && (const char *)(symbols + 1) <= names; symbols++)
        if (symbols->st_shndx != SHN_UNDEF && !strcmp(names + symbols->st_name, name))
            return object->dlpi_addr + symbols->st_value;
    return 0;
}

static int look(struct dl_phdr_info *object, size_t size, void *context)
{
    found *ret = context;
    const char *name = strrchr(object->dlpi_name, '/');
    (void)size;
    if (!name || strcmp(name, "/libc.so.6"))
        return 0;
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const void *at = (const void *)(object->dlpi_addr + part->p_vaddr);
        if (part->p_type != PT_DYNAMIC)
            continue;
        ret->clone = address_of(object, at, "clone");
        ret->pthread_create = address_of(object, at, "pthread_create");
    }
    for (int i = 0; i < object->dlpi_phnum; i++) {
        const ElfW(Phdr) *part = &object->dlpi_phdr[i];
        const uintptr_t start = object->dlpi_addr + part->p_vaddr, end = start + part->p_memsz;
        if (part->p_type != PT_LOAD || !(part->p_flags & PF_X) || ret->clone < start || ret->clone >= end)
            continue;
        ret->start = start;
        ret->end = end;
    }
    return 1;
}

/* clone3 is exported nowhere, but is a neighbour of clone. 0: there is none. */
static uintptr_t find_wrapper(const found *library)
{
    const uintptr_t clone = library->clone;
    const uintptr_t from = clone - library->start > NEARBY ? clone - NEARBY : library->start;
    const uintptr_t to = library->end - clone > NEARBY ? clone + NEARBY : library->end;
    const unsigned char *at = memmem((const void *)from, to - from, zt_arch_clone3_call, ZT_ARCH_CLONE3_CALL_BYTES);
    return at ? (uintptr_t)at + ZT_ARCH_CLONE3_CALL_BYTES : 0;
}

zt_thread_maker zt_thread_maker_find(void)
{
    zt_thread_maker ret = {.known = false};
    found library = {0};
    if (!dl_iterate_phdr(look, &library) || !library.pthread_create || !library.end)
        return ret;
    const uintptr_t call = find_wrapper(&library);
    if (call)
        ret = (zt_thread_maker){true, (uint32_t)(call % PAGE), (uint32_t)(library.pthread_create - FILE_SIZE - call),
                                2 * FILE_SIZE};
    return ret;
}
