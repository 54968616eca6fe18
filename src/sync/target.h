#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

/* What the sync engine sends files to: a server, a bucket, a disk. A target is one file with one
 * `static const struct bp_sync_target_ops` and one row in target.c. The engine owns the queue, the
 * order, retries, bandwidth and time; a target moves bytes and says what became of them.
 *
 * Several threads call one target at once: probe, have, begin, put, complete, verify of different
 * files, and put of different parts of the same file. begin, complete, abort of one upload never
 * overlap with another call for it. */

/* Why something failed, and with it what the engine does about it. */
enum bp_sync_class {
    BP_SYNC_OK,
    BP_SYNC_NETWORK,   /* no connection, reset, stalled, TLS refused: probes until it is back */
    BP_SYNC_SERVER,    /* 5xx and nonsense: tries again, 2, 4, 8 … 120 s with full jitter */
    BP_SYNC_THROTTLED, /* 429, 503 SlowDown: the whole target waits, retry_after when it says so */
    BP_SYNC_AUTH,      /* 401, 403: the whole target waits for credentials, 2 s … an hour */
    BP_SYNC_QUOTA,     /* 507, quota: the whole target waits, looks hourly */
    BP_SYNC_CLOCK,     /* refused for our clock: corrected by date_ns, tried again at once */
    BP_SYNC_PERMANENT, /* 400, 404 …: the file has failed until somebody says retry */
    BP_SYNC_LOCAL,     /* our own file or memory: the file waits, looks hourly */
    BP_SYNC_MISMATCH,  /* bytes arrived with another digest: sent again, the file is read anew */
    BP_SYNC_LOST,      /* the upload is gone (expired, NoSuchUpload): begun again */
    BP_SYNC_CONFLICT,  /* same name, other content, or edited on both sides: the policy decides */
    BP_SYNC_CANCELED,  /* `cancel` was set */
    BP_SYNC_CLASSES_N_
};

/** "ok", "network", "server" … */
const char *bp_sync_class_name(enum bp_sync_class c);

struct bp_sync_failure {
    enum bp_sync_class class;
    bp_ns_t retry_after; /* how long the other side asks us to wait; 0 = it did not say */
    bp_ns_t date_ns;     /* wall, by the other side's clock; 0 = not known */
    char text[400];      /* a sentence fragment for people, without secrets */
};

/** Fills `f` (may be NULL) and returns -EIO, so that a failure is one statement. */
int bp_sync_fail(struct bp_sync_failure *f, enum bp_sync_class c, const char *fmt, ...)
    BP_PRINTF(3, 4);

enum bp_sync_kind {
    BP_SYNC_SEGMENT,
    BP_SYNC_MANIFEST, /* manifest.json: its presence makes a session complete */
    BP_SYNC_METADATA, /* metadata.yaml */
    BP_SYNC_SIGNATURE,
    BP_SYNC_PREVIEW, /* a light session beside the full one */
    BP_SYNC_OTHER,
    BP_SYNC_KINDS_N_
};

/** "segment", "manifest", "metadata", "signature", "preview", "other". */
const char *bp_sync_kind_name(enum bp_sync_kind k);
/** @return the kind or -EINVAL */
int bp_sync_kind_from_name(const char *name);

enum bp_sync_policy {
    BP_SYNC_POLICY_LOCAL,     /* ours replaces theirs */
    BP_SYNC_POLICY_REMOTE,    /* theirs stays */
    BP_SYNC_POLICY_MERGE,     /* fields by version vector; files: both, ours renamed */
    BP_SYNC_POLICY_KEEP_BOTH, /* ours beside theirs, renamed with the device's id */
    BP_SYNC_POLICIES_N_
};

/** "local", "remote", "merge", "keep-both". */
const char *bp_sync_policy_name(enum bp_sync_policy p);
/** @return the policy or -EINVAL */
int bp_sync_policy_from_name(const char *name);

/* A file of a session that is there. */
struct bp_sync_listed {
    const char *name; /* over there */
    const char *hex;  /* SHA-256 */
    uint64_t bytes;
    enum bp_sync_kind kind;
};

/* A session as a target sees it; borrowed for the call. Texts are never NULL. */
struct bp_sync_session_ref {
    const char *id;   /* ULID */
    const char *name; /* of the folder */
    const char *device;
    const char *robot;  /* the first of them, or "" */
    const char *json;   /* object as `PUT /ingest/sessions/{ulid}` takes it, "version" included */
    bp_ns_t started_ns; /* wall */
    bool closed;        /* no more files come */
    bool force;         /* ours replaces theirs, whatever they say */
    enum bp_sync_policy policy;
    const struct bp_sync_listed *files; /* for finish(): all of them, each proven; else NULL */
    size_t nfiles;
};

/* A file as a target sees it; borrowed for the call. */
struct bp_sync_file {
    const struct bp_sync_session_ref *session;
    const char *name; /* relative to the session, no "..", no leading '/' */
    const char *path; /* on our disk */
    enum bp_sync_kind kind;
    uint64_t bytes;
    uint8_t sha256[32];
    char hex[65]; /* the same, lower case */
    bool force;   /* replace another content of this name */
};

enum {
    BP_SYNC_ETAG = 136,   /* with its NUL */
    BP_SYNC_TOKEN = 2048, /* with its NUL */
    BP_SYNC_PARTS_MAX = 10000,
};

/* One part as the engine remembers it. */
struct bp_sync_part {
    bool there;              /* arrived, whole: it is not sent again */
    char etag[BP_SYNC_ETAG]; /* what put() gave, "" when only the other side told us of it */
};

/* A file on its way to one target. The engine makes it from its queue; begin() completes it. */
struct bp_sync_upload {
    const struct bp_sync_file *file;
    char token[BP_SYNC_TOKEN]; /* the target's name of the upload; "" = none yet. Is saved */
    uint64_t part_bytes;       /* wished for; begin() may change it by bp_sync_upload_layout() */
    uint32_t nparts;
    struct bp_sync_part *parts; /* nparts of them; owned by the engine */
    void *ctx; /* the target's own, from begin() to a good complete(), park() or abort() */
};

/**
 * Sets part size and number; what was known of parts is forgotten when the size is another.
 *
 * @return 0, -ENOMEM, -EINVAL for a size of 0 or more than BP_SYNC_PARTS_MAX parts
 */
BP_MUST_CHECK int bp_sync_upload_layout(struct bp_sync_upload *u, uint64_t part_bytes);
/** Bytes of part n. */
uint64_t bp_sync_part_size(const struct bp_sync_upload *u, uint32_t n);

/* The bytes of a part: to be read by pread() while sending, never as a whole. */
struct bp_sync_body {
    int fd; /* of the file; borrowed */
    uint64_t offset, size;
    uint8_t sha256[32]; /* of these bytes */
    /* Blocks until n more bytes, at most 64 KiB, may be sent; call it before sending them. */
    void (*pace)(void *ctx, size_t n);
    void *pace_ctx;
    const bool *cancel; /* [atomic] give up soon when it becomes true */
};

/* What the other side has in place of ours. */
struct bp_sync_theirs {
    char *json;      /* the session as they have it, or NULL; owned by the engine, free() */
    char sha256[65]; /* of a file, or "" */
};

enum bp_sync_target_flags {
    BP_SYNC_MANIFEST_LAST = 1 << 0, /* nothing but the manifest tells that a session is complete:
                                       it goes last; without this it goes first */
};

/* Every function returns >= 0, or a negative code after filling `f`. */
struct bp_sync_target_ops {
    const char *name; /* "server", "s3", "file" */
    unsigned flags;
    void (*free)(void *self);
    /** Is the other side there, and does it know us? The cheapest true exchange there is.
     *  @param ret_date_ns  its wall clock, 0 when it does not tell */
    int (*probe)(void *self, bp_ns_t *ret_date_ns, struct bp_sync_failure *f);
    /** Sign requests by our wall clock plus this from now on; or NULL. */
    void (*clock)(void *self, bp_ns_t offset);
    /** Has it this content already, whole, and does the session refer to it now? 1 = yes: the file
     *  is done without begin(). Or NULL: begin() tells. */
    int (*have)(void *self, const struct bp_sync_file *file, struct bp_sync_failure *f);
    /**
     * Begins, or goes on with the upload of u->token. Sets token and layout; marks those parts as
     * there, and only those, that the other side has whole (own ETags in u->parts are those of
     * earlier puts). @return 0; 1 = it has the file already: done, as after have()
     */
    int (*begin)(void *self, struct bp_sync_upload *u, struct bp_sync_theirs *theirs,
                 struct bp_sync_failure *f);
    /** Sends part n; when it returns 0 the other side has it durably. @param etag  of BP_SYNC_ETAG
     *  bytes, is saved */
    int (*put)(void *self, const struct bp_sync_upload *u, uint32_t n,
               const struct bp_sync_body *body, char *etag, struct bp_sync_failure *f);
    /** All parts are there: make the file of them. Must do no harm when it was done before. */
    int (*complete)(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f);
    /** Asks for size and digest (HEAD). 1 = as ours; 0 = not there, or another */
    int (*verify)(void *self, const struct bp_sync_file *file, struct bp_sync_failure *f);
    /** Gives the upload of u->token up, on the other side too. It may be one of another life: of
     *  u->file there are session (without JSON), name and `hex`, the rest is 0. `u->ctx`, or NULL,
     *  is released whatever comes of it. @return 0, also when there is none; a failure: of class
     *  LOST, CONFLICT, PERMANENT = there is nothing to give up, others are tried again */
    int (*abort)(void *self, struct bp_sync_upload *u, struct bp_sync_failure *f);
    /** The upload pauses (we stop, the link is gone): releases u->ctx only; or NULL. */
    void (*park)(void *self, struct bp_sync_upload *u);
    /** Tells of a session, or what changed of it. A conflict fails with BP_SYNC_CONFLICT and fills
     *  `theirs`. Or NULL. */
    int (*session)(void *self, const struct bp_sync_session_ref *s, struct bp_sync_theirs *theirs,
                   struct bp_sync_failure *f);
    /** Every file of a closed session is there and verified; or NULL. */
    int (*finish)(void *self, const struct bp_sync_session_ref *s, struct bp_sync_failure *f);
};

struct bp_sign_key;
struct bp_device_tokens;

/* How a target is reached; texts are borrowed for the call, NULL = default. */
struct bp_sync_target_opts {
    const char *url;               /* file:///mnt/usb, http(s)://host[:port], s3://bucket/prefix */
    const char *device;            /* who we are */
    const struct bp_sign_key *key; /* the device's, or NULL; must outlive the target */
    /* net/device-token.h: how a server is told who we are when there is no `token`, or NULL: a
     * server gets some of its own made of device and key. Must outlive the target. */
    struct bp_device_tokens *tokens;
    const char *ca_file, *proxy, *token;
    const char *const *settings; /* "key=value" of the kind's own (region=, endpoint=, profile=,
                                    template= …), NULL-ended; or NULL */
    bp_ns_t connect_timeout, stall_timeout; /* 0 = 10 s, 30 s */
};

/* One row a scheme. */
struct bp_sync_target_kind {
    const char *scheme; /* "file", "http", … */
    const struct bp_sync_target_ops *ops;
    int (*open)(const struct bp_sync_target_opts *o, void **ret_self, struct bp_error *err);
};

struct bp_sync_target {
    const struct bp_sync_target_ops *ops;
    void *self; /* owned: ops->free() */
};

/**
 * Opens the target of a URL; nothing is connected yet.
 *
 * @return 0, BP_EUSAGE when there is no such scheme or a setting is none, or as its kind says
 */
BP_MUST_CHECK int bp_sync_target_open(const struct bp_sync_target_opts *o,
                                      struct bp_sync_target *ret, struct bp_error *err);
/** Takes one that was never opened, zeroed. */
void bp_sync_target_done(struct bp_sync_target *t);

/* Kinds, each in a file of its own. */
extern const struct bp_sync_target_kind bp_sync_kind_file;
extern const struct bp_sync_target_kind bp_sync_kind_http, bp_sync_kind_https, bp_sync_kind_unix;
extern const struct bp_sync_target_kind bp_sync_kind_s3;
