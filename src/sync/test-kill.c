#include "sync/test-sync.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* The engine is killed again and again while it sends; what arrives is right, and little of it was
 * sent twice. */

enum { PART = 256 << 10, PARALLEL = 4, KILLS = 30, FILES = 24, PARTS = 5 };

/* What came over the wire, in memory that a kill leaves. */
struct shared {
    uint64_t sent;
};
static struct shared *shared;
static struct bp_sync_target disk;

/* ---- a target that counts ---- */

struct counting {
    const struct bp_sync_body *of;
};

static void count_pace(void *ctx, size_t n) {
    const struct counting *c = ctx;

    c->of->pace(c->of->pace_ctx, n);
    (void) __atomic_add_fetch(&shared->sent, n, __ATOMIC_RELAXED);
}

static int counting_put(void *self, const struct bp_sync_upload *u, uint32_t n,
                        const struct bp_sync_body *body, char *etag, struct bp_sync_failure *f) {
    struct counting c = { body };
    struct bp_sync_body own = *body;

    own.pace = count_pace;
    own.pace_ctx = &c;
    return disk.ops->put(self, u, n, &own, etag, f);
}

static struct bp_sync *open_engine(struct bp_sync_target_ops *ops, const char *rates) {
    char url[400];
    struct bp_sync_target_opts to = { .url = url, .device = "robot7" };
    struct bp_sync_target_config c = { .name = "usb" };
    struct bp_sync_opts o = { .path = in_dir("queue.db"),
                              .targets = &c,
                              .ntargets = 1,
                              .device = "robot7",
                              .parallel = PARALLEL,
                              .part_bytes = PART,
                              .rates = rates,
                              .no_hints = true };
    struct bp_error err = { 0 };
    struct bp_sync *s = NULL;

    (void) snprintf(url, sizeof url, "file://%s/usb", test_dir);
    must(bp_sync_target_open(&to, &disk, &err), &err);
    *ops = *disk.ops;
    ops->put = counting_put;
    c.open = (struct bp_sync_target){ ops, disk.self };
    must(bp_sync_open(&o, &s, NULL, &err), &err);
    return s;
}

/* A life: adds the session, sends until it is done or killed. */
static void live(const char *rates) {
    struct bp_sync_target_ops ops;
    struct bp_error err = { 0 };
    struct bp_sync *s = open_engine(&ops, rates);
    char dir[400];
    int r;

    (void) snprintf(dir, sizeof dir, "%s/rec/a", test_dir);
    if (bp_sync_add_folder(s, dir, NULL, NULL, &err) < 0 || bp_sync_start(s, &err) < 0)
        _exit(1);
    r = bp_sync_wait(s, 100 * BP_SEC, NULL, &err);
    bp_sync_close(s);
    _exit(r < 0 ? 1 : 0);
}

/* @return false when it was done before it was killed */
static bool kill_after(bp_ns_t pause, const char *rates) {
    pid_t pid = fork();
    int status = 0;

    assert_true(pid >= 0);
    if (pid == 0)
        live(rates);
    for (bp_ns_t until = bp_mono_ns() + pause; bp_mono_ns() < until; bp_sleep(5 * BP_MS)) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            assert_true(WIFEXITED(status));
            assert_int_equal(WEXITSTATUS(status), 0);
            return false;
        }
    }
    (void) kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (WIFEXITED(status))
        assert_int_equal(WEXITSTATUS(status), 0);
    return WIFSIGNALED(status);
}

static uint64_t total_bytes(const char *id) {
    uint64_t sum = 0;
    struct stat st;
    char a[400], b[400];

    for (int i = 0; i <= FILES; i++) {
        char file[80];

        (void) snprintf(file, sizeof file, i < FILES ? "a_%d.mcap" : "manifest.json", i);
        (void) snprintf(a, sizeof a, "%s/rec/a/%s", test_dir, file);
        (void) snprintf(b, sizeof b, "%s/usb/sessions/a.%s/%s", test_dir, id, file);
        if (!same_files(a, b))
            fail_msg("'%s' is not '%s'", b, a);
        assert_int_equal(stat(a, &st), 0);
        sum += (uint64_t) st.st_size;
    }
    return sum;
}

static unsigned left_behind(void) {
    char path[400];
    struct stat st;
    unsigned n = 0;

    (void) snprintf(path, sizeof path, "%s/usb/.bagpipe", test_dir);
    if (stat(path, &st) == 0)
        n = (unsigned) st.st_nlink;
    return n > 2 ? n - 2 : 0;
}

static void arrive_after_thirty_kills(void **state) {
    char id[BP_ULID_TEXT];
    uint64_t seed = 77, total, again;
    unsigned kills = 0;

    (void) state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    make_session(in_dir("rec"), "a", FILES, PARTS * PART - 100, 1000, id);
    (void) mkdir(in_dir("usb"), 0755);
    for (int i = 0; i < KILLS; i++) {
        bp_ns_t pause = (20 + (bp_ns_t) (test_random(&seed) % 60)) * BP_MS;

        if (!kill_after(pause, "1MB"))
            break;
        kills++;
    }
    if (kill_after(100 * BP_SEC, NULL))
        fail_msg("the last life was not to be killed");
    total = total_bytes(id);
    again = shared->sent - total;
    print_message("# %u kills, %llu bytes, %llu sent again: %.2f parts a kill\n", kills,
                  (unsigned long long) total, (unsigned long long) again,
                  (double) again / PART / kills);
    assert_true(again > 0); /* or nothing was killed in the middle */
    assert_true(again <= (uint64_t) kills * PARALLEL * PART);
    assert_true(kills >= KILLS / 2);
    assert_int_equal(left_behind(), 0);
}

/* ---- the queue alone ---- */

/* One process writes rows and says how far it is; killed, the next finds just that. */
static void keep_every_row_said(void **state) {
    struct bp_error err = { 0 };
    uint64_t seed = 5;

    (void) state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    for (int i = 0; i < KILLS; i++) {
        struct bp_sync_queue *q = NULL;
        struct bp_sync_counts c;
        bool renewed = false;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            static const struct bp_sync_session x = {
                .id = "01M8HYWJ1QBMYJA52151VZKTA2", .dir = "/x", .name = "x", .json = "{}"
            };

            if (bp_sync_queue_open(in_dir("q.db"), &q, NULL, &err) < 0 ||
                bp_sync_queue_put_session(q, &x, NULL, &err) < 0 ||
                bp_sync_queue_want(q, x.id, "t", false, &err) < 0)
                _exit(1);
            for (uint64_t n = shared->sent;; n++) {
                char name[30];

                (void) snprintf(name, sizeof name, "f%llu", (unsigned long long) n);
                if (bp_sync_queue_put_file(q, x.id, name, BP_SYNC_SEGMENT, 1, 1, "", &err) < 0)
                    _exit(1);
                __atomic_store_n(&shared->sent, n + 1, __ATOMIC_SEQ_CST);
            }
        }
        bp_sleep((10 + (bp_ns_t) (test_random(&seed) % 30)) * BP_MS);
        (void) kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        must(bp_sync_queue_open(in_dir("q.db"), &q, &renewed, &err), &err);
        assert_false(renewed);
        must(bp_sync_queue_counts(q, "t", &c, &err), &err);
        assert_true(c.waiting.files == shared->sent || c.waiting.files == shared->sent + 1);
        shared->sent = c.waiting.files;
        bp_sync_queue_close(q);
    }
    print_message("# %llu rows\n", (unsigned long long) shared->sent);
    assert_true(shared->sent > KILLS);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(arrive_after_thirty_kills, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(keep_every_row_said, set_up_dir, tear_down_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
