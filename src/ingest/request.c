#include "ingest/request.h"

#include <errno.h>
#include <stdio.h>

#include "base/json.h"
#include "crypt/base64.h"
#include "crypt/sign.h"
#include "store/spool-map.h"

/* ---- digests ---- */

static bool is_key_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.' ||
           c == '*';
}

static const char *skip_blanks(const char *p) {
    while (*p == ' ' || *p == '\t')
        p++;
    return p;
}

/* One member `key=:base64:` at *p, which ends up behind it. @return false when it is none */
static bool read_member(const char **p, struct bp_str *ret_key, struct bp_str *ret_value) {
    const char *s = *p, *start = s;

    while (is_key_char(*s))
        s++;
    *ret_key = (struct bp_str){ start, (size_t) (s - start) };
    if (ret_key->n == 0 || s[0] != '=' || s[1] != ':')
        return false;
    s += 2;
    start = s;
    while (*s && *s != ':')
        s++;
    *ret_value = (struct bp_str){ start, (size_t) (s - start) };
    if (*s != ':')
        return false;
    *p = s + 1;
    return true;
}

int bp_ingest_read_digest(const char *header, uint8_t ret[static BP_SHA256_LEN],
                          struct bp_error *err) {
    static const char want[] = "a header 'Content-Digest: sha-256=:BASE64:' is needed (RFC 9530)";
    const char *p = header;
    bool found = false;

    if (!header)
        return bp_fail(err, BP_EUSAGE, "%s", want);
    for (;;) {
        struct bp_str key, value;

        p = skip_blanks(p);
        if (!read_member(&p, &key, &value))
            return bp_fail(err, BP_EUSAGE, "%s", want);
        if (bp_str_eq(key, BP_STR("sha-256"))) { /* the last one counts, as in any dictionary */
            if (bp_base64_std_read(value, ret, BP_SHA256_LEN) != BP_SHA256_LEN)
                return bp_fail(err, BP_EUSAGE, "the sha-256 of Content-Digest is not 32 bytes");
            found = true;
        }
        p = skip_blanks(p);
        if (*p == '\0')
            break;
        if (*p++ != ',')
            return bp_fail(err, BP_EUSAGE, "%s", want);
    }
    return found ? 0 : bp_fail(err, BP_EUSAGE, "%s", want);
}

int bp_ingest_read_sha256(const char *hex, uint8_t ret[static BP_SHA256_LEN],
                          struct bp_error *err) {
    size_t n = hex ? strspn(hex, "0123456789abcdefABCDEF") : 0;

    if (n != BP_SHA256_HEX - 1 || hex[n] != '\0' ||
        bp_key_digits(bp_str_of(hex), ret, BP_SHA256_LEN) < 0)
        return bp_fail(err, BP_EUSAGE, "a sha256 has 64 hex digits");
    return 0;
}

/* ---- names and numbers ---- */

int bp_ingest_check_name(const char *name, struct bp_error *err) {
    size_t n = strlen(name);

    if (n == 0 || n > BP_SPOOL_NAME_MAX)
        return bp_fail(err, BP_EUSAGE, "the name of a file has 1 to %d bytes, not %zu",
                       BP_SPOOL_NAME_MAX, n);
    if (name[0] == '.')
        return bp_fail(err, BP_EUSAGE, "the name of a file does not begin with '.'");
    for (size_t i = 0; i < n;) {
        size_t k = bp_utf8_char(name + i, n - i);

        if (k == 0)
            return bp_fail(err, BP_EUSAGE, "the name of a file is UTF-8");
        if ((unsigned char) name[i] < 0x20 || name[i] == 0x7f || name[i] == '/' || name[i] == '\\')
            return bp_fail(err, BP_EUSAGE,
                           "the name of a file has no '/', '\\' or control characters in it");
        i += k;
    }
    return 0;
}

int bp_ingest_read_part(const char *text, uint64_t *ret, struct bp_error *err) {
    uint64_t v = 0;
    size_t n = text ? strspn(text, "0123456789") : 0;

    if (n == 0 || n > 18 || text[n] != '\0' || (text[0] == '0' && n > 1))
        return bp_fail(err, BP_EUSAGE, "a part has a number, 0 and up");
    for (size_t i = 0; i < n; i++)
        v = v * 10 + (uint64_t) (text[i] - '0');
    *ret = v;
    return 0;
}

static int read_text(const json_t *o, const char *key, const char **ret, struct bp_error *err) {
    const json_t *v = json_object_get(o, key);

    if (!json_is_string(v))
        return bp_fail(err, BP_EUSAGE, "'%s' must be a text", key);
    *ret = json_string_value(v);
    return 0;
}

/* ---- an upload ---- */

static int read_ulid(const char *text, char ret[static BP_ULID_TEXT], struct bp_error *err) {
    if (!text || strlen(text) != BP_ULID_TEXT - 1 ||
        bp_ulid_parse(text, BP_ULID_TEXT - 1, NULL) < 0)
        return bp_fail(err, BP_EUSAGE, "'%.60s' is no id of a session (ULID)", text ? text : "");
    for (size_t i = 0; i < BP_ULID_TEXT - 1; i++)
        ret[i] = (char) (text[i] >= 'a' && text[i] <= 'z' ? text[i] - 'a' + 'A' : text[i]);
    ret[BP_ULID_TEXT - 1] = '\0';
    return 0;
}

static int read_sizes(const json_t *o, struct bp_spool_meta *m, struct bp_error *err) {
    const json_t *bytes = json_object_get(o, "bytes"), *part = json_object_get(o, "part_bytes");

    if (!json_is_integer(bytes) || json_integer_value(bytes) < 0)
        return bp_fail(err, BP_EUSAGE, "'bytes' must be the size of the file");
    m->bytes = (uint64_t) json_integer_value(bytes);
    if (!part || json_is_null(part))
        return 0;
    if (!json_is_integer(part) || json_integer_value(part) < BP_SPOOL_PART_MIN ||
        json_integer_value(part) > BP_SPOOL_PART_MAX ||
        !bp_spool_part_ok(m->bytes, (uint32_t) json_integer_value(part)))
        return bp_fail(err, BP_EUSAGE,
                       "'part_bytes' must be a power of two from %d to %d, and the file have at "
                       "most %d parts",
                       BP_SPOOL_PART_MIN, BP_SPOOL_PART_MAX, BP_SPOOL_PARTS_MAX);
    m->part_bytes = (uint32_t) json_integer_value(part);
    return 0;
}

int bp_ingest_read_upload(const json_t *o, struct bp_spool_meta *ret,
                          enum bp_archive_kind *ret_kind, struct bp_error *err) {
    struct bp_spool_meta m = { 0 };
    const char *session = NULL, *file = "", *sha256 = NULL, *kind = "segment";
    int r, k;

    if (!json_is_object(o))
        return bp_fail(err, BP_EUSAGE, "the body must be a JSON object");
    r = read_text(o, "session", &session, err);
    if (r == 0)
        r = read_text(o, "file", &file, err);
    if (r == 0)
        r = read_text(o, "sha256", &sha256, err);
    if (r == 0 && json_object_get(o, "kind"))
        r = read_text(o, "kind", &kind, err);
    if (r == 0)
        r = read_ulid(session, m.session, err);
    if (r == 0)
        r = bp_ingest_check_name(file, err);
    if (r == 0)
        r = bp_ingest_read_sha256(sha256, m.sha256, err);
    if (r == 0)
        r = read_sizes(o, &m, err);
    if (r < 0)
        return r;
    k = bp_archive_kind_from_name(kind);
    if (k < 0)
        return bp_fail(err, BP_EUSAGE, "there is no kind '%.40s'", kind);
    (void) snprintf(m.file, sizeof m.file, "%s", file);
    (void) snprintf(m.kind, sizeof m.kind, "%s", kind);
    *ret = m;
    *ret_kind = (enum bp_archive_kind) k;
    return 0;
}

/* ---- a session ---- */

void bp_ingest_about_done(struct bp_ingest_about *a) {
    for (size_t i = 0; a->values && i < a->nmarks; i++)
        free(a->values[i]);
    free(a->values);
    free(a->marks);
    free(a->tags);
    free(a->robots);
    free(a->version);
    free(a->stamps);
    *a = (struct bp_ingest_about){ 0 };
}

/* An optional text. */
static int opt_text(const json_t *o, const char *key, const char **ret, struct bp_error *err) {
    const json_t *v = json_object_get(o, key);

    if (!v || json_is_null(v))
        return 0;
    return read_text(o, key, ret, err);
}

/* A time: nanoseconds, as a text or a number. */
static int opt_time(const json_t *o, const char *key, bp_ns_t *ret, struct bp_error *err) {
    const json_t *v = json_object_get(o, key);
    const char *text = json_string_value(v);
    char *end;

    if (!v || json_is_null(v))
        return 0;
    if (json_is_integer(v)) {
        *ret = json_integer_value(v);
        return 0;
    }
    errno = 0;
    *ret = text && *text ? strtoll(text, &end, 10) : 0;
    if (!text || !*text || *end != '\0' || errno != 0)
        return bp_fail(err, BP_EUSAGE, "'%s' must be a time in nanoseconds", key);
    return 0;
}

static int opt_dump(const json_t *o, const char *key, bool array, char **ret, const char **ret_view,
                    struct bp_error *err) {
    const json_t *v = json_object_get(o, key);

    if (!v || json_is_null(v))
        return 0;
    if (array ? !json_is_array(v) : !json_is_object(v))
        return bp_fail(err, BP_EUSAGE, "'%s' must be %s", key, array ? "a list" : "an object");
    *ret = json_dumps(v, JSON_COMPACT);
    if (!*ret)
        return bp_fail(err, -ENOMEM, "out of memory");
    *ret_view = *ret;
    return 0;
}

static int read_mark(const json_t *v, struct bp_archive_mark *m, char **ret_values,
                     struct bp_error *err) {
    const char *values = NULL;
    int r;

    if (!json_is_object(v))
        return bp_fail(err, BP_EUSAGE, "a mark must be an object");
    r = opt_time(v, "wall_ns", &m->wall_ns, err);
    if (r == 0)
        r = read_text(v, "text", &m->text, err);
    if (r == 0)
        r = opt_dump(v, "values", false, ret_values, &values, err);
    m->values = values ? values : "{}";
    return r;
}

static int read_marks(const json_t *o, struct bp_ingest_about *a, struct bp_error *err) {
    const json_t *v = json_object_get(o, "marks");
    int r = 0;

    if (!v || json_is_null(v))
        return 0;
    if (!json_is_array(v))
        return bp_fail(err, BP_EUSAGE, "'marks' must be a list");
    a->nmarks = json_array_size(v);
    a->marks = calloc(a->nmarks + 1, sizeof *a->marks);
    a->values = calloc(a->nmarks + 1, sizeof *a->values);
    if (!a->marks || !a->values)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; r == 0 && i < a->nmarks; i++)
        r = read_mark(json_array_get(v, i), &a->marks[i], &a->values[i], err);
    a->about.marks = a->marks;
    a->about.nmarks = a->nmarks;
    return r;
}

int bp_ingest_read_about(const json_t *o, const char *id, struct bp_ingest_about *ret,
                         struct bp_error *err) {
    struct bp_archive_about *b = &ret->about;
    int r;

    *ret = (struct bp_ingest_about){ 0 };
    if (!json_is_object(o))
        return bp_fail(err, BP_EUSAGE, "the body must be a JSON object");
    b->name = b->device = b->mission = b->operator_ = b->notes = "";
    r = read_ulid(id, ret->id, err);
    b->id = ret->id;
    if (r == 0)
        r = read_text(o, "name", &b->name, err);
    if (r == 0)
        r = opt_text(o, "device", &b->device, err);
    if (r == 0)
        r = opt_text(o, "mission", &b->mission, err);
    if (r == 0)
        r = opt_text(o, "operator", &b->operator_, err);
    if (r == 0)
        r = opt_text(o, "notes", &b->notes, err);
    if (r == 0)
        r = opt_dump(o, "tags", true, &ret->tags, &b->tags, err);
    if (r == 0)
        r = opt_dump(o, "robots", true, &ret->robots, &b->robots, err);
    if (r == 0)
        r = opt_dump(o, "version", false, &ret->version, &b->version, err);
    if (r == 0)
        r = opt_dump(o, "stamps", false, &ret->stamps, &b->stamps, err);
    if (r == 0)
        r = opt_time(o, "started_ns", &b->started_ns, err);
    if (r == 0)
        r = opt_time(o, "ended_ns", &b->ended_ns, err);
    return r == 0 ? read_marks(o, ret, err) : r;
}
