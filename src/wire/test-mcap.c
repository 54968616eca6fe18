#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/io.h"
#include "wire/mcap-check.h"

/* The smallest file the specification allows, given there as bytes. */
static const uint8_t minimal[] = { 0x89, 'M',  'C',  'A',  'P',  '0',  '\r', '\n', 0x01, 8,    0,
                                   0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
                                   0,    0,    0,    0x0f, 4,    0,    0,    0,    0,    0,    0,
                                   0,    0x73, 0xc3, 0xfa, 0xeb, 0x02, 0x14, 0,    0,    0,    0,
                                   0,    0,    0,    0,    0,    0,    0,    0,    0,    0,    0,
                                   0,    0,    0,    0,    0,    0,    0,    0,    0xb0, 0xc9, 0xc4,
                                   0x6f, 0x89, 'M',  'C',  'A',  'P',  '0',  '\r', '\n' };

static int strict_walk(struct bp_mcap_check *k, struct bp_cur c, bool inside, unsigned *count,
                       struct bp_error *err) {
    struct bp_mcap_record r;
    struct bp_mcap_chunk chunk;
    int n, v;

    while ((n = bp_mcap_next(&c, &r)) > 0) {
        count[r.op & 15]++;
        v = bp_mcap_check_step(k, &r, inside, 0, err);
        if (v < 0)
            return v;
        if (r.op == BP_MCAP_CHUNK && bp_mcap_chunk(&r, &chunk) >= 0 && chunk.compression.n == 0) {
            v = strict_walk(k, bp_cur_of(chunk.records, chunk.records_size), true, count, err);
            if (v < 0)
                return v;
        }
    }
    return n;
}

static int strict_file(const uint8_t *p, size_t n, unsigned *count, struct bp_error *err) {
    struct bp_mcap_check k = { 0 };
    int r = strict_walk(&k, bp_cur_of(p + 8, n - 16), false, count, err);

    return r < 0 ? r : bp_mcap_check_end(&k, err);
}

static void smallest_file(void **state) {
    unsigned count[16] = { 0 };
    struct bp_cur c = bp_cur_of(minimal + 8, sizeof minimal - 16);
    struct bp_mcap_record r;
    struct bp_mcap_header h;
    struct bp_mcap_footer f;

    (void) state;
    assert_int_equal(sizeof minimal, 75);
    assert_int_equal(strict_file(minimal, sizeof minimal, count, NULL), 0);
    assert_int_equal(bp_mcap_next(&c, &r), 1);
    assert_int_equal(bp_mcap_header(&r, &h), 0);
    assert_int_equal(h.profile.n + h.library.n, 0);
    assert_int_equal(bp_mcap_next(&c, &r), 1);
    assert_int_equal(r.op, BP_MCAP_DATA_END);
    assert_int_equal(bp_mcap_next(&c, &r), 1);
    assert_int_equal(bp_mcap_footer(&r, &f), 0);
    assert_int_equal(f.summary_start, 0);
    assert_int_equal(f.summary_crc, 0x6fc4c9b0);
    assert_int_equal(bp_mcap_next(&c, &r), 0);
}

/* The corpus files all-* were written by pip mcap: a foreign writer's word for every record. */
struct seen {
    struct bp_mcap_schema schema;
    struct bp_mcap_channel channel, empty;
    struct bp_mcap_message last;
    struct bp_mcap_attachment attachment;
    struct bp_mcap_metadata metadata;
    struct bp_mcap_statistics stats;
    struct bp_mcap_metadata_index where;
    uint64_t indexed, chunks;
};

static void take(struct seen *s, const struct bp_mcap_record *r) {
    struct bp_mcap_message_index x;
    struct bp_mcap_chunk_index ci;
    struct bp_mcap_channel c;

    switch (r->op) {
    case BP_MCAP_SCHEMA:
        assert_int_equal(bp_mcap_schema(r, &s->schema), 0);
        break;
    case BP_MCAP_CHANNEL:
        assert_int_equal(bp_mcap_channel(r, &c), 0);
        *(c.schema_id ? &s->channel : &s->empty) = c;
        break;
    case BP_MCAP_MESSAGE:
        assert_int_equal(bp_mcap_message(r, &s->last), 0);
        break;
    case BP_MCAP_ATTACHMENT:
        assert_int_equal(bp_mcap_attachment(r, &s->attachment), 0);
        break;
    case BP_MCAP_METADATA:
        assert_int_equal(bp_mcap_metadata(r, &s->metadata), 0);
        break;
    case BP_MCAP_STATISTICS:
        assert_int_equal(bp_mcap_statistics(r, &s->stats), 0);
        break;
    case BP_MCAP_METADATA_INDEX:
        assert_int_equal(bp_mcap_metadata_index(r, &s->where), 0);
        break;
    case BP_MCAP_MESSAGE_INDEX:
        assert_int_equal(bp_mcap_message_index(r, &x), 0);
        s->indexed += x.count;
        break;
    case BP_MCAP_CHUNK_INDEX:
        assert_int_equal(bp_mcap_chunk_index(r, &ci), 0);
        s->chunks += ci.chunk_length > BP_MCAP_HEAD && ci.noffsets > 0;
        break;
    default:
        break;
    }
}

static void take_all(struct seen *s, struct bp_cur c) {
    struct bp_mcap_record r;
    struct bp_mcap_chunk chunk;

    while (bp_mcap_next(&c, &r) > 0) {
        take(s, &r);
        if (r.op == BP_MCAP_CHUNK && bp_mcap_chunk(&r, &chunk) >= 0)
            take_all(s, bp_cur_of(chunk.records, chunk.records_size));
    }
}

static void expect_text(struct bp_str s, const char *text) {
    assert_true(bp_str_eq(s, bp_str_of(text)));
}

static void check_foreign(const char *path, bool chunked) {
    BP_AUTO_FREE char *p = NULL;
    unsigned count[16] = { 0 };
    struct seen s = { 0 };
    struct bp_error err = { 0 };
    size_t n;

    assert_int_equal(bp_io_read_file(&bp_io_posix, path, 1 << 20, &p, &n, &err), 0);
    if (strict_file((uint8_t *) p, n, count, &err) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(count[BP_MCAP_MESSAGE], 4);
    assert_int_equal(count[BP_MCAP_CHUNK] > 0, chunked);
    take_all(&s, bp_cur_of(p + 8, n - 16));

    expect_text(s.schema.name, "std_msgs/msg/String");
    expect_text(s.schema.encoding, "ros2msg");
    expect_text(s.schema.data, "string data\n");
    expect_text(s.channel.topic, "/chatter");
    expect_text(s.channel.message_encoding, "cdr");
    expect_text(bp_mcap_map_get(s.channel.metadata, "topic_type_hash"), "RIHS01_x");
    assert_null(bp_mcap_map_get(s.channel.metadata, "none").p);
    expect_text(s.empty.topic, "/empty");
    assert_int_equal(s.last.log_time, 1500);
    assert_int_equal(s.last.size, 2);
    assert_memory_equal(s.last.data, "{}", 2);
    assert_int_equal(s.attachment.log_time, 6);
    assert_int_equal(s.attachment.create_time, 5);
    expect_text(s.attachment.name, "a.txt");
    expect_text(s.attachment.media_type, "text/plain");
    assert_int_equal(s.attachment.size, 8);
    assert_int_equal(s.attachment.crc, s.attachment.computed_crc);
    assert_int_not_equal(s.attachment.crc, 0);
    expect_text(bp_mcap_map_get(s.metadata.map, "ROS_DISTRO"), "jazzy");
    expect_text(s.where.name, "rosbag2");
    assert_int_equal(p[s.where.offset], BP_MCAP_METADATA);
    assert_int_equal(s.stats.messages, 4);
    assert_int_equal(s.stats.schemas, 1);
    assert_int_equal(s.stats.channels, 2);
    assert_int_equal(s.stats.attachments, 1);
    assert_int_equal(s.stats.metadata, 1);
    assert_int_equal(s.stats.start, 1000);
    assert_int_equal(s.stats.end, 1500);
    assert_int_equal(s.stats.ncounts, 2);
    assert_int_equal(s.indexed, chunked ? 4 : 0);
    assert_int_equal(s.chunks, s.stats.chunks);
}

static void foreign_files(void **state) {
    (void) state;
    check_foreign(BP_TEST_SOURCE "/corpus/mcap/all-stored", true);
    check_foreign(BP_TEST_SOURCE "/corpus/mcap/all-loose", false);
}

/* ---- one record at a time ---- */

static void next_is_bounded(void **state) {
    const uint8_t one[] = { 0x0f, 4, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4 };
    uint8_t bad[sizeof one];
    struct bp_mcap_record r;
    struct bp_cur c;

    (void) state;
    for (size_t n = 1; n < sizeof one; n++) { /* cut anywhere: the cursor stays */
        c = bp_cur_of(one, n);
        assert_int_equal(bp_mcap_next(&c, &r), BP_ETRUNCATED);
        assert_ptr_equal(c.p, one);
        assert_true(bp_cur_ok(&c));
    }
    c = bp_cur_of(one, sizeof one);
    assert_int_equal(bp_mcap_next(&c, &r), 1);
    assert_int_equal(r.n, 4);
    assert_ptr_equal(r.p, one + 9);
    assert_int_equal(bp_mcap_next(&c, &r), 0);

    memcpy(bad, one, sizeof bad);
    memset(bad + 1, 0xff, 8); /* a length that would wrap a pointer */
    c = bp_cur_of(bad, sizeof bad);
    assert_int_equal(bp_mcap_next(&c, &r), BP_ETRUNCATED);
    bad[0] = 0;
    c = bp_cur_of(bad, sizeof bad);
    assert_int_equal(bp_mcap_next(&c, &r), BP_EFORMAT);
}

/* Each decoder must refuse its record cut at any byte of its fields and take it with more behind.
 */
static int decode(const struct bp_mcap_record *r) {
    struct bp_mcap_header header;
    struct bp_mcap_footer footer;
    struct bp_mcap_schema schema;
    struct bp_mcap_channel channel;
    struct bp_mcap_chunk chunk;
    struct bp_mcap_message_index mi;
    struct bp_mcap_chunk_index ci;
    struct bp_mcap_statistics st;
    struct bp_mcap_metadata md;
    struct bp_mcap_metadata_index mdi;
    struct bp_mcap_attachment at;

    switch (r->op) {
    case BP_MCAP_HEADER:
        return bp_mcap_header(r, &header);
    case BP_MCAP_FOOTER:
        return bp_mcap_footer(r, &footer);
    case BP_MCAP_SCHEMA:
        return bp_mcap_schema(r, &schema);
    case BP_MCAP_CHANNEL:
        return bp_mcap_channel(r, &channel);
    case BP_MCAP_CHUNK:
        return bp_mcap_chunk(r, &chunk);
    case BP_MCAP_MESSAGE_INDEX:
        return bp_mcap_message_index(r, &mi);
    case BP_MCAP_CHUNK_INDEX:
        return bp_mcap_chunk_index(r, &ci);
    case BP_MCAP_STATISTICS:
        return bp_mcap_statistics(r, &st);
    case BP_MCAP_METADATA:
        return bp_mcap_metadata(r, &md);
    case BP_MCAP_METADATA_INDEX:
        return bp_mcap_metadata_index(r, &mdi);
    case BP_MCAP_ATTACHMENT:
        return bp_mcap_attachment(r, &at);
    default:
        return 1;
    }
}

static void cut_and_padded(void **state) {
    BP_AUTO_FREE char *p = NULL;
    struct bp_mcap_record r;
    unsigned kinds = 0;
    struct bp_cur c;
    size_t n;

    (void) state;
    assert_int_equal(bp_io_read_file(&bp_io_posix, BP_TEST_SOURCE "/corpus/mcap/all-stored",
                                     1 << 20, &p, &n, NULL),
                     0);
    for (c = bp_cur_of(p + 8, n - 16); bp_mcap_next(&c, &r) > 0;) {
        struct bp_mcap_record cut = r;
        uint8_t padded[2048] = { 0 };

        if (decode(&r) == 1)
            continue;
        kinds |= 1u << r.op;
        for (cut.n = 0; cut.n < r.n; cut.n++)
            assert_int_equal(decode(&cut), BP_EFORMAT);
        assert_true(r.n + 100 < sizeof padded);
        memcpy(padded, r.p, r.n);
        cut.p = padded;
        cut.n = r.n + 100;
        assert_int_equal(decode(&cut), 0);
    }
    assert_int_equal(kinds, 0x3bde); /* every opcode decode() knows */
}

static void names(void **state) {
    (void) state;
    assert_string_equal(bp_mcap_op_name(BP_MCAP_DATA_END), "DataEnd");
    assert_string_equal(bp_mcap_op_name(BP_MCAP_HEADER), "Header");
    assert_null(bp_mcap_op_name(0));
    assert_null(bp_mcap_op_name(0x10));
    assert_null(bp_mcap_op_name(0xff));
}

/* ---- strict ---- */

#define REC(op, ...) \
    { op, { __VA_ARGS__ }, sizeof((const uint8_t[]){ __VA_ARGS__ }) }
#define Z4 0, 0, 0, 0
#define Z8 Z4, Z4

struct small {
    uint8_t op, body[80];
    size_t n;
};

#define HEADER   REC(BP_MCAP_HEADER, Z8)
#define SCHEMA1  REC(BP_MCAP_SCHEMA, 1, 0, Z8, Z4)
#define CHANNEL1 REC(BP_MCAP_CHANNEL, 1, 0, 1, 0, Z8, Z4)
#define MESSAGE1 REC(BP_MCAP_MESSAGE, 1, 0, Z4, Z8, Z8)
#define DATA_END REC(BP_MCAP_DATA_END, Z4)
#define FOOTER   REC(BP_MCAP_FOOTER, Z8, Z8, Z4)
#define OFFSET   REC(BP_MCAP_SUMMARY_OFFSET, 3, Z8, Z8)

static const struct {
    const char *rule; /* of the last record; NULL: all is well */
    struct small v[7];
} strict_cases[] = {
    { NULL, { HEADER, SCHEMA1, CHANNEL1, MESSAGE1, DATA_END, FOOTER } },
    { NULL, { HEADER, SCHEMA1, DATA_END, SCHEMA1, OFFSET, FOOTER } },
    { NULL, { HEADER, REC(0x93, 1, 2, 3), DATA_END, FOOTER } },
    { NULL, { HEADER, REC(BP_MCAP_CHANNEL, 1, 0, 0, 0, Z8, Z4), MESSAGE1, DATA_END, FOOTER } },
    { "first record must be a Header", { SCHEMA1 } },
    { "not allowed in the data section", { HEADER, HEADER } },
    { "not allowed in the data section", { HEADER, FOOTER } },
    { "not allowed in the data section", { HEADER, OFFSET } },
    { "opcode is reserved", { HEADER, REC(0x10, 1) } },
    { "opcode is reserved", { HEADER, REC(0x7f, 1) } },
    { "schema was not defined", { HEADER, CHANNEL1 } },
    { "channel was not defined", { HEADER, MESSAGE1 } },
    { "id must not be 0", { HEADER, REC(BP_MCAP_SCHEMA, 0, 0, Z8, Z4) } },
    { "shorter than its fields", { HEADER, REC(BP_MCAP_SCHEMA, 1, 0, Z8) } },
    { "shorter than its fields", { HEADER, SCHEMA1, CHANNEL1, REC(BP_MCAP_MESSAGE, 1, 0, Z8) } },
    { "key stands twice",
      { HEADER, REC(BP_MCAP_METADATA, Z4, 20, 0, 0, 0, 1, 0, 0, 0, 'k', 1, 0, 0, 0, 'a', 1, 0, 0, 0,
                    'k', 1, 0, 0, 0, 'b') } },
    { "longer than the map", { HEADER, REC(BP_MCAP_METADATA, Z4, 5, 0, 0, 0, 9, 0, 0, 0, 'k') } },
    { "ends before it starts",
      { HEADER, REC(BP_MCAP_CHUNK, 2, 0, Z4, 0, 0, 1, 0, Z4, 0, 0, Z8, Z8, Z8) } },
    { "two sizes differ", { HEADER, REC(BP_MCAP_CHUNK, Z8, Z8, 5, 0, Z4, 0, 0, Z4, Z4, Z8) } },
    { "must be 4 bytes", { HEADER, REC(BP_MCAP_DATA_END, Z8) } },
    { "must be 20 bytes", { HEADER, DATA_END, REC(BP_MCAP_FOOTER, Z8, Z8, Z8) } },
    { "not allowed in the summary", { HEADER, DATA_END, MESSAGE1 } },
    { "stand together", { HEADER, SCHEMA1, CHANNEL1, DATA_END, SCHEMA1, CHANNEL1, SCHEMA1 } },
    { "behind the summary offsets", { HEADER, SCHEMA1, DATA_END, SCHEMA1, OFFSET, SCHEMA1 } },
    { "nothing may follow", { HEADER, DATA_END, FOOTER, FOOTER } },
    { "channel stands twice",
      { HEADER, DATA_END,
        REC(BP_MCAP_STATISTICS, Z8, 0, 0, Z8, Z8, Z8, Z8, 20, 0, 0, 0, 7, 0, Z8, 7, 0, Z8) } },
};

static void strict_rules(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(strict_cases); i++) {
        struct bp_mcap_check k = { 0 };
        struct bp_error err = { 0 };
        int r = 0;

        for (size_t j = 0; j < BP_COUNT(strict_cases[i].v) && strict_cases[i].v[j].n; j++) {
            const struct small *s = &strict_cases[i].v[j];
            const struct bp_mcap_record rec = { s->op, s->body, s->n };

            assert_int_equal(r, 0); /* only the last one breaks a rule */
            r = bp_mcap_check_step(&k, &rec, false, 77, &err);
        }
        if (!strict_cases[i].rule) {
            if (r != 0 || bp_mcap_check_end(&k, &err) != 0)
                fail_msg("case %zu: %s", i, err.text);
            continue;
        }
        if (r != BP_EFORMAT || !strstr(err.text, strict_cases[i].rule))
            fail_msg("case %zu: '%s' instead of '%s'", i, err.text, strict_cases[i].rule);
        assert_non_null(strstr(err.text, "at byte 77"));
        assert_int_equal(bp_mcap_check_end(&k, NULL), k.at == BP_MCAP_AT_END ? 0 : BP_ETRUNCATED);
    }
}

static void strict_inside(void **state) {
    static const struct small header = HEADER, schema = SCHEMA1,
                              index = REC(BP_MCAP_MESSAGE_INDEX, 1, 0, Z4),
                              wrong = REC(BP_MCAP_MESSAGE_INDEX, 1, 0, 8, 0, 0, 0, Z8);
    struct bp_mcap_check k = { 0 };
    struct bp_mcap_record r = { header.op, header.body, header.n };

    (void) state;
    assert_int_equal(bp_mcap_check_step(&k, &r, false, 0, NULL), 0);
    r = (struct bp_mcap_record){ schema.op, schema.body, schema.n };
    assert_int_equal(bp_mcap_check_step(&k, &r, true, 0, NULL), 0);
    r = (struct bp_mcap_record){ index.op, index.body, index.n };
    assert_int_equal(bp_mcap_check_step(&k, &r, true, 0, NULL), BP_EFORMAT);
    assert_int_equal(bp_mcap_check_step(&k, &r, false, 0, NULL), 0);
    r = (struct bp_mcap_record){ wrong.op, wrong.body, wrong.n };
    assert_int_equal(bp_mcap_check_step(&k, &r, false, 0, NULL), BP_EFORMAT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smallest_file),   cmocka_unit_test(foreign_files),
        cmocka_unit_test(next_is_bounded), cmocka_unit_test(cut_and_padded),
        cmocka_unit_test(names),           cmocka_unit_test(strict_rules),
        cmocka_unit_test(strict_inside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
