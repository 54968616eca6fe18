/* What people write about sessions, here and there: edits, merges, decisions, undoing. */
#include "catalog/archive-put.h"

#include <errno.h>
#include <stdio.h>

#include "catalog/merge.h"
#include "crypt/digest.h"

/* ---- the document ---- */

static int load_doc(struct bp_archive_conn *c, int64_t num, json_t **ret, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, "SELECT doc FROM texts WHERE session = ?1", &s, err);

    if (r < 0)
        return r;
    r = bp_db_bind_int(s, 1, num) ? bp_archive_step(c, s, err) : bp_archive_fail(c, err);
    if (r > 0) {
        *ret = json_loads(bp_db_text(s, 0), 0, NULL);
        if (!*ret)
            *ret = json_object();
    }
    bp_db_put_back(s);
    return r > 0 ? 0 : r < 0 ? r : bp_fail(err, -ENOENT, "the session has no texts");
}

/* The tags that are there, as a JSON array. */
static char *tags_of(const json_t *doc) {
    json_t *list = json_array(), *v;
    const char *name;
    char *text;

    json_object_foreach(json_object_get(doc, "fields"), name, v) {
        const char *value = bp_merge_get(doc, name);

        if (bp_starts_with(name, "tag:") && value && *value)
            (void) json_array_append_new(list, json_string(name + 4));
    }
    text = json_dumps(list, JSON_COMPACT);
    json_decref(list);
    return text;
}

static const char *text_of(const json_t *doc, const char *field) {
    const char *v = bp_merge_get(doc, field);

    return v ? v : "";
}

static int store_doc(struct bp_archive_conn *c, int64_t num, const json_t *doc,
                     struct bp_error *err) {
    BP_AUTO_FREE char *text = json_dumps(doc, JSON_COMPACT), *tags = tags_of(doc);

    if (!text || !tags)
        return bp_fail(err, -ENOMEM, "no memory for a session");
    return bp_archive_run(c, err,
                          "UPDATE texts SET doc = ?2, mission = ?3, operator = ?4, notes = ?5,"
                          " tags = ?6 WHERE session = ?1",
                          "itttt"
                          "t",
                          num, text, text_of(doc, "mission"), text_of(doc, "operator"),
                          text_of(doc, "notes"), tags);
}

/* ---- what a device says, as a document ---- */

struct told {
    json_t *ours, *theirs;
    const json_t *stamps;
    const char *device;
    json_int_t n; /* of its changes that have no stamp of their own; 0: it does not count */
    bool failed;
};

static json_int_t number_in(const json_t *version, const char *who) {
    return json_integer_value(json_object_get(version, who));
}

/* A device that does not count: what it says is a change of its own where nobody else has changed
 * it. */
static void tell_uncounted(struct told *t, const char *field, const char *value) {
    const json_t *have = json_object_get(json_object_get(t->ours, "fields"), field);
    const char *by = json_string_value(json_object_get(have, "by"));

    if (!have ? *value != '\0' : by && bp_streq(by, t->device))
        t->failed = bp_merge_set(t->theirs, field, value, t->device) < 0 || t->failed;
}

static void tell(struct told *t, const char *field, const char *value) {
    const json_t *have = json_object_get(json_object_get(t->ours, "fields"), field);
    const json_t *stamp = json_object_get(t->stamps, field);
    json_t *fields = json_object_get(t->theirs, "fields"), *put;
    const char *ours = bp_merge_get(t->ours, field), *stamped;

    if (t->n == 0) {
        tell_uncounted(t, field, value);
        return;
    }
    stamped = json_string_value(json_object_get(stamp, "value"));
    if (stamped && bp_streq(stamped, value))
        put = json_deep_copy(stamp);
    else if (ours && bp_streq(ours, value))
        put = json_deep_copy(have);
    else if (!ours && !*value)
        return;
    else
        put = json_pack("{s:s, s:I, s:s}", "value", value, "n", t->n, "by", t->device);
    t->failed = json_object_set_new(fields, field, put) < 0 || t->failed;
}

static int tell_tag(void *ctx, const char *tag) {
    char field[300];

    (void) snprintf(field, sizeof field, "tag:%s", tag);
    tell(ctx, field, "1");
    return 0;
}

static int note_tag(void *ctx, const char *tag) {
    return json_object_set_new(ctx, tag, json_true());
}

/* A tag that they knew and do not have any more was taken away. */
static void tell_tags(struct told *t, const char *tags) {
    json_t *theirs = json_object(), *v;
    const char *name;

    (void) bp_archive_each_text(tags, note_tag, theirs);
    (void) bp_archive_each_text(tags, tell_tag, t);
    json_object_foreach(json_object_get(t->ours, "fields"), name, v) {
        const char *by = json_string_value(json_object_get(v, "by"));
        const json_t *version = json_object_get(t->theirs, "version");

        if (bp_starts_with(name, "tag:") && !json_object_get(theirs, name + 4) && by &&
            *text_of(t->ours, name) &&
            (t->n == 0 || number_in(version, by) >= json_integer_value(json_object_get(v, "n"))))
            tell(t, name, "");
    }
    json_decref(theirs);
}

/* How far the device has come. A change of its own stands above all it knows. */
static void count_told(struct told *t) {
    json_t *version = json_object_get(t->theirs, "version"), *v;
    json_int_t others = 0;
    const char *who;

    t->n = number_in(version, t->device);
    json_object_foreach(version, who, v) if (!bp_streq(who, t->device)) others =
        BP_MAX(others, json_integer_value(v));
    if (json_object_size(version) > 0 && t->n <= others) {
        t->n = others + 1;
        t->failed = json_object_set_new(version, t->device, json_integer(t->n)) < 0 || t->failed;
    }
}

static json_t *object_in(const char *text) {
    json_t *o = text && *text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : json_object();

    if (!json_is_object(o)) {
        json_decref(o);
        return NULL;
    }
    return o;
}

static json_t *document_told(json_t *ours, const struct bp_archive_about *s) {
    json_t *version = object_in(s->version), *stamps = object_in(s->stamps);
    struct told t = { .ours = ours, .stamps = stamps, .device = s->device };

    if (version && stamps && json_object_size(version) > 0)
        t.theirs = json_pack("{s:O, s:{}}", "version", version, "fields");
    else if (version && stamps)
        t.theirs = json_deep_copy(ours);
    if (t.theirs && json_object_size(version) > 0)
        count_told(&t);
    if (t.theirs && s->mission)
        tell(&t, "mission", s->mission);
    if (t.theirs && s->operator_)
        tell(&t, "operator", s->operator_);
    if (t.theirs && s->notes)
        tell(&t, "notes", s->notes);
    if (t.theirs && s->tags)
        tell_tags(&t, s->tags);
    json_decref(version);
    json_decref(stamps);
    if (t.failed) {
        json_decref(t.theirs);
        return NULL;
    }
    return t.theirs;
}

/* ---- decisions ---- */

static int put_decision(struct bp_archive_conn *c, const char *id, enum bp_archive_policy policy,
                        const struct bp_merge_conflict *k, const char *device, bp_ns_t wall_ns,
                        struct bp_error *err) {
    return bp_archive_run(c, err,
                          "INSERT INTO decisions (session, policy, subject, ours, theirs, device,"
                          " took_theirs, wall_ns, undone_ns) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7,"
                          " ?8, 0)",
                          "ttttttii", id, bp_archive_policy_name(policy), k->field, k->ours,
                          k->theirs, device, (int64_t) k->took_theirs, wall_ns);
}

struct deciding {
    struct bp_archive_conn *c;
    const struct bp_archive_about *s;
    enum bp_archive_policy policy;
    bp_ns_t wall_ns;
    json_t *doc; /* ours, while it is changed to what the policy wants */
    struct bp_error *err;
    uint32_t n;
    int r;
};

/* What the policy takes becomes a change of ours above both, so that everybody comes to it. */
static void decide(void *ctx, const struct bp_merge_conflict *k) {
    struct deciding *d = ctx;
    struct bp_merge_conflict taken = *k;
    const json_t *decided = json_object_get(d->doc, "decided");

    taken.took_theirs = d->policy == BP_ARCHIVE_LOCAL    ? false
                        : d->policy == BP_ARCHIVE_REMOTE ? true
                                                         : k->took_theirs;
    if (d->r < 0)
        return;
    d->r = put_decision(d->c, d->s->id, d->policy, &taken, d->s->device, d->wall_ns, d->err);
    d->n++;
    if (d->r >= 0 && taken.took_theirs != k->took_theirs)
        d->r = json_object_set_new((json_t *) (uintptr_t) decided, k->field,
                                   json_string(taken.took_theirs ? k->theirs : k->ours));
}

static int apply_decided(json_t *doc, const json_t *decided) {
    const char *field;
    json_t *v;
    int r = 0;

    json_object_foreach((json_t *) (uintptr_t) decided, field, v) {
        if (r >= 0)
            r = bp_merge_set(doc, field, json_string_value(v), "server");
    }
    return r;
}

static int merge_docs(json_t *ours, json_t *theirs, struct deciding *d, json_t **ret) {
    json_t *merged, *decided = json_object();
    int r;

    if (json_object_set_new(ours, "decided", decided) < 0)
        return -ENOMEM;
    d->doc = ours;
    merged = bp_merge(ours, theirs, decide, d);
    r = !merged ? -ENOMEM : d->r < 0 ? d->r : apply_decided(merged, decided);
    if (r < 0) {
        json_decref(merged);
        return r;
    }
    *ret = merged;
    return 0;
}

int bp_archive_merge_about(struct bp_archive_conn *c, int64_t num, const struct bp_archive_about *s,
                           enum bp_archive_policy policy, bp_ns_t wall_ns, uint32_t *conflicts,
                           struct bp_error *err) {
    struct deciding d = { .c = c, .s = s, .policy = policy, .wall_ns = wall_ns, .err = err };
    json_t *ours = NULL, *theirs, *merged = NULL;
    int r = load_doc(c, num, &ours, err);

    if (r < 0)
        return r;
    theirs = document_told(ours, s);
    if (!theirs)
        r = bp_fail(err, -EINVAL, "version and stamps must be JSON objects");
    if (r >= 0)
        r = merge_docs(ours, theirs, &d, &merged);
    if (r >= 0)
        r = store_doc(c, num, merged, err);
    else if (r == -ENOMEM)
        r = bp_fail(err, r, "no memory to merge a session");
    json_decref(ours);
    json_decref(theirs);
    json_decref(merged);
    *conflicts = d.n;
    return r;
}

static int read_text(struct bp_archive_conn *c, const char *sql, int64_t num, const char *arg,
                     char *ret, size_t max, struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, sql, &s, err);

    if (r < 0)
        return r;
    r = bp_db_bind_int(s, 1, num) && (!arg || bp_db_bind_text(s, 2, arg))
            ? bp_archive_step(c, s, err)
            : bp_archive_fail(c, err);
    if (r > 0)
        (void) snprintf(ret, max, "%s", bp_db_text(s, 0));
    bp_db_put_back(s);
    return r < 0 ? r : 0;
}

int bp_archive_decide_file(struct bp_archive_conn *c, int64_t num, struct bp_archive_second *s,
                           struct bp_error *err) {
    char subject[BP_ARCHIVE_NAME_MAX + 8], ours[BP_SHA256_HEX] = "", theirs[BP_SHA256_HEX];
    struct bp_merge_conflict k = { .field = subject, .ours = ours, .theirs = theirs };
    int r = read_text(c, "SELECT device FROM texts WHERE session = ?1", num, NULL, s->device,
                      sizeof s->device, err);

    if (r >= 0)
        r = read_text(c, "SELECT lower(hex(sha256)) FROM files WHERE session = ?1 AND file = ?2",
                      num, s->file, ours, sizeof ours, err);
    if (r < 0)
        return r;
    (void) snprintf(subject, sizeof subject, "file:%s", s->file);
    (void) bp_sha256_hex(s->theirs, theirs);
    k.took_theirs = s->policy == BP_ARCHIVE_REMOTE;
    return put_decision(c, s->id, s->policy, &k, s->device, s->wall_ns, err);
}

int bp_archive_each_decision(struct bp_archive *a, const char *session, uint32_t limit,
                             int (*fn)(void *ctx, const struct bp_archive_decision *d), void *ctx,
                             struct bp_error *err) {
#define SELECT                                                                               \
    "SELECT decision, session, policy, subject, ours, theirs, device, took_theirs, wall_ns," \
    " undone_ns FROM decisions"
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c,
                            session ? SELECT " WHERE session = ?2 ORDER BY decision DESC LIMIT ?1"
                                    : SELECT " ORDER BY decision DESC LIMIT ?1",
                            &s, err);
#undef SELECT

    if (r == 0 && !(bp_db_bind_int(s, 1, limit) && (!session || bp_db_bind_text(s, 2, session))))
        r = bp_archive_fail(c, err);
    while (r == 0 && (r = bp_archive_step(c, s, err)) > 0) {
        int policy = bp_archive_policy_from_name(bp_db_text(s, 2));
        struct bp_archive_decision d = { .id = sqlite3_column_int64(s, 0),
                                         .policy = policy < 0 ? BP_ARCHIVE_MERGE
                                                              : (enum bp_archive_policy) policy,
                                         .subject = bp_db_text(s, 3),
                                         .ours = bp_db_text(s, 4),
                                         .theirs = bp_db_text(s, 5),
                                         .device = bp_db_text(s, 6),
                                         .took_theirs = sqlite3_column_int(s, 7) != 0,
                                         .wall_ns = sqlite3_column_int64(s, 8),
                                         .undone_ns = sqlite3_column_int64(s, 9) };

        (void) snprintf(d.session, sizeof d.session, "%s", bp_db_text(s, 1));
        r = fn(ctx, &d);
    }
    if (s)
        bp_db_put_back(s);
    bp_archive_let_go(c);
    return r;
}

int bp_archive_decided(struct bp_archive *a, int64_t decision, char ret[static 27],
                       struct bp_error *err) {
    struct bp_archive_conn *c = bp_archive_reader(a);
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c, "SELECT session FROM decisions WHERE decision = ?1", &s, err);

    if (r == 0)
        r = bp_db_bind_int(s, 1, decision) ? bp_archive_step(c, s, err) : bp_archive_fail(c, err);
    if (r > 0)
        (void) snprintf(ret, 27, "%s", bp_db_text(s, 0));
    if (s)
        bp_db_put_back(s);
    bp_archive_let_go(c);
    return r == 0 ? bp_fail(err, -ENOENT, "there is no decision %lld", (long long) decision)
                  : BP_MIN(r, 0);
}

/* ---- edits ---- */

static int set_tag(void *ctx, const char *tag) {
    const struct told *t = ctx;
    char field[300];

    (void) snprintf(field, sizeof field, "tag:%s", tag);
    return bp_merge_set(t->ours, field, "1", t->device);
}

static int set_tags(json_t *doc, const char *tags, const char *who) {
    struct told t = { .ours = doc, .device = who };
    json_t *wanted = json_object(), *copy = json_deep_copy(json_object_get(doc, "fields")), *v;
    int r = bp_archive_each_text(tags, note_tag, wanted);
    const char *name;

    json_object_foreach(copy, name, v) {
        if (r >= 0 && bp_starts_with(name, "tag:") && !json_object_get(wanted, name + 4))
            r = bp_merge_set(doc, name, "", who);
    }
    if (r >= 0)
        r = bp_archive_each_text(tags, set_tag, &t);
    json_decref(copy);
    json_decref(wanted);
    return r;
}

static int apply_edit(json_t *doc, const struct bp_archive_edit *e, const char *who) {
    int r = e->mission ? bp_merge_set(doc, "mission", e->mission, who) : 0;

    if (r >= 0 && e->operator_)
        r = bp_merge_set(doc, "operator", e->operator_, who);
    if (r >= 0 && e->notes)
        r = bp_merge_set(doc, "notes", e->notes, who);
    return r >= 0 && e->tags ? set_tags(doc, e->tags, who) : r;
}

static int edit(struct bp_archive_conn *c, int64_t num, const struct bp_archive_edit *e,
                const char *who, bp_ns_t wall_ns, struct bp_error *err) {
    json_t *doc = NULL;
    int r = load_doc(c, num, &doc, err);

    if (r < 0)
        return r;
    r = apply_edit(doc, e, who);
    if (r < 0)
        r = bp_fail(err, r, "the session cannot be changed: %s", bp_strerror(r));
    if (r >= 0)
        r = store_doc(c, num, doc, err);
    json_decref(doc);
    if (r >= 0 && e->keep >= 0)
        r = bp_archive_run(c, err, "UPDATE sessions SET keep = ?2 WHERE num = ?1", "ii", num,
                           (int64_t) (e->keep > 0));
    if (r >= 0)
        r = bp_archive_run(c, err, "UPDATE sessions SET updated_ns = ?2 WHERE num = ?1", "ii", num,
                           wall_ns);
    return r < 0 ? r : bp_archive_relabel(c, num, err);
}

/* A session that is there and no tombstone. */
static int find_live(struct bp_archive_conn *c, const char *id, int64_t *ret,
                     struct bp_error *err) {
    int r = bp_archive_ask(c, ret, err, "SELECT num FROM sessions WHERE id = ?1 AND state <> 3",
                           "t", id);

    return r == 0 ? bp_fail(err, -ENOENT, "there is no session '%s'", id) : r < 0 ? r : 0;
}

static int check_tag(void *ctx, const char *tag) {
    (void) ctx;
    return *tag && strlen(tag) <= 256 ? 0 : -EINVAL;
}

int bp_archive_edit(struct bp_archive *a, const char *id, const struct bp_archive_edit *e,
                    const char *who, bp_ns_t wall_ns, struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int64_t num = 0;
    int r;

    if (e->tags && bp_archive_each_text(e->tags, check_tag, NULL) < 0)
        return bp_fail(err, BP_EUSAGE, "tags are a list of texts of 1 to 256 bytes");
    r = bp_archive_begin(a, &c, err);
    if (r < 0)
        return r;
    r = find_live(c, id, &num, err);
    if (r >= 0)
        r = edit(c, num, e, who, wall_ns, err);
    return bp_archive_end(c, r, err);
}

int bp_archive_add_mark(struct bp_archive *a, const char *id, const struct bp_archive_mark *m,
                        bp_ns_t wall_ns, struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int64_t num = 0;
    int r = bp_archive_begin(a, &c, err);

    if (r < 0)
        return r;
    r = find_live(c, id, &num, err);
    if (r >= 0)
        r = bp_archive_run(c, err,
                           "INSERT OR IGNORE INTO marks (session, wall_ns, text, vals)"
                           " VALUES (?1, ?2, ?3, ?4)",
                           "iitt", num, m->wall_ns, m->text,
                           m->values && *m->values ? m->values : "{}");
    if (r >= 0)
        r = bp_archive_count_marks(c, num, err);
    if (r >= 0)
        r = bp_archive_run(c, err, "UPDATE sessions SET updated_ns = ?2 WHERE num = ?1", "ii", num,
                           wall_ns);
    if (r >= 0)
        r = bp_archive_relabel(c, num, err);
    return bp_archive_end(c, r, err);
}

/* ---- undoing ---- */

/* A file by its content, with name and kind. */
struct place {
    char file[2 * BP_ARCHIVE_NAME_MAX];
    int64_t kind;
};

static int find_place(struct bp_archive_conn *c, int64_t num, const char *hex, struct place *ret,
                      struct bp_error *err) {
    int r = bp_archive_ask(c, &ret->kind, err,
                           "SELECT kind FROM files WHERE session = ?1 AND state <> 0 AND"
                           " lower(hex(sha256)) = ?2",
                           "it", num, hex);

    if (r == 0)
        return bp_fail(err, BP_EUNSUPPORTED, "the other file was not kept");
    return r < 0 ? r
                 : read_text(c,
                             "SELECT file FROM files WHERE session = ?1 AND state <> 0 AND"
                             " lower(hex(sha256)) = ?2",
                             num, hex, ret->file, sizeof ret->file, err);
}

static int move_file(struct bp_archive_conn *c, int64_t num, const char *from, const char *to,
                     int64_t kind, struct bp_error *err) {
    return bp_archive_run(c, err,
                          "UPDATE files SET file = ?3, kind = ?4 WHERE session = ?1 AND file = ?2",
                          "itti", num, from, to, kind);
}

/* The two contents of a name change places. */
static int swap_files(struct bp_archive_conn *c, int64_t num, const char *ours, const char *theirs,
                      struct bp_error *err) {
    static const char between[] = "/"; /* which no file is called */
    struct place a, b;
    int r = find_place(c, num, ours, &a, err);

    if (r >= 0)
        r = find_place(c, num, theirs, &b, err);
    if (r >= 0)
        r = move_file(c, num, a.file, between, b.kind, err);
    if (r >= 0)
        r = move_file(c, num, b.file, a.file, a.kind, err);
    return r < 0 ? r : move_file(c, num, between, b.file, b.kind, err);
}

static int undo_text(struct bp_archive_conn *c, int64_t num, const char *field, const char *value,
                     const char *who, struct bp_error *err) {
    json_t *doc = NULL;
    int r = load_doc(c, num, &doc, err);

    if (r < 0)
        return r;
    r = bp_merge_set(doc, field, value, who);
    r = r < 0 ? bp_fail(err, r, "no memory to undo a decision") : store_doc(c, num, doc, err);
    json_decref(doc);
    return r;
}

struct undoing {
    char session[27];
    char *subject, *ours, *theirs; /* owned */
    bool took_theirs, found, undone;
};

static void undoing_done(struct undoing *u) {
    free(u->subject);
    free(u->ours);
    free(u->theirs);
}

static int load_decision(struct bp_archive_conn *c, int64_t id, struct undoing *u,
                         struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(c,
                            "SELECT session, subject, ours, theirs, took_theirs, undone_ns"
                            " FROM decisions WHERE decision = ?1",
                            &s, err);

    if (r < 0)
        return r;
    r = bp_db_bind_int(s, 1, id) ? bp_archive_step(c, s, err) : bp_archive_fail(c, err);
    if (r > 0) {
        (void) snprintf(u->session, sizeof u->session, "%s", bp_db_text(s, 0));
        u->subject = strdup(bp_db_text(s, 1));
        u->ours = strdup(bp_db_text(s, 2));
        u->theirs = strdup(bp_db_text(s, 3));
        u->took_theirs = sqlite3_column_int(s, 4) != 0;
        u->undone = sqlite3_column_int64(s, 5) != 0;
        r = !u->subject || !u->ours || !u->theirs ? bp_fail(err, -ENOMEM, "no memory") : 1;
    }
    bp_db_put_back(s);
    return r == 0 ? bp_fail(err, -ENOENT, "there is no decision %lld", (long long) id)
                  : BP_MIN(r, 0);
}

static int undo(struct bp_archive_conn *c, int64_t decision, const char *who, bp_ns_t wall_ns,
                struct bp_error *err) {
    BP_CLEANUP(undoing_done) struct undoing u = { 0 };
    int64_t num = 0;
    int r = load_decision(c, decision, &u, err);

    if (r >= 0 && u.undone)
        return bp_fail(err, BP_EBUSY, "that decision is undone already");
    if (r >= 0)
        r = find_live(c, u.session, &num, err);
    if (r >= 0)
        r = bp_starts_with(u.subject, "file:")
                ? swap_files(c, num, u.ours, u.theirs, err)
                : undo_text(c, num, u.subject, u.took_theirs ? u.ours : u.theirs, who, err);
    if (r >= 0)
        r = bp_archive_run(c, err, "UPDATE decisions SET undone_ns = ?2 WHERE decision = ?1", "ii",
                           decision, wall_ns);
    if (r >= 0)
        r = bp_archive_refresh(c, num, wall_ns, NULL, err);
    return r < 0 ? r : bp_archive_relabel(c, num, err);
}

int bp_archive_undo(struct bp_archive *a, int64_t decision, const char *who, bp_ns_t wall_ns,
                    struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    int r = bp_archive_begin(a, &c, err);

    return r < 0 ? r : bp_archive_end(c, undo(c, decision, who, wall_ns, err), err);
}

/* ---- deleting ---- */

static int collect_digests(struct bp_archive_conn *c, int64_t num, struct bp_buf *digests,
                           struct bp_error *err) {
    sqlite3_stmt *s = NULL;
    int r = bp_archive_take(
        c, "SELECT DISTINCT sha256 FROM files WHERE session = ?1 AND state <> 0", &s, err);

    if (r == 0 && !bp_db_bind_int(s, 1, num))
        r = bp_archive_fail(c, err);
    while (r == 0 && (r = bp_archive_step(c, s, err)) > 0) {
        if (sqlite3_column_bytes(s, 0) == BP_ARCHIVE_DIGEST)
            bp_buf_put(digests, sqlite3_column_blob(s, 0), BP_ARCHIVE_DIGEST);
        r = 0;
    }
    if (s)
        bp_db_put_back(s);
    return r < 0 ? r : digests->failed ? bp_fail(err, -ENOMEM, "no memory to delete") : 0;
}

static int bury(struct bp_archive_conn *c, int64_t num, const char *why, bp_ns_t wall_ns,
                struct bp_error *err) {
    int r = bp_archive_run(c, err, "DELETE FROM files WHERE session = ?1", "i", num);

    if (r >= 0)
        r = bp_archive_run(c, err, "DELETE FROM topics WHERE session = ?1", "i", num);
    if (r >= 0)
        r = bp_archive_run(c, err, "DELETE FROM overviews WHERE session = ?1", "i", num);
    if (r >= 0)
        r = bp_archive_run(c, err,
                           "UPDATE sessions SET state = 3, keep = 0, deleted_ns = ?2,"
                           " updated_ns = ?2 WHERE num = ?1",
                           "ii", num, wall_ns);
    if (r >= 0)
        r = bp_archive_run(c, err, "UPDATE texts SET deleted_why = ?2 WHERE session = ?1", "it",
                           num, why);
    return r < 0 ? r : bp_archive_relabel(c, num, err);
}

int bp_archive_delete(struct bp_archive *a, const char *id, const char *why, bool force,
                      bp_ns_t wall_ns,
                      void (*orphan)(void *ctx, const uint8_t sha256[static BP_ARCHIVE_DIGEST]),
                      void *ctx, struct bp_error *err) {
    struct bp_archive_conn *c = NULL;
    BP_AUTO_BUF digests = { 0 };
    int64_t num = 0, keep = 0;
    int r = bp_archive_begin(a, &c, err);

    if (r < 0)
        return r;
    r = find_live(c, id, &num, err);
    if (r >= 0)
        r = bp_archive_ask(c, &keep, err, "SELECT keep FROM sessions WHERE num = ?1", "i", num);
    if (r >= 0 && keep && !force)
        r = bp_fail(err, BP_EBUSY, "session '%s' is kept: nothing deletes it", id);
    if (r >= 0)
        r = collect_digests(c, num, &digests, err);
    if (r >= 0)
        r = bury(c, num, why, wall_ns, err);
    r = bp_archive_end(c, r, err);

    for (size_t i = 0; r >= 0 && orphan && i < digests.n; i += BP_ARCHIVE_DIGEST) {
        uint64_t n = 1;

        if (bp_archive_references(a, digests.p + i, &n, NULL) == 0 && n == 0)
            orphan(ctx, digests.p + i);
    }
    return r < 0 ? r : 0;
}
