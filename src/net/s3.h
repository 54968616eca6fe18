#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/fetch.h"

/* Amazon's S3 and whoever speaks as it does: one bucket at one endpoint. Requests are signed by
 * wire/sigv4.h. Nothing is tried again here, for that is the business of whoever knows what else
 * waits, except where the answer itself says how to put it right: a clock that differs (from the
 * Date of the answer), another region, credentials that have just expired; once per request.
 * Any number of threads; each call blocks. Keys are bytes without NUL, 1 to 1024 of them, and are
 * put behind `prefix` here, also "..", "//" and the like as they are. */
struct bp_s3;
struct bp_s3_creds;

/* ---- credentials ---- */

/* Borrowed for bp_s3_creds_open(). */
struct bp_s3_creds_options {
    /* Given by hand; NULL: the first that is there of: environment (AWS_ACCESS_KEY_ID,
     * AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN), web identity (AWS_WEB_IDENTITY_TOKEN_FILE,
     * AWS_ROLE_ARN), the shared files (AWS_SHARED_CREDENTIALS_FILE, AWS_CONFIG_FILE, ~/.aws/…),
     * containers (AWS_CONTAINER_CREDENTIALS_FULL_URI, …_RELATIVE_URI), instance metadata v2 unless
     * AWS_EC2_METADATA_DISABLED is "true". */
    const char *access_key, *secret_key, *session_token;
    const char *profile; /* of the shared files [AWS_PROFILE, else "default"] */
    bool anonymous;      /* no signatures at all */
};

/** @param fetch  borrowed until bp_s3_creds_close(); for those that are asked of a service
 *  @return 0 (nothing is asked yet); -EINVAL when half of a pair is given; -ENOMEM */
BP_MUST_CHECK int bp_s3_creds_open(const struct bp_s3_creds_options *options,
                                   struct bp_fetch *fetch, struct bp_s3_creds **ret,
                                   struct bp_error *err);
/** Takes NULL. Secrets are wiped. */
void bp_s3_creds_close(struct bp_s3_creds *c);
BP_DEFINE_CLEANUP(struct bp_s3_creds, bp_s3_creds_close)

/** Gets them now, to fail early; from then on they are renewed 5 min before they expire.
 *  @return 0; -EACCES when there are none or they are refused; as bp_fetch(); `err` tells where was
 *          looked, never what was found */
BP_MUST_CHECK int bp_s3_creds_check(struct bp_s3_creds *c, struct bp_error *err);
/** Where the present ones came from: "environment", "profile 'robots'", …; static or borrowed until
 *  bp_s3_creds_close(); "" when none were asked for yet. Any thread. */
const char *bp_s3_creds_source(struct bp_s3_creds *c);

/* ---- the client ---- */

enum bp_s3_style { BP_S3_STYLE_AUTO, BP_S3_STYLE_PATH, BP_S3_STYLE_VIRTUAL };
enum bp_s3_checksum {
    BP_S3_CHECKSUM_AUTO, /* by provider: SHA-256 where it is known to be verified, else none */
    BP_S3_CHECKSUM_NONE,
    BP_S3_CHECKSUM_SHA256,
    BP_S3_CHECKSUM_CRC64NVME
};

/* Borrowed for bp_s3_open() unless said otherwise; zero means the default in brackets. */
struct bp_s3_options {
    struct bp_fetch *fetch;    /* until bp_s3_close() */
    struct bp_s3_creds *creds; /* until bp_s3_close() */
    const char *endpoint;      /* "https://minio.lan:9000" [AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
                                  else Amazon's of the region] */
    const char *region; /* [AWS_REGION, AWS_DEFAULT_REGION, that of the profile, us-east-1] */
    const char *bucket;
    const char *prefix;   /* "robots/": in front of every key [""] */
    const char *provider; /* a row of the quirks table: "aws", "ceph", "minio", … [by host name] */
    enum bp_s3_style style; /* [virtual for Amazon, else path] */
    enum bp_s3_checksum checksum;
    const char *sse;             /* "AES256", "aws:kms" [as the bucket is set] */
    const char *sse_kms_key;     /* its id, for "aws:kms" */
    const uint8_t *sse_customer; /* 32 bytes: SSE-C; https only */
    const char *storage_class;   /* "STANDARD_IA", … */
    bp_ns_t timeout;             /* of requests without a long body [30 s] */
    uint64_t copy_part_bytes;    /* copies of more are made in parts [5 GiB] */
};

/** @return 0; -EINVAL for an endpoint, bucket, region or provider that cannot be; -ENOMEM */
BP_MUST_CHECK int bp_s3_open(const struct bp_s3_options *options, struct bp_s3 **ret,
                             struct bp_error *err);
/** Takes NULL. */
void bp_s3_close(struct bp_s3 *s);
BP_DEFINE_CLEANUP(struct bp_s3, bp_s3_close)

/** Row of the quirks table that is used. */
const char *bp_s3_provider(const struct bp_s3 *s);
/** Parts of an upload must be of one size, but the last: for uploads that would grow theirs. */
bool bp_s3_equal_parts(const struct bp_s3 *s);
/** What is added to our clock since the server said it differs; 0 while it does not. Any thread. */
bp_ns_t bp_s3_clock_offset(const struct bp_s3 *s);

/* ---- what went wrong ---- */

enum bp_s3_class {
    BP_S3_OK,
    BP_S3_NETWORK,   /* not reached, broke, stalled: try again */
    BP_S3_SERVER,    /* 5xx: try again */
    BP_S3_THROTTLED, /* 429, 503 SlowDown: later, slower */
    BP_S3_AUTH,      /* not ours to do, or credentials that are not good */
    BP_S3_QUOTA,     /* full, or more than is allowed */
    BP_S3_CLOCK,     /* clocks differ, and correcting did not help */
    BP_S3_MISSING,   /* no such key or upload (-ENOENT); no such bucket is PERMANENT */
    BP_S3_EXISTS,    /* If-None-Match: it is there already (-EEXIST) */
    BP_S3_DAMAGED,   /* what arrived is not what was sent: send it again (BP_EMISMATCH) */
    BP_S3_LOCAL,     /* the file, memory, a cancel: not the other side */
    BP_S3_PERMANENT  /* trying again will not help */
};

struct bp_s3_failure {
    enum bp_s3_class class;
    int status;          /* HTTP, 0 when no answer came */
    char code[64];       /* S3's word: "SlowDown", or "" */
    char request_id[64]; /* for its support, or "" */
    bp_ns_t retry_after; /* 0 = no word */
    bp_ns_t date_ns;     /* its clock, 0 when not told */
};

/** "network", "server", "throttled", … */
const char *bp_s3_class_text(enum bp_s3_class class);

/* How a long body is moved. NULL: at once, to the end. */
struct bp_s3_flow {
    void (*pace)(void *ctx, size_t n); /* as in bp_fetch_request */
    void *pace_ctx;
    const bool *cancel; /* atomic */
};

/* All calls below: `flow`, `failure` and `err` may be NULL. Results are written only on success,
 * but `failure` always (class BP_S3_OK then).
 *
 * @return 0; -ENOENT, -EEXIST, BP_EMISMATCH as said at the classes; -EACCES for AUTH and CLOCK;
 *         -EDQUOT for QUOTA; -EAGAIN for THROTTLED; -EINVAL for PERMANENT; -EIO for SERVER; what
 *         bp_fetch() returns for NETWORK and LOCAL; BP_EFORMAT when an answer cannot be read;
 *         -ENOMEM */

/* ---- objects ---- */

enum { BP_S3_ETAG = 136, BP_S3_KEY_MAX = 1024, BP_S3_MAX_PARTS = 10000 };
#define BP_S3_MIN_PART ((uint64_t) 5 << 20) /* all but the last */
#define BP_S3_MAX_PART ((uint64_t) 5 << 30)

/* Bytes to send. Borrowed for the call. */
struct bp_s3_body {
    struct bp_str bytes;              /* these, unless */
    const struct bp_fetch_file *file; /* this is set */
    /* SHA-256 of exactly these bytes, if known: signed, so that the server verifies what arrives.
     * NULL: by https they are sent unsigned, by http they are read and digested first. */
    const uint8_t *sha256;
};

/* What an object is to be. Borrowed for the call. */
struct bp_s3_put_options {
    const char *content_type; /* [application/octet-stream] */
    const uint8_t *digest;    /* SHA-256 of the whole object, kept with it as metadata
                                 "bagpipe-sha256", so that HEAD tells it; or NULL */
    const char *const *meta;  /* more metadata: "name: value", NULL-ended; or NULL */
    bool new_only;            /* If-None-Match: *, so that nothing is overwritten */
};

struct bp_s3_object {
    uint64_t size;         /* of the whole */
    char etag[BP_S3_ETAG]; /* with its quotes, or "" */
    bp_ns_t modified;      /* wall clock of the server, to the second; 0 when not told */
    bool has_digest;
    uint8_t digest[32]; /* what bp_s3_put_options.digest said */
};

/** Sends an object at once. -EEXIST may be our own earlier try whose answer got lost: look at its
 *  digest by bp_s3_head(). */
BP_MUST_CHECK int bp_s3_put(struct bp_s3 *s, const char *key, const struct bp_s3_body *body,
                            const struct bp_s3_put_options *options, const struct bp_s3_flow *flow,
                            struct bp_s3_object *ret, struct bp_s3_failure *failure,
                            struct bp_error *err);

/**
 * Reads [offset, offset + size) of an object.
 *
 * @param size     0: to its end
 * @param etag     the object must still be this one, else BP_EMISMATCH; or NULL
 * @param sink     gets the bytes in pieces; as in bp_fetch_request
 * @param ret      may be NULL
 * @return also -ERANGE when it is not that long; BP_EUNSUPPORTED when something else came than was
 *         asked for (`sink` has not seen it)
 */
BP_MUST_CHECK int bp_s3_get(struct bp_s3 *s, const char *key, uint64_t offset, uint64_t size,
                            const char *etag, int (*sink)(void *ctx, const void *p, size_t n),
                            void *ctx, const struct bp_s3_flow *flow, struct bp_s3_object *ret,
                            struct bp_s3_failure *failure, struct bp_error *err);

BP_MUST_CHECK int bp_s3_head(struct bp_s3 *s, const char *key, struct bp_s3_object *ret,
                             struct bp_s3_failure *failure, struct bp_error *err);

/** Deleting what is not there is a success. */
BP_MUST_CHECK int bp_s3_delete(struct bp_s3 *s, const char *key, struct bp_s3_failure *failure,
                               struct bp_error *err);

/** Copies within the bucket without moving the bytes through here, with their metadata; above 5 GiB
 *  in parts, with its digest alone. */
BP_MUST_CHECK int bp_s3_copy(struct bp_s3 *s, const char *from, const char *to,
                             struct bp_s3_failure *failure, struct bp_error *err);

struct bp_s3_entry {
    const char *key;            /* without `prefix`; borrowed for the call */
    bool is_prefix;             /* a common prefix up to the delimiter, not an object */
    struct bp_s3_object object; /* without digest */
};

/**
 * Lists objects in the order of their keys, page by page.
 *
 * @param under      keys that begin so; "" for all
 * @param delimiter  "/" to see one level, or NULL
 * @param after      begin behind this key, or NULL
 * @param each       returns 0 to go on, else the end
 * @return what `each` returned, or as said above
 */
BP_MUST_CHECK int bp_s3_list(struct bp_s3 *s, const char *under, const char *delimiter,
                             const char *after,
                             int (*each)(void *ctx, const struct bp_s3_entry *entry), void *ctx,
                             struct bp_s3_failure *failure, struct bp_error *err);

/** Is the bucket there and ours? Cheap: to see whether the link works. */
BP_MUST_CHECK int bp_s3_probe(struct bp_s3 *s, bp_ns_t *ret_date_ns, struct bp_s3_failure *failure,
                              struct bp_error *err);

/* ---- uploads in parts ---- */

struct bp_s3_part {
    unsigned number; /* 1 … 10,000 */
    uint64_t size;
    char etag[BP_S3_ETAG];
    bool has_sha256; /* it was sent with one; kept until complete */
    uint8_t sha256[32];
    bool has_crc64; /* the same for CRC-64/NVME */
    uint64_t crc64;
};

struct bp_s3_parts {
    struct bp_s3_part *v; /* owned, by number */
    size_t n;
};
void bp_s3_parts_done(struct bp_s3_parts *parts);

/** @param ret_id  heap, owned by the caller */
BP_MUST_CHECK int bp_s3_upload_create(struct bp_s3 *s, const char *key,
                                      const struct bp_s3_put_options *options, char **ret_id,
                                      struct bp_s3_failure *failure, struct bp_error *err);

/** Sends one part; sending a number again replaces it. @return -ENOENT when the upload is gone */
BP_MUST_CHECK int bp_s3_upload_part(struct bp_s3 *s, const char *key, const char *id,
                                    unsigned number, const struct bp_s3_body *body,
                                    const struct bp_s3_flow *flow, struct bp_s3_part *ret,
                                    struct bp_s3_failure *failure, struct bp_error *err);

/** All parts that are there, however many pages. @param ret  zeroed; release with
 *  bp_s3_parts_done() */
BP_MUST_CHECK int bp_s3_upload_list(struct bp_s3 *s, const char *key, const char *id,
                                    struct bp_s3_parts *ret, struct bp_s3_failure *failure,
                                    struct bp_error *err);

/**
 * Makes the object of its parts. A repeated complete of an upload that has become the object
 * (whose answer got lost) may be -ENOENT: look with bp_s3_head() before starting again.
 *
 * @param parts     by number
 * @param new_only  as in bp_s3_put_options
 * @param ret       etag as told, else "" (some tell none: ask bp_s3_head()); size = sum of parts
 */
BP_MUST_CHECK int bp_s3_upload_complete(struct bp_s3 *s, const char *key, const char *id,
                                        const struct bp_s3_part *parts, size_t n, bool new_only,
                                        struct bp_s3_object *ret, struct bp_s3_failure *failure,
                                        struct bp_error *err);

/** Aborting what is not there is a success. */
BP_MUST_CHECK int bp_s3_upload_abort(struct bp_s3 *s, const char *key, const char *id,
                                     struct bp_s3_failure *failure, struct bp_error *err);

struct bp_s3_upload {
    const char *key, *id; /* key without `prefix`; borrowed for the call */
    bp_ns_t begun;        /* wall clock of the server, 0 when not told */
};

/** Uploads that are open, in pages. @param each  returns 0 to go on, else the end */
BP_MUST_CHECK int bp_s3_uploads(struct bp_s3 *s, const char *under,
                                int (*each)(void *ctx, const struct bp_s3_upload *upload),
                                void *ctx, struct bp_s3_failure *failure, struct bp_error *err);

/**
 * Aborts uploads below the prefix that were begun before `older_than` and that nobody wants any
 * more: what `sync gc` does.
 *
 * @param older_than  wall clock of the server
 * @param wanted      true to keep an upload (it is in the queue); NULL: none
 * @param dry         count only
 * @param ret_n       aborted, or to be
 */
BP_MUST_CHECK int bp_s3_uploads_clean(struct bp_s3 *s, const char *under, bp_ns_t older_than,
                                      bool (*wanted)(void *ctx, const struct bp_s3_upload *upload),
                                      void *ctx, bool dry, size_t *ret_n,
                                      struct bp_s3_failure *failure, struct bp_error *err);

/* ---- presigned URLs ---- */

/**
 * A URL with which anybody may do one thing for a while, with any HTTP client.
 *
 * @param method   "GET", "PUT", …
 * @param id       of an upload, for one part of it; or NULL
 * @param number   of the part
 * @param expires  1 s … 7 days
 * @param ret      heap, owned by the caller; it is a secret
 */
BP_MUST_CHECK int bp_s3_presign(struct bp_s3 *s, const char *method, const char *key,
                                const char *id, unsigned number, bp_ns_t expires, char **ret,
                                struct bp_error *err);
