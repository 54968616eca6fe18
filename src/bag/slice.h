#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bag/reads.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* A part of a recording, by topics and time, cut out of MCAP files that may lie anywhere.
 *
 * Of each file that can hold something its summary is read, once, and then the chunks that may hold
 * something wanted. A chunk of which everything is wanted goes through as it is; from others the
 * wanted messages are taken into new ones. Memory is bounded by a chunk and the index of what was
 * written. What a segment repeats at its head of earlier ones (latched messages) is left out, but
 * for the first segment that is read. */

enum bp_slice_format {
    BP_SLICE_MCAP,
    BP_SLICE_JSON, /* one object a line, by log time within a segment */
    BP_SLICE_CSV,  /* log_time_ns, publish_time_ns, topic, type, sequence, message as JSON */
    /* Records of u32 length of the content (little-endian), u8 enum bp_slice_record, content. The
     * last one is the END. */
    BP_SLICE_FRAMES,
};

enum bp_slice_record {
    BP_SLICE_RECORD_JSON,  /* a line as of BP_SLICE_JSON, without its end of line */
    BP_SLICE_RECORD_FRAME, /* what `frame` made */
    BP_SLICE_RECORD_END,   /* {"reached": "NS", "complete": bool}: all before that time is here */
};

/** "mcap", "json", "csv", "frames". */
const char *bp_slice_format_name(enum bp_slice_format f);
/** @return the format or -EINVAL */
int bp_slice_format_from_name(const char *name);
/** "application/x-ndjson", … */
const char *bp_slice_media_type(enum bp_slice_format f);

struct bp_slice_segment {
    const char *name;          /* for errors */
    bp_ns_t first_ns, last_ns; /* log time; 0, 0 = not known */
};

/* Borrowed for the call. */
struct bp_slice {
    const struct bp_slice_segment *segments; /* in the order of time */
    size_t nsegments;
    /** Opens segment i; `close` ends it. */
    int (*open)(void *ctx, size_t i, struct bp_reads *ret, struct bp_error *err);
    void (*close)(void *ctx, struct bp_reads *r);
    void *ctx;
    const char *const *topics; /* up to a NULL; * in one is anything; NULL = all */
    bp_ns_t from_ns, to_ns;    /* log time, [from, to); to 0 = no end */
    enum bp_slice_format format;
    /* Written, then BP_ELIMIT; 0 = no limit. Of frames: then the END, between two moments of time,
     * so that asking again from there brings the rest. */
    uint64_t max_bytes;
    /* JSON and frames: first the last message before from_ns of each topic, marked "prior": true
     * (and "repeated": true when it is one that a segment repeats at its head), oldest first;
     * {"topic", "prior": true, "none": true} for one without, with "why" when it was not looked for
     * to the end. Bounded, see slice-prior.c. */
    bool prior;
    /**
     * Frames only: a message as something other than JSON. May be NULL.
     *
     * @param topic  index in `topics` of what it matched
     * @return 1: it is behind what `out` held; 0: as JSON, please; or a negative code, told instead
     */
    int (*frame)(void *ctx, uint32_t topic, const char *type, const uint8_t *cdr, size_t n,
                 bp_ns_t log_ns, struct bp_buf *out, struct bp_error *err);
    void *frame_ctx;
    const bool *cancel; /* [atomic] true ends it with -ECANCELED; may be NULL */
};

struct bp_slice_stats {
    uint64_t messages, bytes;      /* written */
    uint64_t read_bytes;           /* of segments */
    uint64_t segments;             /* opened */
    uint64_t passed, cut, skipped; /* chunks: as they are, taken apart, not looked at */
};

/**
 * Writes the slice.
 *
 * @param sink       takes the next bytes; may wait; a negative code ends it and is returned
 * @param ret_stats  also after a failure; may be NULL
 * @return 0; -ECANCELED; BP_ELIMIT; BP_EKEY for a sealed segment; BP_EFORMAT, BP_ECORRUPT naming
 *         segment and place; -ENOMEM; what `open`, `read` or `sink` returned
 */
BP_MUST_CHECK int bp_slice_run(const struct bp_slice *s,
                               int (*sink)(void *ctx, const void *p, size_t n), void *ctx,
                               struct bp_slice_stats *ret_stats, struct bp_error *err);
