/* Walks a CDR message along a type. Rules (DDS-XTypes 1.3 §7.4.3):
 *
 *   XCDR1  a value is aligned to its size, counted from behind the encapsulation header
 *   XCDR2  the same, but 8-byte values are aligned to 4; arrays and sequences of anything that is
 *          not primitive have their size in bytes (a "DHEADER") in front
 *   delimited   XCDR2, with a DHEADER in front of each struct
 *   parameter lists   each member of a struct has a header with its id and size
 *
 * A sequence without items is not followed by alignment for items. */
#include "wire/schema-priv.h"

#include "wire/cdr.h"

struct walk {
    const uint8_t *base; /* alignment is counted from here */
    const uint8_t *p, *end;
    const uint8_t *start; /* of the message, for errors */
    bool swap, v2, delimited, members;
    uint8_t wide; /* bytes of a wstring's unit */
    const struct bp_visitor *v;
    void *ctx;
    struct bp_error *err;
};

static uint16_t load16(const uint8_t *p, bool swap) {
    uint16_t x;

    memcpy(&x, p, sizeof x);
    return swap ? __builtin_bswap16(x) : x;
}

static uint32_t load32(const uint8_t *p, bool swap) {
    uint32_t x;

    memcpy(&x, p, sizeof x);
    return swap ? __builtin_bswap32(x) : x;
}

static uint64_t load64(const uint8_t *p, bool swap) {
    uint64_t x;

    memcpy(&x, p, sizeof x);
    return swap ? __builtin_bswap64(x) : x;
}

uint64_t bp_value_u64(const struct bp_value *v, enum bp_prim prim, size_t i) {
    const uint8_t *p = v->p + i * v->unit;

    switch (prim) {
    case BP_PRIM_INT8:
        return (uint64_t) (int8_t) *p;
    case BP_PRIM_INT16:
        return (uint64_t) (int16_t) load16(p, v->swap);
    case BP_PRIM_INT32:
        return (uint64_t) (int32_t) load32(p, v->swap);
    default:
        break;
    }
    switch (v->unit) {
    case 1:
        return *p;
    case 2:
        return load16(p, v->swap);
    case 4:
        return load32(p, v->swap);
    default:
        return load64(p, v->swap);
    }
}

double bp_value_f64(const struct bp_value *v, enum bp_prim prim, size_t i) {
    const uint8_t *p = v->p + i * v->unit;
    uint64_t bits;
    double d;

    if (prim == BP_PRIM_FLOAT32) {
        uint32_t single = load32(p, v->swap);
        float f;

        memcpy(&f, &single, sizeof f);
        return (double) f;
    }
    bits = bp_value_u64(v, prim, i);
    if (prim == BP_PRIM_FLOAT64) {
        memcpy(&d, &bits, sizeof d);
        return d;
    }
    if (prim == BP_PRIM_UINT64)
        return (double) bits;
    return (double) (int64_t) bits;
}

static int truncated(const struct walk *w, const char *name) {
    return bp_fail(w->err, BP_ETRUNCATED, "the message ends inside '%s', at byte %zu", name,
                   (size_t) (w->p - w->start));
}

/* Moves to the next multiple of `size`; false when that is beyond the end. */
static bool align(struct walk *w, size_t size) {
    size_t a = size == 8 && w->v2 ? 4 : size;
    size_t pad = (0 - (size_t) (w->p - w->base)) & (a - 1);

    if ((size_t) (w->end - w->p) < pad)
        return false;
    w->p += pad;
    return true;
}

static bool take(struct walk *w, uint64_t n, const uint8_t **ret) {
    if ((uint64_t) (w->end - w->p) < n)
        return false;
    *ret = w->p;
    w->p += n;
    return true;
}

static bool take_u32(struct walk *w, uint32_t *ret) {
    const uint8_t *p;

    if (!align(w, 4) || !take(w, 4, &p))
        return false;
    *ret = load32(p, w->swap);
    return true;
}

static int string(struct walk *w, const struct bp_op *op, struct bp_value *ret) {
    uint32_t n;

    if (!take_u32(w, &n) || !take(w, n, &ret->p))
        return truncated(w, op->name);
    ret->n = n > 0 ? n - 1 : 0; /* its NUL */
    ret->unit = 1;
    ret->swap = false;
    return 0;
}

/* Units counted, without a NUL in ROS; one at the end is dropped. */
static int wide_string(struct walk *w, const struct bp_op *op, struct bp_value *ret) {
    uint32_t n;

    if (!take_u32(w, &n) || !take(w, (uint64_t) n * w->wide, &ret->p))
        return truncated(w, op->name);
    *ret = (struct bp_value){ .p = ret->p, .n = n, .unit = w->wide, .swap = w->swap };
    if (n > 0 && bp_value_u64(ret, BP_PRIM_WCHAR, n - 1) == 0)
        ret->n--;
    return 0;
}

static int any_string(struct walk *w, const struct bp_op *op, struct bp_value *ret) {
    return op->prim == BP_PRIM_STRING ? string(w, op, ret) : wide_string(w, op, ret);
}

static int walk_struct(struct walk *w, const struct bp_type *t);

static int visit_item(struct walk *w, const struct bp_op *op, uint32_t i) {
    struct bp_value v;
    bool is_struct = op->prim == BP_PRIM_STRUCT;
    int r = is_struct ? 0 : any_string(w, op, &v);

    if (r == 0 && w->v->item)
        r = w->v->item(w->ctx, op, i, is_struct ? NULL : &v);
    if (r == 0 && is_struct)
        r = walk_struct(w, op->type);
    return r;
}

/* Limits the walk to the next `size` bytes; the old end goes to *ret_end. */
static int open_box(struct walk *w, const char *name, uint32_t size, const uint8_t **ret_end) {
    *ret_end = w->end;
    if (size > (size_t) (w->end - w->p))
        return truncated(w, name);
    w->end = w->p + size;
    return 0;
}

static int open_dheader(struct walk *w, const char *name, const uint8_t **ret_end) {
    uint32_t size;

    if (!take_u32(w, &size))
        return truncated(w, name);
    return open_box(w, name, size, ret_end);
}

static void close_box(struct walk *w, const uint8_t *end) {
    w->p = w->end;
    w->end = end;
}

static const struct bp_visitor nothing;

/* Calls enter. @return as it did; 0 for BP_WALK_SKIP, the visitor then set aside into *ret_kept */
static int enter(struct walk *w, const struct bp_op *op, uint32_t count,
                 const struct bp_visitor **ret_kept) {
    int r = w->v->enter ? w->v->enter(w->ctx, op, count) : 0;

    *ret_kept = NULL;
    if (r != BP_WALK_SKIP)
        return r;
    *ret_kept = w->v;
    w->v = &nothing;
    return 0;
}

static int leave(struct walk *w, const struct bp_op *op, uint32_t count,
                 const struct bp_visitor *kept) {
    if (kept) {
        w->v = kept;
        return 0;
    }
    return w->v->leave ? w->v->leave(w->ctx, op, count) : 0;
}

static int visit_items(struct walk *w, const struct bp_op *op, uint32_t count) {
    const struct bp_visitor *kept;
    int r = enter(w, op, count, &kept);

    for (uint32_t i = 0; r == 0 && i < count; i++)
        r = visit_item(w, op, i);
    return r == 0 ? leave(w, op, count, kept) : r;
}

/* Reads how many items there are, and refuses what the rest of the message cannot hold. */
static int count_items(struct walk *w, const struct bp_op *op, uint32_t *ret) {
    uint64_t least = op->prim == BP_PRIM_STRUCT ? op->type->min_size : op->size ? op->size : 4;

    if (op->array == BP_ARRAY_FIXED)
        *ret = op->bound;
    else if (!take_u32(w, ret))
        return truncated(w, op->name);
    if (*ret > (uint64_t) (w->end - w->p) / least)
        return bp_fail(w->err, BP_ETRUNCATED,
                       "'%s' claims %u items, more than the rest of the message holds, at byte %zu",
                       op->name, *ret, (size_t) (w->p - w->start));
    if (op->array == BP_ARRAY_BOUNDED && *ret > op->bound)
        return bp_fail(w->err, BP_EFORMAT, "'%s' has %u items, its bound is %u", op->name, *ret,
                       op->bound);
    return 0;
}

static int walk_complex_array(struct walk *w, const struct bp_op *op) {
    const uint8_t *end = NULL;
    uint32_t count;
    int r = w->v2 ? open_dheader(w, op->name, &end) : 0;

    if (r == 0)
        r = count_items(w, op, &count);
    if (r == 0)
        r = visit_items(w, op, count);
    if (r == 0 && end)
        close_box(w, end);
    return r;
}

static int walk_primitives(struct walk *w, const struct bp_op *op) {
    struct bp_value v = { .unit = op->size, .swap = w->swap };
    uint32_t count = 1;

    if (op->array != BP_ARRAY_NONE) {
        int r = count_items(w, op, &count);

        if (r < 0)
            return r;
    }
    v.p = w->p;
    v.n = count;
    if (count > 0 && (!align(w, op->size) || !take(w, (uint64_t) count * op->size, &v.p)))
        return truncated(w, op->name);
    return w->v->value ? w->v->value(w->ctx, op, &v) : 0;
}

static int walk_op(struct walk *w, const struct bp_op *op) {
    const struct bp_visitor *kept;
    struct bp_value v;
    int r;

    if (op->size > 0)
        return walk_primitives(w, op);
    if (op->array != BP_ARRAY_NONE)
        return walk_complex_array(w, op);
    if (op->prim != BP_PRIM_STRUCT) {
        r = any_string(w, op, &v);
        return r == 0 && w->v->value ? w->v->value(w->ctx, op, &v) : r;
    }
    r = enter(w, op, 1, &kept);
    if (r == 0)
        r = walk_struct(w, op->type);
    return r == 0 ? leave(w, op, 1, kept) : r;
}

/* ---- members with headers ---- */

enum {
    PID_MASK = 0x3fff,
    PID_EXTENDED = 0x3f01,
    PID_LIST_END = 0x3f02,
    PID_SENTINEL = 1, /* RTPS' own end mark, which some writers put */
};

struct member {
    uint32_t id, size;
    bool list_end;
};

static bool v1_member(struct walk *w, struct member *m) {
    const uint8_t *p;
    uint16_t pid;

    if (!align(w, 4) || !take(w, 4, &p))
        return false;
    pid = load16(p, w->swap) & PID_MASK;
    *m = (struct member){ .id = pid, .size = load16(p + 2, w->swap) };
    m->list_end = pid == PID_LIST_END || (pid == PID_SENTINEL && m->size == 0);
    if (pid != PID_EXTENDED)
        return true;
    if (!take(w, 8, &p))
        return false;
    *m = (struct member){ .id = load32(p, w->swap) & 0xfffffff, .size = load32(p + 4, w->swap) };
    return true;
}

/* EMHEADER: the length code says where the size is; from 5 on it is the member's own first word. */
static bool v2_member(struct walk *w, struct member *m) {
    uint32_t head, code, next;
    const uint8_t *mark;

    if (!take_u32(w, &head))
        return false;
    code = head >> 28 & 7;
    *m = (struct member){ .id = head & 0xfffffff, .size = 1U << (code & 3) };
    if (code < 4)
        return true;
    mark = w->p;
    if (!take_u32(w, &next))
        return false;
    if (code > 4) {
        uint64_t size = 4 + (uint64_t) next * (code == 6 ? 4 : code == 7 ? 8 : 1);

        if (size > UINT32_MAX)
            return false;
        w->p = mark;
        next = (uint32_t) size;
    }
    m->size = next;
    return true;
}

static bool next_member(struct walk *w, struct member *m) {
    if (w->v2 && w->end - w->p < 4) {
        *m = (struct member){ .list_end = true };
        return true;
    }
    return w->v2 ? v2_member(w, m) : v1_member(w, m);
}

/* Goes to member `id` of the struct that begins at `from`: the next one as a rule, else it looks
 * through all. */
static int find_member(struct walk *w, const uint8_t *from, uint32_t id, const char *name,
                       struct member *m) {
    for (unsigned round = 0; round < 2; round++) {
        while (next_member(w, m)) {
            if (m->list_end)
                break;
            if (m->size > (size_t) (w->end - w->p))
                return truncated(w, name);
            if (m->id == id)
                return 0;
            w->p += m->size;
        }
        w->p = from;
    }
    return bp_fail(w->err, BP_EUNSUPPORTED, "the message leaves out '%s'", name);
}

static int walk_members(struct walk *w, const struct bp_type *t) {
    const uint8_t *from = w->p, *base = w->base, *end = NULL;
    struct member m = { 0 };
    int r = 0;

    for (size_t i = 0; r == 0 && i < t->n; i++) {
        r = find_member(w, from, (uint32_t) i, t->ops[i].name, &m);
        if (r == 0)
            r = open_box(w, t->ops[i].name, m.size, &end);
        if (r < 0)
            return r;
        if (!w->v2)
            w->base = w->p; /* XCDR1 counts alignment anew in each member */
        r = walk_op(w, &t->ops[i]);
        w->base = base;
        close_box(w, end);
    }
    while (r == 0) { /* the rest, and the end mark */
        if (!next_member(w, &m) || m.size > (size_t) (w->end - w->p))
            return truncated(w, t->name);
        if (m.list_end)
            break;
        w->p += m.size;
    }
    return r;
}

/* ---- structs ---- */

static int walk_plain(struct walk *w, const struct bp_type *t) {
    for (size_t i = 0; i < t->n; i++) {
        int r = walk_op(w, &t->ops[i]);

        if (r != 0)
            return r;
    }
    if (t->empty) {
        if (w->p == w->end)
            return truncated(w, t->name);
        w->p++;
    }
    return 0;
}

static int walk_struct(struct walk *w, const struct bp_type *t) {
    const uint8_t *end = NULL;
    int r;

    if (!w->delimited && !w->members)
        return walk_plain(w, t);
    if (!w->v2)
        return walk_members(w, t);
    r = open_dheader(w, t->name, &end);
    if (r == 0)
        r = w->members ? walk_members(w, t) : walk_plain(w, t);
    if (r == 0)
        close_box(w, end);
    return r;
}

/* The two-byte identifier, in either numbering, to what it means. */
static int encapsulation(struct walk *w, const uint8_t *p) {
    unsigned id = (unsigned) p[0] << 8 | p[1];
    bool big = (id & 1) == 0;

    if (id >= 0x10 && id <= 0x15) { /* XTypes numbers: plain, PL, D */
        static const uint8_t rtps[] = { BP_ENCAPS_CDR2, BP_ENCAPS_PL_CDR2, BP_ENCAPS_D_CDR2 };

        id = rtps[(id - 0x10) / 2];
    }
    w->swap = big == (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__);
    switch (id & ~1U) {
    case BP_ENCAPS_CDR:
        return 0;
    case BP_ENCAPS_PL_CDR:
        w->members = true;
        return 0;
    case BP_ENCAPS_CDR2:
        w->v2 = true;
        return 0;
    case BP_ENCAPS_D_CDR2:
        w->v2 = w->delimited = true;
        return 0;
    case BP_ENCAPS_PL_CDR2:
        w->v2 = w->members = true;
        return 0;
    default:
        return bp_fail(w->err, BP_EUNSUPPORTED, "encapsulation 0x%04x is not CDR", id);
    }
}

/* How wide the units of wstrings are is not agreed on: rmw_cyclonedds writes 2 bytes, Fast CDR of
 * some versions 4. The width that uses up the message is the right one. */
static uint8_t wide_unit(const struct walk *w, const struct bp_type *t) {
    for (uint8_t unit = 2; unit <= 4; unit += 2) {
        struct walk probe = *w;

        probe.wide = unit;
        probe.v = &nothing;
        probe.err = NULL;
        if (walk_struct(&probe, t) == 0 && probe.end - probe.p < 4)
            return unit;
    }
    return 2;
}

int bp_schema_walk(const struct bp_schema *s, const void *cdr, size_t n,
                   const struct bp_visitor *visitor, void *ctx, struct bp_error *err) {
    const uint8_t *p = cdr;
    struct walk w = { .v = visitor, .ctx = ctx, .err = err, .wide = 2 };
    int r;

    if (n < 4)
        return bp_fail(err, BP_ETRUNCATED, "%s: a message of %zu bytes has no encapsulation header",
                       s->top->name, n);
    if (err)
        *err = (struct bp_error){ 0 }; /* a callback may fail without a word */
    w.start = p;
    w.base = w.p = p + 4;
    w.end = p + n;
    r = encapsulation(&w, p);
    if (r == 0 && s->has_wide)
        w.wide = wide_unit(&w, s->top);
    if (r == 0)
        r = walk_struct(&w, s->top);
    return r < 0 ? bp_prefix(err, r, "%s", s->top->name) : r;
}
