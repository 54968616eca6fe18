#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/macro.h"
#include "base/ulid.h"
#include "catalog/archive-query.h"

/* What was put in is kept here, too: each search is compared with a loop over it. */
enum { SESSIONS = 300 };

#define NOV (1793491200 * BP_SEC) /* 2026-11-01 */
#define DAY (86400 * BP_SEC)

struct row {
    char id[27], name[32];
    int robot, lost, day, minutes, segments;
    bool lidar, tag, hall, marked;
};

static char dir[32], path[64];
static struct bp_archive *a;
static struct bp_error err;
static struct row rows[SESSIONS + 10];
static int nrows;
static uint32_t seed = 99;

static uint32_t dice(uint32_t sides) {
    seed = seed * 1664525 + 1013904223;
    return (seed >> 8) % sides;
}

static void ok(int r) {
    if (r < 0)
        fail_msg("%s", err.text);
}

/* Ids rise with i; those of later days do not always. */
static void make(struct row *r, int i) {
    *r = (struct row){ .robot = (int) dice(12),
                       .lost = dice(3) ? 0 : (int) dice(1000),
                       .day = (int) dice(40),
                       .minutes = 1 + (int) dice(30),
                       .segments = (int) dice(4),
                       .lidar = dice(2) != 0,
                       .tag = dice(4) == 0,
                       .hall = dice(5) == 0,
                       .marked = dice(10) == 0 };
    (void) snprintf(r->id, sizeof r->id, "01JD%04d00000000000000000A", i);
    r->id[26] = '\0';
    (void) snprintf(r->name, sizeof r->name, "run_%s_%d", r->hall ? "hall" : "yard",
                    (int) dice(50));
}

static void put_row(const struct row *r) {
    char robots[16], tags[32];
    struct bp_archive_mark mark = { 7, "hit the shelf", NULL };
    struct bp_archive_about s = { .id = r->id,
                                  .name = r->name,
                                  .device = r->robot % 2 ? "odd" : "even",
                                  .robots = robots,
                                  .tags = tags,
                                  .mission = r->hall ? "The Überhall, north" : "yard",
                                  .started_ns = NOV + r->day * DAY,
                                  .ended_ns = NOV + r->day * DAY + r->minutes * 60 * BP_SEC,
                                  .marks = &mark,
                                  .nmarks = r->marked };
    struct bp_archive_file f[4] = { 0 };
    struct bp_archive_topic t[] = {
        { .topic = "/imu", .type = "sensor_msgs/msg/Imu", .lost = (uint64_t) r->lost },
        { .topic = "/front/lidar/points", .type = "sensor_msgs/msg/PointCloud2" }
    };
    struct bp_archive_manifest m = { .id = r->id,
                                     .segments = f,
                                     .nsegments = (size_t) r->segments,
                                     .topics = t,
                                     .ntopics = r->lidar ? 2 : 1 };
    char names[4][16];

    (void) snprintf(robots, sizeof robots, "[\"%d\"]", r->robot);
    (void) snprintf(tags, sizeof tags, r->tag ? "[\"Lab\", \"x y\"]" : "[]");
    for (int i = 0; i < r->segments; i++) {
        (void) snprintf(names[i], sizeof names[i], "s_%d.mcap", i);
        f[i] = (struct bp_archive_file){ .file = names[i], .bytes = 1000, .sha256 = { 1 } };
    }
    ok(bp_archive_put_about(a, &s, BP_ARCHIVE_MERGE, 5, NULL, NULL, &err));
    ok(bp_archive_put_manifest(a, r->id, &m, 6, NULL, &err));
}

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-search-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(path, sizeof path, "%s/archive.db", dir);
    ok(bp_archive_open(path, &a, NULL, &err));
    for (nrows = 0; nrows < SESSIONS; nrows++) {
        make(&rows[nrows], nrows);
        put_row(&rows[nrows]);
    }
    return 0;
}

static int tear_down(void **state) {
    char command[64];

    (void) state;
    bp_archive_close(a);
    (void) snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command); /* NOLINT(cert-env33-c): a folder of our own */
}

static bool any(const struct row *r) {
    (void) r;
    return true;
}
static bool robot7(const struct row *r) {
    return r->robot == 7;
}
static bool robots78(const struct row *r) {
    return r->robot == 7 || r->robot == 8;
}
static bool lidar(const struct row *r) {
    return r->lidar;
}
static bool none(const struct row *r) {
    (void) r;
    return false;
}
static bool lost_lidar(const struct row *r) {
    return r->lidar && r->lost > 0;
}
static bool not_tagged(const struct row *r) {
    return !r->tag;
}
static bool tagged(const struct row *r) {
    return r->tag;
}
static bool second_week(const struct row *r) {
    return r->day >= 7 && r->day < 14;
}
static bool december(const struct row *r) {
    return r->day >= 30;
}
static bool long_one(const struct row *r) {
    return r->minutes > 10;
}
static bool hall(const struct row *r) {
    return r->hall;
}
static bool yard_odd(const struct row *r) {
    return !r->hall && r->robot % 2;
}
static bool marked_yard(const struct row *r) {
    return r->marked && !r->hall;
}
static bool big(const struct row *r) {
    return r->segments >= 2;
}
static bool complete(const struct row *r) {
    return r->segments == 0;
}
static bool first(const struct row *r) {
    return bp_streq(r->id, rows[0].id);
}
static bool odd_or_tag(const struct row *r) {
    return r->robot % 2 && r->tag && r->lidar && r->lost == 0;
}

static const struct {
    const char *q;
    bool (*want)(const struct row *r);
} cases[] = {
    { NULL, any },
    { "robot:7", robot7 },
    { "robot:7,8", robots78 },
    { "robot:7 robot:8", none },
    { "robot:nobody", none },
    { "topic:/front/lidar/points", lidar },
    { "topic:/front", lidar },
    { "topic:/fro", none },
    { "topic:lidar", lidar },
    { "topic:/*/lidar/*", lidar },
    { "topic:\"/*/lidar/*\"", none },
    { "type:*PointCloud2", lidar },
    { "topic:lidar lost:>0", lost_lidar },
    { "-tag:lab", not_tagged },
    { "tag:LAB", tagged },
    { "tag:\"x y\",nothing", tagged },
    { "date:2026-11-08..2026-11-14", second_week },
    { "date:>=2026-12-01", december },
    { "date:2026-12", december },
    { "-date:2026-11", december },
    { "duration:>10min", long_one },
    { "size:>=2kB", big },
    { "segments:2..", big },
    { "state:complete", complete },
    { "-state:receiving", complete },
    { "uberhall", hall },
    { "über", hall },
    { "\"uberhall north\"", hall },
    { "\"north uberhall\"", none },
    { "mission:north", hall },
    { "name:north", none },
    { "name:hall", hall },
    { "-hall device:odd", yard_odd },
    { "mark:shelf -mission:north", marked_yard },
    { "hit yard", marked_yard },
    { "device:odd tag:lab topic:/front lost:0", odd_or_tag },
    { "id:01jd000000000000000000000a", first },
    { "keep:yes", none },
    { "keep:no", any },
    { "marks:>0 -mission:north", marked_yard },
    { "\"a\\\"b* OR (\"", none },
    { "\"--\" robot:7", none },
};

struct got {
    char ids[SESSIONS + 10][27];
    int n;
};

static int take(void *ctx, const struct bp_archive_session *s) {
    struct got *g = ctx;

    assert_true(g->n < SESSIONS + 10);
    memcpy(g->ids[g->n++], s->id, 27);
    return 0;
}

static void search_all(struct bp_archive_search s, struct got *g) {
    struct bp_archive_page page = { 0 };

    g->n = 0;
    do {
        char cursor[BP_ARCHIVE_CURSOR];

        memcpy(cursor, page.next, sizeof cursor);
        s.cursor = cursor;
        ok(bp_archive_search(a, &s, take, g, &page, &err));
    } while (page.next[0]);
}

static bool is_in(const struct got *g, const char *id) {
    int n = 0;

    for (int i = 0; i < g->n; i++)
        n += bp_streq(g->ids[i], id);
    assert_true(n <= 1); /* never twice */
    return n == 1;
}

static void finds(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        for (int sort = 0; sort < BP_ARCHIVE_SORT_N_; sort++) {
            struct got g;

            search_all((struct bp_archive_search){ .q = cases[i].q,
                                                   .sort = (enum bp_archive_sort) sort,
                                                   .ascending = sort % 2,
                                                   .limit = 37 },
                       &g);
            for (int k = 0; k < nrows; k++)
                if (is_in(&g, rows[k].id) != cases[i].want(&rows[k]))
                    fail_msg("%s, by %s: %s", cases[i].q, bp_archive_sort_name(sort), rows[k].id);
        }
    }
}

/* The scope holds whatever the query says. */
static void scoped(void **state) {
    struct got g;

    (void) state;
    search_all((struct bp_archive_search){ .q = "robot:7,8 state:receiving,complete,deleted",
                                           .scope = "robot:7" },
               &g);
    for (int k = 0; k < nrows; k++)
        assert_int_equal(is_in(&g, rows[k].id), rows[k].robot == 7);
}

/* Whose sessions they are holds, too: by id, by pattern, by group; case matters. */
static void by_device(void **state) {
    static const struct {
        const char *devices;
        int parity; /* of the robots that are in; 2: all, 3: none */
    } tries[] = {
        { "odd", 1 },        { "o*", 1 },       { "Odd", 3 },          { "odd even", 2 },
        { "*", 2 },          { "nobody", 3 },   { "*n", 0 },           { "group:yard", 0 },
        { "group:Yard", 3 }, { "group:ya", 3 }, { "group:yard o", 0 }, { "group:yard odd", 2 },
    };
    struct bp_archive_device d = { .id = "even",
                                   .name = "",
                                   .kind = "robot",
                                   .public_key = "",
                                   .groups = "[\"hall\",\"yard\"]",
                                   .info = "{}",
                                   .approved_by = "" };
    static const enum bp_archive_sort orders[] = { BP_ARCHIVE_BY_ID, BP_ARCHIVE_BY_LOST };
    struct got g;

    (void) state;
    ok(bp_archive_put_device(a, &d, &err));
    for (size_t i = 0; i < 2 * BP_COUNT(tries); i++) {
        const char *devices = tries[i / 2].devices;
        int parity = tries[i / 2].parity;

        for (size_t q = 0; q < 2; q++) {
            search_all((struct bp_archive_search){ .q = q ? "robot:3,4,5" : NULL,
                                                   .devices = devices,
                                                   .sort = orders[i % 2],
                                                   .limit = 50 },
                       &g);
            for (int k = 0; k < nrows; k++) {
                bool robot = !q || (rows[k].robot >= 3 && rows[k].robot <= 5);

                if (is_in(&g, rows[k].id) !=
                    (robot && (parity == 2 || rows[k].robot % 2 == parity)))
                    fail_msg("%s: %s", devices, rows[k].id);
            }
        }
    }
    ok(bp_archive_remove_device(a, "even", &err));
}

static const struct row *row_of(const char *id) {
    for (int i = 0; i < nrows; i++)
        if (bp_streq(rows[i].id, id))
            return &rows[i];
    fail_msg("%s", id);
    return NULL;
}

static void sorts(void **state) {
    struct got g;

    (void) state;
    search_all((struct bp_archive_search){ .sort = BP_ARCHIVE_BY_LOST, .limit = 7 }, &g);
    for (int i = 1; i < g.n; i++)
        assert_true(row_of(g.ids[i - 1])->lost >= row_of(g.ids[i])->lost);
    search_all((struct bp_archive_search){ .sort = BP_ARCHIVE_BY_NAME, .ascending = true }, &g);
    for (int i = 1; i < g.n; i++)
        assert_true(strcmp(row_of(g.ids[i - 1])->name, row_of(g.ids[i])->name) <= 0);
    search_all((struct bp_archive_search){ .q = "lidar", .limit = 3 }, &g);
    for (int i = 1; i < g.n; i++)
        assert_true(strcmp(g.ids[i - 1], g.ids[i]) > 0);
}

/* What comes in between two pages neither doubles nor hides what was there. */
static void pages_stay(void **state) {
    struct bp_archive_search s = { .sort = BP_ARCHIVE_BY_DURATION, .limit = 50 };
    struct bp_archive_page page;
    struct got g = { 0 };
    int before = nrows;
    char cursor[BP_ARCHIVE_CURSOR];

    (void) state;
    ok(bp_archive_search(a, &s, take, &g, &page, &err));
    while (page.next[0]) {
        if (nrows < before + 4) {
            make(&rows[nrows], nrows);
            put_row(&rows[nrows]);
            nrows++;
        }
        memcpy(cursor, page.next, sizeof cursor);
        s.cursor = cursor;
        ok(bp_archive_search(a, &s, take, &g, &page, &err));
    }
    for (int k = 0; k < before; k++)
        assert_true(is_in(&g, rows[k].id));
}

static void bad_cursors(void **state) {
    static const char *const bad[] = { "x",        "id.d",        "id.d.",
                                       "id.d.1",   "id.d.1.",     "id.d.-1.1",
                                       "id.a.1.1", "bytes.d.1.1", "id.d.99999999999999999999.1",
                                       "id.d.1.1x" };
    struct bp_archive_search s = { 0 };
    struct got g = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(bad); i++) {
        s.cursor = bad[i];
        assert_int_equal(bp_archive_search(a, &s, take, &g, NULL, &err), BP_EUSAGE);
    }
    s.cursor = "name.d.4g.1";
    s.sort = BP_ARCHIVE_BY_NAME;
    assert_int_equal(bp_archive_search(a, &s, take, &g, NULL, &err), BP_EUSAGE);
    s = (struct bp_archive_search){ .q = "robot:7 date:soon" };
    assert_int_equal(bp_archive_search(a, &s, take, &g, NULL, &err), BP_EUSAGE);
    assert_non_null(strstr(err.text, "\n               ^"));
}

struct counts {
    int robot7, lidar, tag, december, kinds;
};

static int count(void *ctx, const char *kind, const char *value, uint64_t n) {
    struct counts *c = ctx;

    if (bp_streq(kind, "robot") && bp_streq(value, "7"))
        c->robot7 = (int) n;
    if (bp_streq(kind, "topic") && bp_streq(value, "/front/lidar/points"))
        c->lidar = (int) n;
    if (bp_streq(kind, "tag") && bp_streq(value, "Lab"))
        c->tag = (int) n;
    if (bp_streq(kind, "month") && bp_streq(value, "2026-12"))
        c->december = (int) n;
    c->kinds++;
    return 0;
}

static void facets(void **state) {
    static const char *const queries[] = { NULL, "lost:>0", "robot:7 hall" };

    (void) state;
    for (size_t q = 0; q < BP_COUNT(queries); q++) {
        struct bp_archive_search s = { .q = queries[q] };
        struct counts c = { 0 }, want = { 0 };
        uint64_t total = 0;
        int wanted = 0;
        bool exact = false;

        ok(bp_archive_facets(a, &s, 50, count, &c, &total, &exact, &err));
        for (int k = 0; k < nrows; k++) {
            const struct row *r = &rows[k];

            if ((q == 1 && r->lost == 0) || (q == 2 && !(r->robot == 7 && r->hall)))
                continue;
            wanted++;
            want.robot7 += r->robot == 7;
            want.lidar += r->lidar;
            want.tag += r->tag;
            want.december += r->day >= 30;
        }
        assert_true(exact);
        assert_int_equal(total, wanted);
        assert_int_equal(c.robot7, want.robot7);
        assert_int_equal(c.lidar, want.lidar);
        assert_int_equal(c.tag, want.tag);
        assert_int_equal(c.december, want.december);
    }
}

/* No statement looks at every session where an index can tell: neither a scan of a table, nor
 * sorting what should come sorted. */
static void plan_of(const char *text, enum bp_archive_sort sort, char *ret, size_t max) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
    BP_AUTO_ARCHIVE_SQL sql = { 0 };
    BP_AUTO_QUERY q = { 0 };
    const struct bp_query *one = &q;
    struct bp_archive_from from = { .given = true, .num = 5 };
    struct bp_archive_conn *c = bp_archive_reader(a);
    size_t n = 0;

    ok(bp_query_parse(bp_str_of(text), NOV, &q, &err));
    ok(bp_archive_compile(c, &one, 1, &(struct bp_archive_search){ .sort = sort }, &from, 101, &sql,
                          &err));
    ok(bp_archive_prepare(c, &sql, "EXPLAIN QUERY PLAN ", "", &s, &err));
    *ret = '\0';
    while (sqlite3_step(s) == SQLITE_ROW && n < max)
        n += (size_t) snprintf(ret + n, max - n, "%s\n", bp_db_text(s, 3));
    bp_archive_let_go(c);
}

static void walks_indexes(void **state) {
    static const struct {
        const char *q;
        enum bp_archive_sort sort;
        const char *has, *has_not;
    } plans[] = {
        { "", BP_ARCHIVE_BY_ID, "SEARCH s USING INTEGER PRIMARY KEY (rowid<?)", "TEMP B-TREE" },
        { "", BP_ARCHIVE_BY_STARTED, "sessions_by_started (started_ns<?)", "TEMP B-TREE" },
        { "", BP_ARCHIVE_BY_RECEIVED, "sessions_by_received", "TEMP B-TREE" },
        { "", BP_ARCHIVE_BY_NAME, "sessions_by_name", "TEMP B-TREE" },
        { "", BP_ARCHIVE_BY_BYTES, "sessions_by_bytes", "TEMP B-TREE" },
        { "", BP_ARCHIVE_BY_MESSAGES, "sessions_by_messages", "TEMP B-TREE" },
        { "", BP_ARCHIVE_BY_LOST, "sessions_by_lost", "TEMP B-TREE" },
        { "", BP_ARCHIVE_BY_DURATION, "sessions_by_duration", "TEMP B-TREE" },
        { "robot:7", BP_ARCHIVE_BY_ID, "session_labels USING PRIMARY KEY (label=?)", "SCAN s\n" },
        { "robot:7", BP_ARCHIVE_BY_BYTES, "session_labels USING PRIMARY KEY (label=?)",
          "SCAN s\n" },
        { "date:2026-12", BP_ARCHIVE_BY_ID, "sessions_by_started (started_ns>? AND started_ns<?)",
          "SCAN s\n" },
        { "hall", BP_ARCHIVE_BY_LOST, "VIRTUAL TABLE INDEX", "SCAN s\n" },
        { "id:01JD0000000000000000000000A", BP_ARCHIVE_BY_ID, "sqlite_autoindex_sessions_1 (id=?",
          "SCAN s\n" },
        { "lost:>500 topic:lidar", BP_ARCHIVE_BY_ID, "sessions_by_lost (lost>? AND lost<?)",
          "SCAN s\n" },
    };
    char plan[4096];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(plans); i++) {
        plan_of(plans[i].q, plans[i].sort, plan, sizeof plan);
        if (!strstr(plan, plans[i].has) || strstr(plan, plans[i].has_not))
            fail_msg("'%s' by %s: %s", plans[i].q, bp_archive_sort_name(plans[i].sort), plan);
    }
}

/* Statements that are not searches. */
static void others_walk_indexes(void **state) {
    static const char *const sqls[] = {
        "SELECT count(*) FROM files WHERE sha256 = ?1 AND state <> 0",
        "SELECT * FROM files WHERE session = ?1 ORDER BY kind, file",
        "SELECT * FROM files WHERE state = 1 AND kind = 0 ORDER BY stored_ns LIMIT ?1",
        "SELECT wall_ns FROM marks WHERE session = ?1 ORDER BY wall_ns, mark",
        "SELECT * FROM topics WHERE session = ?1",
        "DELETE FROM session_labels WHERE session = ?1",
        "SELECT kind FROM labels WHERE kind = ?1 AND sessions > 0 ORDER BY sessions DESC LIMIT 9",
        "SELECT label FROM labels WHERE kind = ?1 AND value = ?2 COLLATE NOCASE",
        "SELECT * FROM decisions WHERE session = ?1 ORDER BY decision DESC",
        "UPDATE files SET state = 1 WHERE sha256 = ?1 AND state <> 0",
        "SELECT num FROM sessions WHERE name = ?1 ORDER BY state = 3, num DESC LIMIT 1",
    };
    struct bp_archive_conn *c = bp_archive_reader(a);

    (void) state;
    for (size_t i = 0; i < BP_COUNT(sqls); i++) {
        BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
        char sql[256];

        (void) snprintf(sql, sizeof sql, "EXPLAIN QUERY PLAN %s", sqls[i]);
        assert_int_equal(sqlite3_prepare_v2(c->db, sql, -1, &s, NULL), SQLITE_OK);
        while (sqlite3_step(s) == SQLITE_ROW)
            if (strncmp(bp_db_text(s, 3), "SCAN", 4) == 0 &&
                !strstr(bp_db_text(s, 3), "unverified"))
                fail_msg("%s: %s", sqls[i], bp_db_text(s, 3));
    }
    bp_archive_let_go(c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),         cmocka_unit_test(scoped),
        cmocka_unit_test(by_device),     cmocka_unit_test(sorts),
        cmocka_unit_test(bad_cursors),   cmocka_unit_test(facets),
        cmocka_unit_test(walks_indexes), cmocka_unit_test(others_walk_indexes),
        cmocka_unit_test(pages_stay),
    };

    return cmocka_run_group_tests_name("catalog/search", tests, set_up, tear_down);
}
