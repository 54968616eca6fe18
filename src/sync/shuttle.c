#include "sync/shuttle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/ulid.h"

/* One text for one meaning, as with manifest.sig: a reader formats what it understood and compares,
 * so nothing can hide in spellings. */

enum { SESSIONS_MAX = 10000, FILES_MAX = 1000000 };

bool bp_sync_is_inside(const char *name) {
    size_t n = strlen(name);

    if (n == 0 || n > 1024 || name[n - 1] == '/')
        return false;
    for (const char *p = name; *p;) {
        size_t len = strcspn(p, "/");

        if (len == 0 || (len == 1 && p[0] == '.') || (len == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        p += len + (p[len] == '/');
    }
    for (const char *p = name; *p; p++)
        if ((unsigned char) *p < ' ' || *p == 127 || *p == '\\')
            return false;
    return true;
}

/* ---- the struct ---- */

static void session_done(struct bp_shuttle_session *x) {
    for (size_t i = 0; i < x->n; i++) {
        free(x->v[i].name);
        free(x->v[i].kind);
    }
    free(x->v);
    x->v = NULL;
    x->n = 0;
}

void bp_shuttle_done(struct bp_shuttle *s) {
    for (size_t i = 0; i < s->n; i++) {
        session_done(&s->v[i]);
        free(s->v[i].dir);
    }
    free(s->v);
    free(s->device);
    *s = (struct bp_shuttle){ 0 };
}

struct bp_shuttle_session *bp_shuttle_add(struct bp_shuttle *s, const char *id, const char *dir) {
    struct bp_shuttle_session *v;
    char *copy;

    for (size_t i = 0; i < s->n; i++) {
        if (bp_streq(s->v[i].id, id)) {
            session_done(&s->v[i]);
            return &s->v[i];
        }
    }
    copy = strdup(dir);
    v = copy && (s->n & (s->n - 1)) == 0 ? reallocarray(s->v, s->n ? 2 * s->n : 1, sizeof *v)
                                         : s->v;
    if (!copy || !v) {
        free(copy);
        return NULL;
    }
    s->v = v;
    v += s->n++;
    *v = (struct bp_shuttle_session){ .dir = copy };
    (void) snprintf(v->id, sizeof v->id, "%s", id);
    return v;
}

int bp_shuttle_add_file(struct bp_shuttle_session *s, const char *name, const char *kind,
                        uint64_t bytes, const uint8_t sha256[static BP_SHA256_LEN]) {
    struct bp_shuttle_file f = { .name = strdup(name), .kind = strdup(kind), .bytes = bytes };
    struct bp_shuttle_file *v =
        (s->n & (s->n - 1)) == 0 ? reallocarray(s->v, s->n ? 2 * s->n : 1, sizeof *v) : s->v;

    if (v)
        s->v = v;
    if (!v || !f.name || !f.kind) {
        free(f.name);
        free(f.kind);
        return -ENOMEM;
    }
    memcpy(f.sha256, sha256, sizeof f.sha256);
    s->v[s->n++] = f;
    return 0;
}

/* ---- writing ---- */

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

static void put_signed_part(const struct bp_shuttle *s, struct bp_buf *b) {
    char key[BP_PUBLIC_KEY_TEXT];

    bp_buf_put_str(b, BP_SHUTTLE_SCHEMA "\ndevice ");
    put_name(b, s->device);
    bp_buf_printf(b, "\ntime %" PRId64 "\n", s->time_ns);
    for (size_t i = 0; i < s->n; i++) {
        const struct bp_shuttle_session *x = &s->v[i];

        bp_buf_printf(b, "session %s ", x->id);
        put_hex(b, x->json_sha256, sizeof x->json_sha256);
        bp_buf_put_u8(b, ' ');
        put_name(b, x->dir);
        bp_buf_put_u8(b, '\n');
        for (size_t k = 0; k < x->n; k++) {
            bp_buf_put_str(b, "file ");
            put_hex(b, x->v[k].sha256, sizeof x->v[k].sha256);
            bp_buf_printf(b, " %" PRIu64 " %s ", x->v[k].bytes, x->v[k].kind);
            put_name(b, x->v[k].name);
            bp_buf_put_u8(b, '\n');
        }
    }
    bp_buf_printf(b, "key %s\n", s->is_signed ? bp_public_key_text(s->key, key) : "none");
}

static void put_signature(const struct bp_shuttle *s, struct bp_buf *b) {
    bp_buf_put_str(b, "signature ");
    if (s->is_signed)
        put_hex(b, s->sig, sizeof s->sig);
    else
        bp_buf_put_str(b, "none");
    bp_buf_put_u8(b, '\n');
}

int bp_shuttle_format(struct bp_shuttle *s, const struct bp_sign_key *key, struct bp_buf *out) {
    BP_AUTO_BUF b = { 0 };
    int r = 0;

    s->is_signed = key != NULL;
    if (key)
        memcpy(s->key, bp_sign_key_public(key), sizeof s->key);
    put_signed_part(s, &b);
    if (b.failed)
        return -ENOMEM;
    if (key)
        r = bp_sign(key, b.p, b.n, s->sig);
    if (r < 0)
        return r;
    bp_buf_put(out, b.p, b.n);
    put_signature(s, out);
    return out->failed ? -ENOMEM : 0;
}

/* ---- reading ---- */

struct reading {
    struct bp_str rest;
    struct bp_str line; /* what is left of it */
    unsigned number;
    size_t files;
    struct bp_error *err;
};

static int bad(const struct reading *r, const char *what) {
    return bp_fail(r->err, BP_EFORMAT, "line %u: %s", r->number, what);
}

static bool next_line(struct reading *r) {
    const char *end = memchr(r->rest.p, '\n', r->rest.n);

    if (!end)
        return false;
    r->line = (struct bp_str){ r->rest.p, (size_t) (end - r->rest.p) };
    r->rest.n -= r->line.n + 1;
    r->rest.p = end + 1;
    r->number++;
    return true;
}

/* The next word of the line. */
static struct bp_str word(struct reading *r) {
    const char *end = memchr(r->line.p, ' ', r->line.n);
    size_t n = end ? (size_t) (end - r->line.p) : r->line.n;
    struct bp_str w = { r->line.p, n };

    r->line.p += n + (end != NULL);
    r->line.n -= n + (end != NULL);
    return w;
}

static bool is_word(struct reading *r, const char *want) {
    return bp_str_eq(word(r), bp_str_of(want));
}

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Owned by the caller; NULL when it is none or there is no memory. */
static char *read_name(struct bp_str w) {
    char *out = w.n <= 4096 ? calloc(1, w.n + 1) : NULL;
    size_t n = 0;

    for (size_t i = 0; out && i < w.n; i++) {
        int c = (unsigned char) w.p[i];

        if (c == '%') {
            int hi = i + 2 < w.n ? hex_digit(w.p[i + 1]) : -1;
            int lo = i + 2 < w.n ? hex_digit(w.p[i + 2]) : -1;

            c = hi < 0 || lo < 0 ? 0 : hi << 4 | lo;
            i += 2;
        }
        if (c == 0) {
            free(out);
            return NULL;
        }
        out[n++] = (char) c;
    }
    return out;
}

static int read_number(struct bp_str w, uint64_t *ret) {
    uint64_t v = 0;

    if (w.n == 0 || w.n > 19)
        return BP_EFORMAT;
    for (size_t i = 0; i < w.n; i++) {
        if (w.p[i] < '0' || w.p[i] > '9')
            return BP_EFORMAT;
        v = v * 10 + (uint64_t) (w.p[i] - '0');
    }
    *ret = v;
    return 0;
}

static int read_session(struct reading *r, struct bp_shuttle *s) {
    struct bp_str id = word(r), sum = word(r);
    BP_AUTO_FREE char *dir = read_name(word(r));
    struct bp_shuttle_session *x;
    char text[27];

    if (id.n != 26 || bp_ulid_parse(id.p, id.n, NULL) < 0 || sum.n != 64 || !dir ||
        !bp_sync_is_inside(dir) || strchr(dir, '/') || s->n == SESSIONS_MAX)
        return bad(r, "this is no session");
    memcpy(text, id.p, 26);
    text[26] = 0;
    x = bp_shuttle_add(s, text, dir);
    if (!x)
        return bp_fail(r->err, -ENOMEM, "no memory for a session");
    return bp_key_digits(sum, x->json_sha256, sizeof x->json_sha256) < 0
               ? bad(r, "this is no digest")
               : 0;
}

static int read_file(struct reading *r, struct bp_shuttle *s) {
    struct bp_str sum = word(r), bytes = word(r);
    BP_AUTO_FREE char *kind = read_name(word(r));
    BP_AUTO_FREE char *name = read_name(word(r));
    uint8_t digest[BP_SHA256_LEN];
    uint64_t n;

    if (s->n == 0 || sum.n != 64 || bp_key_digits(sum, digest, sizeof digest) < 0 ||
        read_number(bytes, &n) < 0 || !kind || strlen(kind) > 16 || !name ||
        !bp_sync_is_inside(name) || r->files++ == FILES_MAX)
        return bad(r, "this is no file");
    return bp_shuttle_add_file(&s->v[s->n - 1], name, kind, n, digest) < 0
               ? bp_fail(r->err, -ENOMEM, "no memory for a file")
               : 0;
}

static int read_head(struct reading *r, struct bp_shuttle *s) {
    uint64_t t = 0;

    if (!next_line(r) || !bp_str_eq(r->line, BP_STR(BP_SHUTTLE_SCHEMA)))
        return bad(r, "this is no list of a shuttle disk (" BP_SHUTTLE_SCHEMA ")");
    if (!next_line(r) || !is_word(r, "device") || !(s->device = read_name(word(r))))
        return bad(r, "there is no device");
    if (!next_line(r) || !is_word(r, "time") || read_number(word(r), &t) < 0 || t > INT64_MAX)
        return bad(r, "there is no time");
    s->time_ns = (bp_ns_t) t;
    return 0;
}

static int read_body(struct reading *r, struct bp_shuttle *s) {
    while (next_line(r)) {
        struct bp_str w = word(r);
        int e;

        if (bp_str_eq(w, BP_STR("key"))) {
            s->is_signed = !bp_str_eq(r->line, BP_STR("none"));
            return s->is_signed && bp_public_key_parse(r->line, s->key) < 0
                       ? bad(r, "this is no public key")
                       : 0;
        }
        if (bp_str_eq(w, BP_STR("session")))
            e = read_session(r, s);
        else if (bp_str_eq(w, BP_STR("file")))
            e = read_file(r, s);
        else
            e = bad(r, "this is neither session, file nor key");
        if (e < 0)
            return e;
    }
    return bad(r, "there is no key");
}

/* The same bytes come out as went in, and the signature is that of the key over them. */
static int check_text(const struct bp_shuttle *s, struct bp_str text, struct bp_error *err) {
    BP_AUTO_BUF b = { 0 };
    size_t n;

    put_signed_part(s, &b);
    n = b.n;
    put_signature(s, &b);
    if (b.failed)
        return bp_fail(err, -ENOMEM, "no memory to check a signature");
    if (b.n != text.n || memcmp(b.p, text.p, text.n) != 0)
        return bp_fail(err, BP_EFORMAT, "it is not written as we write it");
    if (s->is_signed && bp_sign_check(s->key, b.p, n, s->sig) < 0)
        return bp_fail(err, BP_EMISMATCH, "its signature does not hold");
    return 0;
}

int bp_shuttle_parse(struct bp_str text, struct bp_shuttle *ret, struct bp_error *err) {
    BP_AUTO_SHUTTLE s = { 0 };
    struct reading r = { .rest = text, .err = err };
    int e = read_head(&r, &s);

    if (e >= 0)
        e = read_body(&r, &s);
    if (e < 0)
        return e;
    if (!next_line(&r) || !is_word(&r, "signature") || r.rest.n ||
        (s.is_signed && bp_key_digits(r.line, s.sig, sizeof s.sig) < 0))
        return bad(&r, "there is no signature at its end");
    e = check_text(&s, text, err);
    if (e < 0)
        return e;
    *ret = BP_TAKE(s, ((struct bp_shuttle){ 0 }));
    return 0;
}
