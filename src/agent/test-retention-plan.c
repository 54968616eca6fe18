#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "agent/retention-plan.h"
#include "base/buf.h"

#define DAY (86400 * BP_SEC)
#define NOW (1000 * DAY)
#define MB  1000000ull

/* Rows as letters: a plain session, A snapshot; what follows is a flag: r running, k kept, m
 * marked, u uploaded. Their ages are given by their place: the first ended 10 days ago, the second
 * 9, … and each has 10 MB. What is expected: one letter a row, '.' stays. */
static const struct {
    const char *name, *rows;
    struct bp_retention_policy p;
    struct bp_retention_class of_snapshots;
    uint64_t free_mb;
    const char *want; /* . stays, a age, c class, s size, f free space */
    uint64_t over_mb;
} cases[] = {
    { "no limits", "su su su", { 0 }, { 0 }, 0, "...", 0 },
    { "age", "su su su", { .max_age = 8 * DAY + DAY / 2 }, { 0 }, 0, "aa.", 0 },
    { "exactly as old as allowed", "su su su", { .max_age = 9 * DAY }, { 0 }, 0, "a..", 0 },
    { "not uploaded: stays",
      "s s s",
      { .max_age = DAY, .max_size = MB, .min_free = MB },
      { 0 },
      0,
      "...",
      29 },
    { "not uploaded, force",
      "s s s",
      { .max_age = DAY, .delete_not_uploaded = true },
      { 0 },
      0,
      "aaa",
      0 },
    { "only what is uploaded goes", "s su s su", { .max_age = DAY }, { 0 }, 0, ".a.a", 0 },
    { "size: oldest first", "su su su su", { .max_size = 25 * MB }, { 0 }, 0, "ss..", 0 },
    { "size: what runs counts but stays", "sr su su", { .max_size = 10 * MB }, { 0 }, 0, ".ss", 0 },
    { "size: kept ones are passed over",
      "suk sum su su",
      { .max_size = 20 * MB, .keep_marked = true },
      { 0 },
      0,
      "..ss",
      0 },
    { "marks do not protect when told so", "sum su", { .max_size = 10 * MB }, { 0 }, 0, "s.", 0 },
    { "cannot be met", "suk suk su", { .max_size = 5 * MB }, { 0 }, 0, "..s", 15 },
    { "free space", "su su su", { .min_free = 20 * MB }, { 0 }, 5, "ff.", 0 },
    { "free space: what went by age counts",
      "su su su",
      { .max_age = 9 * DAY + DAY / 2, .min_free = 20 * MB },
      { 0 },
      10,
      "a..",
      0 },
    { "free enough", "su su su", { .min_free = 20 * MB }, { 0 }, 20, "...", 0 },
    { "newest stay", "su su su", { .max_age = DAY, .keep_newest = 2 }, { 0 }, 0, "a..", 0 },
    { "newest of each class",
      "su Su Su",
      { .max_age = DAY, .keep_newest = 1 },
      { 0 },
      0,
      ".a.",
      0 },
    { "newest: what runs is not counted",
      "su su sr",
      { .max_age = DAY, .keep_newest = 1 },
      { 0 },
      0,
      "a..",
      0 },
    { "plain sessions before snapshots", "Su su su", { .max_size = 20 * MB }, { 0 }, 0, ".s.", 0 },
    { "a class's own age",
      "su Su su Su",
      { .max_age = 5 * DAY },
      { .max_age = 100 * DAY },
      0,
      "a.a.",
      0 },
    { "a class's own size", "su Su Su Su", { 0 }, { .max_size = 10 * MB }, 0, ".cc.", 0 },
    { "a kept class",
      "su Su Su",
      { .max_age = DAY, .max_size = MB },
      { .keep = true },
      0,
      "a..",
      19 },
    { "an unknown class is a plain one", "Xu Su", { .max_size = 10 * MB }, { 0 }, 0, "s.", 0 },
};

static size_t parse(const char *text, struct bp_retention_row *rows) {
    static char ids[64][27];
    size_t n = 0;

    for (const char *p = text; *p; p++) {
        struct bp_retention_row *r;

        if (*p == ' ')
            continue;
        r = &rows[n];
        (void) snprintf(ids[n], sizeof ids[n], "%026zu", n);
        *r = (struct bp_retention_row){ .id = ids[n],
                                        .class_ = *p == 'S'   ? "snapshot"
                                                  : *p == 's' ? "session"
                                                              : "other",
                                        .started_ns = NOW - (bp_ns_t) (11 - n) * DAY,
                                        .ended_ns = NOW - (bp_ns_t) (10 - n) * DAY,
                                        .bytes = 10 * MB };
        for (; p[1] && p[1] != ' '; p++) {
            r->running |= p[1] == 'r';
            r->keep |= p[1] == 'k';
            r->uploaded |= p[1] == 'u';
            r->marks += p[1] == 'm';
        }
        n++;
    }
    return n;
}

static char letter(enum bp_retention_verdict v) {
    return v == BP_DELETE_AGE          ? 'a'
           : v == BP_DELETE_CLASS_SIZE ? 'c'
           : v == BP_DELETE_SIZE       ? 's'
           : v == BP_DELETE_SPACE      ? 'f'
                                       : '.';
}

static void by_table(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_retention_class classes[] = { { .name = "session" }, cases[i].of_snapshots };
        struct bp_retention_policy p = cases[i].p;
        struct bp_retention_now now = { NOW, true, cases[i].free_mb * MB, true };
        struct bp_retention_row rows[16];
        struct bp_retention_sums sums;
        size_t n = parse(cases[i].rows, rows);
        char got[17] = "";

        classes[1].name = "snapshot";
        p.classes = classes;
        p.nclasses = 2;
        assert_int_equal(bp_retention_plan(&p, &now, rows, n, NULL, &sums), 0);
        for (size_t k = 0; k < n; k++)
            got[k] = letter(rows[k].verdict);
        if (!bp_streq(got, cases[i].want) || sums.over / MB != cases[i].over_mb)
            fail_msg("%s: %s, expected %s; %llu over", cases[i].name, got, cases[i].want,
                     (unsigned long long) sums.over);
    }
}

/* A clock that cannot be believed makes nothing old, and nothing from the future is. */
static void clocks(void **state) {
    struct bp_retention_class classes[] = { { .name = "session" } };
    struct bp_retention_policy p = { .max_age = DAY, .classes = classes, .nclasses = 1 };
    struct bp_retention_row rows[4];
    struct bp_retention_sums sums;
    size_t n = parse("su su su", rows);

    (void) state;
    assert_int_equal(bp_retention_plan(&p, &(struct bp_retention_now){ NOW, false, 0, true }, rows,
                                       n, NULL, &sums),
                     0);
    assert_int_equal(sums.ndeleted, 0);
    assert_int_equal(bp_retention_plan(&p, &(struct bp_retention_now){ DAY, true, 0, true }, rows,
                                       n, NULL, &sums),
                     0);
    assert_int_equal(sums.ndeleted, 0);
    p = (struct bp_retention_policy){ .min_free = 50 * MB, .classes = classes, .nclasses = 1 };
    assert_int_equal(bp_retention_plan(&p, &(struct bp_retention_now){ NOW, true, 0, false }, rows,
                                       n, NULL, &sums),
                     0);
    assert_true(sums.ndeleted == 0 && sums.over == 50 * MB);
}

/* ---- whatever the rows are ---- */

static uint64_t rnd_state;

static uint64_t rnd(uint64_t below) {
    rnd_state ^= rnd_state << 13;
    rnd_state ^= rnd_state >> 7;
    rnd_state ^= rnd_state << 17;
    return rnd_state % below;
}

enum { MOST = 40 };

struct world {
    struct bp_retention_class classes[2];
    struct bp_retention_policy p;
    struct bp_retention_now now;
    struct bp_retention_row rows[MOST];
    char ids[MOST][27];
    size_t n;
};

static void make_world(struct world *w) {
    static const char *const names[] = { "session", "snapshot", "strange" };

    *w = (struct world){ .classes = { { .name = "session" }, { .name = "snapshot" } } };
    for (size_t c = 0; c < 2; c++) {
        w->classes[c].max_age = rnd(4) ? 0 : (bp_ns_t) rnd(50) * DAY;
        w->classes[c].max_size = rnd(3) ? 0 : rnd(1000);
        w->classes[c].keep_newest = (uint32_t) (rnd(3) ? 0 : rnd(5));
        w->classes[c].keep = rnd(8) == 0;
    }
    w->p = (struct bp_retention_policy){ .max_age = rnd(2) ? 0 : (bp_ns_t) rnd(50) * DAY,
                                         .max_size = rnd(2) ? 0 : rnd(2000),
                                         .min_free = rnd(2) ? 0 : rnd(2000),
                                         .keep_newest = (uint32_t) (rnd(2) ? 0 : rnd(6)),
                                         .keep_marked = rnd(2),
                                         .delete_not_uploaded = rnd(2),
                                         .classes = w->classes,
                                         .nclasses = 2 };
    w->now = (struct bp_retention_now){ NOW, rnd(8) != 0, rnd(1500), rnd(8) != 0 };
    w->n = rnd(MOST + 1);
    for (size_t i = 0; i < w->n; i++) {
        bp_ns_t start = NOW - (bp_ns_t) rnd(60) * DAY + (bp_ns_t) rnd(3) * DAY;

        (void) snprintf(w->ids[i], sizeof w->ids[i], "%026zu", i);
        w->rows[i] = (struct bp_retention_row){ .id = w->ids[i],
                                                .class_ = names[rnd(3)],
                                                .started_ns = start,
                                                .ended_ns = rnd(4) ? start + (bp_ns_t) rnd(DAY) : 0,
                                                .bytes = rnd(100),
                                                .marks = (uint32_t) (rnd(5) == 0),
                                                .running = rnd(10) == 0,
                                                .keep = rnd(10) == 0,
                                                .uploaded = rnd(3) != 0 };
    }
}

static size_t class_index(const struct bp_retention_row *r) {
    return bp_streq(r->class_, "snapshot");
}

static bool gone(const struct bp_retention_row *r) {
    return r->verdict >= BP_DELETE_AGE;
}

static bool newer(const struct bp_retention_row *a, const struct bp_retention_row *b) {
    return a->started_ns != b->started_ns ? a->started_ns > b->started_ns
                                          : strcmp(a->id, b->id) > 0;
}

static uint32_t newer_ones(const struct world *w, size_t i) {
    uint32_t n = 0;

    for (size_t k = 0; k < w->n; k++)
        n += !w->rows[k].running && class_index(&w->rows[k]) == class_index(&w->rows[i]) &&
             newer(&w->rows[k], &w->rows[i]);
    return n;
}

static const char *wrong_deletion(const struct world *w, size_t i) {
    const struct bp_retention_row *r = &w->rows[i];
    const struct bp_retention_class *c = &w->classes[class_index(r)];

    if (r->running)
        return "what runs was deleted";
    if (!r->uploaded && !w->p.delete_not_uploaded)
        return "what is not uploaded was deleted";
    if (r->keep || c->keep || (w->p.keep_marked && r->marks))
        return "what is kept was deleted";
    if (newer_ones(w, i) < (c->keep_newest ? c->keep_newest : w->p.keep_newest))
        return "one of the newest was deleted";
    if (r->verdict == BP_DELETE_AGE && !w->now.clock_ok)
        return "deleted by a clock that is wrong";
    if (r->verdict == BP_DELETE_SPACE && !w->now.space_ok)
        return "deleted for space although that does not help";
    for (size_t k = 0; k < w->n; k++) /* for space: nobody younger before somebody older */
        if (r->verdict > BP_DELETE_AGE && w->rows[k].verdict == BP_RETAIN &&
            class_index(&w->rows[k]) == class_index(r) && newer(r, &w->rows[k]))
            return "a younger one went before an older one";
    return NULL;
}

static uint64_t sum(const struct world *w, int class_, bool deleted) {
    uint64_t n = 0;

    for (size_t i = 0; i < w->n; i++)
        if ((class_ < 0 || class_index(&w->rows[i]) == (size_t) class_) &&
            gone(&w->rows[i]) == deleted)
            n += w->rows[i].bytes;
    return n;
}

/* Bytes that went for this reason; of the last of them, in the order in which they go. */
static uint64_t sum_of(const struct world *w, enum bp_retention_verdict why, uint64_t *ret_last) {
    const struct bp_retention_row *last = NULL;
    uint64_t n = 0;

    for (size_t i = 0; i < w->n; i++) {
        const struct bp_retention_row *r = &w->rows[i];

        if (r->verdict != why)
            continue;
        n += r->bytes;
        if (!last || class_index(r) > class_index(last) ||
            (class_index(r) == class_index(last) && newer(r, last)))
            last = r;
    }
    *ret_last = last ? last->bytes : UINT64_MAX;
    return n;
}

/* The last one that went for a limit was needed; and while a limit is not met nothing may go. */
static const char *wrong_sum(const struct world *w, const struct bp_retention_sums *s) {
    uint64_t left = sum(w, -1, false), freed = sum(w, -1, true), free_now = w->now.free + freed;
    uint64_t last_size, last_space, for_space = sum_of(w, BP_DELETE_SPACE, &last_space);
    bool may_go = false;

    (void) sum_of(w, BP_DELETE_SIZE, &last_size);
    for (size_t i = 0; i < w->n; i++)
        may_go |= w->rows[i].verdict == BP_RETAIN;
    if (last_size != UINT64_MAX && left + for_space + last_size <= w->p.max_size)
        return "more deleted for size than needed";
    if (last_space != UINT64_MAX && free_now - last_space >= w->p.min_free)
        return "more deleted for space than needed";
    if (w->p.max_size && left > w->p.max_size && may_go)
        return "too large, although something may go";
    if (w->p.min_free && w->now.space_ok && free_now < w->p.min_free && may_go)
        return "too little space, although something may go";
    if (w->p.max_size && left > w->p.max_size && s->over < left - w->p.max_size)
        return "it is not told how much is missing";
    if (s->deleted != freed || s->total != left + freed)
        return "sums are wrong";
    return NULL;
}

/* The same rows in another order: the same verdicts. */
static const char *wrong_when_shuffled(const struct world *w) {
    struct bp_retention_row rows[MOST];
    struct bp_retention_sums s;
    size_t order[MOST], from[MOST];

    for (size_t i = 0; i < w->n; i++)
        from[i] = i;
    for (size_t i = w->n; i-- > 1;) {
        size_t k = rnd(i + 1), x = from[i];

        from[i] = from[k];
        from[k] = x;
    }
    for (size_t i = 0; i < w->n; i++)
        rows[i] = w->rows[from[i]];
    if (bp_retention_plan(&w->p, &w->now, rows, w->n, order, &s) < 0)
        return "no memory";
    for (size_t i = 0; i < w->n; i++)
        if (rows[i].verdict != w->rows[from[i]].verdict)
            return "the order of rows matters";
    for (size_t i = 0; i < w->n; i++)
        if (gone(&rows[order[i]]) != (i < s.ndeleted))
            return "those to be deleted do not come first";
    return NULL;
}

static void invariants(void **state) {
    const char *seed = getenv("BP_SEED"); /* NOLINT(concurrency-mt-unsafe): one thread */
    uint64_t first = seed ? strtoull(seed, NULL, 10) : (uint64_t) time(NULL);
    unsigned deletions = 0;

    (void) state;
    print_message("# seed %llu (repeat with BP_SEED)\n", (unsigned long long) first);
    rnd_state = first * 2654435769u + 1;
    for (unsigned round = 0; round < 20000; round++) {
        struct bp_retention_sums s;
        struct world w;
        const char *wrong;

        make_world(&w);
        assert_int_equal(bp_retention_plan(&w.p, &w.now, w.rows, w.n, NULL, &s), 0);
        wrong = wrong_sum(&w, &s);
        for (size_t i = 0; i < w.n && !wrong; i++) {
            deletions += gone(&w.rows[i]);
            wrong = gone(&w.rows[i]) ? wrong_deletion(&w, i) : NULL;
        }
        if (!wrong)
            wrong = wrong_when_shuffled(&w);
        if (wrong)
            fail_msg("seed %llu, round %u: %s", (unsigned long long) first, round, wrong);
    }
    assert_true(deletions > 20000); /* else nothing was tested */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_table),
        cmocka_unit_test(clocks),
        cmocka_unit_test(invariants),
    };

    return cmocka_run_group_tests_name("agent/retention-plan", tests, NULL, NULL);
}
