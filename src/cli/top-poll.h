#pragma once

#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/time.h"

/* Talks to an agent for `bagpipe top`, on threads of its own, so that keys never wait for it: one
 * asks how things are, one does what keys ask for. All functions are for the main thread. */
struct bp_top_poll;

enum {
    BP_TOP_DOC_STATUS,
    BP_TOP_DOC_TOPICS,
    BP_TOP_DOC_RECORDING,
    BP_TOP_DOC_PAUSED,
    BP_TOP_DOC_ALERTS,
    BP_TOP_DOC_LOGS,
    BP_TOP_DOC_HOST,
    BP_TOP_DOCS
};

/* A round of questions. */
struct bp_top_news {
    json_t *doc[BP_TOP_DOCS]; /* owned; NULL: the agent does not know that */
    bp_ns_t mono;             /* when asked */
    struct bp_error err;      /* why there is none; err.code 0: there is */
};

/** Releases the documents and zeroes. */
void bp_top_news_done(struct bp_top_news *n);

/**
 * Asks once, on this thread.
 *
 * @param url  or NULL: the local agent's socket
 * @return as bp_client_json()
 */
BP_MUST_CHECK int bp_top_ask_once(const char *url, struct bp_top_news *ret, struct bp_error *err);

/** @param url  as above; must outlive it
 *  @param interval  between two rounds
 *  @return 0, -ENOMEM, -EAGAIN without threads, -EMFILE */
BP_MUST_CHECK int bp_top_poll_open(const char *url, bp_ns_t interval, struct bp_top_poll **ret,
                                   struct bp_error *err);

/**
 * Ends the threads. One that waits for an agent that hangs is given a moment only.
 *
 * @return false when a thread still waits: the process must end without clean-up, by _exit()
 */
bool bp_top_poll_close(struct bp_top_poll *p);

/** Readable when there is news or a reply; borrowed. */
int bp_top_poll_fd(const struct bp_top_poll *p);

/** The newest round, if there is one since the last call; empties the descriptor. */
bool bp_top_poll_take(struct bp_top_poll *p, struct bp_top_news *ret);

/**
 * Has a request made: POST `path` with `body`.
 *
 * @param done  text for bp_top_poll_reply() when it went well
 * @param body  taken over; may be NULL
 * @return false when one is still under way
 */
bool bp_top_poll_do(struct bp_top_poll *p, const char *path, json_t *body, const char *done);

/** What came of it, once; true when there is something. */
bool bp_top_poll_reply(struct bp_top_poll *p, char *ret, size_t cap, bool *ret_bad);
