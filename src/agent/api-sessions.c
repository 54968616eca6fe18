/* The API's part about sessions that are there already: edit, delete, verify, ledger, files. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent/agent-priv.h"
#include "agent/files.h"
#include "agent/retention.h"
#include "agent/sessions-priv.h"
#include "bag/bag-ledger.h"
#include "bag/manifest.h"
#include "bag/verify.h"
#include "catalog/keep.h"

static struct bp_agent *agent_of(const struct bp_http_req *req) {
    return bp_http_ctx(req);
}

/* The catalogue's row of the session that a request is about. */
static int row_of(const struct bp_http_req *req, struct bp_catalog_session *ret,
                  struct bp_error *err) {
    return bp_catalog_get(agent_of(req)->catalog, bp_http_param(req, "id"), ret, err);
}

static bool is_live(const struct bp_catalog_session *row) {
    return row->status == BP_STATUS_RECORDING || row->status == BP_STATUS_PAUSED;
}

/* The same for what needs its files whole. */
static int finished_of(const struct bp_http_req *req, struct bp_catalog_session *ret,
                       struct bp_error *err) {
    int r = row_of(req, ret, err);

    if (r == 0 && is_live(ret))
        r = bp_fail(err, BP_EBUSY, "session '%s' is being recorded: stop it first", ret->name);
    if (r == 0 && ret->status == BP_STATUS_DELETED)
        r = bp_fail(err, -ENOENT, "session '%s' is deleted", ret->name);
    return r;
}

static int reply_session(struct bp_agent *a, const char *key, int status,
                         struct bp_http_reply *reply, struct bp_error *err) {
    json_t *o = bp_sessions_get(a->sessions, key);

    if (!o)
        return bp_fail(err, -ENOENT, "there is no session '%s'", key);
    bp_http_reply_json(reply, status, o);
    return 0;
}

/* ---- editing ---- */

static int edit(struct bp_agent *a, const char *key, json_t *patch, struct bp_error *err) {
    json_t *keep = json_incref(json_object_get(patch, "keep"));
    BP_AUTO_CATALOG_SESSION row = { 0 };
    int r = keep && !json_is_boolean(keep) ? bp_fail(err, BP_EUSAGE, "'keep' must be true or false")
                                           : bp_catalog_get(a->catalog, key, &row, err);

    (void) json_object_del(patch, "keep");
    if (r == 0 && json_object_size(patch) > 0)
        r = bp_sessions_edit(a->sessions, row.id, patch, err);
    if (r == 0 && keep)
        r = bp_catalog_set_keep(a->catalog, row.id, json_is_true(keep), err);
    json_decref(keep);
    return r;
}

int bp_agent_patch_session(struct bp_http_req *req, struct bp_http_reply *reply,
                           struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    const char *key = bp_http_param(req, "id");
    json_t *patch = NULL;
    int r = bp_agent_body(req, &patch, err);

    if (r < 0)
        return r;
    r = edit(a, key, patch, err);
    json_decref(patch);
    return r < 0 ? r : reply_session(a, key, 200, reply, err);
}

int bp_agent_delete_session(struct bp_http_req *req, struct bp_http_reply *reply,
                            struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    struct bp_agent *a = agent_of(req);
    int r = finished_of(req, &row, err);

    if (r == 0)
        r = bp_retention_delete(a->retention, row.id, "deleted by hand", err);
    return r < 0 ? r : reply_session(a, row.id, 202, reply, err);
}

/* ---- verify ---- */

struct check {
    char dir[1300];
    struct bp_job *job;
    json_t *counts[BP_FINDING_LEVELS_];
};

static void on_finding(void *ctx, const struct bp_finding *f) {
    static const char *const levels[] = { "note", "damage", "unusable" };
    struct check *c = ctx;
    const char *slash = strrchr(f->path, '/');
    char text[600];

    if (f->at_byte)
        (void) snprintf(text, sizeof text, "%s: %s, byte %llu: %s%s%s", levels[f->level],
                        slash ? slash + 1 : f->path, (unsigned long long) f->offset, f->text,
                        f->remedy ? "; " : "", f->remedy ? f->remedy : "");
    else
        (void) snprintf(text, sizeof text, "%s: %s: %s%s%s", levels[f->level],
                        slash ? slash + 1 : f->path, f->text, f->remedy ? "; " : "",
                        f->remedy ? f->remedy : "");
    bp_job_log(c->job, text);
}

static int on_progress(void *ctx, uint64_t done, uint64_t total) {
    return bp_job_progress(((struct check *) ctx)->job, done, total);
}

static int run_verify(struct bp_job *job, void *arg, json_t **ret, struct bp_error *err) {
    static const char *const verdicts[] = { "whole", "damaged", "unusable" };
    struct check *c = arg;
    const char *path = c->dir;
    struct bp_verify_result v;
    int r;

    c->job = job;
    r = bp_verify(&path, 1,
                  &(struct bp_verify_opts){
                      .threads = 1, .finding = on_finding, .progress = on_progress, .ctx = c },
                  &v, err);
    if (r < 0)
        return r;
    *ret = json_pack("{s:s, s:I, s:I, s:I, s:I, s:{s:I, s:I, s:I}}", "verdict", verdicts[v.verdict],
                     "files", (json_int_t) v.files, "bytes", (json_int_t) v.bytes, "messages",
                     (json_int_t) (v.messages - v.repeated), "lost", (json_int_t) v.lost,
                     "findings", "note", (json_int_t) v.findings[BP_FINDING_NOTE], "damage",
                     (json_int_t) v.findings[BP_FINDING_DAMAGE], "unusable",
                     (json_int_t) v.findings[BP_FINDING_UNUSABLE]);
    return 0;
}

int bp_agent_reply_job(struct bp_agent *a, const char *id, struct bp_http_reply *reply,
                       struct bp_error *err) {
    char place[64];
    json_t *o = NULL;
    int r = bp_jobs_get(a->jobs, id, &o, err);

    if (r < 0)
        return r;
    (void) snprintf(place, sizeof place, "/api/v1/jobs/%s", id);
    bp_http_reply_json(reply, 202, o);
    bp_http_reply_header(reply, "Location", place);
    return 0;
}

int bp_agent_verify_session(struct bp_http_req *req, struct bp_http_reply *reply,
                            struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    struct bp_agent *a = agent_of(req);
    struct check *c;
    char id[27];
    int r = finished_of(req, &row, err);

    if (r < 0)
        return r;
    c = calloc(1, sizeof *c);
    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) snprintf(c->dir, sizeof c->dir, "%s", row.dir);
    r = bp_jobs_start(
        a->jobs,
        &(struct bp_job_opts){
            .kind = "verify", .subject = row.id, .run = run_verify, .done = free, .arg = c },
        id, err);
    return r < 0 ? r : bp_agent_reply_job(a, id, reply, err);
}

/* ---- ledger ---- */

static json_t *spans_json(const struct bp_spans *s) {
    BP_AUTO_BUF text = { 0 };

    bp_spans_text(s, &text);
    return json_string(bp_buf_cstr(&text));
}

static json_t *source_json(const struct bp_ledger_source *s, bool spans) {
    struct bp_ledger_totals t;
    char guid[33], *at = guid;
    json_t *o, *lost;

    bp_ledger_source_totals(s, &t);
    for (size_t i = 0; i < sizeof s->guid; i++)
        at += snprintf(at, 3, "%02x", s->guid[i]);
    o = json_pack("{s:s, s:s, s:s, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "guid", guid, "topic",
                  s->topic, "node", s->node, "vendor", (int) s->vendor, "first",
                  (json_int_t) t.first, "last", (json_int_t) t.last, "received",
                  (json_int_t) t.received, "late", (json_int_t) t.late, "duplicates",
                  (json_int_t) t.duplicates, "lost", (json_int_t) t.lost_all, "lost_by_cause",
                  bp_sessions_lost_json(t.lost));
    if (!o || !spans)
        return o;
    lost = json_object();
    for (int i = 0; i < BP_LOSS_N_; i++)
        if (s->lost[i].n > 0)
            (void) json_object_set_new(lost, bp_loss_name((enum bp_loss) i),
                                       spans_json(&s->lost[i]));
    (void) json_object_set_new(
        o, "spans", json_pack("{s:o, s:o}", "received", spans_json(&s->received), "lost", lost));
    return o;
}

static json_t *ledger_json(const char *id, const struct bp_writer_ledger *l, bool spans) {
    struct bp_ledger_totals t;
    json_t *sources = json_array();
    uint64_t folded_lost = 0;

    for (size_t i = 0; i < l->ledger.n; i++)
        (void) json_array_append_new(sources, source_json(l->ledger.v[i], spans));
    bp_ledger_totals(&l->ledger, &t);
    for (int i = 0; i < BP_LOSS_N_; i++) {
        t.lost[i] += l->folded_lost[i];
        folded_lost += bp_loss_is_loss((enum bp_loss) i) ? l->folded_lost[i] : 0;
    }
    t.lost_all += folded_lost;
    return json_pack("{s:s, s:{s:I, s:I}, s:I, s:I, s:I, s:o, s:o}", "session", id, "folded",
                     "received", (json_int_t) l->folded_received, "lost", (json_int_t) folded_lost,
                     "received", (json_int_t) t.received + (json_int_t) l->folded_received, "late",
                     (json_int_t) t.late, "lost", (json_int_t) t.lost_all, "lost_by_cause",
                     bp_sessions_lost_json(t.lost), "sources", sources);
}

static int finished_ledger(const char *path, struct bp_ledger *ret, struct bp_error *err) {
    BP_CLEANUP(bp_bag_closep) struct bp_bag *bag = NULL;
    int r = bp_bag_open(&path, 1, &bag, err);

    return r < 0 ? r : bp_bag_ledger(bag, ret, err);
}

int bp_agent_get_ledger(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    const struct bp_agent *a = bp_http_ctx(req);
    BP_CLEANUP(bp_writer_ledger_done) struct bp_writer_ledger l = { 0 };
    BP_AUTO_CATALOG_SESSION row = { 0 };
    BP_AUTO_CATALOG_SESSION over = { 0 };
    const char *spans = bp_http_query(req, "spans");
    bool running;
    json_t *o;
    int r = row_of(req, &row, err);

    if (r < 0)
        return r;
    /* one that ends just now has no writer any more, but its files soon have it all */
    r = is_live(&row) ? bp_sessions_ledger(a->sessions, row.id, &l, err) : -ENOENT;
    running = r == 0;
    if (r == -ENOENT)
        r = finished_of(req, &over, err);
    if (r == 0 && !running)
        r = finished_ledger(over.dir, &l.ledger, err);
    if (r < 0)
        return r;
    o = ledger_json(row.id, &l, spans && !bp_streq(spans, "0"));
    (void) json_object_set_new(o, "running", json_boolean(running));
    bp_agent_reply_known(reply, o);
    return 0;
}

/* ---- topics of a session that is over ---- */

static int reply_manifest_topics(const char *dir, struct bp_http_reply *reply,
                                 struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    json_t *list;
    int r = bp_manifest_read(&bp_io_posix, dir, &m, err);

    if (r < 0)
        return r;
    list = json_array();
    for (size_t i = 0; i < m.nchannels; i++) {
        const struct bp_manifest_channel *c = &m.channels[i];

        (void) json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:i, s:I, s:o}", "topic", c->topic, "type", c->type,
                            "robot", c->robot, "domain", (int) c->domain, "messages",
                            (json_int_t) c->received, "lost", bp_sessions_lost_json(c->lost)));
    }
    bp_agent_reply_known(reply, json_pack("{s:o}", "topics", list));
    return 0;
}

int bp_agent_get_session_topics(struct bp_http_req *req, struct bp_http_reply *reply,
                                struct bp_error *err) {
    json_t *o = bp_sessions_topics(agent_of(req)->sessions, bp_http_param(req, "id"));
    BP_AUTO_CATALOG_SESSION row = { 0 };
    int r;

    if (o) {
        bp_http_reply_json(reply, 200, o);
        return 0;
    }
    r = finished_of(req, &row, err);
    return r < 0 ? r : reply_manifest_topics(row.dir, reply, err);
}

/* ---- files ---- */

int bp_agent_get_segments(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    int r = row_of(req, &row, err);

    if (r == 0)
        bp_agent_reply_known(reply, bp_files_json(row.dir, is_live(&row)));
    return r;
}

int bp_agent_get_segment(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    int r = row_of(req, &row, err);

    return r < 0 ? r
                 : bp_files_reply(reply, row.dir, bp_http_param(req, "name"), is_live(&row), err);
}

int bp_agent_get_download(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    int r = finished_of(req, &row, err);

    return r < 0 ? r : bp_files_reply_tar(reply, row.dir, err);
}

/* ---- jobs ---- */

int bp_agent_jobs(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_api_jobs(agent_of(req)->jobs, req, reply, err);
}
