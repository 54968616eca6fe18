/* Labels and full text: both are made of other rows, and made anew whenever those change. */
#include "catalog/archive-priv.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

int bp_archive_each_text(const char *json, int (*fn)(void *ctx, const char *text), void *ctx) {
    json_t *list = json && *json ? json_loads(json, 0, NULL) : json_array(), *v;
    int r = json_is_array(list) ? 0 : -EINVAL;
    size_t i;

    json_array_foreach(list, i, v) {
        if (r == 0)
            r = json_is_string(v) ? fn(ctx, json_string_value(v)) : -EINVAL;
    }
    json_decref(list);
    return r;
}

int bp_archive_label(struct bp_archive_conn *c, const char *kind, const char *value, int64_t *ret,
                     struct bp_error *err) {
    int r = bp_archive_ask(c, ret, err, "SELECT label FROM labels WHERE kind = ?1 AND value = ?2",
                           "tt", kind, value);

    if (r != 0)
        return r < 0 ? r : 0;
    r = bp_archive_run(c, err, "INSERT INTO labels (kind, value, sessions) VALUES (?1, ?2, 0)",
                       "tt", kind, value);
    *ret = sqlite3_last_insert_rowid(c->db);
    return r;
}

struct adding {
    struct bp_archive_conn *c;
    struct bp_error *err;
    const char *kind;
    int64_t num;
};

static int add_label(void *ctx, const char *value) {
    struct adding *a = ctx;
    int64_t label = 0;
    int r = *value ? bp_archive_label(a->c, a->kind, value, &label, a->err) : 0;

    return r < 0 || !*value ? r
                            : bp_archive_run(a->c, a->err,
                                             "INSERT OR IGNORE INTO session_labels (label, session)"
                                             " VALUES (?1, ?2)",
                                             "ii", label, a->num);
}

static int add(struct bp_archive_conn *c, int64_t num, const char *kind, const char *value,
               struct bp_error *err) {
    struct adding a = { c, err, kind, num };

    return add_label(&a, value);
}

static int add_all(struct bp_archive_conn *c, int64_t num, const char *kind, const char *json,
                   struct bp_error *err) {
    struct adding a = { c, err, kind, num };
    int r = bp_archive_each_text(json, add_label, &a);

    return r == -EINVAL ? 0 : r;
}

static int add_month(struct bp_archive_conn *c, int64_t num, bp_ns_t started,
                     struct bp_error *err) {
    time_t t = (time_t) (started / BP_SEC);
    char month[32];
    struct tm tm;

    if (!gmtime_r(&t, &tm) || !strftime(month, sizeof month, "%Y-%m", &tm))
        return 0;
    return add(c, num, "month", month, err);
}

/* Of the rows of a session that is there. */
static int add_labels(struct bp_archive_conn *c, int64_t num, sqlite3_stmt *row,
                      struct bp_error *err) {
    int state = sqlite3_column_int(row, 0);
    int r = add(c, num, "state", bp_archive_state_name((enum bp_archive_state) state), err);

    if (r < 0 || state == BP_ARCHIVE_DELETED)
        return r;
    r = add_month(c, num, sqlite3_column_int64(row, 2), err);
    if (r >= 0)
        r = add(c, num, "signed",
                bp_archive_signed_name((enum bp_archive_signed) sqlite3_column_int(row, 1)), err);
    if (r >= 0)
        r = add(c, num, "device", bp_db_text(row, 3), err);
    if (r >= 0)
        r = add_all(c, num, "tag", bp_db_text(row, 4), err);
    if (r >= 0)
        r = add_all(c, num, "robot", bp_db_text(row, 5), err);
    if (r >= 0)
        r = bp_archive_run(c, err,
                           "INSERT OR IGNORE INTO session_labels (label, session)"
                           " SELECT topic, session FROM topics WHERE session = ?1 UNION"
                           " SELECT type, session FROM topics WHERE session = ?1",
                           "i", num);
    if (r >= 0)
        r = bp_archive_run(c, err,
                           "INSERT INTO words (rowid, name, mission, operator, notes, tags,"
                           " robots, marks) SELECT s.num, s.name, x.mission, x.operator, x.notes,"
                           " x.tags, x.robots, (SELECT ifnull(group_concat(text, char(10)), '')"
                           " FROM marks WHERE session = s.num) FROM sessions s"
                           " JOIN texts x ON x.session = s.num WHERE s.num = ?1",
                           "i", num);
    return r;
}

int bp_archive_relabel(struct bp_archive_conn *c, int64_t num, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r;

    if (c->bulk)
        return 0;
    r = bp_archive_run(c, err, "DELETE FROM session_labels WHERE session = ?1", "i", num);
    if (r >= 0)
        r = bp_archive_run(c, err, "DELETE FROM words WHERE rowid = ?1", "i", num);
    if (r >= 0)
        r = bp_archive_take(c,
                            "SELECT s.state, s.signature, s.started_ns, x.device, x.tags, x.robots"
                            " FROM sessions s JOIN texts x ON x.session = s.num WHERE s.num = ?1",
                            &s, err);
    if (r < 0)
        return r;
    r = bp_db_bind_int(s, 1, num) ? bp_archive_step(c, s, err) : bp_archive_fail(c, err);
    if (r > 0)
        r = add_labels(c, num, s, err);
    bp_db_put_back(s);
    return r < 0 ? r : 0;
}
