#pragma once

#include <pthread.h>

#include "agent/agent-priv.h"
#include "agent/link-log.h"
#include "agent/link.h"
#include "base/bucket.h"
#include "base/mutex.h"
#include "base/ulid.h"
#include "crypt/secretmem.h"
#include "net/device-token.h"
#include "net/ws-client.h"

#define BP_LINK_PROTOCOL "bagpipe-link.1"

enum {
    BP_LINK_NAME = 128,
    BP_LINK_INBOX = 1024,            /* news that wait for the link's thread */
    BP_LINK_INBOX_BYTES = 2 << 20,   /* of these together */
    BP_LINK_MESSAGES = 64,           /* of the server that wait, then it is too much */
    BP_LINK_COMMANDS = 32,           /* that wait to be done */
    BP_LINK_RESULT_MAX = 256 * 1024, /* bytes of a result */
};

/* Something for the link's thread. */
struct bp_link_item {
    struct bp_link_item *prev, *next;
    enum {
        BP_LINK_NEWS,
        BP_LINK_SYNC,
        BP_LINK_OPENED,
        BP_LINK_MESSAGE,
        BP_LINK_ENDED,
        BP_LINK_RESULT,
    } kind;
    enum bp_link_class class; /* NEWS */
    bp_ns_t wall_ns;
    char *text;   /* NEWS: JSON; ENDED: why; RESULT: JSON */
    json_t *json; /* MESSAGE, SYNC */
    size_t bytes;
    char id[BP_ULID_TEXT]; /* RESULT: of the command */
    unsigned code;         /* ENDED */
    bp_ns_t retry_after;   /* ENDED */
    int status;            /* ENDED: of a refusal */
};

struct bp_link_cmd {
    struct bp_link_cmd *prev, *next;
    char id[BP_ULID_TEXT];
    json_t *command;
    bp_ns_t mono_until;
};

/* What the server has asked to see; link-net's loop. */
struct bp_link_live {
    struct bp_ws_client *ws;   /* NULL: not linked */
    struct bp_events_tap *tap; /* NULL: nothing was asked for on this connection */
    struct bp_frame *frame;    /* that is on its way; NULL: none */
    size_t frame_sent;         /* bytes of it that went */
    uint64_t sent, acked;      /* bytes of pieces on this connection */
    size_t window;             /* bytes that may be on their way */
    uint64_t probe; /* when so many are acknowledged, the way is measured; 0 = it is not */
    bp_ns_t mono_probe;
    struct bp_bucket bucket;
    bp_ns_t mono_next; /* nothing goes before */
    uint32_t max_message, max_text;
    struct bp_buf piece;
    struct bp_loop_fd timer;
    struct bp_counter frames, bytes;
};

struct bp_link {
    struct bp_agent *agent;
    struct bp_alerts *alerts;
    char device[BP_DEVICE_ID_TEXT], name[BP_LINK_NAME];
    char *url;                   /* "ws://host:port/api/v1/link" */
    char *api;                   /* own door: "unix:…" */
    const char *ca_file, *proxy; /* of the configuration */
    struct bp_loop *loop;
    struct bp_loop_fd netlink;
    bool listening, watching;

    struct bp_mutex lock;       /* leaf */
    pthread_cond_t work;        /* for the link's thread */
    pthread_cond_t cmd_work;    /* for the one that does commands */
    struct bp_link_item *items; /* [lock] */
    size_t nnews, news_bytes;   /* [lock] */
    size_t nmessages;           /* [lock] */
    size_t nkeeping; /* [lock] news that are being written: neither in the inbox nor in the log */
    uint64_t lost[BP_LINK_CLASSES];  /* [lock] no room in the inbox */
    struct bp_link_cmd *cmds;        /* [lock] */
    unsigned ncmds;                  /* [lock] with the one being done */
    char doing[BP_ULID_TEXT];        /* [lock] */
    bool hint, stop;                 /* [lock] */
    char token[BP_DEVICE_TOKEN_MAX]; /* [lock] by which the device has proved itself last */
    struct {
        const char *state; /* constant */
        bp_ns_t wall_since;
        char error[200];
        uint64_t waiting, waiting_bytes, acked, connects, commands;
    } shown; /* [lock] for bp_link_json() */
    pthread_t thread, cmd_thread;
    bool started, cmd_started;

    struct bp_link_live live;

    /* the link's thread's */
    struct bp_link_log *log;
    struct bp_ws_client *ws;
    struct bp_device_tokens *tokens; /* the agent's, or NULL: no key */
    bool proves;                     /* the server wants to know who we are */
    bool open, welcome;
    uint64_t sent;    /* last event sent on this connection */
    uint64_t window;  /* events on their way at once */
    bp_ns_t interval; /* of status */
    bool wants_topics;
    bp_ns_t mono_status, mono_topics, mono_robots; /* when next */
    json_t *told;                                  /* status as the server has it */
    json_t *robots;                                /* likewise */
    json_t *sync;                                  /* to be told */
    bp_ns_t mono_sync;
    unsigned tries;   /* in vain since the last welcome */
    bp_ns_t mono_try; /* when next; while not connected */
    bp_ns_t mono_tried;
    bp_ns_t mono_down;    /* without a link since */
    bp_ns_t mono_sample;  /* when next a status is kept */
    bool alerted, ending; /* ending: asked to go, or went ourselves */
    bp_ns_t pause;        /* at least so long before the next try */
};

/* link-command.c */
/** Takes a command of the server; link's thread. */
void bp_link_command(struct bp_link *l, json_t *command);
/** Does commands until the end. */
void *bp_link_cmd_run(void *link);

/* link-news.c */
/** Puts something into the inbox. @param item  taken over; NULL: out of memory, dropped */
void bp_link_put(struct bp_link *l, struct bp_link_item *item);
void bp_link_item_free(struct bp_link_item *i);
/** As of bp_bus_fn; ctx: the link. */
void bp_link_on_news(void *ctx, const char *topic, const json_t *payload);
/** Loop thread: tells the link's thread when interfaces come and go. */
BP_MUST_CHECK int bp_link_watch(struct bp_link *l);
void bp_link_unwatch(struct bp_link *l);

/* link-life.c */
/** What "secret:NAME" (of the vault) or "file:/PATH" stands for. */
BP_MUST_CHECK int bp_link_secret(struct bp_agent *a, const char *what, struct bp_secret *ret,
                                 struct bp_error *err);

/* link-live.c; the loop's thread unless said otherwise */
/** Are live data sent at all? Any thread. */
bool bp_link_live_is_on(const struct bp_link *l);
/** Any thread, before there is a connection. @return 0, -errno */
BP_MUST_CHECK int bp_link_live_open(struct bp_link *l);
/** A connection is open. */
void bp_link_live_begin(struct bp_link *l, struct bp_ws_client *ws);
/** A message of the server. @return whether it was for us alone */
bool bp_link_live_message(struct bp_link *l, json_t *message);
/** The connection has ended. */
void bp_link_live_end(struct bp_link *l);
/** The same at the end of all, before the events are closed. Any thread but the loop's; twice does
 *  no harm. */
void bp_link_live_stop(struct bp_link *l);
/** After it. */
void bp_link_live_close(struct bp_link *l);

/* link.c */
/** The link's thread, until the end. */
void *bp_link_run(void *link);
/** Does all that has come. The link's thread, or when it has ended. */
void bp_link_do_items(struct bp_link *l);
/** Sends an object; link's thread. @param o  taken over */
bool bp_link_send(struct bp_link *l, json_t *o);
