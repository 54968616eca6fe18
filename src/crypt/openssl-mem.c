/* OpenSSL's memory, kept out of core dumps. A context holds the key schedule of its cipher, which
 * is the key, for as long as a recording is encrypted; and between decoding and use copies lie
 * about. One heap for all of OpenSSL is the only place that holds them all.
 *
 * Blocks of powers of two, each with a head of 16 bytes, cut from mapped pieces that are never
 * given back, with a free list per size; larger ones are mapped alone. OpenSSL allocates when
 * contexts are made, not per message: one lock is enough. */
#include <pthread.h>
#include <stdalign.h>
#include <stdint.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

#include "crypt/secretmem.h"

enum {
    HEAD = 16,    /* keeps blocks aligned as malloc() does */
    SMALLEST = 5, /* log2 of block sizes, head included */
    LARGEST = 15, /* beyond: mapped alone */
    PIECE = 256 << 10,
};

struct head {
    size_t n;     /* bytes of the block, head included */
    size_t asked; /* by the caller */
};
_Static_assert(sizeof(struct head) <= HEAD, "the head fits");

struct free_block {
    struct free_block *next;
};

static struct {
    pthread_mutex_t lock;                 /* leaf */
    struct free_block *free[LARGEST + 1]; /* [lock] heads of blocks, by log2 of their size */
    uint8_t *at;                          /* [lock] rest of the last piece */
    size_t left;                          /* [lock] */
} heap = { .lock = PTHREAD_MUTEX_INITIALIZER };
static bool in_use;

static void *map_pages(size_t n) {
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (p == MAP_FAILED)
        return NULL;
    (void) madvise(p, n, MADV_DONTDUMP);
    return p;
}

static unsigned class_of(size_t n) {
    unsigned c = SMALLEST;

    while (((size_t) 1 << c) < n)
        c++;
    return c;
}

static void *block_locked(unsigned class) {
    struct free_block *f = heap.free[class];
    size_t n = (size_t) 1 << class;
    uint8_t *p;

    if (f) {
        heap.free[class] = f->next;
        return f;
    }
    if (heap.left < n) { /* what is left of the last piece is lost: 32 KiB at most */
        p = map_pages(PIECE);
        if (!p)
            return NULL;
        heap.at = p;
        heap.left = PIECE;
    }
    p = heap.at;
    heap.at += n;
    heap.left -= n;
    return p;
}

static void *allocate(size_t asked, const char *file, int line) {
    size_t n = asked + HEAD;
    struct head *h;

    (void) file, (void) line;
    if (asked == 0 || n < asked || n > SIZE_MAX / 2)
        return NULL;
    if (n > (size_t) 1 << LARGEST) {
        n = BP_ALIGN(n, (size_t) 4096);
        h = map_pages(n);
    } else {
        unsigned class = class_of(n);

        n = (size_t) 1 << class;
        (void) pthread_mutex_lock(&heap.lock);
        h = block_locked(class);
        (void) pthread_mutex_unlock(&heap.lock);
    }
    if (!h)
        return NULL;
    *h = (struct head){ n, asked };
    return (uint8_t *) h + HEAD;
}

static void release(void *p, const char *file, int line) {
    struct free_block *f;
    struct head *h;
    size_t n;

    (void) file, (void) line;
    if (!p)
        return;
    h = (void *) ((uint8_t *) p - HEAD);
    n = h->n;
    if (n > (size_t) 1 << LARGEST) {
        (void) munmap(h, n);
        return;
    }
    bp_secret_wipe(h, h->asked + HEAD); /* whatever it was: most is small */
    f = (void *) h;
    (void) pthread_mutex_lock(&heap.lock);
    f->next = heap.free[class_of(n)];
    heap.free[class_of(n)] = f;
    (void) pthread_mutex_unlock(&heap.lock);
}

static void *reallocate(void *p, size_t asked, const char *file, int line) {
    struct head *h;
    void *q;

    if (!p)
        return allocate(asked, file, line);
    if (asked == 0) {
        release(p, file, line);
        return NULL;
    }
    h = (void *) ((uint8_t *) p - HEAD);
    if (asked <= h->n - HEAD) {
        h->asked = BP_MAX(h->asked, asked); /* what it has held is cleared at the end */
        return p;
    }
    q = allocate(asked, file, line);
    if (q) {
        memcpy(q, p, h->asked);
        release(p, file, line);
    }
    return q;
}

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

/* Before main(), since OpenSSL takes no other allocator once it has allocated anything. */
__attribute__((constructor)) static void take_over(void) {
    if (!SANITIZED)
        in_use = CRYPTO_set_mem_functions(allocate, reallocate, release) == 1;
}

bool bp_secret_openssl_protected(void) {
    return in_use;
}
