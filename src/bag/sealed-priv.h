#pragma once

#include <pthread.h>

#include "bag/sealed.h"
#include "base/mutex.h"

/* Inside of the container: sealed-format.c (bytes), sealed-scan.c (what is there), sealed.c
 * (reading and writing), sealed-io.c (as file operations). */

enum {
    SEALED_ID_AT = 32, /* in a frame's head */
    SEALED_NONCE_AT = 48,
    SEALED_TAG_AT = 96,
    SEALED_PLACE_AT = 112, /* tag of what is before */
    SEALED_CRC_AT = 128,
    SEALED_TAIL = 24,
    SEALED_CACHE = 4, /* plain frames kept for small reads */
    SEALED_BLOCK = 4096,
};

struct sealed_place {
    uint64_t at;  /* in the file */
    uint64_t off; /* of its first plain byte */
    bool hole;    /* nothing whole is there */
};

struct sealed_cached {
    uint64_t frame; /* + 1; 0 = empty */
    uint64_t used;
    uint8_t *p; /* owned; frame_max bytes */
};

struct bp_sealed {
    const struct bp_io *io;
    int fd;
    uint8_t file_id[BP_FILE_ID];
    uint32_t frame_max;
    unsigned nwrapped;
    uint8_t header[BP_SEALED_HEADER];
    bool readable;
    struct bp_aead *aead;   /* [lock] owned; NULL without key */
    struct bp_aead *placer; /* [lock] owned; for the tag of places */
    enum bp_sealed_state state;
    uint64_t end_number, end_off; /* what the end frame says is before it */
    bool forged;                  /* an end frame is there that the key does not confirm */

    struct bp_mutex lock;   /* held over preads, which need cache and cipher */
    struct sealed_place *v; /* [lock] owned; those before the end frame */
    uint64_t n, cap;        /* [lock] */
    uint64_t size, stored;  /* [lock] plain; on disk, both before an end frame */
    uint64_t holes;
    struct sealed_cached cache[SEALED_CACHE]; /* [lock] */
    uint64_t uses;                            /* [lock] */
    uint8_t *frame;                           /* [lock] owned: one as on disk */
    size_t frame_cap;
    uint8_t *out; /* [appender] owned, block-aligned */
    size_t out_cap;
};

/* ---- sealed-format.c ---- */

/** Header for the ring's keys. @return 0 or a negative code */
int sealed_header_make(struct bp_sealed *s, struct bp_keyring *keys, const char *session);
/** @return 0 (readable or not), BP_EFORMAT, BP_ECORRUPT */
int sealed_header_read(struct bp_sealed *s, struct bp_keyring *keys);
void sealed_head_encode(uint8_t out[static BP_SEALED_HEAD], const struct bp_sealed_frame *f,
                        const uint8_t file_id[static BP_FILE_ID],
                        const uint8_t nonce[static BP_NONCE_LEN]);
bool sealed_zeros(const uint8_t *p, size_t n);
/** The tag of its place and its CRC: the last touch. */
int sealed_head_finish(struct bp_sealed *s, uint8_t head[static BP_SEALED_HEAD], bool clear);
/** Ciphertext, tag and CRC behind a head that has nonce and file id. */
int sealed_body(struct bp_aead *a, uint8_t *frame, const void *p, size_t n);
/** @return 0, BP_ECORRUPT: no frame of this file begins here */
int sealed_head_decode(const struct bp_sealed *s, const uint8_t *p, struct bp_sealed_frame *ret);

/* ---- sealed-scan.c ---- */

int sealed_add_place(struct bp_sealed *s, struct sealed_place p);
/** Finds the frames: by the end frame, else by a walk. */
int sealed_scan(struct bp_sealed *s);
/** The state alone, by the end frame. */
int sealed_peek(struct bp_sealed *s);

/* ---- sealed.c ---- */

/** A write of n bytes goes in frames of this many. */
size_t sealed_step(size_t n, size_t most);
uint8_t *sealed_room(uint8_t **p, size_t *cap, size_t want);
/** Plain bytes of frame i. */
uint64_t sealed_plain(const struct bp_sealed *s, uint64_t i);
