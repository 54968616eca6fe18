#include "sync/target-net.h"

#include <errno.h>

int bp_sync_net_failed(struct bp_sync_failure *f, int r, const struct bp_error *err) {
    switch (r) {
    case -ECANCELED:
        return bp_sync_fail(f, BP_SYNC_CANCELED, "given up");
    case -ENODATA: /* the file is shorter than it was */
    case -ENOMEM:
    case -EMFILE:
    case -ENFILE:
    case -EBADF:
    case -EINVAL:
        return bp_sync_fail(f, BP_SYNC_LOCAL, "%s", err->text);
    case BP_ELIMIT:
        return bp_sync_fail(f, BP_SYNC_SERVER, "%s", err->text);
    default:
        return bp_sync_fail(f, BP_SYNC_NETWORK, "%s", err->text);
    }
}
