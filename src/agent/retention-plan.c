#include "agent/retention-plan.h"

#include <assert.h>
#include <errno.h>

#include "base/buf.h"

const char *bp_retention_verdict_text(enum bp_retention_verdict v) {
    static const char *const texts[] = {
        [BP_RETAIN] = "within all limits",
        [BP_RETAIN_RUNNING] = "is being recorded",
        [BP_RETAIN_KEPT] = "kept by hand",
        [BP_RETAIN_MARKED] = "has a mark",
        [BP_RETAIN_CLASS] = "its class is kept",
        [BP_RETAIN_NEWEST] = "one of the newest",
        [BP_RETAIN_NOT_UPLOADED] = "not uploaded",
        [BP_DELETE_AGE] = "older than max_age",
        [BP_DELETE_CLASS_SIZE] = "its class is larger than its max_size",
        [BP_DELETE_SIZE] = "all together is larger than max_size",
        [BP_DELETE_SPACE] = "less than min_free is free",
    };
    static_assert(BP_COUNT(texts) == BP_RETENTION_VERDICTS_N_, "every verdict has its text");

    return (unsigned) v < BP_RETENTION_VERDICTS_N_ ? texts[v] : "unknown";
}

static size_t class_of(const struct bp_retention_policy *p, const struct bp_retention_row *r) {
    for (size_t i = 0; i < p->nclasses; i++)
        if (bp_streq(p->classes[i].name, r->class_))
            return i;
    return 0;
}

static int by_age(const struct bp_retention_row *a, const struct bp_retention_row *b) {
    if (a->started_ns != b->started_ns)
        return a->started_ns < b->started_ns ? -1 : 1;
    return strcmp(a->id, b->id);
}

/* By class, then oldest first. */
struct plan {
    const struct bp_retention_policy *p;
    const struct bp_retention_now *now;
    struct bp_retention_row *rows;
};

static int before(const void *a, const void *b, void *ctx) {
    const struct plan *k = ctx;
    const struct bp_retention_row *x = &k->rows[*(const size_t *) a];
    const struct bp_retention_row *y = &k->rows[*(const size_t *) b];
    size_t cx = class_of(k->p, x), cy = class_of(k->p, y);

    return cx != cy ? (cx < cy ? -1 : 1) : by_age(x, y);
}

static bool is_deleted(const struct bp_retention_row *r) {
    return r->verdict >= BP_DELETE_AGE;
}

/* What protects it but the newest of a class, which is counted elsewhere. */
static enum bp_retention_verdict protection(const struct bp_retention_policy *p,
                                            const struct bp_retention_row *r) {
    if (r->running)
        return BP_RETAIN_RUNNING;
    if (r->keep)
        return BP_RETAIN_KEPT;
    if (p->keep_marked && r->marks)
        return BP_RETAIN_MARKED;
    if (p->classes[class_of(p, r)].keep)
        return BP_RETAIN_CLASS;
    if (!r->uploaded && !p->delete_not_uploaded)
        return BP_RETAIN_NOT_UPLOADED;
    return BP_RETAIN;
}

/* From the newest of each class back. Whether one is uploaded plays no part: the newest are kept
 * whatever becomes of them. What runs is not counted: it will be the newest when it has ended. */
static void protect(const struct plan *k, const size_t *order, size_t n) {
    size_t class_now = SIZE_MAX;
    uint32_t left = 0;

    for (size_t i = n; i-- > 0;) {
        struct bp_retention_row *r = &k->rows[order[i]];
        size_t c = class_of(k->p, r);

        if (c != class_now) {
            class_now = c;
            left = k->p->classes[c].keep_newest ? k->p->classes[c].keep_newest : k->p->keep_newest;
        }
        r->verdict = protection(k->p, r);
        if (r->verdict == BP_RETAIN_RUNNING || left == 0)
            continue;
        left--;
        if (r->verdict == BP_RETAIN || r->verdict == BP_RETAIN_NOT_UPLOADED)
            r->verdict = BP_RETAIN_NEWEST;
    }
}

static bool is_old(const struct plan *k, const struct bp_retention_row *r) {
    bp_ns_t own = k->p->classes[class_of(k->p, r)].max_age;
    bp_ns_t most = own ? own : k->p->max_age, since = r->ended_ns ? r->ended_ns : r->started_ns;

    return most && k->now->clock_ok && since < k->now->wall_ns && k->now->wall_ns - since > most;
}

/* Deletes the oldest that may go while more than `most` is there.
 * @param only  the class, or SIZE_MAX: all; @return bytes that are still too many */
static uint64_t shrink(const struct plan *k, const size_t *order, size_t n, size_t only,
                       uint64_t have, uint64_t most, enum bp_retention_verdict why) {
    for (size_t i = 0; i < n && have > most; i++) {
        struct bp_retention_row *r = &k->rows[order[i]];

        if (r->verdict != BP_RETAIN || (only != SIZE_MAX && class_of(k->p, r) != only))
            continue;
        r->verdict = why;
        have -= BP_MIN(have, r->bytes);
    }
    return have > most ? have - most : 0;
}

static uint64_t bytes_left(const struct plan *k, size_t n, size_t only) {
    uint64_t sum = 0;

    for (size_t i = 0; i < n; i++)
        if (!is_deleted(&k->rows[i]) && (only == SIZE_MAX || class_of(k->p, &k->rows[i]) == only))
            sum += k->rows[i].bytes;
    return sum;
}

static uint64_t apply_limits(const struct plan *k, const size_t *order, size_t n, uint64_t total) {
    const struct bp_retention_policy *p = k->p;
    uint64_t over = 0, freed, missing, more;

    for (size_t i = 0; i < n; i++)
        if (k->rows[i].verdict == BP_RETAIN && is_old(k, &k->rows[i]))
            k->rows[i].verdict = BP_DELETE_AGE;
    for (size_t c = 0; c < p->nclasses; c++)
        if (p->classes[c].max_size) {
            more = shrink(k, order, n, c, bytes_left(k, n, c), p->classes[c].max_size,
                          BP_DELETE_CLASS_SIZE);
            over = BP_MAX(over, more);
        }
    if (p->max_size) {
        more =
            shrink(k, order, n, SIZE_MAX, bytes_left(k, n, SIZE_MAX), p->max_size, BP_DELETE_SIZE);
        over = BP_MAX(over, more);
    }
    freed = total - bytes_left(k, n, SIZE_MAX);
    if (p->min_free > k->now->free && p->min_free - k->now->free > freed) {
        missing = p->min_free - k->now->free - freed;
        more =
            k->now->space_ok ? shrink(k, order, n, SIZE_MAX, missing, 0, BP_DELETE_SPACE) : missing;
        over = BP_MAX(over, more);
    }
    return over;
}

/* Those to be deleted to the front, without changing the order among them. */
static void deleted_first(const struct bp_retention_row *rows, const size_t *from, size_t n,
                          size_t *to) {
    size_t at = 0;

    for (int round = 0; round < 2; round++)
        for (size_t i = 0; i < n; i++)
            if (is_deleted(&rows[from[i]]) == (round == 0))
                to[at++] = from[i];
}

int bp_retention_plan(const struct bp_retention_policy *p, const struct bp_retention_now *now,
                      struct bp_retention_row *rows, size_t n, size_t *order,
                      struct bp_retention_sums *ret) {
    struct plan k = { p, now, rows };
    BP_AUTO_FREE size_t *sorted = calloc(n + 1, sizeof *sorted);
    struct bp_retention_sums s = { 0 };

    assert(p->nclasses > 0);
    if (!sorted)
        return -ENOMEM;
    for (size_t i = 0; i < n; i++) {
        sorted[i] = i;
        rows[i].verdict = BP_RETAIN;
        s.total += rows[i].bytes;
    }
    if (n)
        qsort_r(sorted, n, sizeof *sorted, before, &k);
    protect(&k, sorted, n);
    s.over = apply_limits(&k, sorted, n, s.total);
    for (size_t i = 0; i < n; i++) {
        s.ndeleted += is_deleted(&rows[i]);
        s.deleted += is_deleted(&rows[i]) ? rows[i].bytes : 0;
        s.nheld += rows[i].verdict == BP_RETAIN_NOT_UPLOADED;
    }
    if (order)
        deleted_first(rows, sorted, n, order);
    *ret = s;
    return 0;
}
