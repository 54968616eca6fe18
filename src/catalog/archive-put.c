/* What devices send: what they say of a session, its manifest, its files. */
#include "catalog/archive-put.h"

#include <errno.h>
#include <stdio.h>

#include "base/ulid.h"
#include "catalog/merge.h"

/* ---- numbers of sessions ---- */

/* 48 bits of time, then bits of what follows: see archive-schema.c. */
static int64_t number_of(const char id[static 27]) {
    static const char digits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint64_t v = 0;

    for (int i = 0; i < 13; i++) { /* 13 digits of 5 bits: the first has 3 */
        const char *at = strchr(digits, id[i]);

        v = v << 5 | (uint64_t) (at ? at - digits : 0);
    }
    return (int64_t) (v & INT64_MAX);
}

static int free_number(struct bp_archive_conn *c, const char *id, int64_t *ret,
                       struct bp_error *err) {
    int64_t num = number_of(id), one = 0;
    int r;

    while ((r = bp_archive_ask(c, &one, err, "SELECT 1 FROM sessions WHERE num = ?1", "i", num)) >
           0)
        num++;
    if (r == 0)
        *ret = num;
    return r;
}

/* ---- sums of a session, made of its files ---- */

int bp_archive_refresh(struct bp_archive_conn *c, int64_t num, bp_ns_t wall_ns, bool *ret_complete,
                       struct bp_error *err) {
    int64_t state = BP_ARCHIVE_RECEIVING;
    int r = bp_archive_run(
        c, err,
        "UPDATE sessions SET (segments, segments_here, bytes, messages, ended_ns) ="
        " (SELECT count(*), ifnull(sum(state <> 0), 0), ifnull(sum(bytes), 0),"
        "  ifnull(sum(max(messages - repeated, 0)), 0), max(ended_ns, ifnull(max(last_ns), 0))"
        "  FROM files WHERE session = ?1 AND kind = 0),"
        " updated_ns = ?2 WHERE num = ?1",
        "ii", num, wall_ns);

    if (r >= 0)
        r = bp_archive_run(
            c, err,
            "UPDATE sessions SET duration_ns = max(ended_ns - started_ns, 0), state = CASE"
            " WHEN state = 3 THEN 3 WHEN manifest = 0 OR segments_here < segments THEN 0"
            " WHEN signature = 2 OR EXISTS (SELECT 1 FROM files WHERE session = ?1 AND state = 3)"
            " THEN 2 ELSE 1 END WHERE num = ?1",
            "i", num);
    if (r >= 0)
        r = bp_archive_ask(c, &state, err, "SELECT state FROM sessions WHERE num = ?1", "i", num);
    if (r < 0)
        return r;
    if (ret_complete)
        *ret_complete = state == BP_ARCHIVE_COMPLETE || state == BP_ARCHIVE_DAMAGED;
    return 0;
}

/* The same, and labels only when the state has changed: files come often. */
static int refresh_file(struct bp_archive_conn *c, int64_t num, bp_ns_t wall_ns, bool *ret_complete,
                        struct bp_error *err) {
    static const char ask[] = "SELECT state FROM sessions WHERE num = ?1";
    int64_t before = 0, after = 0;
    int r = bp_archive_ask(c, &before, err, ask, "i", num);

    if (r >= 0)
        r = bp_archive_refresh(c, num, wall_ns, ret_complete, err);
    if (r >= 0)
        r = bp_archive_ask(c, &after, err, ask, "i", num);
    if (r >= 0 && before != after)
        r = bp_archive_relabel(c, num, err);
    return r < 0 ? r : 0;
}

/* ---- what a device says ---- */

static int check_about(const struct bp_archive_about *s, struct bp_error *err) {
    if (!s->id || bp_ulid_parse(s->id, strlen(s->id), NULL) < 0 || strlen(s->id) != 26)
        return bp_fail(err, -EINVAL, "'%.40s' is no id of a session", s->id ? s->id : "");
    if (!s->device || !*s->device || strlen(s->device) > 128)
        return bp_fail(err, -EINVAL, "a session needs its device, up to 128 bytes");
    if (s->name && strlen(s->name) > BP_ARCHIVE_NAME_MAX)
        return bp_fail(err, -EINVAL, "the name of a session has %d bytes at most",
                       BP_ARCHIVE_NAME_MAX);
    return 0;
}

static int insert_session(struct bp_archive_conn *c, const struct bp_archive_about *s,
                          bp_ns_t wall_ns, int64_t *ret, struct bp_error *err) {
    bp_ns_t started = s->started_ns;
    int64_t num = 0;
    int r = free_number(c, s->id, &num, err);

    if (started == 0)
        (void) bp_ulid_parse(s->id, 26, &started);
    if (r >= 0)
        r = bp_archive_run(c, err,
                           "INSERT INTO sessions VALUES (?1, ?2, ?3, 0, 0, 0, 0, ?4, ?5, ?6, ?6,"
                           " 0, max(?5 - ?4, 0), 0, 0, 0, 0, 0, 0, 0)",
                           "ittiii", num, s->id, s->name ? s->name : s->id, started, s->ended_ns,
                           wall_ns);
    if (r >= 0)
        r = bp_archive_run(c, err,
                           "INSERT INTO texts VALUES (?1, ?2, '', '', '', '[]', '[]', '{}', '',"
                           " '')",
                           "it", num, s->device);
    if (r >= 0)
        *ret = num;
    return r;
}

static int is_anothers(struct bp_archive_conn *c, int64_t num, const struct bp_archive_about *s,
                       struct bp_error *err) {
    sqlite3_stmt *row = NULL;
    char owner[129] = "";
    int r = bp_archive_take(c, "SELECT device FROM texts WHERE session = ?1", &row, err);

    if (r < 0)
        return r;
    (void) sqlite3_bind_int64(row, 1, num);
    r = bp_archive_step(c, row, err);
    if (r > 0)
        (void) snprintf(owner, sizeof owner, "%s", (const char *) sqlite3_column_text(row, 0));
    bp_db_put_back(row);
    if (r < 0)
        return r;
    return bp_fail(err, BP_EMISMATCH, "session '%s' belongs to device '%s' here, not to '%s'",
                   s->id, owner, s->device);
}

static int update_session(struct bp_archive_conn *c, int64_t num, const struct bp_archive_about *s,
                          bp_ns_t wall_ns, struct bp_error *err) {
    int64_t state = 0, same = 0;
    int r = bp_archive_ask(c, &state, err, "SELECT state FROM sessions WHERE num = ?1", "i", num);

    if (r > 0 && state == BP_ARCHIVE_DELETED)
        return bp_fail(err, -EEXIST, "session '%s' was deleted here", s->id);
    if (r >= 0)
        r = bp_archive_ask(c, &same, err, "SELECT device = ?2 FROM texts WHERE session = ?1", "it",
                           num, s->device);
    if (r >= 0 && !same)
        return is_anothers(c, num, s, err);
    if (r >= 0)
        r = bp_archive_run(c, err,
                           "UPDATE sessions SET name = CASE ?2 WHEN '' THEN name ELSE ?2 END,"
                           " started_ns = CASE ?3 WHEN 0 THEN started_ns ELSE ?3 END,"
                           " ended_ns = max(ended_ns, ?4), updated_ns = ?5 WHERE num = ?1",
                           "itiii", num, s->name, s->started_ns, s->ended_ns, wall_ns);
    return r < 0 ? r : 0;
}

static int put_marks(struct bp_archive_conn *c, int64_t num, const struct bp_archive_mark *marks,
                     size_t n, struct bp_error *err) {
    int r = 0;

    for (size_t i = 0; r >= 0 && i < n; i++)
        r = bp_archive_run(c, err,
                           "INSERT OR IGNORE INTO marks (session, wall_ns, text, vals)"
                           " VALUES (?1, ?2, ?3, ?4)",
                           "iitt", num, marks[i].wall_ns, marks[i].text,
                           marks[i].values && *marks[i].values ? marks[i].values : "{}");
    return r < 0 ? r : bp_archive_count_marks(c, num, err);
}

int bp_archive_count_marks(struct bp_archive_conn *c, int64_t num, struct bp_error *err) {
    return bp_archive_run(
        c, err,
        "UPDATE sessions SET marks = (SELECT count(*) FROM marks WHERE session = ?1)"
        " WHERE num = ?1",
        "i", num);
}

static int put_about(struct bp_archive_conn *c, const struct bp_archive_about *s,
                     enum bp_archive_policy policy, bp_ns_t wall_ns, bool *created,
                     uint32_t *conflicts, struct bp_error *err) {
    int64_t num = 0;
    int r = bp_archive_ask(c, &num, err, "SELECT num FROM sessions WHERE id = ?1", "t", s->id);

    *created = r == 0;
    if (r > 0)
        r = update_session(c, num, s, wall_ns, err);
    else if (r == 0)
        r = insert_session(c, s, wall_ns, &num, err);
    if (r >= 0)
        r = bp_archive_merge_about(c, num, s, policy, wall_ns, conflicts, err);
    if (r >= 0 && s->robots)
        r = bp_archive_run(c, err, "UPDATE texts SET robots = ?2 WHERE session = ?1", "it", num,
                           s->robots);
    if (r >= 0)
        r = put_marks(c, num, s->marks, s->nmarks, err);
    if (r >= 0)
        r = bp_archive_refresh(c, num, wall_ns, NULL, err);
    return r < 0 ? r : bp_archive_relabel(c, num, err);
}

static int check_text(void *ctx, const char *text) {
    (void) ctx;
    return *text && strlen(text) <= 256 ? 0 : -EINVAL;
}

int bp_archive_put_about(struct bp_archive *a, const struct bp_archive_about *about,
                         enum bp_archive_policy policy, bp_ns_t wall_ns, bool *ret_created,
                         uint32_t *ret_conflicts, struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    uint32_t conflicts = 0;
    bool created = false;
    int r = check_about(about, err);

    if (r < 0)
        return r;
    if (bp_archive_each_text(about->tags, check_text, NULL) < 0 ||
        bp_archive_each_text(about->robots, check_text, NULL) < 0)
        return bp_fail(err, -EINVAL, "tags and robots are lists of texts of up to 256 bytes");
    r = bp_archive_begin(a, &c, err);
    if (r < 0)
        return r;
    r = put_about(c, about, policy, wall_ns, &created, &conflicts, err);
    r = bp_archive_end(c, r, err);
    if (r < 0)
        return r;
    if (ret_created)
        *ret_created = created;
    if (ret_conflicts)
        *ret_conflicts = conflicts;
    return 0;
}

/* ---- manifests ---- */

static int put_topic(struct bp_archive_conn *c, int64_t num, const struct bp_archive_topic *t,
                     struct bp_error *err) {
    int64_t topic = 0, type = 0;
    int r = bp_archive_label(c, "topic", t->topic && *t->topic ? t->topic : "?", &topic, err);

    if (r >= 0)
        r = bp_archive_label(c, "type", t->type && *t->type ? t->type : "?", &type, err);
    return r < 0 ? r
                 : bp_archive_run(c, err,
                                  "INSERT INTO topics VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)"
                                  " ON CONFLICT DO UPDATE SET"
                                  " messages = messages + excluded.messages,"
                                  " lost = lost + excluded.lost, bytes = bytes + excluded.bytes",
                                  "iiitiiii", num, topic, type, t->robot, (int64_t) t->domain,
                                  (int64_t) t->messages, (int64_t) t->lost, (int64_t) t->bytes);
}

/* A file of that name with other content makes room; one with the content takes the name. */
static int make_room(struct bp_archive_conn *c, int64_t num, const struct bp_archive_file *f,
                     struct bp_error *err) {
    int r = bp_archive_run(c, err,
                           "UPDATE files SET file = file || '~' || lower(hex(substr(sha256, 1, 4)))"
                           " , kind = 5 WHERE session = ?1 AND file = ?2 AND sha256 <> ?3"
                           " AND state <> 0",
                           "itd", num, f->file, f->sha256);

    return r < 0 ? r
                 : bp_archive_run(c, err,
                                  "UPDATE OR IGNORE files SET file = ?2, kind = 0"
                                  " WHERE session = ?1 AND sha256 = ?3 AND state <> 0"
                                  " AND substr(file, 1, instr(file || '~', '~') - 1) ="
                                  " substr(?2, 1, instr(?2 || '.', '.') - 1)",
                                  "itd", num, f->file, f->sha256);
}

static int put_expected(struct bp_archive_conn *c, int64_t num, const struct bp_archive_file *f,
                        bool others, struct bp_error *err) {
    int r = others ? make_room(c, num, f, err) : 0;

    return r < 0 ? r
                 : bp_archive_run(c, err,
                                  "INSERT INTO files VALUES (?1, ?2, 0, 0, ?3, ?4, ?5, ?6, ?7, ?8,"
                                  " 0, '') ON CONFLICT DO UPDATE SET kind = 0,"
                                  " sha256 = excluded.sha256, bytes = excluded.bytes,"
                                  " messages = excluded.messages, repeated = excluded.repeated,"
                                  " first_ns = excluded.first_ns, last_ns = excluded.last_ns",
                                  "itdiiiii", num, f->file, f->sha256, (int64_t) f->bytes,
                                  (int64_t) f->messages, (int64_t) f->repeated, f->first_ns,
                                  f->last_ns);
}

static int put_session_row(struct bp_archive_conn *c, int64_t num,
                           const struct bp_archive_manifest *m, struct bp_error *err) {
    uint64_t lost = 0;
    int r;

    for (size_t i = 0; i < m->ntopics; i++)
        lost += m->topics[i].lost;
    r = bp_archive_run(c, err,
                       "UPDATE sessions SET manifest = 1, signature = ?2, lost = ?3,"
                       " name = CASE ?4 WHEN '' THEN name ELSE ?4 END,"
                       " topics = (SELECT count(DISTINCT topic) FROM topics WHERE session = ?1)"
                       " WHERE num = ?1",
                       "iiit", num, (int64_t) m->signature, (int64_t) lost, m->name);
    if (r >= 0)
        r = bp_archive_run(
            c, err,
            "UPDATE texts SET robots = (SELECT json_group_array(robot) FROM (SELECT DISTINCT"
            " robot FROM topics WHERE session = ?1 AND robot <> '' ORDER BY robot))"
            " WHERE session = ?1 AND EXISTS (SELECT 1 FROM topics WHERE session = ?1 AND"
            " robot <> '')",
            "i", num);
    return r;
}

static int put_manifest(struct bp_archive_conn *c, int64_t num, const struct bp_archive_manifest *m,
                        bp_ns_t wall_ns, bool *ret_complete, struct bp_error *err) {
    int64_t others = 0;
    int r = bp_archive_run(c, err, "DELETE FROM topics WHERE session = ?1", "i", num);

    if (r >= 0)
        r = bp_archive_run(c, err, "DELETE FROM files WHERE session = ?1 AND state = 0", "i", num);
    if (r >= 0)
        r = bp_archive_ask(c, &others, err,
                           "SELECT EXISTS (SELECT 1 FROM files WHERE session = ?1)", "i", num);
    for (size_t i = 0; r >= 0 && i < m->ntopics; i++)
        r = put_topic(c, num, &m->topics[i], err);
    for (size_t i = 0; r >= 0 && i < m->nsegments; i++)
        r = put_expected(c, num, &m->segments[i], others != 0, err);
    if (r >= 0)
        r = put_session_row(c, num, m, err);
    if (r >= 0)
        r = bp_archive_refresh(c, num, wall_ns, ret_complete, err);
    return r < 0 ? r : bp_archive_relabel(c, num, err);
}

int bp_archive_put_manifest(struct bp_archive *a, const char *id,
                            const struct bp_archive_manifest *m, bp_ns_t wall_ns,
                            bool *ret_complete, struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    bool complete = false;
    int64_t num = 0;
    int r;

    if (m->id && *m->id && !bp_streq(m->id, id))
        return bp_fail(err, -EINVAL, "the manifest of session '%.40s' says it is of '%.40s'", id,
                       m->id);
    for (size_t i = 0; i < m->nsegments; i++)
        if (!m->segments[i].file || !*m->segments[i].file)
            return bp_fail(err, -EINVAL, "a segment of the manifest has no name");
    r = bp_archive_begin(a, &c, err);
    if (r < 0)
        return r;
    r = bp_archive_find(c, id, &num, err);
    if (r >= 0)
        r = put_manifest(c, num, m, wall_ns, &complete, err);
    r = bp_archive_end(c, r, err);
    if (r == 0 && ret_complete)
        *ret_complete = complete;
    return r;
}

/* ---- files ---- */

/* "run_0.mcap" of robot7 is "run_0~robot7.mcap" beside another one of that name. */
static void second_name(const char *file, const char *device, char *ret, size_t max) {
    const char *dot = strrchr(file, '.');
    int n = dot && dot != file ? (int) (dot - file) : (int) strlen(file);
    char safe[64];

    (void) snprintf(safe, sizeof safe, "%s", device);
    for (char *p = safe; *p; p++)
        if (*p == '/' || *p == '~')
            *p = '_';
    (void) snprintf(ret, max, "%.*s~%s%s", n, file, safe, file[n] ? dot : "");
}

static int insert_file(struct bp_archive_conn *c, int64_t num, const char *name,
                       const struct bp_archive_file *f, bp_ns_t wall_ns, struct bp_error *err) {
    return bp_archive_run(c, err,
                          "INSERT INTO files VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11,"
                          " ?12) ON CONFLICT DO UPDATE SET kind = excluded.kind,"
                          " state = excluded.state, sha256 = excluded.sha256,"
                          " bytes = excluded.bytes, stored_ns = excluded.stored_ns,"
                          " text = excluded.text, messages = max(messages, excluded.messages),"
                          " repeated = max(repeated, excluded.repeated),"
                          " first_ns = CASE excluded.first_ns WHEN 0 THEN first_ns"
                          " ELSE excluded.first_ns END, last_ns = max(last_ns, excluded.last_ns)",
                          "itiidiiiiiit", num, name, (int64_t) f->kind, (int64_t) f->state,
                          f->sha256, (int64_t) f->bytes, (int64_t) f->messages,
                          (int64_t) f->repeated, f->first_ns, f->last_ns,
                          f->stored_ns ? f->stored_ns : wall_ns, f->text);
}

/* A file under a name that says which content it is. */
static int set_apart(struct bp_archive_conn *c, int64_t num, const char *file,
                     struct bp_error *err) {
    return bp_archive_run(c, err,
                          "UPDATE OR REPLACE files SET file = file || '~' ||"
                          " lower(hex(substr(sha256, 1, 4))), kind = CASE kind WHEN 0 THEN 5"
                          " ELSE kind END WHERE session = ?1 AND file = ?2",
                          "it", num, file);
}

/* Another content has that name. */
static int put_second(struct bp_archive_conn *c, int64_t num, const char *id,
                      const struct bp_archive_file *f, enum bp_archive_policy policy,
                      bp_ns_t wall_ns, struct bp_error *err) {
    struct bp_archive_second s = {
        .id = id, .file = f->file, .theirs = f->sha256, .policy = policy, .wall_ns = wall_ns
    };
    struct bp_archive_file second = *f;
    char name[512];
    int r = bp_archive_decide_file(c, num, &s, err);

    if (r < 0)
        return r;
    if (policy == BP_ARCHIVE_LOCAL)
        return 1;                      /* the decision stays; the caller says no */
    if (policy == BP_ARCHIVE_REMOTE) { /* the one that was here stays, too: it may be undone */
        r = set_apart(c, num, f->file, err);
        return r < 0 ? r : insert_file(c, num, f->file, f, wall_ns, err);
    }
    second_name(f->file, s.device, name, sizeof name);
    if (second.kind == BP_ARCHIVE_SEGMENT)
        second.kind = BP_ARCHIVE_OTHER;
    return insert_file(c, num, name, &second, wall_ns, err);
}

/* What stands under that name. */
enum there { THERE_NOT, THERE_SAME, THERE_EXPECTED, THERE_EXPECTED_OTHER, THERE_OTHER };

static int look(struct bp_archive_conn *c, int64_t num, const struct bp_archive_file *f,
                enum there *ret, struct bp_error *err) {
    int64_t v = 0;
    int r = bp_archive_ask(c, &v, err,
                           "SELECT (sha256 = ?3) * 2 + (state <> 0) FROM files"
                           " WHERE session = ?1 AND file = ?2",
                           "itd", num, f->file, f->sha256);

    *ret = r == 0   ? THERE_NOT
           : v == 3 ? THERE_SAME
           : v == 2 ? THERE_EXPECTED
           : v == 0 ? THERE_EXPECTED_OTHER
                    : THERE_OTHER;
    return r < 0 ? r : 0;
}

static int put_file(struct bp_archive_conn *c, int64_t num, const char *id,
                    const struct bp_archive_file *f, enum bp_archive_policy policy, bp_ns_t wall_ns,
                    bool *complete, struct bp_error *err) {
    enum there there;
    int64_t state = 0;
    int r = bp_archive_ask(c, &state, err, "SELECT state FROM sessions WHERE num = ?1", "i", num);

    if (r > 0 && state == BP_ARCHIVE_DELETED)
        return bp_fail(err, -EEXIST, "session '%s' was deleted here", id);
    if (r >= 0)
        r = look(c, num, f, &there, err);
    if (r < 0)
        return r;
    if (there == THERE_EXPECTED_OTHER && policy == BP_ARCHIVE_REMOTE)
        policy = BP_ARCHIVE_KEEP_BOTH; /* a manifest's word is law */
    if (there == THERE_SAME) {
        r = bp_archive_refresh(c, num, wall_ns, complete, err);
        return r < 0 ? r : 1;
    }
    r = there == THERE_NOT || there == THERE_EXPECTED
            ? insert_file(c, num, f->file, f, wall_ns, err)
            : put_second(c, num, id, f, policy, wall_ns, err);
    if (r < 0)
        return r;
    if (r > 0)
        return 2;
    return refresh_file(c, num, wall_ns, complete, err);
}

int bp_archive_put_file(struct bp_archive *a, const char *id, const struct bp_archive_file *f,
                        enum bp_archive_policy policy, bp_ns_t wall_ns, bool *ret_complete,
                        struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    bool complete = false;
    int64_t num = 0;
    int r;

    if (!f->file || !*f->file || strlen(f->file) > BP_ARCHIVE_NAME_MAX)
        return bp_fail(err, -EINVAL, "a file needs a name of up to %d bytes", BP_ARCHIVE_NAME_MAX);
    r = bp_archive_begin(a, &c, err);
    if (r < 0)
        return r;
    r = bp_archive_find(c, id, &num, err);
    if (r >= 0)
        r = put_file(c, num, id, f, policy, wall_ns, &complete, err);
    r = bp_archive_end(c, r, err);
    if (r == 2)
        return bp_fail(err, -EEXIST, "another file '%s' of this session is here already", f->file);
    if (r >= 0 && ret_complete)
        *ret_complete = complete;
    return r;
}

/* ---- what came of checking ---- */

static int set_verified(struct bp_archive_conn *c, const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                        enum bp_archive_file_state state, const char *text, bp_ns_t wall_ns,
                        struct bp_error *err) {
    int64_t num = INT64_MIN;
    int n = 0, r = bp_archive_run(c, err,
                                  "UPDATE files SET state = ?2, text = ?3 WHERE sha256 = ?1 AND"
                                  " state <> 0",
                                  "dit", sha256, (int64_t) state, text);

    while (r >= 0 && (r = bp_archive_ask(c, &num, err,
                                         "SELECT min(session) FROM files WHERE sha256 = ?1 AND"
                                         " state <> 0 AND session > ?2 HAVING count(*) > 0",
                                         "di", sha256, num)) > 0) {
        r = bp_archive_run(c, err,
                           "UPDATE texts SET error = (SELECT ifnull(group_concat(file || ': ' ||"
                           " text, char(10)), '') FROM files WHERE session = ?1 AND state = 3)"
                           " WHERE session = ?1",
                           "i", num);
        if (r >= 0)
            r = refresh_file(c, num, wall_ns, NULL, err);
        n++;
    }
    return r < 0 ? r : n;
}

int bp_archive_set_verified(struct bp_archive *a, const uint8_t sha256[static BP_ARCHIVE_DIGEST],
                            enum bp_archive_file_state state, const char *text, bp_ns_t wall_ns,
                            struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int r = bp_archive_begin(a, &c, err);

    return r < 0 ? r : bp_archive_end(c, set_verified(c, sha256, state, text, wall_ns, err), err);
}

int bp_archive_put_overview(struct bp_archive *a, const char *id, const char *json,
                            struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int64_t num = 0;
    int r = bp_archive_begin(a, &c, err);

    if (r < 0)
        return r;
    r = bp_archive_find(c, id, &num, err);
    if (r >= 0)
        r = bp_archive_run(c, err, "INSERT OR REPLACE INTO overviews VALUES (?1, ?2)", "it", num,
                           json);
    return bp_archive_end(c, r, err);
}
