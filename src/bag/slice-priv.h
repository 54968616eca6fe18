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
    struct bp_source_filter f;
    bool *wanted; /* owned: by index of its channels */
    bool first;   /* nothing was read before */
};

/** Hands bytes on. */
BP_MUST_CHECK int slice_put(struct slicing *x, const void *p, size_t n);
/** @return -ECANCELED when somebody wants an end */
int slice_cancelled(const struct slicing *x);
/** Is this unit of the open segment to be read at all? */
bool slice_unit_wanted(const struct slicing *x, const struct mcap_unit *u);

/* ---- MCAP (slice-mcap.c) ---- */
struct slice_mcap;
BP_MUST_CHECK int slice_mcap_new(struct slicing *x, struct slice_mcap **ret);
void slice_mcap_free(struct slice_mcap *o);
BP_MUST_CHECK int slice_mcap_segment(struct slicing *x, struct slice_mcap *o);
BP_MUST_CHECK int slice_mcap_end(struct slicing *x, struct slice_mcap *o);

/* ---- JSON and CSV (slice-text.c) ---- */
BP_MUST_CHECK int slice_text_begin(struct slicing *x);
BP_MUST_CHECK int slice_text_segment(struct slicing *x);
