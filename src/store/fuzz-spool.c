#include <stdint.h>

#include "store/spool-map.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void require(bool ok) {
    if (!ok)
        abort();
}

/* A map that is read is written back as it was; its slots are those of its parts. */
static void map(struct bp_str text) {
    uint8_t head[BP_SPOOL_HEAD], digest[BP_SHA256_LEN], slot[BP_SPOOL_SLOT];
    struct bp_spool_meta m;
    bp_ns_t created;
    uint32_t parts;

    if (bp_spool_map_parse(text, &m, &created) < 0)
        return;
    parts = bp_spool_parts_of(m.bytes, m.part_bytes);
    require(parts >= 1 && parts <= BP_SPOOL_PARTS_MAX);
    require(strlen(m.file) <= BP_SPOOL_NAME_MAX);
    bp_spool_map_head(&m, created, head);
    for (uint32_t i = 0; i < parts; i++) {
        size_t at = BP_SPOOL_HEAD + (size_t) i * BP_SPOOL_SLOT;

        if (at + BP_SPOOL_SLOT > text.n)
            return;
        if (!bp_spool_map_slot_read(head, i, (const uint8_t *) text.p + at, digest))
            continue;
        bp_spool_map_slot(head, i, digest, slot);
        require(memcmp(slot, text.p + at, sizeof slot) == 0);
    }
}

/* A list that is read and written is read as the same. */
static void list(struct bp_str text) {
    uint8_t bits[(BP_SPOOL_PARTS_MAX + 7) / 8], again[sizeof bits];
    int n = bp_spool_ranges_parse(text, bits, BP_SPOOL_PARTS_MAX);
    BP_AUTO_BUF b = { 0 };

    if (n < 0)
        return;
    bp_spool_ranges_put(&b, bits, BP_SPOOL_PARTS_MAX);
    require(b.n <= text.n);
    require(bp_spool_ranges_parse((struct bp_str){ (const char *) b.p, b.n }, again,
                                  BP_SPOOL_PARTS_MAX) == n &&
            memcmp(bits, again, sizeof bits) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    uint8_t fixed[BP_SPOOL_HEAD];
    struct bp_spool_meta m = { 0 };
    struct bp_str text = { (const char *) p, n };

    map(text);
    list(text);
    if (n >= BP_SPOOL_HEAD) { /* past the checksum, too */
        bp_ns_t created;

        memcpy(fixed, p, sizeof fixed);
        m.part_bytes = BP_SPOOL_PART_MIN;
        bp_spool_map_head(&m, 0, fixed);
        require(bp_spool_map_parse((struct bp_str){ (const char *) fixed, sizeof fixed }, &m,
                                   &created) == 0);
    }
    return 0;
}
