#pragma once

#include "bag/index.h"
#include "bag/mcap-priv.h"
#include "bag/slice.h"

/* What the files of slices share: one slice while it is written. */
struct slicing {
    const struct bp_slice *s;
    int (*sink)(void *ctx, const void *p, size_t n);
    void *ctx;
    struct bp_slice_stats stats;
    struct bp_error *err;

    /* the segment that is being read */
    struct mcap_source *m;
    struct bp_reads inner; /* what `open` gave */
    struct bp_reads reads; /* the same, counted */
    struct bp_source_filter f;
    bool *wanted; /* owned: by index of its channels */
    bool first;   /* nothing was read before */

    /* frames: the last message written, and where it was cut off */
    bp_ns_t last_ns; /* 0: none yet */
    bp_ns_t reached; /* 0: not cut off */
};

/** Hands bytes on. */
BP_MUST_CHECK int slice_put(struct slicing *x, const void *p, size_t n);
/** @return -ECANCELED when somebody wants an end */
int slice_cancelled(const struct slicing *x);
/** Is this unit of the open segment to be read at all? */
bool slice_unit_wanted(const struct slicing *x, const struct mcap_unit *u);

/** Index of the pattern that the topic matches (0 when all are wanted), or -1. */
int32_t slice_topic(const struct bp_slice *s, const char *topic);

/* ---- MCAP (slice-mcap.c) ---- */
struct slice_mcap;
BP_MUST_CHECK int slice_mcap_new(struct slicing *x, struct slice_mcap **ret);
void slice_mcap_free(struct slice_mcap *o);
BP_MUST_CHECK int slice_mcap_segment(struct slicing *x, struct slice_mcap *o);
BP_MUST_CHECK int slice_mcap_end(struct slicing *x, struct slice_mcap *o);

/* ---- JSON and CSV (slice-text.c) ---- */
BP_MUST_CHECK int slice_text_begin(struct slicing *x);
BP_MUST_CHECK int slice_text_segment(struct slicing *x);
BP_MUST_CHECK int slice_text_end(struct slicing *x);

/* Types of the open segment's channels, parsed when first met. */
struct slice_types {
    struct bp_schema **v; /* owned, by channel; NULL = not known */
    bool *tried;
    size_t n;
};
BP_MUST_CHECK int slice_types_init(struct slicing *x, struct slice_types *t);
void slice_types_done(struct slice_types *t);
/** Appends a message as the format wants it. */
void slice_text_put(struct slicing *x, struct slice_types *t, const struct bp_source_msg *msg,
                    bool prior, struct bp_buf *out);

/** Appends that a topic has nothing before the slice. @param why  it is not known; or NULL */
void slice_text_put_none(struct slicing *x, const char *topic, const char *why, struct bp_buf *out);

/* ---- what was there before (slice-prior.c) ---- */
BP_MUST_CHECK int slice_prior(struct slicing *x);
/** Opens segment i as x->m; slice_close() ends it. */
BP_MUST_CHECK int slice_open(struct slicing *x, size_t i);
void slice_close(struct slicing *x);
