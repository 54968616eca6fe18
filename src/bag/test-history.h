#pragma once

/* What both tests of the history share: messages that prove themselves, and a reader that demands
 * them all, in order, once. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "bag/history.h"

enum { MIB = 1 << 20 };

/* ---- messages that prove themselves ---- */

struct payload {
    uint32_t source;
    uint64_t seq;
    uint32_t size;
};

static inline void fill(const void *ctx, uint8_t *dst) {
    const struct payload *p = ctx;
    uint8_t head[12];

    bp_st_le32(head, p->source);
    bp_st_le64(head + 4, p->seq);
    memcpy(dst, head, BP_MIN(p->size, (uint32_t) sizeof head));
    for (uint32_t i = sizeof head; i < p->size; i++)
        dst[i] = (uint8_t) (p->seq * 31 + i);
}

static inline void same_payload(const struct bp_history_entry *e, uint32_t source) {
    struct payload p = { source, e->seq, e->size };
    BP_AUTO_FREE uint8_t *want = malloc(e->size + 1);

    assert_non_null(want);
    fill(&p, want);
    assert_memory_equal(e->data, want, e->size);
}

static inline int put_at(struct bp_history_store *h, uint32_t source, uint64_t seq, uint32_t size,
                         bp_ns_t log_ns) {
    struct payload p = { source, seq, size };

    return bp_history_accept(h, &(struct bp_accept){ .source = source,
                                                     .seq = seq,
                                                     .log_ns = log_ns,
                                                     .publish_ns = log_ns - 1000,
                                                     .size = size,
                                                     .copy = fill,
                                                     .ctx = &p });
}

static inline int put(struct bp_history_store *h, uint32_t source, uint64_t seq, uint32_t size) {
    return put_at(h, source, seq, size, bp_wall_ns());
}

static inline uint32_t source_of(struct bp_history_store *h, unsigned n, uint32_t latched) {
    char topic[32];
    struct bp_channel_def c = { .topic = topic,
                                .type = "std_msgs/msg/String",
                                .schema_encoding = "ros2msg",
                                .schema = BP_STR("string data\n"),
                                .type_hash = "RIHS01_00",
                                .qos_yaml = "- history: 1",
                                .robot = "r",
                                .ns = "/",
                                .latched_depth = latched };
    struct bp_source_def s = { .vendor = 0x0110, .node = "/talker" };
    int id;

    (void) snprintf(topic, sizeof topic, "/topic%u", n);
    id = bp_history_channel(h, &c, NULL);
    assert_true(id > 0);
    s.channel = (uint16_t) id;
    s.guid[0] = (uint8_t) n;
    s.guid[1] = (uint8_t) (n >> 8);
    s.guid[15] = 3;
    id = bp_history_source(h, &s, NULL);
    assert_true(id >= 0);
    assert_int_equal(bp_history_source(h, &s, NULL), id); /* found again */
    return (uint32_t) id;
}

static inline struct bp_history_store *open_with(struct bp_history_opts o) {
    struct bp_history_store *h = NULL;
    struct bp_error err = { 0 };

    if (bp_history_open(&o, &h, &err) < 0)
        fail_msg("%s", err.text);
    return h;
}

static inline struct bp_history_reader *read_from(struct bp_history_store *h, bp_ns_t from_mono) {
    struct bp_history_reader *r = NULL;
    struct bp_error err = { 0 };

    if (bp_history_read(h, from_mono, &r, &err) < 0)
        fail_msg("%s", err.text);
    return r;
}

struct seen {
    uint64_t messages, missed, losses, latched, bad;
    uint64_t first, last; /* numbers, of one source */
    bp_ns_t first_mono;
};

/* Numbers of one source must go up by one, but where something was missed or lost. */
static inline struct seen read_all(struct bp_history_reader *r, uint32_t source) {
    struct seen s = { 0 };
    struct bp_history_entry e;
    bool gap = true;
    int k;

    while ((k = bp_history_next(r, &e)) != 0) {
        if (k < 0) {
            s.bad++;
            continue;
        }
        if (e.kind == BP_HISTORY_MISSED) {
            s.missed += e.last;
            gap = true;
            continue;
        }
        if (e.kind == BP_HISTORY_LATCHED)
            s.latched++;
        if (e.source != source)
            continue;
        if (e.kind == BP_HISTORY_LOSS) {
            s.losses += e.last - e.seq + 1;
            if (s.last)
                assert_int_equal(e.seq, s.last + 1);
            s.last = e.last;
            continue;
        }
        if (e.kind != BP_HISTORY_MESSAGE)
            continue;
        same_payload(&e, source);
        assert_int_equal(e.last, e.seq);
        assert_int_equal(e.publish_ns, e.log_ns - 1000);
        if (!s.messages++) {
            s.first = e.seq;
            s.first_mono = e.mono_ns;
        } else if (gap) {
            assert_true(e.seq > s.last);
        } else {
            assert_int_equal(e.seq, s.last + 1);
        }
        s.last = e.seq;
        gap = false;
    }
    return s;
}

/* @return numbers of latched messages told, as "5 6" */
static inline const char *latched_at(struct bp_history_store *h, bp_ns_t from_mono) {
    static char text[200];
    BP_CLEANUP(bp_history_reader_closep) struct bp_history_reader *r = read_from(h, from_mono);
    struct bp_history_entry e;
    size_t n = 0;

    text[0] = 0;
    while (bp_history_next(r, &e) > 0 && e.kind == BP_HISTORY_LATCHED) {
        assert_true(e.mono_ns < from_mono);
        same_payload(&e, e.source);
        n += (size_t) snprintf(text + n, sizeof text - n, "%s%llu", n ? " " : "",
                               (unsigned long long) e.seq);
    }
    return text;
}
