#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "net/pieces.h"

enum { MAX = 1000 };

static struct bp_pieces in;

/* @return what there is to say against it; *whole as of bp_pieces_take() */
static const char *put(unsigned kind, uint32_t total, uint32_t before, size_t n, unsigned *whole) {
    uint8_t piece[BP_PIECE_HEAD + MAX + 10];

    bp_piece_head(piece, kind, total, before);
    for (size_t i = 0; i < n; i++)
        piece[BP_PIECE_HEAD + i] = (uint8_t) (before + i);
    return bp_pieces_take(&in, piece, BP_PIECE_HEAD + n, MAX, whole);
}

static void check_whole(uint32_t n) {
    assert_int_equal(in.got.n, n);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(in.got.p[i], (uint8_t) i);
}

static void test_joined(void **state) {
    unsigned whole;

    (void) state;
    assert_null(put(BP_PIECE_BINARY, 700, 0, 300, &whole));
    assert_int_equal(whole, 0);
    assert_null(put(BP_PIECE_BINARY, 700, 300, 399, &whole));
    assert_int_equal(whole, 0);
    assert_null(put(BP_PIECE_BINARY, 700, 699, 1, &whole));
    assert_int_equal(whole, BP_PIECE_BINARY);
    check_whole(700);
    assert_null(put(BP_PIECE_TEXT, MAX, 0, MAX, &whole));
    assert_int_equal(whole, BP_PIECE_TEXT);
    check_whole(MAX);
    bp_pieces_done(&in);
}

static void test_refused(void **state) {
    static const struct {
        unsigned kind;
        uint32_t total, before;
        size_t n;
    } rows[] = {
        { BP_PIECE_BINARY, MAX + 1, 0, 5 }, /* too long */
        { BP_PIECE_BINARY, UINT32_MAX, 0, 5 },
        { BP_PIECE_BINARY, 100, 0, 101 }, /* more than it says */
        { BP_PIECE_BINARY, 0, 0, 1 },     /* likewise */
        { BP_PIECE_BINARY, 100, 50, 10 }, /* does not begin */
        { BP_PIECE_BINARY, 100, 0, 0 },   /* empty */
        { 3, 100, 0, 10 },                /* of no kind */
        { 0, 100, 0, 10 },
    };
    unsigned whole;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        assert_non_null(put(rows[i].kind, rows[i].total, rows[i].before, rows[i].n, &whole));
        bp_pieces_done(&in);
    }
    assert_null(put(BP_PIECE_BINARY, 100, 0, 60, &whole));
    assert_non_null(put(BP_PIECE_BINARY, 100, 0, 60, &whole)); /* begins again in the middle */
    assert_non_null(put(BP_PIECE_BINARY, 100, 59, 1, &whole)); /* comes twice */
    assert_non_null(put(BP_PIECE_BINARY, 101, 60, 1, &whole)); /* of another length */
    assert_non_null(put(BP_PIECE_TEXT, 100, 60, 1, &whole));   /* of another kind */
    assert_non_null(bp_pieces_take(&in, (const uint8_t *) "BPL2", 4, MAX, &whole));
    assert_null(put(BP_PIECE_BINARY, 100, 60, 40, &whole));
    assert_int_equal(whole, BP_PIECE_BINARY);
    check_whole(100);
    bp_pieces_done(&in);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_joined),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
