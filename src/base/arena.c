#include "base/arena.h"

enum { BLOCK_BYTES = 8192, ALIGN = 16 };

struct bp_arena_block {
    struct bp_arena_block *next;
    size_t n, cap;
    _Alignas(ALIGN) uint8_t p[];
};

void bp_arena_done(struct bp_arena *a) {
    if (!a)
        return;
    while (a->blocks) {
        struct bp_arena_block *b = a->blocks;

        a->blocks = b->next;
        free(b);
    }
    *a = (struct bp_arena){ 0 };
}

static struct bp_arena_block *add_block(struct bp_arena *a, size_t n) {
    size_t cap = BP_MAX(n, (size_t) BLOCK_BYTES);
    struct bp_arena_block *b = calloc(1, sizeof *b + cap);

    if (!b)
        return NULL;
    b->cap = cap;
    b->next = a->blocks;
    a->blocks = b;
    return b;
}

void *bp_arena_alloc(struct bp_arena *a, size_t n) {
    struct bp_arena_block *b = a->blocks;
    void *p;

    if (n > SIZE_MAX / 2 || (a->limit_bytes && n > a->limit_bytes - a->used_bytes))
        a->failed = true;
    if (a->failed)
        return NULL;

    n = BP_ALIGN(n, (size_t) ALIGN);
    if (!b || b->cap - b->n < n)
        b = add_block(a, n);
    if (!b) {
        a->failed = true;
        return NULL;
    }
    p = b->p + b->n;
    b->n += n;
    a->used_bytes += n;
    if (a->limit_bytes && a->used_bytes > a->limit_bytes)
        a->used_bytes = a->limit_bytes;
    return p;
}

char *bp_arena_text(struct bp_arena *a, struct bp_str s) {
    char *p = bp_arena_alloc(a, s.n + 1);

    if (p && s.n)
        memcpy(p, s.p, s.n);
    return p;
}
