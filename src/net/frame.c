#include "net/frame.h"

#include <assert.h>
#include <stdlib.h>

struct bp_frame *bp_frame_new(enum bp_ws_opcode opcode, size_t stamp, size_t n) {
    size_t start = BP_FRAME_HEAD_MAX + stamp;
    struct bp_frame *f;

    if (n > UINT32_MAX - start)
        return NULL;
    f = malloc(sizeof *f + start + n);
    if (!f)
        return NULL;
    *f = (struct bp_frame){
        .refs = 1,
        .opcode = (uint8_t) opcode,
        .head = (uint32_t) start,
        .start = (uint32_t) start,
        .end = (uint32_t) (start + n),
    };
    return f;
}

struct bp_frame *bp_frame_of(enum bp_ws_opcode opcode, const void *p, size_t n) {
    struct bp_frame *f = bp_frame_new(opcode, 0, n);

    if (!f)
        return NULL;
    if (n > 0)
        memcpy(bp_frame_payload(f), p, n);
    bp_frame_seal(f, NULL, 0);
    return f;
}

void bp_frame_seal(struct bp_frame *f, const void *stamp, size_t n) {
    uint8_t head[BP_FRAME_HEAD_MAX] = { (uint8_t) (0x80 | f->opcode) };
    size_t size, len = 2;

    assert(f->head == f->start && n + BP_FRAME_HEAD_MAX <= f->start);
    if (n > 0)
        memcpy(f->bytes + f->start - n, stamp, n);
    f->start -= (uint32_t) n;
    size = f->end - f->start;
    if (size > UINT16_MAX) {
        head[1] = 127;
        len = 10;
    } else if (size > 125) {
        head[1] = 126;
        len = 4;
    } else {
        head[1] = (uint8_t) size;
    }
    for (size_t i = len - 1, rest = size; i >= 2; i--, rest >>= 8) /* network order */
        head[i] = (uint8_t) rest;
    f->head = f->start - (uint32_t) len;
    memcpy(f->bytes + f->head, head, len);
}

struct bp_frame *bp_frame_ref(struct bp_frame *f) {
    (void) __atomic_add_fetch(&f->refs, 1, __ATOMIC_RELAXED);
    return f;
}

void bp_frame_unref(struct bp_frame *f) {
    if (f && __atomic_sub_fetch(&f->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(f);
}
