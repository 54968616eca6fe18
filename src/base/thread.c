#include "base/thread.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int bp_thread_start(const char *name, void *(*fn)(void *arg), void *arg, pthread_t *ret) {
    sigset_t all, old;
    char cut[16];
    int r;

    (void) sigfillset(&all);
    (void) pthread_sigmask(SIG_SETMASK, &all, &old); /* inherited by the new thread */
    r = pthread_create(ret, NULL, fn, arg);
    (void) pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0)
        return -EAGAIN;

    (void) snprintf(cut, sizeof cut, "%s", name);
    (void) pthread_setname_np(*ret, cut);
    return 0;
}

void bp_memory_for_years(void) {
    /* A threshold that was set no longer grows by itself, so what is very large is mapped and goes
     * back to the system when it is freed. Not what DDS receives into, which comes and goes with
     * every megabyte: its page faults cost as much as all the rest of receiving. */
    /* NOLINTBEGIN(concurrency-mt-unsafe): before other threads start */
    (void) mallopt(M_MMAP_THRESHOLD, 4 << 20);
    (void) mallopt(M_TRIM_THRESHOLD, 4 << 20);
    (void) mallopt(M_ARENA_MAX, 2);
    /* NOLINTEND(concurrency-mt-unsafe) */
}

/* Segments that nobody may write to are as they are in the file, unless relocations were written
 * into them before they were protected. */
static bool has_text_relocations(const struct dl_phdr_info *o) {
    for (size_t i = 0; i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &o->dlpi_phdr[i];
        const ElfW(Dyn) * d;

        if (p->p_type != PT_DYNAMIC)
            continue;
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the loader tells addresses as numbers */
        for (d = (const ElfW(Dyn) *) (o->dlpi_addr + p->p_vaddr); d->d_tag != DT_NULL; d++)
            if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && d->d_un.d_val & DF_TEXTREL))
                return true;
    }
    return false;
}

static int unmap_object(struct dl_phdr_info *o, size_t size, void *ctx) {
    uintptr_t page = *(const uintptr_t *) ctx;

    (void) size;
    for (size_t i = 0; !has_text_relocations(o) && i < o->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &o->dlpi_phdr[i];
        uintptr_t from = (o->dlpi_addr + p->p_vaddr) & ~(page - 1);
        uintptr_t to = (o->dlpi_addr + p->p_vaddr + p->p_filesz) & ~(page - 1);

        if (p->p_type == PT_LOAD && !(p->p_flags & PF_W) && from < to)
            /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
            (void) madvise((void *) from, to - from, MADV_DONTNEED);
    }
    return 0;
}

void bp_memory_settle(void) {
    uintptr_t page = (uintptr_t) sysconf(_SC_PAGESIZE);

    (void) malloc_trim(0);
    (void) dl_iterate_phdr(unmap_object, &page);
}
