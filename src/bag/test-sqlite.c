#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>
#include <sqlite3.h>
#include <zstd.h>

#include "bag/reader.h"
#include "base/io.h"

/* Databases are made here by sqlite itself with rosbag2's own statements; bags that rosbag2 wrote
 * are read in test/system/shared-data.py. */

#define TOPICS_V4                                                                          \
    "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, " \
    "serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL, "             \
    "type_description_hash TEXT NOT NULL);"                                                \
    "INSERT INTO topics VALUES(1, '/a', 'std_msgs/msg/String', 'cdr', '', 'RIHS01_00');"   \
    "INSERT INTO topics VALUES(5, '/b', 'std_msgs/msg/String', 'cdr', '- depth: 1', '');"
#define TOPICS_V1                                                                          \
    "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL, " \
    "serialization_format TEXT NOT NULL);"                                                 \
    "INSERT INTO topics VALUES(1, '/a', 'std_msgs/msg/String', 'cdr');"                    \
    "INSERT INTO topics VALUES(5, '/b', 'std_msgs/msg/String', 'cdr');"
#define MESSAGES                                                                           \
    "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, "            \
    "timestamp INTEGER NOT NULL, data BLOB NOT NULL);"                                     \
    "INSERT INTO messages VALUES(1, 1, 30, x'0001'), (2, 5, 10, x'02'), (3, 1, 20, x''), " \
    "(4, 5, 20, x'04');"
#define INDEX "CREATE INDEX timestamp_idx ON messages (timestamp ASC);"
#define DEFINITIONS                                                                       \
    "CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, " \
    "encoding TEXT NOT NULL, encoded_message_definition TEXT NOT NULL, "                  \
    "type_description_hash TEXT NOT NULL);"                                               \
    "INSERT INTO message_definitions VALUES(1, 'std_msgs/msg/String', 'ros2msg', "        \
    "'string data', '');"
#define SCHEMA                                                                           \
    "CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);" \
    "INSERT INTO schema VALUES(4, 'jazzy');"

struct place {
    char dir[40], path[64];
};

static void place_make(struct place *p) {
    (void) snprintf(p->dir, sizeof p->dir, "/tmp/bp-sqlite-XXXXXX");
    assert_non_null(mkdtemp(p->dir));
    (void) snprintf(p->path, sizeof p->path, "%s/x?%%#_0.db3", p->dir); /* as URIs hate it */
}

static void place_done(struct place *p) {
    static const char *const ends[] = { "", "-wal", "-shm", "-journal", ".zstd" };
    char name[96];

    (void) chmod(p->dir, 0755);
    for (size_t i = 0; i < BP_COUNT(ends); i++) {
        (void) snprintf(name, sizeof name, "%s%s", p->path, ends[i]);
        (void) unlink(name);
    }
    assert_int_equal(rmdir(p->dir), 0); /* and nothing else was left there */
}

static void make_db(const char *path, const char *sql) {
    sqlite3 *db;
    char *msg = NULL;

    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &msg) != SQLITE_OK)
        fail_msg("%s", msg);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* "a30:0001 b10:02 …" in order of reading. */
static void list(struct bp_bag *b, const struct bp_bag_filter *f, struct bp_buf *out) {
    BP_CLEANUP(bp_bag_iter_freep) struct bp_bag_iter *it = NULL;
    struct bp_error err = { 0 };
    struct bp_bag_msg m;
    int r = bp_bag_iterate(b, f, &it, &err);

    if (r < 0)
        fail_msg("%s", err.text);
    while ((r = bp_bag_next(it, &m, &err)) > 0) {
        bp_buf_printf(out, "%s%c%lld:", out->n ? " " : "", m.channel->topic[1],
                      (long long) m.log_ns);
        for (size_t i = 0; i < m.size; i++)
            bp_buf_printf(out, "%02x", m.data[i]);
        assert_int_equal(m.publish_ns, m.log_ns);
    }
    if (r < 0)
        bp_buf_printf(out, " ERROR %s", err.text);
}

static void check_list(const char *path, const struct bp_bag_filter *f, const char *want) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    BP_AUTO_BUF out = { 0 };
    struct bp_error err = { 0 };

    if (bp_bag_open(&path, 1, &b, &err) < 0)
        fail_msg("%s", err.text);
    list(b, f, &out);
    assert_string_equal(bp_buf_cstr(&out), want);
}

static void test_schemas(void **state) {
    static const char *const cases[] = {
        TOPICS_V1 MESSAGES INDEX,
        TOPICS_V1 MESSAGES, /* without the index: sorted by us */
        TOPICS_V4 MESSAGES INDEX SCHEMA DEFINITIONS,
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct place p;

        place_make(&p);
        make_db(p.path, cases[i]);
        check_list(p.path, NULL, "b10:02 a20: b20:04 a30:0001");
        check_list(p.path, &(struct bp_bag_filter){ .from_ns = 20, .to_ns = 30 }, "a20: b20:04");
        check_list(p.path, &(struct bp_bag_filter){ .file_order = true },
                   "a30:0001 b10:02 a20: b20:04");
        check_list(p.path, &(struct bp_bag_filter){ .channels = (bool[]){ false, true } },
                   "b10:02 b20:04");
        place_done(&p);
    }
}

static void test_what_is_known(void **state) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    const struct bp_bag_info *f;
    struct place p;
    const char *paths[] = { p.path };

    (void) state;
    place_make(&p);
    make_db(p.path, TOPICS_V4 MESSAGES INDEX SCHEMA DEFINITIONS);
    assert_int_equal(bp_bag_open(paths, 1, &b, NULL), 0);
    f = bp_bag_get_info(b);
    assert_string_equal(f->storage, "sqlite3");
    assert_string_equal(f->ros_distro, "jazzy");
    assert_int_equal(f->messages, 4);
    assert_int_equal(f->start_ns, 10);
    assert_int_equal(f->end_ns, 30);
    assert_int_equal(f->nchannels, 2);
    assert_string_equal(bp_bag_channel(b, 0)->type_hash, "RIHS01_00");
    assert_string_equal(bp_bag_channel(b, 1)->qos_yaml, "- depth: 1");
    assert_int_equal(bp_bag_channel(b, 1)->messages, 2);
    assert_string_equal(bp_bag_channel(b, 1)->schema_encoding, "ros2msg");
    assert_string_equal(bp_bag_channel(b, 1)->schema.p, "string data");
    place_done(&p);
}

/* Before schema 4 files hold no definitions: those of common types are known all the same. */
static void test_known_types(void **state) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
    struct place p;
    const char *paths[] = { p.path };

    (void) state;
    place_make(&p);
    make_db(p.path, TOPICS_V4 MESSAGES INDEX "INSERT INTO topics VALUES(6, '/c', 'x/msg/Y', 'cdr', "
                                             "'', '');");
    assert_int_equal(bp_bag_open(paths, 1, &b, NULL), 0);
    assert_int_equal(bp_bag_channel(b, 0)->schema.n, 0); /* it has a hash */
    assert_non_null(strstr(bp_bag_channel(b, 1)->schema.p, "string data"));
    assert_int_equal(bp_bag_channel(b, 2)->schema.n, 0);
    place_done(&p);
}

/* A recorder that was killed leaves messages in the log; reading must see them and change
 * nothing. */
static void test_log_left_over(void **state) {
    static const char *const modes[] = { "WAL", "DELETE" };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(modes); i++) {
        struct place p, killed;
        char from[96], to[96], sql[96];
        struct stat before, after;
        sqlite3 *db;

        place_make(&p);
        place_make(&killed);
        make_db(p.path, TOPICS_V1 MESSAGES INDEX);
        assert_int_equal(sqlite3_open(p.path, &db), SQLITE_OK);
        (void) snprintf(sql, sizeof sql, "PRAGMA journal_mode = %s; PRAGMA cache_size = 1",
                        modes[i]);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        if (i == 0) /* committed, only in the log */
            (void) sqlite3_exec(db, "INSERT INTO messages VALUES(9, 1, 40, x'09')", NULL, NULL,
                                NULL);
        else /* not committed, but pages were spilled into the database */
            assert_int_equal(
                sqlite3_exec(db,
                             "BEGIN; WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 "
                             "FROM n WHERE i < 300) INSERT INTO messages SELECT i, 1, i, "
                             "zeroblob(3000) FROM n",
                             NULL, NULL, NULL),
                SQLITE_OK);
        for (int k = 0; k < 2; k++) { /* what a kill would leave */
            BP_AUTO_FREE char *bytes = NULL;
            struct bp_error err;
            size_t n;
            const char *end = k == 0 ? "" : i == 0 ? "-wal" : "-journal";

            (void) snprintf(from, sizeof from, "%s%s", p.path, end);
            (void) snprintf(to, sizeof to, "%s%s", killed.path, end);
            assert_int_equal(bp_io_read_file(&bp_io_posix, from, 1 << 24, &bytes, &n, &err), 0);
            assert_true(n > 0);
            assert_int_equal(bp_io_replace_file(&bp_io_posix, to, bytes, n, &err), 0);
        }
        (void) sqlite3_close(db);
        assert_int_equal(stat(killed.path, &before), 0);
        check_list(killed.path, NULL,
                   i == 0 ? "b10:02 a20: b20:04 a30:0001 a40:09" : "b10:02 a20: b20:04 a30:0001");
        assert_int_equal(stat(killed.path, &after), 0);
        assert_true(before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
        (void) snprintf(to, sizeof to, "%s-shm", killed.path);
        assert_int_equal(access(to, F_OK), -1);
        place_done(&p);
        place_done(&killed);
    }
}

static void test_read_only_folder(void **state) {
    struct place p;

    (void) state;
    place_make(&p);
    make_db(p.path, "PRAGMA journal_mode = WAL;" TOPICS_V1 MESSAGES INDEX);
    assert_int_equal(chmod(p.path, 0444), 0);
    assert_int_equal(chmod(p.dir, 0555), 0);
    check_list(p.path, NULL, "b10:02 a20: b20:04 a30:0001");
    place_done(&p);
}

static void test_zstd_file(void **state) {
    BP_AUTO_FREE char *bytes = NULL, *packed = NULL;
    char path[96];
    struct bp_error err = { 0 };
    struct place p;
    size_t n, k;

    (void) state;
    place_make(&p);
    make_db(p.path, TOPICS_V1 MESSAGES INDEX);
    assert_int_equal(bp_io_read_file(&bp_io_posix, p.path, 1 << 24, &bytes, &n, &err), 0);
    packed = malloc(ZSTD_compressBound(n));
    k = ZSTD_compress(packed, ZSTD_compressBound(n), bytes, n, 3);
    (void) snprintf(path, sizeof path, "%s.zstd", p.path);
    assert_int_equal(bp_io_replace_file(&bp_io_posix, path, packed, k, &err), 0);
    check_list(path, NULL, "b10:02 a20: b20:04 a30:0001");

    for (int i = 0; i < 2; i++) { /* torn, and damaged inside */
        struct bp_bag *b = NULL;
        const char *paths[] = { path };

        if (i == 1)
            packed[k / 2] = (char) ~packed[k / 2];
        assert_int_equal(bp_io_replace_file(&bp_io_posix, path, packed, i == 0 ? k / 2 : k, &err),
                         0);
        assert_true(bp_bag_open(paths, 1, &b, &err) < 0);
        assert_non_null(strstr(err.text, path));
        assert_non_null(strstr(err.text, "damaged"));
    }
    place_done(&p);
}

static void test_refusals(void **state) {
    static const struct {
        const char *sql, *want;
        int code;
    } cases[] = {
        { "CREATE TABLE x(y);", "not of rosbag2: it has no table 'topics'", BP_EFORMAT },
        { TOPICS_V1, "no table 'messages'", BP_EFORMAT },
        { TOPICS_V1 "CREATE VIEW messages AS SELECT 1 AS id, 1 AS topic_id, 1 AS timestamp, x'' AS "
                    "data;",
          "no table 'messages'", BP_EFORMAT },
        { TOPICS_V1 "CREATE TABLE messages(a);", "is not a rosbag2 database: no such column",
          BP_EFORMAT },
        { MESSAGES "CREATE TABLE topics(id, name);", "is not a rosbag2 database: no such column",
          BP_EFORMAT },
        { TOPICS_V1 MESSAGES "UPDATE messages SET topic_id = 77 WHERE id = 2;",
          "messages of topic 77, which is not listed", BP_ECORRUPT },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_error err = { 0 };
        struct bp_bag *b = NULL;
        struct place p;
        const char *paths[] = { p.path };

        place_make(&p);
        make_db(p.path, cases[i].sql);
        assert_int_equal(bp_bag_open(paths, 1, &b, &err), cases[i].code);
        if (!strstr(err.text, cases[i].want) || !strstr(err.text, p.path))
            fail_msg("case %zu: '%s' lacks '%s'", i, err.text, cases[i].want);
        place_done(&p);
    }
}

/* Pages overwritten or cut off: a sentence that says so, never a crash. */
static void test_damaged(void **state) {
    unsigned said = 0;

    (void) state;
    for (unsigned i = 0; i < 60; i++) {
        BP_CLEANUP(bp_bag_closep) struct bp_bag *b = NULL;
        BP_AUTO_FREE char *bytes = NULL;
        struct bp_error err = { 0 };
        struct place p;
        const char *paths[] = { p.path };
        BP_AUTO_BUF out = { 0 };
        size_t n;

        place_make(&p);
        make_db(p.path, "PRAGMA page_size = 512;" TOPICS_V4 MESSAGES INDEX SCHEMA DEFINITIONS);
        assert_int_equal(bp_io_read_file(&bp_io_posix, p.path, 1 << 24, &bytes, &n, &err), 0);
        if (i < 40)
            memset(bytes + 100 + i * 97 % (n - 200), (int) (i * 37 + 255), 90);
        else
            n = n * (i - 39) / 21;
        assert_int_equal(bp_io_replace_file(&bp_io_posix, p.path, bytes, n, &err), 0);
        err.text[0] = 0;
        if (bp_bag_open(paths, 1, &b, &err) < 0) {
            assert_non_null(strstr(err.text, p.path));
            said++;
        } else {
            list(b, NULL, &out);
            said += strstr(bp_buf_cstr(&out), "ERROR") != NULL;
        }
        place_done(&p);
    }
    assert_in_range(said, 30, 60);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schemas),          cmocka_unit_test(test_what_is_known),
        cmocka_unit_test(test_log_left_over),    cmocka_unit_test(test_known_types),
        cmocka_unit_test(test_read_only_folder), cmocka_unit_test(test_zstd_file),
        cmocka_unit_test(test_refusals),         cmocka_unit_test(test_damaged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
