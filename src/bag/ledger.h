#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bag/writer.h"
#include "base/buf.h"
#include "base/error.h"

/* The ledger: what became of every sequence number of every source (one DDS writer on one topic).
 * It is a set of spans per fate, so that adding the same fact twice changes nothing, and the
 * ledgers of segments merge into that of the session by union. What was received is never lost,
 * even when a gap was noted before; what we refused ourselves is not a transport loss.
 * Text form, as the MCAP Metadata record `bagpipe.ledger` carries it: docs/formats/ledger.md.
 * Not for several threads. */

#define BP_LEDGER_NAME "bagpipe.ledger"

struct bp_span {
    uint64_t first, last;
};

/* Sorted, disjoint, never adjacent. */
struct bp_spans {
    struct bp_span *v; /* owned */
    size_t n, cap;
};

struct bp_ledger_source {
    uint8_t guid[16];
    uint16_t vendor;
    char *topic, *node; /* owned; node may be "" */
    struct bp_spans received, late;
    struct bp_spans lost[BP_LOSS_N_];
    uint64_t duplicates;
    uint64_t merged; /* which of the ledger's merges was the last that told of it; 0 = none */
    struct bp_ledger_key *key; /* of the ledger */
};

struct bp_ledger {
    struct bp_ledger_source **v; /* owned, in order of first sight */
    size_t n, cap;
    struct bp_ledger_key *keys; /* by guid and topic */
    uint64_t merges;            /* so far */
    bool failed;                /* out of memory: something is missing */
};

/* Totals of one source, after settling. */
struct bp_ledger_totals {
    uint64_t first, last; /* lowest and highest number heard of; 0, 0 = nothing */
    uint64_t received, late, duplicates;
    uint64_t lost[BP_LOSS_N_];
    uint64_t lost_all; /* of those that bp_loss_is_loss() */
};

/** "transport", "ring", "budget", "disk", "rate", "paused", "bad", "control". */
const char *bp_loss_name(enum bp_loss why);
/** False for what was asked for (rate, paused) and for numbers that carry no message (control). */
bool bp_loss_is_loss(enum bp_loss why);
/** The same in words: "never reached us", "the ring was too full", … */
const char *bp_loss_text(enum bp_loss why);

void bp_ledger_done(struct bp_ledger *l);

/** Finds or adds a source; strings are copied. @return NULL when out of memory (l->failed is set)
 */
struct bp_ledger_source *bp_ledger_get(struct bp_ledger *l, const uint8_t guid[16],
                                       const char *topic, uint16_t vendor, const char *node);

/** Adds one run (see enum bp_run_kind in bag/group.h). @return 0 or -ENOMEM */
int bp_ledger_add(struct bp_ledger *l, struct bp_ledger_source *s, uint32_t kind, uint64_t first,
                  uint64_t last);

/** Adds everything of `from`. @return 0 or -ENOMEM */
int bp_ledger_merge(struct bp_ledger *l, const struct bp_ledger *from);

/** Takes out those sources for which `drop` returns true. */
void bp_ledger_remove(struct bp_ledger *l,
                      bool (*drop)(void *ctx, const struct bp_ledger_source *s), void *ctx);

/** Takes received and refused numbers out of the gaps. Needed before spans are shown. */
int bp_ledger_settle(struct bp_ledger *l);

void bp_ledger_source_totals(const struct bp_ledger_source *s, struct bp_ledger_totals *ret);
/** Sums over all sources; first and last are 0. */
void bp_ledger_totals(const struct bp_ledger *l, struct bp_ledger_totals *ret);

/** Numbers in a set. */
uint64_t bp_spans_count(const struct bp_spans *s);
/** Adds [first, last]. @return 0 or -ENOMEM */
int bp_spans_add(struct bp_spans *s, uint64_t first, uint64_t last);
/** Takes away everything that is in `what`. @return 0 or -ENOMEM */
int bp_spans_subtract(struct bp_spans *s, const struct bp_spans *what);
bool bp_spans_has(const struct bp_spans *s, uint64_t x);
void bp_spans_done(struct bp_spans *s);
/** "1-50,52,60-100"; nothing when empty. */
void bp_spans_text(const struct bp_spans *s, struct bp_buf *out);
/** Adds spans from text. @return 0, BP_EFORMAT, -ENOMEM */
int bp_spans_parse(struct bp_str text, struct bp_spans *ret);

/** Key and value of one source's entry in the Metadata map. */
void bp_ledger_encode_key(const struct bp_ledger_source *s, struct bp_buf *out);
void bp_ledger_encode_value(const struct bp_ledger_source *s, struct bp_buf *out);

/**
 * Reads one entry of a `bagpipe.ledger` record and adds it. Words it does not know are skipped.
 *
 * @return 0, BP_EFORMAT, -ENOMEM
 */
int bp_ledger_decode(struct bp_ledger *l, struct bp_str key, struct bp_str value,
                     struct bp_error *err);
