/* Rows of the queue: by hand, and how it stands. */
#include "sync/queue-priv.h"

#include <errno.h>

#include <jansson.h>

#include "base/buf.h"

/* ---- by hand ---- */

int bp_sync_queue_now(struct bp_sync_queue *q, const char *target, const char *session,
                      struct bp_error *err) {
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_run(q, err,
                          "UPDATE uploads SET now = 1, state = 0, tries = 0, next_mono = 0"
                          " WHERE state IN (0, 1) AND (?1 IS NULL OR target = ?1)"
                          " AND (?2 IS NULL OR session = ?2)",
                          "tt", target, session);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE goes SET tries = 0, next_mono = 0 WHERE next_mono <> 0"
                              " AND (?1 IS NULL OR target = ?1) AND (?2 IS NULL OR session = ?2)",
                              "tt", target, session);
    return bp_sync_queue_end(q, r, err);
}

int bp_sync_queue_now_file(struct bp_sync_queue *q, const char *session, const char *name,
                           struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "UPDATE uploads SET now = 1, state = 0, tries = 0, next_mono = 0"
                          " WHERE state IN (0, 1, 2) AND file ="
                          " (SELECT file FROM files WHERE session = ?1 AND name = ?2)",
                          "tt", session, name);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_segments(struct bp_sync_queue *q, const char *session, int64_t *ret,
                           struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_number(q, 0, ret, err,
                             "SELECT count(*) FROM files WHERE session = ?1 AND kind = 'segment'",
                             "t", session);
    bp_sync_turn_end(q);
    return r;
}

int64_t bp_sync_queue_retry(struct bp_sync_queue *q, const char *target, const char *session,
                            bool failed, struct bp_error *err) {
    int64_t n = 0;
    int r = bp_sync_queue_begin(q, err);

    if (r < 0)
        return r;
    r = bp_sync_queue_run(q, err,
                          "UPDATE uploads SET state = 0, tries = 0, next_mono = 0, class = 0,"
                          " error = '' WHERE (state = 1 OR (state = 2 AND ?3)"
                          " OR (state = 0 AND next_mono > 0))"
                          " AND (?1 IS NULL OR target = ?1) AND (?2 IS NULL OR session = ?2)",
                          "tti", target, session, (int64_t) failed);
    if (r >= 0)
        n = sqlite3_changes(q->db);
    if (r >= 0)
        r = bp_sync_queue_run(q, err,
                              "UPDATE goes SET tries = 0, next_mono = 0 WHERE next_mono <> 0"
                              " AND (?1 IS NULL OR target = ?1) AND (?2 IS NULL OR session = ?2)",
                              "tt", target, session);
    r = bp_sync_queue_end(q, r, err);
    return r < 0 ? r : n;
}

int bp_sync_queue_set(struct bp_sync_queue *q, const char *key, int64_t value,
                      struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "INSERT INTO settings (key, value) VALUES (?1, ?2)"
                          " ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                          "ti", key, value);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_get(struct bp_sync_queue *q, const char *key, int64_t *ret,
                      struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_number(q, 0, ret, err, "SELECT value FROM settings WHERE key = ?1", "t", key);
    bp_sync_turn_end(q);
    return r;
}

/* ---- how it stands ---- */

int bp_sync_queue_counts(struct bp_sync_queue *q, const char *target, struct bp_sync_counts *ret,
                         struct bp_error *err) {
    struct bp_sync_counts c = { 0 };
    struct bp_sync_count *const by_state[BP_SYNC_ROWS_N_] = {
        [BP_SYNC_ROW_WAITING] = &c.waiting, [BP_SYNC_ROW_PARKED] = &c.parked,
        [BP_SYNC_ROW_FAILED] = &c.failed,   [BP_SYNC_ROW_DONE] = &c.done,
        [BP_SYNC_ROW_KEPT] = &c.kept,
    };
    sqlite3_stmt *s = NULL;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(q, &s, err,
                           "SELECT state, count(*), sum(CASE state WHEN 3 THEN bytes"
                           " ELSE bytes - min(done, bytes) END)"
                           " FROM uploads WHERE target = ?1 GROUP BY state",
                           "t", target);
    while (r >= 0 && (r = bp_sync_queue_step(q, s, err)) > 0) {
        int64_t state = sqlite3_column_int64(s, 0);

        if (state >= 0 && state < BP_SYNC_ROWS_N_)
            *by_state[state] =
                (struct bp_sync_count){ .files = (uint64_t) sqlite3_column_int64(s, 1),
                                        .bytes = (uint64_t) sqlite3_column_int64(s, 2) };
    }
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    if (r >= 0)
        *ret = c;
    return r;
}

static const char *text_at(sqlite3_stmt *s, int i) {
    const char *t = (const char *) sqlite3_column_text(s, i);

    return t ? t : "";
}

static struct bp_sync_row row_of(sqlite3_stmt *s) {
    int kind = bp_sync_kind_from_name(text_at(s, 6));

    return (struct bp_sync_row){
        .number = sqlite3_column_int64(s, 0),
        .session = text_at(s, 1),
        .session_name = text_at(s, 2),
        .target = text_at(s, 3),
        .file = text_at(s, 4),
        .sha256 = text_at(s, 5),
        .kind = kind < 0 ? BP_SYNC_OTHER : (enum bp_sync_kind) kind,
        .state = (enum bp_sync_row_state) sqlite3_column_int(s, 7),
        .class = (enum bp_sync_class) sqlite3_column_int(s, 8),
        .error = text_at(s, 9),
        .bytes = (uint64_t) sqlite3_column_int64(s, 10),
        .done = (uint64_t) sqlite3_column_int64(s, 11),
        .tries = (unsigned) sqlite3_column_int64(s, 12),
        .confirmed_wall_ns = sqlite3_column_int64(s, 13),
    };
}

int bp_sync_queue_list(struct bp_sync_queue *q, const struct bp_sync_query *query,
                       int (*fn)(void *ctx, const struct bp_sync_row *r), void *ctx,
                       struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(
        q, &s, err,
        "SELECT u.upload, f.session, s.name, u.target, u.remote, f.sha256, f.kind, u.state,"
        /* what waits for its session to be taken tells why that is not */
        " u.class, CASE WHEN u.error = '' AND u.state = 0 THEN coalesce(g.error, '')"
        " ELSE u.error END, u.bytes, u.done, u.tries, u.confirmed_ns FROM uploads u"
        " JOIN files f ON f.file = u.file JOIN sessions s ON s.id = f.session"
        " LEFT JOIN goes g ON g.session = u.session AND g.target = u.target"
        " WHERE u.upload > ?1 AND (?2 IS NULL OR u.target = ?2)"
        " AND (?3 IS NULL OR u.session = ?3) AND (?4 < 0 OR u.state = ?4)"
        " ORDER BY u.upload LIMIT ?5",
        "ittii", query->after, query->target, query->session, (int64_t) query->state,
        (int64_t) (query->limit ? query->limit : 100));
    while (r >= 0 && (r = bp_sync_queue_step(q, s, err)) > 0) {
        struct bp_sync_row row = row_of(s);

        r = fn(ctx, &row);
        if (r != 0)
            break;
    }
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    return r;
}

/* ---- sessions ---- */

/* Words of a JSON array, borrowed from it: NULL-ended, free(). */
static const char **unpack(const char *text, json_t **ret_json) {
    json_t *a = json_loads(text, 0, NULL);
    size_t n = json_array_size(a), k = 0;
    const char **v = calloc(n + 1, sizeof *v);

    for (size_t i = 0; v && i < n; i++)
        if (json_is_string(json_array_get(a, i)))
            v[k++] = json_string_value(json_array_get(a, i));
    *ret_json = a;
    return v;
}

static int tell_session(sqlite3_stmt *s, int (*fn)(void *ctx, const struct bp_sync_session *s),
                        void *ctx) {
    json_t *j[3] = { NULL };
    const char **words[3];
    struct bp_sync_session x = { .id = text_at(s, 0),
                                 .dir = text_at(s, 1),
                                 .name = text_at(s, 2),
                                 .json = text_at(s, 3),
                                 .started_ns = sqlite3_column_int64(s, 7),
                                 .marked = sqlite3_column_int(s, 8) != 0 };
    int r;

    for (int i = 0; i < 3; i++)
        words[i] = unpack(text_at(s, 4 + i), &j[i]);
    x.tags = words[0];
    x.robots = words[1];
    x.topics = words[2];
    r = words[0] && words[1] && words[2] ? fn(ctx, &x) : -ENOMEM;
    for (int i = 0; i < 3; i++) {
        free(words[i]);
        json_decref(j[i]);
    }
    return r;
}

int bp_sync_queue_sessions(struct bp_sync_queue *q,
                           int (*fn)(void *ctx, const struct bp_sync_session *s), void *ctx,
                           struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(q, &s, err,
                           "SELECT id, dir, name, json, tags, robots, topics, started_ns, marked"
                           " FROM sessions ORDER BY id",
                           "");
    while (r >= 0 && (r = bp_sync_queue_step(q, s, err)) > 0) {
        r = tell_session(s, fn, ctx);
        if (r != 0)
            break;
    }
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    return r;
}

static int is_safe(struct bp_sync_queue *q, const char *session, const char *const *targets,
                   size_t n, struct bp_error *err) {
    int64_t closed = -1, finished = -1;
    bool somewhere = false;
    int r = bp_sync_queue_number(q, -1, &closed, err, "SELECT closed FROM sessions WHERE id = ?1",
                                 "t", session);

    if (r >= 0 && closed < 0)
        return bp_fail(err, -ENOENT, "the upload queue knows no session '%s'", session);
    for (size_t i = 0; r >= 0 && closed && i < n; i++) {
        r = bp_sync_queue_number(q, -1, &finished, err,
                                 "SELECT finished_ns FROM goes WHERE session = ?1 AND target = ?2",
                                 "tt", session, targets[i]);
        if (r >= 0 && finished == 0)
            return 0;
        somewhere = somewhere || finished > 0;
    }
    return r < 0 ? r : closed && somewhere;
}

int bp_sync_queue_is_safe(struct bp_sync_queue *q, const char *session, const char *const *targets,
                          size_t n, struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = is_safe(q, session, targets, n, err);
    bp_sync_turn_end(q);
    return r;
}

/* ---- decisions ---- */

int bp_sync_queue_decide(struct bp_sync_queue *q, const struct bp_sync_decision *d,
                         struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "INSERT INTO decisions (wall_ns, target, session, file, policy, ours,"
                          " theirs, result) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                          "ittttttt", (int64_t) d->wall_ns, d->target, d->session, d->file,
                          bp_sync_policy_name(d->policy), d->ours, d->theirs, d->result);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_decisions(struct bp_sync_queue *q,
                            int (*fn)(void *ctx, const struct bp_sync_decision *d), void *ctx,
                            struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r, policy;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(q, &s, err,
                           "SELECT decision, wall_ns, target, session, file, policy, ours, theirs,"
                           " result, undone FROM decisions ORDER BY decision",
                           "");
    while (r >= 0 && (r = bp_sync_queue_step(q, s, err)) > 0) {
        struct bp_sync_decision d = { .number = sqlite3_column_int64(s, 0),
                                      .wall_ns = sqlite3_column_int64(s, 1),
                                      .target = text_at(s, 2),
                                      .session = text_at(s, 3),
                                      .file = text_at(s, 4),
                                      .ours = text_at(s, 6),
                                      .theirs = text_at(s, 7),
                                      .result = text_at(s, 8),
                                      .undone = sqlite3_column_int(s, 9) != 0 };

        policy = bp_sync_policy_from_name(text_at(s, 5));
        d.policy = policy < 0 ? BP_SYNC_POLICY_LOCAL : (enum bp_sync_policy) policy;
        r = fn(ctx, &d);
        if (r != 0)
            break;
    }
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_undone(struct bp_sync_queue *q, int64_t number, struct bp_error *err) {
    int64_t undone = -1;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_number(q, -1, &undone, err,
                             "SELECT undone FROM decisions WHERE decision = ?1", "i", number);
    if (r >= 0 && undone < 0)
        r = bp_fail(err, -ENOENT, "there is no decision %lld", (long long) number);
    if (r >= 0 && undone > 0)
        r = bp_fail(err, -EALREADY, "decision %lld was taken back before", (long long) number);
    if (r >= 0)
        r = bp_sync_queue_run(q, err, "UPDATE decisions SET undone = 1 WHERE decision = ?1", "i",
                              number);
    bp_sync_turn_end(q);
    return r;
}
