/* Uploads that nobody goes on with: the file has another content by now, another name over there,
 * or is gone with its session. Until its target has let go of one it has a row of its own, with all
 * that the target needs to know of it. */
#include "sync/queue-priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- listing them ---- */

/* What is done was made of its upload. The rows it is taken from are about to change or go. */
#define LIST_FROM_UPLOADS                                                                          \
    "INSERT INTO aborts (target, session, session_name, robot, started_ns, remote, sha256, token)" \
    " SELECT u.target, u.session, s.name, s.robot, s.started_ns, u.remote, f.sha256, u.token"      \
    " FROM uploads u JOIN files f ON f.file = u.file JOIN sessions s ON s.id = u.session"          \
    " WHERE u.token <> '' AND u.state <> 3 AND "
#define ONCE " ON CONFLICT DO NOTHING"

int bp_sync_queue_abandon_file(struct bp_sync_queue *q, int64_t file, struct bp_error *err) {
    return bp_sync_queue_run(q, err, LIST_FROM_UPLOADS "u.file = ?1" ONCE, "i", file);
}

int bp_sync_queue_abandon_upload(struct bp_sync_queue *q, int64_t upload, struct bp_error *err) {
    return bp_sync_queue_run(q, err, LIST_FROM_UPLOADS "u.upload = ?1" ONCE, "i", upload);
}

int bp_sync_queue_abandon_session(struct bp_sync_queue *q, const char *session,
                                  struct bp_error *err) {
    return bp_sync_queue_run(q, err, LIST_FROM_UPLOADS "u.session = ?1" ONCE, "t", session);
}

int bp_sync_queue_abandon(struct bp_sync_queue *q, const char *target, const struct bp_sync_job *j,
                          const char *sha256, const char *token, struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "INSERT INTO aborts (target, session, session_name, robot, started_ns,"
                          " remote, sha256, token) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)" ONCE,
                          "ttttittt", target, j->session, j->session_name, j->robot,
                          (int64_t) j->started_ns, j->remote, sha256, token);
    bp_sync_turn_end(q);
    return r;
}

/* ---- the next one ---- */

void bp_sync_abort_done(struct bp_sync_abort *a) {
    free(a->session_name);
    free(a->robot);
    free(a->remote);
    free(a->token);
    *a = (struct bp_sync_abort){ 0 };
}

static const char *text_at(sqlite3_stmt *s, int i) {
    const char *t = (const char *) sqlite3_column_text(s, i);

    return t ? t : "";
}

static int read_abort(sqlite3_stmt *s, struct bp_sync_abort *ret, struct bp_error *err) {
    BP_AUTO_SYNC_ABORT a = { .number = sqlite3_column_int64(s, 0),
                             .session_name = strdup(text_at(s, 3)),
                             .robot = strdup(text_at(s, 4)),
                             .remote = strdup(text_at(s, 2)),
                             .token = strdup(text_at(s, 7)),
                             .started_ns = sqlite3_column_int64(s, 5),
                             .tries = (unsigned) sqlite3_column_int64(s, 8) };

    if (!a.session_name || !a.robot || !a.remote || !a.token)
        return bp_fail(err, -ENOMEM, "no memory for an upload");
    (void) snprintf(a.session, sizeof a.session, "%s", text_at(s, 1));
    (void) snprintf(a.sha256, sizeof a.sha256, "%s", text_at(s, 6));
    *ret = BP_TAKE(a, ((struct bp_sync_abort){ 0 }));
    return 1;
}

/* A file that may have this content (again) goes on with what there is of it: so says begun(). */
static const char next_sql[] =
    "SELECT a.number, a.session, a.remote, a.session_name, a.robot, a.started_ns, a.sha256,"
    " a.token, a.tries FROM aborts a WHERE a.target = ?1 AND a.next_mono <= ?2"
    " AND NOT EXISTS (SELECT 1 FROM uploads u JOIN files f ON f.file = u.file"
    " WHERE u.session = a.session AND u.target = a.target AND u.remote = a.remote"
    " AND u.state IN (0, 1) AND f.sha256 IN ('', a.sha256)) ORDER BY a.tries, a.number";

int bp_sync_queue_next_abort(struct bp_sync_queue *q, const char *target, bp_ns_t now_mono,
                             bool (*skip)(void *ctx, const char *session, const char *remote),
                             void *ctx, struct bp_sync_abort *ret, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_bind(q, &s, err, next_sql, "ti", target, (int64_t) now_mono);
    if (r >= 0)
        r = bp_sync_queue_step(q, s, err);
    while (r > 0 && skip && skip(ctx, text_at(s, 1), text_at(s, 2)))
        r = bp_sync_queue_step(q, s, err);
    if (r > 0)
        r = read_abort(s, ret, err);
    bp_sync_queue_reset_stmt(s);
    bp_sync_turn_end(q);
    return r;
}

/* ---- what became of them ---- */

int bp_sync_queue_resumed(struct bp_sync_queue *q, int64_t upload, const char *token,
                          struct bp_error *err) {
    return bp_sync_queue_run(q, err,
                             "DELETE FROM aborts WHERE token = ?2"
                             " AND (target, session, remote, sha256) = (SELECT u.target, u.session,"
                             " u.remote, f.sha256 FROM uploads u JOIN files f ON f.file = u.file"
                             " WHERE u.upload = ?1)",
                             "it", upload, token);
}

int bp_sync_queue_aborted(struct bp_sync_queue *q, const char *target, const struct bp_sync_job *j,
                          const char *sha256, const char *token, struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "DELETE FROM aborts WHERE target = ?1 AND session = ?2 AND remote = ?3"
                          " AND sha256 = ?4 AND token = ?5",
                          "ttttt", target, j->session, j->remote, sha256, token);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_abort_over(struct bp_sync_queue *q, int64_t number, struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err, "DELETE FROM aborts WHERE number = ?1", "i", number);
    bp_sync_turn_end(q);
    return r;
}

int bp_sync_queue_abort_later(struct bp_sync_queue *q, int64_t number, bp_ns_t next_mono,
                              struct bp_error *err) {
    int r;

    bp_sync_turn_begin(q);
    r = bp_sync_queue_run(q, err,
                          "UPDATE aborts SET tries = tries + 1, next_mono = ?2 WHERE number = ?1",
                          "ii", number, (int64_t) next_mono);
    bp_sync_turn_end(q);
    return r;
}
