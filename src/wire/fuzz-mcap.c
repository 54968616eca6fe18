#include <stdint.h>

#include "wire/mcap-check.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static volatile uint64_t sink;

/* Touches every byte of a view, so that a sanitizer sees one that is not ours. */
static void touch(const void *p, uint64_t n) {
    const uint8_t *b = p;
    uint64_t sum = 0;

    for (uint64_t i = 0; i < n; i++)
        sum += b[i];
    sink = sink + sum;
}

static void touch_str(struct bp_str s) {
    touch(s.p, s.n);
}

static void touch_map(struct bp_mcap_map m) {
    struct bp_mcap_map at = m;
    struct bp_str k, v;

    while (bp_mcap_map_next(&at, &k, &v) > 0) {
        touch_str(k);
        touch_str(v);
        touch_str(bp_mcap_map_get(m, "offered_qos_profiles"));
    }
}

static void definitions(const struct bp_mcap_record *r) {
    struct bp_mcap_header h;
    struct bp_mcap_schema s;
    struct bp_mcap_channel c;

    if (bp_mcap_header(r, &h) >= 0) {
        touch_str(h.profile);
        touch_str(h.library);
    }
    if (bp_mcap_schema(r, &s) >= 0) {
        touch_str(s.name);
        touch_str(s.encoding);
        touch_str(s.data);
    }
    if (bp_mcap_channel(r, &c) >= 0) {
        touch_str(c.topic);
        touch_map(c.metadata);
    }
}

static void data(const struct bp_mcap_record *r) {
    struct bp_mcap_message m;
    struct bp_mcap_chunk c;
    struct bp_mcap_attachment a;
    struct bp_mcap_metadata md;

    if (bp_mcap_message(r, &m) >= 0)
        touch(m.data, m.size);
    if (bp_mcap_chunk(r, &c) >= 0) {
        touch_str(c.compression);
        touch(c.records, c.records_size);
    }
    if (bp_mcap_attachment(r, &a) >= 0) {
        touch_str(a.media_type);
        touch(a.data, a.size);
    }
    if (bp_mcap_metadata(r, &md) >= 0)
        touch_map(md.map);
}

static void indexes(const struct bp_mcap_record *r) {
    struct bp_mcap_footer f;
    struct bp_mcap_message_index mi;
    struct bp_mcap_chunk_index ci;
    struct bp_mcap_statistics s;
    struct bp_mcap_metadata_index x;

    (void) bp_mcap_footer(r, &f);
    if (bp_mcap_message_index(r, &mi) >= 0)
        touch(mi.entries, 16 * (uint64_t) mi.count);
    if (bp_mcap_chunk_index(r, &ci) >= 0)
        touch(ci.offsets, 10 * (uint64_t) ci.noffsets);
    if (bp_mcap_statistics(r, &s) >= 0)
        touch(s.counts, 10 * (uint64_t) s.ncounts);
    if (bp_mcap_metadata_index(r, &x) >= 0)
        touch_str(x.name);
}

/* Every record through every decoder, whatever its opcode says, and through the strict walk. */
static void records(struct bp_mcap_check *k, struct bp_cur c, bool inside) {
    const uint8_t *start = c.p;
    struct bp_mcap_record r;
    struct bp_mcap_chunk chunk;
    struct bp_error err;

    while (bp_mcap_next(&c, &r) > 0) {
        definitions(&r);
        data(&r);
        indexes(&r);
        (void) bp_mcap_check_step(k, &r, inside, (uint64_t) (r.p - start), &err);
        if (!inside && r.op == BP_MCAP_CHUNK && bp_mcap_chunk(&r, &chunk) >= 0 &&
            chunk.compression.n == 0)
            records(k, bp_cur_of(chunk.records, (size_t) chunk.records_size), true);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_mcap_check k = { 0 };
    size_t skip = n >= BP_MCAP_MAGIC_LEN && memcmp(p, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN) == 0
                      ? BP_MCAP_MAGIC_LEN
                      : 0;

    records(&k, bp_cur_of(p + skip, n - skip), false);
    (void) bp_mcap_check_end(&k, NULL);
    return 0;
}
