#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/crc64.h"

/* The check value of the catalogue of CRCs (CRC-64/NVME), and one of a long text by Python, bit by
 * bit: i * 7 % 251 for 0 <= i < 1000. */
static void known_values(void **state) {
    uint8_t bytes[1000];

    (void) state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (i * 7 % 251);
    assert_true(bp_crc64nvme(0, "", 0) == 0);
    assert_true(bp_crc64nvme(0, "123456789", 9) == 0xae8b14860a799888u);
    assert_true(bp_crc64nvme(0, bytes, sizeof bytes) == 0xf799e2cc12c2138bu);
}

static void pieces_and_joins(void **state) {
    uint8_t bytes[300];
    uint64_t whole;

    (void) state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (i * i);
    whole = bp_crc64nvme(0, bytes, sizeof bytes);
    for (size_t cut = 0; cut <= sizeof bytes; cut++) {
        uint64_t a = bp_crc64nvme(0, bytes, cut),
                 b = bp_crc64nvme(0, bytes + cut, sizeof bytes - cut);

        assert_true(bp_crc64nvme(a, bytes + cut, sizeof bytes - cut) == whole);
        assert_true(bp_crc64nvme_join(a, b, sizeof bytes - cut) == whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_values),
        cmocka_unit_test(pieces_and_joins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
