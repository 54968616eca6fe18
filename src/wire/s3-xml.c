#include "wire/s3-xml.h"

#include <errno.h>
#include <stdio.h>
#include <time.h>

#include "base/json.h"

enum event { OPEN, CLOSE, TEXT, END };

struct reader {
    const char *start, *p, *end;
    struct bp_str name;  /* of OPEN and CLOSE, without prefix */
    struct bp_str full;  /* the same with it */
    bool self_closed;    /* <a/>: CLOSE follows */
    struct bp_buf *text; /* TEXT is appended to it */
    struct bp_error *err;
};

static int bad(const struct reader *x, const char *what) {
    return bp_fail(x->err, BP_EFORMAT, "XML, byte %zu: %s", (size_t) (x->p - x->start), what);
}

static int ended(const struct reader *x) {
    return bp_fail(x->err, BP_ETRUNCATED, "XML ends early");
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool is_name(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.' || c == ':' || (unsigned char) c >= 0x80;
}

static bool looking_at(const struct reader *x, const char *text) {
    size_t n = strlen(text);

    return (size_t) (x->end - x->p) >= n && memcmp(x->p, text, n) == 0;
}

/* Steps behind the next `what`. */
static int skip_to(struct reader *x, const char *what) {
    const char *at = memmem(x->p, (size_t) (x->end - x->p), what, strlen(what));

    if (!at)
        return ended(x);
    x->p = at + strlen(what);
    return 0;
}

static void skip_blanks(struct reader *x) {
    while (x->p < x->end && is_blank(*x->p))
        x->p++;
}

static int read_name(struct reader *x) {
    const char *from = x->p, *colon;

    while (x->p < x->end && is_name(*x->p))
        x->p++;
    if (x->p == from)
        return x->p == x->end ? ended(x) : bad(x, "a name was expected");
    x->full = (struct bp_str){ from, (size_t) (x->p - from) };
    colon = memrchr(from, ':', x->full.n);
    from = colon ? colon + 1 : from;
    x->name = (struct bp_str){ from, (size_t) (x->p - from) };
    return 0;
}

/* name="value", name='value' */
static int skip_attributes(struct reader *x) {
    const struct bp_str name = x->name, full = x->full;
    int r = 0;

    for (skip_blanks(x); r == 0 && x->p < x->end && *x->p != '>' && *x->p != '/'; skip_blanks(x)) {
        const char *quote;

        r = read_name(x);
        if (r < 0)
            return r;
        skip_blanks(x);
        if (x->p == x->end || *x->p != '=')
            return x->p == x->end ? ended(x) : bad(x, "an attribute without value");
        x->p++;
        skip_blanks(x);
        if (x->p == x->end || (*x->p != '"' && *x->p != '\''))
            return x->p == x->end ? ended(x) : bad(x, "a value without quotes");
        quote = memchr(x->p + 1, *x->p, (size_t) (x->end - x->p) - 1);
        if (!quote)
            return ended(x);
        x->p = quote + 1;
    }
    x->name = name;
    x->full = full;
    return r;
}

/* Behind '<'. */
static int read_open(struct reader *x) {
    int r = read_name(x);

    if (r == 0)
        r = skip_attributes(x);
    if (r < 0)
        return r;
    if (x->p < x->end && *x->p == '/') {
        x->self_closed = true;
        x->p++;
    }
    if (x->p == x->end)
        return ended(x);
    if (*x->p != '>')
        return bad(x, "'>' was expected");
    x->p++;
    return OPEN;
}

/* Behind "</". */
static int read_close(struct reader *x) {
    int r = read_name(x);

    if (r < 0)
        return r;
    skip_blanks(x);
    if (x->p == x->end)
        return ended(x);
    if (*x->p != '>')
        return bad(x, "'>' was expected");
    x->p++;
    return CLOSE;
}

static void put_utf8(struct bp_buf *b, uint32_t c) {
    if (c < 0x80) {
        bp_buf_put_u8(b, (uint8_t) c);
    } else if (c < 0x800) {
        bp_buf_put_u8(b, (uint8_t) (0xc0 | c >> 6));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (c & 63)));
    } else if (c < 0x10000) {
        bp_buf_put_u8(b, (uint8_t) (0xe0 | c >> 12));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (c >> 6 & 63)));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (c & 63)));
    } else {
        bp_buf_put_u8(b, (uint8_t) (0xf0 | c >> 18));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (c >> 12 & 63)));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (c >> 6 & 63)));
        bp_buf_put_u8(b, (uint8_t) (0x80 | (c & 63)));
    }
}

/* "#38" or "#x26". Control characters are not XML 1.0, but servers write keys so. @return 0: none
 */
static uint32_t numbered(struct bp_str s) {
    unsigned base = s.n > 1 && (s.p[1] == 'x' || s.p[1] == 'X') ? 16 : 10;
    uint32_t c = 0;

    for (size_t i = base == 16 ? 2 : 1; i < s.n; i++) {
        unsigned char d = (unsigned char) s.p[i];
        unsigned v = d >= '0' && d <= '9'   ? (unsigned) d - '0'
                     : d >= 'a' && d <= 'f' ? (unsigned) d - 'a' + 10
                     : d >= 'A' && d <= 'F' ? (unsigned) d - 'A' + 10
                                            : 99u;

        if (v >= base)
            return 0;
        c = c * base + v;
        if (c > 0x10ffff)
            return 0;
    }
    return c >= 0xd800 && c <= 0xdfff ? 0 : c;
}

/* At '&'. */
static int read_entity(struct reader *x) {
    static const struct {
        struct bp_str name;
        char c;
    } known[] = { { BP_STR("lt"), '<' },
                  { BP_STR("gt"), '>' },
                  { BP_STR("amp"), '&' },
                  { BP_STR("quot"), '"' },
                  { BP_STR("apos"), '\'' } };
    size_t left = (size_t) (x->end - x->p) - 1;
    const char *semicolon = memchr(x->p + 1, ';', BP_MIN(left, (size_t) 12));
    struct bp_str s = { x->p + 1, semicolon ? (size_t) (semicolon - x->p) - 1 : 0 };
    uint32_t c = 0;

    if (!semicolon)
        return left < 12 ? ended(x) : bad(x, "'&' that begins no entity");
    for (size_t i = 0; i < BP_COUNT(known); i++)
        if (bp_str_eq(s, known[i].name))
            c = (uint32_t) known[i].c;
    if (c == 0 && s.n > 1 && s.p[0] == '#')
        c = numbered(s);
    if (c == 0)
        return bad(x, "an entity that is not known");
    put_utf8(x->text, c);
    x->p = semicolon + 1;
    return 0;
}

/* Up to the next '<'. */
static int read_text(struct reader *x) {
    while (x->p < x->end && *x->p != '<') {
        const char *from = x->p;
        int r = 0;

        while (x->p < x->end && *x->p != '<' && *x->p != '&')
            x->p++;
        bp_buf_put(x->text, from, (size_t) (x->p - from));
        if (x->p < x->end && *x->p == '&')
            r = read_entity(x);
        if (r < 0)
            return r;
        if (x->text->n > BP_S3_XML_TEXT)
            return bp_fail(x->err, BP_ELIMIT, "XML: an element of more than %d bytes",
                           BP_S3_XML_TEXT);
    }
    return TEXT;
}

static int read_cdata(struct reader *x) {
    const char *from = x->p += 9; /* "<![CDATA[" */
    int r = skip_to(x, "]]>");

    if (r < 0)
        return r;
    if ((size_t) (x->p - from) > BP_S3_XML_TEXT)
        return bp_fail(x->err, BP_ELIMIT, "XML: an element of more than %d bytes", BP_S3_XML_TEXT);
    bp_buf_put(x->text, from, (size_t) (x->p - from) - 3);
    return TEXT;
}

/* @return what comes next, or why nothing does */
static int next(struct reader *x) {
    int r = 0;

    if (x->self_closed) {
        x->self_closed = false;
        return CLOSE; /* names are still those of OPEN */
    }
    while (r == 0 && x->p < x->end) {
        if (*x->p != '<')
            return read_text(x);
        if (looking_at(x, "<!--")) {
            x->p += 4;
            r = skip_to(x, "-->");
        } else if (looking_at(x, "<?")) {
            r = skip_to(x, "?>");
        } else if (looking_at(x, "<![CDATA[")) {
            return read_cdata(x);
        } else if (looking_at(x, "<!")) {
            return bad(x, "a DTD is not taken");
        } else if (looking_at(x, "</")) {
            x->p += 2;
            return read_close(x);
        } else {
            x->p++;
            return read_open(x);
        }
    }
    return r < 0 ? r : END;
}

/* ---- a document ---- */

/* Where in the tree we are. */
struct place {
    struct bp_str open[BP_S3_XML_DEPTH]; /* names with prefix, in the document */
    size_t depth;
    char path[BP_S3_XML_PATH];    /* below the root */
    size_t ends[BP_S3_XML_DEPTH]; /* of the path, by depth */
    bool has_children;            /* the element that closes next */
};

static int go_in(struct reader *x, struct place *at, const char *root) {
    size_t from = at->depth > 0 ? at->ends[at->depth - 1] : 0, n = x->name.n;

    if (at->depth == BP_S3_XML_DEPTH)
        return bp_fail(x->err, BP_ELIMIT, "XML: more than %d elements deep", BP_S3_XML_DEPTH);
    if (at->depth == 0 && !bp_str_eq(x->name, bp_str_of(root)))
        return bp_fail(x->err, BP_EFORMAT, "XML: '%.*s' where '%s' was expected",
                       (int) BP_MIN(n, (size_t) 60), x->name.p, root);
    if (at->depth == 0)
        n = 0;
    if (from + n + 2 > sizeof at->path)
        return bp_fail(x->err, BP_ELIMIT, "XML: names too long");
    if (n > 0) {
        if (from > 0)
            at->path[from++] = '/';
        memcpy(at->path + from, x->name.p, n);
    }
    at->path[from + n] = '\0';
    at->ends[at->depth] = from + n;
    at->open[at->depth++] = x->full;
    at->has_children = false;
    bp_buf_clear(x->text);
    return 0;
}

static int go_out(struct reader *x, struct place *at, bp_s3_xml_leaf leaf, void *ctx) {
    struct bp_str text = { (const char *) x->text->p, x->text->n };
    int r = 0;

    if (at->depth == 0 || !bp_str_eq(x->full, at->open[at->depth - 1]))
        return bad(x, "the end of something that is not open");
    if (x->text->failed)
        return bp_fail(x->err, -ENOMEM, "out of memory");
    if (at->has_children || text.n == 0)
        text = BP_STR("");
    if (--at->depth > 0) {
        r = leaf(ctx, at->path, text, x->err);
        at->path[at->ends[at->depth - 1]] = '\0';
    }
    at->has_children = true;
    bp_buf_clear(x->text);
    return r;
}

static bool all_blank(const struct bp_buf *b) {
    for (size_t i = 0; i < b->n; i++)
        if (!is_blank((char) b->p[i]))
            return false;
    return true;
}

int bp_s3_xml_read(struct bp_str xml, const char *root, bp_s3_xml_leaf leaf, void *ctx,
                   struct bp_error *err) {
    BP_AUTO_BUF text = { 0 };
    struct reader x = {
        .start = xml.p, .p = xml.p, .end = xml.p + xml.n, .text = &text, .err = err
    };
    struct place at = { 0 };
    bool begun = false;
    int r = 0;

    if (xml.n > BP_S3_XML_SIZE)
        return bp_fail(err, BP_ELIMIT, "XML of more than %d bytes", BP_S3_XML_SIZE);
    if (looking_at(&x, "\xef\xbb\xbf"))
        x.p += 3;
    while (r >= 0) {
        r = next(&x);
        if (r < 0 || r == END)
            break;
        if (at.depth == 0 && (r == TEXT ? !all_blank(&text) : begun))
            return bad(&x, "something beside the root");
        if (r == TEXT) {
            if (at.depth == 0)
                bp_buf_clear(&text);
            continue;
        }
        begun = true;
        r = r == OPEN ? go_in(&x, &at, root) : go_out(&x, &at, leaf, ctx);
    }
    if (r < 0)
        return r;
    return at.depth > 0 || !begun ? ended(&x) : 0;
}

struct bp_str bp_s3_xml_root(struct bp_str xml) {
    BP_AUTO_BUF text = { 0 };
    struct reader x = {
        .start = xml.p, .p = xml.p, .end = xml.p + BP_MIN(xml.n, (size_t) 65536), .text = &text
    };
    int r;

    if (looking_at(&x, "\xef\xbb\xbf"))
        x.p += 3;
    do
        r = next(&x);
    while (r == TEXT && all_blank(&text));
    return r == OPEN ? x.name : (struct bp_str){ 0 };
}

/* ---- what is in them ---- */

static void cut(char *out, size_t size, struct bp_str text) {
    (void) snprintf(out, size, "%.*s", (int) BP_MIN(text.n, size), text.p);
}

static int error_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    struct bp_s3_xml_error *e = ctx;

    (void) err;
    if (bp_streq(path, "Code"))
        cut(e->code, sizeof e->code, text);
    else if (bp_streq(path, "Message"))
        cut(e->message, sizeof e->message, text);
    else if (bp_streq(path, "RequestId"))
        cut(e->request_id, sizeof e->request_id, text);
    else if (bp_streq(path, "Region"))
        cut(e->region, sizeof e->region, text);
    else if (bp_streq(path, "ServerTime"))
        cut(e->time, sizeof e->time, text);
    return 0;
}

/* Amazon's STS wraps it: <ErrorResponse><Error>…. */
static int wrapped_leaf(void *ctx, const char *path, struct bp_str text, struct bp_error *err) {
    return error_leaf(ctx, bp_starts_with(path, "Error/") ? path + 6 : path, text, err);
}

int bp_s3_xml_error_read(struct bp_str xml, struct bp_s3_xml_error *ret) {
    struct bp_s3_xml_error e = { 0 };
    bool wrapped = bp_str_eq(bp_s3_xml_root(xml), BP_STR("ErrorResponse"));
    int r = wrapped ? bp_s3_xml_read(xml, "ErrorResponse", wrapped_leaf, &e, NULL)
                    : bp_s3_xml_read(xml, "Error", error_leaf, &e, NULL);

    *ret = r < 0 ? (struct bp_s3_xml_error){ 0 } : e;
    return r;
}

void bp_s3_xml_put(struct bp_buf *b, const char *text, size_t n) {
    for (size_t i = 0; i < n;) {
        size_t k = bp_utf8_char(text + i, n - i);
        unsigned char c = (unsigned char) text[i];

        if (k == 0 || (c < 0x20 && c != '\t' && c != '\n' && c != '\r'))
            bp_buf_put_str(b, "\xef\xbf\xbd");
        else if (c == '<' || c == '>' || c == '&' || c == '"' || c == '\r')
            bp_buf_printf(b, "&#%u;", c);
        else
            bp_buf_put(b, text + i, k);
        i += k ? k : 1;
    }
}

int bp_s3_xml_time(struct bp_str text, bp_ns_t *ret_wall) {
    char copy[40], *end;
    struct tm tm = { 0 };
    time_t at;

    if (text.n >= sizeof copy)
        return -EINVAL;
    memcpy(copy, text.p, text.n);
    copy[text.n] = '\0';
    end = strptime(copy, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end)
        return -EINVAL;
    if (*end == '.')
        end += 1 + strspn(end + 1, "0123456789");
    if (!bp_streq(end, "Z") && !bp_streq(end, "+00:00") && *end)
        return -EINVAL;
    at = timegm(&tm);
    if (at < 0 || at > 9000000000)
        return -EINVAL;
    *ret_wall = (bp_ns_t) at * BP_SEC;
    return 0;
}

int bp_s3_xml_number(struct bp_str text, uint64_t *ret) {
    uint64_t v = 0;

    if (text.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] < '0' || text.p[i] > '9')
            return -EINVAL;
        if (__builtin_mul_overflow(v, 10u, &v) ||
            __builtin_add_overflow(v, (uint64_t) (text.p[i] - '0'), &v))
            return -ERANGE;
    }
    *ret = v;
    return 0;
}

static int hex_of(char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

int bp_s3_xml_unescape(char *text, size_t n, size_t *ret_n) {
    size_t out = 0;

    for (size_t i = 0; i < n; i++) {
        if (text[i] == '%') {
            int high = i + 2 < n ? hex_of(text[i + 1]) : -1,
                low = i + 2 < n ? hex_of(text[i + 2]) : -1;

            if (high < 0 || low < 0 || high + low == 0)
                return -EINVAL;
            text[out++] = (char) (high << 4 | low);
            i += 2;
        } else {
            text[out++] = text[i] == '+' ? ' ' : text[i];
        }
    }
    *ret_n = out;
    return 0;
}
