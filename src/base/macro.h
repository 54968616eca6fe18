#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BP_CLEANUP(fn)  __attribute__((cleanup(fn)))
#define BP_MUST_CHECK   __attribute__((warn_unused_result))
#define BP_PRINTF(f, a) __attribute__((format(printf, f, a)))
#define BP_COUNT(arr)   (sizeof(arr) / sizeof((arr)[0]))
#define BP_MIN(a, b)    ((a) < (b) ? (a) : (b))
#define BP_MAX(a, b)    ((a) > (b) ? (a) : (b))

/* Rounds x up to a multiple of the power of two a. */
#define BP_ALIGN(x, a) (((x) + ((a) -1)) & ~((__typeof__(x)) (a) -1))

/* Hands the value over and leaves the variable empty, so that its cleanup becomes a no-op.
 * The one sanctioned statement-expression macro pair. */
#define BP_TAKE(var, empty)             \
    __extension__({                     \
        __typeof__(var) taken_ = (var); \
        (var) = (empty);                \
        taken_;                         \
    })
#define BP_TAKE_PTR(p) BP_TAKE(p, NULL)
#define BP_TAKE_FD(fd) BP_TAKE(fd, -1)

/* From an embedded member back to the struct around it; use inside an x_from_y() helper. */
#define BP_CONTAINER_OF(ptr, type, member) \
    ((type *) (void *) ((char *) (ptr) -offsetof(type, member)))

static inline void bp_freep(void *p) {
    void *heap;

    memcpy(&heap, p, sizeof heap);
    free(heap);
}

static inline void bp_closep(const int *fd) {
    if (*fd >= 0)
        (void) close(*fd);
}

#define BP_AUTO_FREE BP_CLEANUP(bp_freep)
#define BP_AUTO_FD   BP_CLEANUP(bp_closep)

/* Declares the cleanup helper of a type whose release function takes NULL. */
#define BP_DEFINE_CLEANUP(type, free_fn)                                               \
    static inline void free_fn##p(type **p) { /* NOLINT(bugprone-macro-parentheses) */ \
        free_fn(*p);                                                                   \
    }

/* clang's -Wthread-safety checks these in C; gcc ignores them. */
#if defined(__clang__)
#define BP_CAPABILITY(name) __attribute__((capability(name)))
#define BP_REQUIRES(lock)   __attribute__((requires_capability(lock)))
#define BP_ACQUIRE(lock)    __attribute__((acquire_capability(lock)))
#define BP_RELEASE(lock)    __attribute__((release_capability(lock)))
#else
#define BP_CAPABILITY(name)
#define BP_REQUIRES(lock)
#define BP_ACQUIRE(lock)
#define BP_RELEASE(lock)
#endif
