/* Rows of the archive as structs; what is read of one session. */
#include "catalog/archive-priv.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>

/* ---- names ---- */

#define NAMES(fn, type, n, ...)                                                 \
    static const char *const fn##_names[] = { __VA_ARGS__ };                    \
    static_assert(BP_COUNT(fn##_names) == (n), "every one has a name");         \
    const char *bp_archive_##fn##_name(type v) {                                \
        return (unsigned) v < BP_COUNT(fn##_names) ? fn##_names[v] : "unknown"; \
    }

#define FROM_NAME(fn)                                     \
    int bp_archive_##fn##_from_name(const char *name) {   \
        for (size_t i = 0; i < BP_COUNT(fn##_names); i++) \
            if (bp_streq(fn##_names[i], name))            \
                return (int) i;                           \
        return -EINVAL;                                   \
    }

NAMES(state, enum bp_archive_state, BP_ARCHIVE_STATE_N_, "receiving", "complete", "damaged",
      "deleted")
FROM_NAME(state)
NAMES(signed, enum bp_archive_signed, BP_ARCHIVE_SIGNED_N_, "unsigned", "good", "bad")
NAMES(kind, enum bp_archive_kind, BP_ARCHIVE_KIND_N_, "segment", "manifest", "metadata",
      "signature", "preview", "other")
FROM_NAME(kind)
NAMES(file_state, enum bp_archive_file_state, BP_ARCHIVE_FILE_STATE_N_, "expected", "received",
      "verified", "damaged")
NAMES(policy, enum bp_archive_policy, BP_ARCHIVE_POLICY_N_, "merge", "local", "remote", "keep-both")
FROM_NAME(policy)
NAMES(sort, enum bp_archive_sort, BP_ARCHIVE_SORT_N_, "id", "started", "received", "name", "bytes",
      "messages", "lost", "duration")
FROM_NAME(sort)
NAMES(device_state, enum bp_archive_device_state, BP_ARCHIVE_DEVICE_STATE_N_, "pending", "accepted",
      "refused")
FROM_NAME(device_state)
#undef NAMES
#undef FROM_NAME

/* ---- sessions ---- */

enum { TEXTS = 12 };

static void texts_of(struct bp_archive_session *s, char **ret[static TEXTS]) {
    char **all[TEXTS] = { &s->name,        &s->device,  &s->mission, &s->operator_,
                          &s->notes,       &s->tags,    &s->robots,  &s->error,
                          &s->deleted_why, &s->version, &s->stamps,  NULL };

    memcpy(ret, all, sizeof all);
}

void bp_archive_session_done(struct bp_archive_session *s) {
    char **texts[TEXTS];

    texts_of(s, texts);
    for (size_t i = 0; texts[i]; i++)
        free(*texts[i]);
    *s = (struct bp_archive_session){ 0 };
}

/* The two parts of the merge's document, apart. */
static void split_doc(const char *text, struct bp_archive_session *s) {
    json_t *doc = json_loads(text, 0, NULL);
    json_t *version = json_object_get(doc, "version"), *fields = json_object_get(doc, "fields");

    s->version = version ? json_dumps(version, JSON_COMPACT) : strdup("{}");
    s->stamps = fields ? json_dumps(fields, JSON_COMPACT) : strdup("{}");
    json_decref(doc);
}

static void read_numbers(sqlite3_stmt *row, struct bp_archive_session *s) {
    int i = 14;

    s->started_ns = sqlite3_column_int64(row, i++);
    s->ended_ns = sqlite3_column_int64(row, i++);
    s->received_ns = sqlite3_column_int64(row, i++);
    s->updated_ns = sqlite3_column_int64(row, i++);
    s->deleted_ns = sqlite3_column_int64(row, i++);
    s->messages = bp_db_count(row, i++);
    s->bytes = bp_db_count(row, i++);
    s->lost = bp_db_count(row, i++);
    s->segments = (uint32_t) sqlite3_column_int64(row, i++);
    s->segments_here = (uint32_t) sqlite3_column_int64(row, i++);
    s->topics = (uint32_t) sqlite3_column_int64(row, i++);
    s->marks = (uint32_t) sqlite3_column_int64(row, i++);
    s->manifest = sqlite3_column_int(row, i++) != 0;
    s->keep = sqlite3_column_int(row, i) != 0;
}

int bp_archive_read_session(sqlite3_stmt *row, struct bp_archive_session *ret,
                            struct bp_error *err) {
    int state = sqlite3_column_int(row, 2), signature = sqlite3_column_int(row, 3);
    BP_AUTO_ARCHIVE_SESSION s = { 0 };
    char **const from[] = { &s.name, &s.device, &s.mission, &s.operator_, &s.notes,
                            &s.tags, &s.robots, NULL,       &s.error,     &s.deleted_why };
    char **texts[TEXTS];

    for (size_t i = 0; i < BP_COUNT(from); i++)
        if (from[i])
            *from[i] = strdup(bp_db_text(row, (int) i + 4));
    split_doc(bp_db_text(row, 11), &s);
    texts_of(&s, texts);
    for (size_t i = 0; texts[i]; i++)
        if (!*texts[i])
            return bp_fail(err, -ENOMEM, "no memory for a session");
    (void) snprintf(s.id, sizeof s.id, "%s", bp_db_text(row, 1));
    s.state =
        (unsigned) state < BP_ARCHIVE_STATE_N_ ? (enum bp_archive_state) state : BP_ARCHIVE_DAMAGED;
    s.signature = (unsigned) signature < BP_ARCHIVE_SIGNED_N_ ? (enum bp_archive_signed) signature
                                                              : BP_ARCHIVE_SIGNED_BAD;
    read_numbers(row, &s);
    *ret = BP_TAKE(s, ((struct bp_archive_session){ 0 }));
    return 0;
}

static int get_by(struct bp_archive_conn *c, const char *sql, const char *key,
                  struct bp_archive_session *ret, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, sql, &s, err);

    if (r < 0)
        return r;
    r = bp_db_bind_text(s, 1, key) ? bp_archive_step(c, s, err) : bp_archive_fail(c, err);
    if (r > 0) {
        int got = bp_archive_read_session(s, ret, err);

        r = got < 0 ? got : 1;
    }
    bp_db_put_back(s);
    return r;
}

#define FROM_SESSIONS \
    "SELECT " BP_ARCHIVE_COLUMNS " FROM sessions s JOIN texts x ON x.session = s.num"

int bp_archive_get(struct bp_archive *a, const char *key, struct bp_archive_session *ret,
                   struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    int r = get_by(c, FROM_SESSIONS " WHERE s.id = upper(?1)", key, ret, err);

    if (r == 0)
        r = get_by(c, FROM_SESSIONS " WHERE s.name = ?1 ORDER BY s.state = 3, s.num DESC LIMIT 1",
                   key, ret, err);
    bp_archive_let_go(c);
    if (r == 0)
        return bp_fail(err, -ENOENT, "there is no session '%s'", key);
    return r < 0 ? r : 0;
}

/* ---- lists of one session ---- */

/* Steps through a statement whose first parameter is a session's number. */
static int each(struct bp_archive *a, const char *id, const char *sql,
                int (*row)(sqlite3_stmt *s, void *ctx), void *ctx, struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int64_t num = 0;
    int r = bp_archive_find(c, id, &num, err);

    if (r == 0)
        r = bp_archive_take(c, sql, &s, err);
    if (r == 0 && !bp_db_bind_int(s, 1, num))
        r = bp_archive_fail(c, err);
    while (r == 0 && (r = bp_archive_step(c, s, err)) > 0)
        r = row(s, ctx);
    if (s)
        bp_db_put_back(s);
    bp_archive_let_go(c);
    return r;
}

#define FILE_COLUMNS                                                                      \
    "file, kind, state, sha256, bytes, messages, repeated, first_ns, last_ns, stored_ns," \
    " text"

static struct bp_archive_file read_file(sqlite3_stmt *s, int i) {
    struct bp_archive_file f = { .file = (char *) (uintptr_t) bp_db_text(s, i),
                                 .kind = (enum bp_archive_kind) sqlite3_column_int(s, i + 1),
                                 .state = (enum bp_archive_file_state) sqlite3_column_int(s, i + 2),
                                 .bytes = bp_db_count(s, i + 4),
                                 .messages = bp_db_count(s, i + 5),
                                 .repeated = bp_db_count(s, i + 6),
                                 .first_ns = sqlite3_column_int64(s, i + 7),
                                 .last_ns = sqlite3_column_int64(s, i + 8),
                                 .stored_ns = sqlite3_column_int64(s, i + 9),
                                 .text = (char *) (uintptr_t) bp_db_text(s, i + 10) };

    if (sqlite3_column_bytes(s, i + 3) == BP_ARCHIVE_DIGEST)
        memcpy(f.sha256, sqlite3_column_blob(s, i + 3), BP_ARCHIVE_DIGEST);
    return f;
}

void bp_archive_file_done(struct bp_archive_file *f) {
    free(f->file);
    free(f->text);
    *f = (struct bp_archive_file){ 0 };
}

struct file_call {
    int (*fn)(void *ctx, const struct bp_archive_file *f);
    void *ctx;
};

static int call_file(sqlite3_stmt *s, void *ctx) {
    struct file_call *call = ctx;
    struct bp_archive_file f = read_file(s, 0);

    return call->fn(call->ctx, &f);
}

int bp_archive_each_file(struct bp_archive *a, const char *id,
                         int (*fn)(void *ctx, const struct bp_archive_file *f), void *ctx,
                         struct bp_error *err) {
    struct file_call call = { fn, ctx };

    return each(a, id, "SELECT " FILE_COLUMNS " FROM files WHERE session = ?1 ORDER BY kind, file",
                call_file, &call, err);
}

int bp_archive_get_file(struct bp_archive *a, const char *id, const char *file,
                        struct bp_archive_file *ret, struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int64_t num = 0;
    int r = bp_archive_find(c, id, &num, err);

    if (r == 0)
        r = bp_archive_take(
            c, "SELECT " FILE_COLUMNS " FROM files WHERE session = ?1 AND file = ?2", &s, err);
    if (r == 0) {
        r = bp_db_bind_int(s, 1, num) && bp_db_bind_text(s, 2, file) ? bp_archive_step(c, s, err)
                                                                     : bp_archive_fail(c, err);
        if (r == 0)
            r = bp_fail(err, -ENOENT, "session '%s' has no file '%s'", id, file);
        if (r > 0) {
            *ret = read_file(s, 0);
            ret->file = strdup(ret->file);
            ret->text = strdup(ret->text);
            r = 0;
            if (!ret->file || !ret->text) {
                bp_archive_file_done(ret);
                r = bp_fail(err, -ENOMEM, "no memory for a file");
            }
        }
        bp_db_put_back(s);
    }
    bp_archive_let_go(c);
    return r;
}

struct topic_call {
    int (*fn)(void *ctx, const struct bp_archive_topic *t);
    void *ctx;
};

static int call_topic(sqlite3_stmt *s, void *ctx) {
    struct topic_call *call = ctx;
    struct bp_archive_topic t = { .topic = bp_db_text(s, 0),
                                  .type = bp_db_text(s, 1),
                                  .robot = bp_db_text(s, 2),
                                  .domain = (uint32_t) sqlite3_column_int64(s, 3),
                                  .messages = bp_db_count(s, 4),
                                  .lost = bp_db_count(s, 5),
                                  .bytes = bp_db_count(s, 6) };

    return call->fn(call->ctx, &t);
}

int bp_archive_each_topic(struct bp_archive *a, const char *id,
                          int (*fn)(void *ctx, const struct bp_archive_topic *t), void *ctx,
                          struct bp_error *err) {
    struct topic_call call = { fn, ctx };

    return each(a, id,
                "SELECT n.value, y.value, t.robot, t.domain, t.messages, t.lost, t.bytes"
                " FROM topics t JOIN labels n ON n.label = t.topic JOIN labels y ON"
                " y.label = t.type WHERE t.session = ?1 ORDER BY n.value, t.robot, t.domain",
                call_topic, &call, err);
}

struct mark_call {
    int (*fn)(void *ctx, const struct bp_archive_mark *m);
    void *ctx;
};

static int call_mark(sqlite3_stmt *s, void *ctx) {
    struct mark_call *call = ctx;
    struct bp_archive_mark m = { .wall_ns = sqlite3_column_int64(s, 0),
                                 .text = bp_db_text(s, 1),
                                 .values = bp_db_text(s, 2) };

    return call->fn(call->ctx, &m);
}

int bp_archive_each_mark(struct bp_archive *a, const char *id,
                         int (*fn)(void *ctx, const struct bp_archive_mark *m), void *ctx,
                         struct bp_error *err) {
    struct mark_call call = { fn, ctx };

    return each(a, id,
                "SELECT wall_ns, text, vals FROM marks WHERE session = ?1 ORDER BY wall_ns, mark",
                call_mark, &call, err);
}

static int copy_text(sqlite3_stmt *s, void *ctx) {
    char **ret = ctx;

    *ret = strdup(bp_db_text(s, 0));
    return *ret ? 0 : -ENOMEM;
}

int bp_archive_overview(struct bp_archive *a, const char *id, char **ret, struct bp_error *err) {
    BP_AUTO_FREE char *text = NULL;
    int r = each(a, id, "SELECT json FROM overviews WHERE session = ?1", copy_text, &text, err);

    if (r == 0 && !text)
        text = strdup("");
    if (r < 0 || !text)
        return r < 0 ? r : bp_fail(err, -ENOMEM, "no memory for an overview");
    *ret = BP_TAKE_PTR(text);
    return 0;
}

/* ---- over all sessions ---- */

int bp_archive_references(struct bp_archive *a, const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                          uint64_t *ret, struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    int64_t n = 0;
    int r = bp_archive_ask(
        c, &n, err, "SELECT count(*) FROM files WHERE sha256 = ?1 AND state <> 0", "d", sha256);

    bp_archive_let_go(c);
    if (r < 0)
        return r;
    *ret = (uint64_t) n;
    return 0;
}

/* A text of each row that refers to an object. */
static int each_text(struct bp_archive *a, const char *sql, const uint8_t *sha256,
                     int (*fn)(void *ctx, const char *text), void *ctx, struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, sql, &s, err);

    if (r == 0 && sqlite3_bind_blob(s, 1, sha256, BP_ARCHIVE_DIGEST, SQLITE_TRANSIENT) != SQLITE_OK)
        r = bp_archive_fail(c, err);
    while (r == 0 && (r = bp_archive_step(c, s, err)) > 0)
        r = fn(ctx, bp_db_text(s, 0));
    if (s)
        bp_db_put_back(s);
    bp_archive_let_go(c);
    return r;
}

int bp_archive_each_holder(struct bp_archive *a, const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                           int (*fn)(void *ctx, const char *id), void *ctx, struct bp_error *err) {
    return each_text(a,
                     "SELECT DISTINCT s.id FROM files f JOIN sessions s ON s.num = f.session"
                     " WHERE f.sha256 = ?1 AND f.state <> 0 AND f.kind = 0",
                     sha256, fn, ctx, err);
}

int bp_archive_each_owner(struct bp_archive *a, const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                          int (*fn)(void *ctx, const char *device), void *ctx,
                          struct bp_error *err) {
    return each_text(a,
                     "SELECT DISTINCT x.device FROM files f JOIN texts x ON x.session = f.session"
                     " WHERE f.sha256 = ?1 AND f.state <> 0",
                     sha256, fn, ctx, err);
}

int bp_archive_each_unverified(struct bp_archive *a, uint32_t limit,
                               int (*fn)(void *ctx, const char *id,
                                         const struct bp_archive_file *f),
                               void *ctx, struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c,
                            "SELECT s.id, f.file, f.kind, f.state, f.sha256, f.bytes, f.messages,"
                            " f.repeated, f.first_ns, f.last_ns, f.stored_ns, f.text"
                            " FROM files f JOIN sessions s ON s.num = f.session"
                            " WHERE f.state = 1 AND f.kind = 0 ORDER BY f.stored_ns LIMIT ?1",
                            &s, err);

    if (r == 0 && !bp_db_bind_int(s, 1, limit))
        r = bp_archive_fail(c, err);
    while (r == 0 && (r = bp_archive_step(c, s, err)) > 0) {
        struct bp_archive_file f = read_file(s, 1);

        r = fn(ctx, bp_db_text(s, 0), &f);
    }
    if (s)
        bp_db_put_back(s);
    bp_archive_let_go(c);
    return r;
}

int bp_archive_sums(struct bp_archive *a, struct bp_archive_sums *ret, struct bp_error *err) {
    static const char sql[] =
        "SELECT sessions, segments, bytes, messages, lost,"
        " (SELECT sessions FROM labels WHERE kind = 'state' AND value = 'receiving'),"
        " (SELECT sessions FROM labels WHERE kind = 'state' AND value = 'damaged'),"
        " (SELECT count(*) FROM devices) FROM sums";
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, sql, &s, err);

    if (r == 0) {
        r = bp_archive_step(c, s, err);
        if (r > 0)
            *ret = (struct bp_archive_sums){ .sessions = bp_db_count(s, 0),
                                             .segments = bp_db_count(s, 1),
                                             .bytes = bp_db_count(s, 2),
                                             .messages = bp_db_count(s, 3),
                                             .lost = bp_db_count(s, 4),
                                             .receiving = bp_db_count(s, 5),
                                             .damaged = bp_db_count(s, 6),
                                             .devices = bp_db_count(s, 7) };
        bp_db_put_back(s);
    }
    bp_archive_let_go(c);
    return r < 0 ? r : 0;
}
