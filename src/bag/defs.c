#include "bag/defs.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/cursor.h"

static void records_free(struct bp_def_record *v, uint32_t n) {
    for (uint32_t i = 0; v && i < n; i++)
        free(v[i].p);
    free(v);
}

static void source_free(struct bp_def_source *s) {
    if (s)
        free(s->node);
    free(s);
}

void bp_defs_done(struct bp_defs *d) {
    records_free(d->schemas, d->nschemas);
    records_free(d->channels, d->nchannels);
    for (uint32_t i = 0; d->topics && i < d->nchannels; i++)
        free(d->topics[i]);
    free(d->topics);
    for (uint32_t i = 0; d->sources && i < d->nsources; i++)
        source_free(d->sources[i]);
    free(d->sources);
    *d = (struct bp_defs){ 0 };
}

/* Capacity of an array whose last index is id: the next power of two, 64 at least. */
static uint32_t capacity(uint32_t id) {
    return id < 64 ? 64 : 1u << (32 - __builtin_clz(id));
}

/* Grows an array to hold index id, which the caller has bounded, zeroing what is new. */
static int grow(void **v, uint32_t *n, uint32_t id, size_t item) {
    uint32_t old = *n ? capacity(*n - 1) : 0, cap = capacity(id);
    void *p;

    if (id < *n)
        return 0;
    if (cap != old) {
        p = realloc(*v, cap * item);
        if (!p)
            return -ENOMEM;
        memset((uint8_t *) p + old * item, 0, (cap - old) * item);
        *v = p;
    }
    *n = id + 1;
    return 0;
}

static int put_record(struct bp_def_record *r, const uint8_t *rec, size_t n) {
    uint8_t *copy = malloc(n);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, rec, n);
    free(r->p);
    *r = (struct bp_def_record){ copy, n };
    return 0;
}

int bp_defs_put_schema(struct bp_defs *d, const uint8_t *rec, size_t n) {
    struct bp_cur c = bp_cur_of(rec, n);
    uint16_t id;
    int r;

    (void) bp_rd_bytes(&c, BP_REC_HEAD);
    id = bp_rd_le16(&c);
    if (!bp_cur_ok(&c) || id == 0)
        return BP_ECORRUPT;
    r = grow((void **) &d->schemas, &d->nschemas, id, sizeof *d->schemas);
    return r < 0 ? r : put_record(&d->schemas[id], rec, n);
}

int bp_defs_put_channel(struct bp_defs *d, const uint8_t *rec, size_t n) {
    struct bp_cur c = bp_cur_of(rec, n);
    uint32_t ntopics = d->nchannels;
    struct bp_str topic;
    uint16_t id;
    char *text;
    int r;

    (void) bp_rd_bytes(&c, BP_REC_HEAD);
    id = bp_rd_le16(&c);
    (void) bp_rd_le16(&c);
    topic = bp_rd_str32(&c);
    if (!bp_cur_ok(&c))
        return BP_ECORRUPT;
    text = strndup(topic.p, topic.n);
    r = text ? grow((void **) &d->topics, &ntopics, id, sizeof *d->topics) : -ENOMEM;
    if (r == 0)
        r = grow((void **) &d->channels, &d->nchannels, id, sizeof *d->channels);
    if (r == 0)
        r = put_record(&d->channels[id], rec, n);
    if (r < 0) {
        free(text);
        return r;
    }
    free(d->topics[id]);
    d->topics[id] = text;
    return 0;
}

int bp_defs_put_source(struct bp_defs *d, uint32_t id, const struct bp_def_source *s) {
    struct bp_def_source *copy;
    int r = -ENOMEM;

    if (id >= BP_MAX_SOURCES)
        return BP_ECORRUPT;
    copy = malloc(sizeof *copy);
    if (copy) {
        *copy = *s;
        copy->node = strdup(s->node ? s->node : "");
        if (copy->node) {
            /* NOLINTNEXTLINE(bugprone-sizeof-expression): it is an array of pointers */
            r = grow((void **) &d->sources, &d->nsources, id, sizeof *d->sources);
        }
    }
    if (r < 0) {
        source_free(copy);
        return r;
    }
    bp_defs_forget_source(d, id);
    d->sources[id] = copy;
    return 0;
}

void bp_defs_forget_source(struct bp_defs *d, uint32_t id) {
    if (id >= d->nsources)
        return;
    source_free(d->sources[id]);
    d->sources[id] = NULL;
}

int bp_defs_copy(struct bp_defs *d, const struct bp_defs *from) {
    int r = 0;

    for (uint32_t i = 1; i < from->nschemas && r == 0; i++)
        if (from->schemas[i].p)
            r = bp_defs_put_schema(d, from->schemas[i].p, from->schemas[i].n);
    for (uint32_t i = 0; i < from->nchannels && r == 0; i++)
        if (from->channels[i].p)
            r = bp_defs_put_channel(d, from->channels[i].p, from->channels[i].n);
    for (uint32_t i = 0; i < from->nsources && r == 0; i++)
        if (from->sources[i])
            r = bp_defs_put_source(d, i, from->sources[i]);
    return r;
}

char *bp_hex16(const uint8_t v[16], char ret[static 33]) {
    for (size_t i = 0; i < 16; i++)
        (void) snprintf(ret + 2 * i, 3, "%02x", v[i]);
    return ret;
}

void bp_source_encode(const struct bp_def_source *s, struct bp_buf *out) {
    char hex[33];

    bp_buf_printf(out, "%u %s %u %s", s->channel, bp_hex16(s->guid, hex), s->vendor,
                  s->node ? s->node : "");
}

int bp_source_decode(struct bp_str value, struct bp_def_source *ret) {
    unsigned channel, vendor;
    char text[600], hex[33];
    int at = 0;

    if (value.n >= sizeof text)
        return BP_EFORMAT;
    memcpy(text, value.p, value.n);
    text[value.n] = 0;
    /* NOLINTNEXTLINE(cert-err34-c): five digits always fit */
    if (sscanf(text, "%5u %32[0-9a-f] %5u %n", &channel, hex, &vendor, &at) < 3 || at == 0 ||
        strlen(hex) != 32 || channel > UINT16_MAX || vendor > UINT16_MAX)
        return BP_EFORMAT;
    *ret = (struct bp_def_source){ .channel = (uint16_t) channel, .vendor = (uint16_t) vendor };
    for (size_t i = 0; i < 16; i++) {
        char byte[3] = { hex[2 * i], hex[2 * i + 1], 0 };

        ret->guid[i] = (uint8_t) strtoul(byte, NULL, 16);
    }
    ret->node = strdup(text + at);
    return ret->node ? 0 : -ENOMEM;
}

size_t bp_put_metadata(struct bp_buf *b, const char *name, const char *const *kv) {
    size_t rec = bp_rec_begin(b, BP_MCAP_METADATA), map;

    bp_put_cstr(b, name);
    map = bp_map_begin(b);
    for (; kv && kv[0] && kv[1]; kv += 2) {
        bp_put_cstr(b, kv[0]);
        bp_put_cstr(b, kv[1]);
    }
    bp_map_end(b, map);
    bp_rec_end(b, rec);
    return rec;
}

static void put_session(const struct bp_head_info *h, const uint8_t session[16], struct bp_buf *b) {
    char hex[33], number[16], made[24];

    (void) snprintf(number, sizeof number, "%u", h->segment);
    (void) snprintf(made, sizeof made, "%" PRId64, h->wall_ns);
    (void) bp_put_metadata(
        b, "bagpipe.session",
        (const char *const[]){ "session", h->id ? h->id : "", "run", bp_hex16(session, hex), "name",
                               h->name, "segment", number, "made_ns", made, "format", "1", NULL });
}

/* "key=value" entries the user gave, as one record. */
static bool put_custom(const struct bp_head_info *h, struct bp_buf *b) {
    size_t rec, map;

    if (!h->custom || !h->custom[0])
        return false;
    rec = bp_rec_begin(b, BP_MCAP_METADATA);
    bp_put_cstr(b, "bagpipe.custom");
    map = bp_map_begin(b);
    for (size_t i = 0; h->custom[i]; i++) {
        const char *eq = strchr(h->custom[i], '=');
        size_t n = eq ? (size_t) (eq - h->custom[i]) : strlen(h->custom[i]);

        bp_put_text(b, h->custom[i], n);
        bp_put_cstr(b, eq ? eq + 1 : "");
    }
    bp_map_end(b, map);
    bp_rec_end(b, rec);
    return true;
}

static size_t put_sources(const struct bp_defs *d, uint32_t from, struct bp_buf *b) {
    size_t rec = bp_rec_begin(b, BP_MCAP_METADATA), map;

    bp_put_cstr(b, "bagpipe.sources");
    map = bp_map_begin(b);
    for (uint32_t i = from; i < d->nsources; i++) {
        BP_AUTO_BUF v = { 0 };
        char id[16];

        if (!d->sources[i])
            continue;
        (void) snprintf(id, sizeof id, "%u", i);
        bp_put_cstr(b, id);
        bp_source_encode(d->sources[i], &v);
        bp_put_text(b, v.p, v.n);
    }
    bp_map_end(b, map);
    return rec;
}

static void put_head(const struct bp_head_info *h, const uint8_t session[16], struct bp_buf *b,
                     struct bp_index *x) {
    size_t rec;

    bp_buf_put(b, BP_MCAP_MAGIC, BP_MCAP_MAGIC_LEN);
    rec = bp_rec_begin(b, BP_MCAP_HEADER);
    bp_put_cstr(b, "ros2");
    bp_put_cstr(b, "bagpipe " BP_VERSION);
    bp_rec_end(b, rec);
    rec = b->n;
    put_session(h, session, b);
    bp_index_add_metadata(x, rec, b->n - rec, BP_STR("bagpipe.session"));
    rec = b->n;
    if (put_custom(h, b))
        bp_index_add_metadata(x, rec, b->n - rec, BP_STR("bagpipe.custom"));
}

int bp_defs_group(const struct bp_defs *d, struct bp_defined *have, const struct bp_head_info *head,
                  const uint8_t session[16], uint64_t at, struct bp_buf *b, struct bp_index *x) {
    size_t rec;

    if (head)
        put_head(head, session, b, x);
    for (uint32_t i = BP_MAX(have->schemas, 1u); i < d->nschemas; i++) {
        if (!d->schemas[i].p)
            continue;
        bp_buf_put(b, d->schemas[i].p, d->schemas[i].n);
        bp_index_add_schema(x, d->schemas[i].p, d->schemas[i].n);
    }
    for (uint32_t i = have->channels; i < d->nchannels; i++) {
        if (!d->channels[i].p)
            continue;
        bp_buf_put(b, d->channels[i].p, d->channels[i].n);
        bp_index_add_channel(x, (uint16_t) i, d->channels[i].p, d->channels[i].n);
    }
    rec = put_sources(d, have->sources, b);
    bp_group_seal(b, rec, session, at, NULL, 0);
    bp_index_add_metadata(x, at + rec, b->n - rec, BP_STR("bagpipe.sources"));
    *have = (struct bp_defined){ d->nschemas, d->nchannels, d->nsources };
    return b->failed || x->failed ? -ENOMEM : 0;
}
