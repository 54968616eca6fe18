#include "sync/test-sync.h"

#include <dirent.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* The engine is killed again and again while it sends; what arrives is right, and little of it was
 * sent twice. */

enum { PART = 256 << 10, PARALLEL = 4, KILLS = 30, FILES = 24, PARTS = 5 };

/* What came over the wire, in memory that a kill leaves. */
struct shared {
    uint64_t sent;
    uint8_t open[1 << 16]; /* [atomic] by digest: parts of it were sent, and it is not over */
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

/* A byte a content: tests have few, and the same in each run. */
static uint8_t *open_of(const struct bp_sync_upload *u) {
    char digits[5] = "";

    memcpy(digits, u->file->hex, 4);
    return &shared->open[strtoul(digits, NULL, 16)];
}

static void set_open(const struct bp_sync_upload *u, uint8_t v) {
    __atomic_store_n(open_of(u), v, __ATOMIC_SEQ_CST);
}

/* A token of its own for each content, as of a server or a bucket. */
static int counting_begin(void *self, struct bp_sync_upload *u, struct bp_sync_theirs *theirs,
                          struct bp_sync_failure *f) {
    int r = disk.ops->begin(self, u, theirs, f);

    (void) snprintf(u->token, sizeof u->token, "token-%.16s", u->file->hex);
    return r;
}

static int counting_complete(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    int r = disk.ops->complete(self, u, f);

    if (r >= 0)
        set_open(u, 0);
    return r;
}

static int counting_abort(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f) {
    int r = disk.ops->abort(self, u, f);
    char token[40];

    (void) snprintf(token, sizeof token, "token-%.16s", u->file->hex);
    if (r >= 0 && bp_streq(u->token, token))
        set_open(u, 0);
    return r;
}

static int counting_put(void *self, const struct bp_sync_upload *u, uint32_t n,
                        const struct bp_sync_body *body, char *etag, struct bp_sync_failure *f) {
    struct counting c = { body };
    struct bp_sync_body own = *body;

    own.pace = count_pace;
    own.pace_ctx = &c;
    set_open(u, 1);
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
                              .own = true, /* what changes replaces what was */
                              .parallel = PARALLEL,
                              .part_bytes = PART,
                              .rates = rates,
                              .no_hints = true };
    struct bp_error err = { 0 };
    struct bp_sync *s = NULL;

    (void) snprintf(url, sizeof url, "file://%s/usb", test_dir);
    must(bp_sync_target_open(&to, &disk, &err), &err);
    *ops = *disk.ops;
    ops->begin = counting_begin;
    ops->put = counting_put;
    ops->complete = counting_complete;
    ops->abort = counting_abort;
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
    DIR *d = opendir(in_dir("usb/.bagpipe"));
    struct dirent *e;
    unsigned n = 0;

    assert_non_null(d);
    while ((e = readdir(d))) /* NOLINT(concurrency-mt-unsafe): our own stream */
        n += e->d_name[0] != '.';
    (void) closedir(d);
    return n;
}

static unsigned left_open(void) {
    unsigned n = 0;

    for (size_t i = 0; i < sizeof shared->open; i++)
        n += shared->open[i];
    return n;
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
    assert_int_equal(left_open(), 0);
}

/* Between lives, files that are on their way get another content: what was begun of the former one
 * is given up, whatever a kill came between. */
static void give_up_former_contents(void **state) {
    char id[BP_ULID_TEXT], path[400];
    uint64_t seed = 78;
    unsigned open = 0;

    (void) state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(shared != MAP_FAILED);
    make_session(in_dir("rec"), "a", FILES, PARTS * PART - 100, 1000, id);
    (void) mkdir(in_dir("usb"), 0755);
    for (unsigned i = 0; i < KILLS / 2; i++) {
        bp_ns_t pause = (40 + (bp_ns_t) (test_random(&seed) % 60)) * BP_MS;

        if (!kill_after(pause, "1MB"))
            break;
        open = BP_MAX(open, left_open());
        (void) snprintf(path, sizeof path, "%s/rec/a/a_%u.mcap", test_dir,
                        (unsigned) (test_random(&seed) % PARALLEL));
        write_random(path, 1000 + i, PARTS * PART - 100);
        tell_in_manifest("a");
    }
    if (kill_after(100 * BP_SEC, NULL))
        fail_msg("the last life was not to be killed");
    print_message("# %u uploads at most were open\n", open);
    (void) total_bytes(id);
    assert_true(open > 0); /* or nothing was killed in the middle */
    assert_int_equal(left_open(), 0);
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
        cmocka_unit_test_setup_teardown(give_up_former_contents, set_up_dir, tear_down_dir),
        cmocka_unit_test_setup_teardown(keep_every_row_said, set_up_dir, tear_down_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
