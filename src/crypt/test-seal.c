#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/buf.h"
#include "crypt/key.h"

static void from_hex(const char *hex, uint8_t *ret) {
    for (size_t i = 0; hex[2 * i]; i++) {
        char two[3] = { hex[2 * i], hex[2 * i + 1], 0 };

        ret[i] = (uint8_t) strtoul(two, NULL, 16);
    }
}

/* RFC 5869 A.1 and A.3, RFC 7914 §12: cut to the 32 bytes we take. */
static void test_kdf_vectors(void **state) {
    uint8_t a[22], want[32], got[32], salt[13];

    (void) state;
    memset(a, 0x0b, 22);
    from_hex("000102030405060708090a0b0c", salt);
    assert_int_equal(bp_hkdf(a, 22, salt, 13, "\xf0\xf1\xf2\xf3\xf4\xf5\xf6\xf7\xf8\xf9", got), 0);
    from_hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf", want);
    assert_memory_equal(got, want, 32);
    assert_int_equal(bp_hkdf(a, 22, NULL, 0, "", got), 0);
    from_hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d", want);
    assert_memory_equal(got, want, 32);

    assert_int_equal(bp_scrypt("pleaseletmein", 13, "SodiumChloride", 14,
                               (struct bp_scrypt_cost){ 14, 8, 1 }, got),
                     0);
    from_hex("7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2", want);
    assert_memory_equal(got, want, 32);
}

static void test_x25519_vector(void **state) {
    uint8_t alice[32], bob[32], want[32], got[32];

    (void) state;
    from_hex("a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4", alice);
    from_hex("e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c", bob);
    from_hex("c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552", want);
    assert_int_equal(bp_x25519_shared(alice, bob, got), 0); /* RFC 7748 §5.2, first vector */
    assert_memory_equal(got, want, 32);
    memset(bob, 0, sizeof bob);
    assert_int_equal(bp_x25519_shared(alice, bob, got), BP_ECORRUPT);
}

/* NIST SP 800-38D / GCM specification, test case 16 (256-bit key, additional data). */
static void test_gcm(void **state) {
    uint8_t key[32], nonce[12], aad[20], plain[60], want[60], tag[16], out[60], got_tag[16];
    struct bp_aead *a;

    (void) state;
    from_hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", key);
    from_hex("cafebabefacedbaddecaf888", nonce);
    from_hex("feedfacedeadbeeffeedfacedeadbeefabaddad2", aad);
    from_hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6"
        "b525b16aedf5aa0de657ba637b39",
        plain);
    from_hex(
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056"
        "828838c5f61e6393ba7a0abcc9f662",
        want);
    from_hex("76fc6ece0f4e1768cddf8853bb2d551b", tag);
    a = bp_aead_new(key);
    assert_non_null(a);
    assert_int_equal(bp_aead_seal(a, nonce, aad, 20, plain, 60, out, got_tag), 0);
    assert_memory_equal(out, want, 60);
    assert_memory_equal(got_tag, tag, 16);
    assert_int_equal(bp_aead_open(a, nonce, aad, 20, out, 60, out, tag), 0);
    assert_memory_equal(out, plain, 60);
    tag[3] ^= 1;
    assert_int_equal(bp_aead_open(a, nonce, aad, 20, want, 60, out, tag), BP_ECORRUPT);
    bp_aead_free(a);
}

static void test_scrypt_bounds(void **state) {
    static const struct bp_scrypt_cost bad[] = {
        { 0, 8, 1 },   { 21, 1, 1 }, { 255, 1, 1 }, { 14, 0, 1 },
        { 14, 17, 1 }, { 14, 8, 5 }, { 20, 4, 1 },
    };
    uint8_t out[32];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        assert_int_equal(bp_scrypt("x", 1, "y", 1, bad[i], out), BP_ELIMIT);
}

#define HEX32 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

static void test_key_texts(void **state) {
    static const struct {
        const char *text;
        int code;
        size_t keys;
        bool opens;
    } cases[] = {
        { HEX32, 0, 1, true },
        { HEX32 "\n", 0, 1, true },
        { "  correct horse battery\n", 0, 1, true },
        { "bagpipe-key:" HEX32, 0, 1, true },
        { "# note\n\nbagpipe-x25519-public:" HEX32 "\n", 0, 1, false },
        { "bagpipe-x25519-private:" HEX32, 0, 1, true },
        { "bagpipe-key:" HEX32 "\nbagpipe-key:" HEX32 "\n", 0, 1, true }, /* twice the same */
        { "bagpipe-key:" HEX32 "\nbagpipe-x25519-public:" HEX32, 0, 2, true },
        { "bagpipe-key:00", BP_EFORMAT, 0, false },
        { "bagpipe-x25519-public:zz" HEX32, BP_EFORMAT, 0, false },
        { "short", BP_EFORMAT, 0, false },
        { "", BP_EFORMAT, 0, false },
        { "two lines of\nsomething else", BP_EFORMAT, 0, false },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_keyring *k = bp_keyring_new();
        struct bp_error err = { 0 };

        assert_int_equal(bp_keyring_add_text(k, bp_str_of(cases[i].text), "test", &err),
                         cases[i].code);
        assert_int_equal(bp_keyring_count(k), cases[i].keys);
        assert_int_equal(bp_keyring_opens(k), cases[i].opens);
        if (strlen(cases[i].text) >= 8)
            assert_null(strstr(err.text, cases[i].text)); /* an error never tells a secret */
        bp_keyring_free(k);
    }
}

static struct bp_keyring *ring_of(const char *text) {
    struct bp_keyring *k = bp_keyring_new();

    assert_int_equal(bp_keyring_add_text(k, bp_str_of(text), "test", NULL), 0);
    return k;
}

static void test_wrapping(void **state) {
    static const struct {
        const char *name, *seal, *open;
        int code;
    } cases[] = {
        { "key", "bagpipe-key:" HEX32, "bagpipe-key:" HEX32, 0 },
        { "bare key", HEX32, "bagpipe-key:" HEX32, 0 },
        { "another key", HEX32, "ff" HEX32, BP_EKEY }, /* that is a passphrase */
        { "passphrase", "correct horse", "correct horse", 0 },
        { "another passphrase", "correct horse", "correct house", BP_EKEY },
        { "private", "bagpipe-x25519-private:" HEX32, "bagpipe-x25519-private:" HEX32, 0 },
        { "private as key", "bagpipe-x25519-private:" HEX32, "bagpipe-key:" HEX32, BP_EKEY },
        { "public", "bagpipe-x25519-public:" HEX32, "bagpipe-x25519-public:" HEX32, BP_EKEY },
        { "second of two", "bagpipe-x25519-public:" HEX32 "\nbagpipe-key:" HEX32,
          "bagpipe-key:" HEX32, 0 },
    };
    static const uint8_t content[BP_KEY_LEN] = "the content key of this file....";
    uint8_t wrapped[BP_KEYS_MAX * BP_WRAPPED_BYTES], got[BP_KEY_LEN];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_keyring *seal = ring_of(cases[i].seal), *open = ring_of(cases[i].open);
        uint8_t id[BP_FILE_ID] = { (uint8_t) i };
        int n = bp_keyring_wrap(seal, id, content, wrapped);

        assert_int_equal(n, bp_keyring_count(seal));
        if (bp_keyring_unwrap(open, id, wrapped, (unsigned) n, got) != cases[i].code)
            fail_msg("%s", cases[i].name);
        if (cases[i].code == 0) {
            assert_memory_equal(got, content, sizeof got);
            id[3] ^= 1; /* a header of another file */
            assert_int_equal(bp_keyring_unwrap(open, id, wrapped, (unsigned) n, got), BP_EKEY);
            id[3] ^= 1;
            for (unsigned at = 12; at < 96; at++) {
                if ((at < 16 && bp_ld_le32(wrapped) != BP_KEY_PASSPHRASE) || n > 1 || at == 15 ||
                    at == 13 || at == 12) /* other costs only take long */
                    continue;
                wrapped[at] ^= 1;
                assert_int_equal(bp_keyring_unwrap(open, id, wrapped, (unsigned) n, got), BP_EKEY);
                wrapped[at] ^= 1;
                if (bp_ld_le32(wrapped) == BP_KEY_PASSPHRASE)
                    at += 7;
            }
        }
        bp_keyring_free(seal);
        bp_keyring_free(open);
    }
}

static void test_create(void **state) {
    char dir[] = "/tmp/bp-key-XXXXXX", path[64], text[512] = "";
    struct bp_key_info made, read;
    struct bp_keyring *k = bp_keyring_new();
    struct bp_error err = { 0 };
    struct stat st;
    FILE *f;

    (void) state;
    assert_non_null(mkdtemp(dir));
    (void) snprintf(path, sizeof path, "%s/key", dir);
    assert_int_equal(bp_key_create(path, false, &made, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(bp_key_create(path, false, &made, &err), -17); /* EEXIST */
    assert_int_equal(bp_keyring_add_file(k, path, &err), 0);
    bp_keyring_info(k, 0, &read);
    assert_memory_equal(read.public_key, made.public_key, BP_KEY_LEN);
    assert_true(read.secret);
    f = fopen(path, "re");
    assert_non_null(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 100);
    (void) fclose(f);
    bp_keyring_free(k);
    (void) unlink(path);
    (void) rmdir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kdf_vectors), cmocka_unit_test(test_x25519_vector),
        cmocka_unit_test(test_gcm),         cmocka_unit_test(test_scrypt_bounds),
        cmocka_unit_test(test_key_texts),   cmocka_unit_test(test_wrapping),
        cmocka_unit_test(test_create),
    };

    return cmocka_run_group_tests_name("crypt/seal", tests, NULL, NULL);
}
