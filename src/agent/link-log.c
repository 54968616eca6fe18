#include "agent/link-log.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/aside.h"
#include "base/json-value.h"
#include "base/ulid.h"

/* synchronous=FULL: an event is on the disk when add() returns, an id before its command is done.
 * Numbers never come twice (AUTOINCREMENT), so what was dropped is seen as a gap. */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS log ("
    " one INTEGER NOT NULL PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, acked INTEGER NOT NULL)"
    " STRICT;"
    "CREATE TABLE IF NOT EXISTS events ("
    " seq INTEGER PRIMARY KEY AUTOINCREMENT, class INTEGER NOT NULL, wall_ns INTEGER NOT NULL,"
    " data TEXT NOT NULL) STRICT;"
    "CREATE INDEX IF NOT EXISTS events_by_class ON events (class, seq);"
    "CREATE TABLE IF NOT EXISTS dropped ("
    " class INTEGER NOT NULL PRIMARY KEY, n INTEGER NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS commands ("
    " id TEXT NOT NULL PRIMARY KEY, wall_ns INTEGER NOT NULL, got INTEGER NOT NULL,"
    " result TEXT) STRICT;";

enum { BUSY_MS = 5000, ROW_BYTES = 64, DROP = 64, COMMANDS_KEPT = 1000 };

enum {
    ADD,
    CLASS_OLDEST,
    DROP_OLDEST,
    COUNT_DROPPED,
    ACK_SUM,
    ACK,
    SET_ACKED,
    READ,
    LAST,
    TOTAL,
    BEGIN_COMMAND,
    FIND_COMMAND,
    SET_RESULT,
    GOT,
    CUT_COMMANDS,
    RESULTS,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [ADD] = "INSERT INTO events (class, wall_ns, data) VALUES (?1, ?2, ?3)",
    [CLASS_OLDEST] = "SELECT count(*), ifnull(sum(length(CAST(data AS BLOB)) + 64), 0), max(seq)"
                     " FROM (SELECT seq, data FROM events WHERE class = ?1 ORDER BY seq LIMIT ?2)",
    [DROP_OLDEST] = "DELETE FROM events WHERE class = ?1 AND seq <= ?2",
    [COUNT_DROPPED] = "INSERT INTO dropped (class, n) VALUES (?1, ?2)"
                      " ON CONFLICT (class) DO UPDATE SET n = n + ?2",
    [ACK_SUM] = "SELECT count(*), ifnull(sum(length(CAST(data AS BLOB)) + 64), 0) FROM events"
                " WHERE seq <= ?1",
    [ACK] = "DELETE FROM events WHERE seq <= ?1",
    [SET_ACKED] = "UPDATE log SET acked = max(acked, ?1)",
    [READ] = "SELECT seq, class, wall_ns, data FROM events WHERE seq > ?1 ORDER BY seq LIMIT ?2",
    [LAST] = "SELECT ifnull(max(seq), 0) FROM sqlite_sequence WHERE name = 'events'",
    [TOTAL] = "SELECT count(*), ifnull(sum(length(CAST(data AS BLOB)) + 64), 0) FROM events",
    [BEGIN_COMMAND] = "INSERT INTO commands (id, wall_ns, got, result) VALUES (?1, ?2, 0, NULL)",
    [FIND_COMMAND] = "SELECT result FROM commands WHERE id = ?1",
    [SET_RESULT] = "UPDATE commands SET result = ?2 WHERE id = ?1",
    [GOT] = "UPDATE commands SET got = 1, result = '' WHERE id = ?1 AND result IS NOT NULL",
    [CUT_COMMANDS] = "DELETE FROM commands WHERE id IN (SELECT id FROM commands"
                     " ORDER BY wall_ns DESC, id DESC LIMIT -1 OFFSET ?1)",
    [RESULTS] = "SELECT id, result FROM commands WHERE got = 0 AND result IS NOT NULL"
                " ORDER BY wall_ns, id",
};

struct bp_link_log {
    sqlite3 *db;
    sqlite3_stmt *st[STATEMENTS];
    char id[BP_ULID_TEXT];
    uint64_t acked, n, bytes, max_bytes;
    uint64_t dropped[BP_LINK_CLASSES];
};

const char *bp_link_class_text(enum bp_link_class c) {
    static const char *const names[BP_LINK_CLASSES] = { "status", "log", "sessions", "alerts" };

    return names[c];
}

static int failed(const struct bp_link_log *l, struct bp_error *err) {
    int code = sqlite3_errcode(l->db) & 0xff;

    return bp_fail(err,
                   code == SQLITE_FULL                               ? -ENOSPC
                   : code == SQLITE_NOMEM                            ? -ENOMEM
                   : code == SQLITE_READONLY                         ? -EACCES
                   : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? BP_ECORRUPT
                                                                     : -EIO,
                   "link.db: %s", sqlite3_errmsg(l->db));
}

static int exec(struct bp_link_log *l, const char *sql) {
    return sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK ? 0 : -EIO;
}

/* Two numbers, either of which the statement may not have. */
static sqlite3_stmt *with(struct bp_link_log *l, int what, int64_t a, int64_t b) {
    sqlite3_stmt *st = l->st[what];
    int n = sqlite3_bind_parameter_count(st);

    if (n > 0)
        (void) sqlite3_bind_int64(st, 1, a);
    if (n > 1)
        (void) sqlite3_bind_int64(st, 2, b);
    return st;
}

/* Runs it to its end. */
static int run(sqlite3_stmt *st) {
    int r = sqlite3_step(st);

    (void) sqlite3_reset(st);
    return r == SQLITE_DONE ? 0 : -EIO;
}

/* ---- events ---- */

static int insert(struct bp_link_log *l, const struct bp_link_event *e) {
    sqlite3_stmt *st = with(l, ADD, (int) e->class, e->wall_ns);

    if (sqlite3_bind_text(st, 3, e->data, -1, SQLITE_STATIC) != SQLITE_OK)
        return -EIO;
    l->n++;
    l->bytes += strlen(e->data) + ROW_BYTES;
    return run(st);
}

/* Drops the oldest of a class. @return how many, -EIO */
static int64_t drop(struct bp_link_log *l, enum bp_link_class c) {
    sqlite3_stmt *st = with(l, CLASS_OLDEST, (int) c, DROP);
    int64_t n, bytes, last;

    if (sqlite3_step(st) != SQLITE_ROW) {
        (void) sqlite3_reset(st);
        return -EIO;
    }
    n = sqlite3_column_int64(st, 0);
    bytes = sqlite3_column_int64(st, 1);
    last = sqlite3_column_int64(st, 2);
    (void) sqlite3_reset(st);
    if (n == 0)
        return 0;
    if (run(with(l, DROP_OLDEST, (int) c, last)) < 0 || run(with(l, COUNT_DROPPED, (int) c, n)) < 0)
        return -EIO;
    l->n -= (uint64_t) n;
    l->bytes -= BP_MIN((uint64_t) bytes, l->bytes);
    l->dropped[c] += (uint64_t) n;
    return n;
}

static int make_room(struct bp_link_log *l) {
    for (int c = 0; c < BP_LINK_CLASSES && l->bytes > l->max_bytes;) {
        int64_t n = drop(l, (enum bp_link_class) c);

        if (n < 0)
            return -EIO;
        c += n == 0;
    }
    return 0;
}

int bp_link_log_add(struct bp_link_log *l, const struct bp_link_event *v, size_t n,
                    struct bp_error *err) {
    const struct bp_link_log was = *l;
    int r = exec(l, "BEGIN IMMEDIATE");

    for (size_t i = 0; r == 0 && i < n; i++)
        r = insert(l, &v[i]);
    if (r == 0)
        r = make_room(l);
    if (r == 0)
        r = exec(l, "COMMIT");
    if (r == 0)
        return 0;
    r = failed(l, err);
    (void) exec(l, "ROLLBACK");
    l->n = was.n;
    l->bytes = was.bytes;
    memcpy(l->dropped, was.dropped, sizeof l->dropped);
    return r;
}

void bp_link_log_count(struct bp_link_log *l, enum bp_link_class c, uint64_t n) {
    l->dropped[c] += n;
    (void) run(with(l, COUNT_DROPPED, (int) c, (int64_t) n)); /* the disk may be full */
}

/* How many events a statement finds, and their bytes. */
static int sum(sqlite3_stmt *st, uint64_t *ret_n, uint64_t *ret_bytes) {
    int r = sqlite3_step(st) == SQLITE_ROW ? 0 : -EIO;

    *ret_n = r == 0 ? (uint64_t) sqlite3_column_int64(st, 0) : 0;
    *ret_bytes = r == 0 ? (uint64_t) sqlite3_column_int64(st, 1) : 0;
    (void) sqlite3_reset(st);
    return r;
}

int bp_link_log_ack(struct bp_link_log *l, uint64_t seq, struct bp_error *err) {
    uint64_t n = 0, bytes = 0;
    int r;

    if (seq <= l->acked)
        return 0;
    r = exec(l, "BEGIN IMMEDIATE");
    if (r == 0)
        r = sum(with(l, ACK_SUM, (int64_t) seq, 0), &n, &bytes);
    if (r == 0)
        r = run(with(l, ACK, (int64_t) seq, 0));
    if (r == 0)
        r = run(with(l, SET_ACKED, (int64_t) seq, 0));
    if (r == 0)
        r = exec(l, "COMMIT");
    if (r < 0) {
        r = failed(l, err);
        (void) exec(l, "ROLLBACK");
        return r;
    }
    l->acked = seq;
    l->n -= BP_MIN(n, l->n);
    l->bytes -= BP_MIN(bytes, l->bytes);
    return 0;
}

int bp_link_log_meet(struct bp_link_log *l, uint64_t seq, struct bp_error *err) {
    sqlite3_stmt *st = l->st[LAST];
    char id[BP_ULID_TEXT], sql[80];
    uint64_t last = 0;
    int r = sqlite3_step(st);

    if (r == SQLITE_ROW)
        last = (uint64_t) sqlite3_column_int64(st, 0);
    (void) sqlite3_reset(st);
    if (r != SQLITE_ROW)
        return failed(l, err);
    if (seq <= last)
        return bp_link_log_ack(l, seq, err);
    (void) bp_ulid_new(id);
    (void) snprintf(sql, sizeof sql, "UPDATE log SET id = '%s'", id);
    if (exec(l, sql) < 0)
        return failed(l, err);
    (void) snprintf(l->id, sizeof l->id, "%s", id);
    return 1;
}

static json_t *event_of(sqlite3_stmt *st) {
    json_t *data = json_loads((const char *) sqlite3_column_text(st, 3), JSON_DECODE_ANY, NULL);
    int64_t c = sqlite3_column_int64(st, 1);

    return json_pack(
        "{s:I, s:o, s:s, s:o}", "seq", (json_int_t) sqlite3_column_int64(st, 0), "time_ns",
        json_sprintf("%lld", (long long) sqlite3_column_int64(st, 2)), "topic",
        bp_link_class_text((enum bp_link_class) BP_MIN(BP_MAX(c, 0), BP_LINK_CLASSES - 1)), "data",
        data ? data : json_null());
}

int bp_link_log_read(struct bp_link_log *l, uint64_t after, unsigned max, size_t max_bytes,
                     json_t **ret, uint64_t *ret_last, struct bp_error *err) {
    sqlite3_stmt *st = with(l, READ, (int64_t) after, max);
    json_t *list = json_array();
    size_t bytes = 0;
    uint64_t last = after;
    int r = SQLITE_ROW;

    while (bytes < max_bytes && (r = sqlite3_step(st)) == SQLITE_ROW) {
        bytes += (size_t) sqlite3_column_bytes(st, 3) + ROW_BYTES;
        if (bytes > max_bytes && json_array_size(list) > 0)
            break;
        last = (uint64_t) sqlite3_column_int64(st, 0);
        (void) json_array_append_new(list, event_of(st));
    }
    (void) sqlite3_reset(st);
    if (r != SQLITE_ROW && r != SQLITE_DONE) {
        json_decref(list);
        return failed(l, err);
    }
    *ret = list;
    *ret_last = last;
    return (int) json_array_size(list);
}

json_t *bp_link_log_dropped(const struct bp_link_log *l) {
    json_t *o = json_object();

    for (int c = 0; c < BP_LINK_CLASSES; c++)
        if (l->dropped[c] > 0)
            (void) json_object_set_new(o, bp_link_class_text((enum bp_link_class) c),
                                       bp_json_count(l->dropped[c]));
    return o;
}

void bp_link_log_size(const struct bp_link_log *l, uint64_t *ret_n, uint64_t *ret_bytes) {
    *ret_n = l->n;
    *ret_bytes = l->bytes;
}

const char *bp_link_log_id(const struct bp_link_log *l) {
    return l->id;
}

uint64_t bp_link_log_acked(const struct bp_link_log *l) {
    return l->acked;
}

/* ---- commands ---- */

static sqlite3_stmt *about(struct bp_link_log *l, int what, const char *id) {
    (void) sqlite3_bind_text(l->st[what], 1, id, -1, SQLITE_STATIC);
    return l->st[what];
}

int bp_link_log_begin(struct bp_link_log *l, const char *id, char **ret, struct bp_error *err) {
    sqlite3_stmt *st = about(l, FIND_COMMAND, id);
    int r = sqlite3_step(st);

    *ret = NULL;
    if (r == SQLITE_ROW && sqlite3_column_type(st, 0) != SQLITE_NULL)
        *ret = strdup((const char *) sqlite3_column_text(st, 0));
    (void) sqlite3_reset(st);
    if (r != SQLITE_DONE)
        return r == SQLITE_ROW ? 1 : failed(l, err);
    st = about(l, BEGIN_COMMAND, id);
    (void) sqlite3_bind_int64(st, 2, bp_wall_ns());
    if (run(st) < 0)
        return failed(l, err);
    (void) run(with(l, CUT_COMMANDS, COMMANDS_KEPT, 0));
    return 0;
}

int bp_link_log_result(struct bp_link_log *l, const char *id, const char *result,
                       struct bp_error *err) {
    sqlite3_stmt *st = about(l, SET_RESULT, id);

    (void) sqlite3_bind_text(st, 2, result, -1, SQLITE_STATIC);
    return run(st) < 0 ? failed(l, err) : 0;
}

int bp_link_log_got(struct bp_link_log *l, const char *id, struct bp_error *err) {
    return run(about(l, GOT, id)) < 0 ? failed(l, err) : 0;
}

int bp_link_log_each_result(struct bp_link_log *l,
                            void (*fn)(void *ctx, const char *id, const char *result), void *ctx,
                            struct bp_error *err) {
    sqlite3_stmt *st = l->st[RESULTS];
    int r;

    while ((r = sqlite3_step(st)) == SQLITE_ROW)
        fn(ctx, (const char *) sqlite3_column_text(st, 0),
           (const char *) sqlite3_column_text(st, 1));
    (void) sqlite3_reset(st);
    return r == SQLITE_DONE ? 0 : failed(l, err);
}

/* ---- its life ---- */

/* Its id and where it was; a new one gets an id. */
static int take_up(struct bp_link_log *l, struct bp_error *err) {
    sqlite3_stmt *st = NULL;
    char sql[120];
    int r;

    (void) bp_ulid_new(l->id);
    (void) snprintf(sql, sizeof sql, "INSERT OR IGNORE INTO log VALUES (1, '%s', 0)", l->id);
    if (exec(l, sql) < 0 ||
        sqlite3_prepare_v2(l->db, "SELECT id, acked FROM log", -1, &st, NULL) != SQLITE_OK)
        return failed(l, err);
    r = sqlite3_step(st) == SQLITE_ROW ? 0 : failed(l, err);
    if (r == 0) {
        (void) snprintf(l->id, sizeof l->id, "%s", (const char *) sqlite3_column_text(st, 0));
        l->acked = (uint64_t) sqlite3_column_int64(st, 1);
    }
    (void) sqlite3_finalize(st);
    st = NULL;
    if (r == 0 &&
        sqlite3_prepare_v2(l->db, "SELECT class, n FROM dropped", -1, &st, NULL) != SQLITE_OK)
        r = failed(l, err);
    while (r == 0 && sqlite3_step(st) == SQLITE_ROW) {
        int64_t c = sqlite3_column_int64(st, 0);

        if (c >= 0 && c < BP_LINK_CLASSES)
            l->dropped[c] = (uint64_t) sqlite3_column_int64(st, 1);
    }
    (void) sqlite3_finalize(st);
    return r;
}

static int open_db(struct bp_link_log *l, const char *path, struct bp_error *err) {
    int r = sqlite3_open_v2(path, &l->db,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(l->db, BUSY_MS);
    if (r == SQLITE_OK)
        r = sqlite3_exec(l->db,
                         "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                         "PRAGMA cache_size=-512; PRAGMA journal_size_limit=1048576;",
                         NULL, NULL, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_exec(l->db, schema, NULL, NULL, NULL);
    for (int i = 0; r == SQLITE_OK && i < STATEMENTS; i++)
        r = sqlite3_prepare_v2(l->db, texts[i], -1, &l->st[i], NULL);
    if (r != SQLITE_OK)
        return failed(l, err);
    r = take_up(l, err);
    return r < 0 ? r : sum(l->st[TOTAL], &l->n, &l->bytes) < 0 ? failed(l, err) : 0;
}

static void close_db(struct bp_link_log *l) {
    for (int i = 0; i < STATEMENTS; i++)
        (void) sqlite3_finalize(BP_TAKE_PTR(l->st[i]));
    (void) sqlite3_close(BP_TAKE_PTR(l->db));
}

int bp_link_log_open(const char *path, uint64_t max_bytes, struct bp_link_log **ret,
                     struct bp_error *err) {
    struct bp_link_log *l = calloc(1, sizeof *l);
    int r;

    if (!l)
        return bp_fail(err, -ENOMEM, "out of memory");
    l->max_bytes = max_bytes;
    r = open_db(l, path, err);
    if (r == BP_ECORRUPT) {
        close_db(l);
        memset(l->dropped, 0, sizeof l->dropped);
        r = bp_set_aside(path, err);
        if (r == 0)
            r = open_db(l, path, err);
    }
    if (r < 0) {
        bp_link_log_close(l);
        return r;
    }
    *ret = l;
    return 0;
}

void bp_link_log_close(struct bp_link_log *l) {
    if (!l)
        return;
    close_db(l);
    free(l);
}
