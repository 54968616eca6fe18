#include "crypt/vault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/keyctl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "base/io.h"
#include "crypt/vault-priv.h"

#define SECRET_A "s3cr3t-of-the-cloud"
#define SECRET_B "another one, with spaces \xc3\xa4"

static char dir[64], path[128], own[128];

static int begin(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-vault-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/vault", dir);
    (void) snprintf(own, sizeof own, "%s/vault.key", dir);
    return 0;
}

static int end(void **state) {
    static const char *const names[] = { "vault", "vault.key", "vault.lock",
                                         "key",   "bagpipe.x", "bagpipe.vault_key" };
    char name[128];

    (void) state;
    (void) unsetenv("CREDENTIALS_DIRECTORY"); /* NOLINT(concurrency-mt-unsafe): one thread */
    for (size_t i = 0; i < BP_COUNT(names); i++) {
        (void) snprintf(name, sizeof name, "%s/%s", dir, names[i]);
        (void) unlink(name);
    }
    return rmdir(dir); /* fails when a temporary file was left */
}

static struct bp_vault *open_vault(const char *key_file) {
    struct bp_vault *v = NULL;
    struct bp_error err = { 0 };
    int r = bp_vault_open(
        &(struct bp_vault_opts){ .path = path, .key_file = key_file, .own_key = own }, &v, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    return v;
}

static int set(struct bp_vault *v, const char *name, const char *value) {
    BP_AUTO_SECRET s = { 0 };

    assert_int_equal(bp_secret_copy(value, strlen(value), &s), 0);
    return bp_vault_set(v, name, &s, NULL);
}

static void expect(struct bp_vault *v, const char *name, const char *value) {
    BP_AUTO_SECRET s = { 0 };
    struct bp_error err = { 0 };

    if (bp_vault_get(v, name, &s, &err) < 0)
        fail_msg("%s: %s", name, err.text);
    assert_string_equal((const char *) s.p, value);
}

static int get(struct bp_vault *v, const char *name) {
    BP_AUTO_SECRET s = { 0 };

    return bp_vault_get(v, name, &s, NULL);
}

static void put_name(void *ctx, const char *name, int64_t set_ns) {
    struct bp_buf *b = ctx;

    assert_true(set_ns > 0);
    bp_buf_printf(b, "%s ", name);
}

static void expect_names(struct bp_vault *v, const char *want) {
    BP_AUTO_BUF b = { 0 };

    assert_int_equal(bp_vault_list(v, put_name, &b, NULL), 0);
    assert_string_equal(bp_buf_cstr(&b), want);
}

static void test_set_get_remove(void **state) {
    BP_CLEANUP(bp_vault_closep) struct bp_vault *v = open_vault(NULL), *early = open_vault(NULL);
    BP_AUTO_FREE char *file = NULL;
    struct stat st;
    size_t n;

    (void) state;
    expect_names(v, "");
    assert_int_equal(get(v, "a"), -ENOENT);
    assert_int_equal(bp_vault_remove(v, "a", NULL), -ENOENT);
    assert_int_equal(access(own, F_OK), -1); /* no key before there is something to lock away */
    assert_int_equal(set(v, "m", SECRET_A), 0);
    assert_int_equal(set(v, "z", "26"), 0);
    assert_int_equal(set(v, "a", SECRET_B), 0);
    assert_int_equal(set(v, "ma", "x"), 0);
    expect_names(v, "a m ma z ");
    expect(v, "m", SECRET_A);
    expect(v, "a", SECRET_B);
    expect(early, "a", SECRET_B); /* opened before there was a key */
    assert_int_equal(set(v, "m", "new"), 0);
    expect(early, "m", "new");
    assert_int_equal(bp_vault_remove(early, "z", NULL), 0);
    assert_int_equal(get(v, "z"), -ENOENT);
    expect_names(v, "a m ma ");

    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(stat(own, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 1 << 20, &file, &n, NULL), 0);
    assert_null(memmem(file, n, SECRET_B, strlen(SECRET_B)));
}

static void test_names_and_values(void **state) {
    static const char *const bad[] = { "", ".x", "a/b", "a b", "\xc3\xa4", "a\n" };
    char long_name[BP_VAULT_NAME_MAX + 2];
    BP_CLEANUP(bp_vault_closep) struct bp_vault *v = open_vault(NULL);
    BP_AUTO_SECRET big = { 0 }, zero = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(bad); i++)
        assert_int_equal(set(v, bad[i], "x"), BP_EUSAGE);
    memset(long_name, 'n', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    assert_int_equal(set(v, long_name, "x"), BP_EUSAGE);
    assert_int_equal(set(v, long_name + 1, "x"), 0);
    assert_int_equal(set(v, "a", ""), BP_EUSAGE);
    assert_int_equal(bp_secret_copy("a\0b", 3, &zero), 0);
    assert_int_equal(bp_vault_set(v, "a", &zero, NULL), BP_EUSAGE);
    assert_int_equal(bp_secret_alloc(BP_VAULT_VALUE_MAX + 1, &big), 0);
    memset(big.p, 'x', big.n);
    assert_int_equal(bp_vault_set(v, "a", &big, NULL), BP_EUSAGE);
    big.n--;
    big.p[big.n] = 0;
    assert_int_equal(bp_vault_set(v, "a", &big, NULL), 0);
    expect(v, "a", (const char *) big.p);
    for (int i = 0; i < 14; i++) { /* 14 more fit into 1 MiB */
        char name[8];

        (void) snprintf(name, sizeof name, "b%d", i);
        assert_int_equal(bp_vault_set(v, name, &big, NULL), 0);
    }
    assert_true(bp_vault_set(v, "c", &big, NULL) < 0); /* full, and what is there stays */
    expect(v, "b13", (const char *) big.p);
}

static void write_key(const char *text) {
    char name[128];
    int fd;

    (void) snprintf(name, sizeof name, "%s/key", dir);
    fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void) close(fd);
}

static void test_keys(void **state) {
    static const char *const keys[] = {
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n",
        "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
        "correct horse battery staple\n",
        "correct horse battery stable",
    };
    struct bp_error err = { 0 };
    struct bp_vault *no = NULL;
    char name[128];

    (void) state;
    (void) snprintf(name, sizeof name, "%s/key", dir);
    assert_int_equal(
        bp_vault_open(&(struct bp_vault_opts){ .path = path, .key_file = name, .own_key = own },
                      &no, &err),
        -ENOENT); /* configured, and not there: no other one is taken */
    for (size_t i = 0; i < BP_COUNT(keys); i++) {
        write_key(keys[i]);
        {
            BP_CLEANUP(bp_vault_closep) struct bp_vault *v = open_vault(name);

            assert_string_equal(bp_vault_key_source(v), name);
            assert_int_equal(set(v, "a", SECRET_A), 0);
            expect(v, "a", SECRET_A);
        }
        for (size_t k = 0; k < BP_COUNT(keys); k++) {
            BP_CLEANUP(bp_vault_closep) struct bp_vault *v = NULL;

            write_key(keys[k]);
            v = open_vault(name);
            assert_int_equal(get(v, "a"), i == k ? 0 : -EACCES);
            assert_int_equal(set(v, "b", "x"), i == k ? 0 : -EACCES); /* and is not overwritten */
        }
        (void) unlink(path);
    }
    assert_int_equal(chmod(name, 0644), 0);
    assert_int_equal(
        bp_vault_open(&(struct bp_vault_opts){ .path = path, .key_file = name, .own_key = own },
                      &no, &err),
        -EPERM);
}

/* Every changed bit and every cut is noticed. */
static void test_damage(void **state) {
    BP_CLEANUP(bp_vault_closep) struct bp_vault *v = open_vault(NULL);
    BP_AUTO_FREE char *file = NULL;
    size_t n;

    (void) state;
    assert_int_equal(set(v, "a", SECRET_A), 0);
    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 1 << 20, &file, &n, NULL), 0);
    for (size_t i = 0; i < 8 * n; i++) {
        int r;

        file[i / 8] = (char) (file[i / 8] ^ 1 << i % 8);
        assert_int_equal(bp_io_replace_file(&bp_io_posix, path, file, n, NULL), 0);
        r = get(v, "a");
        if (r != -EACCES && r != BP_EFORMAT)
            fail_msg("bit %zu: %d", i, r);
        file[i / 8] = (char) (file[i / 8] ^ 1 << i % 8);
    }
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(bp_io_replace_file(&bp_io_posix, path, file, i, NULL), 0);
        assert_int_equal(get(v, "a"), BP_EFORMAT);
    }
    assert_int_equal(bp_io_replace_file(&bp_io_posix, path, file, n, NULL), 0);
    expect(v, "a", SECRET_A);
}

static void test_environment_and_credentials(void **state) {
    BP_CLEANUP(bp_vault_closep) struct bp_vault *v = NULL;
    BP_AUTO_SECRET s = { 0 };
    char name[128];
    int fd;

    (void) state;
    (void) snprintf(name, sizeof name, "%s/bagpipe.x", dir);
    fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "from systemd\n", 13), 13);
    (void) close(fd);
    (void) snprintf(name, sizeof name, "%s/bagpipe.vault_key", dir);
    fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0400);
    assert_int_equal(write(fd, "pass", 4), 4);
    (void) close(fd);
    (void) setenv("CREDENTIALS_DIRECTORY", dir, 1); /* NOLINT(concurrency-mt-unsafe): one thread */
    (void) setenv("CLOUD_AUTH_TOKEN", "tok", 1);    /* NOLINT(concurrency-mt-unsafe): one thread */
    v = open_vault(NULL);
    assert_string_equal(bp_vault_key_source(v), name);
    assert_null(getenv("CLOUD_AUTH_TOKEN")); /* NOLINT(concurrency-mt-unsafe): one thread */
    expect(v, "cloud_auth_token", "tok");
    expect(v, "x", "from systemd");
    assert_int_equal(bp_vault_resolve(v, "secret:x", &s, NULL), 0);
    assert_string_equal((const char *) s.p, "from systemd");
    bp_secret_done(&s);
    assert_int_equal(bp_vault_resolve(v, "plain", &s, NULL), 0);
    assert_string_equal((const char *) s.p, "plain");
    bp_secret_done(&s);
    assert_int_equal(bp_vault_resolve(v, "secret:y", &s, NULL), -ENOENT);
    assert_int_equal(bp_vault_resolve(v, "secret:../x", &s, NULL), BP_EUSAGE);

    bp_vault_close(BP_TAKE_PTR(v));
    (void) setenv("BAGPIPE_VAULT_KEY", "first", 1); /* NOLINT(concurrency-mt-unsafe): one thread */
    v = open_vault(NULL);
    assert_string_equal(bp_vault_key_source(v), "$BAGPIPE_VAULT_KEY");
    assert_null(getenv("BAGPIPE_VAULT_KEY")); /* NOLINT(concurrency-mt-unsafe): one thread */
}

/* Where the kernel has keyrings and nothing forbids them; in many containers something does. */
static void test_keyring(void **state) {
    BP_CLEANUP(bp_vault_closep) struct bp_vault *v = NULL;
    long id =
        syscall(SYS_add_key, "user", "bagpipe:vault", "ring a ding", 11, KEY_SPEC_PROCESS_KEYRING);

    (void) state;
    if (id < 0)
        print_message("no keyring here: %s\n", strerror(errno)); /* NOLINT(concurrency-mt-unsafe) */
    v = open_vault(NULL);
    assert_string_equal(bp_vault_key_source(v), id < 0 ? "" : "the kernel's keyring");
    assert_int_equal(set(v, "a", SECRET_A), 0);
    expect(v, "a", SECRET_A);
    assert_int_equal(access(own, F_OK), id < 0 ? 0 : -1); /* made only where there is no other */
    if (id >= 0)
        (void) syscall(SYS_keyctl, KEYCTL_UNLINK, id, KEY_SPEC_PROCESS_KEYRING);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_set_get_remove, begin, end),
        cmocka_unit_test_setup_teardown(test_names_and_values, begin, end),
        cmocka_unit_test_setup_teardown(test_keys, begin, end),
        cmocka_unit_test_setup_teardown(test_damage, begin, end),
        cmocka_unit_test_setup_teardown(test_keyring, begin, end),
        cmocka_unit_test_setup_teardown(test_environment_and_credentials, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
