#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "crypt/digest.h"
#include "sync/key-layout.h"
#include "sync/part-map.h"

static void mark(void *ctx, uint32_t n) {
    uint64_t *bits = ctx;

    assert_true(n < 64);
    *bits |= UINT64_C(1) << n;
}

static void ranges(void **state) {
    static const struct {
        const char *text;
        int64_t want;
        uint64_t bits;
    } cases[] = {
        { "", 0, 0 },
        { "0", 1, 1 },
        { "0-3,7", 5, 0x8f },
        { "63", 1, UINT64_C(1) << 63 },
        { "0-63", 64, UINT64_MAX },
        { "64", -EINVAL, 0 },
        { "0-64", -EINVAL, 0 },
        { "3-1", -EINVAL, 0 },
        { "3,3", -EINVAL, 0 },
        { "3,1", -EINVAL, 0 },
        { ",1", -EINVAL, 0 },
        { "1,", -EINVAL, 0 },
        { "1 ", -EINVAL, 0 },
        { "-1", -EINVAL, 0 },
        { "1-", -EINVAL, 0 },
        { "0-3-5", -EINVAL, 0 },
        { "4294967296", -EINVAL, 0 },
        { "99999999999999999999999", -EINVAL, 0 },
        { "x", -EINVAL, 0 },
    };

    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t bits = 0;
        int64_t got = bp_sync_part_map_read(bp_str_of(cases[i].text), 64, mark, &bits);

        if (got != cases[i].want || (got >= 0 && bits != cases[i].bits))
            fail_msg("'%s': %lld, %llx", cases[i].text, (long long) got, (unsigned long long) bits);
    }
}

/* The digest of "hello", RFC 9530 has others; this one is openssl's and python's. */
#define HELLO "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="

static void digests(void **state) {
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        { "sha-256=:" HELLO ":", 0 },
        { "md5=:XrY7u+Ae7tCTyyK7j1rNww==:, sha-256=:" HELLO ":", 0 },
        { "sha-256=:" HELLO ":,sha-512=:AAAA:", 0 },
        { "sha-512=:AAAA:", -ENOENT },
        { "", -ENOENT },
        { "sha-256=", -EINVAL },
        { "sha-256=:", -EINVAL },
        { "sha-256=::", -EINVAL },
        { "sha-256=" HELLO, -EINVAL },
        { "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCR=:", -EINVAL }, /* bits behind */
        { "sha-256=:LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:", -EINVAL },
        { "sha-256=:=PJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:", -EINVAL },
    };
    uint8_t want[32], got[32];
    char text[BP_SYNC_DIGEST_TEXT];

    (void) state;
    bp_sha256_of("hello", 5, want);
    assert_string_equal(bp_sync_digest_text(want, text), "sha-256=:" HELLO ":");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int r = bp_sync_digest_read(cases[i].text, got);

        if (r != cases[i].want || (r == 0 && memcmp(got, want, 32) != 0))
            fail_msg("'%s': %d", cases[i].text, r);
    }
}

static void keys(void **state) {
    static const struct bp_sync_session_ref s = {
        .id = "01M8HZ51SBF790PGG7RQCYMY2M",
        .name = "../drive 1/ü?",
        .device = "vm",
        .robot = "",
        .json = "{}",
        .started_ns = INT64_C(1795899426603745173),
    };
    static const struct {
        const char *layout, *want; /* NULL: refused */
    } cases[] = {
        { BP_SYNC_KEY_LAYOUT,
          "sessions/2026-11-28/vm/_._drive_1_ü_-01M8HZ51SBF790PGG7RQCYMY2M/a.mcap" },
        { "{year}/{month}/{day}/{id}", "2026/11/28/01M8HZ51SBF790PGG7RQCYMY2M/a.mcap" },
        { "x-{device}-{name}/{id}/", "x-vm-_._drive_1_ü_/01M8HZ51SBF790PGG7RQCYMY2M/a.mcap" },
        { "{date}/{name}/", NULL },
        { "{colour}/{id}/", NULL },
        { "{id", NULL },
        { "/{id}", NULL },
        { "", NULL },
    };

    (void) state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        BP_AUTO_BUF b = { 0 };

        assert_int_equal(bp_sync_key_check(cases[i].layout, NULL), cases[i].want ? 0 : BP_EUSAGE);
        if (!cases[i].want)
            continue;
        bp_sync_key_put(&b, cases[i].layout, &s, "a.mcap");
        assert_string_equal(bp_buf_cstr(&b), cases[i].want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges),
        cmocka_unit_test(digests),
        cmocka_unit_test(keys),
    };

    return cmocka_run_group_tests_name("sync/part-map", tests, NULL, NULL);
}
