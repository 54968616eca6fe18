#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/metrics.h"
#include "catalog/archive.h"
#include "catalog/scope.h"
#include "crypt/sign.h"
#include "net/http.h"
#include "store/spool.h"
#include "store/store.h"

/* The receiving side of sync: sessions are announced, their files come as uploads in parts, are
 * checked and become objects and rows of the archive. Protocol: docs/api/uploads.md. Any thread. */
struct bp_ingest;

/* Who sends. */
struct bp_ingest_who {
    char device[129];             /* "" = anybody on this machine: everything is theirs */
    bool any;                     /* not a device but somebody who may act for all of them */
    char scope[BP_SCOPE];         /* of whom: catalog/scope.h; "" = of all */
    char key[BP_PUBLIC_KEY_TEXT]; /* of the device, "" = not known */
};

/* Borrowed until bp_ingest_close(); zero means the default in brackets. */
struct bp_ingest_options {
    const struct bp_io *io;
    const char *dir; /* of the spool, on the file system of a store of files */
    struct bp_store *store;
    struct bp_archive *archive;
    enum bp_archive_policy policy;
    uint64_t quota_bytes;    /* unfinished uploads together [no limit] */
    uint64_t device_bytes;   /* of one device, then 429 [no limit] */
    uint64_t file_bytes;     /* of one file, then 413 [8 TiB] */
    uint64_t min_free;       /* kept free on the disk; 0 = nothing */
    bp_ns_t expiry;          /* [7 days] */
    unsigned verify_threads; /* that look into one recording, in the background [1] */
    bool no_verify;
    /** Who asks? @return 0, or a code to refuse with. NULL: anybody may everything. */
    int (*who)(void *ctx, struct bp_http_req *req, struct bp_ingest_who *ret, struct bp_error *err);
    /** May somebody with this scope see a device? Does not wait. Needed when `who` gives any. */
    bool (*sees)(void *ctx, const char *scope, const char *device);
    /** Something happened; JSON is borrowed. Any thread, must not wait. May be NULL. Names:
     *  "upload_stored", "session_complete", "segment_damaged". */
    void (*event)(void *ctx, const char *name, json_t *data);
    void *ctx;
};

/** @param ret  owned by the caller, release with bp_ingest_close(); @return 0, or an errno */
BP_MUST_CHECK int bp_ingest_open(const struct bp_ingest_options *o, struct bp_ingest **ret,
                                 struct bp_error *err);
/** The server that calls handlers must be closed. Takes NULL. */
void bp_ingest_close(struct bp_ingest *g);
BP_DEFINE_CLEANUP(struct bp_ingest, bp_ingest_close)

/** Deletes an object that no session wants any more, unless one does by now: whoever deletes does
 * it by this, as a session may just be taking up the same content. @return 0, or an errno */
BP_MUST_CHECK int bp_ingest_delete_object(struct bp_ingest *g,
                                          const uint8_t sha256[static BP_SHA256_LEN],
                                          struct bp_error *err);

/** Forgets what has expired; call it once a minute or so. */
void bp_ingest_tick(struct bp_ingest *g);

/* Handlers, as the routes of docs/api/uploads.md. */
int bp_ingest_put_session(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_ingest_post_upload(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_error *err);
int bp_ingest_list_uploads(struct bp_ingest *g, struct bp_http_req *req,
                           struct bp_http_reply *reply, struct bp_error *err);
int bp_ingest_get_upload(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
int bp_ingest_delete_upload(struct bp_ingest *g, struct bp_http_req *req,
                            struct bp_http_reply *reply, struct bp_error *err);
int bp_ingest_complete(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                       struct bp_error *err);
/** HEAD, too. */
int bp_ingest_get_object(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
/** A part: bp_ingest_part_begin() is `begin` of bp_http_body_ops, then bp_ingest_part_data(),
 *  bp_ingest_part_abort(); the handler is this one. */
int bp_ingest_put_part(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                       struct bp_error *err);
int bp_ingest_part_begin(struct bp_ingest *g, struct bp_http_req *req, struct bp_http_reply *reply,
                         void **ret_body, struct bp_error *err);
int bp_ingest_part_data(void *body, const void *data, size_t n, struct bp_error *err);
void bp_ingest_part_abort(void *body);

/** Appends what the room did, and what is open. */
void bp_ingest_put_metrics(struct bp_ingest *g, struct bp_buf *out);

extern const struct bp_metric bp_ingest_metrics[];
extern const size_t bp_ingest_metrics_count;
