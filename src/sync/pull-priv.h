#pragma once

#include "sync/pull.h"

/* Between pull.c and where it fetches from. */

struct bp_pull_file {
    char *name;  /* owned: relative to the session */
    char *where; /* owned: what the source calls it, or NULL */
    uint64_t bytes;
    char sha256[65];  /* lower-case hex, or "" */
    bp_ns_t modified; /* wall, of the object; 0 = not known */
};

struct bp_pull_list {
    char id[27];
    char *name;             /* owned: of the session's folder */
    struct bp_pull_file *v; /* owned */
    size_t n;
};

/** Adds a file whose name is one. @param where  copied, or NULL; @return 0, BP_EFORMAT, -ENOMEM */
BP_MUST_CHECK int bp_pull_add(struct bp_pull_list *l, const char *name, const char *where,
                              uint64_t bytes, const char *sha256, struct bp_error *err);

struct bp_pull_source {
    void (*free)(void *self);
    /** What a session has. @param ret  zeroed; filled also on failure as far as it came */
    int (*find)(void *self, const char *key, struct bp_pull_list *ret, struct bp_error *err);
    /** The bytes of a file from `offset` on, in pieces. */
    int (*read)(void *self, const struct bp_pull_list *l, const struct bp_pull_file *f,
                uint64_t offset, int (*sink)(void *ctx, const void *p, size_t n), void *ctx,
                const bool *cancel, struct bp_error *err);
};

/* Each in a file of its own; @param ret_self  owned: free() of the source */
extern const struct bp_pull_source bp_pull_server, bp_pull_s3, bp_pull_folder;
BP_MUST_CHECK int bp_pull_server_open(const struct bp_sync_target_opts *o, void **ret_self,
                                      struct bp_error *err);
BP_MUST_CHECK int bp_pull_s3_open(const struct bp_sync_target_opts *o, void **ret_self,
                                  struct bp_error *err);
BP_MUST_CHECK int bp_pull_folder_open(const struct bp_sync_target_opts *o, void **ret_self,
                                      struct bp_error *err);
