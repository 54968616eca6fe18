#include "store/spool-map.h"

#include <errno.h>
#include <stdio.h>

#include "base/crc.h"
#include "base/cursor.h"
#include "base/json.h"

static const char magic[8] = "BPSPOOL1";

/* Offsets in the head. */
enum {
    AT_PART_BYTES = 8,
    AT_BYTES = 16,
    AT_CREATED = 24,
    AT_SHA256 = 32,
    AT_SESSION = 64, /* 32 */
    AT_KIND = 96,    /* 16 */
    AT_DEVICE = 112, /* 144 */
    AT_FILE = 256,   /* 256 */
    AT_END = 512,    /* zeros up to the checksum */
    AT_CRC = BP_SPOOL_HEAD - 4,
};

uint32_t bp_spool_parts_of(uint64_t bytes, uint32_t part_bytes) {
    return bytes ? (uint32_t) ((bytes - 1) / part_bytes + 1) : 1;
}

uint64_t bp_spool_part_size(const struct bp_spool_meta *meta, uint32_t n) {
    uint64_t at = (uint64_t) n * meta->part_bytes;

    return at < meta->bytes ? BP_MIN(meta->bytes - at, (uint64_t) meta->part_bytes) : 0;
}

uint32_t bp_spool_choose(uint64_t bytes) {
    uint32_t n = BP_SPOOL_PART_DEFAULT;

    while (n < BP_SPOOL_PART_MAX && bytes / n >= BP_SPOOL_PARTS_MAX)
        n *= 2;
    return bp_spool_part_ok(bytes, n) ? n : 0;
}

bool bp_spool_part_ok(uint64_t bytes, uint32_t part_bytes) {
    return part_bytes >= BP_SPOOL_PART_MIN && part_bytes <= BP_SPOOL_PART_MAX &&
           (part_bytes & (part_bytes - 1)) == 0 &&
           (bytes == 0 || (bytes - 1) / part_bytes < BP_SPOOL_PARTS_MAX);
}

/* Up to the next field at `end`, a NUL at least behind it. */
static void put_text(uint8_t *head, size_t at, size_t end, const char *text) {
    (void) snprintf((char *) head + at, end - at, "%s", text);
}

void bp_spool_map_head(const struct bp_spool_meta *meta, bp_ns_t created_wall,
                       uint8_t ret[static BP_SPOOL_HEAD]) {
    memset(ret, 0, BP_SPOOL_HEAD);
    memcpy(ret, magic, sizeof magic);
    bp_st_le32(ret + AT_PART_BYTES, meta->part_bytes);
    bp_st_le64(ret + AT_BYTES, meta->bytes);
    bp_st_le64(ret + AT_CREATED, (uint64_t) created_wall);
    memcpy(ret + AT_SHA256, meta->sha256, BP_SHA256_LEN);
    put_text(ret, AT_SESSION, AT_KIND, meta->session);
    put_text(ret, AT_KIND, AT_DEVICE, meta->kind);
    put_text(ret, AT_DEVICE, AT_FILE, meta->device);
    put_text(ret, AT_FILE, AT_END, meta->file);
    bp_st_le32(ret + AT_CRC, bp_crc32c(0, ret, AT_CRC));
}

static uint32_t slot_sum(const uint8_t *head, uint32_t n, const uint8_t *sha256) {
    uint8_t number[4];

    bp_st_le32(number, n);
    return bp_crc32c(bp_crc32c(bp_ld_le32(head + AT_CRC), number, sizeof number), sha256,
                     BP_SHA256_LEN);
}

void bp_spool_map_slot(const uint8_t head[static BP_SPOOL_HEAD], uint32_t n,
                       const uint8_t sha256[static BP_SHA256_LEN],
                       uint8_t ret[static BP_SPOOL_SLOT]) {
    memcpy(ret, sha256, BP_SHA256_LEN);
    bp_st_le32(ret + BP_SHA256_LEN, n + 1);
    bp_st_le32(ret + BP_SHA256_LEN + 4, slot_sum(head, n, sha256));
}

bool bp_spool_map_slot_read(const uint8_t head[static BP_SPOOL_HEAD], uint32_t n,
                            const uint8_t slot[static BP_SPOOL_SLOT],
                            uint8_t ret[static BP_SHA256_LEN]) {
    if (bp_ld_le32(slot + BP_SHA256_LEN) != n + 1 ||
        bp_ld_le32(slot + BP_SHA256_LEN + 4) != slot_sum(head, n, slot))
        return false;
    memcpy(ret, slot, BP_SHA256_LEN);
    return true;
}

/* A text that ends within its n bytes. */
static bool get_text(const uint8_t *head, size_t at, char *ret, size_t n) {
    if (!memchr(head + at, 0, n))
        return false;
    memcpy(ret, head + at, n);
    return true;
}

int bp_spool_map_parse(struct bp_str map, struct bp_spool_meta *ret, bp_ns_t *ret_created_wall) {
    const uint8_t *head = (const uint8_t *) map.p;
    struct bp_spool_meta m = { 0 };

    if (map.n < BP_SPOOL_HEAD || memcmp(head, magic, sizeof magic) != 0)
        return BP_EFORMAT;
    if (bp_ld_le32(head + AT_CRC) != bp_crc32c(0, head, AT_CRC))
        return BP_ECORRUPT;
    m.part_bytes = bp_ld_le32(head + AT_PART_BYTES);
    m.bytes = bp_ld_le64(head + AT_BYTES);
    memcpy(m.sha256, head + AT_SHA256, BP_SHA256_LEN);
    if (!bp_spool_part_ok(m.bytes, m.part_bytes) ||
        !get_text(head, AT_SESSION, m.session, sizeof m.session) ||
        !get_text(head, AT_KIND, m.kind, sizeof m.kind) ||
        !get_text(head, AT_DEVICE, m.device, sizeof m.device) ||
        !get_text(head, AT_FILE, m.file, sizeof m.file))
        return BP_EFORMAT;
    *ret = m;
    *ret_created_wall = (bp_ns_t) bp_ld_le64(head + AT_CREATED);
    return 0;
}

static bool bit(const uint8_t *bits, uint32_t i) {
    return bits[i / 8] >> (i % 8) & 1;
}

void bp_spool_ranges_put(struct bp_buf *out, const uint8_t *bits, uint32_t parts) {
    bool first = true;

    for (uint32_t i = 0; i < parts; i++) {
        uint32_t from = i;

        if (!bit(bits, i))
            continue;
        while (i + 1 < parts && bit(bits, i + 1))
            i++;
        bp_buf_printf(out, from == i ? "%s%u" : "%s%u-%u", first ? "" : ",", from, i);
        first = false;
    }
}

/* Digits without a leading zero, below `end`. */
static bool get_number(struct bp_str *s, uint32_t end, uint32_t *ret) {
    uint64_t v = 0;
    size_t n = 0;

    for (; n < s->n && s->p[n] >= '0' && s->p[n] <= '9' && v < end; n++)
        v = v * 10 + (uint64_t) (s->p[n] - '0');
    if (n == 0 || v >= end || (n > 1 && s->p[0] == '0'))
        return false;
    *ret = (uint32_t) v;
    *s = (struct bp_str){ s->p + n, s->n - n };
    return true;
}

static bool skip(struct bp_str *s, char c) {
    if (s->n == 0 || s->p[0] != c)
        return false;
    *s = (struct bp_str){ s->p + 1, s->n - 1 };
    return true;
}

int bp_spool_ranges_parse(struct bp_str text, uint8_t *bits, uint32_t parts) {
    uint32_t next = 0; /* what comes must not be below */
    int count = 0;

    memset(bits, 0, (parts + 7) / 8);
    while (text.n > 0) {
        uint32_t from, to;

        if ((count > 0 && !skip(&text, ',')) || !get_number(&text, parts, &from) || from < next)
            return BP_EFORMAT;
        to = from;
        if (skip(&text, '-') && (!get_number(&text, parts, &to) || to <= from))
            return BP_EFORMAT;
        for (uint32_t i = from; i <= to; i++, count++)
            bits[i / 8] |= (uint8_t) (1 << (i % 8));
        next = to + 1;
    }
    return count;
}
