#pragma once

#include <pthread.h>

#include "base/mutex.h"
#include "net/ws-client.h"
#include "net/ws-read.h"

enum bp_wsc_state { BP_WSC_CONNECTING, BP_WSC_OPEN, BP_WSC_CLOSING, BP_WSC_ENDED };

/* A frame on its way out. */
struct bp_ws_out {
    struct bp_ws_out *prev, *next;
    struct bp_buf bytes; /* all of the frame; they stay where they are */
    size_t off;          /* sent */
};

struct bp_ws_client {
    struct bp_ws_client_options o; /* defaults filled in; texts are not valid any more */
    unsigned refs;                 /* [atomic] */
    pthread_t thread;              /* the connector */
    bool cancel;                   /* [atomic] */

    /* the connector's, then the loop's */
    void *curl;
    char *url;   /* "https://host:port/path" */
    char *path;  /* as it stands in the request: "/path?query" */
    char *host;  /* likewise */
    char *extra; /* headers, each with its line break */
    char *protocol, *ca_file, *proxy;
    struct bp_buf early; /* came behind the answer */
    int failure, status;
    bp_ns_t retry_after;
    struct bp_error err;

    /* the loop's */
    struct bp_loop_fd fd;
    struct bp_loop_task more;
    struct bp_loop_tick tick;
    enum bp_wsc_state state;
    bool dead; /* closed by its owner: nobody is told anything */
    bool writing, pinged;
    struct bp_ws_reader in;
    struct bp_ws_spare spare;
    bp_ns_t mono_seen, mono_ping, mono_message, mono_stuck, mono_until;

    struct bp_mutex lock;    /* leaf */
    struct bp_ws_out *queue; /* [lock]; the loop alone takes from it */
    size_t queued;           /* [lock] */
    bool sending;            /* [lock] it is open */
    bool last;               /* [lock] a close frame is in the queue or sent */
    bool woken;              /* [lock] the loop will look */
};

/* ws-connect.c */
BP_MUST_CHECK int bp_ws_client_new(const struct bp_ws_client_options *o, struct bp_ws_client **ret,
                                   struct bp_error *err);
void bp_ws_client_free(struct bp_ws_client *c);
void bp_ws_out_free(struct bp_ws_out *out);
/** Name, TCP, proxy, TLS, handshake. Waits. @return 0, or why not */
BP_MUST_CHECK int bp_ws_client_connect(struct bp_ws_client *c, struct bp_error *err);
