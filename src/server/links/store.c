#include "server/links/store.h"

#include <errno.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <utlist.h>

#include "base/aside.h"
#include "base/mutex.h"
#include "base/thread.h"

/* An event is acknowledged when the transaction it is in has been committed; one that comes again,
 * because we ended before the acknowledgement went out, is found by its key and left alone. A row
 * has a number of ours, `n`, that rises over the logs of a device: its place in what is read.
 *
 * Acknowledged is everything up to a number, so a batch is written only behind what it follows: one
 * that could not be written takes those that were on their way behind it with it. */

static const char schema[] =
    "CREATE TABLE IF NOT EXISTS devices ("
    " device TEXT NOT NULL PRIMARY KEY, log TEXT NOT NULL, seq INTEGER NOT NULL,"
    " seen_ns INTEGER NOT NULL, about TEXT NOT NULL) STRICT;"
    "CREATE TABLE IF NOT EXISTS events ("
    " n INTEGER PRIMARY KEY AUTOINCREMENT,"
    " device TEXT NOT NULL, log TEXT NOT NULL, seq INTEGER NOT NULL, wall_ns INTEGER NOT NULL,"
    " topic TEXT NOT NULL, data TEXT NOT NULL,"
    " UNIQUE (device, log, seq)) STRICT;"
    "CREATE INDEX IF NOT EXISTS events_of ON events (device, n);";

enum { BUSY_MS = 5000, GATHER_MS = 20 };

enum {
    PUT_EVENT,
    PUT_DEVICE,
    LAST,
    CUT,
    FORGET_EVENTS,
    FORGET,
    FORGET_OLD_EVENTS,
    FORGET_OLD,
    STATEMENTS
};

static const char *const texts[STATEMENTS] = {
    [PUT_EVENT] = "INSERT OR IGNORE INTO events (device, log, seq, wall_ns, topic, data)"
                  " VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    [PUT_DEVICE] = "INSERT INTO devices (device, log, seq, seen_ns, about)"
                   " VALUES (?1, ?2, ?3, ?4, ifnull(?5, '{}'))"
                   " ON CONFLICT (device) DO UPDATE SET seq = iif(log = ?2, max(seq, ?3), ?3),"
                   " log = ?2, seen_ns = ?4, about = ifnull(?5, about)",
    [LAST] = "SELECT seq FROM devices WHERE device = ?1 AND log = ?2",
    [CUT] = "DELETE FROM events WHERE device = ?1 AND n <= (SELECT n FROM events WHERE device = ?1"
            " ORDER BY n DESC LIMIT 1 OFFSET ?2)",
    [FORGET_EVENTS] = "DELETE FROM events WHERE device = ?1",
    [FORGET] = "DELETE FROM devices WHERE device = ?1",
    [FORGET_OLD_EVENTS] = "DELETE FROM events WHERE device IN"
                          " (SELECT device FROM devices WHERE seen_ns < ?1)",
    [FORGET_OLD] = "DELETE FROM devices WHERE seen_ns < ?1",
};

struct bp_links_store {
    struct bp_links_store_opts o;
    sqlite3 *db, *reader;
    sqlite3_stmt *st[STATEMENTS]; /* the thread's */
    struct bp_mutex read_lock;    /* `reader` */
    pthread_t thread;
    bool started;
    struct bp_mutex lock; /* leaf */
    pthread_cond_t work;
    struct bp_links_batch *waiting; /* [lock] */
    size_t bytes;                   /* [lock] that wait or are written */
    bool stop;                      /* [lock] */
};

void bp_links_batch_free(struct bp_links_batch *b) {
    if (!b)
        return;
    json_decref(b->events);
    free(b->about);
    free(b);
}

static int failed(sqlite3 *db, struct bp_error *err) {
    int code = sqlite3_errcode(db) & 0xff;

    return bp_fail(err,
                   code == SQLITE_FULL                               ? -ENOSPC
                   : code == SQLITE_NOMEM                            ? -ENOMEM
                   : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? BP_ECORRUPT
                                                                     : -EIO,
                   "links.db: %s", sqlite3_errmsg(db));
}

static int bind_text(sqlite3_stmt *st, int at, const char *text) {
    return text ? sqlite3_bind_text(st, at, text, -1, SQLITE_STATIC) : sqlite3_bind_null(st, at);
}

static int run(sqlite3_stmt *st) {
    int r = sqlite3_step(st);

    (void) sqlite3_reset(st);
    return r == SQLITE_DONE ? 0 : -EIO;
}

static int put_event(struct bp_links_store *s, const struct bp_links_batch *b, const json_t *e) {
    sqlite3_stmt *st = s->st[PUT_EVENT];
    BP_AUTO_FREE char *data =
        json_dumps(json_object_get(e, "data"), JSON_COMPACT | JSON_ENCODE_ANY);
    const char *time = json_string_value(json_object_get(e, "time_ns"));

    if (!data)
        return -ENOMEM;
    if (bind_text(st, 1, b->device) || bind_text(st, 2, b->log) ||
        sqlite3_bind_int64(st, 3, json_integer_value(json_object_get(e, "seq"))) ||
        sqlite3_bind_int64(st, 4, time ? strtoll(time, NULL, 10) : 0) ||
        bind_text(st, 5, json_string_value(json_object_get(e, "topic"))) || bind_text(st, 6, data))
        return -EIO;
    return run(st);
}

/* @return 0; -EAGAIN when what the batch follows is not there, -EIO */
static int check_follows(struct bp_links_store *s, const struct bp_links_batch *b) {
    sqlite3_stmt *st = s->st[LAST];
    uint64_t last = 0;
    int r;

    if (!b->events || b->after == 0)
        return 0;
    if (bind_text(st, 1, b->device) || bind_text(st, 2, b->log))
        return -EIO;
    r = sqlite3_step(st);
    if (r == SQLITE_ROW)
        last = (uint64_t) sqlite3_column_int64(st, 0);
    (void) sqlite3_reset(st);
    return r != SQLITE_ROW && r != SQLITE_DONE ? -EIO : last < b->after ? -EAGAIN : 0;
}

static int forget(struct bp_links_store *s, const struct bp_links_batch *b) {
    int first = *b->device ? FORGET_EVENTS : FORGET_OLD_EVENTS, r = 0;

    for (int i = first; r == 0 && i < first + 2; i++) {
        r = *b->device ? bind_text(s->st[i], 1, b->device)
                       : sqlite3_bind_int64(s->st[i], 1, b->wall_ns);
        r = r ? -EIO : run(s->st[i]);
    }
    return r;
}

static int put_batch(struct bp_links_store *s, const struct bp_links_batch *b) {
    sqlite3_stmt *st = s->st[PUT_DEVICE];
    const json_t *e;
    size_t i;
    int r = 0;

    json_array_foreach(b->events, i, e) {
        r = r < 0 ? r : put_event(s, b, e);
    }
    if (r == 0 && (bind_text(st, 1, b->device) || bind_text(st, 2, b->log) ||
                   sqlite3_bind_int64(st, 3, (sqlite3_int64) b->last) ||
                   sqlite3_bind_int64(st, 4, b->wall_ns) || bind_text(st, 5, b->about)))
        r = -EIO;
    if (r == 0)
        r = run(st);
    st = s->st[CUT];
    if (r == 0 && b->events &&
        (bind_text(st, 1, b->device) || sqlite3_bind_int64(st, 2, s->o.max_events)))
        r = -EIO;
    return r < 0 || !b->events ? r : run(st);
}

static int write_all(struct bp_links_store *s, struct bp_links_batch *list) {
    struct bp_links_batch *b;
    int r = sqlite3_exec(s->db, "BEGIN IMMEDIATE", NULL, NULL, NULL) ? -EIO : 0;

    DL_FOREACH(list, b) {
        int follows = r < 0 ? r : check_follows(s, b);

        b->torn = follows == -EAGAIN;
        r = b->torn ? 0 : follows < 0 ? follows : b->forget ? forget(s, b) : put_batch(s, b);
    }
    if (r == 0 && sqlite3_exec(s->db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
        r = -EIO;
    if (r < 0)
        (void) sqlite3_exec(s->db, "ROLLBACK", NULL, NULL, NULL);
    return r;
}

/* Takes all that waits. @return NULL: the end */
static struct bp_links_batch *take(struct bp_links_store *s) {
    struct bp_links_batch *list;

    bp_mutex_lock(&s->lock);
    while (!s->waiting && !s->stop)
        bp_mutex_wait(&s->lock, &s->work);
    bp_mutex_unlock(&s->lock);
    bp_sleep(GATHER_MS * BP_MS); /* one commit for what many tell at the same time */
    bp_mutex_lock(&s->lock);
    list = BP_TAKE_PTR(s->waiting);
    bp_mutex_unlock(&s->lock);
    return list;
}

static void *writer(void *arg) {
    struct bp_links_store *s = arg;
    struct bp_links_batch *list;

    while ((list = take(s)) != NULL) {
        struct bp_links_batch *b, *next;
        size_t bytes = 0;
        int r = write_all(s, list);

        DL_FOREACH_SAFE(list, b, next) {
            bytes += b->bytes;
            s->o.stored(s->o.ctx, b, r < 0 ? r : b->torn ? -EAGAIN : 0);
        }
        bp_mutex_lock(&s->lock);
        s->bytes -= bytes;
        bp_mutex_unlock(&s->lock);
    }
    return NULL;
}

int bp_links_store_put(struct bp_links_store *s, struct bp_links_batch *b) {
    int r = 0;

    bp_mutex_lock(&s->lock);
    if (s->bytes + b->bytes > s->o.max_bytes * (b->events ? 1 : 2)) { /* notes are small */
        r = -ENOBUFS;
    } else {
        s->bytes += b->bytes;
        DL_APPEND(s->waiting, b);
        (void) pthread_cond_signal(&s->work);
    }
    bp_mutex_unlock(&s->lock);
    return r;
}

/* ---- its life ---- */

static int open_db(const char *path, sqlite3 **ret, struct bp_error *err) {
    int r = sqlite3_open_v2(path, ret,
                            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_busy_timeout(*ret, BUSY_MS);
    if (r == SQLITE_OK)
        r = sqlite3_exec(*ret, "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;", NULL, NULL,
                         NULL);
    if (r == SQLITE_OK)
        r = sqlite3_exec(*ret, schema, NULL, NULL, NULL);
    return r == SQLITE_OK ? 0 : failed(*ret, err);
}

static int open_both(struct bp_links_store *s, struct bp_error *err) {
    int r = open_db(s->o.path, &s->db, err);

    if (r == 0)
        r = open_db(s->o.path, &s->reader, err);
    for (int i = 0; r == 0 && i < STATEMENTS; i++)
        if (sqlite3_prepare_v2(s->db, texts[i], -1, &s->st[i], NULL) != SQLITE_OK)
            r = failed(s->db, err);
    return r;
}

static void close_both(struct bp_links_store *s) {
    for (int i = 0; i < STATEMENTS; i++) {
        (void) sqlite3_finalize(s->st[i]);
        s->st[i] = NULL;
    }
    (void) sqlite3_close(BP_TAKE_PTR(s->reader));
    (void) sqlite3_close(BP_TAKE_PTR(s->db));
}

int bp_links_store_open(const struct bp_links_store_opts *o, struct bp_links_store **ret,
                        struct bp_error *err) {
    struct bp_links_store *s = calloc(1, sizeof *s);
    int r;

    if (!s)
        return bp_fail(err, -ENOMEM, "out of memory");
    s->o = *o;
    bp_mutex_init(&s->lock);
    bp_mutex_init(&s->read_lock);
    (void) pthread_cond_init(&s->work, NULL);
    r = open_both(s, err);
    if (r == BP_ECORRUPT) { /* told again by nobody, but a server must start */
        close_both(s);
        r = bp_set_aside(o->path, err);
        if (r == 0)
            r = open_both(s, err);
    }
    if (r < 0) {
        bp_links_store_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void bp_links_store_close(struct bp_links_store *s) {
    struct bp_links_batch *b, *next;

    if (!s)
        return;
    if (s->started) {
        bp_mutex_lock(&s->lock);
        s->stop = true;
        (void) pthread_cond_signal(&s->work);
        bp_mutex_unlock(&s->lock);
        (void) pthread_join(s->thread, NULL);
    }
    DL_FOREACH_SAFE(s->waiting, b, next) {
        bp_links_batch_free(b);
    }
    close_both(s);
    (void) pthread_cond_destroy(&s->work);
    bp_mutex_done(&s->read_lock);
    bp_mutex_done(&s->lock);
    free(s);
}

int bp_links_store_each(struct bp_links_store *s,
                        void (*fn)(void *ctx, const char *device, const char *log, uint64_t last,
                                   bp_ns_t wall_seen, const char *about),
                        void *ctx, struct bp_error *err) {
    sqlite3_stmt *st = NULL;
    int r = sqlite3_prepare_v2(s->db,
                               "SELECT device, log, seq, seen_ns, about FROM devices"
                               " ORDER BY seen_ns DESC LIMIT 10000",
                               -1, &st, NULL);

    while (r == SQLITE_OK || r == SQLITE_ROW) {
        r = sqlite3_step(st);
        if (r == SQLITE_ROW)
            fn(ctx, (const char *) sqlite3_column_text(st, 0),
               (const char *) sqlite3_column_text(st, 1), (uint64_t) sqlite3_column_int64(st, 2),
               sqlite3_column_int64(st, 3), (const char *) sqlite3_column_text(st, 4));
    }
    r = r == SQLITE_DONE ? 0 : failed(s->db, err);
    (void) sqlite3_finalize(st);
    if (r == 0 && !s->started) {
        r = bp_thread_start("links-store", writer, s, &s->thread);
        s->started = r == 0;
        if (r < 0)
            (void) bp_fail(err, r, "there is no thread to write links.db");
    }
    return r;
}

static json_t *event_of(sqlite3_stmt *st) {
    json_t *data = json_loads((const char *) sqlite3_column_text(st, 4), JSON_DECODE_ANY, NULL);

    return json_pack("{s:I, s:s, s:I, s:o, s:s, s:o?}", "n",
                     (json_int_t) sqlite3_column_int64(st, 0), "log", sqlite3_column_text(st, 5),
                     "seq", (json_int_t) sqlite3_column_int64(st, 1), "time_ns",
                     json_sprintf("%lld", (long long) sqlite3_column_int64(st, 2)), "topic",
                     sqlite3_column_text(st, 3), "data", data);
}

int bp_links_store_events(struct bp_links_store *s, const char *device, uint64_t after,
                          unsigned limit, json_t **ret, struct bp_error *err) {
    json_t *list = json_array();
    sqlite3_stmt *st = NULL;
    int r;

    bp_mutex_lock(&s->read_lock);
    r = sqlite3_prepare_v2(s->reader,
                           "SELECT n, seq, wall_ns, topic, data, log FROM events"
                           " WHERE device = ?1 AND n > ?2 ORDER BY n LIMIT ?3",
                           -1, &st, NULL);
    if (r == SQLITE_OK)
        r = bind_text(st, 1, device) || sqlite3_bind_int64(st, 2, (sqlite3_int64) after) ||
            sqlite3_bind_int64(st, 3, limit);
    while (r == SQLITE_OK || r == SQLITE_ROW) {
        r = sqlite3_step(st);
        if (r == SQLITE_ROW)
            (void) json_array_append_new(list, event_of(st));
    }
    r = r == SQLITE_DONE ? 0 : failed(s->reader, err);
    (void) sqlite3_finalize(st);
    bp_mutex_unlock(&s->read_lock);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = json_pack(
        "{s:o, s:o}", "events", list, "next",
        json_array_size(list) < limit
            ? json_null()
            : json_incref(json_object_get(json_array_get(list, json_array_size(list) - 1), "n")));
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}
