#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"
#include "base/time.h"

/* HTTP requests that move much, over bad links: uploads from a range of a file, downloads into a
 * sink, each with limits, a pace and a way out. Connections are kept and used again. TLS is always
 * verified and at least 1.2; redirects are answers like others, so that nothing secret is sent
 * where nobody meant it. Any number of threads may make requests at once, each waits for its own.
 * (For short talks with our own agent, net/client.h.) */
struct bp_fetch;

/* Zero means the default in brackets. Texts are borrowed for bp_fetch_open(). */
struct bp_fetch_options {
    /* PEM file of the authorities that are trusted, instead of the system's. [environment
     * BAGPIPE_CA_FILE, AWS_CA_BUNDLE, CURL_CA_BUNDLE, SSL_CERT_FILE, in this order; else the
     * system's] */
    const char *ca_file;
    /* "http://[USER:PASSWORD@]HOST:PORT", "socks5h://…"; "" for none. [environment http_proxy,
     * https_proxy, all_proxy, no_proxy] Unix sockets never have one. */
    const char *proxy;
    bp_ns_t connect_timeout; /* name, TCP, TLS [10 s] */
    bp_ns_t stall_timeout;   /* no byte moves either way; time spent in `pace` is not counted
                                [30 s] */
    const char *user_agent;  /* ["bagpipe/VERSION"] */
};

/** @param ret  owned by the caller, release with bp_fetch_close(); any thread
 *  @return 0; BP_ECONFIG when ca_file cannot be read or holds no certificate; -ENOMEM */
BP_MUST_CHECK int bp_fetch_open(const struct bp_fetch_options *options, struct bp_fetch **ret,
                                struct bp_error *err);
/** Takes NULL. No request may be under way. */
void bp_fetch_close(struct bp_fetch *f);
BP_DEFINE_CLEANUP(struct bp_fetch, bp_fetch_close)

/* Bytes of an open file that are sent: read by pread(), the file's position is not used. */
struct bp_fetch_file {
    const struct bp_io *io; /* NULL: bp_io_posix */
    int fd;
    uint64_t offset, size;
};

/* Everything is borrowed for bp_fetch(). Zero means none, or the default in brackets. */
struct bp_fetch_request {
    const char *method; /* "GET", "PUT", … */
    /* "http://…", "https://…", encoded by the caller and sent as it is; or
     * "unix:/PATH/OF.sock:/path?query" */
    const char *url;
    const char *const *headers;       /* "Name: value", NULL-ended, or NULL */
    struct bp_str body;               /* sent when n > 0, or */
    const struct bp_fetch_file *file; /* this is */
    /* Asks before a body of more than 1 MiB is sent (Expect: 100-continue, waits at most 1 s), so
     * that a refusal arrives whole and costs no bytes. */
    bool expect;
    /* Called before each n ≤ 64 KiB bytes of body are sent; blocks until they may be. Bytes are
     * told again when they are sent again. NULL: as fast as it goes. */
    void (*pace)(void *ctx, size_t n);
    void *pace_ctx;
    /* Takes the body of an answer 2xx in pieces, as it comes; a negative return ends the transfer
     * and is what bp_fetch() returns. Bodies of other answers go to reply.body even so. NULL: all
     * to reply.body. */
    int (*sink)(void *ctx, const void *p, size_t n);
    void *sink_ctx;
    size_t max_body_bytes; /* of reply.body; more is BP_ELIMIT [1 MiB] */
    bp_ns_t timeout;       /* of the whole; the stall timeout holds anyway [none] */
    bp_ns_t stall_timeout; /* for servers that think long [that of the options] */
    const bool *cancel;    /* read atomically at least once a second while waiting; true ends it */
};

/* Zero before the first use; each bp_fetch() releases what an earlier one left. */
struct bp_fetch_reply {
    int status;          /* 200 … 599; 0 when no answer came */
    struct bp_buf body;  /* owned */
    struct bp_buf head;  /* owned; read by bp_fetch_header() */
    bp_ns_t date_ns;     /* wall clock of the server (header Date), 0 when it told none */
    bp_ns_t retry_after; /* how long it asks us to wait (Retry-After, both forms), 0 = no word */
    uint64_t sent;       /* bytes of body that left, resent ones too */
    uint64_t received;   /* bytes of body that came */
    bool reused;         /* on a connection that was there */
    bool local;          /* what failed is our file, or the sink, not the other side */
};

/** Takes NULL and a zeroed one. */
void bp_fetch_reply_done(struct bp_fetch_reply *reply);

/** Value of the first header of that name (any case) without blanks around it, borrowed from the
 *  reply; NULL when it is not there. */
const char *bp_fetch_header(const struct bp_fetch_reply *reply, const char *name);

/** A date of HTTP ("Sun, 06 Nov 1994 08:49:37 GMT") as wall clock; 0 for NULL and what is none. */
bp_ns_t bp_fetch_http_date(const char *text);

/**
 * Makes a request and waits for the end of its answer. Blocks; any thread.
 *
 * @param ret  filled also on failure as far as it came (status, sent, date_ns)
 * @return 0 whatever the status. -ECONNREFUSED: nobody listens there; -EHOSTUNREACH: no such name
 *         or no way to it; -ETIMEDOUT: not connected in time, stalled, or `timeout`; -ECANCELED;
 *         BP_ETLS: its certificate is not trusted or for another host, or no common version (`err`
 *         says which); BP_ELIMIT: the body or the headers are too long; BP_ETRUNCATED: the answer
 *         ended early; -ENODATA: the file is shorter than `size`, or what reading it says; what
 *         `sink` returned; -EINVAL: not a URL, or a line break in a header; -EACCES: a unix socket
 *         that may not be used; -EIO: the connection broke otherwise; -ENOMEM. `err` never holds
 *         headers, queries or passwords.
 */
BP_MUST_CHECK int bp_fetch(struct bp_fetch *f, const struct bp_fetch_request *request,
                           struct bp_fetch_reply *ret, struct bp_error *err);
