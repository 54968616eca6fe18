#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <glob.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <sqlite3.h>

#include "base/ulid.h"
#include "catalog/catalog.h"

static char dir[] = "/tmp/bp-catalog-XXXXXX";
static char path[64];

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-catalog-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    return 0;
}

static int remove_one(const char *name, const struct stat *st, int type, struct FTW *ftw) {
    (void) st;
    (void) type;
    (void) ftw;
    return remove(name);
}

static int tear_down(void **state) {
    (void) state;
    return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct bp_catalog *open_it(bool *renewed) {
    struct bp_catalog *c = NULL;
    struct bp_error err = { 0 };

    if (bp_catalog_open(path, &c, renewed, &err) < 0)
        fail_msg("%s", err.text);
    return c;
}

/* "…0000001" and so on: rising, and known in advance. */
static void make_id(char id[27], unsigned n) {
    (void) snprintf(id, 27, "01HZZZZZZZZZZZZZZZZZ%06u", n);
}

static void put_session(struct bp_catalog *c, unsigned n, enum bp_session_status status,
                        const char *name, const char *notes) {
    struct bp_catalog_session s = { .status = status,
                                    .name = (char *) (uintptr_t) name,
                                    .notes = (char *) (uintptr_t) notes,
                                    .started_ns = (bp_ns_t) n * BP_SEC,
                                    .messages = n };
    struct bp_error err = { 0 };

    make_id(s.id, n);
    if (bp_catalog_put(c, &s, &err) < 0)
        fail_msg("%s", err.text);
}

/* ---- what goes in comes out ---- */

static void same_text(const char *got, const char *put) {
    assert_string_equal(got, put ? put : "");
}

static void same_session(const struct bp_catalog_session *a, const struct bp_catalog_session *b) {
    assert_string_equal(a->id, b->id);
    assert_int_equal(a->status, b->status);
    same_text(a->name, b->name);
    same_text(a->dir, b->dir);
    same_text(a->request, b->request);
    same_text(a->mission, b->mission);
    same_text(a->operator_, b->operator_);
    same_text(a->notes, b->notes);
    same_text(a->tags, b->tags);
    same_text(a->error, b->error);
    assert_true(a->started_ns == b->started_ns && a->ended_ns == b->ended_ns);
    assert_true(a->messages == b->messages && a->bytes == b->bytes && a->lost == b->lost);
    assert_true(a->segments == b->segments && a->outages == b->outages);
    assert_int_equal(a->class, b->class);
}

static void put_and_get(void **state) {
    static char big[(1 << 20) + 1];
    struct bp_catalog_session cases[] = {
        { .status = BP_STATUS_RECORDING },
        { .status = BP_STATUS_PAUSED, .name = "run", .dir = "/d/run", .request = "{\"a\":1}" },
        { .status = BP_STATUS_FAILED, .error = "disk: 'No space left' \"again\"", .lost = 7 },
        { .status = BP_STATUS_FINISHED,
          .name = "it's; DROP TABLE sessions --",
          .dir = "/d/%41_?1\\",
          .mission = "Größe 倉庫 🤖\n\ttab",
          .operator_ = "O'Brien",
          .tags = "[\"a\",\"b\"]",
          .started_ns = INT64_C(1790000000123456789),
          .ended_ns = INT64_MAX,
          .messages = UINT64_MAX,
          .bytes = UINT64_C(1) << 63,
          .lost = 1,
          .segments = UINT32_MAX,
          .outages = 3,
          .class = BP_CLASS_SNAPSHOT },
        { .status = BP_STATUS_DELETED, .name = "\xff\xfe not UTF-8", .notes = big },
    };
    struct bp_catalog *c = open_it(NULL);
    struct bp_error err = { 0 };

    (void) state;
    memset(big, 'x', sizeof big - 1);
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        make_id(cases[i].id, (unsigned) i);
    for (int round = 0; round < 2; round++) { /* in the same process, and opened anew */
        for (size_t i = 0; round == 0 && i < BP_COUNT(cases); i++)
            assert_int_equal(bp_catalog_put(c, &cases[i], &err), 0);
        for (size_t i = 0; i < BP_COUNT(cases); i++) {
            BP_AUTO_CATALOG_SESSION s = { 0 };

            assert_int_equal(bp_catalog_get(c, cases[i].id, &s, &err), 0);
            same_session(&s, &cases[i]);
        }
        bp_catalog_close(c);
        c = open_it(NULL);
    }
    bp_catalog_close(c);
}

static void replaces(void **state) {
    struct bp_catalog *c = open_it(NULL);
    struct bp_error err = { 0 };
    BP_AUTO_CATALOG_SESSION s = { 0 };
    char id[27];

    (void) state;
    make_id(id, 1);
    put_session(c, 1, BP_STATUS_RECORDING, "first", "old");
    assert_int_equal(bp_catalog_add_mark(c, id, &(struct bp_catalog_mark){ .text = "stays" }, &err),
                     0);
    put_session(c, 1, BP_STATUS_FINISHED, "second", "new");
    assert_int_equal(bp_catalog_get(c, id, &s, &err), 0);
    assert_string_equal(s.notes, "new");
    assert_int_equal(s.status, BP_STATUS_FINISHED);
    bp_catalog_session_done(&s);
    assert_int_equal(bp_catalog_get(c, "first", &s, &err), -ENOENT);
    assert_string_equal(err.text, "there is no session 'first'");
    assert_null(s.name);
    bp_catalog_close(c);
}

static void refuses(void **state) {
    static const struct {
        const char *id;
        int status;
    } cases[] = {
        { "", 0 },
        { "01HZZ", 0 },
        { "01HZZZZZZZZZZZZZZZZZ000001", BP_STATUS_N_ },
        { "01HZZZZZZZZZZZZZZZZZ000001", -1 },
    };
    struct bp_catalog *c = open_it(NULL);
    struct bp_error err = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_catalog_session s = { .status = (enum bp_session_status) cases[i].status };

        (void) snprintf(s.id, sizeof s.id, "%s", cases[i].id);
        assert_int_equal(bp_catalog_put(c, &s, &err), -EINVAL);
    }
    assert_int_equal(
        bp_catalog_list(c, &(struct bp_catalog_query){ .status = BP_STATUS_N_ }, NULL, NULL, &err),
        -EINVAL);
    bp_catalog_close(c);
}

static void by_name(void **state) {
    static const struct {
        const char *key;
        unsigned want; /* 0: none */
    } cases[] = {
        { "twice", 3 },                      /* the newest */
        { "gone and back", 4 },              /* rather than the deleted newer one */
        { "gone", 6 },                       /* a tombstone, when there is nothing else */
        { "01HZZZZZZZZZZZZZZZZZ000001", 1 }, /* an id before a name */
        { "Twice", 0 },                      /* as it is written */
        { "tw%", 0 },
        { "", 0 },
    };
    struct bp_catalog *c = open_it(NULL);

    (void) state;
    put_session(c, 1, BP_STATUS_FINISHED, "x", "");
    put_session(c, 2, BP_STATUS_FINISHED, "twice", "");
    put_session(c, 3, BP_STATUS_FINISHED, "twice", "");
    put_session(c, 4, BP_STATUS_FINISHED, "gone and back", "");
    put_session(c, 5, BP_STATUS_DELETED, "gone and back", "");
    put_session(c, 6, BP_STATUS_DELETED, "gone", "");
    put_session(c, 7, BP_STATUS_FINISHED, "01HZZZZZZZZZZZZZZZZZ000001", "");
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        BP_AUTO_CATALOG_SESSION s = { 0 };
        int r = bp_catalog_get(c, cases[i].key, &s, NULL);

        assert_int_equal(r, cases[i].want ? 0 : -ENOENT);
        assert_int_equal(s.messages, cases[i].want);
    }
    bp_catalog_close(c);
}

/* ---- lists ---- */

struct seen {
    char text[200]; /* "6 4 1" */
    unsigned n, stop_after;
    char last[27];
};

static int note_session(void *ctx, const struct bp_catalog_session *s) {
    struct seen *seen = ctx;
    size_t n = strlen(seen->text);

    if (n < sizeof seen->text - 8)
        (void) snprintf(seen->text + n, sizeof seen->text - n, "%s%u", n ? " " : "",
                        (unsigned) s->messages);
    memcpy(seen->last, s->id, sizeof seen->last);
    return ++seen->n == seen->stop_after ? 42 : 0;
}

static void filters(void **state) {
    static const struct {
        struct bp_catalog_query q;
        unsigned stop_after;
        const char *want;
    } cases[] = {
        { { .status = -1 }, 0, "7 6 5 3 2 1" },
        { { .status = BP_STATUS_DELETED }, 0, "4" },
        { { .status = BP_STATUS_RECORDING }, 0, "7" },
        { { .status = BP_STATUS_FAILED }, 0, "" },
        { { .status = -1, .text = "NIGHT" }, 0, "5 2" },
        { { .status = -1, .text = "100%" }, 0, "3" },
        { { .status = -1, .text = "_" }, 0, "6" },
        { { .status = -1, .text = "o'c" }, 0, "1" },
        { { .status = -1, .text = "Größe" }, 0, "6" },
        { { .status = -1, .text = "nowhere" }, 0, "" },
        { { .status = BP_STATUS_DELETED, .text = "night" }, 0, "4" },
        { { .status = -1, .from = 3 * BP_SEC }, 0, "7 6 5 3" },
        { { .status = -1, .from = 3 * BP_SEC, .to = 6 * BP_SEC }, 0, "5 3" },
        { { .status = -1, .to = 3 * BP_SEC }, 0, "2 1" },
        { { .status = -1, .limit = 2 }, 0, "7 6" },
        { { .status = -1, .limit = 2, .before = "01HZZZZZZZZZZZZZZZZZ000005" }, 0, "3 2" },
        { { .status = -1, .before = "01HZZZZZZZZZZZZZZZZZ000001" }, 0, "" },
        { { .status = -1 }, 3, "7 6 5" },
    };
    struct bp_catalog *c = open_it(NULL);

    (void) state;
    put_session(c, 1, BP_STATUS_FINISHED, "five o'clock", "");
    put_session(c, 2, BP_STATUS_FINISHED, "night run", "");
    put_session(c, 3, BP_STATUS_FINISHED, "c", "battery 100%");
    put_session(c, 4, BP_STATUS_DELETED, "night run", "");
    put_session(c, 5, BP_STATUS_PAUSED, "", "all Night");
    put_session(c, 6, BP_STATUS_FINISHED, "under_score", "Größe");
    put_session(c, 7, BP_STATUS_RECORDING, "h", "");
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct seen seen = { .stop_after = cases[i].stop_after };
        struct bp_error err = { 0 };
        int r = bp_catalog_list(c, &cases[i].q, note_session, &seen, &err);

        assert_int_equal(r, cases[i].stop_after ? 42 : 0);
        assert_string_equal(seen.text, cases[i].want);
    }
    bp_catalog_close(c);
}

static void paging(void **state) {
    static const struct {
        uint32_t limit, pages, first;
    } cases[] = { { 0, 13, 100 }, { 7, 172, 7 }, { 1000, 2, 1000 }, { 1000000, 2, 1000 } };
    enum { ALL = 1203 };
    struct bp_catalog *c = open_it(NULL);
    sqlite3 *db = NULL;

    (void) state;
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK); /* a transaction, to be quick */
    assert_int_equal(
        sqlite3_exec(
            db,
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1203)"
            " INSERT INTO sessions (id, status, name, dir, request, mission, operator, notes, tags,"
            " started_ns, ended_ns, messages, bytes, lost, segments, outages, error)"
            " SELECT printf('01HZZZZZZZZZZZZZZZZZ%06d', i),"
            " 'finished', '', '', '', '', '', '', '', i, i, i, 0, 0, 0, 0, '' FROM n",
            NULL, NULL, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct seen seen = { 0 };
        unsigned pages = 0, before;

        do {
            struct bp_catalog_query q = { .status = -1, .limit = cases[i].limit };

            q.before = seen.n ? seen.last : NULL;
            before = seen.n;
            assert_int_equal(bp_catalog_list(c, &q, note_session, &seen, NULL), 0);
            if (pages++ == 0)
                assert_int_equal(seen.n, cases[i].first);
        } while (seen.n < ALL && seen.n > before);
        assert_int_equal(seen.n, ALL);
        assert_int_equal(pages, cases[i].pages);
    }
    bp_catalog_close(c);
}

/* ---- marks ---- */

static int note_mark(void *ctx, const struct bp_catalog_mark *m) {
    struct seen *seen = ctx;
    size_t n = strlen(seen->text);

    (void) snprintf(seen->text + n, sizeof seen->text - n, "%s%s%s", n ? "|" : "", m->text,
                    m->values);
    return ++seen->n == seen->stop_after ? -ECANCELED : 0;
}

static void marks(void **state) {
    const struct {
        unsigned session, at;
        char *text, *values;
        int want;
    } adds[] = {
        { 1, 30, (char[]){ "third" }, NULL, 0 },
        { 1, 10, (char[]){ "it's" }, (char[]){ "{\"k\":\"v\"}" }, 0 },
        { 1, 20, NULL, NULL, 0 },
        { 1, 20, (char[]){ "ü" }, NULL, 0 },
        { 2, 10, (char[]){ "other" }, NULL, 0 },
        { 9, 10, (char[]){ "nobody's" }, NULL, -ENOENT },
    };
    static const struct {
        unsigned session, stop_after;
        const char *want;
    } lists[] = { { 1, 0, "it's{\"k\":\"v\"}||ü|third" },
                  { 1, 1, "it's{\"k\":\"v\"}" },
                  { 2, 0, "other" },
                  { 3, 0, "" } };
    struct bp_catalog *c = open_it(NULL);
    char id[27];

    (void) state;
    put_session(c, 1, BP_STATUS_RECORDING, "", "");
    put_session(c, 2, BP_STATUS_RECORDING, "", "");
    for (size_t i = 0; i < BP_COUNT(adds); i++) {
        struct bp_catalog_mark m = { adds[i].at, adds[i].text, adds[i].values };

        make_id(id, adds[i].session);
        assert_int_equal(bp_catalog_add_mark(c, id, &m, NULL), adds[i].want);
    }
    for (size_t i = 0; i < BP_COUNT(lists); i++) {
        struct seen seen = { .stop_after = lists[i].stop_after };

        make_id(id, lists[i].session);
        assert_int_equal(bp_catalog_marks(c, id, note_mark, &seen, NULL),
                         lists[i].stop_after ? -ECANCELED : 0);
        assert_string_equal(seen.text, lists[i].want);
    }
    bp_catalog_close(c);
}

/* ---- threads ---- */

struct hand {
    struct bp_catalog *c;
    unsigned from;
};

static void *put_many(void *arg) {
    const struct hand *h = arg;

    for (unsigned i = 0; i < 40; i++) {
        struct bp_catalog_session s = { .messages = 1 };
        struct seen seen = { 0 };

        make_id(s.id, h->from + i);
        if (bp_catalog_put(h->c, &s, NULL) < 0 ||
            bp_catalog_list(h->c, &(struct bp_catalog_query){ .status = -1 }, note_session, &seen,
                            NULL) < 0)
            return arg;
    }
    return NULL;
}

static void threads(void **state) {
    struct hand hands[4];
    pthread_t t[BP_COUNT(hands)];
    struct bp_catalog *c = open_it(NULL);
    struct seen seen = { 0 };

    (void) state;
    for (unsigned i = 0; i < BP_COUNT(hands); i++) {
        hands[i] = (struct hand){ c, 1000 * i };
        assert_int_equal(pthread_create(&t[i], NULL, put_many, &hands[i]), 0);
    }
    for (size_t i = 0; i < BP_COUNT(hands); i++) {
        void *failed;

        assert_int_equal(pthread_join(t[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(bp_catalog_list(c, &(struct bp_catalog_query){ .status = -1, .limit = 1000 },
                                     note_session, &seen, NULL),
                     0);
    assert_int_equal(seen.n, 160);
    bp_catalog_close(c);
}

/* ---- killed, damaged, of another version ---- */

/* Puts sessions without end, and says over the pipe which are in. */
static void be_killed(int to) {
    struct bp_catalog *c;

    if (bp_catalog_open(path, &c, NULL, NULL) < 0)
        _exit(1);
    for (unsigned n = 0;; n++) {
        struct bp_catalog_session s = { .messages = n, .notes = (char[]){ "some text" } };

        make_id(s.id, n);
        if (bp_catalog_put(c, &s, NULL) < 0 || write(to, &n, sizeof n) != (ssize_t) sizeof n)
            _exit(1);
    }
}

static void killed(void **state) {
    (void) state;
    for (unsigned round = 0; round < 5; round++) {
        unsigned n, last = 0;
        int fd[2], status;
        bool renewed = true;
        struct bp_catalog *c;
        pid_t child;

        assert_int_equal(pipe(fd), 0);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void) close(fd[0]);
            be_killed(fd[1]);
        }
        (void) close(fd[1]);
        while (read(fd[0], &n, sizeof n) == (ssize_t) sizeof n) {
            last = n;
            if (n == 20 + 7 * round)
                (void) kill(child, SIGKILL);
        }
        (void) close(fd[0]);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

        c = open_it(&renewed);
        assert_false(renewed);
        for (n = 0; n <= last; n++) {
            BP_AUTO_CATALOG_SESSION s = { 0 };
            char id[27];

            make_id(id, n);
            assert_int_equal(bp_catalog_get(c, id, &s, NULL), 0);
            assert_string_equal(s.notes, "some text");
        }
        bp_catalog_close(c);
    }
}

/* Databases that were set aside; not their logs. */
static unsigned set_aside(void) {
    char pattern[100];
    glob_t found;
    unsigned n;

    (void) snprintf(pattern, sizeof pattern, "%s/catalog.db.damaged-*Z", dir);
    n = glob(pattern, 0, NULL, &found) == 0 ? (unsigned) found.gl_pathc : 0;
    globfree(&found);
    return n;
}

static void damaged(void **state) {
    static const struct {
        const char *what;
        off_t at;
        size_t n;
        off_t cut; /* to this size, if not 0 */
    } cases[] = {
        { "no database at all", 0, 4096, 0 }, { "the schema", 100, 200, 0 },
        { "a page of rows", 8192, 20000, 0 }, { "cut short", 0, 0, 9000 },
        { "three bytes left", 0, 0, 3 },
    };
    static char junk[20000];

    (void) state;
    memset(junk, 0xa5, sizeof junk);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_catalog *c = open_it(NULL);
        struct seen seen = { 0 };
        bool renewed = false;
        int fd;

        for (unsigned n = 1; n < 60; n++)
            put_session(c, n, BP_STATUS_FINISHED, "", "some text in a row");
        bp_catalog_close(c);
        fd = open(path, O_RDWR);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, junk, cases[i].n, cases[i].at), cases[i].n);
        if (cases[i].cut)
            assert_int_equal(ftruncate(fd, cases[i].cut), 0);
        (void) close(fd);

        c = open_it(&renewed);
        if (!renewed)
            fail_msg("%s: not found", cases[i].what);
        assert_int_equal(bp_catalog_list(c, &(struct bp_catalog_query){ .status = -1 },
                                         note_session, &seen, NULL),
                         0);
        assert_int_equal(seen.n, 0);
        put_session(c, 1, BP_STATUS_FINISHED, "", "");
        bp_catalog_close(c);
        assert_int_equal(set_aside(), 1);
        c = open_it(&renewed);
        assert_false(renewed);
        bp_catalog_close(c);
        assert_int_equal(tear_down(NULL), 0);
        assert_int_equal(set_up(NULL), 0);
    }
}

static void do_sql(const char *sql) {
    sqlite3 *db = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static int version_of_file(void) {
    sqlite3_stmt *st = NULL;
    sqlite3 *db = NULL;
    int version;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA user_version", -1, &st, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(st), SQLITE_ROW);
    version = sqlite3_column_int(st, 0);
    (void) sqlite3_finalize(st);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return version;
}

static void not_ours(void **state) {
    static const struct {
        const char *sql;
        int want;
        const char *text;
    } cases[] = {
        { "PRAGMA user_version = 999", BP_EUNSUPPORTED, "was made by a later bagpipe" },
        { "PRAGMA user_version = -1", BP_EUNSUPPORTED, "was made by a later bagpipe" },
        { "PRAGMA user_version = 0", BP_EFORMAT, "is a database of something else" },
    };
    char sql[64];
    int version;

    (void) state;
    bp_catalog_close(open_it(NULL));
    version = version_of_file();
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_catalog *c = NULL;
        struct bp_error err = { 0 };
        bool renewed = false;

        do_sql(cases[i].sql);
        assert_int_equal(bp_catalog_open(path, &c, &renewed, &err), cases[i].want);
        assert_non_null(strstr(err.text, cases[i].text));
        assert_true(c == NULL && !renewed);
    }
    assert_int_equal(set_aside(), 0);
    (void) snprintf(sql, sizeof sql, "PRAGMA user_version = %d", version);
    do_sql(sql);
    bp_catalog_close(open_it(NULL));
}

/* What the first version wrote is read by this one. */
static void first_version(void **state) {
    BP_AUTO_CATALOG_SESSION s = { 0 };
    struct bp_error err = { 0 };
    struct bp_catalog *c = open_it(NULL);
    char id[27];

    (void) state;
    put_session(c, 7, BP_STATUS_FINISHED, "old", "");
    bp_catalog_close(c);
    do_sql("ALTER TABLE sessions DROP COLUMN class; ALTER TABLE sessions DROP COLUMN uploaded_ns;"
           "ALTER TABLE sessions DROP COLUMN keep; ALTER TABLE sessions DROP COLUMN deleted_ns;"
           "ALTER TABLE sessions DROP COLUMN deleted_why; DROP TABLE logins; DROP TABLE users;"
           "DROP TABLE tokens; DROP TABLE jobs; DROP TABLE IF EXISTS enrolments;"
           "ALTER TABLE sessions DROP COLUMN sync; PRAGMA user_version = 1");
    c = open_it(NULL);
    make_id(id, 7);
    assert_int_equal(bp_catalog_get(c, id, &s, &err), 0);
    assert_string_equal(s.name, "old");
    assert_int_equal(s.class, BP_CLASS_SESSION);
    bp_catalog_close(c);
    do_sql("UPDATE sessions SET class = 'of a later version'");
    c = open_it(NULL);
    bp_catalog_session_done(&s);
    assert_int_equal(bp_catalog_get(c, id, &s, &err), 0);
    assert_int_equal(s.class, BP_CLASS_SESSION);
    bp_catalog_close(c);
}

static void no_folder(void **state) {
    struct bp_catalog *c = NULL;
    struct bp_error err = { 0 };

    (void) state;
    (void) snprintf(path, sizeof path, "%s/not/there.db", dir);
    assert_int_equal(bp_catalog_open(path, &c, NULL, &err), -ENOENT);
    assert_non_null(strstr(err.text, "No such file"));
    assert_null(c);
}

static void status_names(void **state) {
    (void) state;
    for (int i = 0; i < BP_STATUS_N_; i++)
        assert_int_equal(bp_status_from_name(bp_status_name((enum bp_session_status) i)), i);
    assert_int_equal(bp_status_from_name("none"), -EINVAL);
    for (int i = 0; i < BP_CLASS_N_; i++)
        assert_int_equal(bp_class_from_name(bp_class_name((enum bp_session_class) i)), i);
    assert_int_equal(bp_class_from_name("none"), -EINVAL);
    bp_catalog_close(NULL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        CASE(put_and_get), CASE(replaces),  CASE(refuses),      CASE(by_name),       CASE(filters),
        CASE(paging),      CASE(marks),     CASE(threads),      CASE(killed),        CASE(damaged),
        CASE(not_ours),    CASE(no_folder), CASE(status_names), CASE(first_version),
    };

    return cmocka_run_group_tests_name("catalog/catalog", tests, NULL, NULL);
}
