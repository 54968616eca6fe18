#pragma once

#include <pthread.h>
#include <sqlite3.h>

#include "sync/queue.h"

/* What the files of the queue share. */

enum { BP_QUEUE_STATEMENTS = 96 };

struct bp_sync_queue {
    /* Recursive, held over SQL and transactions, files included: turns are what it is for. Nothing
     * else is taken under it. */
    pthread_mutex_t turn;
    sqlite3 *db;    /* [turn] */
    unsigned depth; /* [turn] of transactions */
    struct {
        const char *sql; /* a literal: found by its address */
        sqlite3_stmt *s;
    } stmts[BP_QUEUE_STATEMENTS]; /* [turn] prepared when first used, reset between uses */
    char *path;                   /* constant */
};

/** What sqlite just failed with, as ours. */
int bp_sync_queue_fail(const struct bp_sync_queue *q, struct bp_error *err);

/**
 * Prepares, once, and binds.
 *
 * @param sql    a literal
 * @param types  of the values that follow: 't' const char * (NULL as NULL), 'i' int64_t
 * @param ret    to be given back by bp_sync_queue_reset_stmt(); texts are borrowed until then
 */
int bp_sync_queue_bind(struct bp_sync_queue *q, sqlite3_stmt **ret, struct bp_error *err,
                       const char *sql, const char *types, ...);
/** @return 1 and a row, 0 at the end */
int bp_sync_queue_step(struct bp_sync_queue *q, sqlite3_stmt *s, struct bp_error *err);
/** Forgets what was bound. Takes NULL. */
void bp_sync_queue_reset_stmt(sqlite3_stmt *s);
/** Binds and runs a statement that gives no rows. */
int bp_sync_queue_run(struct bp_sync_queue *q, struct bp_error *err, const char *sql,
                      const char *types, ...);
/** The first number of the first row, `otherwise` without one. */
int bp_sync_queue_number(struct bp_sync_queue *q, int64_t otherwise, int64_t *ret,
                         struct bp_error *err, const char *sql, const char *types, ...);

static inline void bp_sync_stmtp(sqlite3_stmt **s) {
    bp_sync_queue_reset_stmt(*s);
}
#define BP_AUTO_STMT BP_CLEANUP(bp_sync_stmtp) sqlite3_stmt

static inline void bp_sync_turn_begin(struct bp_sync_queue *q) {
    (void) pthread_mutex_lock(&q->turn);
}

static inline void bp_sync_turn_end(struct bp_sync_queue *q) {
    (void) pthread_mutex_unlock(&q->turn);
}
