#include "store/store.h"

#include <errno.h>

void bp_store_close(struct bp_store *s) {
    if (s)
        s->ops->close(s);
}

int bp_store_put(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN], const char *path,
                 uint64_t bytes, struct bp_error *err) {
    return s->ops->put(s, sha256, path, bytes, err);
}

int bp_store_head(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                  uint64_t *ret_bytes, struct bp_error *err) {
    return s->ops->head(s, sha256, ret_bytes, err);
}

int bp_store_get(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                 struct bp_store_object **ret, struct bp_error *err) {
    return s->ops->open(s, sha256, ret, err);
}

ssize_t bp_store_object_read(struct bp_store_object *o, void *p, size_t n, uint64_t off,
                             struct bp_error *err) {
    if (off >= o->bytes)
        return 0;
    return o->store->ops->read(o, p, (size_t) BP_MIN((uint64_t) n, o->bytes - off), off, err);
}

int bp_store_object_fd(struct bp_store_object *o) {
    return o->store->ops->fd ? o->store->ops->fd(o) : -EOPNOTSUPP;
}

void bp_store_object_close(struct bp_store_object *o) {
    if (o)
        o->store->ops->object_close(o);
}

int bp_store_each(struct bp_store *s,
                  int (*fn)(void *ctx, const uint8_t *sha256, uint64_t bytes, int64_t wall_ns),
                  void *ctx, struct bp_error *err) {
    return s->ops->each(s, fn, ctx, err);
}

int bp_store_delete(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN],
                    struct bp_error *err) {
    return s->ops->delete (s, sha256, err);
}

int bp_store_url(struct bp_store *s, const uint8_t sha256[static BP_SHA256_LEN], char **ret,
                 struct bp_error *err) {
    if (!s->ops->url)
        return bp_fail(err, -EOPNOTSUPP, "objects of this store have no address");
    return s->ops->url(s, sha256, ret, err);
}
