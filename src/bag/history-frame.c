#include "bag/history-frame.h"

#include "bag/put.h"
#include "base/crc.h"

enum {
    MAGIC = 0x31485042, /* "BPH1" */
    LATCHED = 1,        /* flag of an entry */
    SEALED = 1,         /* flag of a frame */
};

/* ---- heads ---- */

void bp_hframe_encode(const struct bp_hframe *f, uint8_t out[static BP_HFRAME_HEAD]) {
    uint8_t *p = out + 8;

    memcpy(p, f->run, sizeof f->run);
    p = bp_put64(p + sizeof f->run, f->number);
    p = bp_put64(p, f->first);
    p = bp_put32(p, f->count);
    p = bp_put32(p, f->kind);
    p = bp_put64(p, f->bytes);
    p = bp_put64(p, (uint64_t) f->offset);
    p = bp_put64(p, (uint64_t) f->min_log);
    p = bp_put64(p, (uint64_t) f->max_log);
    p = bp_put32(p, f->crc);
    (void) bp_put64(bp_put32(p, f->sealed ? SEALED : 0), 0);
    (void) bp_put32(bp_put32(out, MAGIC), bp_crc32c(0, out + 8, BP_HFRAME_HEAD - 8));
}

int bp_hframe_decode(const uint8_t *p, size_t n, struct bp_hframe *ret) {
    struct bp_cur c = bp_cur_of(p, n);
    struct bp_hframe f = { 0 };
    uint32_t flags;

    if (n < BP_HFRAME_HEAD)
        return BP_ETRUNCATED;
    if (bp_rd_le32(&c) != MAGIC || bp_rd_le32(&c) != bp_crc32c(0, p + 8, BP_HFRAME_HEAD - 8))
        return BP_ECORRUPT;
    memcpy(f.run, bp_rd_bytes(&c, sizeof f.run), sizeof f.run);
    f.number = bp_rd_le64(&c);
    f.first = bp_rd_le64(&c);
    f.count = bp_rd_le32(&c);
    f.kind = (enum bp_hframe_kind) bp_rd_le32(&c);
    f.bytes = bp_rd_le64(&c);
    f.offset = (bp_ns_t) bp_rd_le64(&c);
    f.min_log = (bp_ns_t) bp_rd_le64(&c);
    f.max_log = (bp_ns_t) bp_rd_le64(&c);
    f.crc = bp_rd_le32(&c);
    flags = bp_rd_le32(&c);
    f.sealed = flags & SEALED;
    if (f.kind < BP_HFRAME_DEFINITIONS || f.kind > BP_HFRAME_LATCHED || f.bytes > BP_HFRAME_MOST ||
        f.first > UINT64_MAX / 2 || flags & ~(uint32_t) SEALED)
        return BP_ECORRUPT;
    *ret = f;
    return 0;
}

bool bp_hframe_fits(const struct bp_hframe *f, const void *payload) {
    return bp_crc32c(0, payload, (size_t) f->bytes) == f->crc;
}

/* ---- entries ---- */

static void pad(struct bp_buf *b) {
    static const uint8_t zeros[8];

    bp_buf_put(b, zeros, -b->n & 7);
}

void bp_hentry_put(struct bp_buf *b, const struct bp_history_entry *e, bool latched) {
    bool loss = e->kind == BP_HISTORY_LOSS;

    bp_buf_put_le32(b, e->size);
    bp_buf_put_le32(b, e->source);
    bp_buf_put_le16(b, (uint16_t) e->kind);
    bp_buf_put_le16(b, loss ? (uint16_t) e->why : 0);
    bp_buf_put_le32(b, latched ? LATCHED : 0);
    bp_buf_put_le64(b, e->seq);
    bp_buf_put_le64(b, (uint64_t) e->log_ns);
    bp_buf_put_le64(b, loss ? e->last : (uint64_t) e->publish_ns);
    bp_buf_put(b, e->data, e->size);
    pad(b);
}

/* Padding up to 8 bytes; payloads begin at a multiple of 8. */
static bool skip_pad(struct bp_cur *c, uint64_t n) {
    return bp_rd_bytes(c, -n & 7) != NULL;
}

int bp_hentry_next(struct bp_cur *c, struct bp_history_entry *ret, bool *ret_latched) {
    struct bp_history_entry e = { 0 };
    uint16_t kind, why;
    uint32_t flags;
    uint64_t end;

    if (bp_cur_left(c) == 0)
        return bp_cur_ok(c) ? 0 : BP_ECORRUPT;
    e.size = bp_rd_le32(c);
    e.source = bp_rd_le32(c);
    kind = bp_rd_le16(c);
    why = bp_rd_le16(c);
    flags = bp_rd_le32(c);
    e.seq = bp_rd_le64(c);
    e.log_ns = (bp_ns_t) bp_rd_le64(c);
    end = bp_rd_le64(c);
    e.data = bp_rd_bytes(c, e.size);
    if (!e.data || !skip_pad(c, e.size) || kind > BP_HISTORY_LOSS || why >= BP_LOSS_N_ ||
        flags > LATCHED)
        return BP_ECORRUPT;
    e.kind = (enum bp_history_kind) kind;
    e.why = (enum bp_loss) why;
    if (e.kind == BP_HISTORY_LOSS) {
        e.last = end;
        if (e.size || e.last < e.seq)
            return BP_ECORRUPT;
    } else {
        e.publish_ns = (bp_ns_t) end;
        e.last = e.seq;
    }
    *ret = e;
    *ret_latched = flags & LATCHED;
    return 1;
}

/* ---- definitions ---- */

void bp_hdef_put(struct bp_buf *b, enum bp_hdef_kind kind, uint32_t id, const struct bp_buf *def) {
    bp_buf_put_le32(b, (uint32_t) def->n);
    bp_buf_put_le32(b, kind);
    bp_buf_put_le32(b, id);
    bp_buf_put_le32(b, 0);
    bp_buf_put(b, def->p, def->n);
    pad(b);
}

int bp_hdef_next(struct bp_cur *c, struct bp_hdef *ret) {
    struct bp_hdef d;
    uint32_t n, kind;

    if (bp_cur_left(c) == 0)
        return bp_cur_ok(c) ? 0 : BP_ECORRUPT;
    n = bp_rd_le32(c);
    kind = bp_rd_le32(c);
    d.id = bp_rd_le32(c);
    (void) bp_rd_le32(c);
    d.bytes = bp_rd_view(c, n);
    if (!bp_cur_ok(c) || !skip_pad(c, n) || (kind != BP_HDEF_CHANNEL && kind != BP_HDEF_SOURCE))
        return BP_ECORRUPT;
    d.kind = (enum bp_hdef_kind) kind;
    *ret = d;
    return 1;
}

/* Length, text, NUL: so it is a C string where it lies. */
static void put_text(struct bp_buf *b, const char *p, size_t n) {
    bp_buf_put_le32(b, (uint32_t) n);
    bp_buf_put(b, p, n);
    bp_buf_put_u8(b, 0);
}

static struct bp_str rd_text(struct bp_cur *c) {
    struct bp_str s = bp_rd_str32(c);
    const uint8_t *end = bp_rd_bytes(c, 1);

    if (!end || *end || memchr(s.p, 0, s.n)) {
        c->bad = true;
        return (struct bp_str){ "", 0 };
    }
    return s;
}

void bp_hchannel_encode(const struct bp_channel_def *d, struct bp_buf *b) {
    const char *texts[] = { d->topic, d->type, d->schema_encoding, d->type_hash, d->qos_yaml,
                            d->robot, d->ns,   d->original_topic };

    bp_buf_put_le32(b, d->domain);
    bp_buf_put_le32(b, d->keyed);
    bp_buf_put_le32(b, d->latched_depth);
    bp_buf_put_le32(b, d->priority);
    for (size_t i = 0; i < BP_COUNT(texts); i++)
        put_text(b, texts[i] ? texts[i] : "", texts[i] ? strlen(texts[i]) : 0);
    put_text(b, d->schema.p, strnlen(d->schema.n ? d->schema.p : "", d->schema.n));
}

int bp_hchannel_decode(struct bp_str bytes, struct bp_channel_def *ret) {
    struct bp_cur c = bp_cur_of(bytes.p, bytes.n);
    struct bp_channel_def d = { 0 };
    uint32_t keyed, priority;
    const char **texts[] = { &d.topic, &d.type, &d.schema_encoding, &d.type_hash, &d.qos_yaml,
                             &d.robot, &d.ns,   &d.original_topic };

    d.domain = bp_rd_le32(&c);
    keyed = bp_rd_le32(&c);
    d.latched_depth = bp_rd_le32(&c);
    priority = bp_rd_le32(&c);
    for (size_t i = 0; i < BP_COUNT(texts); i++)
        *texts[i] = rd_text(&c).p;
    d.schema = rd_text(&c);
    if (!bp_cur_ok(&c) || bp_cur_left(&c) || keyed > 1 || priority > BP_PRIORITY_HIGH || !*d.topic)
        return BP_ECORRUPT;
    d.keyed = keyed;
    d.priority = (enum bp_priority) priority;
    if (!*d.original_topic)
        d.original_topic = NULL;
    *ret = d;
    return 0;
}

void bp_hsource_encode(const struct bp_source_def *d, struct bp_buf *b) {
    const char *node = d->node ? d->node : "";

    bp_buf_put_le32(b, d->channel);
    bp_buf_put_le32(b, d->vendor);
    bp_buf_put(b, d->guid, sizeof d->guid);
    put_text(b, node, strlen(node));
}

int bp_hsource_decode(struct bp_str bytes, struct bp_source_def *ret) {
    struct bp_cur c = bp_cur_of(bytes.p, bytes.n);
    struct bp_source_def d = { 0 };
    uint32_t channel = bp_rd_le32(&c), vendor = bp_rd_le32(&c);
    const uint8_t *guid = bp_rd_bytes(&c, sizeof d.guid);

    d.node = rd_text(&c).p;
    if (!guid || !bp_cur_ok(&c) || bp_cur_left(&c) || channel == 0 || channel > UINT16_MAX ||
        vendor > UINT16_MAX)
        return BP_ECORRUPT;
    memcpy(d.guid, guid, sizeof d.guid);
    d.channel = (uint16_t) channel;
    d.vendor = (uint16_t) vendor;
    *ret = d;
    return 0;
}
