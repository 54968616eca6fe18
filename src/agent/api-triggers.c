/* /api/v1/triggers */
#include <errno.h>

#include "agent/agent-priv.h"

enum { TEST_WAIT_S = 3, TEST_WAIT_MOST_S = 30 };

static struct bp_triggers *triggers_of(const struct bp_http_req *req) {
    const struct bp_agent *a = bp_http_ctx(req);

    return a->triggers;
}

int bp_agent_get_triggers(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_triggers_list(triggers_of(req)));
    return 0;
}

static int reply_trigger(const struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    const char *name = bp_http_param(req, "name");
    json_t *o = bp_triggers_get(triggers_of(req), name);

    if (!o)
        return bp_fail(err, -ENOENT, "there is no trigger '%s'", name);
    bp_http_reply_json(reply, 200, o);
    return 0;
}

int bp_agent_get_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    return reply_trigger(req, reply, err);
}

int bp_agent_post_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    json_t *body = NULL;
    const json_t *enabled;
    int r = bp_agent_body(req, &body, err);

    if (r < 0)
        return r;
    enabled = json_object_get(body, "enabled");
    if (!json_is_boolean(enabled))
        r = bp_fail(err, BP_EUSAGE, "expected {\"enabled\": true} or false");
    else
        r = bp_triggers_enable(triggers_of(req), bp_http_param(req, "name"), json_is_true(enabled),
                               err);
    json_decref(body);
    return r < 0 ? r : reply_trigger(req, reply, err);
}

/* Values for marks and webhooks are texts. */
static int texts_of(const json_t *body, json_t **ret, struct bp_error *err) {
    const json_t *values = json_object_get(body, "values");
    const char *key;
    json_t *v;

    if (values && !json_is_object(values))
        return bp_fail(err, BP_EUSAGE, "'values' must be an object of texts");
    json_object_foreach((json_t *) (uintptr_t) values, key, v) {
        if (!json_is_string(v))
            return bp_fail(err, BP_EUSAGE, "'values' must be an object of texts, '%s' is none",
                           key);
    }
    *ret = json_copy((json_t *) (uintptr_t) values);
    return 0;
}

int bp_agent_fire_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    json_t *body = NULL, *values = NULL;
    unsigned fired = 0;
    int r = bp_agent_body(req, &body, err);

    if (r < 0)
        return r;
    r = texts_of(body, &values, err);
    if (r == 0)
        r = bp_triggers_fire(triggers_of(req), bp_http_param(req, "name"), values, &fired, err);
    json_decref(values);
    json_decref(body);
    if (r == 0)
        bp_http_reply_json(reply, 200, json_pack("{s:i}", "fired", (int) fired));
    return r;
}

int bp_agent_test_trigger(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    json_t *body = NULL, *result = NULL;
    const char *text;
    const json_t *wait;
    double seconds;
    int r = bp_agent_body(req, &body, err);

    if (r < 0)
        return r;
    text = json_string_value(json_object_get(body, "when"));
    wait = json_object_get(body, "wait_s");
    seconds = wait ? json_number_value(wait) : TEST_WAIT_S;
    if (!text)
        r = bp_fail(err, BP_EUSAGE, "'when' is missing: the condition to try");
    else if (seconds < 0 || seconds > TEST_WAIT_MOST_S || (wait && !json_is_number(wait)))
        r = bp_fail(err, BP_EUSAGE, "'wait_s' must be a number from 0 to %d", TEST_WAIT_MOST_S);
    else
        r = bp_triggers_test(triggers_of(req), text, (bp_ns_t) (seconds * 1e9), &result, err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_json(reply, 200, result);
    return r;
}
