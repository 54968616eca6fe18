#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "server/config.h"

/* docs/config-server.md ends in the table that the rows give. */
static void reference_page(void **state) {
    BP_AUTO_FREE char *page = NULL;
    BP_AUTO_BUF table = { 0 };
    struct bp_error err = { 0 };
    size_t n;

    (void) state;
    if (bp_io_read_file(&bp_io_posix, BP_TEST_SOURCE "/docs/config-server.md", 1 << 20, &page, &n,
                        &err) < 0)
        fail_msg("%s", err.text);
    bp_config_put_reference(&table, bp_server_config_kind.table);
    if (!strstr(page, bp_buf_cstr(&table)))
        fail_msg("docs/config-server.md is not what `bagpipe config --server reference` prints");
}

static int load(const char *yaml, struct bp_server_config *c, struct bp_error *err) {
    return bp_values_parse(&bp_server_config_kind, "x.yaml", bp_str_of(yaml), NULL, 0, c, err);
}

/* No text is NULL, and what was said comes out. */
static void values(void **state) {
    struct bp_server_config c;
    struct bp_error err = { 0 };

    (void) state;
    if (load("server: {name: site-7}\nhttp.listen: [1.2.3.4:80, unix:/x]\n", &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_string_equal(c.server.name, "site-7");
    assert_string_equal(c.server.dir, "");
    assert_string_equal(c.cloud.target, "");
    assert_int_equal(c.http.listen.n, 2);
    assert_int_equal(c.auth.mode, BP_ACCESS_AUTO);
    bp_server_config_done(&c);
}

/* What no row can tell. */
static void mistakes(void **state) {
    static const struct {
        const char *yaml, *says;
    } rows[] = {
        { "http.listen: [nowhere]", "http.listen" },
        { "events.listen: ['1.2.3.4:99999']", "events.listen" },
        { "metrics.listen: [':']", "metrics.listen" },
        { "storage.backend: s3", "storage.s3.bucket" },
        { "storage.backend: s4", "storage.backend" },
        { "cloud.part_size: 5MiB", "cloud.part_size: not a power of two" },
        { "auth.devices: maybe", "auth.devices" },
        { "server.nmae: x", "server.name" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        struct bp_server_config c;
        struct bp_error err = { 0 };

        assert_int_equal(load(rows[i].yaml, &c, &err), BP_ECONFIG);
        if (!strstr(err.text, rows[i].says))
            fail_msg("%s: %s", rows[i].yaml, err.text);
        bp_server_config_done(&c);
    }
}

/* Its variables have a prefix of their own. */
static void environment(void **state) {
    struct bp_server_config c;
    struct bp_error err = { 0 };

    (void) state;
    assert_int_equal(setenv("BAGPIPE_SERVER_HTTP__WORKERS", "9", 1), 0);
    assert_int_equal(setenv("BAGPIPE_RECORD__SEGMENT_SIZE", "4G", 1), 0); /* the agent's */
    if (load("", &c, &err) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(c.http.workers, 9);
    bp_server_config_done(&c);
    (void) unsetenv("BAGPIPE_SERVER_HTTP__WORKERS");
    (void) unsetenv("BAGPIPE_RECORD__SEGMENT_SIZE");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_page),
        cmocka_unit_test(values),
        cmocka_unit_test(mistakes),
        cmocka_unit_test(environment),
    };

    return cmocka_run_group_tests_name("server/config", tests, NULL, NULL);
}
