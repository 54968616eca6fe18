#include "crypt/secretmem.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <openssl/crypto.h>

#include "base/buf.h"
#include "crypt/key.h"

/* Does the kernel leave the page at `p` out of core dumps? "dd" in VmFlags of smaps. */
static bool left_out_of_dumps(const void *p) {
    FILE *f = fopen("/proc/self/smaps", "re");
    unsigned long from = 0, to = 0;
    bool found = false;
    char line[512];

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        unsigned long a, b;

        if (sscanf(line, "%lx-%lx ", &a, &b) == 2) { /* NOLINT(cert-err34-c): the kernel's text */
            from = a;
            to = b;
        } else if (bp_starts_with(line, "VmFlags:") && (unsigned long) p >= from &&
                   (unsigned long) p < to) {
            found = strstr(line, " dd") != NULL;
        }
    }
    (void) fclose(f);
    return found;
}

static void test_pages(void **state) {
    static const size_t sizes[] = { 0, 1, 32, 4095, 4096, BP_SECRET_MAX };
    struct bp_secret s = { 0 };
    char on_the_heap[64];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(sizes); i++) {
        assert_int_equal(bp_secret_alloc(sizes[i], &s), 0);
        assert_int_equal(s.n, sizes[i]);
        assert_int_equal(s.p[s.n], 0);
        memset(s.p, 'x', s.n);
        assert_true(left_out_of_dumps(s.p));
        bp_secret_done(&s);
        assert_null(s.p);
        bp_secret_done(&s);
    }
    assert_false(left_out_of_dumps(on_the_heap)); /* else the check proves nothing */
    assert_int_equal(bp_secret_alloc(BP_SECRET_MAX + 1, &s), -E2BIG);
    bp_secret_done(NULL);
}

static void test_keyring(void **state) {
    struct bp_keyring *k = bp_keyring_new();

    (void) state;
    assert_non_null(k);
    assert_true(left_out_of_dumps(k));
    bp_keyring_free(k);
}

/* Contexts of OpenSSL, large and small, and what the secret was in is cleared when it is freed. */
static void test_openssl(void **state) {
    static const size_t sizes[] = { 1, 16, 17, 1000, 4096, 32752, 32753, 1 << 20 };

    (void) state;
    if (!bp_secret_openssl_protected())
        return; /* under AddressSanitizer */
    for (size_t i = 0; i < BP_COUNT(sizes); i++) {
        uint8_t *p = OPENSSL_malloc(sizes[i]), *q;

        assert_non_null(p);
        assert_int_equal((uintptr_t) p % 16, 0);
        memset(p, 'k', sizes[i]);
        assert_true(left_out_of_dumps(p) && left_out_of_dumps(p + sizes[i] - 1));
        q = OPENSSL_realloc(p, 3 * sizes[i]);
        assert_non_null(q);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(q[k], 'k');
        assert_true(left_out_of_dumps(q + 3 * sizes[i] - 1));
        OPENSSL_free(q);
        if (3 * sizes[i] < 32752) { /* larger ones are unmapped */
            p = OPENSSL_malloc(3 * sizes[i]);
            assert_ptr_equal(p, q);
            for (size_t k = 0; k < sizes[i]; k++)
                assert_int_not_equal(p[k], 'k');
            OPENSSL_free(p);
        }
    }
}

static __attribute__((noinline)) void leave_on_stack(void) {
    volatile char here[8000];

    for (size_t i = 0; i < sizeof here; i++)
        here[i] = 'S';
}

/* What functions that have returned left below the caller's frame. */
static size_t found_below(const volatile char *frame) {
    size_t n = 0;

    for (size_t i = 4000; i < 8000; i++)
        n += frame[-(ptrdiff_t) i] == 'S';
    return n;
}

static void test_stack(void **state) {
    const volatile char *frame = __builtin_frame_address(0);

    (void) state;
    if (!bp_secret_openssl_protected())
        return; /* AddressSanitizer has frames of its own */
    leave_on_stack();
    assert_true(found_below(frame) > 3000); /* else the next proves nothing */
    leave_on_stack();
    bp_secret_scrub_stack();
    assert_int_equal(found_below(frame), 0);
}

static void test_wipe_and_equal(void **state) {
    char a[] = "hunter2", b[] = "hunter3";

    (void) state;
    assert_true(bp_equal_secret(a, "hunter2", 7));
    assert_false(bp_equal_secret(a, b, 7));
    bp_wipe(a, sizeof a);
    for (size_t i = 0; i < sizeof a; i++)
        assert_int_equal(a[i], 0);
}

static void feed(const char *text, size_t limit, bool as_text, int want, const char *content) {
    BP_AUTO_SECRET s = { 0 };
    int p[2];

    assert_int_equal(pipe2(p, O_CLOEXEC), 0);
    assert_int_equal(write(p[1], text, strlen(text)), strlen(text));
    (void) close(p[1]);
    assert_int_equal(bp_secret_read(p[0], limit, as_text, &s), want);
    (void) close(p[0]);
    if (want == 0) {
        assert_int_equal(s.n, strlen(content));
        assert_string_equal((const char *) s.p, content);
        assert_true(left_out_of_dumps(s.p));
    }
}

static void test_read(void **state) {
    struct bp_secret s = { 0 };
    struct bp_error err = { 0 };

    (void) state;
    feed("word", 100, true, 0, "word");
    feed("word\n", 100, true, 0, "word");
    feed("word\r\n", 100, true, 0, "word");
    feed("word\n\n", 100, true, 0, "word\n");
    feed("word\r", 100, true, 0, "word\r");
    feed("word\n", 100, false, 0, "word\n");
    feed("\n", 100, true, 0, "");
    feed("", 100, true, 0, "");
    feed("word\n", 5, true, 0, "word");
    feed("words\n", 5, true, -EFBIG, "");
    assert_int_equal(bp_secret_read_file("/nonexistent/key", 10, true, &s, &err), -ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/key"));
}

static bool environ_has(const char *text) {
    BP_AUTO_FD int fd = open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
    static char all[1 << 20];
    ssize_t n = read(fd, all, sizeof all);

    assert_true(n > 0);
    return memmem(all, (size_t) n, text, strlen(text)) != NULL;
}

/* Run again with the secret in its environment, as a program gets it from its parent. */
static void test_env(void **state) {
    BP_AUTO_SECRET s = { 0 }, again = { 0 };
    char word[32];

    (void) state;
    (void) snprintf(word, sizeof word, "%s-%s", "open", "sesame-4711");
    assert_true(environ_has(word));
    assert_int_equal(bp_secret_take_env("BP_TEST_SECRET", &s), 0);
    assert_string_equal((const char *) s.p, word);
    assert_false(environ_has(word));
    assert_int_equal(bp_secret_take_env("BP_TEST_SECRET", &again), -ENOENT);
    assert_null(getenv("BP_TEST_SECRET")); /* NOLINT(concurrency-mt-unsafe): one thread */
}

int main(int argc, char *argv[]) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_keyring),
        cmocka_unit_test(test_openssl),
        cmocka_unit_test(test_stack),
        cmocka_unit_test(test_wipe_and_equal),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_env),
    };

    (void) argc;
    if (!getenv("BP_TEST_SECRET")) { /* NOLINT(concurrency-mt-unsafe): one thread */
        (void) setenv("BP_TEST_SECRET", "open-sesame-4711", 1); /* NOLINT(concurrency-mt-unsafe) */
        (void) execv("/proc/self/exe", argv);
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
