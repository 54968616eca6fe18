#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "catalog/merge.h"

static uint32_t seed = 12345;

static uint32_t dice(uint32_t sides) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % sides;
}

static json_t *merged(const json_t *a, const json_t *b) {
    json_t *m = bp_merge(a, b, NULL, NULL);

    assert_non_null(m);
    return m;
}

/* Fields and versions as text in one order. */
static void assert_same(const json_t *a, const json_t *b) {
    char *x = json_dumps(a, JSON_SORT_KEYS), *y = json_dumps(b, JSON_SORT_KEYS);

    assert_string_equal(x, y);
    free(x);
    free(y);
}

enum { SITES = 4, ROUNDS = 400 };
static const char *const names[SITES] = { "robot7", "server", "cloud", "tablet" };
static const char *const fields[] = { "mission", "notes", "tag:a", "tag:b" };

/* Sites that edit, and hear of each other in any order. */
static void history(json_t *sites[SITES], int steps) {
    for (int i = 0; i < SITES; i++)
        sites[i] = json_object();
    for (int i = 0; i < steps; i++) {
        uint32_t at = dice(SITES), from = dice(SITES);
        char value[16];

        if (dice(2)) {
            (void) snprintf(value, sizeof value, "v%u", dice(5));
            assert_int_equal(bp_merge_set(sites[at], fields[dice(4)], value, names[at]), 0);
        } else {
            json_t *m = merged(sites[at], sites[from]);

            json_decref(sites[at]);
            sites[at] = m;
        }
    }
}

static void order_does_not_matter(void **state) {
    (void) state;
    for (int round = 0; round < ROUNDS; round++) {
        json_t *s[SITES], *ab, *ba, *bc, *left, *right, *twice;

        history(s, 3 + (int) dice(30));
        ab = merged(s[0], s[1]);
        ba = merged(s[1], s[0]);
        bc = merged(s[1], s[2]);
        left = merged(ab, s[2]);
        right = merged(s[0], bc);
        twice = merged(left, s[dice(3)]);
        assert_same(ab, ba);
        assert_same(left, right);
        assert_same(left, twice);
        assert_true(bp_merge_knows(left, s[0]) && bp_merge_knows(left, s[2]));
        json_decref(ab), json_decref(ba), json_decref(bc);
        json_decref(left), json_decref(right), json_decref(twice);
        for (int i = 0; i < SITES; i++)
            json_decref(s[i]);
    }
}

struct seen {
    int n;
    bool took_theirs;
    char field[32];
};

static void see(void *ctx, const struct bp_merge_conflict *c) {
    struct seen *s = ctx;

    s->n++;
    s->took_theirs = c->took_theirs;
    (void) snprintf(s->field, sizeof s->field, "%s", c->field);
}

static void tells_conflicts(void **state) {
    json_t *a = json_object(), *b, *m;
    struct seen s = { 0 };

    (void) state;
    assert_int_equal(bp_merge_set(a, "mission", "hall", "robot"), 0);
    assert_int_equal(bp_merge_set(a, "tag:x", "1", "robot"), 0);
    b = json_deep_copy(a);

    /* one side alone: the other knows nothing better */
    assert_int_equal(bp_merge_set(b, "mission", "yard", "server"), 0);
    m = bp_merge(a, b, see, &s);
    assert_int_equal(s.n, 0);
    assert_string_equal(bp_merge_get(m, "mission"), "yard");
    json_decref(m);

    /* both, and different fields: still none */
    assert_int_equal(bp_merge_set(a, "notes", "wet", "robot"), 0);
    assert_int_equal(bp_merge_set(a, "tag:x", "", "robot"), 0);
    m = bp_merge(a, b, see, &s);
    assert_int_equal(s.n, 0);
    assert_string_equal(bp_merge_get(m, "mission"), "yard");
    assert_string_equal(bp_merge_get(m, "notes"), "wet");
    assert_string_equal(bp_merge_get(m, "tag:x"), "");
    json_decref(m);

    /* both, the same field */
    assert_int_equal(bp_merge_set(a, "mission", "roof", "robot"), 0);
    m = bp_merge(a, b, see, &s);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.field, "mission");
    assert_string_equal(bp_merge_get(m, "mission"), s.took_theirs ? "yard" : "roof");
    json_decref(m);
    json_decref(a);
    json_decref(b);
}

static void bears_anything(void **state) {
    static const char *const bad[] = {
        "[]",
        "3",
        "{\"version\": [], \"fields\": 7}",
        "{\"version\": {\"a\": -1, \"b\": \"x\"}, \"fields\": {\"m\": {\"value\": 1}}}",
        "{\"fields\": {\"m\": {\"value\": \"x\", \"n\": -3, \"by\": \"a\"}, \"n\": null}}",
    };

    (void) state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        json_t *a = json_loads(bad[i], JSON_DECODE_ANY, NULL), *b = json_object(), *m;

        assert_int_equal(bp_merge_set(b, "m", "y", "s"), 0);
        m = merged(a, b);
        assert_string_equal(bp_merge_get(m, "m"), "y");
        assert_null(json_object_get(json_object_get(m, "version"), "a"));
        json_decref(m);
        json_decref(a);
        json_decref(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_does_not_matter),
        cmocka_unit_test(tells_conflicts),
        cmocka_unit_test(bears_anything),
    };

    return cmocka_run_group_tests_name("catalog/merge", tests, NULL, NULL);
}
