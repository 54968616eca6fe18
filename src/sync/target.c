#include "sync/target.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/buf.h"

static const char *const class_names[] = {
    [BP_SYNC_OK] = "ok",
    [BP_SYNC_NETWORK] = "network",
    [BP_SYNC_SERVER] = "server",
    [BP_SYNC_THROTTLED] = "throttled",
    [BP_SYNC_AUTH] = "auth",
    [BP_SYNC_QUOTA] = "quota",
    [BP_SYNC_CLOCK] = "clock",
    [BP_SYNC_PERMANENT] = "permanent",
    [BP_SYNC_LOCAL] = "local",
    [BP_SYNC_MISMATCH] = "mismatch",
    [BP_SYNC_LOST] = "lost",
    [BP_SYNC_CONFLICT] = "conflict",
    [BP_SYNC_CANCELED] = "canceled",
};
static_assert(BP_COUNT(class_names) == BP_SYNC_CLASSES_N_, "every class has a name");

static const char *const kind_names[] = {
    [BP_SYNC_SEGMENT] = "segment",   [BP_SYNC_MANIFEST] = "manifest",
    [BP_SYNC_METADATA] = "metadata", [BP_SYNC_SIGNATURE] = "signature",
    [BP_SYNC_PREVIEW] = "preview",   [BP_SYNC_OTHER] = "other",
};
static_assert(BP_COUNT(kind_names) == BP_SYNC_KINDS_N_, "every kind has a name");

static const char *const policy_names[] = {
    [BP_SYNC_POLICY_LOCAL] = "local",
    [BP_SYNC_POLICY_REMOTE] = "remote",
    [BP_SYNC_POLICY_MERGE] = "merge",
    [BP_SYNC_POLICY_KEEP_BOTH] = "keep-both",
};
static_assert(BP_COUNT(policy_names) == BP_SYNC_POLICIES_N_, "every policy has a name");

/* One row a scheme. */
static const struct bp_sync_target_kind *const kinds[] = {
    &bp_sync_kind_file, &bp_sync_kind_http, &bp_sync_kind_https,
    &bp_sync_kind_s3,   &bp_sync_kind_unix,
};

static int find_name(const char *const *names, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (bp_streq(names[i], name))
            return (int) i;
    return -EINVAL;
}

const char *bp_sync_class_name(enum bp_sync_class c) {
    return (unsigned) c < BP_SYNC_CLASSES_N_ ? class_names[c] : "unknown";
}

const char *bp_sync_kind_name(enum bp_sync_kind k) {
    return (unsigned) k < BP_SYNC_KINDS_N_ ? kind_names[k] : "unknown";
}

int bp_sync_kind_from_name(const char *name) {
    return find_name(kind_names, BP_COUNT(kind_names), name);
}

const char *bp_sync_policy_name(enum bp_sync_policy p) {
    return (unsigned) p < BP_SYNC_POLICIES_N_ ? policy_names[p] : "unknown";
}

int bp_sync_policy_from_name(const char *name) {
    return find_name(policy_names, BP_COUNT(policy_names), name);
}

int bp_sync_fail(struct bp_sync_failure *f, enum bp_sync_class c, const char *fmt, ...) {
    va_list ap;

    if (!f)
        return -EIO;
    f->class = c;
    va_start(ap, fmt);
    (void) vsnprintf(f->text, sizeof f->text, fmt, ap);
    va_end(ap);
    return -EIO;
}

int bp_sync_upload_layout(struct bp_sync_upload *u, uint64_t part_bytes) {
    uint64_t n;
    struct bp_sync_part *parts;

    if (part_bytes == 0)
        return -EINVAL;
    n = u->file->bytes ? (u->file->bytes - 1) / part_bytes + 1 : 1; /* an empty file is one part */
    if (n > BP_SYNC_PARTS_MAX)
        return -EINVAL;
    if (u->parts && u->part_bytes == part_bytes && u->nparts == n)
        return 0;
    parts = calloc((size_t) n, sizeof *parts);
    if (!parts)
        return -ENOMEM;
    free(u->parts);
    u->parts = parts;
    u->nparts = (uint32_t) n;
    u->part_bytes = part_bytes;
    return 0;
}

uint64_t bp_sync_part_size(const struct bp_sync_upload *u, uint32_t n) {
    uint64_t from = n * u->part_bytes;

    return from >= u->file->bytes ? 0 : BP_MIN(u->part_bytes, u->file->bytes - from);
}

int bp_sync_target_open(const struct bp_sync_target_opts *o, struct bp_sync_target *ret,
                        struct bp_error *err) {
    const char *colon = o->url ? strstr(o->url, "://") : NULL;
    size_t n = colon ? (size_t) (colon - o->url) : 0;
    void *self = NULL;
    int r;

    for (size_t i = 0; colon && i < BP_COUNT(kinds); i++) {
        if (strlen(kinds[i]->scheme) != n || strncmp(kinds[i]->scheme, o->url, n) != 0)
            continue;
        r = kinds[i]->open(o, &self, err);
        if (r < 0)
            return r;
        *ret = (struct bp_sync_target){ .ops = kinds[i]->ops, .self = self };
        return 0;
    }
    return bp_fail(err, BP_EUSAGE, "'%s' is no target: file://, http://, https:// and s3:// are",
                   o->url ? o->url : "");
}

void bp_sync_target_done(struct bp_sync_target *t) {
    if (t->ops)
        t->ops->free(t->self);
    *t = (struct bp_sync_target){ 0 };
}
