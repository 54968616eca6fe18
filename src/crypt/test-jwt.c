#include "crypt/jwt.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "base/io.h"

static const bp_ns_t now = 1800000000 * BP_SEC;
static const struct bp_jwt_rules rules = { "https://id.example", "bagpipe", 30 * BP_SEC };

static char *read_file(const char *name, size_t *ret_n) {
    char path[1024], *text = NULL;

    (void) snprintf(path, sizeof path, "%s/%s", BP_TEST_SOURCE, name);
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 1 << 20, &text, ret_n, NULL), 0);
    return text;
}

static struct bp_jwt_keys *read_keys(void) {
    struct bp_jwt_keys *keys = NULL;
    struct bp_error err = { 0 };
    size_t n;
    BP_AUTO_FREE char *text = read_file("test-jwt.json", &n);

    if (bp_jwt_keys_read((struct bp_str){ text, n }, &keys, &err) < 0)
        fail_msg("%s", err.text);
    return keys;
}

/* Each line of test-jwt.txt, which PyJWT has made: NAME|ok or refused or malformed|TOKEN. */
static void foreign_tokens(void **state) {
    BP_CLEANUP(bp_jwt_keys_freep) struct bp_jwt_keys *keys = read_keys();
    size_t n, rows = 0;
    BP_AUTO_FREE char *text = read_file("test-jwt.txt", &n);

    (void) state;
    for (char *line = text, *end; *line; line = end + 1) {
        char *want = strchr(line, '|'), *token;
        struct bp_error err = { 0 };
        json_t *claims = NULL;
        int r, expected;

        end = strchr(line, '\n');
        *end = *want++ = '\0';
        token = strchr(want, '|');
        *token++ = '\0';
        expected = bp_streq(want, "ok") ? 0 : bp_streq(want, "refused") ? -EACCES : BP_EFORMAT;
        r = bp_jwt_verify(keys, &rules, now, bp_str_of(token), &claims, &err);
        if (r != expected)
            fail_msg("%s: %d (%s), expected %d", line, r, err.text, expected);
        if (r == 0)
            assert_string_equal(json_string_value(json_object_get(claims, "sub")), "alice");
        else
            assert_true(claims == NULL && err.text[0] != '\0');
        json_decref(claims);
        rows++;
    }
    assert_true(rows > 60);
}

/* Rules that are not set ask nothing. */
static void no_rules(void **state) {
    BP_CLEANUP(bp_jwt_keys_freep) struct bp_jwt_keys *keys = read_keys();
    const struct bp_jwt_rules none = { "", NULL, 0 };
    size_t n;
    BP_AUTO_FREE char *text = read_file("test-jwt.txt", &n);
    const char *row = strstr(text, "no aud|refused|") + strlen("no aud|refused|");
    json_t *claims = NULL;

    (void) state;
    assert_int_equal(
        bp_jwt_verify(keys, &none, now, (struct bp_str){ row, strcspn(row, "\n") }, &claims, NULL),
        0);
    json_decref(claims);
    assert_true(bp_jwt_keys_secret(keys));
}

/* Any one character of a good token changed makes a bad one. */
static void every_character(void **state) {
    BP_CLEANUP(bp_jwt_keys_freep) struct bp_jwt_keys *keys = read_keys();
    size_t n;
    BP_AUTO_FREE char *text = read_file("test-jwt.txt", &n);

    (void) state;
    for (int alg = 0; alg < 3; alg++) {
        static const char *const names[] = { "HS256|ok|", "ES256|ok|", "EdDSA|ok|" };
        const char *row = strstr(text, names[alg]) + strlen(names[alg]);
        BP_AUTO_FREE char *token = strndup(row, strcspn(row, "\n"));

        for (size_t i = 0; token[i]; i++) {
            char was = token[i];
            json_t *claims = NULL;

            token[i] = was == 'A' ? 'B' : 'A';
            if (bp_jwt_verify(keys, &rules, now, bp_str_of(token), &claims, NULL) >= 0)
                fail_msg("%s character %zu: still good", names[alg], i);
            token[i] = was;
        }
    }
}

static void bad_keys(void **state) {
    static const struct {
        const char *json, *word;
    } cases[] = {
        { "", "not JSON" },
        { "{\"keys\": [], \"keys\": []}", "not JSON" },
        { "{}", "keys" },
        { "{\"keys\": []}", "keys" },
        { "{\"keys\": {}}", "keys" },
        { "{\"keys\": [1]}", "kty" },
        { "{\"keys\": [{\"kty\": \"RSA\", \"alg\": \"RS256\"}]}", "RSA" },
        { "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-384\"}]}", "EC P-384" },
        { "{\"keys\": [{\"kty\": \"EC\"}]}", "EC" },
        { "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"alg\": \"HS256\"}]}", "ES256" },
        { "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", \"x\": \"AAAA\"}]}", "'x'" },
        { "{\"keys\": [{\"kty\": \"EC\", \"crv\": \"P-256\", "
          "\"x\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\", "
          "\"y\": \"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}]}",
          "no point" },
        { "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"Ed25519\", \"x\": \"AAAA\"}]}", "'x'" },
        { "{\"keys\": [{\"kty\": \"OKP\", \"crv\": \"X25519\"}]}", "OKP X25519" },
        { "{\"keys\": [{\"kty\": \"oct\", \"k\": \"c2hvcnQ\"}]}", "'k'" },
        { "{\"keys\": [{\"kty\": \"oct\"}]}", "'k'" },
        { "{\"keys\": [{\"kty\": \"oct\", \"use\": \"enc\"}]}", "signatures" },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_jwt_keys *keys = NULL;
        struct bp_error err = { 0 };

        assert_int_equal(bp_jwt_keys_read(bp_str_of(cases[i].json), &keys, &err), BP_ECONFIG);
        if (!strstr(err.text, cases[i].word))
            fail_msg("%s: '%s' does not name '%s'", cases[i].json, err.text, cases[i].word);
        assert_null(keys);
    }
    bp_jwt_keys_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(foreign_tokens),
        cmocka_unit_test(no_rules),
        cmocka_unit_test(every_character),
        cmocka_unit_test(bad_keys),
    };

    return cmocka_run_group_tests_name("crypt/jwt", tests, NULL, NULL);
}
