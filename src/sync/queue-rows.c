/* Rows of the queue: every statement that changes what is there, and what is next. */
#include "sync/queue-priv.h"

#include <errno.h>
#include <stdio.h>

#include <jansson.h>

#include "base/buf.h"

enum { SMALL_BYTES = 16 << 20, RANK_DESCRIPTION = 0, RANK_PAYLOAD = 1, RANK_LAST = 9 };

static int rank_of(enum bp_sync_kind kind, bool manifest_last) {
    switch (kind) {
    case BP_SYNC_MANIFEST:
        return manifest_last ? RANK_LAST : RANK_DESCRIPTION;
    case BP_SYNC_METADATA:
    case BP_SYNC_SIGNATURE:
    case BP_SYNC_PREVIEW:
        return RANK_DESCRIPTION;
    default:
        return RANK_PAYLOAD;
    }
}

/* Words as a JSON array; owned by the caller. */
static char *pack_words(const char *const *words) {
    json_t *a = json_array();
    char *text;

    for (size_t i = 0; a && words && words[i]; i++)
        (void) json_array_append_new(a, json_string(words[i])); /* no UTF-8: left out */
    text = a ? json_dumps(a, JSON_COMPACT) : NULL;
    json_decref(a);
    return text;
}

/* ---- what there is ---- */

static int put_session(struct bp_sync_queue *q, const struct bp_sync_session *x,
                       const char *const packed[3], bool *ret_changed, struct bp_error *err) {
    const char *robot = x->robots && x->robots[0] ? x->robots[0] : "";
    int64_t revision = 0, after = 0;
    int r = bp_sync_queue_number(q, 0, &revision, err,
                                 "SELECT revision FROM sessions WHERE id = ?1", "t", x->id);

    if (r >= 0)
        r = bp_sync_queue_run(
            q, err,
            "INSERT INTO sessions (id, dir, name, json, robot, tags, robots, topics, started_ns,"
            " marked) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)"
            " ON CONFLICT (id) DO UPDATE SET dir = excluded.dir, name = excluded.name,"
            " revision = revision + (json <> excluded.json), json = excluded.json,"
            /* robot stays: it is part of keys, and a session is looked for in one folder */
            " tags = excluded.tags, robots = excluded.robots,"
            " topics = excluded.topics, started_ns = excluded.started_ns, marked = excluded.marked",
            "ttttttttii", x->id, x->dir, x->name, x->json, robot, packed[0], packed[1], packed[2],
            (int64_t) x->started_ns, (int64_t) x->marked);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE uploads SET marked = ?2, started_ns = ?3 WHERE session = ?1"
                              " AND (marked <> ?2 OR started_ns <> ?3)",
                              "tii", x->id, (int64_t) x->marked, (int64_t) x->started_ns);
    if (r >= 0)
        r = bp_sync_queue_number(q, 0, &after, err, "SELECT revision FROM sessions WHERE id = ?1",
                                 "t", x->id);
    if (r >= 0 && after != revision && revision != 0) /* whoever had it whole has to hear of it */
        r = bp_sync_queue_run(q, err, "UPDATE goes SET next_mono = 0, tries = 0 WHERE session = ?1",
                              "t", x->id);
    if (r >= 0 && ret_changed)
        *ret_changed = after != revision;
    return r;
}

int bp_sync_queue_put_session(struct bp_sync_queue *q, const struct bp_sync_session *x,
                              bool *ret_changed, struct bp_error *err) {
    BP_AUTO_FREE char *tags = pack_words(x->tags), *robots = pack_words(x->robots),
                      *topics = pack_words(x->topics);
    const char *const packed[3] = { tags, robots, topics };
    int r;

    if (!tags || !robots || !topics)
        return bp_fail(err, -ENOMEM, "no memory for a session");
    r = bp_sync_queue_begin(q, err);
    if (r < 0)
        return r;
    return bp_sync_queue_end(q, put_session(q, x, packed, ret_changed, err), err);
}

static int insert_uploads(struct bp_sync_queue *q, const char *session, const char *target,
                          struct bp_error *err) {
    int r = 0;

    for (int k = 0; r >= 0 && k < BP_SYNC_KINDS_N_; k++) {
        r = bp_sync_queue_run(
            q, err,
            "INSERT INTO uploads (file, session, target, remote, bytes, marked, rank, large,"
            " started_ns) SELECT f.file, f.session, g.target, f.name, f.bytes, s.marked,"
            " CASE g.manifest_last WHEN 0 THEN ?4 ELSE ?5 END, f.bytes > ?6, s.started_ns"
            " FROM files f JOIN sessions s ON s.id = f.session"
            " JOIN goes g ON g.session = f.session"
            " WHERE f.session = ?1 AND (?2 IS NULL OR g.target = ?2) AND f.kind = ?3"
            " ORDER BY f.file ON CONFLICT (file, target) DO NOTHING",
            "tttiii", session, target, bp_sync_kind_name((enum bp_sync_kind) k),
            (int64_t) rank_of((enum bp_sync_kind) k, false),
            (int64_t) rank_of((enum bp_sync_kind) k, true), (int64_t) SMALL_BYTES);
    }
    return r;
}

int bp_sync_queue_want(struct bp_sync_queue *q, const char *session, const char *target,
                       bool manifest_last, struct bp_error *err) {
    int64_t there = 0;
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_number(q, 0, &there, err,
                             "SELECT 1 FROM goes WHERE session = ?1 AND target = ?2", "tt", session,
                             target);
    if (r >= 0 && !there) {
        r = bp_sync_queue_run(q, err,
                              "INSERT INTO goes (session, target, manifest_last)"
                              " VALUES (?1, ?2, ?3)",
                              "tti", session, target, (int64_t) manifest_last);
        if (r >= 0)
            r = insert_uploads(q, session, target, err);
    }
    return bp_sync_queue_end(q, r, err);
}

static int set_content(struct bp_sync_queue *q, int64_t file, uint64_t bytes, bp_ns_t mtime_ns,
                       const char *sha256, struct bp_error *err) {
    return bp_sync_queue_run(
        q, err, "UPDATE files SET bytes = ?2, mtime_ns = ?3, sha256 = ?4 WHERE file = ?1", "iiit",
        file, (int64_t) bytes, (int64_t) mtime_ns, sha256);
}

/* Its content is another one: its uploads get new numbers, so that what is still said of the old
 * ones by whoever is at work on them means nothing. What was begun of the former content is given
 * up. */
static int restart_file(struct bp_sync_queue *q, int64_t file, const char *session, uint64_t bytes,
                        bp_ns_t mtime_ns, const char *sha256, struct bp_error *err) {
    int r = bp_sync_queue_abandon_file(q, file, err);

    if (r >= 0)
        r = bp_sync_queue_run(q, err, "DELETE FROM uploads WHERE file = ?1", "i", file);
    if (r >= 0)
        r = set_content(q, file, bytes, mtime_ns, sha256, err);
    if (r >= 0)
        r = insert_uploads(q, session, NULL, err);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE goes SET finished_ns = 0, next_mono = 0, tries = 0"
                              " WHERE session = ?1",
                              "t", session);
    return r;
}

static int put_file(struct bp_sync_queue *q, const char *session, const char *name,
                    enum bp_sync_kind kind, uint64_t bytes, bp_ns_t mtime_ns, const char *sha256,
                    struct bp_error *err) {
    int64_t same = 0, file = 0;
    int r = bp_sync_queue_number(q, 0, &file, err,
                                 "SELECT file FROM files WHERE session = ?1 AND name = ?2", "tt",
                                 session, name);

    if (r >= 0 && file == 0) {
        r = bp_sync_queue_run(q, err,
                              "INSERT INTO files (session, name, kind, bytes, mtime_ns, sha256)"
                              " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                              "tttiit", session, name, bp_sync_kind_name(kind), (int64_t) bytes,
                              (int64_t) mtime_ns, sha256);
        if (r >= 0)
            r = bp_sync_queue_run(q, err, "UPDATE goes SET finished_ns = 0 WHERE session = ?1", "t",
                                  session);
        return r < 0 ? r : insert_uploads(q, session, NULL, err);
    }
    if (r >= 0)
        r = bp_sync_queue_number(
            q, 0, &same, err,
            "SELECT CASE WHEN ?4 <> '' AND sha256 <> '' THEN sha256 = ?4 AND bytes = ?2"
            " ELSE bytes = ?2 AND mtime_ns = ?3 END FROM files WHERE file = ?1",
            "iiit", file, (int64_t) bytes, (int64_t) mtime_ns, sha256);
    if (r < 0 || same)
        return r;
    return restart_file(q, file, session, bytes, mtime_ns, sha256, err);
}

int bp_sync_queue_put_file(struct bp_sync_queue *q, const char *session, const char *name,
                           enum bp_sync_kind kind, uint64_t bytes, bp_ns_t mtime_ns,
                           const char *sha256, struct bp_error *err) {
    int64_t there = 0;
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_number(q, 0, &there, err, "SELECT 1 FROM sessions WHERE id = ?1", "t",
                             session);
    if (r >= 0 && !there)
        r = bp_fail(err, -ENOENT, "the upload queue knows no session '%s'", session);
    if (r >= 0)
        r = put_file(q, session, name, kind, bytes, mtime_ns, sha256, err);
    return bp_sync_queue_end(q, r, err);
}

/* One statement that must have met a row. */
static int change(struct bp_sync_queue *q, const char *what, int r, struct bp_error *err) {
    if (r >= 0 && sqlite3_changes(q->db) == 0)
        return bp_fail(err, -ENOENT, "the upload queue knows no session '%s'", what);
    return r;
}

int bp_sync_queue_close_session(struct bp_sync_queue *q, const char *session,
                                struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = change(
        q, session,
        bp_sync_queue_run(q, err, "UPDATE sessions SET closed = 1 WHERE id = ?1", "t", session),
        err);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_forget(struct bp_sync_queue *q, const char *session, struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_abandon_session(q, session, err);
    if (r >= 0)
        r = bp_sync_queue_run(q, err, "DELETE FROM sessions WHERE id = ?1", "t", session);
    return bp_sync_queue_end(q, change(q, session, r, err), err);
}

int bp_sync_queue_forget_target(struct bp_sync_queue *q, const char *target, struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_run(q, err, "DELETE FROM uploads WHERE target = ?1", "t", target);
    if (r >= 0)
        r = bp_sync_queue_run(q, err, "DELETE FROM goes WHERE target = ?1", "t", target);
    return bp_sync_queue_end(q, r, err);
}

/* ---- what is next ---- */

void bp_sync_job_done(struct bp_sync_job *j) {
    free(j->session_name);
    free(j->dir);
    free(j->json);
    free(j->robot);
    free(j->name);
    free(j->remote);
    free(j->token);
    *j = (struct bp_sync_job){ 0 };
}

static const char *text_at(sqlite3_stmt *s, int i) {
    const char *t = (const char *) sqlite3_column_text(s, i);

    return t ? t : "";
}

static int read_job(sqlite3_stmt *s, struct bp_sync_job *ret, struct bp_error *err) {
    BP_AUTO_SYNC_JOB j = { .upload = sqlite3_column_int64(s, 0),
                           .file = sqlite3_column_int64(s, 1),
                           .session_name = strdup(text_at(s, 4)),
                           .dir = strdup(text_at(s, 5)),
                           .json = strdup(text_at(s, 6)),
                           .robot = strdup(text_at(s, 7)),
                           .name = strdup(text_at(s, 8)),
                           .remote = strdup(text_at(s, 9)),
                           .token = strdup(text_at(s, 10)),
                           .bytes = (uint64_t) sqlite3_column_int64(s, 12),
                           .part_bytes = (uint64_t) sqlite3_column_int64(s, 13),
                           .done = (uint64_t) sqlite3_column_int64(s, 14),
                           .started_ns = sqlite3_column_int64(s, 15),
                           .tries = (unsigned) sqlite3_column_int64(s, 16),
                           .closed = sqlite3_column_int(s, 17) != 0,
                           .force = sqlite3_column_int(s, 18) != 0,
                           .now = sqlite3_column_int(s, 19) != 0,
                           .mtime_ns = sqlite3_column_int64(s, 20) };
    int kind = bp_sync_kind_from_name(text_at(s, 11));

    if (!j.session_name || !j.dir || !j.json || !j.robot || !j.name || !j.remote || !j.token)
        return bp_fail(err, -ENOMEM, "no memory for an upload");
    (void) snprintf(j.sha256, sizeof j.sha256, "%s", text_at(s, 2));
    (void) snprintf(j.session, sizeof j.session, "%s", text_at(s, 3));
    j.kind = kind < 0 ? BP_SYNC_OTHER : (enum bp_sync_kind) kind; /* of a later version */
    *ret = BP_TAKE(j, ((struct bp_sync_job){ 0 }));
    return 1;
}

/* In the order of an index, so that the first rows are had without sorting. A session's manifest of
 * rank 9 waits for everything else of it. */
static const char next_sql[] =
    "SELECT u.upload, u.file, f.sha256, f.session, s.name, s.dir, s.json, s.robot, f.name,"
    " u.remote, u.token, f.kind, f.bytes, u.part_bytes, u.done, s.started_ns, u.tries, s.closed,"
    " u.forced, u.now, f.mtime_ns FROM uploads u CROSS JOIN files f ON f.file = u.file"
    " CROSS JOIN sessions s ON s.id = f.session"
    " CROSS JOIN goes g ON g.session = f.session AND g.target = u.target"
    " WHERE u.target = ?1 AND u.state = 0 AND u.next_mono <= ?2 AND (?3 = 0 OR u.now = 1)"
    " AND g.told > 0 AND (u.rank < 9 OR (s.closed = 1 AND NOT EXISTS"
    " (SELECT 1 FROM uploads o WHERE o.session = u.session AND o.target = u.target"
    " AND o.upload <> u.upload AND o.state NOT IN (3, 4))))"
    " ORDER BY u.target, u.state, u.now DESC, u.marked DESC, u.rank, u.large,"
    " u.started_ns DESC, u.file";

int bp_sync_queue_next(struct bp_sync_queue *q, const char *target, bp_ns_t now_mono, bool only_now,
                       bool (*skip)(void *ctx, int64_t file, const char *sha256), void *ctx,
                       struct bp_sync_job *ret, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(q, &s, err, next_sql, "tii", target, (int64_t) now_mono,
                           (int64_t) only_now);
    if (r >= 0)
        r = bp_sync_queue_step(q, s, err);
    while (r > 0 && skip && skip(ctx, sqlite3_column_int64(s, 1), text_at(s, 2)))
        r = bp_sync_queue_step(q, s, err);
    if (r > 0)
        r = read_job(s, ret, err);
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_next_mono(struct bp_sync_queue *q, const char *target, bp_ns_t now_mono,
                            bp_ns_t *ret, struct bp_error *err) {
    int64_t uploads = INT64_MAX, goes = INT64_MAX, aborts = INT64_MAX;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_number(q, INT64_MAX, &uploads, err,
                             "SELECT min(next_mono) FROM uploads WHERE target = ?1 AND state = 0"
                             " AND next_mono > ?2",
                             "ti", target, (int64_t) now_mono);
    if (r >= 0)
        r = bp_sync_queue_number(q, INT64_MAX, &goes, err,
                                 "SELECT min(next_mono) FROM goes WHERE target = ?1"
                                 " AND next_mono > ?2",
                                 "ti", target, (int64_t) now_mono);
    if (r >= 0)
        r = bp_sync_queue_number(q, INT64_MAX, &aborts, err,
                                 "SELECT min(next_mono) FROM aborts WHERE target = ?1"
                                 " AND next_mono > ?2",
                                 "ti", target, (int64_t) now_mono);
    bp_sync_turn_end(q);
    if (r >= 0)
        *ret = BP_MIN(BP_MIN(uploads, goes), aborts);
    return r;
}

void bp_sync_due_done(struct bp_sync_due *d) {
    free(d->name);
    free(d->dir);
    free(d->json);
    free(d->robot);
    *d = (struct bp_sync_due){ 0 };
}

static int read_due(sqlite3_stmt *s, struct bp_sync_due *ret, struct bp_error *err) {
    BP_AUTO_SYNC_DUE d = { .name = strdup(text_at(s, 1)),
                           .dir = strdup(text_at(s, 2)),
                           .json = strdup(text_at(s, 3)),
                           .robot = strdup(text_at(s, 4)),
                           .started_ns = sqlite3_column_int64(s, 5),
                           .revision = sqlite3_column_int64(s, 6),
                           .closed = sqlite3_column_int(s, 7) != 0,
                           .force = sqlite3_column_int(s, 8) != 0,
                           .finish = sqlite3_column_int(s, 9) != 0 };

    if (!d.name || !d.dir || !d.json || !d.robot)
        return bp_fail(err, -ENOMEM, "no memory for a session");
    (void) snprintf(d.session, sizeof d.session, "%s", text_at(s, 0));
    *ret = BP_TAKE(d, ((struct bp_sync_due){ 0 }));
    return 1;
}

/* To tell first, marked ones and new ones before others; then to finish. */
static const char due_sql[] =
    "SELECT s.id, s.name, s.dir, s.json, s.robot, s.started_ns, s.revision, s.closed, g.forced,"
    " g.told >= s.revision AS finish FROM goes g CROSS JOIN sessions s ON s.id = g.session"
    " WHERE g.target = ?1 AND g.next_mono <= ?2 AND (g.told < s.revision"
    " OR (g.finished_ns = 0 AND s.closed = 1 AND NOT EXISTS (SELECT 1 FROM uploads o WHERE"
    " o.session = g.session AND o.target = g.target AND o.state <> 3)))"
    " AND (?3 = 0 OR g.told >= s.revision OR EXISTS (SELECT 1 FROM uploads o WHERE"
    " o.session = g.session AND o.target = g.target AND o.now = 1))"
    " ORDER BY finish, s.marked DESC, s.started_ns DESC LIMIT 1";

int bp_sync_queue_due(struct bp_sync_queue *q, const char *target, bp_ns_t now_mono, bool only_now,
                      struct bp_sync_due *ret, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(q, &s, err, due_sql, "tii", target, (int64_t) now_mono,
                           (int64_t) only_now);
    if (r >= 0)
        r = bp_sync_queue_step(q, s, err);
    if (r > 0)
        r = read_due(s, ret, err);
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    return r;
}

/* ---- what became of it ---- */

static int set_digest(struct bp_sync_queue *q, const struct bp_sync_job *j, uint64_t bytes,
                      bp_ns_t mtime_ns, const char *sha256, struct bp_error *err) {
    int64_t other = 0;
    int r = bp_sync_queue_number(q, 0, &other, err,
                                 "SELECT bytes <> ?2 OR (sha256 <> '' AND sha256 <> ?3)"
                                 " FROM files WHERE file = ?1",
                                 "iit", j->file, (int64_t) bytes, sha256);

    if (r >= 0 && other)
        r = restart_file(q, j->file, j->session, bytes, mtime_ns, sha256, err);
    else if (r >= 0)
        r = set_content(q, j->file, bytes, mtime_ns, sha256, err);
    return r < 0 ? r : (int) other;
}

int bp_sync_queue_set_digest(struct bp_sync_queue *q, const struct bp_sync_job *j, uint64_t bytes,
                             bp_ns_t mtime_ns, const char *sha256, struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    return r < 0 ? r : bp_sync_queue_end(q, set_digest(q, j, bytes, mtime_ns, sha256, err), err);
}

static int forget_parts(struct bp_sync_queue *q, int64_t upload, struct bp_error *err) {
    int r = bp_sync_queue_abandon_upload(q, upload, err);

    if (r >= 0)
        r = bp_sync_queue_run(q, err, "DELETE FROM parts WHERE upload = ?1", "i", upload);
    if (r >= 0)
        r = bp_sync_queue_run(
            q, err, "UPDATE uploads SET token = '', part_bytes = 0, done = 0 WHERE upload = ?1",
            "i", upload);
    return r;
}

static int begun(struct bp_sync_queue *q, int64_t upload, const char *token, uint64_t part_bytes,
                 struct bp_error *err) {
    int64_t same = 0;
    bool gone = false;
    int r = bp_sync_queue_number(q, 0, &same, err,
                                 "SELECT token = ?2 AND part_bytes = ?3 FROM uploads"
                                 " WHERE upload = ?1",
                                 "iti", upload, token, (int64_t) part_bytes);

    if (r >= 0 && !same) {
        r = forget_parts(q, upload, err);
        if (r >= 0)
            r = bp_sync_queue_run(
                q, err, "UPDATE uploads SET token = ?2, part_bytes = ?3 WHERE upload = ?1", "iti",
                upload, token, (int64_t) part_bytes);
        gone = r >= 0 && sqlite3_changes(q->db) == 0;
    }
    if (r >= 0 && !gone) /* what was given up may have the same token */
        r = bp_sync_queue_resumed(q, upload, token, err);
    return r < 0 ? r : gone;
}

int bp_sync_queue_begun(struct bp_sync_queue *q, int64_t upload, const char *token,
                        uint64_t part_bytes, struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    return r < 0 ? r : bp_sync_queue_end(q, begun(q, upload, token, part_bytes, err), err);
}

int bp_sync_queue_put_part(struct bp_sync_queue *q, int64_t upload, uint32_t n, const char *etag,
                           uint64_t bytes, struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);
    int64_t there = 0;

    if (r < 0)
        return r;
    r = bp_sync_queue_number(q, 0, &there, err, "SELECT 1 FROM parts WHERE upload = ?1 AND n = ?2",
                             "ii", upload, (int64_t) n);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "INSERT INTO parts (upload, n, etag) SELECT ?1, ?2, ?3 WHERE EXISTS"
                              " (SELECT 1 FROM uploads WHERE upload = ?1)"
                              " ON CONFLICT (upload, n) DO UPDATE SET etag = excluded.etag",
                              "iit", upload, (int64_t) n, etag);
    if (r >= 0 && !there)
        r = bp_sync_queue_run(q, err, "UPDATE uploads SET done = done + ?2 WHERE upload = ?1", "ii",
                              upload, (int64_t) bytes);
    return bp_sync_queue_end(q, r, err);
}

static int set_parts(struct bp_sync_queue *q, int64_t upload, const struct bp_sync_upload *u,
                     struct bp_error *err) {
    uint64_t done = 0;
    int r = bp_sync_queue_run(q, err, "DELETE FROM parts WHERE upload = ?1", "i", upload);

    for (uint32_t n = 0; r >= 0 && n < u->nparts; n++) {
        if (!u->parts[n].there)
            continue;
        done += bp_sync_part_size(u, n);
        r = bp_sync_queue_run(q, err,
                              "INSERT INTO parts (upload, n, etag) SELECT ?1, ?2, ?3 WHERE EXISTS"
                              " (SELECT 1 FROM uploads WHERE upload = ?1)",
                              "iit", upload, (int64_t) n, u->parts[n].etag);
    }
    if (r >= 0)
        r = bp_sync_queue_run(q, err, "UPDATE uploads SET done = ?2 WHERE upload = ?1", "ii",
                              upload, (int64_t) done);
    return r;
}

int bp_sync_queue_set_parts(struct bp_sync_queue *q, int64_t upload, const struct bp_sync_upload *u,
                            struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    return r < 0 ? r : bp_sync_queue_end(q, set_parts(q, upload, u, err), err);
}

int bp_sync_queue_get_parts(struct bp_sync_queue *q, int64_t upload, struct bp_sync_upload *u,
                            struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(q, &s, err, "SELECT n, etag FROM parts WHERE upload = ?1", "i", upload);
    while (r >= 0 && (r = bp_sync_queue_step(q, s, err)) > 0) {
        int64_t n = sqlite3_column_int64(s, 0);

        if (n < 0 || n >= u->nparts)
            continue;
        u->parts[n].there = true;
        (void) snprintf(u->parts[n].etag, sizeof u->parts[n].etag, "%s", text_at(s, 1));
    }
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_reset(struct bp_sync_queue *q, int64_t upload, struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    return r < 0 ? r : bp_sync_queue_end(q, forget_parts(q, upload, err), err);
}

int bp_sync_queue_redirect(struct bp_sync_queue *q, int64_t upload, const char *remote, bool force,
                           struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = forget_parts(q, upload, err);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE uploads SET remote = coalesce(?2, remote), forced = ?3,"
                              " state = 0, next_mono = 0, tries = 0, error = '', class = 0"
                              " WHERE upload = ?1",
                              "iti", upload, remote, (int64_t) force);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE goes SET finished_ns = 0 WHERE (session, target) ="
                              " (SELECT session, target FROM uploads WHERE upload = ?1)",
                              "i", upload);
    return bp_sync_queue_end(q, r, err);
}

int bp_sync_queue_set_outcome(struct bp_sync_queue *q, int64_t upload,
                              const struct bp_sync_outcome *o, struct bp_error *err) {
    bool over = o->state != BP_SYNC_ROW_WAITING;
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    if (o->state == BP_SYNC_ROW_DONE) /* of no use any more */
        r = bp_sync_queue_run(q, err, "DELETE FROM parts WHERE upload = ?1", "i", upload);
    else if (o->state == BP_SYNC_ROW_KEPT)
        r = forget_parts(q, upload, err);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE uploads SET state = ?2, class = ?3, error = ?4, tries = ?5,"
                              " next_mono = ?6, confirmed_ns = ?7, now = now AND NOT ?8,"
                              " done = CASE ?2 WHEN 3 THEN bytes ELSE done END"
                              " WHERE upload = ?1",
                              "iiitiiii", upload, (int64_t) o->state, (int64_t) o->class,
                              o->error ? o->error : "", (int64_t) o->tries, (int64_t) o->next_mono,
                              (int64_t) o->confirmed_ns, (int64_t) over);
    return bp_sync_queue_end(q, r, err);
}

int bp_sync_queue_told(struct bp_sync_queue *q, const char *session, const char *target,
                       int64_t revision, struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "UPDATE goes SET told = ?3, forced = 0, tries = 0, next_mono = 0,"
                          " error = '' WHERE session = ?1 AND target = ?2",
                          "tti", session, target, revision);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_tell_later(struct bp_sync_queue *q, const char *session, const char *target,
                             unsigned *ret_tries, bp_ns_t next_mono, const char *error,
                             struct bp_error *err) {
    int64_t tries = 0;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "UPDATE goes SET tries = tries + ?5, next_mono = ?3, error = ?4"
                          " WHERE session = ?1 AND target = ?2",
                          "ttiti", session, target, (int64_t) next_mono, error,
                          (int64_t) (ret_tries != NULL));
    if (r >= 0)
        r = bp_sync_queue_number(q, 0, &tries, err,
                                 "SELECT tries FROM goes WHERE session = ?1 AND target = ?2", "tt",
                                 session, target);
    bp_sync_turn_end(q);
    if (r >= 0 && ret_tries)
        *ret_tries = (unsigned) tries;
    return r;
}

int bp_sync_queue_finished(struct bp_sync_queue *q, const char *session, const char *target,
                           bp_ns_t wall_ns, struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "UPDATE goes SET finished_ns = ?3, tries = 0, next_mono = 0, error = ''"
                          " WHERE session = ?1 AND target = ?2",
                          "tti", session, target, (int64_t) wall_ns);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_set_json(struct bp_sync_queue *q, const char *session, const char *json,
                           const char *force_target, struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = change(q, session,
               bp_sync_queue_run(q, err,
                                 "UPDATE sessions SET json = ?2, revision = revision + 1"
                                 " WHERE id = ?1",
                                 "tt", session, json),
               err);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE goes SET next_mono = 0, tries = 0,"
                              " forced = (target = coalesce(?2, '')) WHERE session = ?1",
                              "tt", session, force_target);
    return bp_sync_queue_end(q, r, err);
}
