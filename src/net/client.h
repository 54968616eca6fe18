#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* A small HTTP client that waits: for our own verbs and their agent or server. One request at a
 * time, one thread at a time; the connection is kept between requests. */
struct bp_client;

/* Borrowed for bp_client_open(); zero means the default in brackets. */
struct bp_client_options {
    const char *url;   /* "unix:/run/bagpipe/agent.sock", "http://robot:9090", "robot:9090" */
    const char *who;   /* who should answer there, for errors ["agent"]; lives on */
    const char *token; /* sent as bearer token, or NULL */
    const char *const *headers; /* more of them, "Name: value", up to a NULL; or NULL */
    bp_ns_t timeout;            /* of a whole request; streams: of connecting [10 s] */
    size_t max_body_bytes;      /* of a reply [64 MiB] */
};

/** @param ret  owned by the caller, release with bp_client_close()
 *  @return 0, -EINVAL for a URL that cannot be read, -ENOMEM */
BP_MUST_CHECK int bp_client_open(const struct bp_client_options *options, struct bp_client **ret,
                                 struct bp_error *err);
/** Takes NULL. */
void bp_client_close(struct bp_client *c);
BP_DEFINE_CLEANUP(struct bp_client, bp_client_close)

struct bp_client_reply {
    int status;         /* 200 … 599 */
    char type[96];      /* Content-Type, or "" */
    struct bp_buf body; /* owned: bp_client_reply_done() */
};

void bp_client_reply_done(struct bp_client_reply *reply);

/**
 * Sends a request and reads the answer, whatever its status.
 *
 * @param method  "GET", "POST", …
 * @param path    "/api/v1/status?x=1", encoded
 * @param body    sent as JSON; borrowed; NULL for none
 * @param ret     zeroed by the caller or left by an earlier call, whose body is released
 * @return 0, -ECONNREFUSED when nobody answers, -EACCES when the socket may not be used,
 * -ETIMEDOUT, BP_ELIMIT, -EIO when the connection breaks, -ENOMEM
 */
BP_MUST_CHECK int bp_client_call(struct bp_client *c, const char *method, const char *path,
                                 const json_t *body, struct bp_client_reply *ret,
                                 struct bp_error *err);

/**
 * The same for an answer in JSON: a status from 400 on is a failure whose text is the detail of the
 * problem that was sent.
 *
 * @param ret  owned by the caller; NULL for an empty body; `ret` itself may be NULL
 * @return besides the above -ENOENT for 404, -EACCES for 401 and 403, BP_EMISMATCH for 409, -EINVAL
 *         for other 4xx, -EAGAIN for 503, -EIO for other 5xx, BP_EFORMAT when it is no JSON
 */
BP_MUST_CHECK int bp_client_json(struct bp_client *c, const char *method, const char *path,
                                 const json_t *body, json_t **ret, struct bp_error *err);

/**
 * Reads an answer without end, line by line. Each line has at most 1 MiB.
 *
 * @param line  without its line break, borrowed for the call; returns 0 to go on, else the end
 * @return what `line` returned, 0 when the other side ended it, or as bp_client_json()
 */
BP_MUST_CHECK int bp_client_lines(struct bp_client *c, const char *path,
                                  int (*line)(void *ctx, const char *text, size_t n), void *ctx,
                                  struct bp_error *err);

/** Appends `text` with percent codes, fit for one part of a path or a query. */
void bp_client_put_escaped(struct bp_buf *b, const char *text);
