#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/thread.h"
#include "daemon/systemd.h"

/* A manager is a datagram socket that listens. */
struct manager {
    int fd;
    char name[100]; /* as in NOTIFY_SOCKET */
    char text[512];
};

/* NOLINTBEGIN(concurrency-mt-unsafe): one thread */
static void manager_open(struct manager *m, bool abstract) {
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    socklen_t len;

    if (abstract)
        (void) snprintf(m->name, sizeof m->name, "@bagpipe-test-%d", (int) getpid());
    else
        (void) snprintf(m->name, sizeof m->name, "/tmp/bagpipe-test-%d", (int) getpid());
    memcpy(a.sun_path, m->name, strlen(m->name));
    if (abstract)
        a.sun_path[0] = '\0';
    len = (socklen_t) (offsetof(struct sockaddr_un, sun_path) + strlen(m->name) + !abstract);
    m->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(m->fd >= 0);
    assert_int_equal(bind(m->fd, (struct sockaddr *) &a, len), 0);
    assert_int_equal(setenv("NOTIFY_SOCKET", m->name, 1), 0);
}

static void manager_close(struct manager *m) {
    (void) close(m->fd);
    if (m->name[0] == '/')
        (void) unlink(m->name);
}

/* The next datagram, "" when none comes within ms. */
static const char *heard(struct manager *m, int ms) {
    struct pollfd p = { .fd = m->fd, .events = POLLIN };
    ssize_t n = poll(&p, 1, ms) == 1 ? recv(m->fd, m->text, sizeof m->text - 1, 0) : 0;

    m->text[n > 0 ? n : 0] = '\0';
    return m->text;
}

static void told(void **state) {
    (void) state;
    for (int abstract = 0; abstract < 2; abstract++) {
        struct bp_systemd s;
        struct bp_error err;
        struct manager m;

        manager_open(&m, abstract);
        assert_int_equal(bp_systemd_open(&s, &err), 0);
        assert_null(getenv("NOTIFY_SOCKET"));
        bp_systemd_ready(&s);
        assert_string_equal(heard(&m, 1000), "READY=1");
        bp_systemd_reloading(&s);
        assert_memory_equal(heard(&m, 1000), "RELOADING=1\nMONOTONIC_USEC=", 27);
        bp_systemd_status(&s, "recording", 10 * BP_SEC);
        assert_string_equal(heard(&m, 1000), "STATUS=recording");
        bp_systemd_status(&s, "recording", 20 * BP_SEC); /* the same */
        bp_systemd_status(&s, "idle", 11 * BP_SEC);      /* too soon */
        assert_string_equal(heard(&m, 0), "");
        bp_systemd_status(&s, "idle", 13 * BP_SEC);
        assert_string_equal(heard(&m, 1000), "STATUS=idle");
        bp_systemd_stopping(&s);
        assert_memory_equal(heard(&m, 1000), "STOPPING=1\nSTATUS=", 18);
        assert_false(bp_systemd_due(&s, 100 * BP_SEC)); /* no watchdog */
        bp_systemd_done(&s);
        manager_close(&m);
    }
}

static void nobody(void **state) {
    struct bp_error err;
    struct bp_systemd s;

    (void) state;
    assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
    assert_int_equal(bp_systemd_open(&s, &err), 0);
    bp_systemd_ready(&s);
    bp_systemd_status(&s, "idle", BP_SEC);
    bp_systemd_slow(&s);
    bp_systemd_swift(&s);
    bp_systemd_done(&s);
    assert_int_equal(setenv("NOTIFY_SOCKET", "/nowhere/at/all", 1), 0); /* gone: not our trouble */
    assert_int_equal(bp_systemd_open(&s, &err), 0);
    bp_systemd_ready(&s);
    bp_systemd_done(&s);
    assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
    assert_int_equal(bp_systemd_open(&s, &err), -EINVAL);
    bp_systemd_done(&s);
}

static void watchdog(void **state) {
    static const struct {
        const char *usec, *pid; /* "us" = this process */
        bp_ns_t want;
    } cases[] = {
        { "3000000", "us", 3 * BP_SEC },
        { "3000000", NULL, 3 * BP_SEC },
        { "3000000", "1", 0 },
        { "0", "us", 0 },
        { "x", "us", 0 },
        { "-1", "us", 0 },
        { NULL, "us", 0 },
        { "9223372036854775807", "us", 0 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err;
        struct bp_systemd s;
        struct manager m;
        char us[16];

        (void) snprintf(us, sizeof us, "%d", (int) getpid());
        manager_open(&m, true);
        if (cases[i].usec)
            (void) setenv("WATCHDOG_USEC", cases[i].usec, 1);
        if (cases[i].pid)
            (void) setenv("WATCHDOG_PID", strcmp(cases[i].pid, "us") == 0 ? us : cases[i].pid, 1);
        assert_int_equal(bp_systemd_open(&s, &err), 0);
        assert_int_equal(s.watchdog, cases[i].want);
        assert_null(getenv("WATCHDOG_USEC"));
        if (s.watchdog) {
            assert_true(bp_systemd_due(&s, 100 * BP_SEC));
            bp_systemd_ping(&s, 100 * BP_SEC);
            assert_string_equal(heard(&m, 1000), "WATCHDOG=1");
            assert_false(bp_systemd_due(&s, 100 * BP_SEC + 999 * BP_MS));
            assert_true(bp_systemd_due(&s, 101 * BP_SEC));
        }
        bp_systemd_done(&s);
        manager_close(&m);
    }
}

static void more_time(void **state) {
    volatile uint64_t work = 0;
    struct bp_error err;
    struct bp_systemd s;
    struct manager m;

    (void) state;
    manager_open(&m, true);
    assert_int_equal(bp_systemd_open(&s, &err), 0);
    for (int i = 0; i < 10000000; i++)
        work = work + 1;
    bp_systemd_slow(&s);
    assert_string_equal(heard(&m, 2000), "EXTEND_TIMEOUT_USEC=20000000");
    assert_string_equal(heard(&m, 6000),
                        ""); /* asleep in poll(): nothing gets done, nothing asked */
    for (int i = 0; i < 10000000; i++)
        work = work + 1;
    assert_string_equal(heard(&m, 7000), "EXTEND_TIMEOUT_USEC=20000000");
    bp_systemd_swift(&s);
    bp_systemd_done(&s);
    manager_close(&m);
}

/* Sockets are passed as descriptors from 3 on, so each case has a process of its own. */
static int with_socket(int type, int listens, const char *pid, const char *count) {
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct bp_systemd s;
    struct bp_error err;
    char us[16];
    int fd = socket(AF_INET, type, 0), r;

    if (bind(fd, (struct sockaddr *) &in, sizeof in) < 0 || (listens && listen(fd, 8) < 0) ||
        (fd != 3 && dup2(fd, 3) < 0))
        return 100;
    (void) unsetenv("NOTIFY_SOCKET");
    (void) snprintf(us, sizeof us, "%d", (int) getpid());
    (void) setenv("LISTEN_PID", pid ? pid : us, 1);
    (void) setenv("LISTEN_FDS", count, 1);
    (void) setenv("LISTEN_FDNAMES", "http", 1);
    r = bp_systemd_open(&s, &err);
    if (r < 0)
        return r == -EINVAL ? 101 : r == -E2BIG ? 102 : 103;
    if (getenv("LISTEN_FDS") || getenv("LISTEN_PID") || getenv("LISTEN_FDNAMES"))
        return 104;
    if (s.nsockets && (strcmp(s.sockets[0], "fd:3") != 0 || bp_systemd_is_unix("fd:3")))
        return 105;
    return (int) s.nsockets;
}

static void sockets(void **state) {
    static const struct {
        int type, listens;
        const char *pid, *count;
        int want;
    } cases[] = {
        { SOCK_STREAM, 1, NULL, "1", 1 },  { SOCK_STREAM, 1, "1", "1", 0 },
        { SOCK_STREAM, 1, NULL, "0", 0 },  { SOCK_STREAM, 0, NULL, "1", 101 },
        { SOCK_DGRAM, 0, NULL, "1", 101 }, { SOCK_STREAM, 1, NULL, "9", 102 },
        { SOCK_STREAM, 1, NULL, "x", 0 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        pid_t pid = fork();
        int status = 0;

        if (pid == 0)
            _exit(with_socket(cases[i].type, cases[i].listens, cases[i].pid, cases[i].count));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(WEXITSTATUS(status), cases[i].want);
    }
}

struct server {
    int fd;
    const char *answer;
};

static void *serve(void *arg) {
    struct server *v = arg;
    int c = accept4(v->fd, NULL, NULL, SOCK_CLOEXEC);
    char text[256];

    if (c < 0)
        return NULL;
    (void) !read(c, text, sizeof text);
    if (v->answer)
        (void) !write(c, v->answer, strlen(v->answer));
    else
        (void) poll(NULL, 0, 600); /* silent */
    (void) close(c);
    return NULL;
}

static void door(void **state) {
    static const struct {
        const char *answer;
        bool want;
    } cases[] = { { "HTTP/1.1 200 OK\r\n\r\n", true },
                  { "HTTP/1.1 503 no\r\n\r\n", true },
                  { "SSH-2.0-x\r\n", false },
                  { "HT", false },
                  { "", false },
                  { NULL, false } };

    (void) state;
    assert_false(bp_systemd_http_answers(NULL, BP_SEC));
    assert_false(bp_systemd_http_answers("unix:/nowhere", BP_SEC));
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct sockaddr_in in = { .sin_family = AF_INET };
        struct server v = { .fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
                            .answer = cases[i].answer };
        socklen_t len = sizeof in;
        char address[32];
        pthread_t t;

        assert_int_equal(bind(v.fd, (struct sockaddr *) &in, sizeof in), 0);
        assert_int_equal(listen(v.fd, 8), 0);
        assert_int_equal(getsockname(v.fd, (struct sockaddr *) &in, &len), 0);
        (void) snprintf(address, sizeof address, "0.0.0.0:%u", ntohs(in.sin_port));
        assert_int_equal(bp_thread_start("serve", serve, &v, &t), 0);
        assert_int_equal(bp_systemd_http_answers(address, 300 * BP_MS), cases[i].want);
        (void) pthread_join(t, NULL);
        (void) close(v.fd);
    }
}
/* NOLINTEND(concurrency-mt-unsafe) */

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(told),      cmocka_unit_test(nobody),  cmocka_unit_test(watchdog),
        cmocka_unit_test(more_time), cmocka_unit_test(sockets), cmocka_unit_test(door),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
