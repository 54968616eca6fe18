#include "bag/proof.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "bag/folder.h"

#define SESSION "01M8HD5T1RD5J8CDR60F2PDZV4"

static const uint8_t digest[BP_SHA256_LEN] = { 0xab, 1, 2, 3 };

static void build(struct bp_proof *p, size_t n, bool closed) {
    *p = (struct bp_proof){ .session = SESSION, .closed = closed, .time_ns = 1795880577996976346 };
    for (size_t i = 0; i < n; i++) {
        char name[32];

        (void) snprintf(name, sizeof name, "a b%%\n\xc3\xa4_%zu.mcap", i);
        assert_int_equal(bp_proof_add(p, name, 1000 + i, digest), 0);
    }
}

/* Made by: printf 'bagpipe.chain/1 SESSION 0 000… 1000 ab010203000… x_0.mcap\n' | sha256sum */
static void test_link_is_the_documented_one(void **state) {
    static const uint8_t zeros[BP_SHA256_LEN];
    uint8_t link[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX];

    (void) state;
    bp_proof_link(SESSION, zeros, 0, "x_0.mcap", 1000, digest, link);
    assert_string_equal(bp_sha256_hex(link, hex),
                        "143d26cd05ae72d9e7503431d42f737b0ebdd2fffaaf417117dba3593536ebd3");
}

static void test_round_trip(void **state) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *key = NULL;
    static const size_t counts[] = { 0, 1, 2, 3, 100 };

    (void) state;
    assert_int_equal(bp_sign_key_new(&key, NULL), 0);
    for (size_t i = 0; i < 2 * BP_COUNT(counts); i++) {
        BP_AUTO_PROOF p = { 0 }, again = { 0 };
        BP_AUTO_BUF out = { 0 };

        build(&p, counts[i / 2], i % 2);
        assert_int_equal(bp_proof_sign(&p, key), 0);
        assert_int_equal(bp_proof_format(&p, &out), 0);
        assert_int_equal(bp_proof_parse((struct bp_str){ (char *) out.p, out.n }, &again, NULL), 0);
        assert_int_equal(again.n, counts[i / 2]);
        assert_int_equal(again.closed, i % 2);
        assert_string_equal(again.session, SESSION);
        for (size_t k = 0; k < p.n; k++) {
            assert_string_equal(again.v[k].file, p.v[k].file);
            assert_memory_equal(again.v[k].chain, p.v[k].chain, BP_SHA256_LEN);
        }
        assert_int_equal(bp_sign_check(again.key, out.p, again.signed_bytes, again.sig), 0);
    }
}

/* Every part of a link matters: session, order, name, size, digest, what was before. */
static void test_chain_binds(void **state) {
    BP_AUTO_PROOF p = { 0 };
    uint8_t link[BP_SHA256_LEN], other[BP_SHA256_LEN] = { 1 };

    (void) state;
    build(&p, 2, true);
    bp_proof_link(SESSION, p.v[0].chain, 1, p.v[1].file, 1001, digest, link);
    assert_memory_equal(link, p.v[1].chain, sizeof link);
    bp_proof_link("01M8HD5T1RD5J8CDR60F2PDZV5", p.v[0].chain, 1, p.v[1].file, 1001, digest, link);
    assert_memory_not_equal(link, p.v[1].chain, sizeof link);
    bp_proof_link(SESSION, other, 1, p.v[1].file, 1001, digest, link);
    assert_memory_not_equal(link, p.v[1].chain, sizeof link);
    bp_proof_link(SESSION, p.v[0].chain, 2, p.v[1].file, 1001, digest, link);
    assert_memory_not_equal(link, p.v[1].chain, sizeof link);
    bp_proof_link(SESSION, p.v[0].chain, 1, p.v[0].file, 1001, digest, link);
    assert_memory_not_equal(link, p.v[1].chain, sizeof link);
    bp_proof_link(SESSION, p.v[0].chain, 1, p.v[1].file, 1000, digest, link);
    assert_memory_not_equal(link, p.v[1].chain, sizeof link);
    bp_proof_link(SESSION, p.v[0].chain, 1, p.v[1].file, 1001, other, link);
    assert_memory_not_equal(link, p.v[1].chain, sizeof link);
}

/* Any other spelling of the same is refused, and so is every shortened text. */
static void test_one_spelling(void **state) {
    static const struct {
        const char *find, *put;
    } edits[] = {
        { "session ", "session  " },
        { "state closed", "state open" },
        { "state closed", "state shut" },
        { "time 1", "time 01" },
        { "time 1", "time +1" },
        { "from 0", "from 00" },
        { "from 0", "from 1" },
        { "segment 1", "segment 2" },
        { " 1000 ", " 1000  " },
        { "%20", " " },
        { "%20", "%2" },
        { "%20", "%41" },
        { "%25", "%" },
        { "%0A", "%0a" },
        { "%0A", "%00" },
        { "_0.mcap", "/0.mcap" },
        { "\nkey", "\n\nkey" },
        { "key ed25519:", "key ED25519:" },
        { "\nsignature", "\r\nsignature" },
        { "manifest ", "Manifest " },
        { "bagpipe.proof/1", "bagpipe.proof/2" },
    };
    BP_AUTO_PROOF p = { 0 }, got = { 0 };
    BP_AUTO_BUF out = { 0 };

    (void) state;
    build(&p, 2, true);
    assert_int_equal(bp_proof_format(&p, &out), 0);
    for (size_t n = 0; n < out.n; n++)
        assert_int_equal(bp_proof_parse((struct bp_str){ (char *) out.p, n }, &got, NULL),
                         BP_EFORMAT);
    for (size_t i = 0; i < BP_COUNT(edits); i++) {
        const char *text = bp_buf_cstr(&out), *at = strstr(text, edits[i].find);
        BP_AUTO_BUF b = { 0 };

        assert_non_null(at);
        bp_buf_put(&b, text, (size_t) (at - text));
        bp_buf_put_str(&b, edits[i].put);
        bp_buf_put_str(&b, at + strlen(edits[i].find));
        if (bp_proof_parse((struct bp_str){ (char *) b.p, b.n }, &got, NULL) != BP_EFORMAT)
            fail_msg("'%s' for '%s' was taken", edits[i].put, edits[i].find);
    }
}

static void fill(struct bp_folder *f, const char *dir, const struct bp_sign_key *key) {
    *f = (struct bp_folder){ .id = SESSION, .signer = key, .nfiles = 4 };
    (void) snprintf(f->dir, sizeof f->dir, "%s", dir);
    f->files = calloc(f->nfiles, sizeof *f->files);
    assert_non_null(f->files);
    for (size_t i = 0; i < f->nfiles; i++) {
        (void) snprintf(f->files[i].file, sizeof f->files[i].file, "x_%zu.mcap", i);
        f->files[i].bytes = 1000 + i;
        (void) bp_sha256_hex(digest, f->files[i].sha256);
    }
}

/* The oldest segments are deleted to make room: the chain stays the one it was, and what recovery
 * takes up from the signature goes on with it. */
static void test_deleted_to_make_room(void **state) {
    BP_CLEANUP(bp_sign_key_freep) struct bp_sign_key *key = NULL;
    BP_AUTO_PROOF whole = { 0 }, rest = { 0 };
    BP_AUTO_BUF notes = { 0 };
    char dir[] = "/tmp/bp-proof-XXXXXX", path[64];
    struct bp_folder f, again;

    (void) state;
    assert_int_equal(bp_sign_key_new(&key, NULL), 0);
    assert_non_null(mkdtemp(dir));
    fill(&f, dir, key);
    assert_int_equal(bp_folder_prove(&f, &bp_io_posix, NULL, NULL), 0);
    assert_int_equal(bp_proof_read(&bp_io_posix, dir, &whole, NULL), 0);
    bp_folder_drop_first(&f);
    bp_folder_drop_first(&f);
    assert_int_equal(bp_folder_prove(&f, &bp_io_posix, NULL, NULL), 0);
    assert_int_equal(bp_proof_read(&bp_io_posix, dir, &rest, NULL), 0);
    assert_int_equal(rest.from, 2);
    assert_int_equal(rest.n, 2);
    assert_memory_equal(rest.before, whole.v[1].chain, BP_SHA256_LEN);
    assert_memory_equal(rest.v[1].chain, whole.v[3].chain, BP_SHA256_LEN);

    fill(&again, dir, NULL);
    bp_folder_drop_first(&again);
    bp_folder_drop_first(&again);
    again.gone = 0;
    memset(again.gone_chain, 0, sizeof again.gone_chain);
    assert_int_equal(bp_folder_sign_with(&again, &bp_io_posix, key, &notes, NULL), 0);
    assert_int_equal(notes.n, 0);
    assert_int_equal(again.gone, 2);
    assert_memory_equal(again.gone_chain, rest.before, BP_SHA256_LEN);
    again.files[1].bytes++;
    assert_int_equal(bp_folder_sign_with(&again, &bp_io_posix, key, &notes, NULL), 0);
    assert_non_null(strstr(bp_buf_cstr(&notes), "'x_3.mcap' is not as it was signed"));
    bp_folder_done(&f);
    bp_folder_done(&again);
    (void) snprintf(path, sizeof path, "%s/" BP_PROOF_FILE, dir);
    (void) unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_link_is_the_documented_one),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_chain_binds),
        cmocka_unit_test(test_one_spelling),
        cmocka_unit_test(test_deleted_to_make_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
