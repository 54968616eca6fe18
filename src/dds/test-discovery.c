#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dds/discovery.h"

static void test_names(void **state) {
    static const struct {
        const char *dds, *ros;
        enum bp_endpoint_kind kind;
    } topics[] = {
        { "rt/robot1/imu", "/robot1/imu", BP_ENDPOINT_TOPIC },
        { "rq/n/get_parametersRequest", "/n/get_parametersRequest", BP_ENDPOINT_SERVICE_REQUEST },
        { "rr/n/get_parametersReply", "/n/get_parametersReply", BP_ENDPOINT_SERVICE_REPLY },
        { "ros_discovery_info", "ros_discovery_info", BP_ENDPOINT_FOREIGN },
        { "rtx", "rtx", BP_ENDPOINT_FOREIGN },
    };
    static const struct {
        const char *dds, *ros;
    } types[] = {
        { "sensor_msgs::msg::dds_::Imu_", "sensor_msgs/msg/Imu" },
        { "a::b::c::dds_::D_", "a/b/c/D" },
        { "Plain", "Plain" },
        { "a::dds_::", "a::dds_::" },
        { "a::dds_::_", "a::dds_::_" },
        { "", "" },
    };
    char buf[64];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(topics); i++) {
        const char *ros;

        assert_int_equal(bp_discovery_kind(topics[i].dds, &ros), topics[i].kind);
        assert_string_equal(ros, topics[i].ros);
    }
    for (size_t i = 0; i < BP_COUNT(types); i++) {
        bp_discovery_demangle_type(types[i].dds, buf, sizeof buf);
        assert_string_equal(buf, types[i].ros);
    }
    char *t = bp_dds_mangle_topic("/a/b"), *y = bp_dds_mangle_type("std_msgs/msg/String");
    assert_string_equal(t, "rt/a/b");
    assert_string_equal(y, "std_msgs::msg::dds_::String_");
    free(t);
    free(y);
}

static void test_user_data(void **state) {
    static const struct {
        const char *data, *key, *want;
    } cases[] = {
        { "typehash=RIHS01_ab;", "typehash", "RIHS01_ab" },
        { "serviceid=1.2.3;typehash=X;", "typehash", "X" },
        { "typehash=X", "typehash", "X" },
        { "mytypehash=X;", "typehash", "" },
        { "typehash", "typehash", "" },
        { ";;typehash=;", "typehash", "" },
        { "", "typehash", "" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_str v = bp_discovery_user_data(bp_str_of(cases[i].data), cases[i].key);

        assert_true(bp_str_eq(v, bp_str_of(cases[i].want)));
    }
}

/* One node "/robot/talker" with no reader and one writer, in both layouts; written by hand after
 * rmw_dds_common's ParticipantEntitiesInfo.msg, NodeEntitiesInfo.msg and Gid.msg. */
static size_t sample(uint8_t *b, unsigned gid_len) {
    static const uint8_t nodes[] = { 1,   0,   0, 0, 7, 0, 0, 0, '/', 'r', 'o', 'b',
                                     'o', 't', 0, 0, 7, 0, 0, 0, 't', 'a', 'l', 'k',
                                     'e', 'r', 0, 0, 0, 0, 0, 0, 1,   0,   0,   0 };
    size_t n = 4;

    memcpy(b, "\0\1\0\0", 4);
    memset(b + n, 0, gid_len);
    memset(b + n, 0xaa, 16);
    n += gid_len;
    memcpy(b + n, nodes, sizeof nodes);
    n += sizeof nodes;
    memset(b + n, 0, gid_len);
    memset(b + n, 0xbb, 16);
    return n + gid_len;
}

static void test_info(void **state) {
    static const unsigned lens[] = { 16, 24 };
    uint8_t b[256], guid[16];

    (void) state;
    memset(guid, 0xbb, sizeof guid);
    for (size_t i = 0; i < BP_COUNT(lens); i++) {
        size_t n = sample(b, lens[i]);
        struct bp_discovery_info info;
        BP_AUTO_BUF out = { 0 };

        assert_int_equal(bp_discovery_info_parse(b, n, &info, NULL), 0);
        assert_int_equal(info.gid_len, lens[i]);
        assert_int_equal(info.nnodes, 1);
        assert_string_equal(bp_discovery_info_node(&info, guid), "/robot/talker");
        bp_discovery_info_put(&info, &out);
        assert_int_equal(out.n, sample(b, 16));
        assert_memory_equal(out.p, b, out.n);
        bp_discovery_info_done(&info);
        n = sample(b, lens[i]);
        /* No shorter one is taken for whole, but for the one that looks like "no nodes". */
        for (size_t cut = 0; cut < n; cut = cut == 23 && lens[i] == 24 ? 28 : cut + 1)
            assert_int_equal(bp_discovery_info_parse(b, cut, &info, NULL), BP_EFORMAT);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_user_data),
        cmocka_unit_test(test_info),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
