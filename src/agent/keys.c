#include "agent/agent-priv.h"

#include <errno.h>

#include "base/log.h"
#include "crypt/key.h"

/* The keys of the process are those of the configuration and of its environment: sessions are
 * sealed for all of them, and whoever of them opens is used to read. */
int bp_agent_load_keys(const struct bp_agent_config *c, struct bp_error *err) {
    struct bp_keyring *k = bp_keyring_process();
    int r = k ? bp_keyring_add_env(k, err) : bp_fail(err, -ENOMEM, "out of memory");

    r = BP_MIN(r, 0);
    for (size_t i = 0; i < c->crypto.recipients.n && r == 0; i++)
        r = bp_keyring_add_recipient(k, c->crypto.recipients.v[i], err);
    if (r == 0 && *c->crypto.key_file)
        r = bp_keyring_add_file(k, c->crypto.key_file, err);
    if (r < 0)
        return bp_prefix(err, r, "crypto");
    if (!bp_keyring_empty(k))
        bp_log(BP_LOG_NOTICE,
               bp_keyring_opens(k) ? "recordings are sealed"
                                   : "recordings are sealed; nothing here can open them",
               BP_F_UINT("keys", bp_keyring_count(k)));
    return 0;
}
