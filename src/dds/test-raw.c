/* from_ser on synthetic fragment chains, and inline QoS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "dds/raw.h"

enum { SUB = 20, PAYLOAD = 44 };

/* An RTPS packet with one DATA submessage, sequence number 7, whose payload is a sample. */
static size_t packet(uint8_t *b, uint8_t id, uint8_t flags) {
    memset(b, 0, 256);
    memcpy(b, "RTPS", 4);
    b[SUB] = id;
    b[SUB + 1] = flags;
    bp_st_le16(b + SUB + 6, 16); /* octetsToInlineQos, as Cyclone leaves it: in our byte order */
    uint32_t hi = 1, lo = 7;
    memcpy(b + SUB + 16, &hi, 4);
    memcpy(b + SUB + 20, &lo, 4);
    for (unsigned i = 0; i < 64; i++)
        b[PAYLOAD + i] = (uint8_t) (i + 1);
    return PAYLOAD + 64;
}

static void test_fragments(void **state) {
    static const struct {
        const char *name;
        struct bp_raw_frag f[4];
        size_t n, size;
        int want;
    } cases[] = {
        { "whole", { { 0, 16 } }, 1, 16, 1 },
        { "two", { { 0, 8 }, { 8, 16 } }, 2, 16, 1 },
        { "overlap", { { 0, 10 }, { 6, 16 } }, 2, 16, 1 },
        { "contained", { { 0, 16 }, { 4, 8 } }, 2, 16, 1 },
        { "empty one between", { { 0, 8 }, { 8, 8 }, { 8, 16 } }, 3, 16, 1 },
        { "hole", { { 0, 6 }, { 8, 16 } }, 2, 16, 0 },
        { "no start", { { 4, 16 } }, 1, 16, 0 },
        { "short", { { 0, 12 } }, 1, 16, 0 },
        { "too long", { { 0, 20 } }, 1, 16, 0 },
        { "backwards", { { 8, 4 }, { 0, 16 } }, 2, 16, 0 },
        { "none", { { 0, 0 } }, 0, 16, 0 },
        { "smaller than a header", { { 0, 3 } }, 1, 3, 0 },
    };
    uint8_t pkt[256];
    size_t n = packet(pkt, 0x15, 0x05);

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_raw_sample s = { 0 };
        BP_AUTO_BUF out = { 0 };
        int rc = bp_raw_try_fragments(pkt, n, SUB, PAYLOAD, cases[i].f, cases[i].n, cases[i].size,
                                      &s, &out);

        if (rc != cases[i].want)
            fail_msg("%s: got %d", cases[i].name, rc);
        if (rc != 1)
            continue;
        assert_int_equal(out.n, cases[i].size);
        assert_true(s.seq == ((uint64_t) 1 << 32 | 7));
        assert_false(s.has_related);
        assert_int_equal(out.p[0], 1);
        /* the last fragment starts its bytes anew at 1 */
        if (cases[i].n == 2 && cases[i].f[1].maxp1 == 16)
            assert_int_equal(out.p[15], 16 - cases[i].f[1].min);
    }
}

static void test_metadata(void **state) {
    static const struct bp_raw_frag whole = { 0, 16 };
    uint8_t pkt[256];
    struct bp_raw_sample s = { 0 };
    BP_AUTO_BUF out = { 0 };
    size_t n = packet(pkt, 0x15, 0x05);

    (void) state;
    pkt[0] = 'X'; /* not a packet: a sample all the same, but without number */
    assert_int_equal(bp_raw_try_fragments(pkt, n, SUB, PAYLOAD, &whole, 1, 16, &s, &out), 1);
    assert_true(s.seq == 0);
    n = packet(pkt, 0x16, 0x01); /* DATA_FRAG */
    assert_int_equal(bp_raw_try_fragments(pkt, n, SUB, PAYLOAD, &whole, 1, 16, &s, &out), 1);
    assert_true(s.seq != 0);
    n = packet(pkt, 0x07, 0x01); /* HEARTBEAT */
    assert_int_equal(bp_raw_try_fragments(pkt, n, SUB, PAYLOAD, &whole, 1, 16, &s, &out), 1);
    assert_true(s.seq == 0);
    n = packet(pkt, 0x15, 0x07); /* says inline QoS, but its offset lies behind the payload */
    bp_st_le16(pkt + SUB + 6, 0xffff);
    assert_int_equal(bp_raw_try_fragments(pkt, n, SUB, PAYLOAD, &whole, 1, 16, &s, &out), 1);
    assert_false(s.has_related);
}

static void test_inline_qos(void **state) {
    uint8_t q[64] = { 0x71, 0, 4, 0, 1, 2, 3, 4 }, guid[16];
    uint64_t seq;

    (void) state;
    bp_st_le16(q + 8, 0x0083);
    bp_st_le16(q + 10, 24);
    memset(q + 12, 0xab, 16);
    bp_st_le32(q + 28, 0);
    bp_st_le32(q + 32, 9);
    q[36] = 1;
    assert_true(bp_raw_inline_qos(q, 40, true, guid, &seq));
    assert_true(seq == 9);
    assert_int_equal(guid[15], 0xab);
    for (size_t n = 0; n < 36; n++) /* cut anywhere: not found, not read beyond */
        assert_false(bp_raw_inline_qos(q, n, true, guid, &seq));
    assert_false(bp_raw_inline_qos(q, 40, false, guid, &seq)); /* the other byte order */
    bp_st_le16(q + 8, 0x800f);
    assert_true(bp_raw_inline_qos(q, 40, true, guid, &seq));
    bp_st_le16(q + 10, 20);
    assert_false(bp_raw_inline_qos(q, 40, true, guid, &seq));
    q[0] = 1; /* sentinel first */
    q[1] = 0;
    assert_false(bp_raw_inline_qos(q, 40, true, guid, &seq));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fragments),
        cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_inline_qos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
