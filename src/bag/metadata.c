#include "bag/metadata.h"

#include <errno.h>
#include <stdio.h>

#include "wire/yaml.h"

/* ---- memory ---- */

static void free_topic(struct bp_metadata_topic *t) {
    free(t->name);
    free(t->type);
    free(t->serialization_format);
    free(t->type_hash);
    free(t->qos);
}

void bp_metadata_done(struct bp_metadata *m) {
    if (!m)
        return;
    for (size_t i = 0; i < m->ntopics; i++)
        free_topic(&m->topics[i]);
    for (size_t i = 0; i < m->npaths; i++)
        free(m->paths[i]);
    for (size_t i = 0; i < m->nfiles; i++)
        free(m->files[i].path);
    for (size_t i = 0; i < m->ncustom; i++) {
        free(m->custom[i].key);
        free(m->custom[i].value);
    }
    free(m->topics);
    free(m->paths);
    free(m->files);
    free(m->custom);
    free(m->storage);
    free(m->compression_format);
    free(m->compression_mode);
    free(m->ros_distro);
    *m = (struct bp_metadata){ 0 };
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

static bool set_text(char **to, const char *s) {
    char *copy = strdup(s);

    if (!copy)
        return false;
    free(*to);
    *to = copy;
    return true;
}

int bp_metadata_init(struct bp_metadata *m, const char *storage, const char *ros_distro) {
    *m = (struct bp_metadata){ .version = BP_METADATA_VERSION, .start_ns = BP_METADATA_NO_START };
    if (set_text(&m->storage, storage) && set_text(&m->compression_format, "") &&
        set_text(&m->compression_mode, "") && set_text(&m->ros_distro, ros_distro))
        return 0;

    bp_metadata_done(m);
    return -ENOMEM;
}

/* ---- building ---- */

/* Takes `t` over, also when it fails. */
static int append_topic(struct bp_metadata *m, struct bp_metadata_topic *t) {
    if (!t->name || !t->type || !t->serialization_format || !t->type_hash ||
        !GROW(m->topics, m->ntopics)) {
        free_topic(t);
        return -ENOMEM;
    }
    m->topics[m->ntopics++] = *t;
    return 0;
}

/* All profiles of a text; 0 on success. */
static int qos_of_text(struct bp_str yaml, struct bp_qos **ret, size_t *ret_n,
                       struct bp_error *err) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;
    const struct bp_yaml_node *n;
    BP_AUTO_FREE struct bp_qos *q = NULL;
    int r = bp_yaml_parse(yaml, &y, err);

    if (r < 0)
        return r;
    n = bp_yaml_root(y);
    q = calloc(n ? (size_t) n->count + 1 : 1, sizeof *q);
    if (!q)
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_qos_from_node(y, n, q, n ? n->count : 0, err);
    if (r < 0)
        return r;

    *ret = BP_TAKE_PTR(q);
    *ret_n = (size_t) r;
    return 0;
}

int bp_metadata_add_topic(struct bp_metadata *m, const char *name, const char *type,
                          const char *serialization_format, const char *type_hash,
                          const char *qos_yaml, uint64_t messages) {
    struct bp_metadata_topic t = { .messages = messages };

    if (qos_of_text(bp_str_of(qos_yaml), &t.qos, &t.nqos, NULL) == -ENOMEM)
        return -ENOMEM;
    t.name = strdup(name);
    t.type = strdup(type);
    t.serialization_format = strdup(serialization_format);
    t.type_hash = strdup(type_hash);
    return append_topic(m, &t);
}

static int append_path(struct bp_metadata *m, const char *path) {
    char *copy = strdup(path);

    if (!copy || !GROW(m->paths, m->npaths)) {
        free(copy);
        return -ENOMEM;
    }
    m->paths[m->npaths++] = copy;
    return 0;
}

static int append_file(struct bp_metadata *m, const char *path, bp_ns_t start_ns,
                       bp_ns_t duration_ns, uint64_t messages) {
    char *copy = strdup(path);

    if (!copy || !GROW(m->files, m->nfiles)) {
        free(copy);
        return -ENOMEM;
    }
    m->files[m->nfiles++] = (struct bp_metadata_file){
        .path = copy,
        .start_ns = start_ns,
        .duration_ns = duration_ns,
        .messages = messages,
    };
    return 0;
}

int bp_metadata_add_file(struct bp_metadata *m, const char *path, bp_ns_t start_ns, bp_ns_t end_ns,
                         uint64_t messages) {
    bp_ns_t duration = messages && end_ns > start_ns ? end_ns - start_ns : 0;
    int r = append_path(m, path);

    return r < 0 ? r : append_file(m, path, messages ? start_ns : 0, duration, messages);
}

int bp_metadata_add_custom(struct bp_metadata *m, const char *key, const char *value) {
    struct bp_metadata_pair p = { strdup(key), strdup(value) };

    if (!p.key || !p.value || !GROW(m->custom, m->ncustom)) {
        free(p.key);
        free(p.value);
        return -ENOMEM;
    }
    m->custom[m->ncustom++] = p;
    return 0;
}

void bp_metadata_sum_files(struct bp_metadata *m) {
    bp_ns_t start = BP_METADATA_NO_START, end = 0;

    m->messages = 0;
    for (size_t i = 0; i < m->nfiles; i++) {
        const struct bp_metadata_file *f = &m->files[i];

        if (f->messages == 0)
            continue;
        m->messages += f->messages;
        start = BP_MIN(start, f->start_ns);
        end = BP_MAX(end, f->start_ns + f->duration_ns);
    }
    m->start_ns = start;
    m->duration_ns = m->messages ? end - start : 0;
}

/* ---- reading ---- */

struct input {
    const struct bp_yaml *y;
    struct bp_error *err;
};

/* Child `key` of a mapping; where it must be there, a failure names the mapping's line. */
static int get(const struct input *in, const struct bp_yaml_node *map, const char *key, bool must,
               const struct bp_yaml_node **ret) {
    *ret = bp_yaml_get(in->y, map, key);
    if (*ret || !must)
        return 0;
    return bp_fail(in->err, BP_EFORMAT, "line %u: key '%s' is missing", map ? map->line : 1, key);
}

static int text_of(const struct input *in, const struct bp_yaml_node *n, char **ret) {
    char *copy;

    if (n->kind != BP_YAML_SCALAR)
        return bp_yaml_expected(n, "text", in->err);
    if (memchr(n->text.p, 0, n->text.n))
        return bp_yaml_expected(n, "text without zero bytes", in->err);

    copy = strdup(bp_yaml_is_null(n) ? "" : n->text.p);
    if (!copy)
        return bp_fail(in->err, -ENOMEM, "out of memory");
    free(*ret);
    *ret = copy;
    return 0;
}

/* An optional key that is not there leaves "". */
static int get_text(const struct input *in, const struct bp_yaml_node *map, const char *key,
                    bool must, char **ret) {
    const struct bp_yaml_node *n;
    int r = get(in, map, key, must, &n);

    if (r < 0)
        return r;
    if (n)
        return text_of(in, n, ret);
    *ret = strdup("");
    return *ret ? 0 : bp_fail(in->err, -ENOMEM, "out of memory");
}

static int get_count(const struct input *in, const struct bp_yaml_node *map, const char *key,
                     bool must, uint64_t *ret) {
    const struct bp_yaml_node *n;
    int r = get(in, map, key, must, &n);

    return r < 0 || !n ? r : bp_yaml_uint(n, UINT64_MAX, ret, in->err);
}

/* "duration: {nanoseconds: N}" */
static int get_ns(const struct input *in, const struct bp_yaml_node *map, const char *key,
                  const char *inner, bp_ns_t *ret) {
    const struct bp_yaml_node *n, *v;
    int r = get(in, map, key, true, &n);

    if (r < 0)
        return r;
    if (n->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(n, inner, in->err);
    r = get(in, n, inner, true, &v);
    return r < 0 ? r : bp_yaml_int(v, INT64_MIN, INT64_MAX, ret, in->err);
}

/* A list that may be empty or null; *ret is its first element or NULL. */
static int get_list(const struct input *in, const struct bp_yaml_node *map, const char *key,
                    bool must, const struct bp_yaml_node **ret) {
    const struct bp_yaml_node *n;
    int r = get(in, map, key, must, &n);

    *ret = NULL;
    if (r < 0 || bp_yaml_is_null(n))
        return r;
    if (n->kind != BP_YAML_SEQUENCE)
        return bp_yaml_expected(n, "a list", in->err);
    *ret = bp_yaml_first(in->y, n);
    return 0;
}

/* A list from version 9 on, a text that holds one before. */
static int get_qos(const struct input *in, const struct bp_yaml_node *map,
                   struct bp_metadata_topic *t) {
    const struct bp_yaml_node *n = bp_yaml_get(in->y, map, "offered_qos_profiles");
    int r;

    if (!n)
        return 0;
    if (n->kind == BP_YAML_SCALAR) {
        r = qos_of_text(n->text, &t->qos, &t->nqos, in->err);
        return r < 0 ? bp_prefix(in->err, r, "line %u, key 'offered_qos_profiles', in its text",
                                 n->line)
                     : 0;
    }
    t->qos = calloc((size_t) n->count + 1, sizeof *t->qos);
    if (!t->qos)
        return bp_fail(in->err, -ENOMEM, "out of memory");
    r = bp_qos_from_node(in->y, n, t->qos, n->count, in->err);
    t->nqos = r < 0 ? 0 : (size_t) r;
    return BP_MIN(r, 0);
}

static int read_topic(const struct input *in, const struct bp_yaml_node *n,
                      struct bp_metadata_topic *t) {
    const struct bp_yaml_node *meta;
    int r;

    if (n->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(n, "topic_metadata and message_count", in->err);
    r = get(in, n, "topic_metadata", true, &meta);
    if (r < 0)
        return r;
    if (meta->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(meta, "name, type, serialization_format, …", in->err);
    r = get_text(in, meta, "name", true, &t->name);
    if (r < 0)
        return r;
    r = get_text(in, meta, "type", true, &t->type);
    if (r < 0)
        return r;
    r = get_text(in, meta, "serialization_format", true, &t->serialization_format);
    if (r < 0)
        return r;
    r = get_text(in, meta, "type_description_hash", false, &t->type_hash);
    if (r < 0)
        return r;
    r = get_qos(in, meta, t);
    if (r < 0)
        return r;
    return get_count(in, n, "message_count", true, &t->messages);
}

static int read_topics(const struct input *in, const struct bp_yaml_node *top,
                       struct bp_metadata *m) {
    const struct bp_yaml_node *n;
    int r = get_list(in, top, "topics_with_message_count", true, &n);

    for (; r >= 0 && n; n = bp_yaml_next(in->y, n)) {
        struct bp_metadata_topic t = { 0 };

        r = read_topic(in, n, &t);
        if (r < 0)
            free_topic(&t);
        else if (append_topic(m, &t) < 0)
            r = bp_fail(in->err, -ENOMEM, "out of memory");
    }
    return r;
}

static int read_paths(const struct input *in, const struct bp_yaml_node *top,
                      struct bp_metadata *m) {
    const struct bp_yaml_node *n;
    int r = get_list(in, top, "relative_file_paths", true, &n);

    for (; r >= 0 && n; n = bp_yaml_next(in->y, n)) {
        BP_AUTO_FREE char *path = NULL;

        r = text_of(in, n, &path);
        if (r >= 0 && (!path || append_path(m, path) < 0))
            r = bp_fail(in->err, -ENOMEM, "out of memory");
    }
    return r;
}

static int read_file(const struct input *in, const struct bp_yaml_node *n, struct bp_metadata *m) {
    BP_AUTO_FREE char *path = NULL;
    bp_ns_t start = 0, duration = 0;
    uint64_t messages = 0;
    int r;

    if (n->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(n, "path, starting_time, duration and message_count", in->err);
    r = get_text(in, n, "path", true, &path);
    if (r < 0)
        return r;
    r = get_ns(in, n, "starting_time", "nanoseconds_since_epoch", &start);
    if (r < 0)
        return r;
    r = get_ns(in, n, "duration", "nanoseconds", &duration);
    if (r < 0)
        return r;
    r = get_count(in, n, "message_count", true, &messages);
    if (r < 0)
        return r;

    return append_file(m, path, start, duration, messages) < 0
               ? bp_fail(in->err, -ENOMEM, "out of memory")
               : 0;
}

static int read_files(const struct input *in, const struct bp_yaml_node *top,
                      struct bp_metadata *m) {
    const struct bp_yaml_node *n;
    int r = get_list(in, top, "files", false, &n);

    for (; r >= 0 && n; n = bp_yaml_next(in->y, n))
        r = read_file(in, n, m);
    return r;
}

static int read_custom(const struct input *in, const struct bp_yaml_node *top,
                       struct bp_metadata *m) {
    const struct bp_yaml_node *n = bp_yaml_get(in->y, top, "custom_data");
    int r = 0;

    if (bp_yaml_is_null(n))
        return 0;
    if (n->kind != BP_YAML_MAPPING)
        return bp_yaml_expected(n, "keys with text, or ~", in->err);
    for (n = bp_yaml_first(in->y, n); r >= 0 && n; n = bp_yaml_next(in->y, n)) {
        BP_AUTO_FREE char *value = NULL;

        r = text_of(in, n, &value);
        if (r >= 0 && (!n->key || !value || bp_metadata_add_custom(m, n->key, value) < 0))
            r = bp_fail(in->err, -ENOMEM, "out of memory");
    }
    return r;
}

static int read_whole(const struct input *in, const struct bp_yaml_node *top,
                      struct bp_metadata *m) {
    uint64_t version = 0;
    int r = get_count(in, top, "version", true, &version);

    if (r < 0)
        return r;
    m->version = (int) BP_MIN(version, (uint64_t) INT32_MAX);
    r = get_text(in, top, "storage_identifier", true, &m->storage);
    if (r < 0)
        return r;
    r = get_ns(in, top, "duration", "nanoseconds", &m->duration_ns);
    if (r < 0)
        return r;
    r = get_ns(in, top, "starting_time", "nanoseconds_since_epoch", &m->start_ns);
    if (r < 0)
        return r;
    r = get_count(in, top, "message_count", true, &m->messages);
    if (r < 0)
        return r;
    r = get_text(in, top, "compression_format", false, &m->compression_format);
    if (r < 0)
        return r;
    r = get_text(in, top, "compression_mode", false, &m->compression_mode);
    if (r < 0)
        return r;
    r = get_text(in, top, "ros_distro", false, &m->ros_distro);
    if (r < 0)
        return r;
    r = read_topics(in, top, m);
    if (r < 0)
        return r;
    r = read_paths(in, top, m);
    if (r < 0)
        return r;
    r = read_files(in, top, m);
    return r < 0 ? r : read_custom(in, top, m);
}

int bp_metadata_parse(struct bp_str yaml, const char *name, struct bp_metadata *ret,
                      struct bp_error *err) {
    BP_CLEANUP(bp_yaml_freep) struct bp_yaml *y = NULL;
    BP_AUTO_METADATA m = { 0 };
    struct bp_error own = { 0 };
    struct input in = { .err = &own };
    const struct bp_yaml_node *top = NULL, *inner;
    int r = bp_yaml_parse(yaml, &y, &own);

    if (r >= 0) {
        in.y = y;
        top = bp_yaml_root(y);
        inner = bp_yaml_get(y, top, "rosbag2_bagfile_information");
        top = inner ? inner : top;
        if (!top || top->kind != BP_YAML_MAPPING || !(inner || bp_yaml_get(y, top, "version")))
            r = bp_fail(&own, BP_EFORMAT, "line 1: key 'rosbag2_bagfile_information' is missing");
    }
    if (r >= 0)
        r = read_whole(&in, top, &m);
    if (r < 0)
        return bp_fail(
            err, r,
            "'%s' %s. Correct it, or move the file away and run `bagpipe recover` on its "
            "folder to get a new one",
            name, own.text);

    *ret = m;
    m = (struct bp_metadata){ 0 };
    return 0;
}

int bp_metadata_read(const struct bp_io *io, const char *dir, struct bp_metadata *ret,
                     struct bp_error *err) {
    BP_AUTO_FREE char *text = NULL;
    char path[4096];
    size_t n;
    int r;

    if (snprintf(path, sizeof path, "%s/" BP_METADATA_FILE, dir) >= (int) sizeof path)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", dir);
    r = bp_io_read_file(io, path, BP_METADATA_BYTES_MAX, &text, &n, err);

    return r < 0 ? r : bp_metadata_parse((struct bp_str){ text, n }, path, ret, err);
}

/* ---- writing ---- */

/* A line "key: value", the value quoted where it must be. */
static void put_text(struct bp_buf *out, unsigned indent, const char *key, const char *value) {
    bp_buf_printf(out, "%*s%s: ", (int) indent, "", key);
    bp_yaml_put_string(out, bp_str_of(value));
    bp_buf_put_u8(out, '\n');
}

static void put_ns(struct bp_buf *out, unsigned indent, const char *key, const char *inner,
                   bp_ns_t v) {
    bp_buf_printf(out, "%*s%s:\n%*s  %s: %lld\n", (int) indent, "", key, (int) indent, "", inner,
                  (long long) v);
}

static void put_topic(struct bp_buf *out, unsigned in, const struct bp_metadata_topic *t) {
    bp_buf_printf(out, "%*s- topic_metadata:\n", (int) in, "");
    put_text(out, in + 4, "name", t->name);
    put_text(out, in + 4, "type", t->type);
    put_text(out, in + 4, "serialization_format", t->serialization_format);
    bp_buf_printf(out, "%*soffered_qos_profiles:\n", (int) in + 4, "");
    bp_qos_to_yaml(t->qos, t->nqos, in + 6, out);
    bp_buf_put_u8(out, '\n');
    put_text(out, in + 4, "type_description_hash", t->type_hash);
    bp_buf_printf(out, "%*s  message_count: %llu\n", (int) in, "",
                  (unsigned long long) t->messages);
}

static void put_file(struct bp_buf *out, unsigned in, const struct bp_metadata_file *f) {
    bp_buf_printf(out, "%*s- path: ", (int) in, "");
    bp_yaml_put_string(out, bp_str_of(f->path));
    bp_buf_put_u8(out, '\n');
    put_ns(out, in + 2, "starting_time", "nanoseconds_since_epoch", f->start_ns);
    put_ns(out, in + 2, "duration", "nanoseconds", f->duration_ns);
    bp_buf_printf(out, "%*s  message_count: %llu\n", (int) in, "",
                  (unsigned long long) f->messages);
}

/* "key:", and for an empty list what yaml-cpp makes of it. */
static void put_list_head(struct bp_buf *out, unsigned in, const char *key, size_t n) {
    bp_buf_printf(out, "%*s%s:\n", (int) in, "", key);
    if (n == 0)
        bp_buf_printf(out, "%*s  []\n", (int) in, "");
}

static void put_custom(struct bp_buf *out, unsigned in, const struct bp_metadata *m) {
    bp_buf_printf(out, "%*scustom_data:%s\n", (int) in, "", m->ncustom ? "" : " ~");
    for (size_t i = 0; i < m->ncustom; i++) {
        bp_buf_printf(out, "%*s", (int) in + 2, "");
        bp_yaml_put_string(out, bp_str_of(m->custom[i].key));
        bp_buf_put_str(out, ": ");
        bp_yaml_put_string(out, bp_str_of(m->custom[i].value));
        bp_buf_put_u8(out, '\n');
    }
}

int bp_metadata_format(const struct bp_metadata *m, bool inner, struct bp_buf *out) {
    unsigned in = inner ? 0 : 2;

    if (!inner)
        bp_buf_put_str(out, "rosbag2_bagfile_information:\n");
    bp_buf_printf(out, "%*sversion: %d\n", (int) in, "", BP_METADATA_VERSION);
    put_text(out, in, "storage_identifier", m->storage);
    put_ns(out, in, "duration", "nanoseconds", m->duration_ns);
    put_ns(out, in, "starting_time", "nanoseconds_since_epoch", m->start_ns);
    bp_buf_printf(out, "%*smessage_count: %llu\n", (int) in, "", (unsigned long long) m->messages);
    put_list_head(out, in, "topics_with_message_count", m->ntopics);
    for (size_t i = 0; i < m->ntopics; i++)
        put_topic(out, in + 2, &m->topics[i]);
    put_text(out, in, "compression_format", m->compression_format);
    put_text(out, in, "compression_mode", m->compression_mode);
    put_list_head(out, in, "relative_file_paths", m->npaths);
    for (size_t i = 0; i < m->npaths; i++) {
        bp_buf_printf(out, "%*s  - ", (int) in, "");
        bp_yaml_put_string(out, bp_str_of(m->paths[i]));
        bp_buf_put_u8(out, '\n');
    }
    put_list_head(out, in, "files", m->nfiles);
    for (size_t i = 0; i < m->nfiles; i++)
        put_file(out, in + 2, &m->files[i]);
    put_custom(out, in, m);
    put_text(out, in, "ros_distro", m->ros_distro);
    if (!out->failed)
        out->n--; /* rosbag2 ends its file without a newline */
    return out->failed ? -ENOMEM : 0;
}

int bp_metadata_write(const struct bp_io *io, const char *dir, const struct bp_metadata *m,
                      struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };
    char path[4096];

    if (snprintf(path, sizeof path, "%s/" BP_METADATA_FILE, dir) >= (int) sizeof path)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", dir);
    if (bp_metadata_format(m, false, &out) < 0)
        return bp_fail(err, -ENOMEM, "out of memory for '%s'", path);

    return bp_io_replace_file(io, path, out.p, out.n, err);
}
