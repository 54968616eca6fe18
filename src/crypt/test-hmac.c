#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypt/base64.h"
#include "crypt/hmac.h"

/* RFC 4231 §4, and a key of no bytes by Python. */
static void known_values(void **state) {
    static const struct {
        const char *key, *text, *want;
    } cases[] = {
        { "\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b",
          "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7" },
        { "Jefe", "what do ya want for nothing?",
          "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843" },
        { "", "", "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        uint8_t mac[BP_SHA256_LEN];
        char hex[BP_SHA256_HEX];

        assert_int_equal(bp_hmac_sha256(cases[i].key, strlen(cases[i].key), cases[i].text,
                                        strlen(cases[i].text), mac),
                         0);
        assert_string_equal(bp_sha256_hex(mac, hex), cases[i].want);
    }
}

/* RFC 4648 §10. */
static void base64(void **state) {
    static const char *const cases[][2] = {
        { "", "" },
        { "f", "Zg==" },
        { "fo", "Zm8=" },
        { "foo", "Zm9v" },
        { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" },
        { "\xfb\xff", "+/8=" },
    };
    static const char *const bad[] = { "Zg",   "Zg=",   "Zh==", "Z===",
                                       "====", "Zm9v=", "-_8=", "Zg==\n" };
    uint8_t out[8];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_BUF b = { 0 };
        size_t n = strlen(cases[i][0]);

        bp_base64_std_put(&b, cases[i][0], n);
        assert_string_equal(bp_buf_cstr(&b), cases[i][1]);
        assert_int_equal(bp_base64_std_read(bp_str_of(cases[i][1]), out, sizeof out), n);
        assert_memory_equal(out, cases[i][0], n);
    }
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        assert_int_equal(bp_base64_std_read(bp_str_of(bad[i]), out, sizeof out), -EINVAL);
    assert_int_equal(bp_base64_std_read(BP_STR("Zm9vYmE="), out, 4), -EOVERFLOW);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(base64),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
