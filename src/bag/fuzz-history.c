#include <stdint.h>
#include <stdlib.h>

#include "bag/history-frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What was understood is written again, and must be the same bytes. */
static void definitions(const uint8_t *p, size_t n) {
    struct bp_cur c = bp_cur_of(p, n);
    struct bp_hdef d;

    while (bp_hdef_next(&c, &d) > 0) {
        BP_AUTO_BUF again = { 0 };
        struct bp_channel_def channel;
        struct bp_source_def source;
        bool known = false;

        if (d.kind == BP_HDEF_CHANNEL && bp_hchannel_decode(d.bytes, &channel) == 0) {
            bp_hchannel_encode(&channel, &again);
            known = true;
        } else if (d.kind == BP_HDEF_SOURCE && bp_hsource_decode(d.bytes, &source) == 0) {
            bp_hsource_encode(&source, &again);
            known = true;
        }
        if (known && (again.n != d.bytes.n || memcmp(again.p, d.bytes.p, again.n) != 0))
            abort();
    }
}

static void entries(const uint8_t *p, size_t n) {
    struct bp_cur c = bp_cur_of(p, n);
    struct bp_history_entry e, same;
    bool latched, same_latched;

    while (bp_hentry_next(&c, &e, &latched) > 0) {
        BP_AUTO_BUF again = { 0 };
        struct bp_cur back;

        if (e.data < p || e.data + e.size > p + n)
            abort();
        bp_hentry_put(&again, &e, latched);
        back = bp_cur_of(again.p, again.n);
        if (bp_hentry_next(&back, &same, &same_latched) != 1 || same.seq != e.seq ||
            same.size != e.size || same.log_ns != e.log_ns || same.last != e.last ||
            same.publish_ns != e.publish_ns || same_latched != latched || bp_cur_left(&back))
            abort();
    }
}

/* Frames one behind the other, as a reader walks them. Sums are not demanded, or nothing would ever
 * get behind them: with a wrong one the bytes of the head are read all the same. */
static void walk(const uint8_t *p, size_t n) {
    struct bp_hframe f;
    uint64_t off = 0;

    while (off < n && bp_hframe_decode(p + off, n - off, &f) == 0) {
        const uint8_t *payload = p + off + BP_HFRAME_HEAD;

        if (f.bytes > n - off - BP_HFRAME_HEAD)
            return;
        (void) bp_hframe_fits(&f, payload);
        if (f.kind == BP_HFRAME_DEFINITIONS)
            definitions(payload, (size_t) f.bytes);
        else
            entries(payload, (size_t) f.bytes);
        off += bp_hframe_size(&f);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    /* the heads' sums are beyond a fuzzer: the first byte may ask for one payload alone */
    uint8_t *copy;

    if (n == 0)
        return 0;
    copy = malloc(n); /* exactly, so that a sanitizer sees one byte too many */
    if (!copy)
        return 0;
    memcpy(copy, p + 1, n - 1);
    if (p[0] == 'd')
        definitions(copy, n - 1);
    else if (p[0] == 'e')
        entries(copy, n - 1);
    else
        walk(copy, n - 1);
    free(copy);
    return 0;
}
