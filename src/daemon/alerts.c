/* Alerts as both daemons tell them, and who has seen them. */
#include <string.h>

#include "base/log.h"
#include "daemon/api.h"

void bp_api_get_alerts(struct bp_alerts *a, const struct bp_http_req *req,
                       struct bp_http_reply *reply) {
    const char *past = bp_http_query(req, "past");

    bp_http_reply_json(reply, 200, bp_alerts_json(a, past && !bp_streq(past, "0")));
}

/* @return borrowed of `body`, NULL = there is none */
static int note_of(const json_t *body, const char **ret, struct bp_error *err) {
    const json_t *note = json_object_get(body, "note");

    *ret = json_string_value(note);
    if (note && !json_is_null(note) && !*ret)
        return bp_fail(err, BP_EUSAGE, "'note' must be a text");
    if (*ret && strlen(*ret) > BP_ALERTS_NOTE)
        return bp_fail(err, BP_EUSAGE, "'note' has at most %d bytes", BP_ALERTS_NOTE);
    return 0;
}

int bp_api_acknowledge(struct bp_alerts *a, struct bp_http_req *req, struct bp_http_reply *reply,
                       struct bp_error *err) {
    json_t *body = NULL, *alert = NULL;
    const char *note;
    int r = bp_api_body(req, &body, err);

    if (r < 0)
        return r;
    r = note_of(body, &note, err);
    if (r == 0)
        r = bp_alerts_acknowledge(a, bp_http_param(req, "key"), bp_http_user(req), note, &alert,
                                  err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_json(reply, 200, alert);
    return r;
}

void bp_api_log_alert(const char *event, const json_t *alert) {
    const char *key = json_string_value(json_object_get(alert, "key"));
    const char *by = json_string_value(json_object_get(alert, "acknowledged_by"));
    const char *note = json_string_value(json_object_get(alert, "note"));

    if (bp_streq(event, "acknowledged"))
        bp_log(BP_LOG_NOTICE, "an alert was acknowledged", BP_F_TEXT("alert", key),
               BP_F_TEXT("user", by), BP_F_TEXT("note", note ? note : ""));
    else
        bp_log(BP_LOG_WARNING, json_string_value(json_object_get(alert, "text")),
               BP_F_TEXT("alert", key), BP_F_TEXT("event", event));
}
