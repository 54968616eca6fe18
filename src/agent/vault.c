#include "agent/vault.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "agent/agent-priv.h"
#include "base/log.h"

int bp_agent_vault_open(const struct bp_agent_config *c, const char *dir, struct bp_vault **ret,
                        struct bp_error *err) {
    char path[1100], key[1100];

    (void) snprintf(path, sizeof path, "%s/vault", dir);
    (void) snprintf(key, sizeof key, "%s/vault.key", dir);
    return bp_vault_open(
        &(struct bp_vault_opts){ .path = path, .key_file = c->proof.vault_key, .own_key = key },
        ret, err);
}

static void ignore(void *ctx, const char *name, int64_t set_ns) {
    (void) ctx, (void) name, (void) set_ns;
}

int bp_agent_vault_start(struct bp_agent *a, struct bp_error *err) {
    struct bp_error why = { 0 };
    int r = bp_agent_vault_open(a->config, a->dir, &a->vault, err);

    if (r < 0)
        return r;
    if (bp_vault_list(a->vault, ignore, NULL, &why) < 0)
        bp_alerts_raise(a->alerts, "vault", BP_SEVERITY_WARNING, why.text);
    return 0;
}

static void add_name(void *ctx, const char *name, int64_t set_ns) {
    char ns[24];

    (void) snprintf(ns, sizeof ns, "%" PRId64, set_ns);
    (void) json_array_append_new(ctx, json_pack("{s:s, s:s}", "name", name, "set_ns", ns));
}

int bp_api_secrets(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_agent *a = bp_http_ctx(req);
    json_t *list = json_array();
    int r = list ? bp_vault_list(a->vault, add_name, list, err)
                 : bp_fail(err, -ENOMEM, "out of memory");

    if (r < 0) {
        json_decref(list);
        return r;
    }
    bp_alerts_clear(a->alerts, "vault");
    bp_http_reply_json(reply, 200, json_pack("{s:o}", "secrets", list));
    return 0;
}
