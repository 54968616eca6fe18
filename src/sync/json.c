#include "sync/json.h"

#include <errno.h>

#include "base/json-value.h"

static json_t *count_json(const struct bp_sync_count *c) {
    return json_pack("{s:o, s:o}", "files", bp_json_count(c->files), "bytes",
                     bp_json_count(c->bytes));
}

static json_t *seconds(bp_ns_t ns) {
    return ns ? json_real((double) ns / 1e9) : json_null();
}

static json_t *text_or_null(const char *text) {
    return text && *text ? json_string(text) : json_null();
}

static json_t *active_json(const struct bp_sync_target_status *t) {
    json_t *list = json_array();

    for (size_t i = 0; i < t->nactive; i++) {
        const struct bp_sync_active *a = &t->active[i];

        (void) json_array_append_new(
            list, json_pack("{s:s, s:s, s:o, s:o, s:f, s:o}", "session", a->session, "file",
                            a->file, "bytes", bp_json_count(a->bytes), "done",
                            bp_json_count(a->done), "rate", a->rate, "eta_s", seconds(a->eta)));
    }
    return list;
}

static json_t *target_json(const struct bp_sync_target_status *t) {
    json_t *o =
        json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:b, s:o, s:o, s:f}", "name", t->name, "url",
                  t->url, "kind", t->kind, "state", bp_sync_state_name(t->state), "class",
                  t->class == BP_SYNC_OK ? json_null() : json_string(bp_sync_class_name(t->class)),
                  "text", text_or_null(t->text), "optional", (int) t->optional, "since_ns",
                  bp_json_time(t->since_wall_ns), "next_ns", bp_json_time(t->next_wall_ns),
                  "clock_offset_s", (double) t->clock_offset / 1e9);

    if (o)
        (void) json_object_update_new(
            o, json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:f, s:o, s:o}", "waiting",
                         count_json(&t->waiting), "parked", count_json(&t->parked), "failed",
                         count_json(&t->failed), "done", count_json(&t->done), "sent",
                         bp_json_count(t->sent), "resent", bp_json_count(t->resent), "have",
                         bp_json_count(t->have), "rate", t->rate, "eta_s", seconds(t->eta),
                         "active", active_json(t)));
    return o;
}

static void add(struct bp_sync_count *to, const struct bp_sync_count *c) {
    to->files += c->files;
    to->bytes += c->bytes;
}

int bp_sync_status_json(struct bp_sync *s, json_t **ret, struct bp_error *err) {
    struct bp_sync_status st = { 0 };
    struct bp_sync_count waiting = { 0 }, parked = { 0 }, failed = { 0 }, done = { 0 };
    json_t *targets = json_array(), *o;
    bp_ns_t eta = 0;
    double rate = 0;
    int r = bp_sync_get_status(s, &st, err);

    if (r < 0) {
        json_decref(targets);
        return r;
    }
    for (size_t i = 0; i < st.ntargets; i++) {
        const struct bp_sync_target_status *t = &st.targets[i];

        add(&waiting, &t->waiting);
        add(&parked, &t->parked);
        add(&failed, &t->failed);
        add(&done, &t->done);
        rate += t->rate;
        eta = BP_MAX(eta, t->eta);
        (void) json_array_append_new(targets, target_json(t));
    }
    o = json_pack("{s:b, s:b, s:b, s:f, s:o, s:o, s:o, s:o, s:f, s:o, s:o}", "running",
                  (int) st.running, "paused", (int) st.paused, "metered", (int) st.metered, "limit",
                  st.limit, "waiting", count_json(&waiting), "parked", count_json(&parked),
                  "failed", count_json(&failed), "done", count_json(&done), "rate", rate, "eta_s",
                  seconds(eta), "targets", targets);
    bp_sync_status_done(&st);
    if (!o)
        return bp_fail(err, -ENOMEM, "out of memory");
    *ret = o;
    return 0;
}

/* ---- files ---- */

struct page {
    json_t *list;
    uint32_t left;
    int64_t last;
    bool more;
};

static int put_row(void *ctx, const struct bp_sync_row *x) {
    struct page *p = ctx;

    if (p->left == 0) {
        p->more = true;
        return 1;
    }
    p->left--;
    p->last = x->number;
    return json_array_append_new(
        p->list,
        json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:i, s:o, s:o, s:o}",
                  "number", (json_int_t) x->number, "session", x->session, "session_name",
                  x->session_name, "target", x->target, "file", x->file, "kind",
                  bp_sync_kind_name(x->kind), "state", bp_sync_row_name(x->state), "class",
                  x->class == BP_SYNC_OK ? json_null() : json_string(bp_sync_class_name(x->class)),
                  "error", text_or_null(x->error), "bytes", bp_json_count(x->bytes), "tries",
                  (int) x->tries, "done", bp_json_count(x->done), "sha256", text_or_null(x->sha256),
                  "confirmed_ns", bp_json_time(x->confirmed_wall_ns)));
}

int bp_sync_files_json(struct bp_sync *s, const struct bp_sync_query *q, json_t **ret,
                       struct bp_error *err) {
    struct bp_sync_query more = *q;
    struct page p = { .list = json_array(), .left = q->limit ? q->limit : 100 };
    int r;

    more.limit = p.left + 1;
    r = p.list ? bp_sync_list(s, &more, put_row, &p, err) : bp_fail(err, -ENOMEM, "out of memory");
    if (r < 0) {
        json_decref(p.list);
        return r;
    }
    *ret = json_pack("{s:o, s:o}", "files", p.list, "next",
                     p.more ? json_integer((json_int_t) p.last) : json_null());
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

/* ---- decisions ---- */

/* JSON of a session; anything else stays a text. */
static json_t *value_of(const char *text) {
    json_t *o = text ? json_loads(text, JSON_REJECT_DUPLICATES, NULL) : NULL;

    return o ? o : text_or_null(text);
}

static int put_decision(void *ctx, const struct bp_sync_decision *d) {
    return json_array_append_new(
        ctx,
        json_pack("{s:I, s:o, s:s, s:s, s:o, s:s, s:o, s:o, s:o, s:b}", "number",
                  (json_int_t) d->number, "time_ns", bp_json_time(d->wall_ns), "target", d->target,
                  "session", d->session, "file", text_or_null(d->file), "policy",
                  bp_sync_policy_name(d->policy), "ours", value_of(d->ours), "theirs",
                  value_of(d->theirs), "result", value_of(d->result), "undone", (int) d->undone));
}

int bp_sync_decisions_json(struct bp_sync *s, json_t **ret, struct bp_error *err) {
    json_t *list = json_array();
    int r = list ? bp_sync_decisions(s, put_decision, list, err)
                 : bp_fail(err, -ENOMEM, "out of memory");

    if (r < 0) {
        json_decref(list);
        return r;
    }
    *ret = json_pack("{s:o}", "decisions", list);
    return *ret ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

/* ---- events ---- */

json_t *bp_sync_event_json(const struct bp_sync_event *e) {
    return json_pack(
        "{s:s, s:s*, s:s*, s:s*, s:s*, s:o*, s:o*, s:o}", "event", bp_sync_event_name(e->kind),
        "target", e->target, "session", e->session, "file", e->file, "text", e->text, "class",
        e->class == BP_SYNC_OK ? NULL : json_string(bp_sync_class_name(e->class)), "bytes",
        e->bytes ? bp_json_count(e->bytes) : NULL, "time_ns", bp_json_time(e->wall_ns));
}
