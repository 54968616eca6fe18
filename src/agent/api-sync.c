#include <errno.h>
#include <stdlib.h>

#include "agent/agent-priv.h"
#include "base/units.h"
#include "catalog/catalog.h"
#include "sync/json.h"

/* Routes of uploads. */

static struct bp_agent *agent_of(const struct bp_http_req *req) {
    return bp_http_ctx(req);
}

static int engine_of(const struct bp_http_req *req, struct bp_sync **ret, struct bp_error *err) {
    *ret = bp_agent_sync_engine(agent_of(req)->sync);
    return *ret ? 0
                : bp_fail(err, BP_EMISMATCH,
                          "this agent has nowhere to send to: set sync.upstream or sync.targets");
}

static int reply_status(struct bp_sync *s, struct bp_http_reply *reply, struct bp_error *err) {
    json_t *o = NULL;
    int r = bp_sync_status_json(s, &o, err);

    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

int bp_api_get_sync(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_sync *s = bp_agent_sync_engine(agent_of(req)->sync);

    if (s)
        return reply_status(s, reply, err);
    bp_http_reply_json(reply, 200, json_pack("{s:b, s:[]}", "running", 0, "targets"));
    return 0;
}

/* A session given by id or name, as its id. What the catalogue has forgotten may be an id. */
static int id_of(struct bp_agent *a, const char *key, char ret[static 27], struct bp_error *err) {
    BP_AUTO_CATALOG_SESSION s = { 0 };
    int r = bp_catalog_get(a->catalog, key, &s, err);

    if (r == 0)
        memcpy(ret, s.id, sizeof s.id);
    return r;
}

static int check_target(struct bp_sync *s, const char *name, struct bp_error *err) {
    struct bp_sync_status st = { 0 };
    bool there = false;
    int r = name ? bp_sync_get_status(s, &st, err) : 0;

    if (!name || r < 0)
        return r;
    for (size_t i = 0; i < st.ntargets; i++)
        there |= bp_streq(st.targets[i].name, name);
    bp_sync_status_done(&st);
    return there ? 0 : bp_fail(err, -ENOENT, "there is no target '%s'", name);
}

int bp_api_get_sync_files(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    const char *state = bp_http_query(req, "state"), *session = bp_http_query(req, "session");
    struct bp_sync_query q = { .target = bp_http_query(req, "target"), .state = -1 };
    struct bp_sync *s = NULL;
    char id[27];
    int64_t limit = 100;
    json_t *page = NULL;
    int r = engine_of(req, &s, err);

    if (r == 0)
        r = bp_api_number(req, "limit", 100, 1, 999, &limit, err);
    if (r == 0)
        r = bp_api_number(req, "after", 0, 0, INT64_MAX, &q.after, err);
    if (r == 0 && session)
        r = id_of(agent_of(req), session, id, err);
    if (r == 0)
        r = check_target(s, q.target, err);
    if (r == 0 && state && (q.state = bp_sync_row_from_name(state)) < 0)
        r = bp_fail(err, BP_EUSAGE, "state=%s: expected waiting, parked, failed, done or kept",
                    state);
    if (r < 0)
        return r;
    q.limit = (uint32_t) limit;
    q.session = session ? id : NULL;
    r = bp_sync_files_json(s, &q, &page, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, page);
    return r;
}

int bp_api_get_sync_decisions(struct bp_http_req *req, struct bp_http_reply *reply,
                              struct bp_error *err) {
    struct bp_sync *s = NULL;
    json_t *o = NULL;
    int r = engine_of(req, &s, err);

    if (r == 0)
        r = bp_sync_decisions_json(s, &o, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

int bp_api_post_sync_undo(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    struct bp_sync *s = NULL;
    const char *text = bp_http_param(req, "number");
    int64_t number = 0;
    int r = engine_of(req, &s, err);

    if (r == 0 && bp_parse_int(text, &number) < 0)
        r = bp_fail(err, BP_EUSAGE, "'%s' is not the number of a decision", text);
    if (r == 0)
        r = bp_sync_undo(s, number, err);
    if (r == -EALREADY)
        r = bp_fail(err, BP_EMISMATCH, "decision %s was taken back already", text);
    return r < 0 ? r : bp_api_get_sync_decisions(req, reply, err);
}

/* {target, session} of a body, checked. @param ret_body  owned; what is pointed to is its */
static int asked(struct bp_http_req *req, struct bp_sync *s, json_t **ret_body,
                 const char **ret_target, const char **ret_session, char id[static 27],
                 struct bp_error *err) {
    const char *session;
    int r = bp_api_body(req, ret_body, err);

    if (r < 0)
        return r;
    *ret_target = json_string_value(json_object_get(*ret_body, "target"));
    session = json_string_value(json_object_get(*ret_body, "session"));
    r = check_target(s, *ret_target, err);
    if (r == 0 && session) {
        r = id_of(agent_of(req), session, id, err);
        *ret_session = id;
    }
    return r;
}

static int act(struct bp_sync *s, const char *what, const char *target, const char *session,
               struct bp_error *err) {
    int64_t n;

    if (bp_streq(what, "now"))
        return bp_sync_now(s, target, session, err);
    if (bp_streq(what, "pause"))
        return bp_sync_pause(s, target, err);
    if (bp_streq(what, "resume"))
        return bp_sync_resume(s, target, err);
    n = bp_sync_retry(s, target, session, err);
    return n < 0 ? (int) n : 0;
}

int bp_api_post_sync(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const char *target = NULL, *session = NULL, *what = strrchr(bp_http_path(req), '/');
    struct bp_sync *s = NULL;
    json_t *body = NULL;
    char id[27];
    int r = engine_of(req, &s, err);

    if (r == 0)
        r = asked(req, s, &body, &target, &session, id, err);
    if (r == 0)
        r = act(s, what ? what + 1 : "", target, session, err);
    json_decref(body);
    return r < 0 ? r : reply_status(s, reply, err);
}

/* A time of a body, in nanoseconds since 1970: a number, or text as times are told. */
static int time_of(const json_t *body, const char *key, bp_ns_t *ret, struct bp_error *err) {
    const json_t *v = json_object_get(body, key);
    int64_t t = json_is_integer(v) ? json_integer_value(v) : 0;

    if (json_is_string(v) && bp_parse_int(json_string_value(v), &t) < 0)
        t = -1;
    if (t < 0 || (v && !json_is_string(v) && !json_is_integer(v) && !json_is_null(v)))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a time in nanoseconds since 1970", key);
    *ret = t;
    return 0;
}

/* @param ret  owned, its texts are the body's */
static int topics_of(const json_t *body, const char ***ret, struct bp_error *err) {
    const json_t *v = json_object_get(body, "topics"), *x;
    const char **topics;
    size_t i;

    if (v && !json_is_array(v) && !json_is_null(v))
        return bp_fail(err, BP_EUSAGE, "'topics' must be a list of names");
    topics = calloc(json_array_size(v) + 1, sizeof *topics);
    if (!topics)
        return bp_fail(err, -ENOMEM, "out of memory");
    json_array_foreach(v, i, x) {
        topics[i] = json_string_value(x);
        if (!topics[i]) {
            free(topics);
            return bp_fail(err, BP_EUSAGE, "'topics' must be a list of names");
        }
    }
    *ret = topics;
    return 0;
}

static int fetch(struct bp_agent *a, struct bp_sync *s, const json_t *body, json_t **ret,
                 struct bp_error *err) {
    const char *session = json_string_value(json_object_get(body, "session"));
    BP_AUTO_FREE const char **topics = NULL;
    struct bp_sync_fetched got = { 0 };
    struct bp_sync_fetch f = { 0 };
    char id[27];
    int r = session ? id_of(a, session, id, err) : bp_fail(err, BP_EUSAGE, "'session' is missing");

    if (r == 0)
        r = time_of(body, "from_ns", &f.from_ns, err);
    if (r == 0)
        r = time_of(body, "to_ns", &f.to_ns, err);
    if (r == 0 && f.to_ns && f.to_ns < f.from_ns)
        r = bp_fail(err, BP_EUSAGE, "'to_ns' is before 'from_ns'");
    if (r == 0)
        r = topics_of(body, &topics, err);
    if (r < 0)
        return r;
    f.session = id;
    f.topics = topics;
    r = bp_sync_fetch(s, &f, &got, err);
    if (r == 0)
        *ret = json_pack("{s:s, s:I, s:I}", "session", id, "segments", (json_int_t) got.segments,
                         "bytes", (json_int_t) got.bytes);
    return r;
}

int bp_api_post_sync_fetch(struct bp_http_req *req, struct bp_http_reply *reply,
                           struct bp_error *err) {
    struct bp_sync *s = NULL;
    json_t *body = NULL, *o = NULL;
    int r = engine_of(req, &s, err);

    if (r == 0)
        r = bp_api_body(req, &body, err);
    if (r == 0)
        r = fetch(agent_of(req), s, body, &o, err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_json(reply, 200, o);
    return r;
}

int bp_api_post_sync_gc(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    struct bp_sync *s = NULL;
    json_t *body = NULL;
    const json_t *age;
    bool dry;
    size_t n = 0;
    int r = engine_of(req, &s, err);

    if (r == 0)
        r = bp_api_body(req, &body, err);
    if (r < 0)
        return r;
    age = json_object_get(body, "min_age_s");
    dry = json_is_true(json_object_get(body, "dry_run"));
    if (age && (!json_is_number(age) || json_number_value(age) < 0 || json_number_value(age) > 1e9))
        r = bp_fail(err, BP_EUSAGE, "'min_age_s' must be a number of seconds");
    if (r == 0)
        r = bp_agent_sync_gc(
            a->sync, age ? (bp_ns_t) (json_number_value(age) * 1e9) : a->config->sync.gc_age, dry,
            &n, err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_json(
            reply, 200, json_pack("{s:I, s:b}", "uploads", (json_int_t) n, "dry_run", (int) dry));
    return r;
}
