/* The audit log. An entry's hash is the SHA-256 of the hash before it (zeroes before the first) and
 * of its fields, each with its length before it, so that nothing can move from one field to the
 * next: number and time as 8 bytes, little-endian; who, from, action, subject, details as u32 and
 * bytes. Triggers keep SQL from changing what stands there; the chain tells when somebody does it
 * all the same. */
#include "catalog/audit.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/mutex.h"
#include "catalog/db.h"
#include "crypt/digest.h"

enum { TEXT_MAX = 4096, DETAILS_MAX = 65536, LIMIT_DEFAULT = 100, LIMIT_MAX = 1000 };

static const char *const migrations[] = {
    "CREATE TABLE audit ("
    " number INTEGER PRIMARY KEY, wall_ns INTEGER NOT NULL,"
    " who TEXT NOT NULL, peer TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,"
    " details TEXT NOT NULL, hash BLOB NOT NULL"
    ") STRICT;"
    "CREATE TRIGGER audit_stays BEFORE UPDATE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is never changed'); END;"
    "CREATE TRIGGER audit_keeps BEFORE DELETE ON audit"
    " BEGIN SELECT RAISE(ABORT, 'the audit log is never cut'); END;",
};

static const struct bp_db_kind kind = {
    .what = "audit log",
    .migrations = migrations,
    .nmigrations = BP_COUNT(migrations),
};

struct bp_audit {
    struct bp_mutex lock;        /* held over SQL; nothing else is taken under it */
    sqlite3 *db;                 /* [lock] */
    sqlite3_stmt *add;           /* [lock] prepared */
    char *path;                  /* constant */
    int64_t number;              /* [lock] of the newest entry */
    uint8_t hash[BP_AUDIT_HASH]; /* [lock] */
};

static int fail(const struct bp_audit *a, struct bp_error *err) {
    return bp_db_fail(a->db, a->path, kind.what, err);
}

/* ---- the chain ---- */

static void add_number(struct bp_sha256 *s, int64_t v) {
    uint8_t b[8];

    bp_st_le64(b, (uint64_t) v);
    bp_sha256_add(s, b, sizeof b);
}

static void add_text(struct bp_sha256 *s, const char *text) {
    uint8_t b[4];
    size_t n = strlen(text);

    bp_st_le32(b, (uint32_t) n);
    bp_sha256_add(s, b, sizeof b);
    bp_sha256_add(s, text, n);
}

static void chain(struct bp_sha256 *s, const uint8_t before[static BP_AUDIT_HASH],
                  const struct bp_audit_entry *e, uint8_t ret[static BP_AUDIT_HASH]) {
    bp_sha256_add(s, before, BP_AUDIT_HASH);
    add_number(s, e->number);
    add_number(s, e->wall_ns);
    add_text(s, e->who);
    add_text(s, e->from);
    add_text(s, e->action);
    add_text(s, e->subject);
    add_text(s, e->details);
    bp_sha256_end(s, ret);
}

/* ---- rows ---- */

#define COLUMNS "number, wall_ns, who, peer, action, subject, details, hash"

static void read_entry(sqlite3_stmt *row, struct bp_audit_entry *ret) {
    *ret = (struct bp_audit_entry){
        .number = sqlite3_column_int64(row, 0),
        .wall_ns = sqlite3_column_int64(row, 1),
        .who = bp_db_text(row, 2),
        .from = bp_db_text(row, 3),
        .action = bp_db_text(row, 4),
        .subject = bp_db_text(row, 5),
        .details = bp_db_text(row, 6),
    };
    if (sqlite3_column_bytes(row, 7) == BP_AUDIT_HASH)
        memcpy(ret->hash, sqlite3_column_blob(row, 7), BP_AUDIT_HASH);
}

static int load_head_locked(struct bp_audit *a, struct bp_error *err) BP_REQUIRES(a->lock) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
    struct bp_audit_entry e;
    int r = sqlite3_prepare_v2(a->db, "SELECT " COLUMNS " FROM audit ORDER BY number DESC LIMIT 1",
                               -1, &s, NULL);

    if (r == SQLITE_OK)
        r = sqlite3_step(s);
    if (r == SQLITE_DONE)
        return 0;
    if (r != SQLITE_ROW)
        return fail(a, err);
    read_entry(s, &e);
    a->number = e.number;
    memcpy(a->hash, e.hash, sizeof a->hash);
    return 0;
}

static int prepare(struct bp_audit *a, bool *renewed, struct bp_error *err) {
    int r = bp_db_open(&kind, a->path, &a->db, renewed, err);

    if (r < 0)
        return r;
    if (sqlite3_prepare_v3(
            a->db, "INSERT INTO audit (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)", -1,
            SQLITE_PREPARE_PERSISTENT, &a->add, NULL) != SQLITE_OK)
        return fail(a, err);
    bp_mutex_lock(&a->lock);
    r = load_head_locked(a, err);
    bp_mutex_unlock(&a->lock);
    return r;
}

int bp_audit_open(const char *path, struct bp_audit **ret, bool *ret_renewed,
                  struct bp_error *err) {
    BP_CLEANUP(bp_audit_closep) struct bp_audit *a = calloc(1, sizeof *a);
    bool renewed = false;
    int r;

    if (!a)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    bp_mutex_init(&a->lock);
    a->path = strdup(path);
    if (!a->path)
        return bp_fail(err, -ENOMEM, "no memory to open '%s'", path);
    r = prepare(a, &renewed, err);
    if (r == 0 && renewed)
        r = bp_audit_add(
            a,
            &(struct bp_audit_entry){ .who = "server", .action = "audit.renewed", .subject = path },
            err);
    if (r < 0)
        return r;
    if (ret_renewed)
        *ret_renewed = renewed;
    *ret = BP_TAKE_PTR(a);
    return 0;
}

void bp_audit_close(struct bp_audit *a) {
    if (!a)
        return;
    (void) sqlite3_finalize(a->add);
    (void) sqlite3_close(a->db);
    bp_mutex_done(&a->lock);
    free(a->path);
    free(a);
}

/* ---- adding ---- */

/* At most `max` bytes of it, cut between characters; never NULL unless out of memory. */
static char *cut(const char *text, size_t max) {
    size_t n = text ? strnlen(text, max + 1) : 0;

    if (n > max)
        for (n = max; n > 0 && ((unsigned char) text[n] & 0xc0) == 0x80;)
            n--;
    return strndup(text ? text : "", n);
}

static int insert_locked(struct bp_audit *a, const struct bp_audit_entry *e, struct bp_error *err)
    BP_REQUIRES(a->lock) {
    sqlite3_stmt *s = a->add;
    bool ok = bp_db_bind_int(s, 1, e->number) && bp_db_bind_int(s, 2, e->wall_ns) &&
              bp_db_bind_text(s, 3, e->who) && bp_db_bind_text(s, 4, e->from) &&
              bp_db_bind_text(s, 5, e->action) && bp_db_bind_text(s, 6, e->subject) &&
              bp_db_bind_text(s, 7, e->details) && bp_db_bind_blob(s, 8, e->hash, sizeof e->hash);
    int r = ok && sqlite3_step(s) == SQLITE_DONE ? 0 : fail(a, err);

    bp_db_put_back(s);
    if (r == 0) {
        a->number = e->number;
        memcpy(a->hash, e->hash, sizeof a->hash);
    }
    return r;
}

int bp_audit_add(struct bp_audit *a, const struct bp_audit_entry *e, struct bp_error *err) {
    BP_AUTO_FREE char *who = cut(e->who, TEXT_MAX), *from = cut(e->from, TEXT_MAX);
    BP_AUTO_FREE char *action = cut(e->action, TEXT_MAX), *subject = cut(e->subject, TEXT_MAX);
    BP_AUTO_FREE char *details = cut(e->details, DETAILS_MAX);
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *sha = bp_sha256_new();
    struct bp_audit_entry put = { .who = who,
                                  .from = from,
                                  .action = action,
                                  .subject = subject,
                                  .details = details,
                                  .wall_ns = e->wall_ns ? e->wall_ns : bp_wall_ns() };
    int r;

    if (!who || !from || !action || !subject || !details || !sha)
        return bp_fail(err, -ENOMEM, "no memory for the audit log");

    bp_mutex_lock(&a->lock);
    put.number = a->number + 1;
    chain(sha, a->hash, &put, put.hash);
    r = insert_locked(a, &put, err);
    bp_mutex_unlock(&a->lock);
    return r;
}

int bp_audit_head(struct bp_audit *a, int64_t *ret_number, uint8_t ret_hash[static BP_AUDIT_HASH],
                  struct bp_error *err) {
    (void) err;
    bp_mutex_lock(&a->lock);
    *ret_number = a->number;
    memcpy(ret_hash, a->hash, BP_AUDIT_HASH);
    bp_mutex_unlock(&a->lock);
    return 0;
}

/* ---- listing ---- */

static bool bind_query(sqlite3_stmt *s, const struct bp_audit_query *q) {
    size_t n = q->action ? strlen(q->action) : 0;
    bool group = n > 0 && q->action[n - 1] == '.';

    return bp_db_bind_int(s, 1, q->before > 0 ? q->before : INT64_MAX) &&
           (!q->who || bp_db_bind_text(s, 2, q->who)) &&
           (!q->action || bp_db_bind_text(s, group ? 4 : 3, q->action)) &&
           (!q->subject || bp_db_bind_text(s, 5, q->subject)) && bp_db_bind_int(s, 6, q->from) &&
           bp_db_bind_int(s, 7, q->to ? q->to : INT64_MAX) &&
           bp_db_bind_int(s, 8, q->limit ? BP_MIN(q->limit, (uint32_t) LIMIT_MAX) : LIMIT_DEFAULT);
}

static int list_locked(struct bp_audit *a, const struct bp_audit_query *q,
                       int (*fn)(void *ctx, const struct bp_audit_entry *e), void *ctx,
                       struct bp_error *err) BP_REQUIRES(a->lock) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
    static const char sql[] =
        "SELECT " COLUMNS " FROM audit WHERE number < ?1 AND (?2 IS NULL OR who = ?2)"
        " AND (?3 IS NULL OR action = ?3)"
        " AND (?4 IS NULL OR substr(action, 1, length(?4)) = ?4)"
        " AND (?5 IS NULL OR subject = ?5) AND wall_ns >= ?6 AND wall_ns < ?7"
        " ORDER BY number DESC LIMIT ?8";
    int r = 0, step;

    if (sqlite3_prepare_v2(a->db, sql, -1, &s, NULL) != SQLITE_OK || !bind_query(s, q))
        return fail(a, err);
    while (r == 0 && (step = sqlite3_step(s)) != SQLITE_DONE) {
        struct bp_audit_entry e;

        if (step != SQLITE_ROW)
            return fail(a, err);
        read_entry(s, &e);
        r = fn(ctx, &e);
    }
    return r;
}

int bp_audit_list(struct bp_audit *a, const struct bp_audit_query *q,
                  int (*fn)(void *ctx, const struct bp_audit_entry *e), void *ctx,
                  struct bp_error *err) {
    int r;

    bp_mutex_lock(&a->lock);
    r = list_locked(a, q, fn, ctx, err);
    bp_mutex_unlock(&a->lock);
    return r;
}

/* ---- verifying ---- */

struct walk {
    struct bp_sha256 *sha;
    const struct bp_audit_entry *head;
    int64_t number;
    uint8_t hash[BP_AUDIT_HASH];
};

static int check_entry(struct walk *w, const struct bp_audit_entry *e, struct bp_error *err) {
    uint8_t want[BP_AUDIT_HASH];

    if (e->number != w->number + 1)
        return bp_fail(err, BP_EMISMATCH, "entry %lld of the audit log is missing",
                       (long long) w->number + 1);
    chain(w->sha, w->hash, e, want);
    if (memcmp(want, e->hash, sizeof want) != 0)
        return bp_fail(err, BP_EMISMATCH,
                       "entry %lld of the audit log is not as it was written, or not where",
                       (long long) e->number);
    if (w->head && w->head->number == e->number &&
        memcmp(w->head->hash, e->hash, sizeof e->hash) != 0)
        return bp_fail(err, BP_EMISMATCH,
                       "entry %lld of the audit log is not the one whose hash was kept",
                       (long long) e->number);
    w->number = e->number;
    memcpy(w->hash, e->hash, sizeof w->hash);
    return 0;
}

static int verify_locked(struct bp_audit *a, struct walk *w, struct bp_error *err)
    BP_REQUIRES(a->lock) {
    BP_CLEANUP(bp_db_finalizep) sqlite3_stmt *s = NULL;
    int r = 0, step;

    if (sqlite3_prepare_v2(a->db, "SELECT " COLUMNS " FROM audit ORDER BY number", -1, &s, NULL) !=
        SQLITE_OK)
        return fail(a, err);
    while (r == 0 && (step = sqlite3_step(s)) != SQLITE_DONE) {
        struct bp_audit_entry e;

        if (step != SQLITE_ROW)
            return fail(a, err);
        read_entry(s, &e);
        r = check_entry(w, &e, err);
    }
    if (r == 0 && w->number < a->number)
        return bp_fail(err, BP_EMISMATCH, "entries after %lld of the audit log are missing",
                       (long long) w->number);
    if (r == 0 && w->head && w->number < w->head->number)
        return bp_fail(err, BP_EMISMATCH,
                       "the audit log ends at entry %lld, but entry %lld was seen before",
                       (long long) w->number, (long long) w->head->number);
    return r;
}

int bp_audit_verify(struct bp_audit *a, const struct bp_audit_entry *head, int64_t *ret_number,
                    struct bp_error *err) {
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *sha = bp_sha256_new();
    struct walk w = { .sha = sha, .head = head };
    int r;

    if (!sha)
        return bp_fail(err, -ENOMEM, "no memory to verify the audit log");
    bp_mutex_lock(&a->lock);
    r = verify_locked(a, &w, err);
    bp_mutex_unlock(&a->lock);
    if (r == 0)
        *ret_number = w.number;
    return r;
}
