#pragma once

#include "bag/history.h"
#include "base/cursor.h"

/* Frames of the history's files as bytes: docs/formats/history.md. Pure functions; what they read
 * came from a disk and may be anything. */

enum {
    BP_HFRAME_HEAD = 96,
    BP_HENTRY_HEAD = 40,
    BP_HFRAME_MOST = 1 << 30, /* bytes of a payload; more is damage */
};

enum bp_hframe_kind {
    BP_HFRAME_DEFINITIONS = 1,
    BP_HFRAME_ENTRIES = 2,
    BP_HFRAME_LATCHED = 3, /* entries from before the file: the state it begins with */
};

struct bp_hframe {
    uint8_t run[16]; /* of the process that wrote it */
    uint64_t number; /* of the frame in its file, from 0 */
    uint64_t first;  /* number of its first entry */
    uint32_t count;  /* entries, or definitions */
    enum bp_hframe_kind kind;
    uint64_t bytes; /* of the payload */
    bp_ns_t offset; /* wall minus mono clock when its entries were received */
    bp_ns_t min_log, max_log;
    uint32_t crc;   /* CRC-32C of the payload, as it lies on the disk */
    bool sealed;    /* the payload is a box of sealed.h */
    uint64_t plain; /* bytes of the payload once it has been read; not in the head */
};

/* Bytes of a head that a sealed payload vouches for. */
enum { BP_HFRAME_BOUND_AT = 8, BP_HFRAME_BOUND = 72 };

/** Where the next frame begins: heads and payloads are aligned to 8 bytes. */
static inline uint64_t bp_hframe_size(const struct bp_hframe *f) {
    return BP_HFRAME_HEAD + BP_ALIGN(f->bytes, 8ull);
}

void bp_hframe_encode(const struct bp_hframe *f, uint8_t out[static BP_HFRAME_HEAD]);
/** @return 0, BP_ETRUNCATED, BP_ECORRUPT */
int bp_hframe_decode(const uint8_t *p, size_t n, struct bp_hframe *ret);
/** Does the payload have the sum that the head tells? */
bool bp_hframe_fits(const struct bp_hframe *f, const void *payload);

/** Appends an entry; `kind` is MESSAGE or LOSS. */
void bp_hentry_put(struct bp_buf *b, const struct bp_history_entry *e, bool latched);
/** The next entry; `data` points into the payload, `mono_ns` is not set. @return 1, 0 at the end,
 *  BP_ECORRUPT */
int bp_hentry_next(struct bp_cur *c, struct bp_history_entry *ret, bool *ret_latched);

enum bp_hdef_kind { BP_HDEF_CHANNEL = 1, BP_HDEF_SOURCE = 2 };
struct bp_hdef {
    enum bp_hdef_kind kind;
    uint32_t id;
    struct bp_str bytes;
};
void bp_hdef_put(struct bp_buf *b, enum bp_hdef_kind kind, uint32_t id, const struct bp_buf *def);
int bp_hdef_next(struct bp_cur *c, struct bp_hdef *ret);

void bp_hchannel_encode(const struct bp_channel_def *d, struct bp_buf *b);
/** Texts point into `bytes`, each ends with NUL. @return 0 or BP_ECORRUPT */
int bp_hchannel_decode(struct bp_str bytes, struct bp_channel_def *ret);
void bp_hsource_encode(const struct bp_source_def *d, struct bp_buf *b);
int bp_hsource_decode(struct bp_str bytes, struct bp_source_def *ret);
