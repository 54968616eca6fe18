/* Where objects lie: files in the server's folder, or a bucket. */
#include "base/io-fault.h"
#include "server/config.h"
#include "server/server-priv.h"
#include "store/store-s3.h"

static int open_store(struct bp_server *s, struct bp_error *err) {
    const struct bp_server_config *c = s->config;
    const struct bp_store_s3_options o = { .endpoint = c->storage.s3.endpoint,
                                           .region = c->storage.s3.region,
                                           .bucket = c->storage.s3.bucket,
                                           .prefix = c->storage.s3.prefix,
                                           .ca_file = c->storage.s3.ca_file,
                                           .path_style = c->storage.s3.path_style,
                                           .io = bp_io_from_env() };

    if (c->storage.backend == BP_SERVER_S3)
        return bp_store_open_s3(&o, &s->store, err);
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
