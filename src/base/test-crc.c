#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/crc.h"
#include "base/macro.h"

/* Check values of the catalogue of CRC algorithms, and of RFC 3720 B.4. */
static void known_values(void **state) {
    uint8_t zeros[32] = { 0 }, ones[32], rising[32];

    (void) state;
    memset(ones, 0xff, sizeof ones);
    for (int i = 0; i < 32; i++)
        rising[i] = (uint8_t) i;
    assert_int_equal(bp_crc32(0, "123456789", 9), 0xcbf43926);
    assert_int_equal(bp_crc32(0, "", 0), 0);
    assert_int_equal(bp_crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(bp_crc32c(0, "", 0), 0);
    assert_int_equal(bp_crc32c(0, zeros, 32), 0x8a9136aa);
    assert_int_equal(bp_crc32c(0, ones, 32), 0x62a8ab43);
    assert_int_equal(bp_crc32c(0, rising, 32), 0x46dd794e);
}

static void parts_chain(void **state) {
    uint8_t bytes[5000];

    (void) state;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t) (i * 2654435761U >> 24);
    for (size_t cut = 0; cut <= sizeof bytes; cut += 37) {
        uint32_t a = bp_crc32(bp_crc32(0, bytes, cut), bytes + cut, sizeof bytes - cut);
        uint32_t c = bp_crc32c(bp_crc32c(0, bytes, cut), bytes + cut, sizeof bytes - cut);
        uint32_t j =
            bp_crc32c_join(bp_crc32c(0, bytes, cut), bp_crc32c(0, bytes + cut, sizeof bytes - cut),
                           sizeof bytes - cut);

        assert_int_equal(a, bp_crc32(0, bytes, sizeof bytes));
        assert_int_equal(c, bp_crc32c(0, bytes, sizeof bytes));
        assert_int_equal(j, c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(known_values),
                                        cmocka_unit_test(parts_chain) };

    return cmocka_run_group_tests_name("base/crc", tests, NULL, NULL);
}
