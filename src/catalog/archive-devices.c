/* Devices: who may send, and what it told last. */
#include "catalog/archive-priv.h"

#include <errno.h>

#define COLUMNS                                                                        \
    "id, name, kind, public_key, groups, info, approved_by, state, first_ns, seen_ns," \
    " approved_ns"
enum { TEXTS = 7 };

static void texts_of(struct bp_archive_device *d, char **ret[static TEXTS]) {
    char **all[TEXTS] = { &d->id,     &d->name, &d->kind,       &d->public_key,
                          &d->groups, &d->info, &d->approved_by };

    memcpy(ret, all, sizeof all);
}

void bp_archive_device_done(struct bp_archive_device *d) {
    char **texts[TEXTS];

    texts_of(d, texts);
    for (size_t i = 0; i < TEXTS; i++)
        free(*texts[i]);
    *d = (struct bp_archive_device){ 0 };
}

static int read_device(sqlite3_stmt *row, struct bp_archive_device *ret, struct bp_error *err) {
    BP_AUTO_ARCHIVE_DEVICE d = { 0 };
    int state = sqlite3_column_int(row, TEXTS);
    char **texts[TEXTS];

    texts_of(&d, texts);
    for (int i = 0; i < TEXTS; i++) {
        *texts[i] = strdup(bp_db_text(row, i));
        if (!*texts[i])
            return bp_fail(err, -ENOMEM, "no memory for a device");
    }
    d.state = (unsigned) state < BP_ARCHIVE_DEVICE_STATE_N_ ? (enum bp_archive_device_state) state
                                                            : BP_ARCHIVE_DEVICE_REFUSED;
    d.first_ns = sqlite3_column_int64(row, TEXTS + 1);
    d.seen_ns = sqlite3_column_int64(row, TEXTS + 2);
    d.approved_ns = sqlite3_column_int64(row, TEXTS + 3);
    *ret = BP_TAKE(d, ((struct bp_archive_device){ 0 }));
    return 0;
}

int bp_archive_put_device(struct bp_archive *a, const struct bp_archive_device *d,
                          struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int r;

    if (!d->id || !*d->id || strlen(d->id) > 128)
        return bp_fail(err, -EINVAL, "the id of a device has 1 to 128 bytes");
    r = bp_archive_begin(a, &c, err);
    if (r < 0)
        return r;
    r = bp_archive_run(c, err,
                       "INSERT OR REPLACE INTO devices (" COLUMNS ") VALUES (?1, ?2, ?3, ?4, ?5,"
                       " ?6, ?7, ?8, ?9, ?10, ?11)",
                       "tttttttiiii", d->id, d->name, d->kind, d->public_key,
                       d->groups ? d->groups : "[]", d->info ? d->info : "{}", d->approved_by,
                       (int64_t) d->state, d->first_ns, d->seen_ns, d->approved_ns);
    return bp_archive_end(c, r, err);
}

int bp_archive_get_device(struct bp_archive *a, const char *id, struct bp_archive_device *ret,
                          struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, "SELECT " COLUMNS " FROM devices WHERE id = ?1", &s, err);

    if (r == 0) {
        r = bp_db_bind_text(s, 1, id) ? bp_archive_step(c, s, err) : bp_archive_fail(c, err);
        if (r == 0)
            r = bp_fail(err, -ENOENT, "there is no device '%s'", id);
        if (r > 0)
            r = read_device(s, ret, err);
        bp_db_put_back(s);
    }
    bp_archive_let_go(c);
    return r;
}

int bp_archive_each_device(struct bp_archive *a,
                           int (*fn)(void *ctx, const struct bp_archive_device *d), void *ctx,
                           struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, "SELECT " COLUMNS " FROM devices ORDER BY id", &s, err);

    while (r == 0 && (r = bp_archive_step(c, s, err)) > 0) {
        BP_AUTO_ARCHIVE_DEVICE d = { 0 };

        r = read_device(s, &d, err);
        if (r == 0)
            r = fn(ctx, &d);
    }
    if (s)
        bp_db_put_back(s);
    bp_archive_let_go(c);
    return r;
}

int bp_archive_device_seen(struct bp_archive *a, const char *id, const char *info, bp_ns_t wall_ns,
                           struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int r = bp_archive_begin(a, &c, err);

    if (r < 0)
        return r;
    r = bp_archive_run(c, err,
                       "UPDATE devices SET seen_ns = ?2, info = CASE ?3 WHEN '' THEN info ELSE ?3"
                       " END WHERE id = ?1",
                       "tit", id, wall_ns, info);
    return bp_archive_end(c, r, err);
}

int bp_archive_remove_device(struct bp_archive *a, const char *id, struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int r = bp_archive_begin(a, &c, err);

    if (r < 0)
        return r;
    r = bp_archive_run(c, err, "DELETE FROM devices WHERE id = ?1", "t", id);
    return bp_archive_end(c, r, err);
}
