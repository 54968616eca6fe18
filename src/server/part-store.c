/* Where objects lie: files in the server's folder, or a bucket. */
#include <errno.h>
#include <stdio.h>

#include "base/io-fault.h"
#include "server/config.h"
#include "server/server-priv.h"
#include "store/store.h"

static int open_store(struct bp_server *s, struct bp_error *err) {
    if (s->config->storage.backend != BP_SERVER_FS)
        return bp_fail(err, BP_EUNSUPPORTED, "storage.backend: s3 is not there yet");
    return bp_store_open_fs(bp_io_from_env(), s->dir, &s->store, err);
}

static void close_store(struct bp_server *s) {
    bp_store_close(s->store);
    s->store = NULL;
}

const struct bp_server_part bp_server_part_store = {
    .name = "store",
    .open = open_store,
    .close = close_store,
};
