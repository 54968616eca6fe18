#include "crypt/sign.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

static char dir[64];

static int make_dir(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-sign-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state) {
    static const char *const names[] = { "key", "key.pub", "other", "other.pub", "text" };
    char path[128];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(names); i++) {
        (void) snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void) unlink(path);
    }
    return rmdir(dir); /* fails when a temporary file was left */
}

static const char *path_of(const char *name) {
    static char path[128];

    (void) snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

/* RFC 8032 §7.1, tests 1 and 2. The seeds come as PEM, as OpenSSL wrote them. */
static void test_rfc8032(void **state) {
    static const struct {
        const char *pem, *pub, *message, *sig;
        size_t n;
    } cases[] = {
        { "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g",
          "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
          "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970"
          "1cf9b46bd25bf5f0595bbe24655141438e7a100b",
          0 },
        { "MC4CAQAwBQYDK2VwBCIEIEzNCJso/5banbbDRuwRTg9bijGfNaumJNqM9u1PuKb7",
          "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "r",
          "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613"
          "d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
          1 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *k = NULL;
        uint8_t pub[BP_PUBLIC_KEY_LEN], want[BP_SIGNATURE_LEN], sig[BP_SIGNATURE_LEN];
        char pem[200];

        (void) snprintf(pem, sizeof pem,
                        "-----BEGIN PRIVATE KEY-----\n%s\n-----END PRIVATE KEY-----\n",
                        cases[i].pem);
        assert_int_equal(bp_sign_key_parse(bp_str_of(pem), &k, NULL), 0);
        assert_int_equal(bp_sign(k, cases[i].message, cases[i].n, sig), 0);
        assert_int_equal(bp_key_digits(bp_str_of(cases[i].pub), pub, sizeof pub), 0);
        assert_int_equal(bp_key_digits(bp_str_of(cases[i].sig), want, sizeof want), 0);
        assert_memory_equal(bp_sign_key_public(k), pub, sizeof pub);
        assert_memory_equal(sig, want, sizeof sig);
        assert_int_equal(bp_sign_check(bp_sign_key_public(k), cases[i].message, cases[i].n, sig),
                         0);
    }
}

static void test_every_bit_counts(void **state) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *k = NULL, *other = NULL;
    uint8_t text[40] = "what the device has recorded", sig[BP_SIGNATURE_LEN];
    uint8_t pub[BP_PUBLIC_KEY_LEN];

    (void) state;
    assert_int_equal(bp_sign_key_new(&k, NULL), 0);
    assert_int_equal(bp_sign_key_new(&other, NULL), 0);
    assert_memory_not_equal(bp_sign_key_public(k), bp_sign_key_public(other), BP_PUBLIC_KEY_LEN);
    memcpy(pub, bp_sign_key_public(k), sizeof pub);
    assert_int_equal(bp_sign(k, text, sizeof text, sig), 0);
    assert_int_equal(bp_sign_check(pub, text, sizeof text, sig), 0);
    for (size_t i = 0; i < 8 * sizeof text; i++) {
        text[i / 8] ^= (uint8_t) (1U << i % 8);
        assert_int_equal(bp_sign_check(pub, text, sizeof text, sig), BP_EMISMATCH);
        text[i / 8] ^= (uint8_t) (1U << i % 8);
    }
    for (size_t i = 0; i < 8 * sizeof sig; i++) {
        sig[i / 8] ^= (uint8_t) (1U << i % 8);
        assert_int_equal(bp_sign_check(pub, text, sizeof text, sig), BP_EMISMATCH);
        sig[i / 8] ^= (uint8_t) (1U << i % 8);
    }
    assert_int_equal(bp_sign_check(pub, text, sizeof text - 1, sig), BP_EMISMATCH);
    assert_int_equal(bp_sign_check(bp_sign_key_public(other), text, sizeof text, sig),
                     BP_EMISMATCH);
}

static mode_t mode_of(const char *path) {
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 07777;
}

static void test_files(void **state) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *k = NULL, *again = NULL, *no = NULL;
    uint8_t pub[BP_PUBLIC_KEY_LEN];
    struct bp_error err = { 0 };
    char key[128], pub_path[140], text[BP_PUBLIC_KEY_TEXT];
    mode_t mask = umask(0);
    bool made = false;

    (void) state;
    (void) snprintf(key, sizeof key, "%s", path_of("key"));
    (void) snprintf(pub_path, sizeof pub_path, "%s.pub", key);
    assert_int_equal(bp_sign_key_load(key, &no, &err), -ENOENT);
    assert_int_equal(bp_sign_key_open(key, &k, &made, &err), 0);
    (void) umask(mask);
    assert_true(made);
    assert_int_equal(mode_of(key), 0600);
    assert_int_equal(mode_of(pub_path), 0644);
    assert_int_equal(bp_sign_key_open(key, &again, &made, &err), 0);
    assert_false(made);
    assert_memory_equal(bp_sign_key_public(k), bp_sign_key_public(again), BP_PUBLIC_KEY_LEN);
    assert_int_equal(bp_sign_key_save(k, key, &err), -EEXIST);

    assert_int_equal(bp_public_key_read(pub_path, pub, &err), 0);
    assert_memory_equal(pub, bp_sign_key_public(k), sizeof pub);
    assert_int_equal(bp_public_key_read(key, pub, &err), 0);
    assert_memory_equal(pub, bp_sign_key_public(k), sizeof pub);
    assert_int_equal(bp_public_key_read(bp_public_key_text(pub, text), pub, &err), 0);
    assert_memory_equal(pub, bp_sign_key_public(k), sizeof pub);
    assert_int_equal(bp_public_key_read("/nonexistent", pub, &err), BP_EUSAGE);

    assert_int_equal(chmod(key, 0640), 0);
    assert_int_equal(bp_sign_key_load(key, &no, &err), -EPERM);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(bp_sign_key_open(key, &no, NULL, &err), -EPERM); /* and makes no other */
    assert_null(no);
}

static void test_digits(void **state) {
    static const struct {
        const char *text;
        int want;
    } cases[] = {
        { "00010203", 0 },
        { "  00010203\n", 0 },
        { "0001020", BP_EFORMAT },
        { "000102030", BP_EFORMAT },
        { "0001020g", BP_EFORMAT },
        { "AAECAw==", 0 },
        { "AAECAw", 0 },
        { "AAECAw=", 0 },
        { "AAECA", BP_EFORMAT },
        { "AAECAx==", BP_EFORMAT },
        { "AAECAw===", BP_EFORMAT },
        { "AA=ECAw", BP_EFORMAT },
        { "AAEC", BP_EFORMAT },
        { "AAECAwQ=", BP_EFORMAT },
        { "", BP_EFORMAT },
        { "AA EC Aw", BP_EFORMAT },
    };
    static const uint8_t want[] = { 0, 1, 2, 3 };
    uint8_t got[4];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        int r = bp_key_digits(bp_str_of(cases[i].text), got, sizeof got);

        if (r != cases[i].want)
            print_message("'%s': %d\n", cases[i].text, r);
        assert_int_equal(r, cases[i].want);
        if (r == 0)
            assert_memory_equal(got, want, sizeof want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc8032),
        cmocka_unit_test(test_every_bit_counts),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_digits),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
