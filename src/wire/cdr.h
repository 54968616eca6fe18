#pragma once

#include "base/buf.h"

/* CDR (DDS-XTypes 1.3 §7.4): the 4-byte encapsulation header as readers see it, and a writer for
 * messages that we make ourselves. */

/* Encapsulation ids (RTPS 2.5 §10.5, XTypes 1.3 §7.6.3.1.2). Odd = little-endian. */
enum bp_encaps {
    BP_ENCAPS_CDR = 0x00,
    BP_ENCAPS_PL_CDR = 0x02,
    BP_ENCAPS_CDR2 = 0x06,
    BP_ENCAPS_D_CDR2 = 0x08,
    BP_ENCAPS_PL_CDR2 = 0x0a,
};

/* Writes one message as little-endian XCDR1, which is what ROS 2 sends: each value aligned to its
 * own size, counted from behind the encapsulation header. A message is built field by field in the
 * order of its definition; nested messages and fixed arrays just follow, a sequence begins with
 * bp_cdrw_u32(count). Failure to grow is remembered in the buffer (`b->failed`).
 *
 *     struct bp_cdrw w = bp_cdrw_begin(&buf);
 *     bp_cdrw_i32(&w, sec);  bp_cdrw_u32(&w, nanosec);  bp_cdrw_str(&w, "base_link");
 *     bp_cdrw_end(&w);
 */
struct bp_cdrw {
    struct bp_buf *b; /* borrowed; may hold other bytes before the message */
    size_t origin;    /* alignment is counted from here */
};

/** Appends the encapsulation header to `b` and starts a message behind it. */
struct bp_cdrw bp_cdrw_begin(struct bp_buf *b);
/**
 * Ends the message. ROS 2 middlewares pad nothing, so neither do we, but a message without a field
 * gets its one byte (`structure_needs_at_least_one_member`).
 */
void bp_cdrw_end(struct bp_cdrw *w);

/** Zero bytes up to the next multiple of `a` (1, 2, 4, 8). */
void bp_cdrw_align(struct bp_cdrw *w, size_t a);

void bp_cdrw_u8(struct bp_cdrw *w, uint8_t v); /* also int8, byte, char, bool */
void bp_cdrw_u16(struct bp_cdrw *w, uint16_t v);
void bp_cdrw_u32(struct bp_cdrw *w, uint32_t v); /* also the count of a sequence */
void bp_cdrw_u64(struct bp_cdrw *w, uint64_t v);
void bp_cdrw_f32(struct bp_cdrw *w, float v);
void bp_cdrw_f64(struct bp_cdrw *w, double v);

static inline void bp_cdrw_i16(struct bp_cdrw *w, int16_t v) {
    bp_cdrw_u16(w, (uint16_t) v);
}

static inline void bp_cdrw_i32(struct bp_cdrw *w, int32_t v) {
    bp_cdrw_u32(w, (uint32_t) v);
}

static inline void bp_cdrw_i64(struct bp_cdrw *w, int64_t v) {
    bp_cdrw_u64(w, (uint64_t) v);
}

/** builtin_interfaces/Time or Duration from nanoseconds; seconds round towards minus infinity. */
void bp_cdrw_time(struct bp_cdrw *w, int64_t ns);

/** A string: u32 length with its NUL, bytes, NUL. `s` must not hold a NUL. */
void bp_cdrw_str(struct bp_cdrw *w, const char *s);
void bp_cdrw_text(struct bp_cdrw *w, struct bp_str s);

/** Bytes as they are, without alignment: the items of a byte array. */
void bp_cdrw_raw(struct bp_cdrw *w, const void *p, size_t n);
/** Room for n raw bytes to be filled by the caller, or NULL when memory is short. */
uint8_t *bp_cdrw_room(struct bp_cdrw *w, size_t n);

/** Items of a float array or sequence (the count goes before it, by bp_cdrw_u32). */
void bp_cdrw_f32s(struct bp_cdrw *w, const float *v, size_t n);
void bp_cdrw_f64s(struct bp_cdrw *w, const double *v, size_t n);

/* Reads plain XCDR1 of either byte order field by field, for the few messages whose layout the
 * program knows (others: bp_schema_walk()). Bounded, with a sticky error like struct bp_cur: once
 * `bad`, every read gives zero or an empty view. */
struct bp_cdrr {
    const uint8_t *base, *p, *end; /* borrowed */
    bool swap, bad;
};

/** A reader behind the encapsulation header; `bad` when that is none of plain XCDR1. */
struct bp_cdrr bp_cdrr_begin(const void *cdr, size_t n);
uint8_t bp_cdrr_u8(struct bp_cdrr *r);
uint32_t bp_cdrr_u32(struct bp_cdrr *r);
uint64_t bp_cdrr_u64(struct bp_cdrr *r);
/** A string without its NUL, borrowed from the message. */
struct bp_str bp_cdrr_str(struct bp_cdrr *r);
/** The length of a sequence whose items take at least `least` bytes each; bad when the rest of the
 *  message cannot hold them. */
uint32_t bp_cdrr_count(struct bp_cdrr *r, size_t least);
