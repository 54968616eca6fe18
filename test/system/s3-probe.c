/* Drives the S3 client for s3.py: one JSON array of words a line in, one JSON object a line out.
 * What it talks to comes from the environment: S3_ENDPOINT, S3_BUCKET, …; keys as the client finds
 * them. */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "base/thread.h"
#include "crypt/digest.h"
#include "net/s3.h"
#include "wire/sigv4.h"

static struct bp_s3 *s3;
static struct bp_s3_creds *creds;
static struct bp_fetch *fetch;
static size_t paced;

enum { MAX_WORDS = 12 };

struct call {
    const char *w[MAX_WORDS]; /* words; "" behind the last */
    const json_t *json;       /* the array */
    json_t *out;
    struct bp_s3_failure failure;
    struct bp_error err;
};

static void add(struct call *c, const char *name, json_t *v) {
    (void) json_object_set_new(c->out, name, v);
}

static void add_object(struct call *c, const struct bp_s3_object *o) {
    char hex[BP_SHA256_HEX];

    add(c, "size", json_integer((json_int_t) o->size));
    add(c, "etag", json_string(o->etag));
    add(c, "modified", json_integer(o->modified / BP_SEC));
    if (o->has_digest)
        add(c, "digest", json_string(bp_sha256_hex(o->digest, hex)));
}

static uint64_t number(const char *w) {
    return strtoull(w, NULL, 10);
}

static int digest_of(const struct bp_fetch_file *f, uint8_t ret[static BP_SHA256_LEN]) {
    BP_AUTO_FREE uint8_t *p = malloc(f->size + 1);

    if (!p || pread(f->fd, p, f->size, (off_t) f->offset) != (ssize_t) f->size)
        return -EIO;
    bp_sha256_of(p, f->size, ret);
    return 0;
}

static void count(void *ctx, size_t n) {
    (void) ctx;
    paced += n;
}

static const struct bp_s3_flow flow = { .pace = count };

/* ["put", key, path, "new,digest,signed,wrong"] */
static int do_put(struct call *c) {
    BP_AUTO_FD int fd = open(c->w[2], O_RDONLY | O_CLOEXEC);
    struct bp_fetch_file file = { .fd = fd, .size = (uint64_t) lseek(fd, 0, SEEK_END) };
    struct bp_s3_body body = { .file = &file };
    struct bp_s3_put_options o = { .new_only = strstr(c->w[3], "new") != NULL };
    struct bp_s3_object made = { 0 };
    static const char *const meta[] = { "robot: seven", NULL };
    uint8_t digest[BP_SHA256_LEN];
    int r = digest_of(&file, digest);

    if (strstr(c->w[3], "wrong"))
        digest[0] ^= 1;
    o.digest = strstr(c->w[3], "digest") ? digest : NULL;
    o.meta = meta;
    body.sha256 = strstr(c->w[3], "signed") ? digest : NULL;
    if (r == 0)
        r = bp_s3_put(s3, c->w[1], &body, &o, &flow, &made, &c->failure, &c->err);
    if (r == 0)
        add_object(c, &made);
    return r;
}

static int to_file(void *ctx, const void *p, size_t n) {
    return write(*(int *) ctx, p, n) == (ssize_t) n ? 0 : -EIO;
}

/* ["get", key, offset, size, path, etag] */
static int do_get(struct call *c) {
    BP_AUTO_FD int fd = open(c->w[4], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct bp_s3_object o = { 0 };
    int r = bp_s3_get(s3, c->w[1], number(c->w[2]), number(c->w[3]), c->w[5], to_file, &fd, NULL,
                      &o, &c->failure, &c->err);

    if (r == 0)
        add_object(c, &o);
    return r;
}

static int do_head(struct call *c) {
    struct bp_s3_object o = { 0 };
    int r = bp_s3_head(s3, c->w[1], &o, &c->failure, &c->err);

    if (r == 0)
        add_object(c, &o);
    return r;
}

static int do_delete(struct call *c) {
    return bp_s3_delete(s3, c->w[1], &c->failure, &c->err);
}

static int do_copy(struct call *c) {
    return bp_s3_copy(s3, c->w[1], c->w[2], &c->failure, &c->err);
}

static int entry(void *ctx, const struct bp_s3_entry *e) {
    return json_array_append_new(
        ctx, json_pack("{s:s%, s:b, s:I, s:s, s:I}", "key", e->key, strlen(e->key), "prefix",
                       e->is_prefix, "size", (json_int_t) e->object.size, "etag", e->object.etag,
                       "modified", (json_int_t) (e->object.modified / BP_SEC)));
}

/* ["list", under, delimiter, after] */
static int do_list(struct call *c) {
    json_t *all = json_array();
    int r = bp_s3_list(s3, c->w[1], c->w[2], c->w[3], entry, all, &c->failure, &c->err);

    add(c, "entries", all);
    return r;
}

static int do_probe(struct call *c) {
    bp_ns_t date = 0;
    int r = bp_s3_probe(s3, &date, &c->failure, &c->err);

    add(c, "date", json_integer(date / BP_SEC));
    add(c, "provider", json_string(bp_s3_provider(s3)));
    add(c, "equal_parts", json_boolean(bp_s3_equal_parts(s3)));
    return r;
}

/* ---- uploads ---- */

static int do_create(struct call *c) {
    struct bp_s3_put_options o = { .new_only = bp_streq(c->w[2], "new"), .content_type = "x/y" };
    char *id = NULL;
    int r = bp_s3_upload_create(s3, c->w[1], &o, &id, &c->failure, &c->err);

    if (r == 0)
        add(c, "id", json_string(id));
    free(id);
    return r;
}

static json_t *part_json(const struct bp_s3_part *p) {
    char hex[BP_SHA256_HEX];

    return json_pack("{s:i, s:I, s:s, s:s, s:s}", "number", (int) p->number, "size",
                     (json_int_t) p->size, "etag", p->etag, "sha256",
                     p->has_sha256 ? bp_sha256_hex(p->sha256, hex) : "", "crc64",
                     p->has_crc64 ? "yes" : "");
}

/* Parts that were sent or listed last, for "complete". */
static struct bp_s3_part sent[BP_S3_MAX_PARTS];
static size_t nsent;

/* ["part", key, id, number, path, offset, size, "signed,wrong"] */
static int do_part(struct call *c) {
    BP_AUTO_FD int fd = open(c->w[4], O_RDONLY | O_CLOEXEC);
    struct bp_fetch_file file = { .fd = fd, .offset = number(c->w[5]), .size = number(c->w[6]) };
    struct bp_s3_body body = { .file = &file };
    struct bp_s3_part part;
    uint8_t digest[BP_SHA256_LEN];
    int r = digest_of(&file, digest);

    if (strstr(c->w[7], "wrong"))
        digest[0] ^= 1;
    body.sha256 = strstr(c->w[7], "signed") ? digest : NULL;
    if (r == 0)
        r = bp_s3_upload_part(s3, c->w[1], c->w[2], (unsigned) number(c->w[3]), &body, &flow, &part,
                              &c->failure, &c->err);
    if (r < 0)
        return r;
    add(c, "part", part_json(&part));
    if (nsent < BP_S3_MAX_PARTS)
        sent[nsent++] = part;
    return 0;
}

/* ["parts", key, id] */
static int do_parts(struct call *c) {
    struct bp_s3_parts parts = { 0 };
    json_t *all = json_array();
    int r = bp_s3_upload_list(s3, c->w[1], c->w[2], &parts, &c->failure, &c->err);

    nsent = 0;
    for (size_t i = 0; i < parts.n; i++) {
        (void) json_array_append_new(all, part_json(&parts.v[i]));
        sent[nsent++] = parts.v[i];
    }
    add(c, "parts", all);
    bp_s3_parts_done(&parts);
    return r;
}

/* ["complete", key, id, "new,forget,wrong"]: of what was sent or listed since the last */
static int do_complete(struct call *c) {
    struct bp_s3_object o = { 0 };
    int r;

    for (size_t i = 0; i < nsent && strstr(c->w[3], "forget"); i++)
        sent[i].has_sha256 = sent[i].has_crc64 = false;
    if (strstr(c->w[3], "wrong"))
        (void) snprintf(sent[0].etag, sizeof sent[0].etag, "\"0123456789abcdef0123456789abcdef\"");
    r = bp_s3_upload_complete(s3, c->w[1], c->w[2], sent, nsent, strstr(c->w[3], "new") != NULL, &o,
                              &c->failure, &c->err);
    nsent = 0;
    if (r == 0)
        add_object(c, &o);
    return r;
}

static int do_abort(struct call *c) {
    nsent = 0;
    return bp_s3_upload_abort(s3, c->w[1], c->w[2], &c->failure, &c->err);
}

static int open_upload(void *ctx, const struct bp_s3_upload *u) {
    return json_array_append_new(ctx, json_pack("{s:s, s:s, s:I}", "key", u->key, "id", u->id,
                                                "begun", (json_int_t) (u->begun / BP_SEC)));
}

static int do_uploads(struct call *c) {
    json_t *all = json_array();
    int r = bp_s3_uploads(s3, c->w[1], open_upload, all, &c->failure, &c->err);

    add(c, "uploads", all);
    return r;
}

static bool is_wanted(void *ctx, const struct bp_s3_upload *u) {
    return bp_streq(u->id, ctx);
}

/* ["clean", under, older than (seconds since 1970), id to keep, "dry"] */
static int do_clean(struct call *c) {
    size_t n = 0;
    int r =
        bp_s3_uploads_clean(s3, c->w[1], (bp_ns_t) number(c->w[2]) * BP_SEC, is_wanted,
                            strdupa(c->w[3]), bp_streq(c->w[4], "dry"), &n, &c->failure, &c->err);

    add(c, "n", json_integer((json_int_t) n));
    return r;
}

/* ---- many at once ---- */

struct load {
    const char *key, *path, *id;
    uint64_t size, part;
    size_t n;
    size_t next; /* [atomic] */
    int failed;  /* [atomic] */
    struct bp_s3_part *parts;
};

static int load_part(struct load *l, int fd, size_t i) {
    struct bp_fetch_file file = { .fd = fd,
                                  .offset = i * l->part,
                                  .size = BP_MIN(l->part, l->size - i * l->part) };
    struct bp_s3_body body = { .file = &file };
    uint8_t digest[BP_SHA256_LEN];
    int r = digest_of(&file, digest);

    body.sha256 = digest;
    return r < 0 ? r
                 : bp_s3_upload_part(s3, l->key, l->id, (unsigned) i + 1, &body, NULL, &l->parts[i],
                                     NULL, NULL);
}

static void *load_parts(void *arg) {
    struct load *l = arg;
    BP_AUTO_FD int fd = open(l->path, O_RDONLY | O_CLOEXEC);

    for (size_t i; (i = __atomic_fetch_add(&l->next, 1, __ATOMIC_RELAXED)) < l->n;)
        if (load_part(l, fd, i) < 0)
            __atomic_store_n(&l->failed, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* ["load", key, path, part size, threads]: a file in parts, several at once */
static int do_load(struct call *c) {
    BP_AUTO_FD int fd = open(c->w[2], O_RDONLY | O_CLOEXEC);
    struct load l = { .key = c->w[1], .path = c->w[2], .part = number(c->w[3]) };
    size_t threads = BP_MIN(number(c->w[4]), (uint64_t) 16);
    pthread_t t[16];
    bp_ns_t begun = bp_mono_ns(), cpu = bp_cpu_ns();
    struct bp_s3_object made = { 0 };
    char *id = NULL;
    int r = bp_s3_upload_create(s3, l.key, NULL, &id, &c->failure, &c->err);

    if (r < 0)
        return r;
    l.id = id;
    l.size = (uint64_t) lseek(fd, 0, SEEK_END);
    l.n = (l.size + l.part - 1) / l.part;
    l.parts = calloc(l.n, sizeof l.parts[0]);
    for (size_t i = 0; i < threads; i++)
        if (bp_thread_start("load", load_parts, &l, &t[i]) < 0)
            abort();
    for (size_t i = 0; i < threads; i++)
        (void) pthread_join(t[i], NULL);
    r = l.failed ? -EIO
                 : bp_s3_upload_complete(s3, l.key, id, l.parts, l.n, false, &made, &c->failure,
                                         &c->err);
    add(c, "seconds", json_real((double) (bp_mono_ns() - begun) / 1e9));
    add(c, "cpu", json_real((double) (bp_cpu_ns() - cpu) / 1e9));
    add(c, "size", json_integer((json_int_t) made.size));
    free(l.parts);
    free(id);
    return r;
}

/* ---- signing ---- */

/* ["presign", method, key, id, number, seconds] */
static int do_presign(struct call *c) {
    char *url = NULL;
    int r =
        bp_s3_presign(s3, c->w[1], c->w[2], c->w[3][0] ? c->w[3] : NULL, (unsigned) number(c->w[4]),
                      (bp_ns_t) number(c->w[5]) * BP_SEC, &url, &c->err);

    if (r == 0)
        add(c, "url", json_string(url));
    free(url);
    return r;
}

static size_t pairs(const json_t *list, struct bp_sigv4_pair v[static BP_SIGV4_MAX_PAIRS]) {
    size_t n = BP_MIN(json_array_size(list), (size_t) BP_SIGV4_MAX_PAIRS);

    for (size_t i = 0; i < n; i++)
        v[i] =
            (struct bp_sigv4_pair){ json_string_value(json_array_get(json_array_get(list, i), 0)),
                                    json_string_value(json_array_get(json_array_get(list, i), 1)) };
    return n;
}

/* ["sign", {…}] */
static int do_sign(struct call *c) {
    const json_t *o = json_array_get(c->json, 1);
    struct bp_sigv4_pair query[BP_SIGV4_MAX_PAIRS], headers[BP_SIGV4_MAX_PAIRS];
    BP_AUTO_BUF path = { 0 }, q = { 0 }, auth = { 0 }, url = { 0 };
    const char *key = json_string_value(json_object_get(o, "path"));
    struct bp_sigv4_key k = {
        .access_key = json_string_value(json_object_get(o, "access")),
        .secret_key = json_string_value(json_object_get(o, "secret")),
        .session_token = json_string_value(json_object_get(o, "token")),
        .region = json_string_value(json_object_get(o, "region")),
        .service = "s3",
    };
    struct bp_sigv4_request rq = {
        .method = json_string_value(json_object_get(o, "method")),
        .query = query,
        .nquery = pairs(json_object_get(o, "query"), query),
        .headers = headers,
        .nheaders = pairs(json_object_get(o, "headers"), headers),
        .payload = json_string_value(json_object_get(o, "payload")),
        .wall = json_integer_value(json_object_get(o, "time")) * BP_SEC,
    };
    int r;

    bp_sigv4_put_path(&path, key, strlen(key));
    rq.path = bp_buf_cstr(&path);
    r = bp_sigv4_put_query(&q, rq.query, rq.nquery);
    if (r == 0)
        r = bp_sigv4_authorize(&k, &rq, &auth);
    if (r == 0)
        r = bp_sigv4_presign(&k, &rq, 3600, &url);
    add(c, "path", json_string(rq.path));
    add(c, "query", json_string(bp_buf_cstr(&q)));
    add(c, "authorization", json_string(bp_buf_cstr(&auth)));
    add(c, "presigned", json_string(bp_buf_cstr(&url)));
    return r;
}

static int do_creds(struct call *c) {
    int r = bp_s3_creds_check(creds, &c->err);

    add(c, "source", json_string(bp_s3_creds_source(creds)));
    return r;
}

static const struct {
    const char *name;
    int (*run)(struct call *c);
} verbs[] = {
    { "put", do_put },         { "get", do_get },           { "head", do_head },
    { "delete", do_delete },   { "copy", do_copy },         { "list", do_list },
    { "probe", do_probe },     { "create", do_create },     { "part", do_part },
    { "parts", do_parts },     { "complete", do_complete }, { "abort", do_abort },
    { "uploads", do_uploads }, { "clean", do_clean },       { "presign", do_presign },
    { "sign", do_sign },       { "creds", do_creds },       { "load", do_load },
};

static void answer(const char *line) {
    json_t *in = json_loads(line, 0, NULL);
    struct call c = { .json = in, .out = json_object() };
    int r = -ENOSYS;

    for (size_t i = 0; i < MAX_WORDS; i++) {
        const char *w = json_string_value(json_array_get(in, i));

        c.w[i] = w ? w : "";
    }
    paced = 0;
    for (size_t i = 0; i < BP_COUNT(verbs); i++)
        if (bp_streq(verbs[i].name, c.w[0]))
            r = verbs[i].run(&c);
    add(&c, "r", json_integer(r));
    add(&c, "class", json_string(bp_s3_class_text(c.failure.class)));
    add(&c, "status", json_integer(c.failure.status));
    add(&c, "code", json_string(c.failure.code));
    add(&c, "retry_after", json_real((double) c.failure.retry_after / 1e9));
    add(&c, "text", json_string(c.err.text));
    add(&c, "paced", json_integer((json_int_t) paced));
    if (s3)
        add(&c, "offset", json_integer(bp_s3_clock_offset(s3) / BP_SEC));
    (void) json_dumpf(c.out, stdout, JSON_COMPACT | JSON_ENSURE_ASCII);
    (void) putchar('\n');
    (void) fflush(stdout);
    json_decref(c.out);
    json_decref(in);
}

static enum bp_s3_checksum checksum(void) {
    const char *v = getenv("S3_CHECKSUM");

    return !v                    ? BP_S3_CHECKSUM_AUTO
           : bp_streq(v, "none") ? BP_S3_CHECKSUM_NONE
           : bp_streq(v, "crc")  ? BP_S3_CHECKSUM_CRC64NVME
                                 : BP_S3_CHECKSUM_SHA256;
}

static int open_all(struct bp_error *err) {
    struct bp_s3_options o = { .endpoint = getenv("S3_ENDPOINT"),
                               .region = getenv("S3_REGION"),
                               .bucket = getenv("S3_BUCKET"),
                               .prefix = getenv("S3_PREFIX"),
                               .provider = getenv("S3_PROVIDER"),
                               .sse = getenv("S3_SSE"),
                               .checksum = checksum() };
    const char *style = getenv("S3_STYLE"), *copy = getenv("S3_COPY"), *sse = getenv("S3_SSE_C");
    static uint8_t key[32];
    struct bp_fetch_options f = { .ca_file = getenv("S3_CA"),
                                  .proxy = "",
                                  .stall_timeout = 5 * BP_SEC };
    int r = bp_fetch_open(&f, &fetch, err);

    if (r == 0)
        r = bp_s3_creds_open(&(struct bp_s3_creds_options){ .profile = getenv("S3_PROFILE"),
                                                            .anonymous = getenv("S3_ANON") },
                             fetch, &creds, err);
    if (r < 0 || !o.bucket)
        return r;
    if (style)
        o.style = bp_streq(style, "virtual") ? BP_S3_STYLE_VIRTUAL : BP_S3_STYLE_PATH;
    if (copy)
        o.copy_part_bytes = number(copy);
    if (sse) {
        memset(key, sse[0], sizeof key);
        o.sse_customer = key;
    }
    o.fetch = fetch;
    o.creds = creds;
    return bp_s3_open(&o, &s3, err);
}

int main(void) {
    BP_AUTO_FREE char *line = NULL;
    struct bp_error err = { 0 };
    size_t cap = 0;

    (void) signal(SIGPIPE, SIG_IGN);
    if (open_all(&err) < 0) {
        (void) printf("{\"r\": %d, \"text\": \"%s\"}\n", err.code, err.text);
        return 1;
    }
    (void) printf("{\"r\": 0}\n");
    (void) fflush(stdout);
    while (getline(&line, &cap, stdin) > 0)
        answer(line);
    bp_s3_close(s3);
    bp_s3_creds_close(creds);
    bp_fetch_close(fetch);
    return 0;
}
