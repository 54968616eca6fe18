#include "bag/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include <jansson.h>

#include "base/json.h"
#include "crypt/digest.h"

/* Numbers that may pass 2^53 (times) are JSON strings, so that JavaScript does not round them. */

static const char *const durability_names[] = { "fast", "commit", "strict" };

/* The causes of enum bp_loss as keys. */
static const char *const loss_keys[] = { "transport", "ring", "budget",  "disk",    "rate",
                                         "paused",    "bad",  "control", "degraded" };
_Static_assert(BP_COUNT(loss_keys) == BP_LOSS_N_, "one key per cause");

/* ---- memory ---- */

void bp_manifest_done(struct bp_manifest *m) {
    if (!m)
        return;
    for (size_t i = 0; i < m->nsegments; i++)
        free(m->segments[i].file);
    for (size_t i = 0; i < m->nchannels; i++) {
        free(m->channels[i].topic);
        free(m->channels[i].type);
        free(m->channels[i].robot);
    }
    for (size_t i = 0; i < m->nrecoveries; i++)
        free(m->recoveries[i].report);
    free(m->segments);
    free(m->channels);
    free(m->recoveries);
    free(m->steps);
    free(m->id);
    free(m->name);
    free(m->tool);
    free(m->signed_by);
    *m = (struct bp_manifest){ 0 };
}

/* Room for one more element; doubles at powers of two, so that no capacity has to be kept. */
static void *grown(void *v, size_t n, size_t size) {
    return (n & (n - 1)) == 0 ? reallocarray(v, n ? n * 2 : 1, size) : v;
}

#define GROW(v, n)                                   \
    __extension__({                                  \
        void *more_ = grown((v), (n), sizeof(*(v))); \
        if (more_)                                   \
            (v) = more_;                             \
        more_ != NULL;                               \
    })

static char *copy_of(const char *s) {
    return strdup(s ? s : "");
}

int bp_manifest_init(struct bp_manifest *m, const char *id, const char *name, bp_ns_t created_ns) {
    *m = (struct bp_manifest){
        .id = copy_of(id),
        .name = copy_of(name),
        .tool = copy_of("bagpipe " BP_VERSION),
        .signed_by = copy_of(""),
        .created_ns = created_ns,
        .durability = BP_SYNC_COMMIT,
    };
    if (m->id && m->name && m->tool && m->signed_by)
        return 0;
    bp_manifest_done(m);
    return -ENOMEM;
}

int bp_manifest_add_segment(struct bp_manifest *m, const struct bp_manifest_segment *s) {
    struct bp_manifest_segment own = *s;

    own.file = copy_of(s->file);
    if (!own.file || !GROW(m->segments, m->nsegments)) {
        free(own.file);
        return -ENOMEM;
    }
    m->segments[m->nsegments++] = own;
    return 0;
}

int bp_manifest_add_channel(struct bp_manifest *m, const struct bp_manifest_channel *c) {
    struct bp_manifest_channel own = *c;

    own.topic = copy_of(c->topic);
    own.type = copy_of(c->type);
    own.robot = copy_of(c->robot);
    if (!own.topic || !own.type || !own.robot || !GROW(m->channels, m->nchannels)) {
        free(own.topic);
        free(own.type);
        free(own.robot);
        return -ENOMEM;
    }
    m->channels[m->nchannels++] = own;
    return 0;
}

int bp_manifest_add_recovery(struct bp_manifest *m, const struct bp_manifest_recovery *r) {
    struct bp_manifest_recovery own = *r;

    own.report = copy_of(r->report);
    if (!own.report || !GROW(m->recoveries, m->nrecoveries)) {
        free(own.report);
        return -ENOMEM;
    }
    m->recoveries[m->nrecoveries++] = own;
    return 0;
}

int bp_manifest_add_step(struct bp_manifest *m, struct bp_manifest_step s) {
    if (!GROW(m->steps, m->nsteps))
        return -ENOMEM;
    m->steps[m->nsteps++] = s;
    return 0;
}

/* ---- SHA-256 of a file ---- */

static int hash_fd(const struct bp_io *io, int fd, uint8_t *buf, size_t cap, struct bp_sha256 *h,
                   uint64_t *ret_bytes, int (*progress)(void *ctx, uint64_t bytes), void *ctx) {
    uint64_t at = 0;

    for (;;) {
        ssize_t n = io->pread(io->ctx, fd, buf, cap, at);

        if (n < 0)
            return (int) n;
        if (n == 0)
            break;
        bp_sha256_add(h, buf, (size_t) n);
        at += (uint64_t) n;
        if (progress && progress(ctx, (uint64_t) n) != 0)
            return -ECANCELED;
    }
    *ret_bytes = at;
    return 0;
}

int bp_manifest_hash_file(const struct bp_io *io, const char *path, uint64_t *ret_bytes,
                          char ret_hex[static 65], int (*progress)(void *ctx, uint64_t bytes),
                          void *ctx, struct bp_error *err) {
    enum { PIECE = 1 << 20 };
    BP_CLEANUP(bp_sha256_freep) struct bp_sha256 *h = bp_sha256_new();
    BP_AUTO_FREE uint8_t *buf = malloc(PIECE);
    uint8_t digest[BP_SHA256_LEN];
    int fd, r;

    if (!h || !buf)
        return bp_fail(err, -ENOMEM, "out of memory");
    fd = io->open(io->ctx, path, O_RDONLY, 0);
    if (fd < 0)
        return bp_fail(err, fd, "cannot open '%s': %s", path, bp_strerror(fd));
    r = hash_fd(io, fd, buf, PIECE, h, ret_bytes, progress, ctx);
    (void) io->close(io->ctx, fd);
    if (r < 0)
        return bp_fail(err, r, "cannot read '%s': %s", path, bp_strerror(r));

    bp_sha256_end(h, digest);
    (void) bp_sha256_hex(digest, ret_hex);
    return 0;
}

/* ---- writing ---- */

/* What is not UTF-8 (a file name may be anything) becomes U+FFFD; jansson would refuse it. */
static json_t *text_json(const char *s) {
    json_t *j = json_string(s);
    size_t left = strlen(s), n;
    BP_AUTO_BUF b = { 0 };

    if (j)
        return j;
    for (; left > 0; s += n, left -= n) {
        n = bp_utf8_char(s, left);
        if (n > 0)
            bp_buf_put(&b, s, n);
        else
            bp_buf_put_str(&b, "\xEF\xBF\xBD");
        n = BP_MAX(n, (size_t) 1);
    }
    return b.failed ? NULL : json_stringn((const char *) b.p, b.n);
}

static json_t *ns_json(bp_ns_t v) {
    char text[32];

    (void) snprintf(text, sizeof text, "%lld", (long long) v);
    return json_string(text);
}

static json_t *time_json(bp_ns_t wall_ns) {
    char text[BP_TIME_TEXT];

    return json_string(bp_time_format(wall_ns, text));
}

static json_t *count_json(uint64_t v) {
    return json_integer((json_int_t) BP_MIN(v, (uint64_t) INT64_MAX));
}

static json_t *segment_json(const struct bp_manifest_segment *s) {
    json_t *j = json_pack("{s:o, s:o, s:s, s:o, s:o, s:o, s:o}", "file", text_json(s->file),
                          "bytes", count_json(s->bytes), "sha256", s->sha256, "messages",
                          count_json(s->messages), "repeated", count_json(s->repeated),
                          "first_log_ns", ns_json(s->first_ns), "last_log_ns", ns_json(s->last_ns));

    if (j && s->chain[0])
        (void) json_object_set_new(j, "chain", json_string(s->chain));
    return j;
}

static json_t *channel_json(const struct bp_manifest_channel *c) {
    json_t *lost = json_object();

    for (size_t i = 0; i < BP_LOSS_N_; i++)
        if (c->lost[i] > 0)
            (void) json_object_set_new(lost, loss_keys[i], count_json(c->lost[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "topic", text_json(c->topic), "type",
                     text_json(c->type), "robot", text_json(c->robot), "domain",
                     count_json(c->domain), "received", count_json(c->received), "lost", lost);
}

static json_t *recovery_json(const struct bp_manifest_recovery *r) {
    return json_pack("{s:o, s:o, s:b, s:o, s:o, s:o, s:o, s:o, s:o}", "time", time_json(r->wall_ns),
                     "time_ns", ns_json(r->wall_ns), "power_cut", r->power_cut, "kept",
                     count_json(r->kept), "from_ring", count_json(r->from_ring), "from_journal",
                     count_json(r->from_journal), "lost", count_json(r->lost), "torn_bytes",
                     count_json(r->torn_bytes), "report", text_json(r->report));
}

static json_t *step_json(const struct bp_manifest_step *s) {
    return json_pack("{s:o, s:o}", "log_ns", ns_json(s->log_ns), "step_ns", ns_json(s->step_ns));
}

/* An array with one element per item; NULL in it (out of memory) makes the final pack fail. */
#define ARRAY_JSON(v, n, fn)                                       \
    __extension__({                                                \
        json_t *array_ = json_array();                             \
        for (size_t i_ = 0; i_ < (n); i_++)                        \
            if (json_array_append_new(array_, fn(&(v)[i_])) < 0) { \
                json_decref(array_);                               \
                array_ = NULL;                                     \
                break;                                             \
            }                                                      \
        array_;                                                    \
    })

static int put_text(const char *p, size_t n, void *ctx) {
    bp_buf_put(ctx, p, n);
    return 0;
}

int bp_manifest_format(const struct bp_manifest *m, struct bp_buf *out) {
    json_t *j =
        json_pack("{s:s, s:{s:o, s:o}, s:o, s:o, s:o, s:{s:s, s:o}, s:o, s:o, s:o, s:o}", "schema",
                  BP_MANIFEST_SCHEMA, "session", "id", text_json(m->id), "name", text_json(m->name),
                  "created", time_json(m->created_ns), "created_ns", ns_json(m->created_ns), "tool",
                  text_json(m->tool), "durability", "mode", durability_names[m->durability],
                  "commit_interval_ns", ns_json(m->commit_interval), "segments",
                  ARRAY_JSON(m->segments, m->nsegments, segment_json), "channels",
                  ARRAY_JSON(m->channels, m->nchannels, channel_json), "recoveries",
                  ARRAY_JSON(m->recoveries, m->nrecoveries, recovery_json), "clock_steps",
                  ARRAY_JSON(m->steps, m->nsteps, step_json));
    int r;

    if (!j)
        return -ENOMEM;
    if (*m->signed_by)
        (void) json_object_set_new(j, "signed_by", text_json(m->signed_by));
    r = json_dump_callback(j, put_text, out, JSON_INDENT(1) | JSON_PRESERVE_ORDER);
    json_decref(j);
    bp_buf_put_u8(out, '\n');
    return r < 0 || out->failed ? -ENOMEM : 0;
}

int bp_manifest_write(const struct bp_io *io, const char *dir, const struct bp_manifest *m,
                      uint8_t *ret_sha256, struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };
    char path[4096];

    if (snprintf(path, sizeof path, "%s/" BP_MANIFEST_FILE, dir) >= (int) sizeof path)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", dir);
    if (bp_manifest_format(m, &out) < 0)
        return bp_fail(err, -ENOMEM, "out of memory for '%s'", path);

    if (ret_sha256)
        bp_sha256_of(out.p, out.n, ret_sha256);
    return bp_io_replace_file(io, path, out.p, out.n, err);
}

/* ---- reading ---- */

/* Where we are: "segments[3]"; the getters add their key. A failure is kept and stops the rest, so
 * that a row of getters is checked once. */
struct input {
    const char *list; /* or NULL at the top */
    size_t i;
    int r;
    struct bp_error *err;
};

static void expected(struct input *in, const char *key, const char *what) {
    if (in->r < 0)
        return;
    if (in->list)
        in->r = bp_fail(in->err, BP_EFORMAT, "%s[%zu].%s is not %s", in->list, in->i, key, what);
    else
        in->r = bp_fail(in->err, BP_EFORMAT, "%s is not %s", key, what);
}

static char *text_in(struct input *in, const json_t *o, const char *key, bool must) {
    const json_t *v = json_object_get(o, key);
    char *copy;

    if (in->r < 0)
        return NULL;
    if ((!v && must) || (v && !json_is_string(v)) ||
        (v && strlen(json_string_value(v)) != json_string_length(v))) {
        expected(in, key, "text");
        return NULL;
    }
    copy = strdup(v ? json_string_value(v) : "");
    if (!copy)
        in->r = bp_fail(in->err, -ENOMEM, "out of memory");
    return copy;
}

static uint64_t count_in(struct input *in, const json_t *o, const char *key, uint64_t max,
                         bool must) {
    const json_t *v = json_object_get(o, key);

    if (!v && !must)
        return 0;
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        (uint64_t) json_integer_value(v) > max) {
        expected(in, key, "a whole number from 0");
        return 0;
    }
    return (uint64_t) json_integer_value(v);
}

static bp_ns_t ns_in(struct input *in, const json_t *o, const char *key, bool must) {
    const json_t *v = json_object_get(o, key);
    const char *s = json_string_value(v);
    long long ns = 0;
    char *end;

    if (!v && !must)
        return 0;
    errno = 0;
    if (s)
        ns = strtoll(s, &end, 10);
    if (!s || !*s || *end || errno)
        expected(in, key, "nanoseconds as text");
    return ns;
}

static bool is_hex64(const char *s) {
    return strlen(s) == 64 && strspn(s, "0123456789abcdef") == 64;
}

/* A base name, so that a manifest can never point out of its folder. */
static bool is_base_name(const char *s) {
    return *s && !strchr(s, '/') && !bp_streq(s, ".") && !bp_streq(s, "..");
}

static void read_segment(struct input *in, const json_t *o, struct bp_manifest *m) {
    struct bp_manifest_segment s = {
        .bytes = count_in(in, o, "bytes", INT64_MAX, true),
        .messages = count_in(in, o, "messages", INT64_MAX, true),
        .repeated = count_in(in, o, "repeated", INT64_MAX, false),
        .first_ns = ns_in(in, o, "first_log_ns", true),
        .last_ns = ns_in(in, o, "last_log_ns", true),
    };
    BP_AUTO_FREE char *file = text_in(in, o, "file", true);
    BP_AUTO_FREE char *sha256 = text_in(in, o, "sha256", true);
    BP_AUTO_FREE char *chain = text_in(in, o, "chain", false);

    if (file && !is_base_name(file))
        expected(in, "file", "the name of a file in this folder");
    if (sha256 && sha256[0] && !is_hex64(sha256)) /* "" = not hashed yet */
        expected(in, "sha256", "64 hexadecimal digits");
    if (chain && chain[0] && !is_hex64(chain))
        expected(in, "chain", "64 hexadecimal digits");
    if (in->r < 0 || !file || !sha256 || !chain)
        return;

    s.file = file;
    memcpy(s.sha256, sha256, strlen(sha256) + 1); /* 64 digits, or none */
    memcpy(s.chain, chain, strlen(chain) + 1);
    if (bp_manifest_add_segment(m, &s) < 0)
        in->r = bp_fail(in->err, -ENOMEM, "out of memory");
}

static void read_channel(struct input *in, const json_t *o, struct bp_manifest *m) {
    BP_AUTO_FREE char *topic = text_in(in, o, "topic", true);
    BP_AUTO_FREE char *type = text_in(in, o, "type", true);
    BP_AUTO_FREE char *robot = text_in(in, o, "robot", false);
    struct bp_manifest_channel c = {
        .topic = topic,
        .type = type,
        .robot = robot,
        .domain = (uint32_t) count_in(in, o, "domain", UINT32_MAX, false),
        .received = count_in(in, o, "received", INT64_MAX, true),
    };
    const json_t *lost = json_object_get(o, "lost");

    if (lost && !json_is_object(lost))
        expected(in, "lost", "an object");
    for (size_t i = 0; i < BP_LOSS_N_; i++)
        c.lost[i] = count_in(in, lost, loss_keys[i], INT64_MAX, false);
    if (in->r == 0 && bp_manifest_add_channel(m, &c) < 0)
        in->r = bp_fail(in->err, -ENOMEM, "out of memory");
}

static void read_recovery(struct input *in, const json_t *o, struct bp_manifest *m) {
    BP_AUTO_FREE char *report = text_in(in, o, "report", false);
    struct bp_manifest_recovery r = {
        .wall_ns = ns_in(in, o, "time_ns", true),
        .power_cut = json_is_true(json_object_get(o, "power_cut")),
        .kept = count_in(in, o, "kept", INT64_MAX, false),
        .from_ring = count_in(in, o, "from_ring", INT64_MAX, false),
        .from_journal = count_in(in, o, "from_journal", INT64_MAX, false),
        .lost = count_in(in, o, "lost", INT64_MAX, false),
        .torn_bytes = count_in(in, o, "torn_bytes", INT64_MAX, false),
        .report = report,
    };

    if (in->r == 0 && bp_manifest_add_recovery(m, &r) < 0)
        in->r = bp_fail(in->err, -ENOMEM, "out of memory");
}

static void read_step(struct input *in, const json_t *o, struct bp_manifest *m) {
    struct bp_manifest_step s = {
        .log_ns = ns_in(in, o, "log_ns", true),
        .step_ns = ns_in(in, o, "step_ns", true),
    };

    if (in->r == 0 && bp_manifest_add_step(m, s) < 0)
        in->r = bp_fail(in->err, -ENOMEM, "out of memory");
}

static void read_list(struct input *in, const json_t *top, const char *key, bool must,
                      void (*fn)(struct input *in, const json_t *o, struct bp_manifest *m),
                      struct bp_manifest *m) {
    const json_t *a = json_object_get(top, key);

    if (!a && !must)
        return;
    if (!json_is_array(a)) {
        expected(in, key, "a list");
        return;
    }
    in->list = key;
    for (in->i = 0; in->i < json_array_size(a) && in->r == 0; in->i++) {
        const json_t *o = json_array_get(a, in->i);

        if (!json_is_object(o))
            in->r = bp_fail(in->err, BP_EFORMAT, "%s[%zu] is not an object", key, in->i);
        else
            fn(in, o, m);
    }
    in->list = NULL;
}

static void read_durability(struct input *in, const json_t *top, struct bp_manifest *m) {
    const json_t *d = json_object_get(top, "durability");
    BP_AUTO_FREE char *mode = text_in(in, d, "mode", true);

    m->commit_interval = ns_in(in, d, "commit_interval_ns", false);
    for (size_t i = 0; mode && i < BP_COUNT(durability_names); i++)
        if (bp_streq(mode, durability_names[i])) {
            m->durability = (enum bp_durability_mode) i;
            return;
        }
    expected(in, "durability.mode", "fast, commit or strict");
}

static int check_schema(const json_t *top, struct bp_error *err) {
    const char *schema = json_string_value(json_object_get(top, "schema"));

    if (schema && bp_streq(schema, BP_MANIFEST_SCHEMA))
        return 0;
    if (schema && bp_starts_with(schema, "bagpipe.session/"))
        return bp_fail(err, BP_EUNSUPPORTED,
                       "schema is '%.40s', this version understands " BP_MANIFEST_SCHEMA, schema);
    return bp_fail(err, BP_EFORMAT, "schema is not " BP_MANIFEST_SCHEMA);
}

static int read_whole(const json_t *top, struct bp_manifest *m, struct bp_error *err) {
    struct input in = { .err = err };
    const json_t *session = json_object_get(top, "session");

    in.r = check_schema(top, err);
    m->id = text_in(&in, session, "id", true);
    m->name = text_in(&in, session, "name", true);
    m->tool = text_in(&in, top, "tool", false);
    m->signed_by = text_in(&in, top, "signed_by", false);
    m->created_ns = ns_in(&in, top, "created_ns", true);
    read_durability(&in, top, m);
    read_list(&in, top, "segments", true, read_segment, m);
    read_list(&in, top, "channels", true, read_channel, m);
    read_list(&in, top, "recoveries", false, read_recovery, m);
    read_list(&in, top, "clock_steps", false, read_step, m);
    return in.r;
}

int bp_manifest_parse(struct bp_str json, const char *name, struct bp_manifest *ret,
                      struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    struct bp_error own = { 0 };
    json_error_t je;
    json_t *top = json_loadb(json.n ? json.p : "", json.n, JSON_REJECT_DUPLICATES, &je);
    int r;

    if (!top)
        r = bp_fail(&own, BP_EFORMAT, "line %d, column %d: %s", je.line, je.column, je.text);
    else
        r = read_whole(top, &m, &own);
    json_decref(top);
    if (r < 0)
        return bp_fail(
            err, r,
            "'%s': %s. Move the file away and run `bagpipe recover` on its folder to get "
            "a new one",
            name, own.text);

    *ret = m;
    m = (struct bp_manifest){ 0 };
    return 0;
}

int bp_manifest_read(const struct bp_io *io, const char *dir, struct bp_manifest *ret,
                     struct bp_error *err) {
    BP_AUTO_FREE char *text = NULL;
    char path[4096];
    size_t n;
    int r;

    if (snprintf(path, sizeof path, "%s/" BP_MANIFEST_FILE, dir) >= (int) sizeof path)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", dir);
    r = bp_io_read_file(io, path, BP_MANIFEST_BYTES_MAX, &text, &n, err);

    return r < 0 ? r : bp_manifest_parse((struct bp_str){ text, n }, path, ret, err);
}
