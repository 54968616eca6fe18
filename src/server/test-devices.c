#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/devices.h"

#define AUDIENCE "site.example.com"

static struct bp_server_config config = { .auth = { .device_token = BP_SEC,
                                                    .clock_skew = 300 * BP_SEC } };
static struct bp_server server = { .config = &config };
static struct bp_devices *devices;
static struct bp_sign_key *key, *other;

static int set_up(void **state) {
    struct bp_error err = { 0 };

    (void) state;
    if (bp_sign_key_new(&key, &err) < 0 || bp_sign_key_new(&other, &err) < 0)
        return -1;
    return bp_devices_open(&server, &devices, &err);
}

static int tear_down(void **state) {
    (void) state;
    bp_devices_close(devices);
    bp_sign_key_free(key);
    bp_sign_key_free(other);
    return 0;
}

static void sign(struct bp_device_answer *a, const struct bp_sign_key *with, char hex[static 129]) {
    uint8_t sig[BP_SIGNATURE_LEN];
    BP_AUTO_BUF text = { 0 };

    bp_device_put_signed(&text, a);
    assert_int_equal(bp_sign(with, text.p, text.n, sig), 0);
    for (size_t i = 0; i < sizeof sig; i++)
        (void) snprintf(hex + 2 * i, 3, "%02x", sig[i]);
    a->signature = hex;
}

static int answer(const char *id, const char *nonce, const struct bp_sign_key *with, bp_ns_t off,
                  char token[static BP_DEVICE_TOKEN_TEXT]) {
    bp_ns_t now = bp_wall_ns();
    struct bp_device_answer a = { id, nonce, AUDIENCE, NULL, now + off };
    char hex[129];

    sign(&a, with, hex);
    return bp_devices_answer(devices, &a, bp_sign_key_public(key), AUDIENCE, now, token, NULL);
}

/* A challenge is for one device, one answer; only a good one uses it up. */
static void challenges(void **state) {
    char nonce[BP_DEVICE_NONCE_TEXT], token[BP_DEVICE_TOKEN_TEXT];
    struct bp_device_who who;

    (void) state;
    assert_int_equal(bp_devices_challenge(devices, "r1", nonce, NULL), 0);
    assert_int_equal(answer("r2", nonce, key, 0, token), -EACCES);
    assert_int_equal(answer("r1", nonce, other, 0, token), -EACCES);
    assert_int_equal(answer("r1", nonce, key, 301 * BP_SEC, token), BP_ECLOCK);
    assert_int_equal(answer("r1", nonce, key, -301 * BP_SEC, token), BP_ECLOCK);
    assert_int_equal(answer("r1", nonce, key, 299 * BP_SEC, token), 0);
    assert_int_equal(answer("r1", nonce, key, 0, token), -EACCES); /* replayed */
    assert_true(bp_device_is_token(token) || token[0]);
    assert_int_equal(bp_devices_find(devices, token, &who, NULL), 0);
    assert_string_equal(who.id, "r1");
    for (size_t i = 0; i < strlen(nonce); i++) { /* no character of it may be another */
        char changed[BP_DEVICE_NONCE_TEXT];

        assert_int_equal(bp_devices_challenge(devices, "r1", nonce, NULL), 0);
        memcpy(changed, nonce, sizeof changed);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_int_equal(answer("r1", changed, key, 0, token), -EACCES);
    }
}

static void take(const char *id, char token[static BP_DEVICE_TOKEN_TEXT]) {
    char nonce[BP_DEVICE_NONCE_TEXT];

    assert_int_equal(bp_devices_challenge(devices, id, nonce, NULL), 0);
    assert_int_equal(answer(id, nonce, key, 0, token), 0);
}

/* Tokens end by time, by revocation, and the oldest of a device by a fifth. */
static void tokens(void **state) {
    char mine[6][BP_DEVICE_TOKEN_TEXT], others[BP_DEVICE_TOKEN_TEXT];
    struct bp_device_who who;

    (void) state;
    take("r9", others);
    for (int i = 0; i < 5; i++)
        take("r1", mine[i]);
    assert_int_equal(bp_devices_find(devices, mine[0], &who, NULL), -EACCES);
    assert_int_equal(bp_devices_find(devices, mine[1], &who, NULL), 0);
    bp_devices_revoke(devices, "r1");
    for (int i = 0; i < 5; i++)
        assert_int_equal(bp_devices_find(devices, mine[i], &who, NULL), -EACCES);
    assert_int_equal(bp_devices_find(devices, others, &who, NULL), 0);
    (void) usleep(1100000);
    assert_int_equal(bp_devices_find(devices, others, &who, NULL), -EACCES);
    bp_devices_tick(devices);
    assert_int_equal(bp_devices_tokens(devices), 0);
}

static void names(void **state) {
    static const char *const bad[] = { "", ".a", "-a", "a b", "a/b", "../a", "a\n", "\xc3\xa4" };
    char longest[BP_DEVICE_ID + 1];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        assert_int_equal(bp_device_check_id(bad[i], NULL), BP_EUSAGE);
    memset(longest, 'a', sizeof longest);
    longest[BP_DEVICE_ID] = 0;
    assert_int_equal(bp_device_check_id(longest, NULL), BP_EUSAGE);
    longest[BP_DEVICE_ID - 1] = 0;
    assert_int_equal(bp_device_check_id(longest, NULL), 0);
    assert_int_equal(bp_device_check_id("robot_1.hall:3@site-7", NULL), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(challenges, set_up, tear_down),
        cmocka_unit_test_setup_teardown(tokens, set_up, tear_down),
        cmocka_unit_test(names),
    };

    return cmocka_run_group_tests_name("server/devices", tests, NULL, NULL);
}
