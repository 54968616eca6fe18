#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* AWS Signature Version 4 as S3 wants it (Amazon S3 API Reference, "Authenticating Requests"):
 * paths are encoded once and never normalised, since "a//b/../c" is the name of an object. Pure
 * functions; any thread. */

enum {
    BP_SIGV4_MAX_PAIRS = 64, /* headers, and pairs of a query */
    BP_SIGV4_TIME = 17,      /* "20130524T000000Z" and its NUL */
    BP_SIGV4_PAYLOAD = 65,   /* hex of a SHA-256 and its NUL */
};
#define BP_SIGV4_UNSIGNED "UNSIGNED-PAYLOAD"
#define BP_SIGV4_EMPTY    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

/* Whose key, and what it is used for. Borrowed. */
struct bp_sigv4_key {
    const char *access_key, *secret_key;
    const char *session_token; /* or NULL */
    const char *region;        /* "eu-central-1" */
    const char *service;       /* "s3" */
};

/* A name and a value, as they are before any encoding. */
struct bp_sigv4_pair {
    const char *name, *value;
};

/* Everything is borrowed for the call. */
struct bp_sigv4_request {
    const char *method; /* "GET" */
    const char *path;   /* encoded: bp_sigv4_put_path() */
    const struct bp_sigv4_pair *query;
    size_t nquery;
    /* All of them are signed. Host must be there; for headers also X-Amz-Date, X-Amz-Content-Sha256
     * (S3 wants it) and, if there is one, X-Amz-Security-Token. */
    const struct bp_sigv4_pair *headers;
    size_t nheaders;
    const char *payload; /* hex of the body's SHA-256, BP_SIGV4_EMPTY or BP_SIGV4_UNSIGNED */
    bp_ns_t wall;        /* when it is signed: that of X-Amz-Date */
};

/** "20130524T000000Z"; returns `text`. */
char *bp_sigv4_time(bp_ns_t wall, char text[static BP_SIGV4_TIME]);

/** Appends a path: every byte but A-Z a-z 0-9 - . _ ~ and '/' as %XX. */
void bp_sigv4_put_path(struct bp_buf *b, const char *path, size_t n);
/** Appends a query as it is signed and sent: encoded, in order, without '?'.
 *  @return 0, BP_ELIMIT above BP_SIGV4_MAX_PAIRS */
BP_MUST_CHECK int bp_sigv4_put_query(struct bp_buf *b, const struct bp_sigv4_pair *query, size_t n);

/**
 * Appends the value of the header Authorization.
 *
 * @return 0; BP_ELIMIT above BP_SIGV4_MAX_PAIRS; -ENOMEM (`out` has failed); -EIO when OpenSSL has
 *         no HMAC
 */
BP_MUST_CHECK int bp_sigv4_authorize(const struct bp_sigv4_key *key,
                                     const struct bp_sigv4_request *request, struct bp_buf *out);

/**
 * Appends the query of a presigned URL: the request's pairs, X-Amz-Algorithm and so on, and the
 * signature. A `payload` of NULL is unsigned, as whoever uses the URL may send what he likes;
 * another one must be among the headers, which he has to send as they are.
 *
 * @param expires  seconds, 1 … 604800
 * @return as above; -EINVAL for another `expires`
 */
BP_MUST_CHECK int bp_sigv4_presign(const struct bp_sigv4_key *key,
                                   const struct bp_sigv4_request *request, unsigned expires,
                                   struct bp_buf *out);
