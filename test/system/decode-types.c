/* The decoder for judges written in other languages: takes requests on stdin, answers on stdout,
 * both as u32 little-endian length and that many bytes.
 *
 *   "S" type NUL encoding NUL text   new schema      → "" or "!" error
 *   "J" cdr                          as JSON         → JSON or "!" error
 *   "T" cdr                          as YAML text    → text or "!" error
 *   "H"                              RIHS01          → text
 *   "R" type NUL                     RIHS01 of the embedded table
 *   "D" type NUL hash NUL cdr        definition from a GetTypeDescription_Response
 */
#include <stdio.h>
#include <string.h>

#include "wire/schema.h"

static struct bp_schema *schema;

static int read_request(struct bp_buf *b) {
    uint8_t head[4];
    uint32_t n;

    bp_buf_clear(b);
    if (fread(head, 1, 4, stdin) != 4)
        return -1;
    n = bp_ld_le32(head);
    return bp_buf_grow(b, n) && fread(b->p, 1, n, stdin) == n ? 0 : -1;
}

static int set_schema(const struct bp_buf *b, struct bp_error *err) {
    const char *type = (const char *) b->p + 1, *end = (const char *) b->p + b->n;
    const char *encoding = type + strlen(type) + 1, *text = encoding + strlen(encoding) + 1;

    bp_schema_free(schema);
    schema = NULL;
    return bp_schema_parse(type, encoding, (struct bp_str){ text, (size_t) (end - text) }, &schema,
                           err);
}

static int from_description(const struct bp_buf *b, struct bp_buf *out, struct bp_error *err) {
    const char *type = (const char *) b->p + 1, *end = (const char *) b->p + b->n;
    const char *hash = type + strlen(type) + 1, *cdr = hash + strlen(hash) + 1;

    return bp_schema_from_type_description(cdr, (size_t) (end - cdr), type, hash, out, err);
}

static int answer(const struct bp_buf *b, struct bp_buf *out, struct bp_error *err) {
    char hash[72];
    int r;

    switch (b->p[0]) {
    case 'S':
        return set_schema(b, err);
    case 'J':
        return bp_schema_to_json(schema, b->p + 1, b->n - 1, true, out, err);
    case 'T':
        return bp_schema_to_text(schema, b->p + 1, b->n - 1, 0, out, err);
    case 'H':
        r = bp_schema_hash(schema, hash, err);
        bp_buf_put_str(out, r == 0 ? hash : "");
        return r;
    case 'R':
        r = bp_typedb_hash((const char *) b->p + 1, hash, err);
        bp_buf_put_str(out, r == 0 ? hash : "");
        return r;
    case 'D':
        return from_description(b, out, err);
    default:
        return bp_fail(err, BP_EUSAGE, "unknown request");
    }
}

int main(void) {
    BP_AUTO_BUF in = { 0 }, out = { 0 };

    while (read_request(&in) == 0 && in.n > 0) {
        struct bp_error err = { 0 };
        uint8_t head[4];

        bp_buf_clear(&out);
        if (answer(&in, &out, &err) < 0) {
            bp_buf_clear(&out);
            bp_buf_printf(&out, "!%s", err.text);
        }
        bp_st_le32(head, (uint32_t) out.n);
        (void) fwrite(head, 1, 4, stdout);
        (void) fwrite(out.p, 1, out.n, stdout);
        (void) fflush(stdout);
    }
    bp_schema_free(schema);
    return 0;
}
