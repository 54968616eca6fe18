#pragma once

/* What the files of the S3 client share. */
#include "base/arena.h"
#include "base/mutex.h"
#include "net/s3.h"
#include "wire/s3-xml.h"
#include "wire/sigv4.h"

/* ---- credentials: s3-creds.c, s3-creds-file.c, s3-creds-remote.c ---- */

/* Keys for one request. Heap; release with bp_s3_keys_done(), which wipes. */
struct bp_s3_keys {
    char *access, *secret, *token; /* owned; token may be NULL; access NULL = anonymous */
    bp_ns_t expires;               /* wall clock; 0 = never */
};

void bp_s3_keys_done(struct bp_s3_keys *k);
/** Copies texts. @param token  NULL or "" for none; @return 0, -ENOMEM */
BP_MUST_CHECK int bp_s3_keys_set(struct bp_s3_keys *k, const char *access, const char *secret,
                                 const char *token, bp_ns_t expires);

/** The present ones, renewed when it is time. Blocks while they are asked for. */
BP_MUST_CHECK int bp_s3_creds_get(struct bp_s3_creds *c, struct bp_s3_keys *ret,
                                  struct bp_error *err);
/** The server says these are no longer good: the next get asks anew. @return false when they can
 *  only be the same again */
bool bp_s3_creds_expired(struct bp_s3_creds *c, const char *access);
/** Region of the profile in the shared files, heap; NULL when none says. */
char *bp_s3_creds_region(const struct bp_s3_creds *c);

/* Where keys may come from. @return 1 and the keys; 0 when it is not set up here; a failure */
typedef int bp_s3_source_get(const char *profile, struct bp_fetch *fetch, struct bp_s3_keys *ret,
                             struct bp_error *err);
bp_s3_source_get bp_s3_from_environment, bp_s3_from_files, bp_s3_from_web_identity,
    bp_s3_from_container, bp_s3_from_instance;

/** Value of a key in a section of one of the shared files; heap. @return 1, 0, or a failure */
int bp_s3_profile_value(bool config, const char *profile, const char *key, char **ret,
                        struct bp_error *err);
/** A variable of the environment that is not empty, or NULL. */
const char *bp_s3_env(const char *name);

/* ---- providers: s3-quirks.c ---- */

/* What is different at whom. Tried: docs/s3-providers.md. */
struct bp_s3_quirks {
    const char *name;
    const char *host;          /* the endpoint's name ends in it; NULL: by name only */
    bool virtual_style;        /* addresses buckets by host unless told otherwise */
    bool equal_parts;          /* parts of one size but the last */
    bool checksums;            /* verifies x-amz-checksum-* */
    bool conditional;          /* knows If-None-Match: * when writing */
    bool conditional_complete; /* and when completing an upload */
    bool no_expect;            /* does not know Expect: 100-continue */
};

/** The row of that name, NULL when there is none. */
const struct bp_s3_quirks *bp_s3_quirks_named(const char *name);
/** The row whose host fits, else that of "generic". */
const struct bp_s3_quirks *bp_s3_quirks_of(const char *host);

/* ---- the client: s3.c ---- */

struct bp_s3 {
    struct bp_fetch *fetch;            /* borrowed */
    struct bp_s3_creds *creds;         /* borrowed */
    const struct bp_s3_quirks *quirks; /* all constant from here */
    bool https, virtual_style;
    bool by_region;  /* the endpoint is Amazon's of the region */
    char *authority; /* owned: "minio.lan:9000"; unless by_region */
    char *base;      /* owned: path of the endpoint, "" or "/storage/v1/s3" */
    char *bucket, *prefix;
    char *sse, *sse_kms_key, *storage_class; /* owned, or NULL */
    char *sse_key, *sse_key_md5;             /* owned, base64, or NULL: SSE-C */
    enum bp_s3_checksum checksum;            /* not AUTO */
    bp_ns_t timeout;
    uint64_t copy_part_bytes;
    struct bp_mutex lock; /* leaf */
    char region[64];      /* [lock] */
    int64_t offset_ns;    /* [atomic] what is added to our clock */
};

/* ---- requests: s3-request.c ---- */

enum { BP_S3_MAX_HEADERS = 32, BP_S3_MAX_QUERY = 8 };

/* One request before it is signed. Zero-initialise, release with bp_s3_request_done(). */
struct bp_s3_request {
    const char *method;
    const char *key; /* without prefix; NULL: the bucket */
    struct bp_sigv4_pair query[BP_S3_MAX_QUERY];
    size_t nquery;
    struct bp_sigv4_pair headers[BP_S3_MAX_HEADERS];
    size_t nheaders;
    struct bp_arena arena; /* texts of the above */
    bool overflow;
    const struct bp_s3_body *body; /* or NULL */
    const struct bp_s3_flow *flow; /* or NULL */
    int (*sink)(void *ctx, const void *p, size_t n);
    void *sink_ctx;
    size_t max_body_bytes;
    bp_ns_t timeout;   /* 0: the client's; bodies that are long have none */
    bool error_in_200; /* the answer may be 200 and an error in XML */
    bool precondition; /* 412 means that it exists */
};

void bp_s3_request_done(struct bp_s3_request *rq);
/** Adds a header; the value is printed. */
void bp_s3_header(struct bp_s3_request *rq, const char *name, const char *fmt, ...) BP_PRINTF(3, 4);
/** Adds a pair of the query. */
void bp_s3_query(struct bp_s3_request *rq, const char *name, const char *fmt, ...) BP_PRINTF(3, 4);

/**
 * Signs, sends, judges, and puts right once what can be.
 *
 * @return 0 for a status 2xx, else as net/s3.h says
 */
BP_MUST_CHECK int bp_s3_send(struct bp_s3 *s, struct bp_s3_request *rq,
                             struct bp_fetch_reply *reply, struct bp_s3_failure *failure,
                             struct bp_error *err);

/** Fills `f` (may be NULL) for something that no request is behind and returns `code`. */
int bp_s3_fail(struct bp_s3_failure *f, enum bp_s3_class class, int code);

/** "host[:port]" and the encoded path of a key (NULL: the bucket). @return 0, -EINVAL, -ENOMEM */
BP_MUST_CHECK int bp_s3_where(struct bp_s3 *s, const char *key, const char *region,
                              struct bp_buf *authority, struct bp_buf *path, struct bp_error *err);
/** Copies the region. */
void bp_s3_region(struct bp_s3 *s, char region[static 64]);

/**
 * Reads the XML of an answer that was a success.
 *
 * @return as bp_s3_xml_read(), with `failure` told
 */
BP_MUST_CHECK int bp_s3_answer(const struct bp_fetch_reply *reply, const char *root,
                               bp_s3_xml_leaf leaf, void *ctx, struct bp_s3_failure *failure,
                               struct bp_error *err);
/** Tells `f` (may be NULL) that an answer could not be read; returns r. */
int bp_s3_unreadable(struct bp_s3_failure *f, int r);

/* ---- judging: s3-judge.c ---- */

/* What would put a refused request right. */
enum bp_s3_remedy {
    BP_S3_REMEDY_NONE = 0,
    BP_S3_REMEDY_CLOCK = 1 << 0,  /* sign by the server's clock */
    BP_S3_REMEDY_REGION = 1 << 1, /* sign for `region` */
    BP_S3_REMEDY_KEYS = 1 << 2,   /* ask for credentials anew */
    BP_S3_REMEDY_AGAIN = 1 << 3   /* the same once more: it may have been damaged on its way */
};

struct bp_s3_verdict {
    int code; /* to return */
    enum bp_s3_remedy remedy;
    char region[64]; /* for BP_S3_REMEDY_REGION */
};

/**
 * What an answer that is no success means. Pure.
 *
 * @param wall  our clock, corrected as for the request
 */
struct bp_s3_verdict bp_s3_judge(const struct bp_fetch_reply *reply, bool precondition,
                                 bp_ns_t wall, struct bp_s3_failure *failure, struct bp_error *err);
/** What no answer at all means. @param r  of bp_fetch() */
void bp_s3_judge_fetch(int r, const struct bp_fetch_reply *reply, struct bp_s3_failure *failure);

/* ---- shared by s3-object.c and s3-upload.c ---- */

/** Headers of a new object: type, metadata, encryption, class. */
void bp_s3_put_headers(struct bp_s3 *s, struct bp_s3_request *rq,
                       const struct bp_s3_put_options *options);
/** Those of SSE-C, which every touch of the bytes needs. */
void bp_s3_customer_headers(struct bp_s3 *s, struct bp_s3_request *rq);
/** Headers for a body's checksum; fills `part` when it is given. @return 0, or why it cannot be
 * read
 */
BP_MUST_CHECK int bp_s3_checksum_headers(struct bp_s3 *s, struct bp_s3_request *rq,
                                         const struct bp_s3_body *body, struct bp_s3_part *part,
                                         struct bp_error *err);
/** Quotes are kept. @return 0, BP_ELIMIT */
BP_MUST_CHECK int bp_s3_etag_set(char etag[static BP_S3_ETAG], struct bp_str text,
                                 struct bp_error *err);
/** Refuses to overwrite where the server cannot. @return 0, -EEXIST, as bp_s3_head() */
BP_MUST_CHECK int bp_s3_absent(struct bp_s3 *s, const char *key, struct bp_s3_failure *failure,
                               struct bp_error *err);
/** A key from a list, decoded and without prefix; NULL when it is not below the prefix or cannot be
 *  decoded. @param text  changed in place, NUL-terminated */
const char *bp_s3_listed_key(const struct bp_s3 *s, char *text, bool encoded);
