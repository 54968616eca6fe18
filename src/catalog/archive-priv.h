#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "catalog/archive.h"
#include "catalog/db.h"

/* What the files of the archive share.
 *
 * One connection writes, several read; each has its lock, held over SQL, files included. Nothing
 * else of ours is taken under a reader's. The writer's may be taken again by its thread: reindexing
 * is one transaction around many calls. */
enum { BP_ARCHIVE_READERS = 3, BP_ARCHIVE_STATEMENTS = 64 };

struct bp_archive_conn {
    struct bp_mutex lock;
    struct bp_archive *archive; /* constant */
    sqlite3 *db;                /* [lock] */
    unsigned depth;             /* [lock] of transactions; the writer's alone */
    bool bulk;                  /* [lock] labels wait until everything is in */
    struct {
        const char *sql; /* a literal: compared by address */
        sqlite3_stmt *stmt;
    } cache[BP_ARCHIVE_STATEMENTS]; /* [lock] prepared when first used */
    size_t ncached;                 /* [lock] */
};

struct bp_archive {
    char *path; /* constant */
    struct bp_archive_conn writer;
    struct bp_archive_conn readers[BP_ARCHIVE_READERS];
    unsigned turn; /* [atomic] which reader is waited for when none is free */
};

/** The schema, version by version. */
extern const struct bp_db_kind bp_archive_kind;

int bp_archive_fail(const struct bp_archive_conn *c, struct bp_error *err);

/** A reader for this thread, release with bp_archive_let_go(). */
struct bp_archive_conn *bp_archive_reader(struct bp_archive *a) BP_NO_THREAD_SAFETY;
void bp_archive_let_go(struct bp_archive_conn *c) BP_NO_THREAD_SAFETY;

/** Takes the writer and begins a transaction, or a savepoint in one. */
BP_MUST_CHECK int bp_archive_begin(struct bp_archive *a, struct bp_archive_conn **ret,
                                   struct bp_error *err) BP_NO_THREAD_SAFETY;
/** Commits when r >= 0, else takes everything back; lets go. @return r, or why it was no commit */
BP_MUST_CHECK int bp_archive_end(struct bp_archive_conn *c, int r,
                                 struct bp_error *err) BP_NO_THREAD_SAFETY;

/**
 * A statement, prepared once. Put it back with bp_db_put_back().
 *
 * @param sql  a literal, or text that lives as long as the archive
 */
BP_MUST_CHECK int bp_archive_take(struct bp_archive_conn *c, const char *sql, sqlite3_stmt **ret,
                                  struct bp_error *err);
/** @return 1 and a row, 0 at the end, or negative */
int bp_archive_step(struct bp_archive_conn *c, sqlite3_stmt *s, struct bp_error *err);

/**
 * Runs a statement and puts it back.
 *
 * @param format  one letter a parameter: 'i' int64_t, 't' text, 'd' digest (of 32 bytes)
 * @return 0 or negative
 */
BP_MUST_CHECK int bp_archive_run(struct bp_archive_conn *c, struct bp_error *err, const char *sql,
                                 const char *format, ...);
/** The same; a number of its first row into `ret`. @return 1, 0 when there is no row, negative */
BP_MUST_CHECK int bp_archive_ask(struct bp_archive_conn *c, int64_t *ret, struct bp_error *err,
                                 const char *sql, const char *format, ...);

/** The number of a session that is there (a tombstone, too). @return 0, -ENOENT, … */
BP_MUST_CHECK int bp_archive_find(struct bp_archive_conn *c, const char *id, int64_t *ret,
                                  struct bp_error *err);

/* ---- rows (archive-rows.c) ---- */

#define BP_ARCHIVE_COLUMNS                                                                         \
    "s.num, s.id, s.state, s.signature, s.name, x.device, x.mission, x.operator, x.notes, x.tags," \
    " x.robots, x.doc, x.error, x.deleted_why, s.started_ns, s.ended_ns, s.received_ns,"           \
    " s.updated_ns, s.deleted_ns, s.messages, s.bytes, s.lost, s.segments, s.segments_here,"       \
    " s.topics, s.marks, s.manifest, s.keep"
BP_MUST_CHECK int bp_archive_read_session(sqlite3_stmt *row, struct bp_archive_session *ret,
                                          struct bp_error *err);

/* ---- labels and full text (archive-labels.c) ---- */

/**
 * Makes labels and full text of a session agree with its rows; for a tombstone or one that goes
 * there are none but its state.
 */
BP_MUST_CHECK int bp_archive_relabel(struct bp_archive_conn *c, int64_t num, struct bp_error *err);
/** The number of a label, made when it is not there. */
BP_MUST_CHECK int bp_archive_label(struct bp_archive_conn *c, const char *kind, const char *value,
                                   int64_t *ret, struct bp_error *err);

/** Calls fn for each text of a JSON array. @return 0, -EINVAL when it is none, what fn returned */
int bp_archive_each_text(const char *json, int (*fn)(void *ctx, const char *text), void *ctx);
