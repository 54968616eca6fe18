#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Cyclone's own dds/dds.h, which ours of the same name hides: the next one on the include path. */
#include_next <dds/dds.h>

#include "base/buf.h"
#include "base/time.h"

/* Inside dds/ only. The small door to Cyclone DDS's private parts: serialized samples in and out
 * without knowing types. raw.c is the one file that includes ddsi headers. */

enum { BP_RAW_SOCKETS = 16 };

struct ddsi_sertype;
struct ddsi_serdata;

/* What raw.c knows of a sample. Valid while the callback runs. */
struct bp_raw_sample {
    uint8_t guid[16]; /* of the writer */
    uint64_t seq;     /* RTPS sequence number; 0 when the packet did not show it */
    bp_ns_t source_ns, recv_ns;
    uint32_t size; /* with encapsulation header; 0 for dispose and unregister */
    bool has_related;
    uint8_t related_guid[16]; /* related_sample_identity of a service reply */
    uint64_t related_seq;
    const void *serdata; /* for bp_raw_copy() */
};

/* Runs in a receive thread under locks of Cyclone: no dds_* calls, no waiting. */
typedef void (*bp_raw_fn)(void *ctx, const struct bp_raw_sample *s);

/**
 * Creates a topic whose samples stay serialized.
 *
 * @param held  samples are copied on arrival and may be kept (needed for readers with Cyclone's
 *              own cache, and for writers); otherwise they live for the callback only
 * @param ret_type  the interned type, for bp_raw_write(); borrowed from the topic
 * @return the topic or a negative Cyclone code
 */
dds_entity_t bp_raw_topic(dds_entity_t participant, const char *name, const char *type, bool keyed,
                          bool held, struct ddsi_sertype **ret_type);

struct bp_raw_events {
    bp_raw_fn sample;
    /* A writer that the reader had matched is gone; no sample of it follows, but history may. From
     * a thread of Cyclone; bp_raw_remote_heard() still works. May be NULL. */
    void (*parted)(void *ctx, const uint8_t guid[static 16]);
    /* Once, after the last call of the others, from some thread of Cyclone or from dds_delete(); it
     * runs too when creation fails. May be NULL. */
    void (*released)(void *ctx);
};

/** Creates a reader with a read cache of our own that hands on each sample and keeps none. */
dds_entity_t bp_raw_reader(dds_entity_t participant, dds_entity_t topic, const dds_qos_t *qos,
                           const struct bp_raw_events *ev, void *ctx);

/**
 * What Cyclone keeps about a writer of another participant.
 *
 * @param type  any type of the domain
 * @return borrowed until `parted` of the readers that hear the writer has returned; NULL: unknown
 */
const void *bp_raw_remote(const struct ddsi_sertype *type, const uint8_t guid[static 16]);
/**
 * The highest number that any packet of the writer has told since a reader of ours matched it: of
 * data, also of a sample that never became whole, or of a heartbeat.
 *
 * @param reliable  wait for its first heartbeat: what a reliable writer sent before that is history
 *                  to a volatile reader, and Cyclone does not deliver it
 * @return -1 while nothing was heard; 0 when the writer said that it has sent nothing
 */
int64_t bp_raw_remote_heard(const void *remote, bool reliable);
/** The same by name, for any thread but Cyclone's. */
int64_t bp_raw_heard(const struct ddsi_sertype *type, const uint8_t guid[static 16], bool reliable);

/** Gathers the sample's `size` bytes into dst. */
void bp_raw_copy(const void *serdata, uint8_t *dst);
/** The same for the first n bytes. */
void bp_raw_copy_part(const void *serdata, uint8_t *dst, size_t n);

/** Takes what a reader with Cyclone's own cache holds; returns the number of samples or < 0. */
int bp_raw_take(dds_entity_t reader, bp_raw_fn fn, void *ctx);

/** Writes n CDR bytes with source time; consumes nothing. @return a Cyclone code */
dds_return_t bp_raw_write(dds_entity_t writer, const struct ddsi_sertype *type, const void *cdr,
                          size_t n, bp_ns_t source_ns);

/** The UDP sockets of the domain this type was registered in; borrowed. @return how many */
int bp_raw_sockets(const struct ddsi_sertype *type, int fds[static BP_RAW_SOCKETS]);

/** Inline QoS of a DATA submessage: finds related_sample_identity. Bounded by n. Exposed for its
 * fuzz target. */
bool bp_raw_inline_qos(const uint8_t *p, size_t n, bool le, uint8_t guid[static 16], uint64_t *seq);

/* For unit test and fuzz target of from_ser: builds a sample from synthetic fragments the way the
 * receive path would. `frags` = pairs of byte ranges [min, maxp1) of the payload, in chain order.
 */
struct bp_raw_frag {
    uint32_t min, maxp1;
};
/** Runs from_ser on a packet (RTPS header at its start) cut into fragments.
 * @return 1 when it was accepted (out has `size` bytes), 0 when it was refused, < 0 on set-up
 * failure */
int bp_raw_try_fragments(const uint8_t *pkt, size_t npkt, unsigned submsg_off, unsigned payload_off,
                         const struct bp_raw_frag *frags, size_t nfrags, size_t size,
                         struct bp_raw_sample *ret, struct bp_buf *out);
