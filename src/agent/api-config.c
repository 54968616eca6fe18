/* The API's part about configuration. */
#include "agent/agent-priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/log.h"
#include "crypt/digest.h"

void bp_agent_reply_known(struct bp_http_reply *reply, json_t *json) {
    BP_AUTO_FREE char *text = json ? json_dumps(json, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX], etag[24];

    bp_http_reply_json(reply, 200, json);
    if (!text)
        return;
    bp_sha256_of(text, strlen(text), digest);
    (void) snprintf(etag, sizeof etag, "\"%.16s\"", bp_sha256_hex(digest, hex));
    bp_http_reply_header(reply, "ETag", etag);
}

static struct bp_settings *settings_of(const struct bp_http_req *req) {
    return ((struct bp_agent *) bp_http_ctx(req))->settings;
}

int bp_agent_get_config(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    (void) err;
    bp_agent_reply_known(reply, bp_settings_json(settings_of(req)));
    return 0;
}

int bp_agent_get_config_schema(struct bp_http_req *req, struct bp_http_reply *reply,
                               struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };

    (void) req, (void) err;
    bp_config_put_schema(&out, &bp_agent_config_table);
    bp_http_reply_buf(reply, 200, "application/schema+json", &out);
    return 0;
}

int bp_agent_patch_config(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    json_t *patch = NULL, *report = NULL;
    int r = bp_agent_body(req, &patch, err);

    if (r < 0)
        return r;
    r = bp_settings_patch(settings_of(req), patch, &report, err);
    json_decref(patch);
    if (r >= 0)
        bp_http_reply_json(reply, 200, report);
    return r;
}

int bp_agent_check_config(struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_settings_check(settings_of(req), bp_http_body(req)));
    return 0;
}

int bp_agent_reload_config(struct bp_http_req *req, struct bp_http_reply *reply,
                           struct bp_error *err) {
    json_t *report = NULL;
    int r = bp_settings_reload(settings_of(req), &report, err);

    if (r >= 0)
        bp_http_reply_json(reply, 200, report);
    return r;
}

void bp_agent_reload(struct bp_agent *a) {
    struct bp_error err = { 0 };
    json_t *report = NULL;
    BP_AUTO_FREE char *text = NULL;

    if (bp_settings_reload(a->settings, &report, &err) < 0) {
        bp_log(BP_LOG_ERROR, "configuration not reloaded, nothing has changed",
               BP_F_TEXT("why", err.text));
        return;
    }
    text = json_dumps(report, JSON_COMPACT);
    bp_log(BP_LOG_NOTICE, "configuration reloaded", BP_F_TEXT("keys", text ? text : ""));
    json_decref(report);
}
