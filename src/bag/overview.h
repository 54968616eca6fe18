#pragma once

#include <stddef.h>
#include <stdint.h>

#include "bag/reads.h"
#include "base/error.h"
#include "base/time.h"

/* The overview of a recording: how many messages and bytes each topic had in each second (or in
 * each 2, 4, 8 … seconds, so that a long recording has no more than BP_OVERVIEW_BINS), and what
 * each segment says that was lost. Sums are exact however wide the bins are. Overviews merge in any
 * order to the same end. Memory is bounded. Not for several threads. */

enum {
    BP_OVERVIEW_BINS = 2000,
    BP_OVERVIEW_TOPICS = 512,  /* what goes beyond is one topic, called "" */
    BP_OVERVIEW_LOSSES = 4096, /* likewise: added to the last one */
};

struct bp_overview_bin {
    uint64_t messages, bytes; /* bytes of payload */
};

struct bp_overview_topic {
    char *topic, *type, *robot;   /* owned */
    uint64_t messages, bytes;     /* sums of the bins */
    struct bp_overview_bin *bins; /* owned: BP_OVERVIEW_BINS, of which `nbins` are in use */
};

/* What a segment's ledger says was lost of a topic: somewhere in this time. */
struct bp_overview_loss {
    char *topic; /* owned */
    bp_ns_t from_ns, to_ns;
    uint64_t lost;
};

/* A zeroed one is empty. */
struct bp_overview {
    bp_ns_t bin_ns; /* 1 s times a power of two; 0 = empty */
    int64_t first;  /* bin i holds log times from (first + i) * bin_ns on */
    size_t nbins;
    struct bp_overview_topic *topics; /* owned, in order of first sight */
    size_t ntopics;
    struct bp_overview_loss *losses; /* owned */
    size_t nlosses;
};

/** Frees what it owns and zeroes it. */
void bp_overview_done(struct bp_overview *o);
#define BP_AUTO_OVERVIEW BP_CLEANUP(bp_overview_done) struct bp_overview

/** Finds or adds a topic. @return its index, or -ENOMEM */
BP_MUST_CHECK int bp_overview_topic(struct bp_overview *o, const char *topic, const char *type,
                                    const char *robot);
/** Adds to the bin of a time. @param topic  index, below ntopics */
void bp_overview_add(struct bp_overview *o, size_t topic, bp_ns_t log_ns, uint64_t messages,
                     uint64_t bytes);
/** Makes bins as wide as this, if they are not wider. @param bin_ns  1 s times a power of two */
void bp_overview_widen(struct bp_overview *o, bp_ns_t bin_ns);
/** @return 0 or -ENOMEM */
BP_MUST_CHECK int bp_overview_add_loss(struct bp_overview *o, const char *topic, bp_ns_t from_ns,
                                       bp_ns_t to_ns, uint64_t lost);
/** Adds everything of `from`. @return 0 or -ENOMEM, with part of it added */
BP_MUST_CHECK int bp_overview_merge(struct bp_overview *o, const struct bp_overview *from);

/**
 * Makes the overview of one MCAP segment from its summary and the message indexes behind its
 * chunks; payload is read only where there are none. Latched messages that are repeated at its head
 * do not count. Bytes are told by where messages lie in their chunk: in files of others a
 * definition between two messages counts with the one before it.
 *
 * @param name  for errors
 * @param ret   empty before; release with bp_overview_done(), also after a failure
 * @return 0; BP_EKEY for a sealed one; BP_EFORMAT, BP_ECORRUPT, -ENOMEM, or what `read` returned
 */
BP_MUST_CHECK int bp_overview_read(const char *name, const struct bp_reads *reads,
                                   struct bp_overview *ret, struct bp_error *err);
