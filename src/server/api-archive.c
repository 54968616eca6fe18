/* Routes of the archive: sessions of all robots, found, told, changed, deleted; their files; the
 * audit log. Paths and bodies: docs/api/server.md. */
#include "server/api-archive.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/json-value.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/units.h"
#include "catalog/archive.h"
#include "catalog/audit.h"
#include "ingest/ingest.h"
#include "server/archive-json.h"
#include "server/scope.h"
#include "server/server-priv.h"
#include "store/store.h"

/* ---- the part ---- */

static int open_archive(struct bp_server *s, struct bp_error *err) {
    bool renewed = false;
    char path[1100];
    int r;

    (void) snprintf(path, sizeof path, "%s/archive.db", s->dir);
    r = bp_archive_open(path, &s->archive, &renewed, err);
    if (r == 0 && renewed)
        bp_log(BP_LOG_WARNING,
               "the archive was damaged and has been set aside: bagpipe server --reindex makes it "
               "anew from what is stored",
               BP_F_TEXT("path", path));
    (void) snprintf(path, sizeof path, "%s/audit.db", s->dir);
    renewed = false;
    if (r == 0)
        r = bp_audit_open(path, &s->audit, &renewed, err);
    if (r == 0 && renewed)
        bp_log(BP_LOG_ERROR, "the audit log was damaged and has been set aside",
               BP_F_TEXT("path", path));
    return r;
}

static void close_archive(struct bp_server *s) {
    bp_archive_close(s->archive);
    bp_audit_close(s->audit);
    s->archive = NULL;
    s->audit = NULL;
}

static void put_status(struct bp_server *s, json_t *to) {
    struct bp_archive_sums sums;

    if (bp_archive_sums(s->archive, &sums, NULL) < 0)
        return;
    (void) json_object_set_new(
        to, "archive",
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "sessions",
                  bp_json_count(sums.sessions), "receiving", bp_json_count(sums.receiving),
                  "damaged", bp_json_count(sums.damaged), "segments", bp_json_count(sums.segments),
                  "bytes", bp_json_count(sums.bytes), "messages", bp_json_count(sums.messages),
                  "lost", bp_json_count(sums.lost), "devices", bp_json_count(sums.devices)));
}

static void put_metrics(struct bp_server *s, struct bp_buf *out) {
    struct bp_archive_sums sums;

    if (bp_archive_sums(s->archive, &sums, NULL) < 0)
        return;
#define GAUGE(name, help, value)                         \
    bp_metrics_family(out, name, BP_METRIC_GAUGE, help); \
    bp_metrics_sample(out, name, NULL, 0, (double) (value))
    GAUGE("bagpipe_archive_sessions", "Sessions in the archive that are not deleted.",
          sums.sessions);
    GAUGE("bagpipe_archive_receiving_sessions",
          "Sessions of which something has not come yet: do robots get through?", sums.receiving);
    GAUGE("bagpipe_archive_damaged_sessions", "Sessions with a file that is not as it must be.",
          sums.damaged);
    GAUGE("bagpipe_archive_segments", "Segments of these sessions.", sums.segments);
    GAUGE("bagpipe_archive_bytes", "Bytes of these segments; shared ones count for each.",
          sums.bytes);
#undef GAUGE
}

/* ---- the audit log ---- */

int bp_server_audit(struct bp_server *s, const struct bp_http_req *req, const char *action,
                    const char *subject, json_t *details, struct bp_error *err) {
    BP_AUTO_FREE char *text = details ? json_dumps(details, JSON_COMPACT) : NULL;
    const char *who = bp_http_user(req);
    char peer[BP_ACCESS_PEER];

    json_decref(details);
    bp_access_peer(s->access, req, peer);
    return bp_audit_add(s->audit,
                        &(struct bp_audit_entry){ .who = *who ? who : "nobody",
                                                  .from = peer,
                                                  .action = action,
                                                  .subject = subject,
                                                  .details = text },
                        err);
}

static json_t *hash_json(const uint8_t hash[static BP_AUDIT_HASH]) {
    char hex[BP_SHA256_HEX];

    return json_string(bp_sha256_hex(hash, hex));
}

static int put_entry(void *ctx, const struct bp_audit_entry *e) {
    json_t *details = *e->details ? json_loads(e->details, 0, NULL) : NULL;

    return json_array_append_new(
        ctx, json_pack("{s:I, s:o, s:s, s:s, s:s, s:s, s:o, s:o}", "number", (json_int_t) e->number,
                       "time_ns", bp_json_time(e->wall_ns), "who", e->who, "from", e->from,
                       "action", e->action, "subject", e->subject, "details",
                       details ? details : json_null(), "hash", hash_json(e->hash)));
}

static json_t *head_json(struct bp_audit *a) {
    uint8_t hash[BP_AUDIT_HASH];
    int64_t number = 0;

    if (bp_audit_head(a, &number, hash, NULL) < 0)
        return NULL;
    return json_pack("{s:I, s:o}", "number", (json_int_t) number, "hash", hash_json(hash));
}

static int get_audit(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_audit *a = bp_server_of(req)->audit;
    struct bp_audit_query q = { .who = bp_http_query(req, "who"),
                                .action = bp_http_query(req, "action"),
                                .subject = bp_http_query(req, "subject") };
    json_t *list = json_array(), *head;
    int64_t limit = 0, last = 0;
    int r = bp_api_number(req, "limit", 100, 1, 999, &limit, err);

    if (r == 0)
        r = bp_api_number(req, "before", 0, 0, INT64_MAX, &q.before, err);
    if (r == 0)
        r = bp_api_number(req, "from_ns", 0, 0, INT64_MAX, &q.from, err);
    if (r == 0)
        r = bp_api_number(req, "to_ns", 0, 0, INT64_MAX, &q.to, err);
    q.limit = (uint32_t) limit;
    if (r == 0)
        r = bp_audit_list(a, &q, put_entry, list, err);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    if (json_array_size(list) == q.limit)
        last = json_integer_value(
            json_object_get(json_array_get(list, json_array_size(list) - 1), "number"));
    head = head_json(a);
    bp_http_reply_json(reply, 200,
                       json_pack("{s:o, s:o, s:o}", "entries", list, "head", head, "next",
                                 last > 1 ? json_integer(last) : json_null()));
    return 0;
}

/* {"number": N, "hash": HEX} of a head that was kept. */
static int read_head(const json_t *body, struct bp_audit_entry *ret, bool *ret_given,
                     struct bp_error *err) {
    const char *hex = json_string_value(json_object_get(body, "hash"));
    const json_t *number = json_object_get(body, "number");

    *ret_given = number != NULL;
    if (!number)
        return 0;
    if (!json_is_integer(number) || json_integer_value(number) < 1 || !hex || strlen(hex) != 64)
        return bp_fail(err, BP_EUSAGE, "a head is {\"number\": N, \"hash\": 64 digits of hex}");
    ret->number = json_integer_value(number);
    for (size_t i = 0; i < BP_AUDIT_HASH; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &ret->hash[i]) != 1) /* NOLINT(cert-err34-c): two digits */
            return bp_fail(err, BP_EUSAGE, "'%s' is no hash in hex", hex);
    return 0;
}

static int verify_audit(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct bp_audit_entry head = { 0 };
    struct bp_error why = { 0 };
    json_t *body = NULL;
    bool given = false;
    int64_t n = 0;
    int r = bp_api_body(req, &body, err);

    if (r == 0)
        r = read_head(body, &head, &given, err);
    json_decref(body);
    if (r < 0)
        return r;
    r = bp_audit_verify(bp_server_of(req)->audit, given ? &head : NULL, &n, &why);
    if (r < 0 && r != BP_EMISMATCH)
        return bp_fail(err, r, "%s", why.text);
    bp_http_reply_json(
        reply, 200,
        r == 0 ? json_pack("{s:b, s:I, s:n}", "good", 1, "entries", (json_int_t) n, "error")
               : json_pack("{s:b, s:n, s:s}", "good", 0, "entries", "error", why.text));
    return 0;
}

/* ---- lists ---- */

static int put_session(void *ctx, const struct bp_archive_session *s) {
    return json_array_append_new(ctx, bp_archive_session_json(s));
}

static int put_facet(void *ctx, const char *kind, const char *value, uint64_t n) {
    json_t *list = json_object_get(ctx, kind);

    if (!list) {
        list = json_array();
        (void) json_object_set_new(ctx, kind, list);
    }
    return json_array_append_new(
        list, json_pack("{s:s, s:o}", "value", value, "sessions", bp_json_count(n)));
}

/* Parameters of the agent's list that the query language says, too. */
static int put_agent_words(const struct bp_http_req *req, struct bp_buf *scope,
                           struct bp_error *err) {
    const char *status = bp_http_query(req, "status");
    int64_t from = 0, to = 0;
    int r = bp_api_number(req, "from_ns", 0, 0, INT64_MAX, &from, err);

    if (r == 0)
        r = bp_api_number(req, "to_ns", 0, 0, INT64_MAX, &to, err);
    if (r < 0)
        return r;
    if (status) {
        const char *state = bp_streq(status, "finished") ? "complete"
                            : bp_streq(status, "failed") ? "damaged"
                                                         : status;

        if (bp_archive_state_from_name(state) < 0)
            return bp_fail(err, BP_EUSAGE,
                           "status=%s: expected receiving, finished, failed or deleted", status);
        bp_buf_printf(scope, " state:%s", state);
    }
    if (from > 0)
        bp_buf_printf(scope, " date:>=@%lld", (long long) from);
    if (to > 0)
        bp_buf_printf(scope, " date:<@%lld", (long long) to);
    return 0;
}

/* "-bytes" is largest first, "bytes" smallest first; without it newest first. */
static int read_sort(const struct bp_http_req *req, struct bp_archive_search *s,
                     struct bp_error *err) {
    const char *sort = bp_http_query(req, "sort");
    int key;

    if (!sort)
        return 0;
    s->ascending = *sort != '-';
    key = bp_archive_sort_from_name(sort + !s->ascending);
    if (key < 0)
        return bp_fail(err, BP_EUSAGE,
                       "sort=%s: expected id, started, received, name, bytes, messages, lost or "
                       "duration, with - before it for the largest first",
                       sort);
    s->sort = (enum bp_archive_sort) key;
    return 0;
}

static int add_facets(struct bp_archive *a, const struct bp_archive_search *s, int64_t per_kind,
                      json_t *page, struct bp_error *err) {
    json_t *facets = json_object();
    uint64_t total = 0;
    bool exact = false;
    int r = bp_archive_facets(a, s, (uint32_t) per_kind, put_facet, facets, &total, &exact, err);

    if (r < 0) {
        json_decref(facets);
        return r;
    }
    return json_object_update_new(page,
                                  json_pack("{s:o, s:o, s:b}", "facets", facets, "total",
                                            bp_json_count(total), "total_exact", (int) exact));
}

static int list_sessions(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    struct bp_archive *a = bp_server_of(req)->archive;
    const char *before = bp_http_query(req, "before"), *cursor = bp_http_query(req, "cursor");
    struct bp_archive_search s = { .q = bp_http_query(req, "q"),
                                   .cursor = cursor ? cursor : before };
    char devices[BP_SCOPE];
    BP_AUTO_BUF scope = { 0 };
    int64_t limit = 0, facets = 0;
    struct bp_archive_page page = { 0 };
    json_t *list, *o;
    int r = bp_api_number(req, "limit", 100, 1, 1000, &limit, err);

    if (r == 0)
        r = bp_api_number(req, "facets", 0, 0, 1000, &facets, err);
    if (r == 0)
        r = read_sort(req, &s, err);
    if (r == 0)
        r = put_agent_words(req, &scope, err);
    if (r == 0)
        r = bp_server_scope(bp_server_of(req), req, devices, err);
    if (r < 0)
        return r;
    s.devices = devices;
    s.limit = (uint32_t) limit;
    s.scope = bp_buf_cstr(&scope);
    list = json_array();
    r = bp_archive_search(a, &s, put_session, list, &page, err);
    o = json_pack("{s:o, s:s?}", "sessions", list, "next", *page.next ? page.next : NULL);
    if (r == 0 && facets > 0)
        r = add_facets(a, &s, facets, o, err);
    if (r < 0) {
        json_decref(o);
        return r;
    }
    bp_http_reply_json(reply, 200, o);
    return 0;
}

/* ---- one session ---- */

static int session_of(struct bp_http_req *req, struct bp_archive_session *ret,
                      struct bp_error *err) {
    return bp_server_find_session(bp_server_of(req), req, ret, err);
}

static int put_mark(void *ctx, const struct bp_archive_mark *m) {
    return json_array_append_new(ctx, bp_archive_mark_json(m));
}

static int reply_session(struct bp_server *s, const char *id, struct bp_http_reply *reply,
                         struct bp_error *err) {
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    json_t *marks, *o;
    int r = bp_archive_get(s->archive, id, &row, err);

    if (r < 0)
        return r;
    marks = json_array();
    r = bp_archive_each_mark(s->archive, row.id, put_mark, marks, err);
    o = bp_archive_session_json(&row);
    if (o)
        (void) json_object_set_new(o, "marks", marks);
    if (r < 0) {
        json_decref(o);
        return r;
    }
    bp_api_reply_known(reply, o);
    return 0;
}

static int get_session(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    int r = session_of(req, &row, err);

    return r < 0 ? r : reply_session(bp_server_of(req), row.id, reply, err);
}

/* A text of the body. @return 0, BP_EUSAGE for another kind of value */
static int text_in(const json_t *body, const char *key, const char **ret, struct bp_error *err) {
    const json_t *v = json_object_get(body, key);

    *ret = json_string_value(v);
    return v && !*ret ? bp_fail(err, BP_EUSAGE, "'%s' must be a text", key) : 0;
}

static int check_keys(const json_t *body, const char *const *known, struct bp_error *err) {
    const char *key;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) body, key, v) {
        const char *const *k = known;

        while (*k && !bp_streq(*k, key))
            k++;
        if (!*k)
            return bp_fail(err, BP_EUSAGE, "there is no key '%s' to change", key);
    }
    return 0;
}

static int read_edit(const json_t *body, struct bp_archive_edit *e, char **tags,
                     struct bp_error *err) {
    static const char *const known[] = { "mission", "operator", "notes", "tags", "keep", NULL };
    const json_t *list = json_object_get(body, "tags"), *keep = json_object_get(body, "keep");
    int r = check_keys(body, known, err);

    if (r == 0)
        r = text_in(body, "mission", &e->mission, err);
    if (r == 0)
        r = text_in(body, "operator", &e->operator_, err);
    if (r == 0)
        r = text_in(body, "notes", &e->notes, err);
    if (r == 0 && keep && !json_is_boolean(keep))
        r = bp_fail(err, BP_EUSAGE, "'keep' must be true or false");
    if (r == 0 && list) {
        *tags = json_dumps(list, JSON_COMPACT | JSON_ENCODE_ANY);
        e->tags = *tags ? *tags : "";
    }
    e->keep = keep ? json_is_true(keep) : -1;
    return r;
}

static int patch_session(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    struct bp_archive_edit e = { .keep = -1 };
    BP_AUTO_FREE char *tags = NULL;
    json_t *body = NULL;
    int r = bp_api_body(req, &body, err);

    if (r == 0)
        r = read_edit(body, &e, &tags, err);
    if (r == 0)
        r = session_of(req, &row, err);
    if (r == 0)
        r = bp_server_audit(s, req, "session.edit", row.id, json_incref(body), err);
    if (r == 0)
        r = bp_archive_edit(s->archive, row.id, &e, "server", bp_wall_ns(), err);
    json_decref(body);
    return r < 0 ? r : reply_session(s, row.id, reply, err);
}

void bp_server_drop_object(void *ctx, const uint8_t sha256[static BP_ARCHIVE_DIGEST]) {
    struct bp_server *s = ctx;
    struct bp_error err = { 0 };

    if (s->ingest && bp_ingest_delete_object(s->ingest, sha256, &err) < 0)
        bp_log(BP_LOG_WARNING, "an object that nobody wants could not be deleted",
               BP_F_TEXT("error", err.text));
}

static int delete_session(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    const char *why = bp_http_query(req, "why"), *force = bp_http_query(req, "force");
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    int r = session_of(req, &row, err);

    if (r == 0)
        r = bp_server_audit(s, req, "session.delete", row.id,
                            json_pack("{s:s, s:s?}", "name", row.name, "why", why), err);
    if (r == 0)
        r = bp_archive_delete(s->archive, row.id, why && *why ? why : "by hand",
                              force && !bp_streq(force, "0"), bp_wall_ns(), bp_server_drop_object,
                              s, err);
    if (r == 0)
        bp_http_reply_empty(reply, 204);
    return r;
}

static int post_mark(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    struct bp_archive_mark m = { .wall_ns = bp_wall_ns() };
    BP_AUTO_FREE char *values = NULL;
    const char *time = NULL;
    json_t *body = NULL;
    int r = bp_api_body(req, &body, err);

    if (r == 0)
        r = text_in(body, "text", &m.text, err);
    if (r == 0)
        r = text_in(body, "time_ns", &time, err);
    if (r == 0 && (!m.text || !*m.text))
        r = bp_fail(err, BP_EUSAGE, "a mark needs its text");
    if (r == 0 && time && (bp_parse_int(time, &m.wall_ns) < 0 || m.wall_ns < 0))
        r = bp_fail(err, BP_EUSAGE, "'time_ns' is nanoseconds since 1970, as text");
    if (r == 0 && json_object_get(body, "values"))
        m.values = values = json_dumps(json_object_get(body, "values"), JSON_COMPACT);
    if (r == 0 && json_object_get(body, "values") && (!values || *values != '{'))
        r = bp_fail(err, BP_EUSAGE, "'values' must be an object of texts");
    if (r == 0)
        r = session_of(req, &row, err);
    if (r == 0)
        r = bp_server_audit(s, req, "session.mark", row.id, json_incref(body), err);
    if (r == 0)
        r = bp_archive_add_mark(s->archive, row.id, &m, bp_wall_ns(), err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_empty(reply, 204);
    return r;
}

static int put_topic(void *ctx, const struct bp_archive_topic *t) {
    return json_array_append_new(ctx, bp_archive_topic_json(t));
}

static int get_topics(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    json_t *list = json_array();
    int r = session_of(req, &row, err);

    if (r == 0)
        r = bp_archive_each_topic(bp_server_of(req)->archive, row.id, put_topic, list, err);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    bp_api_reply_known(reply, json_pack("{s:o}", "topics", list));
    return 0;
}

/* From how it is stored to how it is told: times are texts, marks those of now. */
static void dress_overview(json_t *o, json_t *marks) {
    json_int_t bin = json_integer_value(json_object_get(o, "bin_ns"));
    json_int_t first = json_integer_value(json_object_get(o, "first"));
    json_t *merged = json_object_get(o, "merged"), *v;
    size_t i;

    (void) json_object_set_new(o, "segments", json_integer((json_int_t) json_array_size(merged)));
    (void) json_object_set_new(o, "from_ns", bp_json_time(first * bin));
    (void) json_object_set_new(o, "bin_s", json_integer(bin / BP_SEC));
    json_array_foreach(json_object_get(o, "losses"), i, v) {
        static const char *const times[] = { "from_ns", "to_ns" };

        for (size_t k = 0; k < BP_COUNT(times); k++)
            (void) json_object_set_new(
                v, times[k], bp_json_time(json_integer_value(json_object_get(v, times[k]))));
    }
    (void) json_object_set(o, "marks", marks);
    (void) json_object_del(o, "merged");
    (void) json_object_del(o, "first");
    (void) json_object_del(o, "bin_ns");
}

static int get_overview(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct bp_archive *a = bp_server_of(req)->archive;
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    BP_AUTO_FREE char *text = NULL;
    json_t *marks = json_array(), *o = NULL;
    int r = session_of(req, &row, err);

    if (r == 0)
        r = bp_archive_overview(a, row.id, &text, err);
    if (r == 0 && !*text)
        r = bp_fail(err, -ENOENT, "session '%s' has no overview yet", row.id);
    if (r == 0)
        r = bp_archive_each_mark(a, row.id, put_mark, marks, err);
    if (r == 0) {
        o = json_loads(text, 0, NULL);
        dress_overview(o, marks);
        bp_api_reply_known(reply, o);
    }
    json_decref(marks);
    return r;
}

/* ---- files ---- */

struct files {
    json_t *segments, *others;
};

static int put_file(void *ctx, const struct bp_archive_file *f) {
    const struct files *l = ctx;

    return json_array_append_new(f->kind == BP_ARCHIVE_SEGMENT ? l->segments : l->others,
                                 bp_archive_file_json(f));
}

static int get_segments(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct files l = { json_array(), json_array() };
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    int r = session_of(req, &row, err);
    json_t *o;

    if (r == 0)
        r = bp_archive_each_file(bp_server_of(req)->archive, row.id, put_file, &l, err);
    o = json_pack("{s:o, s:o}", "segments", l.segments, "files", l.others);
    if (r < 0) {
        json_decref(o);
        return r;
    }
    bp_api_reply_known(reply, o);
    return 0;
}

static const char *type_of(const char *file) {
    const char *dot = strrchr(file, '.');

    return dot && bp_streq(dot, ".json")   ? "application/json"
           : dot && bp_streq(dot, ".yaml") ? "application/yaml"
                                           : "application/octet-stream";
}

static int get_segment(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    BP_AUTO_ARCHIVE_FILE f = { 0 };
    int r = session_of(req, &row, err);

    if (r == 0)
        r = bp_archive_get_file(s->archive, row.id, bp_http_param(req, "name"), &f, err);
    if (r == 0 && f.state == BP_ARCHIVE_FILE_EXPECTED)
        r = bp_fail(err, -ENOENT, "'%s' has not come yet", f.file);
    return r != 0 ? r : bp_server_reply_object(s, reply, f.sha256, type_of(f.file), err);
}

int bp_server_reply_object(struct bp_server *s, struct bp_http_reply *reply,
                           const uint8_t sha256[static BP_ARCHIVE_DIGEST], const char *type,
                           struct bp_error *err) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *o = NULL;
    char hex[BP_SHA256_HEX], etag[BP_SHA256_HEX + 2];
    int r = s->store ? bp_store_get(s->store, sha256, &o, err)
                     : bp_fail(err, BP_EUNSUPPORTED, "this server has no store");
    int fd;

    if (r < 0)
        return r;
    fd = bp_store_object_fd(o);
    if (fd < 0)
        return bp_fail(err, fd, "the object cannot be read: %s", bp_strerror(fd));
    (void) snprintf(etag, sizeof etag, "\"%s\"", bp_sha256_hex(sha256, hex));
    bp_http_reply_file(reply, fd, o->bytes, type, etag);
    return 0;
}

/* ---- decisions ---- */

static int put_decision(void *ctx, const struct bp_archive_decision *d) {
    return json_array_append_new(ctx, bp_archive_decision_json(d));
}

/* Takes out decisions about sessions of others. */
static int cut_decisions(struct bp_http_req *req, json_t *list, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    char scope[BP_SCOPE];
    int r = bp_server_scope(s, req, scope, err);

    for (size_t i = json_array_size(list); r == 0 && *scope && i-- > 0;) {
        const json_t *d = json_array_get(list, i);
        BP_AUTO_ARCHIVE_SESSION row = { 0 };

        if (bp_archive_get(s->archive, json_string_value(json_object_get(d, "session")), &row,
                           NULL) < 0 ||
            !bp_server_sees(s, scope, row.device))
            (void) json_array_remove(list, i);
    }
    return r;
}

/* Is the session that was decided about theirs? */
static int check_decision(struct bp_http_req *req, int64_t decision, struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    char scope[BP_SCOPE], session[27];
    int r = bp_server_scope(s, req, scope, err);

    if (r < 0 || !*scope)
        return r;
    r = bp_archive_decided(s->archive, decision, session, err);
    if (r == 0 && bp_archive_get(s->archive, session, &row, NULL) == 0 &&
        bp_server_sees(s, scope, row.device))
        return 0;
    return r < 0 ? r : bp_fail(err, -ENOENT, "there is no decision %lld", (long long) decision);
}

static int list_decisions(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    json_t *list = json_array();
    int64_t limit = 0;
    int r = bp_api_number(req, "limit", 100, 1, 1000, &limit, err);

    if (r == 0)
        r = bp_archive_each_decision(bp_server_of(req)->archive, bp_http_query(req, "session"),
                                     (uint32_t) limit, put_decision, list, err);
    if (r == 0)
        r = cut_decisions(req, list, err);
    if (r < 0) {
        json_decref(list);
        return r;
    }
    bp_http_reply_json(reply, 200, json_pack("{s:o}", "decisions", list));
    return 0;
}

static int undo_decision(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    const char *id = bp_http_param(req, "id");
    int64_t n = 0;
    int r = bp_parse_int(id, &n) < 0 ? bp_fail(err, -ENOENT, "there is no decision '%s'", id) : 0;

    if (r == 0)
        r = check_decision(req, n, err);
    if (r == 0)
        r = bp_server_audit(s, req, "decision.undo", id, NULL, err);
    if (r == 0)
        r = bp_archive_undo(s->archive, n, "server", bp_wall_ns(), err);
    if (r == 0)
        bp_http_reply_empty(reply, 204);
    return r;
}

/* ---- the table ---- */

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/sessions", list_sessions, BP_HTTP_VIEWER,
      "Sessions of all robots, found by a query, newest first." },
    { "GET", "/api/v1/sessions/:id", get_session, BP_HTTP_VIEWER,
      "One session by id or name, with its marks." },
    { "PATCH", "/api/v1/sessions/:id", patch_session, BP_HTTP_OPERATOR,
      "Changes mission, operator, notes, tags, or whether it is kept." },
    { "DELETE", "/api/v1/sessions/:id", delete_session, BP_HTTP_ADMIN,
      "Deletes a session; a tombstone stays." },
    { "POST", "/api/v1/sessions/:id/marks", post_mark, BP_HTTP_OPERATOR, "Adds a mark." },
    { "GET", "/api/v1/sessions/:id/topics", get_topics, BP_HTTP_VIEWER,
      "Its topics with counts and losses." },
    { "GET", "/api/v1/sessions/:id/overview", get_overview, BP_HTTP_VIEWER,
      "Rates per topic and second, losses and marks over its time." },
    { "GET", "/api/v1/sessions/:id/segments", get_segments, BP_HTTP_VIEWER,
      "Its files: sizes, times, digests, what has come of them." },
    { "GET", "/api/v1/sessions/:id/segments/:name", get_segment, BP_HTTP_VIEWER,
      "One of its files; ranges." },
    { "GET", "/api/v1/decisions", list_decisions, BP_HTTP_VIEWER,
      "What became of sessions that were edited on both sides." },
    { "POST", "/api/v1/decisions/:id/undo", undo_decision, BP_HTTP_OPERATOR,
      "Takes the other value." },
    { "GET", "/api/v1/audit", get_audit, BP_HTTP_ADMIN, "Who changed what, newest first." },
    { "POST", "/api/v1/audit/verify", verify_audit, BP_HTTP_ADMIN,
      "Recomputes the chain of the audit log." },
};
static const size_t nroutes = BP_COUNT(routes);

const struct bp_server_part bp_server_part_archive = {
    .name = "archive",
    .routes = routes,
    .nroutes = &nroutes,
    .docs = &bp_server_archive_docs,
    .open = open_archive,
    .close = close_archive,
    .status = put_status,
    .metrics = put_metrics,
};
