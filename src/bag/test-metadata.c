#include "bag/metadata.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#define CORPUS BP_TEST_SOURCE "/corpus/metadata/"

static void load(const char *file, struct bp_metadata *m, char **ret_text) {
    struct bp_error err = { 0 };
    size_t n;

    if (bp_io_read_file(&bp_io_posix, file, 1 << 20, ret_text, &n, &err) < 0 ||
        bp_metadata_parse((struct bp_str){ *ret_text, n }, file, m, &err) < 0)
        fail_msg("%s", err.text);
}

/* The file was written by rosbag2 (Jazzy) itself; ours must not differ by a byte. */
static void test_byte_for_byte_as_jazzy(void **state) {
    BP_AUTO_METADATA m = { 0 };
    BP_AUTO_FREE char *text = NULL;
    BP_AUTO_BUF out = { 0 };

    (void) state;
    load(CORPUS "jazzy-v9.yaml", &m, &text);
    assert_int_equal(m.version, 9);
    assert_string_equal(m.storage, "sqlite3");
    assert_int_equal(m.messages, 221);
    assert_string_equal(m.compression_format, "zstd");
    assert_string_equal(m.compression_mode, "FILE");
    assert_int_equal(m.npaths, 1);
    assert_string_equal(m.paths[0], "demo_cyclone_sqlite3_filezstd_0.db3.zstd");
    assert_string_equal(m.files[0].path, "demo_cyclone_sqlite3_filezstd_0.db3");
    assert_int_equal(m.files[0].messages, 221);
    assert_string_equal(m.ros_distro, "jazzy");
    assert_int_equal(m.ncustom, 0);

    assert_int_equal(bp_metadata_format(&m, false, &out), 0);
    assert_string_equal(bp_buf_cstr(&out), text);
}

static void test_version_2(void **state) {
    BP_AUTO_METADATA m = { 0 };
    BP_AUTO_FREE char *text = NULL;

    (void) state;
    load(CORPUS "v2.yaml", &m, &text);
    assert_int_equal(m.version, 2);
    assert_int_equal(m.ntopics, 1);
    assert_string_equal(m.topics[0].type, "std_msgs/msg/String");
    assert_string_equal(m.topics[0].type_hash, "");
    assert_int_equal(m.topics[0].nqos, 0);
    assert_int_equal(m.nfiles, 0);
    assert_string_equal(m.compression_mode, "");
}

static void test_version_4_as_pyyaml_writes_it(void **state) {
    BP_AUTO_METADATA m = { 0 };
    BP_AUTO_FREE char *text = NULL;

    (void) state;
    load(CORPUS "v4-pyyaml.yaml", &m, &text);
    assert_true(m.start_ns == BP_METADATA_NO_START);
    assert_int_equal(m.topics[0].nqos, 1);
    assert_int_equal(m.topics[0].qos[0].durability, BP_DURABILITY_TRANSIENT_LOCAL);
    assert_true(m.topics[0].qos[0].lifespan == 10 * BP_SEC);
}

static void test_version_8_with_all(void **state) {
    BP_AUTO_METADATA m = { 0 };
    BP_AUTO_FREE char *text = NULL;

    (void) state;
    load(CORPUS "v8.yaml", &m, &text);
    assert_int_equal(m.ncustom, 2);
    assert_string_equal(m.custom[0].value, "Grüße: \"x\"\n");
    assert_string_equal(m.custom[1].key, "key: odd");
    assert_string_equal(m.custom[1].value, "");
    assert_int_equal(m.files[0].duration_ns, 70653944);
}

static void test_built_and_read_back(void **state) {
    static const char *const odd[] = { "/a: b", "~", "12", "line\nbreak", "\"", "", "a #b", "Ünï" };
    BP_AUTO_METADATA m = { 0 }, back = { 0 };
    BP_AUTO_BUF out = { 0 };

    (void) state;
    assert_int_equal(bp_metadata_init(&m, "mcap", ""), 0);
    for (size_t i = 0; i < BP_COUNT(odd); i++) {
        assert_int_equal(bp_metadata_add_topic(&m, odd[i], "x/msg/Y", "cdr", "", "", i), 0);
        assert_int_equal(bp_metadata_add_custom(&m, odd[i], odd[i]), 0);
    }
    assert_int_equal(bp_metadata_add_topic(&m, "/q", "x/msg/Y", "cdr", "", "- history: 99", 0), 0);
    assert_int_equal(bp_metadata_add_file(&m, "s_0.mcap", 100, 250, 5), 0);
    assert_int_equal(bp_metadata_add_file(&m, "s_1.mcap", 0, 0, 0), 0);
    assert_int_equal(bp_metadata_add_file(&m, "s_2.mcap", 90, 120, 2), 0);
    bp_metadata_sum_files(&m);
    assert_int_equal(m.messages, 7);
    assert_int_equal(m.start_ns, 90);
    assert_int_equal(m.duration_ns, 160);

    assert_int_equal(bp_metadata_format(&m, true, &out), 0);
    assert_int_equal(bp_metadata_parse((struct bp_str){ (char *) out.p, out.n }, "x", &back, NULL),
                     0);
    for (size_t i = 0; i < BP_COUNT(odd); i++) {
        assert_string_equal(back.topics[i].name, odd[i]);
        assert_string_equal(back.custom[i].key, odd[i]);
        assert_string_equal(back.custom[i].value, odd[i]);
    }
    assert_int_equal(back.topics[BP_COUNT(odd)].nqos, 0);
    assert_int_equal(back.files[2].start_ns, 90);
}

static void test_errors_name_the_place(void **state) {
    static const char head[] = "rosbag2_bagfile_information:\n  version: 9\n"
                               "  storage_identifier: mcap\n  duration: {nanoseconds: 1}\n"
                               "  starting_time: {nanoseconds_since_epoch: 1}\n"
                               "  message_count: 1\n"; /* 6 lines */
    static const struct {
        bool whole;
        const char *text, *want;
    } cases[] = {
        { true, "", "line 1: key 'rosbag2_bagfile_information' is missing" },
        { true, "a: 1\n", "line 1: key 'rosbag2_bagfile_information' is missing" },
        { true, "rosbag2_bagfile_information:\n  x: 1\n", "line 2: key 'version' is missing" },
        { true, "version: no\n", "line 1, key 'version': expected a whole number" },
        { false, "", "key 'topics_with_message_count' is missing" },
        { false, "  topics_with_message_count: 5\n", "line 7, key 'topics_with_message_count': " },
        { false, "  topics_with_message_count: []\n", "key 'relative_file_paths' is missing" },
        { false, "  topics_with_message_count:\n    - topic_metadata: {name: /a}\n",
          "line 8: key 'type' is missing" },
        { false,
          "  topics_with_message_count:\n    - topic_metadata: {name: /a, type: b, "
          "serialization_format: cdr, offered_qos_profiles: \"- depth: x\"}\n",
          "line 8, key 'offered_qos_profiles', in its text: line 1, key 'depth'" },
        { false, "  topics_with_message_count: []\n  relative_file_paths: [[a]]\n", "line 8: " },
        { false, "  topics_with_message_count: []\n  relative_file_paths: []\n  custom_data: 5\n",
          "line 9, key 'custom_data': expected keys with text, or ~, found '5'" },
        { false,
          "  topics_with_message_count: []\n  relative_file_paths: []\n  files: [{path: x}]\n",
          "line 9: key 'starting_time' is missing" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_METADATA m = { 0 };
        BP_AUTO_BUF in = { 0 };
        struct bp_error err = { 0 };

        bp_buf_printf(&in, "%s%s", cases[i].whole ? "" : head, cases[i].text);
        assert_int_equal(
            bp_metadata_parse((struct bp_str){ (char *) in.p, in.n }, "d/m.yaml", &m, &err),
            BP_EFORMAT);
        if (!strstr(err.text, cases[i].want) || !strstr(err.text, "'d/m.yaml'") ||
            !strstr(err.text, "bagpipe recover"))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].want);
    }
}

static void test_write_replaces(void **state) {
    char dir[] = "/tmp/bp-metadata-XXXXXX", path[64];
    BP_AUTO_METADATA m = { 0 }, back = { 0 };
    struct bp_error err = { 0 };
    struct stat st;

    (void) state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(bp_metadata_read(&bp_io_posix, dir, &back, &err), -ENOENT);
    assert_int_equal(bp_metadata_init(&m, "mcap", "jazzy"), 0);
    assert_int_equal(bp_metadata_write(&bp_io_posix, dir, &m, &err), 0);
    assert_int_equal(bp_metadata_add_custom(&m, "k", "v"), 0);
    assert_int_equal(bp_metadata_write(&bp_io_posix, dir, &m, &err), 0);
    assert_int_equal(bp_metadata_read(&bp_io_posix, dir, &back, &err), 0);
    assert_string_equal(back.custom[0].value, "v");

    (void) snprintf(path, sizeof path, "%s/metadata.yaml.tmp", dir);
    assert_int_equal(stat(path, &st), -1);
    (void) snprintf(path, sizeof path, "%s/metadata.yaml", dir);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_byte_for_byte_as_jazzy),
        cmocka_unit_test(test_version_2),
        cmocka_unit_test(test_version_4_as_pyyaml_writes_it),
        cmocka_unit_test(test_version_8_with_all),
        cmocka_unit_test(test_built_and_read_back),
        cmocka_unit_test(test_errors_name_the_place),
        cmocka_unit_test(test_write_replaces),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
