#include "bag/recover-trust.h"

#include <errno.h>
#include <stdio.h>

#include "bag/group.h"
#include "base/crc.h"

/* Commit blocks are looked for by their magic, not by walking records: where records are damaged
 * there is nothing to walk along. A commit block says itself where its group is. */
static int find_groups(const uint8_t *p, uint64_t n, struct bp_trust *t) {
    static const char magic[] = "BPCOMMIT";
    const uint8_t *at = p;

    while ((at = memmem(at, (size_t) (p + n - at), magic, 8)) != NULL) {
        uint64_t here = (uint64_t) (at - p);
        struct bp_commit c;

        if (bp_commit_decode(at, (size_t) (n - here), &c) == 0) {
            t->ours = true;
            if (c.start <= here && c.len == here - c.start && c.len > 0 &&
                bp_crc32c(0, p + c.start, (size_t) c.len) == c.crc &&
                bp_spans_add(&t->good, c.start, here) < 0)
                return -ENOMEM;
        }
        at += 8;
    }
    return 0;
}

/* The closing records carry the CRC of all that is before its digits, from their first byte on. */
static int find_closing(const uint8_t *p, uint64_t n, uint64_t from, struct bp_trust *t) {
    struct bp_cur c = bp_cur_of(p + from, (size_t) (n - from));
    struct bp_mcap_metadata md;
    struct bp_mcap_record rec;

    while (bp_mcap_next(&c, &rec) > 0 && rec.op == BP_MCAP_METADATA) {
        struct bp_str crc;
        char hex[9];

        if (bp_mcap_metadata(&rec, &md) < 0)
            return 0;
        crc = bp_mcap_map_get(md.map, "crc32c");
        if (!bp_str_eq(md.name, BP_STR("bagpipe.segment")) || crc.n != 8)
            continue;
        (void) snprintf(hex, sizeof hex, "%08x",
                        bp_crc32c(0, p + from, (size_t) ((const uint8_t *) crc.p - p) - from));
        return memcmp(hex, crc.p, 8) == 0
                   ? bp_spans_add(&t->good, from, (uint64_t) (rec.p - p) + rec.n - 1)
                   : 0;
    }
    return 0;
}

/* A summary whose CRC is right: its Schema and Channel records, which come first, and where it says
 * that the ledger is. */
static void take_summary(const uint8_t *p, uint64_t n, struct bp_trust *t, uint64_t *closing) {
    struct bp_cur c = bp_cur_of(p, (size_t) n);
    struct bp_mcap_metadata_index x;
    struct bp_mcap_record rec;

    t->defs = p;
    while (bp_mcap_next(&c, &rec) > 0) {
        if ((rec.op == BP_MCAP_SCHEMA || rec.op == BP_MCAP_CHANNEL) &&
            (size_t) (rec.p - BP_MCAP_HEAD - p) == t->ndefs)
            t->ndefs += (size_t) rec.n + BP_MCAP_HEAD;
        else if (rec.op == BP_MCAP_METADATA_INDEX && bp_mcap_metadata_index(&rec, &x) == 0 &&
                 bp_str_eq(x.name, BP_STR(BP_LEDGER_NAME)))
            *closing = x.offset;
    }
}

static int find_end(const uint8_t *p, uint64_t n, struct bp_trust *t) {
    enum { FOOTER = BP_MCAP_HEAD + BP_MCAP_FOOTER_LEN, SHORTEST = FOOTER + 2 * BP_MCAP_MAGIC_LEN };
    uint64_t foot = n - FOOTER - BP_MCAP_MAGIC_LEN, start, closing = 0;
    uint32_t crc;

    if (t->good.n) /* where it is when the last group is good */
        closing = BP_ALIGN(t->good.v[t->good.n - 1].last, (uint64_t) 4096);
    if (n >= SHORTEST && p[foot] == BP_MCAP_FOOTER) {
        start = bp_ld_le64(p + foot + BP_MCAP_HEAD);
        crc = bp_ld_le32(p + foot + BP_MCAP_HEAD + 16);
        if (start > 0 && start <= foot && crc != 0 &&
            bp_crc32(0, p + start, (size_t) (foot + BP_MCAP_HEAD + 16 - start)) == crc)
            take_summary(p + start, foot - start, t, &closing);
    }
    return t->ours && closing < n ? find_closing(p, n, closing, t) : 0;
}

int bp_trust_find(const uint8_t *p, uint64_t n, struct bp_trust *ret) {
    struct bp_trust t = { 0 };
    int r = find_groups(p, n, &t);

    if (r == 0)
        r = find_end(p, n, &t);
    if (r < 0) {
        bp_trust_done(&t);
        return r;
    }
    *ret = t;
    return 0;
}

void bp_trust_done(struct bp_trust *t) {
    bp_spans_done(&t->good);
    *t = (struct bp_trust){ 0 };
}

bool bp_trust_has(const struct bp_trust *t, uint64_t at) {
    return !t->ours || bp_spans_has(&t->good, at);
}

bool bp_mcap_magic_nearly(const uint8_t *p) {
    unsigned same = 0;

    for (unsigned i = 0; i < BP_MCAP_MAGIC_LEN; i++)
        same += p[i] == (uint8_t) BP_MCAP_MAGIC[i];
    return same >= 6;
}
