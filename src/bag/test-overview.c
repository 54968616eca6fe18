#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "bag/overview.h"

/* Sums must be exact however wide the bins get, and the order must not matter. */

static const bp_ns_t T0 = 1790000000 * BP_SEC;

static void sums(const struct bp_overview *o, size_t t, uint64_t messages, uint64_t bytes) {
    struct bp_overview_bin s = { 0 };

    for (size_t i = 0; i < o->nbins; i++) {
        s.messages += o->topics[t].bins[i].messages;
        s.bytes += o->topics[t].bins[i].bytes;
    }
    assert_int_equal(s.messages, messages);
    assert_int_equal(s.bytes, bytes);
    assert_int_equal(o->topics[t].messages, messages);
    assert_true(o->nbins <= BP_OVERVIEW_BINS);
}

static void bins_of_a_second(void **state) {
    BP_AUTO_OVERVIEW o = { 0 };
    int t = bp_overview_topic(&o, "/a", "T", "");

    (void) state;
    assert_int_equal(t, 0);
    bp_overview_add(&o, 0, T0 + 5 * BP_SEC, 1, 10);
    bp_overview_add(&o, 0, T0 + 7 * BP_SEC + 1, 2, 20);
    bp_overview_add(&o, 0, T0, 4, 40); /* earlier than all */
    assert_int_equal(o.bin_ns, BP_SEC);
    assert_int_equal(o.first, T0 / BP_SEC);
    assert_int_equal(o.nbins, 8);
    assert_int_equal(o.topics[0].bins[0].messages, 4);
    assert_int_equal(o.topics[0].bins[5].bytes, 10);
    assert_int_equal(o.topics[0].bins[7].messages, 2);
    assert_int_equal(o.topics[0].bins[6].messages, 0);
}

static void long_ones_have_wide_bins(void **state) {
    BP_AUTO_OVERVIEW o = { 0 };

    (void) state;
    assert_int_equal(bp_overview_topic(&o, "/a", "T", ""), 0);
    for (int i = 0; i < 7200; i++)
        bp_overview_add(&o, 0, T0 + i * BP_SEC, 3, 5);
    assert_int_equal(o.bin_ns, 4 * BP_SEC);
    assert_int_equal(o.topics[0].bins[7].messages, 12);
    sums(&o, 0, 21600, 36000);
    bp_overview_add(&o, 0, 0, 1, 1); /* a clock that was not set yet, or an enemy */
    bp_overview_add(&o, 0, -5, 1, 1);
    bp_overview_add(&o, 0, INT64_MAX, 1, 1);
    sums(&o, 0, 21603, 36003);
}

static void fill(struct bp_overview *o, int part) {
    const char *const names[] = { "/a", "/b", "/c" };

    for (int k = 0; k < 3; k++) {
        int t = bp_overview_topic(o, names[(k + part) % 3], "T", "r");

        assert_true(t >= 0);
        for (int i = 0; i < 1500; i++)
            bp_overview_add(o, (size_t) t, T0 + (part * 1400 + i) * BP_SEC, 1 + (uint64_t) k, 7);
    }
    assert_int_equal(bp_overview_add_loss(o, "/a", T0, T0 + BP_SEC, (uint64_t) part + 1), 0);
}

static void merged_in_any_order(void **state) {
    BP_AUTO_OVERVIEW a = { 0 }, b = { 0 };
    static const int order[] = { 2, 0, 3, 1 };

    (void) state;
    for (int i = 0; i < 4; i++) {
        BP_AUTO_OVERVIEW x = { 0 }, y = { 0 };

        fill(&x, i);
        fill(&y, order[i]);
        assert_int_equal(bp_overview_merge(&a, &x), 0);
        assert_int_equal(bp_overview_merge(&b, &y), 0);
    }
    assert_int_equal(a.bin_ns, b.bin_ns);
    assert_int_equal(a.first, b.first);
    assert_int_equal(a.nbins, b.nbins);
    assert_int_equal(a.nlosses, 4);
    for (size_t i = 0; i < 3; i++) {
        int k = bp_overview_topic(&b, a.topics[i].topic, "T", "r");

        assert_in_range(k, 0, 2);
        assert_memory_equal(a.topics[i].bins, b.topics[k].bins, a.nbins * sizeof *a.topics[i].bins);
        sums(&a, i, a.topics[i].messages, 4 * 1500 * 7);
    }
}

static void many_topics_and_losses(void **state) {
    BP_AUTO_OVERVIEW o = { 0 };
    uint64_t lost = 0, messages = 0;
    char name[16];

    (void) state;
    for (int i = 0; i < 600; i++) {
        int t;

        (void) snprintf(name, sizeof name, "/t%d", i);
        t = bp_overview_topic(&o, name, "T", "");
        assert_true(t >= 0);
        bp_overview_add(&o, (size_t) t, T0, 1, 1);
    }
    for (int i = 0; i < 5000; i++)
        assert_int_equal(bp_overview_add_loss(&o, "/a", T0 + i, T0 + i + 1, 2), 0);
    assert_int_equal(o.ntopics, BP_OVERVIEW_TOPICS);
    for (size_t i = 0; i < o.ntopics; i++)
        messages += o.topics[i].messages;
    assert_int_equal(messages, 600);
    assert_int_equal(o.nlosses, BP_OVERVIEW_LOSSES);
    for (size_t i = 0; i < o.nlosses; i++)
        lost += o.losses[i].lost;
    assert_int_equal(lost, 10000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_of_a_second),
        cmocka_unit_test(long_ones_have_wide_bins),
        cmocka_unit_test(merged_in_any_order),
        cmocka_unit_test(many_topics_and_losses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
