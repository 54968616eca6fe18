/* Unfinished uploads in buckets: a kill between making one and noting it leaves it there for good,
 * and paid for. */
#include <errno.h>
#include <jansson.h>
#include <string.h>

#include "base/buf.h"
#include "sync/sync.h"
#include "sync/target-s3.h"

static int add_session(void *ctx, const struct bp_sync_row *x) {
    return json_object_set_new(ctx, x->session, json_true());
}

/* Keys have the session's id in them (key-layout.h). */
static bool is_waiting(void *ctx, const char *key) {
    const char *id;
    json_t *v;

    json_object_foreach((json_t *) ctx, id, v) {
        if (strstr(key, id))
            return true;
    }
    return false;
}

int bp_sync_gc(struct bp_sync *s, const struct bp_sync_target_config *targets, size_t ntargets,
               bp_ns_t min_age, bool dry, size_t *ret_n, struct bp_error *err) {
    json_t *sessions = json_object(); /* keys are ids of those on their way */
    size_t sum = 0;
    int r = sessions ? 0 : bp_fail(err, -ENOMEM, "out of memory");

    for (int state = BP_SYNC_ROW_WAITING; r >= 0 && state <= BP_SYNC_ROW_PARKED; state++)
        r = bp_sync_list(s, &(struct bp_sync_query){ .state = state, .limit = UINT32_MAX / 2 },
                         add_session, sessions, err);
    for (size_t i = 0; r >= 0 && i < ntargets; i++) {
        size_t n = 0;

        if (!bp_starts_with(targets[i].opts.url, "s3://"))
            continue;
        r = bp_sync_s3_gc(&targets[i].opts, min_age, is_waiting, sessions, dry, &n, err);
        sum += n;
    }
    json_decref(sessions);
    if (r < 0)
        return r;
    *ret_n = sum;
    return 0;
}
