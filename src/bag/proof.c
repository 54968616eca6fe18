#include "bag/proof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/ulid.h"

/* One text for one meaning: what parses is, formatted again, the same bytes. So a signature over
 * the bytes is one over the meaning, and nothing can hide in spellings. */

void bp_proof_done(struct bp_proof *p) {
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        free(p->v[i].file);
    free(p->v);
    *p = (struct bp_proof){ 0 };
}

/* ---- writing ---- */

/* A name without spaces and line ends: they and what is not printable ASCII become %XX. */
static void put_name(struct bp_buf *b, const char *s) {
    for (; *s; s++) {
        if (*s > ' ' && *s < 127 && *s != '%')
            bp_buf_put_u8(b, (uint8_t) *s);
        else
            bp_buf_printf(b, "%%%02X", (unsigned) (uint8_t) *s);
    }
}

static void put_hex(struct bp_buf *b, const uint8_t *p, size_t n) {
    for (size_t i = 0; i < n; i++)
        bp_buf_printf(b, "%02x", p[i]);
}

/* The chain is over text, so that anybody can make it with a few lines of anything. */
void bp_proof_link(const char *session, const uint8_t before[static BP_SHA256_LEN], uint64_t number,
                   const char *file, uint64_t bytes, const uint8_t sha256[static BP_SHA256_LEN],
                   uint8_t ret[static BP_SHA256_LEN]) {
    char prev[BP_SHA256_HEX], sum[BP_SHA256_HEX], text[256 * 3 + 300];
    BP_AUTO_BUF name = { 0 };
    int n;

    put_name(&name, file);
    n = snprintf(text, sizeof text, "bagpipe.chain/1 %s %" PRIu64 " %s %" PRIu64 " %s %s\n",
                 session, number, bp_sha256_hex(before, prev), bytes, bp_sha256_hex(sha256, sum),
                 name.failed ? "" : bp_buf_cstr(&name));
    bp_sha256_of(text, BP_MIN((size_t) n, sizeof text - 1), ret);
}

static int add_raw(struct bp_proof *p, const char *file, const struct bp_proof_segment *s) {
    struct bp_proof_segment own = *s;

    own.file = strdup(file);
    if (own.file && (p->n & (p->n - 1)) == 0) { /* doubles at powers of two */
        struct bp_proof_segment *v = reallocarray(p->v, p->n ? 2 * p->n : 1, sizeof *v);

        if (!v) {
            free(own.file);
            return -ENOMEM;
        }
        p->v = v;
    }
    if (!own.file)
        return -ENOMEM;
    p->v[p->n++] = own;
    return 0;
}

int bp_proof_add(struct bp_proof *p, const char *file, uint64_t bytes,
                 const uint8_t sha256[static BP_SHA256_LEN]) {
    struct bp_proof_segment s = { .bytes = bytes };

    memcpy(s.sha256, sha256, sizeof s.sha256);
    bp_proof_link(p->session, p->n ? p->v[p->n - 1].chain : p->before, p->from + p->n, file, bytes,
                  sha256, s.chain);
    return add_raw(p, file, &s);
}

static void put_signed_part(const struct bp_proof *p, struct bp_buf *b) {
    char key[BP_PUBLIC_KEY_TEXT];

    bp_buf_printf(b, BP_PROOF_SCHEMA "\nsession %s\nstate %s\ntime %" PRId64 "\nfrom %" PRIu64 " ",
                  p->session, p->closed ? "closed" : "open", p->time_ns, p->from);
    put_hex(b, p->before, sizeof p->before);
    for (size_t i = 0; i < p->n; i++) {
        bp_buf_printf(b, "\nsegment %" PRIu64 " %" PRIu64 " ", p->from + i, p->v[i].bytes);
        put_hex(b, p->v[i].sha256, sizeof p->v[i].sha256);
        bp_buf_put_u8(b, ' ');
        put_hex(b, p->v[i].chain, sizeof p->v[i].chain);
        bp_buf_put_u8(b, ' ');
        put_name(b, p->v[i].file);
    }
    if (p->closed) {
        bp_buf_put_str(b, "\nmanifest ");
        put_hex(b, p->manifest, sizeof p->manifest);
    }
    bp_buf_printf(b, "\nkey %s\n", bp_public_key_text(p->key, key));
}

int bp_proof_format(const struct bp_proof *p, struct bp_buf *out) {
    put_signed_part(p, out);
    bp_buf_put_str(out, "signature ");
    put_hex(out, p->sig, sizeof p->sig);
    bp_buf_put_u8(out, '\n');
    return out->failed ? -ENOMEM : 0;
}

int bp_proof_sign(struct bp_proof *p, const struct bp_sign_key *key) {
    BP_AUTO_BUF b = { 0 };

    memcpy(p->key, bp_sign_key_public(key), sizeof p->key);
    put_signed_part(p, &b);
    return b.failed ? -ENOMEM : bp_sign(key, b.p, b.n, p->sig);
}

static int path_of(const char *dir, char *ret, size_t cap, struct bp_error *err) {
    return snprintf(ret, cap, "%s/" BP_PROOF_FILE, dir) >= (int) cap
               ? bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", dir)
               : 0;
}

int bp_proof_write(const struct bp_io *io, const char *dir, struct bp_proof *p,
                   const struct bp_sign_key *key, struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };
    char path[4096];
    int r = path_of(dir, path, sizeof path, err);

    if (r < 0)
        return r;
    r = bp_proof_sign(p, key);
    if (r == 0)
        r = bp_proof_format(p, &out);
    if (r < 0)
        return bp_fail(err, r, "cannot sign '%s': %s", path, bp_strerror(r));
    return bp_io_replace_file(io, path, out.p, out.n, err);
}

/* ---- reading ---- */

/* A line, word by word; words are parted by one space. */
struct line {
    const char *p, *end;
    bool bad;
};

static struct bp_str word(struct line *l) {
    const char *space = l->p < l->end ? memchr(l->p, ' ', (size_t) (l->end - l->p)) : NULL;
    const char *stop = space ? space : l->end;
    struct bp_str w = { l->p, (size_t) (stop - l->p) };

    l->bad |= w.n == 0;
    l->p = space ? space + 1 : l->end;
    if (space && l->p == l->end)
        l->bad = true;
    return w;
}

static uint64_t number(struct line *l, uint64_t max) {
    struct bp_str w = word(l);
    uint64_t v = 0;

    if (w.n == 0 || w.n > 19 || (w.n > 1 && w.p[0] == '0'))
        l->bad = true;
    for (size_t i = 0; i < w.n && !l->bad; i++) {
        if (w.p[i] < '0' || w.p[i] > '9')
            l->bad = true;
        v = v * 10 + (uint64_t) (w.p[i] - '0');
    }
    if (v > max)
        l->bad = true;
    return l->bad ? 0 : v;
}

static int digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void hex(struct line *l, struct bp_str w, uint8_t *ret, size_t n) {
    if (w.n != 2 * n) {
        l->bad = true;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int a = digit(w.p[2 * i]), b = digit(w.p[2 * i + 1]);

        if (a < 0 || b < 0) {
            l->bad = true;
            return;
        }
        ret[i] = (uint8_t) (a << 4 | b);
    }
}

static int upper_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* The byte that two upper-case digits name, or -1. */
static int escaped(const char *s) {
    int a = upper_digit(s[0]), b = upper_digit(s[1]);

    return a < 0 || b < 0 ? -1 : a << 4 | b;
}

/* The name in text, by the one spelling that put_name() has for it. */
static void name(struct line *l, char *ret, size_t cap) {
    struct bp_str w = word(l);
    BP_AUTO_BUF again = { 0 };
    size_t n = 0;

    for (size_t i = 0; i < w.n && !l->bad; i++) {
        int v = (uint8_t) w.p[i];

        if (v == '%') {
            v = i + 2 < w.n ? escaped(w.p + i + 1) : 0;
            i += 2;
        }
        if (v <= 0 || n + 1 >= cap)
            l->bad = true;
        else
            ret[n++] = (char) v;
    }
    ret[n] = 0;
    put_name(&again, ret);
    if (l->bad || again.n != w.n || memcmp(again.p, w.p, w.n) != 0 || strchr(ret, '/') ||
        bp_streq(ret, ".") || bp_streq(ret, ".."))
        l->bad = true;
}

struct input {
    struct bp_str text;
    size_t at, line_no;
};

/* The next line as key and rest; `key` is what must come. @return is it there? */
static bool next(struct input *in, const char *key, struct line *ret) {
    const char *from = in->text.p + in->at;
    size_t left = in->text.n - in->at, n = strlen(key);
    const char *end = left ? memchr(from, '\n', left) : NULL;

    if (!end || (size_t) (end - from) < n || memcmp(from, key, n) != 0)
        return false;
    *ret = (struct line){ .p = from + n, .end = end };
    in->at += (size_t) (end - from) + 1;
    in->line_no++;
    return true;
}

static bool read_head(struct input *in, struct bp_proof *p) {
    struct line l;
    struct bp_str w;

    if (!next(in, BP_PROOF_SCHEMA, &l) || l.p != l.end || !next(in, "session ", &l))
        return false;
    w = word(&l);
    if (bp_ulid_parse(w.p, w.n, NULL) < 0 || w.n >= sizeof p->session || l.p != l.end)
        return false;
    memcpy(p->session, w.p, w.n);
    if (!next(in, "state ", &l))
        return false;
    w = word(&l);
    p->closed = bp_str_eq(w, BP_STR("closed"));
    if ((!p->closed && !bp_str_eq(w, BP_STR("open"))) || l.p != l.end || !next(in, "time ", &l))
        return false;
    p->time_ns = (bp_ns_t) number(&l, INT64_MAX);
    if (l.bad || l.p != l.end || !next(in, "from ", &l))
        return false;
    p->from = number(&l, INT64_MAX);
    hex(&l, word(&l), p->before, sizeof p->before);
    return !l.bad && l.p == l.end;
}

/* @return 1 a segment, 0 another line, BP_EFORMAT, -ENOMEM */
static int read_segment(struct input *in, struct bp_proof *p) {
    struct bp_proof_segment s = { 0 };
    char file[256];
    struct line l;
    uint64_t no;
    int r;

    if (!next(in, "segment ", &l))
        return 0;
    no = number(&l, INT64_MAX);
    s.bytes = number(&l, INT64_MAX);
    hex(&l, word(&l), s.sha256, sizeof s.sha256);
    hex(&l, word(&l), s.chain, sizeof s.chain);
    name(&l, file, sizeof file);
    if (l.bad || l.p != l.end || no != p->from + p->n)
        return BP_EFORMAT;
    r = add_raw(p, file, &s);
    return r < 0 ? r : 1;
}

static bool read_tail(struct input *in, struct bp_proof *p) {
    struct line l;

    if (p->closed) {
        if (!next(in, "manifest ", &l))
            return false;
        hex(&l, word(&l), p->manifest, sizeof p->manifest);
        if (l.bad || l.p != l.end)
            return false;
    }
    if (!next(in, "key ed25519:", &l))
        return false;
    hex(&l, word(&l), p->key, sizeof p->key);
    if (l.bad || l.p != l.end)
        return false;
    p->signed_bytes = in->at;
    if (!next(in, "signature ", &l))
        return false;
    hex(&l, word(&l), p->sig, sizeof p->sig);
    return !l.bad && l.p == l.end && in->at == in->text.n;
}

int bp_proof_parse(struct bp_str text, struct bp_proof *ret, struct bp_error *err) {
    struct input in = { .text = text };
    BP_AUTO_PROOF p = { 0 };
    int r = read_head(&in, &p) ? 1 : BP_EFORMAT;

    while (r > 0)
        r = read_segment(&in, &p);
    if (r == 0 && !read_tail(&in, &p))
        r = BP_EFORMAT;
    if (r == BP_EFORMAT && in.line_no == 0)
        return bp_fail(err, r, "it is no signature: the first line is not " BP_PROOF_SCHEMA);
    if (r < 0)
        return bp_fail(err, r, "line %zu is not as it must be", in.line_no + (r == BP_EFORMAT));
    *ret = p;
    p = (struct bp_proof){ 0 };
    return 0;
}

/* @return number of the first link that does not hold, or n */
static size_t broken_link(const struct bp_proof *p) {
    const uint8_t *before = p->before;

    for (size_t i = 0; i < p->n; i++) {
        uint8_t want[BP_SHA256_LEN];

        bp_proof_link(p->session, before, p->from + i, p->v[i].file, p->v[i].bytes, p->v[i].sha256,
                      want);
        if (memcmp(want, p->v[i].chain, sizeof want) != 0)
            return i;
        before = p->v[i].chain;
    }
    return p->n;
}

int bp_proof_read(const struct bp_io *io, const char *dir, struct bp_proof *ret,
                  struct bp_error *err) {
    BP_AUTO_FREE char *text = NULL;
    BP_AUTO_PROOF p = { 0 };
    char path[4096];
    size_t n, at;
    int r = path_of(dir, path, sizeof path, err);

    if (r == 0)
        r = bp_io_read_file(io, path, BP_PROOF_BYTES_MAX, &text, &n, err);
    if (r < 0)
        return r;
    r = bp_proof_parse((struct bp_str){ text, n }, &p, err);
    if (r < 0)
        return r;
    r = bp_sign_check(p.key, text, p.signed_bytes, p.sig);
    if (r < 0)
        (void) bp_fail(err, r, "it was changed after it was signed: the signature does not hold");
    at = broken_link(&p);
    if (r == 0 && at < p.n)
        r = bp_fail(err, BP_EMISMATCH, "the chain does not hold at segment %zu ('%s')", at,
                    p.v[at].file);
    *ret = p;
    p = (struct bp_proof){ 0 };
    return r;
}
