#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "bag/reader.h"
#include "bag/writer.h"
#include "base/macro.h"

/* What the tests of writer and recovery share: a folder, messages that prove themselves, and a
 * reader that counts them. */

/* A folder for one test's session, removed with all that is in it. */
struct bp_test_dir {
    char root[64], session[80];
};

static inline struct bp_test_dir bp_test_dir(void) {
    struct bp_test_dir d;

    (void) snprintf(d.root, sizeof d.root, "/tmp/bagpipe-test-XXXXXX");
    if (!mkdtemp(d.root))
        abort();
    (void) snprintf(d.session, sizeof d.session, "%s/session", d.root);
    return d;
}

static inline void bp_test_dir_done(const struct bp_test_dir *d) {
    char command[128];

    (void) snprintf(command, sizeof command, "rm -rf '%s'", d->root);
    if (system(command) != 0) /* NOLINT(cert-env33-c,concurrency-mt-unsafe): a test */
        perror("rm");
}

#define BP_AUTO_TEST_DIR BP_CLEANUP(bp_test_dir_done) struct bp_test_dir

struct payload {
    uint32_t source;
    uint64_t seq;
    uint32_t size;
    bool random;
};

static inline void fill(const void *ctx, uint8_t *dst) {
    const struct payload *p = ctx;
    uint64_t x = p->seq * 0x9e3779b97f4a7c15u + p->source;
    uint32_t at = 12;

    memcpy(dst, &p->source, 4);
    memcpy(dst + 4, &p->seq, 8);
    for (; at + 8 <= p->size; at += 8) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        memcpy(dst + at, p->random || at % 64 < 24 ? &x : &(uint64_t){ at }, 8);
    }
    memset(dst + at, 0, p->size - at);
}

static const char schema_text[] = "uint8[] data\n";

static inline uint32_t add_source(struct bp_writer *w, const char *topic, uint32_t latched,
                                  uint8_t tag) {
    struct bp_error err = { 0 };
    struct bp_channel_def c = {
        .topic = topic,
        .type = "test_msgs/msg/Blob",
        .schema_encoding = "ros2msg",
        .schema = BP_STR(schema_text),
        .type_hash = "RIHS01_0000",
        .qos_yaml = "",
        .robot = "robot",
        .ns = "",
        .priority = BP_PRIORITY_HIGH,
        .latched_depth = latched,
    };
    struct bp_source_def s = { .guid = { tag, 1, 2, 3 }, .vendor = 0x0110, .node = "/talker" };
    int r = bp_writer_channel(w, &c, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    s.channel = (uint16_t) r;
    r = bp_writer_source(w, &s, &err);
    assert_true(r >= 0);
    return (uint32_t) r;
}

/* Counts by source what lies in the recording, and checks every byte. */
static inline uint64_t check_content(const char *dir, uint64_t *per_source, size_t n) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    struct bp_error err = { 0 };
    struct bp_bag_msg m;
    uint64_t total = 0;
    int r = bp_bag_open(&dir, 1, &b, &err);

    if (r < 0)
        fail_msg("open: %s", err.text);
    assert_true(bp_bag_get_info(b)->complete);
    assert_int_equal(bp_bag_iterate(b, &(struct bp_bag_filter){ .skip_repeated = true }, &it, &err),
                     0);
    while ((r = bp_bag_next(it, &m, &err)) > 0) {
        struct payload p = { .size = (uint32_t) m.size };
        BP_AUTO_FREE uint8_t *want = malloc(m.size);
        uint8_t *have = want;

        assert_true(m.size >= 12);
        memcpy(&p.source, m.data, 4);
        memcpy(&p.seq, m.data + 4, 8);
        assert_true(p.source < n);
        assert_int_equal((uint32_t) p.seq, m.sequence);
        p.random = p.source % 2;
        fill(&p, have);
        assert_memory_equal(have, m.data, m.size);
        per_source[p.source]++;
        total++;
    }
    if (r < 0)
        fail_msg("next: %s", err.text);
    return total;
}

static inline int send_one(struct bp_writer *w, uint32_t source, uint64_t seq) {
    struct payload pl = { source, seq, 100, source % 2 };
    struct bp_accept m = { .source = source, .seq = seq, .size = 100, .copy = fill, .ctx = &pl };

    m.log_ns = m.publish_ns = bp_wall_ns();
    return bp_writer_accept(w, &m);
}
