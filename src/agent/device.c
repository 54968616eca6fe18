#include "agent/device.h"

#include <errno.h>
#include <stdio.h>

#include "agent/agent-priv.h"
#include "base/log.h"

int bp_device_open(const struct bp_agent_config *c, const char *dir, struct bp_sign_key **ret,
                   struct bp_error *err) {
    const char *configured = c->proof.device_key;
    char path[1200], key[BP_PUBLIC_KEY_TEXT];
    bool made = false;
    int r;

    *ret = NULL;
    if (!c->proof.sign)
        return 0;
    if (*configured) { /* a typo must not make a new identity */
        r = bp_sign_key_load(configured, ret, err);
        return r < 0 ? bp_prefix(err, BP_ECONFIG, "crypto.device_key") : 0;
    }
    (void) snprintf(path, sizeof path, "%s/device.key", dir);
    r = bp_sign_key_open(path, ret, &made, err);
    if (r == 0 && made)
        bp_log(BP_LOG_NOTICE, "a key for this device was made; recordings are signed with it",
               BP_F_TEXT("path", path),
               BP_F_TEXT("public", bp_public_key_text(bp_sign_key_public(*ret), key)));
    return r;
}

int bp_api_device(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    const struct bp_agent *a = bp_http_ctx(req);
    const struct bp_sign_key *k = bp_sessions_device(a->sessions);
    char key[BP_PUBLIC_KEY_TEXT];

    (void) err;
    bp_http_reply_json(reply, 200,
                       json_pack("{s:b, s:s?}", "signs", k != NULL, "public_key",
                                 k ? bp_public_key_text(bp_sign_key_public(k), key) : NULL));
    return 0;
}
