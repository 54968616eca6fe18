#include "bag/remote.h"

#include <string.h>

static const struct bp_remote_ops *remote;

void bp_remote_set(const struct bp_remote_ops *ops) {
    remote = ops;
}

const struct bp_remote_ops *bp_remote_for(const char *path) {
    return strncmp(path, "http://", 7) == 0 || strncmp(path, "https://", 8) == 0 ? remote : NULL;
}
