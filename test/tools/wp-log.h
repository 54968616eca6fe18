#pragma once

#include <stdint.h>

/* What producer and judge share: a file, mapped by both, that says what was accepted and when. It
 * belongs to neither disk nor ring under test, so it survives what they do not. */

enum { WP_SOURCES = 16, WP_ENTRIES = 1 << 21 };

struct wp_entry {
    int64_t mono_ns; /* when accept() had returned 0 */
    int64_t wall_ns; /* the same on the wall clock */
};

struct wp_source {
    uint64_t n;                    /* release-stored: sequence numbers 1..n were offered */
    struct wp_entry e[WP_ENTRIES]; /* by sequence number; mono_ns 0 = was refused */
};

/* Payload: source, sequence number, size, CRC-32 of the rest. */
struct wp_payload {
    uint32_t source, size;
    uint64_t seq;
    uint32_t crc, zero;
};
