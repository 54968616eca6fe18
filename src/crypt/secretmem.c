#include "crypt/secretmem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <openssl/crypto.h>

void bp_secret_wipe(void *p, size_t n) {
    if (n)
        OPENSSL_cleanse(p, n);
}

bool bp_secret_equal(const void *a, const void *b, size_t n) {
    return CRYPTO_memcmp(a, b, n) == 0;
}

#if defined(__has_attribute)
#if __has_attribute(zero_call_used_regs)
#define ZERO_REGISTERS zero_call_used_regs("all"),
#endif
#endif
#ifndef ZERO_REGISTERS
#define ZERO_REGISTERS
#endif

/* Not inlined: its frame has to lie where those of the functions before it have lain. */
__attribute__((ZERO_REGISTERS noinline)) void bp_secret_scrub_stack(void) {
    uint8_t below[32 << 10];

    bp_secret_wipe(below, sizeof below);
}

void bp_secret_done(struct bp_secret *s) {
    if (!s || !s->p)
        return;
    bp_secret_wipe(s->p, s->mapped);
    (void) munmap(s->p, s->mapped);
    *s = (struct bp_secret){ 0 };
}

int bp_secret_alloc(size_t n, struct bp_secret *ret) {
    long page = sysconf(_SC_PAGESIZE);
    struct bp_secret s = { .n = n };
    void *p;

    if (n > BP_SECRET_MAX)
        return -E2BIG;
    s.mapped = BP_ALIGN(n + 1, (size_t) page);
    p = mmap(NULL, s.mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return -ENOMEM;
    if (madvise(p, s.mapped, MADV_DONTDUMP) < 0) {
        (void) munmap(p, s.mapped);
        return -ENOMEM;
    }
    (void) madvise(p, s.mapped, MADV_WIPEONFORK); /* since Linux 4.14 */
    (void) mlock(p, s.mapped);                    /* RLIMIT_MEMLOCK may forbid it */
    s.p = p;
    *ret = s;
    return 0;
}

int bp_secret_copy(const void *p, size_t n, struct bp_secret *ret) {
    int r = bp_secret_alloc(n, ret);

    if (r == 0 && n)
        memcpy(ret->p, p, n);
    return r;
}

static void drop_line_end(struct bp_secret *s) {
    if (s->n && s->p[s->n - 1] == '\n')
        s->p[--s->n] = 0;
    else
        return;
    if (s->n && s->p[s->n - 1] == '\r')
        s->p[--s->n] = 0;
}

int bp_secret_read(int fd, size_t limit, bool text, struct bp_secret *ret) {
    BP_AUTO_SECRET s = { 0 };
    size_t at = 0;
    int r = bp_secret_alloc(limit + 1, &s); /* untouched pages cost nothing */

    while (r == 0 && at <= limit) {
        ssize_t n = read(fd, s.p + at, limit + 1 - at);

        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return -errno;
        at += n > 0 ? (size_t) n : 0;
    }
    if (r < 0)
        return r;
    if (at > limit)
        return -EFBIG;
    s.n = at;
    if (text)
        drop_line_end(&s);
    r = bp_secret_copy(s.p, s.n, ret); /* its own size: pages may be locked */
    return r;
}

int bp_secret_read_file(const char *path, size_t limit, bool text, struct bp_secret *ret,
                        struct bp_error *err) {
    BP_AUTO_FD int fd = open(path, O_RDONLY | O_CLOEXEC);
    int r = fd < 0 ? -errno : bp_secret_read(fd, limit, text, ret);

    return r < 0 ? bp_fail(err, r, "cannot read '%s': %s", path, bp_strerror(r)) : 0;
}

int bp_secret_take_env(const char *name, struct bp_secret *ret) {
    char *v = getenv(name); /* NOLINT(concurrency-mt-unsafe): before threads are started */
    int r;

    if (!v || !*v)
        return -ENOENT;
    r = bp_secret_copy(v, strlen(v), ret);
    if (r < 0)
        return r;
    bp_secret_wipe(v, strlen(v)); /* the kernel's copy on the stack: /proc/PID/environ shows it */
    (void) unsetenv(name);        /* NOLINT(concurrency-mt-unsafe): as above */
    return 0;
}
