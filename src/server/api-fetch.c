#include "server/api-fetch.h"

#include <errno.h>
#include <stdio.h>

#include "base/json-value.h"
#include "base/units.h"
#include "catalog/archive.h"
#include "server/api-archive.h"
#include "server/archive-json.h"
#include "server/guard.h"
#include "server/links/links.h"
#include "server/scope.h"

enum { WITHIN_MAX_S = 3600 };

/* A range of log time; to_ns 0: to the end. */
struct range {
    bp_ns_t from_ns, to_ns;
    json_t *segments; /* of the archive, as they are told */
    uint64_t missing, missing_bytes;
};

static int time_of(const char *text, const char *key, bp_ns_t *ret, struct bp_error *err) {
    int64_t t = 0;

    if (text && (bp_parse_int(text, &t) < 0 || t < 0))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a time in nanoseconds since 1970", key);
    *ret = t;
    return 0;
}

/* Of a body: a number, or text as times are told. */
static int time_in(const json_t *body, const char *key, bp_ns_t *ret, struct bp_error *err) {
    const json_t *v = json_object_get(body, key);

    if (json_is_integer(v) && json_integer_value(v) >= 0) {
        *ret = json_integer_value(v);
        return 0;
    }
    return v && !json_is_null(v) && !json_is_string(v)
               ? bp_fail(err, BP_EUSAGE, "'%s' must be a time in nanoseconds since 1970", key)
               : time_of(json_string_value(v), key, ret, err);
}

static int check(const struct range *x, struct bp_error *err) {
    return x->to_ns && x->to_ns < x->from_ns
               ? bp_fail(err, BP_EUSAGE, "'to_ns' is before 'from_ns'")
               : 0;
}

/* ---- what is here ---- */

/* As the agent sees it: what has no messages goes with all of them. */
static bool overlaps(const struct range *x, const struct bp_archive_file *f) {
    if (f->messages == 0)
        return !x->from_ns && !x->to_ns;
    return f->last_ns >= x->from_ns && (!x->to_ns || f->first_ns <= x->to_ns);
}

static int look_at(void *ctx, const struct bp_archive_file *f) {
    struct range *x = ctx;

    if (f->kind != BP_ARCHIVE_SEGMENT || !overlaps(x, f))
        return 0;
    if (f->state == BP_ARCHIVE_FILE_EXPECTED) {
        x->missing++;
        x->missing_bytes += f->bytes;
    }
    return json_array_append_new(x->segments, bp_archive_file_json(f));
}

/* @param command  its report, taken over, or NULL */
static int reply_range(struct bp_server *s, const struct bp_archive_session *row, struct range *x,
                       int status, json_t *command, struct bp_http_reply *reply,
                       struct bp_error *err) {
    json_t *o;
    int r;

    x->segments = json_array();
    r = bp_archive_each_file(s->archive, row->id, look_at, x, err);
    o = json_pack("{s:s, s:s, s:o, s:o, s:b, s:o, s:o, s:o, s:o}", "session", row->id, "device",
                  row->device, "from_ns", bp_json_time(x->from_ns), "to_ns", bp_json_time(x->to_ns),
                  /* without its manifest nobody knows what there is */
                  "complete", (int) (row->manifest && x->missing == 0), "missing",
                  bp_json_count(x->missing), "missing_bytes", bp_json_count(x->missing_bytes),
                  "segments", x->segments, "command", command ? command : json_null());
    if (r < 0) {
        json_decref(o);
        return r;
    }
    bp_http_reply_json(reply, status, o);
    return 0;
}

int bp_server_get_fetch(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    const char *id = bp_http_query(req, "command");
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    struct range x = { 0 };
    json_t *command = NULL;
    int r = time_of(bp_http_query(req, "from_ns"), "from_ns", &x.from_ns, err);

    if (r == 0)
        r = time_of(bp_http_query(req, "to_ns"), "to_ns", &x.to_ns, err);
    if (r == 0)
        r = check(&x, err);
    if (r == 0)
        r = bp_server_find_session(s, req, &row, err);
    if (r == 0 && id)
        r = bp_links_result(s->links, row.device, id, &command, err);
    return r < 0 ? r : reply_range(s, &row, &x, 200, command, reply, err);
}

/* ---- asking ---- */

/* Is it for this session that somebody may ask? What he asks is written down before. */
static int ask(struct bp_server *s, struct bp_http_req *req, const struct bp_archive_session *row,
               const struct range *x, const json_t *body, json_t **ret, struct bp_error *err) {
    const json_t *within = json_object_get(body, "within_s");
    double seconds = within ? json_number_value(within) : WITHIN_MAX_S;
    json_t *args =
        json_pack("{s:s, s:o, s:o, s:O*}", "session", row->id, "from_ns", bp_json_time(x->from_ns),
                  "to_ns", bp_json_time(x->to_ns), "topics", json_object_get(body, "topics"));
    struct bp_links_command c = { .device = row->device,
                                  .name = "sync.fetch",
                                  .args = args,
                                  .role = "operator",
                                  .by = bp_http_user(req) };
    int r;

    if (!args)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (!(seconds >= 0.1 && seconds <= WITHIN_MAX_S))
        r = bp_fail(err, BP_EUSAGE, "'within_s' must be 0.1 to %d seconds", WITHIN_MAX_S);
    else
        r = bp_server_audit(s, req, "session.fetch", row->id, json_incref(args), err);
    c.within = (bp_ns_t) (seconds * 1e9);
    if (r == 0)
        r = bp_links_do(s->links, &c, 0, ret, err);
    json_decref(args);
    return r;
}

int bp_server_post_fetch(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    struct bp_server *s = bp_server_of(req);
    BP_AUTO_ARCHIVE_SESSION row = { 0 };
    struct range x = { 0 };
    json_t *body = NULL, *command = NULL;
    char place[256];
    int r = bp_http_json(req, &body, err);

    if (r == 0)
        r = time_in(body, "from_ns", &x.from_ns, err);
    if (r == 0)
        r = time_in(body, "to_ns", &x.to_ns, err);
    if (r == 0)
        r = check(&x, err);
    if (r == 0)
        r = bp_server_find_session(s, req, &row, err);
    if (r == 0)
        r = ask(s, req, &row, &x, body, &command, err);
    json_decref(body);
    if (r < 0)
        return r;
    (void) snprintf(place, sizeof place,
                    "/api/v1/sessions/%s/fetch?from_ns=%lld&to_ns=%lld&command=%s", row.id,
                    (long long) x.from_ns, (long long) x.to_ns,
                    json_string_value(json_object_get(command, "id")));
    r = reply_range(s, &row, &x, 202, command, reply, err);
    if (r == 0)
        bp_http_reply_header(reply, "Location", place);
    return r;
}
