/* A message as JSON, exactly as JSON.stringify() gives it for the object that
 * @foxglove/rosmsg2-serialization decodes: numbers in JavaScript's notation, float32 widened to
 * double, NaN and infinities null, invalid UTF-8 as U+FFFD the way TextDecoder puts it. */
#include "base/json.h"
#include "base/decimal.h"
#include "wire/field.h"
#include "wire/schema-priv.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>

struct json {
    struct bp_buf *out;
    size_t limit; /* most bytes of out->n */
    bool quote64;
    bool bare; /* the next key is left out */
};

enum { LIMIT_BASE = 64 << 20, LIMIT_PER_BYTE = 64, BLOCK = 256, SINGLE = 40 };

static bool put_escape(struct bp_buf *b, unsigned char c) {
    static const char letters[32] = { [8] = 'b', [9] = 't', [10] = 'n', [12] = 'f', [13] = 'r' };
    static const char hex[] = "0123456789abcdef";
    char text[6] = { '\\', (char) c, '0', '0', 0, 0 };
    size_t n = 2;

    if (c < 32 && letters[c]) {
        text[1] = letters[c];
    } else if (c < 32) {
        text[1] = 'u';
        text[4] = hex[c >> 4];
        text[5] = hex[c & 15];
        n = 6;
    }
    bp_buf_put(b, text, n);
    return true;
}

/* How many bytes one U+FFFD stands for: the longest beginning of a valid character, at least one
 * (WHATWG Encoding, "maximal subpart"). */
static size_t invalid_length(const char *p, size_t n) {
    static const char *const tails[] = { "\x80", "\x80\x80", "\xbf", "\xbf\xbf" };
    size_t best = 1;
    char whole[6];

    for (size_t have = 2; have <= 3 && have <= n; have++) {
        bool prefix = false;

        /* A beginning is valid when some continuation makes it whole. */
        for (size_t i = 0; i < BP_COUNT(tails) && !prefix; i++) {
            size_t more = strlen(tails[i]);

            memcpy(whole, p, have);
            memcpy(whole + have, tails[i], more);
            prefix = bp_utf8_char(whole, have + more) == have + more;
        }
        if (!prefix)
            break;
        best = have;
    }
    return best;
}

/* Text in quotes. A byte order mark at its head is dropped, as TextDecoder does. */
static void put_string(struct bp_buf *b, const char *s, size_t n) {
    size_t done = 0, i = 0;

    if (n >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0)
        done = i = 3;
    bp_buf_put_u8(b, '"');
    while (i < n) {
        unsigned char c = (unsigned char) s[i];
        size_t length;

        if (c >= 0x20 && c < 0x80 && c != '"' && c != '\\') {
            i++;
            continue;
        }
        length = c < 0x80 ? 0 : bp_utf8_char(s + i, n - i);
        if (length > 0) {
            i += length;
            continue;
        }
        bp_buf_put(b, s + done, i - done);
        if (c < 0x80) {
            put_escape(b, c);
            i++;
        } else {
            bp_buf_put_str(b, "\xef\xbf\xbd");
            i += invalid_length(s + i, n - i);
        }
        done = i;
    }
    bp_buf_put(b, s + done, n - done);
    bp_buf_put_u8(b, '"');
}

static void put_utf8(struct bp_buf *b, uint32_t c) {
    if (c < 0x80) {
        bp_buf_put_u8(b, (uint8_t) c);
        return;
    }
    if (c < 0x800) {
        bp_buf_put_u8(b, (uint8_t) (0xc0 | c >> 6));
    } else {
        if (c < 0x10000) {
            bp_buf_put_u8(b, (uint8_t) (0xe0 | c >> 12));
        } else {
            bp_buf_put_u8(b, (uint8_t) (0xf0 | c >> 18));
            bp_buf_put_u8(b, (uint8_t) (0x80 | (c >> 12 & 0x3f)));
        }
        bp_buf_put_u8(b, (uint8_t) (0x80 | (c >> 6 & 0x3f)));
    }
    bp_buf_put_u8(b, (uint8_t) (0x80 | (c & 0x3f)));
}

void bp_value_utf8(const struct bp_value *v, struct bp_buf *out) {
    for (size_t i = 0; i < v->n; i++) {
        uint64_t c = bp_value_u64(v, BP_PRIM_WCHAR, i), low;

        if (c >= 0xd800 && c < 0xdc00 && i + 1 < v->n) {
            low = bp_value_u64(v, BP_PRIM_WCHAR, i + 1);
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i++;
            }
        }
        if ((c >= 0xd800 && c < 0xe000) || c > 0x10ffff)
            c = 0xfffd;
        put_utf8(out, (uint32_t) c);
    }
}

static void put_text(struct json *j, const struct bp_op *op, const struct bp_value *v) {
    BP_AUTO_BUF narrow = { 0 };

    if (op->prim == BP_PRIM_STRING) {
        put_string(j->out, (const char *) v->p, v->n);
        return;
    }
    bp_value_utf8(v, &narrow);
    j->out->failed |= narrow.failed;
    put_string(j->out, (const char *) narrow.p, narrow.n);
}

static char *put_real(char *at, double d) {
    if (isfinite(d))
        return at + bp_put_f64_js(d, at);
    memcpy(at, "null", 4); /* NOLINT(bugprone-not-null-terminated-result): the caller goes on */
    return at + 4;
}

/* One item at `at`, which has room for SINGLE bytes; returns where it ends. */
static char *put_number(char *at, const struct bp_value *v, enum bp_prim prim, size_t i,
                        bool quote) {
    switch (prim) {
    case BP_PRIM_BOOL:
        memcpy(at, v->p[i] ? "true" : "false", 5);
        return at + (v->p[i] ? 4 : 5);
    case BP_PRIM_FLOAT32:
    case BP_PRIM_FLOAT64:
        return put_real(at, bp_value_f64(v, prim, i));
    case BP_PRIM_INT8:
    case BP_PRIM_INT16:
    case BP_PRIM_INT32:
        return at + bp_put_i64((int64_t) bp_value_u64(v, prim, i), at);
    case BP_PRIM_INT64:
    case BP_PRIM_UINT64:
        if (quote)
            *at++ = '"';
        at += prim == BP_PRIM_INT64 ? bp_put_i64((int64_t) bp_value_u64(v, prim, i), at)
                                    : bp_put_u64(bp_value_u64(v, prim, i), at);
        if (quote)
            *at++ = '"';
        return at;
    default:
        return at + bp_put_u64(bp_value_u64(v, prim, i), at);
    }
}

/* Bytes are the bulk of what robots send: "0," to "255," ready to copy. */
static char byte_texts[256][4];
static uint8_t byte_lengths[256];
static pthread_once_t byte_once = PTHREAD_ONCE_INIT;

static void make_byte_texts(void) {
    for (unsigned i = 0; i < 256; i++) {
        char text[BP_DECIMAL_TEXT];
        size_t n = bp_put_u64(i, text);

        text[n++] = ',';
        memcpy(byte_texts[i], text, n);
        byte_lengths[i] = (uint8_t) n;
    }
}

/* As put_numbers() for `n` bytes; `at` has room for 4 a byte. */
static char *put_bytes(char *at, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++) {
        memcpy(at, byte_texts[p[i]], 4);
        at += byte_lengths[p[i]];
    }
    return at;
}

/* Items in blocks, so that room is asked for once for many. */
static void put_numbers(struct json *j, const struct bp_op *op, const struct bp_value *v) {
    bool bytes = op->size == 1 && op->prim != BP_PRIM_BOOL && op->prim != BP_PRIM_INT8;
    size_t most = op->size == 1 ? 6 : SINGLE;

    (void) pthread_once(&byte_once, make_byte_texts);

    for (size_t i = 0; i < v->n && j->out->n <= j->limit;) {
        size_t end = BP_MIN(v->n, i + BLOCK);
        char *from = (char *) bp_buf_reserve(j->out, (end - i) * most + SINGLE), *at = from;

        if (!from)
            return;
        if (bytes) {
            at = put_bytes(at, v->p + i, end - i);
            i = end;
        }
        for (; i < end; i++) {
            at = put_number(at, v, op->prim, i, j->quote64);
            *at++ = ',';
        }
        j->out->n += (size_t) (at - from);
    }
    if (v->n > 0)
        j->out->n--; /* the last comma */
}

static int check(const struct json *j) {
    if (j->out->failed)
        return -ENOMEM;
    return j->out->n > j->limit ? BP_ELIMIT : 0;
}

static void put_key(struct json *j, const struct bp_op *op) {
    if (j->bare) {
        j->bare = false;
        return;
    }
    if (j->out->n > 0 && j->out->p[j->out->n - 1] != '{')
        bp_buf_put_u8(j->out, ',');
    bp_buf_put(j->out, op->key.p, op->key.n);
}

static int on_value(void *ctx, const struct bp_op *op, const struct bp_value *v) {
    struct json *j = ctx;

    put_key(j, op);
    if (op->size == 0) {
        put_text(j, op, v);
    } else if (op->array != BP_ARRAY_NONE) {
        bp_buf_put_u8(j->out, '[');
        put_numbers(j, op, v);
        bp_buf_put_u8(j->out, ']');
    } else {
        char *at = (char *) bp_buf_reserve(j->out, SINGLE);

        if (at)
            j->out->n += (size_t) (put_number(at, v, op->prim, 0, j->quote64) - at);
    }
    return check(j);
}

static int on_enter(void *ctx, const struct bp_op *op, uint32_t count) {
    struct json *j = ctx;

    (void) count;
    put_key(j, op);
    bp_buf_put_u8(j->out, op->array == BP_ARRAY_NONE ? '{' : '[');
    return check(j);
}

static int on_item(void *ctx, const struct bp_op *op, uint32_t i, const struct bp_value *string) {
    struct json *j = ctx;

    if (string) {
        if (i > 0)
            bp_buf_put_u8(j->out, ',');
        put_text(j, op, string);
    } else {
        bp_buf_put_str(j->out, i > 0 ? "},{" : "{");
    }
    return check(j);
}

static int on_leave(void *ctx, const struct bp_op *op, uint32_t count) {
    struct json *j = ctx;

    if (op->prim == BP_PRIM_STRUCT && count > 0)
        bp_buf_put_u8(j->out, '}');
    if (op->array != BP_ARRAY_NONE)
        bp_buf_put_u8(j->out, ']');
    return check(j);
}

static const struct bp_visitor visitor = { on_value, on_enter, on_item, on_leave };

static struct json json_into(struct bp_buf *out, size_t n, bool quote64) {
    return (struct json){
        .out = out,
        .limit = out->n + LIMIT_BASE + (n < SIZE_MAX / 256 ? n * LIMIT_PER_BYTE : SIZE_MAX / 4),
        .quote64 = quote64,
    };
}

static int tell(const struct bp_schema *s, size_t n, int r, struct bp_error *err) {
    if (r == BP_ELIMIT)
        return bp_fail(err, r, "%s: the text is too long for a message of %zu bytes",
                       bp_schema_type(s)->name, n);
    if (r == -ENOMEM)
        return bp_fail(err, r, "%s: out of memory", bp_schema_type(s)->name);
    return r;
}

int bp_schema_to_json(const struct bp_schema *s, const void *cdr, size_t n, bool quote64,
                      struct bp_buf *out, struct bp_error *err) {
    struct json j = json_into(out, n, quote64);
    int r;

    bp_buf_put_u8(out, '{');
    r = bp_schema_walk(s, cdr, n, &visitor, &j, err);
    bp_buf_put_u8(out, '}');
    return tell(s, n, r < 0 ? r : check(&j), err);
}

int bp_field_to_json(const struct bp_field *f, const void *cdr, size_t n, bool quote64,
                     struct bp_buf *out, struct bp_error *err) {
    struct json j = json_into(out, n, quote64);
    int r;

    j.bare = true;
    r = bp_field_walk(f, cdr, n, &visitor, &j, err);
    if (r == 0)
        bp_buf_put_str(out, "null");
    return tell(bp_field_schema(f), n, r < 0 ? r : check(&j), err);
}
