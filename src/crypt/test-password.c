#include "crypt/password.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/time.h"
#include "crypt/base64.h"
#include "crypt/secret.h"

static void hash_and_check(void **state) {
    char a[BP_PASSWORD_TEXT], b[BP_PASSWORD_TEXT];

    (void) state;
    assert_int_equal(bp_password_hash("correct horse", a, NULL), 0);
    assert_int_equal(bp_password_hash("correct horse", b, NULL), 0);
    assert_string_not_equal(a, b); /* salted */
    assert_true(bp_starts_with(a, "$scrypt$ln=15,r=8,p=3$"));
    assert_int_equal(bp_password_check("correct horse", a), 0);
    assert_int_equal(bp_password_check("correct horsf", a), -EACCES);
    assert_int_equal(bp_password_check("", a), -EACCES);
    assert_int_equal(bp_password_check("correct horse", NULL), -EACCES);
}

/* Of hashlib.scrypt("pässwörd", b"0123456789abcdef", 2**14, 8, 1, 32), Python. */
static void foreign_hash(void **state) {
    static const char hash[] =
        "$scrypt$ln=14,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$c_Ff_FZHJVcPcdxVGxpTKlb8Ie9Nyc8d9_O8rlFZm2Q";

    (void) state;
    assert_int_equal(bp_password_check("p\303\244ssw\303\266rd", hash), 0);
    assert_int_equal(bp_password_check("passwort", hash), -EACCES);
}

static void lengths(void **state) {
    char hash[BP_PASSWORD_TEXT], text[BP_PASSWORD_MAX + 2];
    struct bp_error err;

    (void) state;
    memset(text, 'x', sizeof text);
    text[BP_PASSWORD_MAX + 1] = '\0';
    assert_int_equal(bp_password_hash("1234567", hash, &err), -EINVAL);
    assert_non_null(strstr(err.text, "8 to 256"));
    assert_int_equal(bp_password_hash(text, hash, NULL), -EINVAL);
    text[BP_PASSWORD_MAX] = '\0';
    assert_int_equal(bp_password_hash(text, hash, NULL), 0);
    assert_int_equal(bp_password_check(text, hash), 0);
}

/* What could stop us or means nothing is refused, and takes no more time than another. */
static void bad_hashes(void **state) {
    static const char *const cases[] = {
        "",
        "x",
        "$scrypt$",
        "$2b$12$abc",
        "$scrypt$ln=15,r=8,p=1$",
        "$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=15,r=8,p=1$AAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAA",
        "$scrypt$ln=30,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=1,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=17,r=16,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=15,r=8,p=99$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=-5,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "$scrypt$ln=15,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "$scrypt$ln=4294967311,r=8,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA",
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        if (bp_password_check("correct horse", cases[i]) != BP_EFORMAT)
            fail_msg("'%s' is taken", cases[i]);
}

/* Who does not exist takes as long as who does: a quarter apart at most, best of some. */
static void same_time(void **state) {
    char hash[BP_PASSWORD_TEXT];
    bp_ns_t best[2] = { INT64_MAX, INT64_MAX };

    (void) state;
    assert_int_equal(bp_password_hash("correct horse", hash, NULL), 0);
    for (int i = 0; i < 8; i++) {
        bp_ns_t start = bp_cpu_ns();

        assert_int_equal(bp_password_check("wrong horse", i % 2 ? hash : NULL), -EACCES);
        best[i % 2] = BP_MIN(best[i % 2], bp_cpu_ns() - start);
    }
    assert_true(best[0] < best[1] * 5 / 4 && best[1] < best[0] * 5 / 4);
}

static void base64(void **state) {
    static const struct {
        const char *bytes, *text;
    } cases[] = { { "", "" },
                  { "f", "Zg" },
                  { "fo", "Zm8" },
                  { "foo", "Zm9v" },
                  { "foob", "Zm9vYg" },
                  { "fooba", "Zm9vYmE" },
                  { "foobar", "Zm9vYmFy" },
                  { "\xff\xfe\xfd", "__79" } };
    static const char *const bad[] = { "A",    "AAAAA", "Zh",   "Zm9",  "Zg==",
                                       "Zm+v", "Zm/v",  "Zm v", "Z\nm8" };
    uint8_t got[16];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        size_t n = strlen(cases[i].bytes);
        BP_AUTO_BUF out = { 0 };

        bp_base64_put(&out, cases[i].bytes, n);
        assert_string_equal(bp_buf_cstr(&out), cases[i].text);
        assert_int_equal(out.n, BP_BASE64_LEN(n));
        assert_int_equal(bp_base64_read(bp_str_of(cases[i].text), got, sizeof got), n);
        assert_memory_equal(got, cases[i].bytes, n);
        if (n > 0)
            assert_int_equal(bp_base64_read(bp_str_of(cases[i].text), got, n - 1), -EOVERFLOW);
    }
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        assert_int_equal(bp_base64_read(bp_str_of(bad[i]), got, sizeof got), -EINVAL);
}

static void tokens(void **state) {
    static const char *const bad[] = { "",
                                       "bp_",
                                       "xx_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                       "bp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                       "bp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                       "bp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB",
                                       "bp_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA+AA" };
    char a[BP_TOKEN_TEXT], b[BP_TOKEN_TEXT];
    uint8_t x[BP_SHA256_LEN], y[BP_SHA256_LEN];

    (void) state;
    assert_int_equal(bp_token_new(a), 0);
    assert_int_equal(bp_token_new(b), 0);
    assert_string_not_equal(a, b);
    assert_int_equal(strlen(a), BP_TOKEN_TEXT - 1);
    assert_int_equal(bp_token_digest(a, x), 0);
    assert_int_equal(bp_token_digest(b, y), 0);
    assert_false(bp_equal_secret(x, y, sizeof x));
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        assert_int_equal(bp_token_digest(bad[i], x), -EINVAL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hash_and_check), cmocka_unit_test(foreign_hash), cmocka_unit_test(lengths),
        cmocka_unit_test(bad_hashes),     cmocka_unit_test(same_time),    cmocka_unit_test(base64),
        cmocka_unit_test(tokens),
    };

    return cmocka_run_group_tests_name("crypt/password", tests, NULL, NULL);
}
