#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "bag/filewriter.h"
#include "bag/reader.h"

/* Recordings of several files whose chunks overlap in time, read merged and in file order, whole
 * and filtered, against a plain list of what was written. */

enum { FILES = 5, TOPICS = 6, PER_FILE = 3000, PAYLOAD = 64 };

struct item {
    uint64_t time;
    unsigned topic;
    bool wanted, seen;
};

static char dir[] = "/tmp/bp-merge-XXXXXX";
static uint64_t state_;

static uint32_t rnd(uint32_t below) {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t) (state_ >> 33) % below;
}

/* Item i of file f carries its number, so the reader's word can be checked. */
static void write_file(unsigned f, const char *path, struct item *items) {
    static const enum bp_codec codecs[] = { BP_CODEC_NONE, BP_CODEC_LZ4, BP_CODEC_ZSTD };
    const struct bp_filewriter_opts o = { .codec = codecs[rnd(3)],
                                          .chunk_bytes = 2000 + rnd(20000) };
    BP_CLEANUP(bp_filewriter_abortp) struct bp_filewriter *w = NULL;
    unsigned disorder = rnd(2) ? 1 + rnd(3000) : 0, from = rnd(TOPICS - 2);
    uint64_t t = 1000 + rnd(40000);
    int ch[TOPICS];

    assert_int_equal(bp_filewriter_open(path, &o, &w, NULL), 0);
    for (unsigned k = 0; k < TOPICS; k++) {
        char topic[16];

        (void) snprintf(topic, sizeof topic, "/t%u", k);
        ch[k] = k < from ? 0 : bp_filewriter_channel(w, 0, topic, "cdr", NULL);
        assert_true(ch[k] >= 0);
    }
    for (unsigned i = 0; i < PER_FILE; i++) {
        uint32_t data[PAYLOAD / 4] = { f * PER_FILE + i };

        t += rnd(20);
        items[i] = (struct item){ .time = t + (disorder ? rnd(disorder) : 0),
                                  .topic = from + rnd(TOPICS - from) };
        assert_int_equal(bp_filewriter_append(w, (uint16_t) ch[items[i].topic], i, items[i].time, 0,
                                              data, 4 + rnd(PAYLOAD - 4)),
                         0);
    }
    assert_int_equal(bp_filewriter_close(BP_TAKE_PTR(w), NULL, NULL), 0);
}

static unsigned topic_of(const struct bp_bag_channel *c) {
    return (unsigned) (c->topic[2] - '0');
}

static void read_back(struct bp_bag *b, struct item *items, struct bp_bag_filter *f) {
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    uint64_t last = 0, next = 0, from = (uint64_t) f->from_ns;
    uint64_t to = f->to_ns ? (uint64_t) f->to_ns : UINT64_MAX;
    bool channels[TOPICS], topics[TOPICS] = { 0 };
    struct bp_error err = { 0 };
    struct bp_bag_msg m;
    int r;

    for (size_t i = 0; i < bp_bag_get_info(b)->nchannels; i++) {
        channels[i] = !f->channels || rnd(2);
        topics[topic_of(bp_bag_channel(b, i))] = channels[i];
    }
    f->channels = f->channels ? channels : NULL;
    for (unsigned i = 0; i < FILES * PER_FILE; i++) {
        items[i].seen = false;
        items[i].wanted = items[i].time >= from && items[i].time < to && topics[items[i].topic];
    }

    assert_int_equal(bp_bag_iterate(b, f, &it, &err), 0);
    while ((r = bp_bag_next(it, &m, &err)) > 0) {
        uint32_t id;
        struct item *x;

        memcpy(&id, m.data, 4);
        assert_true(id < FILES * PER_FILE);
        x = &items[id];
        assert_true(x->wanted && !x->seen);
        x->seen = true;
        assert_int_equal(m.log_ns, x->time);
        assert_int_equal(m.sequence, id % PER_FILE);
        assert_int_equal(topic_of(m.channel), x->topic);
        if (f->file_order)
            assert_true(id >= next);
        else
            assert_true(x->time >= last);
        next = id + 1;
        last = x->time;
    }
    if (r < 0)
        fail_msg("%s", err.text);
    for (unsigned i = 0; i < FILES * PER_FILE; i++)
        assert_true(items[i].seen == items[i].wanted);
}

static void merge_against_list(void **state) {
    static struct item items[FILES * PER_FILE];
    char path[FILES][64];

    (void) state;
    for (unsigned round = 0; round < 12; round++) {
        BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
        const char *paths[FILES];
        static const bool some[1];

        state_ = round + 1;
        for (unsigned f = 0; f < FILES; f++) {
            (void) snprintf(path[f], sizeof path[f], "%s/x_%u.mcap", dir, f);
            write_file(f, path[f], items + (size_t) f * PER_FILE);
            paths[f] = path[f];
        }
        assert_int_equal(bp_bag_open(paths, FILES, &b, NULL), 0);
        assert_int_equal(bp_bag_get_info(b)->messages, FILES * PER_FILE);
        for (unsigned k = 0; k < 6; k++) {
            struct bp_bag_filter f = { .file_order = k & 1, .channels = k & 2 ? some : NULL };

            if (k > 2) {
                f.from_ns = 1000 + rnd(60000);
                f.to_ns = f.from_ns + 1 + rnd(20000);
            }
            read_back(b, items, &f);
        }
        for (unsigned f = 0; f < FILES; f++)
            (void) unlink(path[f]);
    }
}

static int setup(void **state) {
    (void) state;
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state) {
    (void) state;
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merge_against_list),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
