#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/time.h"
#include "base/ulid.h"

/* What devices told, on the disk: links.db (SQLite, WAL, synchronous=FULL). One thread writes, in
 * one transaction all that has come meanwhile. */
struct bp_links_store;

/* Events of one message, or news of a device; owned by the store from put() on. */
struct bp_links_batch {
    struct bp_links_batch *prev, *next;
    char device[65];
    char log[BP_ULID_TEXT];
    uint64_t after;      /* with events: the one they follow, which must be on the disk */
    uint64_t last;       /* number of the last event */
    json_t *events;      /* [{seq, time_ns, topic, data}]; NULL: none */
    char *about;         /* JSON to be kept of the device; NULL: as it is */
    bool forget;         /* nothing to put: the device goes, or with an empty one all those that
                            were seen before `wall_ns` last; their events with them */
    bp_ns_t wall_ns;     /* it came */
    size_t bytes;        /* about so much memory */
    unsigned generation; /* of the connection it came by */
    bool torn;           /* the store's: what it follows is not there */
};

struct bp_links_store_opts {
    const char *path;
    unsigned max_events; /* of a device */
    size_t max_bytes;    /* that wait */
    /** A batch is on the disk, or `r` says why it is not and is gone: -EAGAIN when those before it
     *  are not there; store's thread.
     *  @param b  taken over */
    void (*stored)(void *ctx, struct bp_links_batch *b, int r);
    void *ctx;
};

BP_MUST_CHECK int bp_links_store_open(const struct bp_links_store_opts *o,
                                      struct bp_links_store **ret, struct bp_error *err);
/** Writes what waits. Takes NULL. */
void bp_links_store_close(struct bp_links_store *s);
void bp_links_batch_free(struct bp_links_batch *b);
/** Any thread; does not wait. @return 0; -ENOBUFS when too much waits: `b` stays the caller's */
BP_MUST_CHECK int bp_links_store_put(struct bp_links_store *s, struct bp_links_batch *b);
/** Every device that is known, before anything is put. */
BP_MUST_CHECK int bp_links_store_each(struct bp_links_store *s,
                                      void (*fn)(void *ctx, const char *device, const char *log,
                                                 uint64_t last, bp_ns_t wall_seen,
                                                 const char *about),
                                      void *ctx, struct bp_error *err);
/** Any thread. As bp_links_events(). */
BP_MUST_CHECK int bp_links_store_events(struct bp_links_store *s, const char *device,
                                        uint64_t after, unsigned limit, json_t **ret,
                                        struct bp_error *err);
