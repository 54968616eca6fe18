#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "dds/raw.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* A packet as Cyclone would hand it over: it has checked that the payload lies in the packet, not
 * how fragments overlap, what the inline QoS holds, or that all of the sample is there.
 *
 * Input: u8 number of fragments, u16 size, u16 submessage offset, u16 payload offset, per fragment
 * u16 min and u16 maxp1, then the packet. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_cur c = bp_cur_of(p, n);
    struct bp_raw_frag frags[16];
    size_t nfrags = bp_rd_u8(&c) % (BP_COUNT(frags) + 1), size = bp_rd_le16(&c), npkt;
    unsigned sub = bp_rd_le16(&c), payload = bp_rd_le16(&c);
    struct bp_raw_sample s = { 0 };
    BP_AUTO_BUF out = { 0 };
    const uint8_t *pkt;

    for (size_t i = 0; i < nfrags; i++) {
        frags[i].min = bp_rd_le16(&c);
        frags[i].maxp1 = bp_rd_le16(&c);
    }
    npkt = bp_cur_left(&c);
    pkt = bp_rd_bytes(&c, npkt);
    if (!bp_cur_ok(&c) || npkt > 60000 || payload > npkt || sub > payload)
        return 0;
    for (size_t i = 0; i < nfrags; i++)
        if (frags[i].maxp1 > frags[i].min && frags[i].maxp1 - frags[i].min > npkt - payload)
            return 0;
    if (bp_raw_try_fragments(pkt, npkt, sub, payload, frags, nfrags, size, &s, &out) != 1)
        return 0;

    /* Each byte must come from the first fragment that reaches it. */
    if (s.size != size || out.n != size)
        abort();
    for (size_t b = 0; b < size; b++) {
        size_t i = 0;

        while (i < nfrags && frags[i].maxp1 <= b)
            i++;
        if (i == nfrags || out.p[b] != pkt[payload + b - frags[i].min])
            abort();
    }
    return 0;
}
