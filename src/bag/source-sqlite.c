/* rosbag2's sqlite3 storage, schemas 1 to 4 (layout: rosbag2_storage_sqlite3, sqlite_storage.cpp).
 *
 * A recording is never changed by reading it, not even by a lock file: the database is opened
 * immutable. That would hide messages that are still in a write-ahead log or undo nothing of a hot
 * rollback journal, so when one of those holds anything, database and log are copied first and
 * sqlite repairs the copy.
 *
 * db3 files know the receive time only; publish time is set to it. */
#include "bag/source-priv.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "bag/metadata.h"
#include "bag/temp.h"
#include "wire/schema.h"

enum { STEPS = 20000 }; /* of its virtual machine between two looks around */

struct sqlite_source {
    struct bp_source s; /* first */
    sqlite3 *db;
    int64_t *ids;    /* owned: topic id by channel */
    char *distro;    /* owned */
    bool time_index; /* messages are found and ordered by time without a sort */
};

struct bp_source_iter {
    struct sqlite_source *q; /* borrowed */
    struct bp_source_filter f;
    sqlite3_stmt *list;  /* id, topic, time and, with an index, data; in order */
    sqlite3_stmt *fetch; /* data by id, where listing it would mean sorting it */
    uint64_t skipped;
    bool ended;
};

static struct sqlite_source *sqlite_source_of(struct bp_source *s) {
    return BP_CONTAINER_OF(s, struct sqlite_source, s);
}

static bool probe(const uint8_t *head, size_t n) {
    static const char magic[16] = "SQLite format 3";

    return n >= sizeof magic && memcmp(head, magic, sizeof magic) == 0;
}

/* ---- sqlite's errors as ours ---- */

static int fail_sql(const struct sqlite_source *q, struct bp_error *err) {
    const char *path = q->s.file.path;

    switch (sqlite3_errcode(q->db) & 0xff) {
    case SQLITE_NOMEM:
        return bp_fail(err, -ENOMEM, "no memory to read '%s'", path);
    case SQLITE_IOERR:
    case SQLITE_FULL:
        return bp_fail(err, -EIO, "cannot read '%s': %s", path, sqlite3_errmsg(q->db));
    case SQLITE_CANTOPEN:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return bp_fail(err, -EACCES, "cannot open '%s': %s", path, sqlite3_errmsg(q->db));
    case SQLITE_TOOBIG:
        return bp_fail(err, BP_ELIMIT, "'%s': %s", path, sqlite3_errmsg(q->db));
    case SQLITE_ERROR: /* a table or column is not as in any version */
        return bp_fail(err, BP_EFORMAT, "'%s' is not a rosbag2 database: %s", path,
                       sqlite3_errmsg(q->db));
    default:
        return bp_fail(err, BP_ECORRUPT,
                       "'%s' is damaged: sqlite says '%s'; `sqlite3 FILE .recover` may save a part",
                       path, sqlite3_errmsg(q->db));
    }
}

static void finalizep(sqlite3_stmt **s) {
    (void) sqlite3_finalize(*s);
}

#define AUTO_STMT BP_CLEANUP(finalizep) sqlite3_stmt

static int prepare(const struct sqlite_source *q, const char *sql, sqlite3_stmt **ret,
                   struct bp_error *err) {
    return sqlite3_prepare_v2(q->db, sql, -1, ret, NULL) == SQLITE_OK ? 0 : fail_sql(q, err);
}

/* 1 and a row, 0 at the end. */
static int step(const struct sqlite_source *q, sqlite3_stmt *s, struct bp_error *err) {
    switch (sqlite3_step(s)) {
    case SQLITE_ROW:
        return 1;
    case SQLITE_DONE:
        return 0;
    default:
        return fail_sql(q, err);
    }
}

/* A column as text of its own; "" for NULL. */
static char *column_copy(sqlite3_stmt *s, int i) {
    const unsigned char *p = sqlite3_column_text(s, i);

    return strdup(p ? (const char *) p : "");
}

/* Does a real table (no view, nothing virtual) of this name exist? */
static int has_table(const struct sqlite_source *q, const char *name, struct bp_error *err) {
    AUTO_STMT *s = NULL;
    int r = prepare(q,
                    "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1 "
                    "AND sql LIKE 'CREATE TABLE%'",
                    &s, err);

    if (r < 0)
        return r;
    (void) sqlite3_bind_text(s, 1, name, -1, SQLITE_STATIC);
    return step(q, s, err);
}

static int has_column(const struct sqlite_source *q, const char *table, const char *name,
                      struct bp_error *err) {
    AUTO_STMT *s = NULL;
    int r = prepare(q, "SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2", &s, err);

    if (r < 0)
        return r;
    (void) sqlite3_bind_text(s, 1, table, -1, SQLITE_STATIC);
    (void) sqlite3_bind_text(s, 2, name, -1, SQLITE_STATIC);
    return step(q, s, err);
}

/* ---- open ---- */

/* "file:…?…" with what URIs mean otherwise escaped. */
static char *uri_of(const char *path, const char *query) {
    BP_AUTO_BUF b = { 0 };

    bp_buf_put_str(&b, "file:");
    for (; *path; path++)
        if (*path == '%' || *path == '?' || *path == '#')
            bp_buf_printf(&b, "%%%02X", (unsigned) *path);
        else
            bp_buf_put_u8(&b, (uint8_t) *path);
    bp_buf_put_str(&b, query);
    return bp_buf_take_cstr(&b);
}

static int open_db(struct sqlite_source *q, const char *path, const char *query, int flags,
                   struct bp_error *err) {
    BP_AUTO_FREE char *uri = uri_of(path, query);
    int r;

    if (!uri)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    r = sqlite3_open_v2(uri, &q->db, flags | SQLITE_OPEN_URI | SQLITE_OPEN_NOMUTEX, NULL);
    if (r != SQLITE_OK)
        return q->db ? fail_sql(q, err) : bp_fail(err, -ENOMEM, "no memory to open '%s'", path);

    /* Bytes of strangers: no functions from the schema, no cells that overlap. */
    (void) sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    (void) sqlite3_db_config(q->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    (void) sqlite3_exec(q->db, "PRAGMA cell_size_check = ON", NULL, NULL, NULL);
    return 0;
}

static bool holds_bytes(const char *path, const char *suffix) {
    char name[4096];
    struct stat st;

    return snprintf(name, sizeof name, "%s%s", path, suffix) < (int) sizeof name &&
           stat(name, &st) == 0 && st.st_size > 0;
}

/* Copies database and log, lets sqlite repair the copy, and takes the names away again. */
static int open_copy(struct sqlite_source *q, const char *path, const char *suffix,
                     struct bp_error *err) {
    char dir[3000], db[3072], log[3100], from[4096];
    int r = bp_temp_dir(dir, sizeof dir, err);

    if (r < 0)
        return r;
    (void) snprintf(db, sizeof db, "%s/copy.db3", dir);
    (void) snprintf(log, sizeof log, "%s%s", db, suffix);
    (void) snprintf(from, sizeof from, "%s%s", path, suffix);
    r = bp_temp_copy(path, db, err);
    if (r >= 0)
        r = bp_temp_copy(from, log, err);
    if (r >= 0)
        r = open_db(q, db, "?mode=rw", SQLITE_OPEN_READWRITE, err);
    if (r >= 0 && /* the log is taken in here */
        (sqlite3_exec(q->db, "PRAGMA locking_mode = EXCLUSIVE", NULL, NULL, NULL) != SQLITE_OK ||
         sqlite3_exec(q->db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL) != SQLITE_OK ||
         sqlite3_exec(q->db, "PRAGMA wal_checkpoint(TRUNCATE)", NULL, NULL, NULL) != SQLITE_OK))
        r = fail_sql(q, err);
    (void) unlink(log);
    (void) unlink(db);
    (void) snprintf(log, sizeof log, "%s-shm", db);
    (void) unlink(log);
    (void) rmdir(dir);
    return r;
}

static int open_any(struct sqlite_source *q, const char *path, struct bp_error *err) {
    if (holds_bytes(path, "-wal"))
        return open_copy(q, path, "-wal", err);
    if (holds_bytes(path, "-journal"))
        return open_copy(q, path, "-journal", err);
    return open_db(q, path, "?immutable=1", SQLITE_OPEN_READONLY, err);
}

static void free_channel(struct bp_source_channel *c) {
    char *v[] = { (char *) (uintptr_t) c->topic,
                  (char *) (uintptr_t) c->type,
                  (char *) (uintptr_t) c->message_encoding,
                  (char *) (uintptr_t) c->schema_encoding,
                  (char *) (uintptr_t) c->type_hash,
                  (char *) (uintptr_t) c->qos_yaml,
                  (char *) (uintptr_t) c->schema.p };

    for (size_t i = 0; i < BP_COUNT(v); i++)
        free(v[i]);
}

static void sqlite_close(struct bp_source *s) {
    struct sqlite_source *q;

    if (!s)
        return;
    q = sqlite_source_of(s);
    for (size_t i = 0; i < s->nchannels; i++)
        free_channel(&s->channels[i]);
    (void) sqlite3_close(q->db);
    free(s->channels);
    free(q->ids);
    free(q->distro);
    free(q);
}

static void sqlite_closep(struct sqlite_source **q) {
    if (*q)
        sqlite_close(&(*q)->s);
}

/* ---- topics and definitions ---- */

static int add_topic(struct sqlite_source *q, sqlite3_stmt *row) {
    size_t n = q->s.nchannels;
    struct bp_source_channel *c = realloc(q->s.channels, (n + 1) * sizeof *c);
    int64_t *ids;

    if (!c)
        return -ENOMEM;
    q->s.channels = c;
    ids = realloc(q->ids, (n + 1) * sizeof *ids);
    if (!ids)
        return -ENOMEM;
    q->ids = ids;

    ids[n] = sqlite3_column_int64(row, 0);
    c += n;
    *c = (struct bp_source_channel){
        .topic = column_copy(row, 1),
        .type = column_copy(row, 2),
        .message_encoding = column_copy(row, 3),
        .qos_yaml = column_copy(row, 4),
        .type_hash = column_copy(row, 5),
        .schema_encoding = strdup(""),
        .robot = "",
        .original_topic = "",
    };
    q->s.nchannels++;
    return c->topic && c->type && c->message_encoding && c->qos_yaml && c->type_hash &&
                   c->schema_encoding
               ? 0
               : -ENOMEM;
}

static int read_topics(struct sqlite_source *q, struct bp_error *err) {
    int qos = has_column(q, "topics", "offered_qos_profiles", err);
    int hash = qos < 0 ? qos : has_column(q, "topics", "type_description_hash", err);
    AUTO_STMT *s = NULL;
    char sql[200];
    int r;

    if (hash < 0)
        return hash;
    (void) snprintf(sql, sizeof sql,
                    "SELECT id, name, type, serialization_format, %s, %s FROM topics ORDER BY id",
                    qos ? "offered_qos_profiles" : "''", hash ? "type_description_hash" : "''");
    r = prepare(q, sql, &s, err);
    if (r < 0)
        return r;
    while ((r = step(q, s, err)) > 0)
        if (add_topic(q, s) < 0)
            return bp_fail(err, -ENOMEM, "no memory to read '%s'", q->s.file.path);
    return r;
}

static int set_definition(struct bp_source_channel *c, const char *encoding, const void *text,
                          size_t n) {
    char *copy = malloc(n + 1), *enc = strdup(encoding);

    if (!copy || !enc) {
        free(copy);
        free(enc);
        return -ENOMEM;
    }
    memcpy(copy, text, n);
    copy[n] = 0;
    free((char *) (uintptr_t) c->schema_encoding);
    c->schema_encoding = enc;
    c->schema = (struct bp_str){ copy, n };
    return 0;
}

/* Since schema 4. A definition that rosbag2 did not find is an empty text with encoding "unknown".
 */
static int read_definitions(struct sqlite_source *q, struct bp_error *err) {
    int have = has_table(q, "message_definitions", err), r;
    AUTO_STMT *s = NULL;

    if (have <= 0)
        return have;
    r = prepare(q,
                "SELECT topic_type, encoding, encoded_message_definition FROM message_definitions",
                &s, err);
    while (r >= 0 && (r = step(q, s, err)) > 0) {
        const char *type = (const char *) sqlite3_column_text(s, 0);
        const char *encoding = (const char *) sqlite3_column_text(s, 1);
        const void *text = sqlite3_column_text(s, 2);
        size_t n = (size_t) sqlite3_column_bytes(s, 2);

        for (size_t i = 0; type && encoding && text && n > 0 && i < q->s.nchannels; i++)
            if (bp_streq(q->s.channels[i].type, type) && !q->s.channels[i].schema.p &&
                set_definition(&q->s.channels[i], encoding, text, n) < 0)
                return bp_fail(err, -ENOMEM, "no memory to read '%s'", q->s.file.path);
    }
    return r;
}

/* Definitions of common types are known. Not where the file gives a type hash: a rosbag2 that
 * writes hashes writes definitions too, and what it did not find is not ours to guess. */
static int add_known_definitions(struct sqlite_source *q, struct bp_error *err) {
    for (size_t i = 0; i < q->s.nchannels; i++) {
        struct bp_source_channel *c = &q->s.channels[i];
        BP_AUTO_BUF text = { 0 };

        if (c->schema.p || *c->type_hash || !bp_streq(c->message_encoding, "cdr") ||
            bp_typedb_text(c->type, &text, NULL) < 0)
            continue;
        if (text.failed || set_definition(c, "ros2msg", text.p, text.n) < 0)
            return bp_fail(err, -ENOMEM, "no memory to read '%s'", q->s.file.path);
    }
    return 0;
}

/* ---- counts and times ---- */

static int channel_of(const struct sqlite_source *q, int64_t topic_id) {
    for (size_t i = 0; i < q->s.nchannels; i++)
        if (q->ids[i] == topic_id)
            return (int) i;
    return -1;
}

/* Start, end and number by the index alone. */
static int read_span(struct sqlite_source *q, struct bp_error *err) {
    AUTO_STMT *s = NULL;
    int r = prepare(q,
                    "SELECT count(timestamp), (SELECT min(timestamp) FROM messages), "
                    "(SELECT max(timestamp) FROM messages) FROM messages",
                    &s, err);

    if (r >= 0)
        r = step(q, s, err);
    if (r <= 0)
        return r;
    q->s.file.messages = (uint64_t) sqlite3_column_int64(s, 0);
    q->s.file.start_ns = sqlite3_column_int64(s, 1);
    q->s.file.end_ns = sqlite3_column_int64(s, 2);
    return 0;
}

/* Counts per topic by reading the table. */
static int count_by_reading(struct sqlite_source *q, struct bp_error *err) {
    AUTO_STMT *s = NULL;
    int r = prepare(q, "SELECT topic_id, count(*) FROM messages GROUP BY topic_id", &s, err);

    for (size_t i = 0; i < q->s.nchannels; i++)
        q->s.channels[i].messages = 0;
    while (r >= 0 && (r = step(q, s, err)) > 0) {
        int c = channel_of(q, sqlite3_column_int64(s, 0));

        if (c < 0)
            return bp_fail(err, BP_ECORRUPT,
                           "'%s' is damaged: messages of topic %lld, which is not listed",
                           q->s.file.path, (long long) sqlite3_column_int64(s, 0));
        q->s.channels[c].messages = (uint64_t) sqlite3_column_int64(s, 1);
    }
    return r;
}

/* The metadata text that the recorder left when it closed the file, since schema 3. */
static char *metadata_text(const struct sqlite_source *q) {
    AUTO_STMT *s = NULL;

    if (has_table(q, "metadata", NULL) <= 0 ||
        prepare(q, "SELECT metadata FROM metadata ORDER BY id DESC LIMIT 1", &s, NULL) < 0 ||
        step(q, s, NULL) <= 0)
        return NULL;
    return column_copy(s, 0);
}

/* @return true when that text knows as many messages as there are, topic by topic */
static bool count_by_metadata(struct sqlite_source *q) {
    BP_AUTO_FREE char *text = metadata_text(q);
    BP_AUTO_METADATA m = { 0 };
    uint64_t sum = 0;

    if (!text || bp_metadata_parse(bp_str_of(text), "metadata", &m, NULL) < 0)
        return false;
    if (m.compression_mode && bp_streq(m.compression_mode, "MESSAGE"))
        q->s.message_zstd = true;
    for (size_t i = 0; i < m.ntopics; i++)
        for (size_t k = 0; k < q->s.nchannels; k++)
            if (bp_streq(m.topics[i].name, q->s.channels[k].topic) &&
                bp_streq(m.topics[i].type, q->s.channels[k].type)) {
                q->s.channels[k].messages = m.topics[i].messages;
                sum += m.topics[i].messages;
            }
    return sum == q->s.file.messages;
}

static int read_distro(struct sqlite_source *q, struct bp_error *err) {
    AUTO_STMT *s = NULL;
    int r = has_table(q, "schema", err);

    if (r <= 0)
        return r;
    r = prepare(q, "SELECT ros_distro FROM schema LIMIT 1", &s, err);
    if (r >= 0)
        r = step(q, s, err);
    if (r <= 0)
        return r;
    q->distro = column_copy(s, 0);
    if (!q->distro)
        return bp_fail(err, -ENOMEM, "no memory to read '%s'", q->s.file.path);
    q->s.ros_distro = q->distro;
    return 0;
}

static int read_all(struct sqlite_source *q, struct bp_error *err) {
    static const char *const tables[] = { "topics", "messages" };
    int r = 0;

    for (size_t i = 0; i < BP_COUNT(tables); i++) {
        r = has_table(q, tables[i], err);
        if (r < 0)
            return r;
        if (r == 0)
            return bp_fail(err, BP_EFORMAT,
                           "'%s' is a database, but not of rosbag2: it has no table '%s'",
                           q->s.file.path, tables[i]);
    }
    r = has_column(q, "messages", "timestamp", err);
    if (r >= 0) { /* any index that begins with the time */
        AUTO_STMT *s = NULL;

        r = prepare(q,
                    "SELECT 1 FROM pragma_index_list('messages') l, pragma_index_info(l.name) i "
                    "WHERE i.seqno = 0 AND i.name = 'timestamp' AND l.partial = 0",
                    &s, err);
        if (r >= 0)
            r = step(q, s, err);
        q->time_index = r > 0;
    }
    if (r >= 0)
        r = read_distro(q, err);
    if (r >= 0)
        r = read_topics(q, err);
    if (r >= 0)
        r = read_definitions(q, err);
    if (r >= 0)
        r = add_known_definitions(q, err);
    if (r >= 0)
        r = read_span(q, err);
    if (r >= 0 && !count_by_metadata(q))
        r = count_by_reading(q, err);
    return r;
}

static int sqlite_open(const char *path, struct bp_source **ret, struct bp_error *err) {
    BP_CLEANUP(sqlite_closep) struct sqlite_source *q = calloc(1, sizeof *q);
    struct stat st;
    int r;

    if (!q)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    q->s = (struct bp_source){
        .ops = &bp_source_sqlite,
        .file = { .path = path, .indexed = true },
        .compression = "",
        .ros_distro = "",
    };
    if (stat(path, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", path, bp_strerror(-errno));
    q->s.file.bytes = (uint64_t) st.st_size;

    r = open_any(q, path, err);
    if (r >= 0)
        r = read_all(q, err);
    if (r < 0)
        return r;

    *ret = &BP_TAKE_PTR(q)->s;
    return 0;
}

static int sqlite_metadata(struct bp_source *s,
                           int (*fn)(void *ctx, const char *name, struct bp_str key,
                                     struct bp_str value),
                           void *ctx, struct bp_error *err) {
    BP_AUTO_FREE char *text = metadata_text(sqlite_source_of(s));

    (void) err;
    return text ? fn(ctx, "rosbag2", BP_STR("serialized_metadata"), bp_str_of(text)) : 0;
}

int sqlite_integrity(struct bp_source *s, void (*fn)(void *ctx, const char *fault),
                     int (*step_fn)(void *ctx), void *ctx, struct bp_error *err) {
    struct sqlite_source *q = sqlite_source_of(s);
    AUTO_STMT *stmt = NULL;
    int r = prepare(q, "PRAGMA integrity_check(20)", &stmt, err);

    sqlite3_progress_handler(q->db, STEPS, step_fn, ctx);
    while (r >= 0 && (r = step(q, stmt, err)) > 0) {
        const char *text = (const char *) sqlite3_column_text(stmt, 0);

        if (text && !bp_streq(text, "ok"))
            fn(ctx, text);
    }
    sqlite3_progress_handler(q->db, 0, NULL, NULL);
    return r;
}

/* ---- messages ---- */

static void sqlite_iter_free(struct bp_source_iter *it) {
    if (!it)
        return;
    (void) sqlite3_finalize(it->list);
    (void) sqlite3_finalize(it->fetch);
    free(it);
}

static void iter_freep(struct bp_source_iter **it) {
    sqlite_iter_free(*it);
}

static int sqlite_iterate(struct bp_source *s, const struct bp_source_filter *f,
                          struct bp_source_iter **ret, struct bp_error *err) {
    BP_CLEANUP(iter_freep) struct bp_source_iter *it = calloc(1, sizeof *it);
    struct sqlite_source *q = sqlite_source_of(s);
    bool whole = f->file_order || q->time_index;
    char sql[200];
    int r;

    if (!it)
        return bp_fail(err, -ENOMEM, "no memory to read '%s'", s->file.path);
    it->q = q;
    it->f = *f;
    (void) snprintf(sql, sizeof sql,
                    "SELECT id, topic_id, timestamp%s FROM messages "
                    "WHERE timestamp >= ?1 AND timestamp < ?2 ORDER BY %sid",
                    whole ? ", data" : "", f->file_order ? "" : "timestamp, ");
    r = prepare(q, sql, &it->list, err);
    if (r >= 0 && !whole)
        r = prepare(q, "SELECT data FROM messages WHERE id = ?1", &it->fetch, err);
    if (r < 0)
        return r;
    (void) sqlite3_bind_int64(it->list, 1, f->from ? (int64_t) f->from : INT64_MIN);
    (void) sqlite3_bind_int64(it->list, 2, (int64_t) BP_MIN(f->to, (uint64_t) INT64_MAX));
    *ret = BP_TAKE_PTR(it);
    return 0;
}

static int fetch(struct bp_source_iter *it, struct bp_error *err) {
    (void) sqlite3_reset(it->fetch);
    (void) sqlite3_bind_int64(it->fetch, 1, sqlite3_column_int64(it->list, 0));
    return step(it->q, it->fetch, err);
}

/* A damaged page ends the listing: what is beyond it cannot be told. */
static int damaged(struct bp_source_iter *it, int r) {
    if (!it->f.lenient || r == -ENOMEM)
        return r;
    it->skipped++;
    it->ended = true;
    return 0;
}

static int sqlite_next(struct bp_source_iter *it, struct bp_source_msg *ret, struct bp_error *err) {
    int r, c;

    while (!it->ended) {
        sqlite3_stmt *data = it->fetch ? it->fetch : it->list;
        int at = it->fetch ? 0 : 3;

        r = step(it->q, it->list, err);
        if (r == 0)
            it->ended = true;
        if (r <= 0)
            return r < 0 ? damaged(it, r) : 0;
        c = channel_of(it->q, sqlite3_column_int64(it->list, 1));
        if (c >= 0 && !it->f.channels[c])
            continue;
        if (c < 0)
            r = bp_fail(err, BP_ECORRUPT,
                        "'%s' is damaged: a message of topic %lld, which is not listed",
                        it->q->s.file.path, (long long) sqlite3_column_int64(it->list, 1));
        if (r > 0 && it->fetch)
            r = fetch(it, err);
        if (r < 0) {
            r = damaged(it, r);
            if (r < 0)
                return r;
            it->ended = false; /* only this message is bad */
            continue;
        }
        *ret = (struct bp_source_msg){
            .channel = (uint32_t) c,
            .log_ns = sqlite3_column_int64(it->list, 2),
            .publish_ns = sqlite3_column_int64(it->list, 2),
            .data = sqlite3_column_blob(data, at), /* NULL when empty */
            .size = (size_t) sqlite3_column_bytes(data, at),
        };
        if (!ret->data && sqlite3_errcode(it->q->db) == SQLITE_NOMEM)
            return bp_fail(err, -ENOMEM, "no memory to read '%s'", it->q->s.file.path);
        return 1;
    }
    return 0;
}

static void sqlite_skipped(const struct bp_source_iter *it, uint64_t *chunks, uint64_t *bytes) {
    *chunks = it->skipped;
    *bytes = 0; /* pages have no bounds that mean anything */
}

const struct bp_source_ops bp_source_sqlite = {
    .storage = "sqlite3",
    .probe = probe,
    .open = sqlite_open,
    .close = sqlite_close,
    .metadata = sqlite_metadata,
    .iterate = sqlite_iterate,
    .next = sqlite_next,
    .skipped = sqlite_skipped,
    .iter_free = sqlite_iter_free,
};
