#include "bag/manifest.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static void build(struct bp_manifest *m) {
    static const char sha[65] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    struct bp_manifest_segment s = { .file = (char[]){ "run_0.mcap" },
                                     .bytes = 4096,
                                     .messages = 12,
                                     .repeated = 2,
                                     .first_ns = 1795229826549600847,
                                     .last_ns = 1795229826549600999 };
    struct bp_manifest_channel c = { .topic = (char[]){ "/imu" },
                                     .type = (char[]){ "sensor_msgs/msg/Imu" },
                                     .robot = (char[]){ "robot1" },
                                     .domain = 7,
                                     .received = 10,
                                     .lost = { [BP_LOSS_TRANSPORT] = 3, [BP_LOSS_BAD] = 1 } };
    struct bp_manifest_recovery r = { .wall_ns = 1795229826549600847,
                                      .power_cut = true,
                                      .kept = 9,
                                      .lost = 1,
                                      .report = (char[]){ "/imu: 1 lost\n\"quoted\"" } };

    memcpy(s.sha256, sha, sizeof sha);
    assert_int_equal(bp_manifest_init(m, "01J8Z0000000000000000000AB", "run", 1795229826549600846),
                     0);
    m->durability = BP_SYNC_STRICT;
    m->commit_interval = 100 * BP_MS;
    for (int i = 0; i < 5; i++)
        assert_int_equal(bp_manifest_add_segment(m, &s), 0);
    assert_int_equal(bp_manifest_add_channel(m, &c), 0);
    assert_int_equal(bp_manifest_add_recovery(m, &r), 0);
    assert_int_equal(bp_manifest_add_step(m, (struct bp_manifest_step){ 5, -2 * BP_SEC }), 0);
}

static void test_round_trip(void **state) {
    BP_AUTO_MANIFEST m = { 0 }, back = { 0 };
    BP_AUTO_BUF out = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    build(&m);
    assert_int_equal(bp_manifest_format(&m, &out), 0);
    if (bp_manifest_parse((struct bp_str){ (char *) out.p, out.n }, "x", &back, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(back.id, m.id);
    assert_int_equal(back.created_ns, 1795229826549600846);
    assert_int_equal(back.durability, BP_SYNC_STRICT);
    assert_int_equal(back.commit_interval, 100 * BP_MS);
    assert_int_equal(back.nsegments, 5);
    assert_int_equal(back.segments[4].first_ns, 1795229826549600847);
    assert_string_equal(back.segments[4].sha256, m.segments[0].sha256);
    assert_int_equal(back.segments[4].repeated, 2);
    assert_int_equal(back.channels[0].lost[BP_LOSS_TRANSPORT], 3);
    assert_int_equal(back.channels[0].lost[BP_LOSS_RING], 0);
    assert_int_equal(back.channels[0].lost[BP_LOSS_BAD], 1);
    assert_int_equal(back.channels[0].domain, 7);
    assert_true(back.recoveries[0].power_cut);
    assert_string_equal(back.recoveries[0].report, "/imu: 1 lost\n\"quoted\"");
    assert_int_equal(back.steps[0].step_ns, -2 * BP_SEC);
}

/* A name that is not UTF-8 must not cost the manifest. */
static void test_odd_name(void **state) {
    BP_AUTO_MANIFEST m = { 0 };
    BP_AUTO_BUF out = { 0 };

    (void) state;
    assert_int_equal(bp_manifest_init(&m, "x", "run\xFF\xC3\xA9", 1), 0);
    assert_int_equal(bp_manifest_format(&m, &out), 0);
    assert_non_null(strstr(bp_buf_cstr(&out), "\"run\xEF\xBF\xBD\xC3\xA9\""));
}

static void test_errors_name_the_place(void **state) {
    static const struct {
        const char *from, *to, *want;
        int code;
    } cases[] = {
        { "session/1", "session/2", "schema is 'bagpipe.session/2'", BP_EUNSUPPORTED },
        { "bagpipe.session/1", "other", "schema is not", BP_EFORMAT },
        { "\"bytes\": 4096", "\"bytes\": -1", "segments[0].bytes is not a whole", BP_EFORMAT },
        { "\"bytes\": 4096", "\"size\": 4096", "segments[0].bytes is not a whole", BP_EFORMAT },
        { "ba7816", "xa7816", "segments[0].sha256 is not 64", BP_EFORMAT },
        { "run_0.mcap", "../x.mcap", "segments[0].file is not the name of a file", BP_EFORMAT },
        { "\"1795229826549600847\"", "1795", "segments[0].first_log_ns is not nano", BP_EFORMAT },
        { "\"strict\"", "\"none\"", "durability.mode is not fast", BP_EFORMAT },
        { "\"transport\": 3", "\"transport\": \"3\"", "channels[0].transport", BP_EFORMAT },
        { "\"channels\": [", "\"channels\": {", "line ", BP_EFORMAT },
        { "{", "", "line 2", BP_EFORMAT },
    };
    BP_AUTO_MANIFEST m = { 0 };
    BP_AUTO_BUF whole = { 0 };
    const char *text;

    (void) state;
    build(&m);
    assert_int_equal(bp_manifest_format(&m, &whole), 0);
    text = bp_buf_cstr(&whole);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_MANIFEST back = { 0 };
        BP_AUTO_BUF b = { 0 };
        struct bp_error err = { 0 };
        const char *at = strstr(text, cases[i].from);

        assert_non_null(at);
        bp_buf_printf(&b, "%.*s%s%s", (int) (at - text), text, cases[i].to,
                      at + strlen(cases[i].from));
        assert_int_equal(
            bp_manifest_parse((struct bp_str){ (char *) b.p, b.n }, "d/m.json", &back, &err),
            cases[i].code);
        if (!strstr(err.text, cases[i].want) || !strstr(err.text, "'d/m.json'"))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].want);
    }
}

static void test_hash_and_files(void **state) {
    char dir[] = "/tmp/bp-manifest-XXXXXX", path[64], hex[65];
    BP_AUTO_MANIFEST m = { 0 }, back = { 0 };
    struct bp_error err = { 0 };
    uint64_t bytes = 0;

    (void) state;
    assert_non_null(mkdtemp(dir));
    (void) snprintf(path, sizeof path, "%s/abc", dir);
    assert_int_equal(bp_io_replace_file(&bp_io_posix, path, "abc", 3, &err), 0);
    assert_int_equal(bp_manifest_hash_file(&bp_io_posix, path, &bytes, hex, NULL, NULL, &err), 0);
    assert_int_equal(bytes, 3); /* digest of "abc": FIPS 180-4, example */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

    assert_int_equal(bp_manifest_read(&bp_io_posix, dir, &back, &err), -ENOENT);
    build(&m);
    assert_int_equal(bp_manifest_write(&bp_io_posix, dir, &m, NULL, &err), 0);
    assert_int_equal(bp_manifest_read(&bp_io_posix, dir, &back, &err), 0);
    assert_int_equal(back.nsegments, 5);

    assert_int_equal(unlink(path), 0);
    (void) snprintf(path, sizeof path, "%s/manifest.json", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_odd_name),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_hash_and_files),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
