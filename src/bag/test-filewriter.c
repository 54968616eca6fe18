#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "bag/filewriter.h"
#include "bag/reader.h"
#include "base/io-fault.h"
#include "wire/mcap-check.h"

enum { CHANNELS = 3, MESSAGES = 4000 };

static char dir[] = "/tmp/bp-filewriter-XXXXXX";
static char path[64];

/* Message i: channel, size and bytes follow from i; every third channel is noise. */
static size_t message(unsigned i, uint8_t *p, size_t cap) {
    size_t n = i % 97 == 0 ? 0 : i % 500 == 499 ? cap : 20 + i % 300;
    uint32_t x = i * 2654435761u + 1;

    for (size_t k = 0; k < n; k++) {
        x = x * 1664525u + 1013904223u;
        p[k] = (uint8_t) (i % CHANNELS == 2 ? x >> 24 : k + i);
    }
    return n;
}

static int write_all(const struct bp_filewriter_opts *o, struct bp_error *err) {
    BP_CLEANUP(bp_filewriter_abortp) struct bp_filewriter *w = NULL;
    static uint8_t data[300000];
    const char *const md[] = { "offered_qos_profiles", "", "bagpipe.robot", "r1", NULL };
    uint16_t ch[CHANNELS];
    uint64_t bytes;
    int r = bp_filewriter_open(path, o, &w, err), s;

    if (r < 0)
        return r;
    s = bp_filewriter_schema(w, "std_msgs/msg/ByteMultiArray", "ros2msg", BP_STR("byte[] data\n"));
    if (s < 0)
        return s;
    for (int i = 0; i < CHANNELS; i++) {
        char topic[16];
        int c;

        (void) snprintf(topic, sizeof topic, "/t%d", i);
        c = bp_filewriter_channel(w, (uint16_t) s, topic, "cdr", md);
        if (c < 0)
            return c;
        ch[i] = (uint16_t) c;
    }
    for (unsigned i = 0; i < MESSAGES; i++) {
        size_t n = message(i, data, sizeof data);

        r = bp_filewriter_append(w, ch[i % CHANNELS], i, 1000 + i, 500 + i, data, n);
        if (r < 0)
            return r;
    }
    return bp_filewriter_close(BP_TAKE_PTR(w), &bytes, err);
}

static void read_all(bool file_order) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    const struct bp_bag_filter f = { .file_order = file_order };
    static uint8_t data[300000];
    struct bp_error err = { 0 };
    const char *p = path;
    struct bp_bag_msg m;
    unsigned i = 0;
    int r;

    if (bp_bag_open(&p, 1, &b, &err) < 0 || bp_bag_iterate(b, &f, &it, &err) < 0)
        fail_msg("%s", err.text);
    assert_true(bp_bag_get_info(b)->complete);
    assert_int_equal(bp_bag_get_info(b)->messages, MESSAGES);
    assert_string_equal(bp_bag_channel(b, 0)->robot, "r1");
    for (; (r = bp_bag_next(it, &m, &err)) > 0; i++) {
        size_t n = message(i, data, sizeof data);

        assert_int_equal(m.sequence, i);
        assert_int_equal(m.log_ns, 1000 + i);
        assert_int_equal(m.publish_ns, 500 + i);
        assert_int_equal(m.channel->topic[2], '0' + (int) (i % CHANNELS));
        assert_int_equal(m.size, n);
        assert_memory_equal(m.data, data, n);
    }
    if (r < 0)
        fail_msg("%s", err.text);
    assert_int_equal(i, MESSAGES);
}

/* By the specification, and with groups on block boundaries. */
static void walk_strictly(void) {
    BP_AUTO_FREE char *p = NULL;
    struct bp_mcap_check k = { 0 };
    struct bp_error err = { 0 };
    struct bp_mcap_record r;
    struct bp_cur c;
    unsigned chunks = 0;
    size_t n;

    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 64 << 20, &p, &n, NULL), 0);
    for (c = bp_cur_of(p + 8, n - 16); bp_mcap_next(&c, &r) > 0;) {
        if (r.op == BP_MCAP_CHUNK) {
            assert_int_equal((r.p - BP_MCAP_HEAD - (uint8_t *) p) % 4096, 0);
            chunks++;
        }
        if (bp_mcap_check_step(&k, &r, false, (uint64_t) (r.p - (uint8_t *) p), &err) < 0)
            fail_msg("%s", err.text);
    }
    assert_int_equal(bp_mcap_check_end(&k, NULL), 0);
    assert_true(chunks > 1);
}

static void write_and_read(void) {
    static const enum bp_codec codecs[] = { BP_CODEC_NONE, BP_CODEC_LZ4, BP_CODEC_ZSTD };

    for (size_t i = 0; i < BP_COUNT(codecs); i++)
        for (unsigned workers = 0; workers <= 3; workers += 3) {
            const struct bp_filewriter_opts o = {
                .codec = codecs[i], .workers = workers, .chunk_bytes = 100000, .sync = i == 0
            };
            struct bp_error err = { 0 };

            if (write_all(&o, &err) < 0)
                fail_msg("%s", err.text);
            read_all(false);
            read_all(true);
            walk_strictly();
        }
}

static void on_disk(void **state) {
    (void) state;
    write_and_read();
}

/* Without O_DIRECT large messages are stored from the caller's memory. */
static void on_tmpfs(void **state) {
    char before[sizeof path];

    (void) state;
    memcpy(before, path, sizeof path);
    (void) snprintf(path, sizeof path, "/dev/shm/bp-filewriter-%d.mcap", (int) getpid());
    write_and_read();
    (void) unlink(path);
    memcpy(path, before, sizeof path);
}

static void refuses(void **state) {
    const struct bp_filewriter_opts o = { 0 };
    struct bp_filewriter *w = NULL;
    struct bp_error err = { 0 };
    struct stat st;

    (void) state;
    assert_int_equal(bp_filewriter_open("/no/such/folder/x.mcap", &o, &w, &err), -2);
    assert_non_null(strstr(err.text, "/no/such/folder/x.mcap"));
    assert_int_equal(bp_filewriter_open(path, &o, &w, &err), 0);
    assert_int_equal(bp_filewriter_append(w, 0, 0, 0, 0, "", 0), -22);
    assert_int_equal(bp_filewriter_append(w, 1, 0, 0, 0, "", 0), -22);
    bp_filewriter_abort(w);
    assert_int_equal(stat(path, &st), -1);
}

/* Each file operation fails in turn: the error comes out, nothing half-written stays. */
static void every_operation_fails(void **state) {
    const struct bp_filewriter_opts plain = {
        .codec = BP_CODEC_LZ4, .workers = 2, .chunk_bytes = 300000, .sync = true
    };
    static const enum bp_io_op ops[] = { BP_IO_OPEN, BP_IO_PWRITE, BP_IO_SYNC };
    BP_CLEANUP(bp_io_fault_freep) struct bp_io_fault *f = NULL;
    struct bp_filewriter_opts o = plain;
    struct bp_error err = { 0 };
    char spec[80];

    (void) state;
    assert_int_equal(bp_io_fault_new(&bp_io_posix, "", &f, &err), 0);
    o.io = bp_io_fault_io(f);
    for (size_t i = 0; i < BP_COUNT(ops); i++) {
        uint64_t before = bp_io_fault_calls(f, ops[i]), calls;

        assert_int_equal(write_all(&o, &err), 0);
        calls = bp_io_fault_calls(f, ops[i]) - before;
        assert_true(calls > 0);
        for (uint64_t k = 1; k <= calls; k++) {
            struct stat st;

            /* the test write that asks whether O_DIRECT works may fail: then without */
            (void) snprintf(spec, sizeof spec, "op=%s,path=*.mcap,at=%d,errno=ENOSPC",
                            bp_io_op_name(ops[i]), (int) k);
            assert_int_equal(bp_io_fault_set(f, spec, &err), 0);
            before = bp_io_fault_hits(f);
            (void) unlink(path);
            if (write_all(&o, &err) == 0) {
                assert_int_equal(bp_io_fault_hits(f), before);
                continue;
            }
            assert_int_equal(bp_io_fault_hits(f), before + 1);
            assert_int_equal(stat(path, &st), -1);
            assert_int_equal(bp_io_fault_set(f, "", &err), 0);
        }
        assert_int_equal(bp_io_fault_set(f, "", &err), 0);
    }
}

static int setup(void **state) {
    (void) state;
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/x.mcap", dir);
    return 0;
}

static int teardown(void **state) {
    (void) state;
    (void) unlink(path);
    return rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(on_disk),
        cmocka_unit_test(on_tmpfs),
        cmocka_unit_test(refuses),
        cmocka_unit_test(every_operation_fails),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
