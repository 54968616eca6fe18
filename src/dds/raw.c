#include "dds/raw.h"

#include <assert.h>
#include <endian.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <dds/ddsc/dds_rhc.h>
#include <dds/ddsi/ddsi_domaingv.h>
#include <dds/ddsi/ddsi_entity_index.h>
#include <dds/ddsi/ddsi_proxy_endpoint.h>
#include <dds/ddsi/ddsi_serdata.h>
#include <dds/ddsi/ddsi_sertype.h>
#include <dds/ddsi/ddsi_tkmap.h>
#include <dds/ddsi/ddsi_tran.h>
#include <dds/ddsi/q_misc.h>
#include <dds/ddsi/q_protocol.h>
#include <dds/ddsi/q_radmin.h>
#include <dds/ddsi/q_thread.h>
#include <dds/version.h>

/* A sertype that knows only a name, and a serdata that is a chain of received fragments or a copy
 * of bytes. Cyclone builds the serdata once per sample and shows it to each matched reader; our
 * own read cache (struct rhc) passes it on at once and keeps nothing, so that a sample costs one
 * copy, made by whoever wants the bytes.
 *
 * Everything private to Cyclone is in this file. The layouts below are those of 0.10.2 as Debian
 * builds it; a build against anything else must stop here and not at a customer's. */
static_assert(DDS_VERSION_MAJOR == 0 && DDS_VERSION_MINOR == 10,
              "src/dds/raw.c was written against Cyclone DDS 0.10; check each layout it uses");
#if UINTPTR_MAX == UINT64_MAX && defined DDS_HAS_SHM
static_assert(sizeof(struct ddsi_serdata) == 72, "struct ddsi_serdata changed");
static_assert(sizeof(struct ddsi_sertype) == 80, "struct ddsi_sertype changed");
#endif
#if UINTPTR_MAX == UINT64_MAX
#ifndef DDS_NDEBUG
#error "build with the flags of pkg-config CycloneDDS: struct nn_rdata differs without DDS_NDEBUG"
#endif
static_assert(sizeof(struct nn_rdata) == 32, "struct nn_rdata changed");
#endif
#if defined __x86_64__ && defined DDS_HAS_SHM
static_assert(sizeof(struct ddsi_proxy_writer) == 424 &&
                  offsetof(struct ddsi_proxy_writer, last_seq) == 280,
              "struct ddsi_proxy_writer changed");
#endif
static_assert(sizeof(ddsi_guid_t) == 16, "a GUID is 16 bytes");
static_assert(offsetof(Data_DataFrag_common_t, octetsToInlineQos) == 6, "RTPS DATA header");
static_assert(sizeof(Data_DataFrag_common_t) == 24, "RTPS DATA header up to writerSN");

enum {
    PID_SENTINEL_ = 0x0001,
    PID_RELATED_STANDARD = 0x0083, /* PID_RELATED_SAMPLE_IDENTITY, DDS-RPC 1.0 */
    PID_RELATED_EPROSIMA = 0x800f,
    RTPS_HEADER = 20,
};

struct serdata {
    struct ddsi_serdata c; /* first */
    uint32_t size;
    uint8_t *data;         /* the bytes, when copied; behind this struct */
    struct nn_rdata *frag; /* the fragments, when referenced */
    bp_ns_t recv_ns;
    uint64_t seq;
    bool has_related;
    uint8_t related_guid[16];
    uint64_t related_seq;
};

struct sertype {
    struct ddsi_sertype c; /* first */
    bool held;
};

/* ---- memory: headers of fragment chains are reused, a sample allocates nothing of ours ---- */

enum { SPARES = 8 };
static _Atomic(struct serdata *) spares[SPARES];

/* Threads start looking at different slots, so that they seldom meet. */
static unsigned first_slot(void) {
    static _Atomic unsigned next;
    static _Thread_local unsigned mine; /* 1.. */

    if (!mine)
        mine = 1 + atomic_fetch_add(&next, 1) % SPARES;
    return mine - 1;
}

static struct serdata *header_new(void) {
    unsigned s = first_slot();
    struct serdata *d = atomic_exchange(&spares[s], NULL);

    return d ? d : malloc(sizeof(struct serdata));
}

static void header_free(struct serdata *d) {
    unsigned s = first_slot();

    free(atomic_exchange(&spares[s], d));
}

static struct serdata *serdata_new(const struct ddsi_sertype *t, enum ddsi_serdata_kind kind,
                                   size_t copied) {
    size_t padded = BP_ALIGN(copied, 4);
    struct serdata *d = copied ? malloc(sizeof *d + padded) : header_new();

    if (!d)
        return NULL;
    memset(d, 0, sizeof *d);
    ddsi_serdata_init(&d->c, t, kind);
    /* One instance for all samples of all topics: keys are not ours to understand. */
    d->c.hash = t->serdata_basehash;
    if (copied) {
        d->data = (uint8_t *) (d + 1);
        memset(d->data + copied, 0, padded - copied);
    }
    return d;
}

/* ---- what the packet says about the sample ---- */

static uint16_t rd16(const uint8_t *p, bool le) {
    return (uint16_t) (le ? p[0] | p[1] << 8 : p[1] | p[0] << 8);
}

static uint32_t rd32(const uint8_t *p, bool le) {
    uint32_t v = bp_ld_le32(p);

    return le ? v : __builtin_bswap32(v);
}

bool bp_raw_inline_qos(const uint8_t *p, size_t n, bool le, uint8_t guid[static 16],
                       uint64_t *seq) {
    while (n >= 4) {
        uint16_t pid = rd16(p, le);
        size_t len = rd16(p + 2, le);

        if (pid == PID_SENTINEL_)
            return false;
        len = BP_ALIGN(len, 4);
        if (len > n - 4)
            return false;
        if ((pid == PID_RELATED_STANDARD || pid == PID_RELATED_EPROSIMA) && len >= 24) {
            memcpy(guid, p + 4, 16);
            *seq = (uint64_t) rd32(p + 20, le) << 32 | rd32(p + 24, le);
            return true;
        }
        p += 4 + len;
        n -= 4 + len;
    }
    return false;
}

/* The fragment still lies in its packet. Cyclone has checked the submessage and swapped its header
 * fields (not the inline QoS) to our byte order in place. */
static void lift_metadata(struct serdata *d, const struct nn_rdata *f) {
    const uint8_t *pkt = NN_RMSG_PAYLOAD(f->rmsg);
    unsigned sub = NN_RDATA_SUBMSG_OFF(f), payload = NN_RDATA_PAYLOAD_OFF(f);
    Data_DataFrag_common_t h;
    size_t qos;

    if (sub < RTPS_HEADER || payload < sub + sizeof h || memcmp(pkt, "RTPS", 4) != 0)
        return;
    memcpy(&h, pkt + sub, sizeof h);
    if (h.smhdr.submessageId != SMID_DATA && h.smhdr.submessageId != SMID_DATA_FRAG)
        return;

    seqno_t seq = fromSN(h.writerSN);
    d->seq = seq > 0 ? (uint64_t) seq : 0;
    if (!(h.smhdr.flags & DATA_FLAG_INLINE_QOS))
        return;
    qos = sub + 8u + h.octetsToInlineQos;
    if (qos < payload)
        d->has_related =
            bp_raw_inline_qos(pkt + qos, payload - qos, (h.smhdr.flags & SMFLAG_ENDIANNESS) != 0,
                              d->related_guid, &d->related_seq);
}

static void guid_bytes(const ddsi_guid_t *g, uint8_t out[static 16]) {
    const uint32_t v[4] = { htobe32(g->prefix.u[0]), htobe32(g->prefix.u[1]),
                            htobe32(g->prefix.u[2]), htobe32(g->entityid.u) };

    memcpy(out, v, 16);
}

/* ---- serdata ---- */

/* Fragments may overlap but must cover [0, size) without a hole, in order. */
static bool chain_covers(const struct nn_rdata *f, size_t size) {
    uint32_t off = 0;

    for (; f; f = f->nextfrag) {
        if (f->min > off || f->maxp1 < f->min || f->maxp1 > size)
            return false;
        off = BP_MAX(off, f->maxp1);
    }
    return off == size;
}

/* The first n bytes. */
static void chain_copy(const struct nn_rdata *f, uint8_t *dst, size_t n) {
    uint32_t off = 0;

    for (; f && off < n; f = f->nextfrag) {
        if (f->maxp1 <= off)
            continue;
        memcpy(dst + off, NN_RMSG_PAYLOADOFF(f->rmsg, NN_RDATA_PAYLOAD_OFF(f)) + (off - f->min),
               BP_MIN((size_t) f->maxp1, n) - off);
        off = f->maxp1;
    }
}

static struct ddsi_serdata *sd_from_ser(const struct ddsi_sertype *t, enum ddsi_serdata_kind kind,
                                        const struct nn_rdata *f, size_t size) {
    bool held = ((const struct sertype *) t)->held;
    struct serdata *d;

    if (size < 4 || size > UINT32_MAX || !chain_covers(f, size))
        return NULL;
    d = serdata_new(t, kind, held ? size : 0);
    if (!d)
        return NULL;

    d->recv_ns = bp_wall_ns();
    d->size = (uint32_t) size;
    lift_metadata(d, f);
    if (held) {
        chain_copy(f, d->data, size);
        return &d->c;
    }
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the pointer is copied; only the API says const */
    memcpy(&d->frag, &f, sizeof f);
    for (struct nn_rdata *g = d->frag; g; g = g->nextfrag)
        ddsrt_atomic_inc32(&g->rmsg->refcount);
    return &d->c;
}

static struct ddsi_serdata *sd_from_iov(const struct ddsi_sertype *t, enum ddsi_serdata_kind kind,
                                        ddsrt_msg_iovlen_t niov, const ddsrt_iovec_t *iov,
                                        size_t size) {
    struct serdata *d = size && size <= UINT32_MAX ? serdata_new(t, kind, size) : NULL;
    size_t off = 0;

    if (!d)
        return NULL;
    for (ddsrt_msg_iovlen_t i = 0; i < niov && off < size; i++) {
        size_t n = BP_MIN((size_t) iov[i].iov_len, size - off);

        memcpy(d->data + off, iov[i].iov_base, n);
        off += n;
    }
    d->size = (uint32_t) size;
    return &d->c;
}

static struct ddsi_serdata *sd_from_keyhash(const struct ddsi_sertype *t,
                                            const struct ddsi_keyhash *kh) {
    struct serdata *d = serdata_new(t, SDK_KEY, 0);

    (void) kh;
    return d ? &d->c : NULL;
}

/* Called by dds_write() and friends only, which we never use. */
static struct ddsi_serdata *sd_from_sample(const struct ddsi_sertype *t,
                                           enum ddsi_serdata_kind kind, const void *sample) {
    (void) t, (void) kind, (void) sample;
    return NULL;
}

static bool sd_eqkey(const struct ddsi_serdata *a, const struct ddsi_serdata *b) {
    (void) a, (void) b;
    return true;
}

static uint32_t sd_size(const struct ddsi_serdata *d) {
    return ((const struct serdata *) d)->size;
}

static void sd_free(struct ddsi_serdata *c) {
    struct serdata *d = (struct serdata *) c;

    if (d->frag)
        nn_fragchain_unref(d->frag);
    if (d->data)
        free(d);
    else
        header_free(d);
}

/* Only copied samples are ever sent; the padding up to a multiple of 4 is there and zero. */
static void sd_to_ser(const struct ddsi_serdata *c, size_t off, size_t n, void *buf) {
    const struct serdata *d = (const struct serdata *) c;

    if (d->data)
        memcpy(buf, d->data + off, n);
    else
        memset(buf, 0, n);
}

static struct ddsi_serdata *sd_to_ser_ref(const struct ddsi_serdata *c, size_t off, size_t n,
                                          ddsrt_iovec_t *ref) {
    static uint8_t nothing[4];
    const struct serdata *d = (const struct serdata *) c;

    ref->iov_base = d->data ? d->data + off : nothing;
    ref->iov_len = d->data ? n : BP_MIN(n, sizeof nothing);
    return ddsi_serdata_ref(c);
}

static void sd_to_ser_unref(struct ddsi_serdata *d, const ddsrt_iovec_t *ref) {
    (void) ref;
    ddsi_serdata_unref(d);
}

static bool sd_to_sample(const struct ddsi_serdata *d, void *sample, void **buf, void *end) {
    (void) d, (void) sample, (void) buf, (void) end;
    return false;
}

static struct ddsi_serdata *sd_to_untyped(const struct ddsi_serdata *c) {
    struct serdata *d = serdata_new(c->type, SDK_KEY, 0);

    if (!d)
        return NULL;
    d->c.type = NULL;
    return &d->c;
}

static bool sd_untyped_to_sample(const struct ddsi_sertype *t, const struct ddsi_serdata *d,
                                 void *sample, void **buf, void *end) {
    (void) t, (void) d, (void) sample, (void) buf, (void) end;
    return true;
}

static size_t sd_print(const struct ddsi_sertype *t, const struct ddsi_serdata *d, char *buf,
                       size_t n) {
    (void) t;
    return (size_t) snprintf(buf, n, "raw[%u]", sd_size(d));
}

static void sd_keyhash(const struct ddsi_serdata *d, struct ddsi_keyhash *ret, bool force_md5) {
    (void) d, (void) force_md5;
    memset(ret, 0, sizeof *ret);
}

static const struct ddsi_serdata_ops serdata_ops = {
    .eqkey = sd_eqkey,
    .get_size = sd_size,
    .from_ser = sd_from_ser,
    .from_ser_iov = sd_from_iov,
    .from_keyhash = sd_from_keyhash,
    .from_sample = sd_from_sample,
    .to_ser = sd_to_ser,
    .to_ser_ref = sd_to_ser_ref,
    .to_ser_unref = sd_to_ser_unref,
    .to_sample = sd_to_sample,
    .to_untyped = sd_to_untyped,
    .untyped_to_sample = sd_untyped_to_sample,
    .free = sd_free,
    .print = sd_print,
    .get_keyhash = sd_keyhash,
};

/* ---- sertype ---- */

static void st_free(struct ddsi_sertype *t) {
    ddsi_sertype_fini(t);
    free(t);
}

static void st_zero(const struct ddsi_sertype *t, void *samples, size_t n) {
    (void) t, (void) samples, (void) n;
}

/* Reached by dds_take() on a raw reader, which is our own mistake. */
static void st_realloc(void **ptrs, const struct ddsi_sertype *t, void *old, size_t nold,
                       size_t n) {
    (void) ptrs, (void) t, (void) old, (void) nold, (void) n;
    abort();
}

static void st_free_samples(const struct ddsi_sertype *t, void **ptrs, size_t n, dds_free_op_t op) {
    (void) t, (void) ptrs, (void) n, (void) op;
}

static bool st_equal(const struct ddsi_sertype *a, const struct ddsi_sertype *b) {
    return ((const struct sertype *) a)->held == ((const struct sertype *) b)->held;
}

static uint32_t st_hash(const struct ddsi_sertype *t) {
    return ((const struct sertype *) t)->held;
}

/* type_id, type_map and type_info stay empty: no XTypes information goes out, and peers compare
 * names only. get_serialized_size and serialize_into stay empty: never shared memory. */
static const struct ddsi_sertype_ops sertype_ops = {
    .version = ddsi_sertype_v0,
    .free = st_free,
    .zero_samples = st_zero,
    .realloc_samples = st_realloc,
    .free_samples = st_free_samples,
    .equal = st_equal,
    .hash = st_hash,
};

static struct ddsi_sertype *sertype_new(const char *type, bool keyed, bool held) {
    struct sertype *t = calloc(1, sizeof *t);

    if (!t)
        return NULL;
    ddsi_sertype_init_flags(&t->c, type, &sertype_ops, &serdata_ops,
                            keyed ? 0 : DDSI_SERTYPE_FLAG_TOPICKIND_NO_KEY);
    t->c.allowed_data_representation =
        DDS_DATA_REPRESENTATION_FLAG_XCDR1 | DDS_DATA_REPRESENTATION_FLAG_XCDR2;
    t->held = held;
    return &t->c;
}

dds_entity_t bp_raw_topic(dds_entity_t participant, const char *name, const char *type, bool keyed,
                          bool held, struct ddsi_sertype **ret_type) {
    struct ddsi_sertype *t = sertype_new(type, keyed, held);
    dds_entity_t topic;

    if (!t)
        return DDS_RETCODE_OUT_OF_RESOURCES;
    /* Takes our reference and puts the interned type into t. */
    topic = dds_create_topic_sertype(participant, name, &t, NULL, NULL, NULL);
    if (topic < 0)
        ddsi_sertype_unref(t);
    else if (ret_type)
        *ret_type = t;
    return topic;
}

/* ---- reading ---- */

static void describe(const struct ddsi_serdata *c, const ddsi_guid_t *writer,
                     struct bp_raw_sample *s) {
    const struct serdata *d = (const struct serdata *) c;

    *s = (struct bp_raw_sample){
        .seq = d->seq,
        .source_ns = c->timestamp.v,
        .recv_ns = d->recv_ns,
        .size = c->kind == SDK_DATA ? d->size : 0,
        .has_related = d->has_related,
        .related_seq = d->related_seq,
        .serdata = c,
    };
    memcpy(s->related_guid, d->related_guid, 16);
    if (writer)
        guid_bytes(writer, s->guid);
}

void bp_raw_copy(const void *serdata, uint8_t *dst) {
    const struct serdata *d = serdata;

    bp_raw_copy_part(serdata, dst, d->size);
}

void bp_raw_copy_part(const void *serdata, uint8_t *dst, size_t n) {
    const struct serdata *d = serdata;

    n = BP_MIN(n, (size_t) d->size);
    if (d->data)
        memcpy(dst, d->data, n);
    else if (d->frag)
        chain_copy(d->frag, dst, n);
}

struct rhc {
    struct dds_rhc c; /* first */
    struct bp_raw_events ev;
    void *ctx;
    struct ddsi_tkmap *tkmap;
    _Atomic(struct ddsi_tkmap_instance *) tk; /* held, so that it is not made anew per sample */
};

/* True always: refusing would stop the receive thread for every topic. */
static bool rhc_store(struct ddsi_rhc *__restrict c, const struct ddsi_writer_info *__restrict w,
                      struct ddsi_serdata *__restrict d,
                      struct ddsi_tkmap_instance *__restrict tk) {
    struct rhc *r = (struct rhc *) c;
    struct ddsi_tkmap_instance *none = NULL;
    struct bp_raw_sample s;

    if (!atomic_load_explicit(&r->tk, memory_order_relaxed) && tk && r->tkmap) {
        ddsi_tkmap_instance_ref(tk);
        if (!atomic_compare_exchange_strong(&r->tk, &none, tk))
            ddsi_tkmap_instance_unref(r->tkmap, tk);
    }
    if (d->ops != &serdata_ops)
        return true;
    describe(d, &w->guid, &s);
    r->ev.sample(r->ctx, &s);
    return true;
}

static void rhc_unregister(struct ddsi_rhc *__restrict c,
                           const struct ddsi_writer_info *__restrict w) {
    const struct rhc *r = (const struct rhc *) c;
    uint8_t guid[16];

    if (!r->ev.parted)
        return;
    guid_bytes(&w->guid, guid);
    r->ev.parted(r->ctx, guid);
}

static void rhc_relinquish(struct ddsi_rhc *__restrict c, const uint64_t iid) {
    (void) c, (void) iid;
}

static void rhc_set_qos(struct ddsi_rhc *c, const struct dds_qos *q) {
    (void) c, (void) q;
}

static void rhc_free(struct ddsi_rhc *c) {
    struct rhc *r = (struct rhc *) c;
    struct ddsi_tkmap_instance *tk = atomic_load(&r->tk);

    if (tk)
        ddsi_tkmap_instance_unref(r->tkmap, tk);
    if (r->ev.released)
        r->ev.released(r->ctx);
    free(r);
}

static int32_t rhc_read(struct dds_rhc *c, bool lock, void **v, dds_sample_info_t *info,
                        uint32_t max, uint32_t mask, dds_instance_handle_t h,
                        struct dds_readcond *cond) {
    (void) c, (void) lock, (void) v, (void) info, (void) max, (void) mask, (void) h, (void) cond;
    return 0;
}

static int32_t rhc_read_cdr(struct dds_rhc *c, bool lock, struct ddsi_serdata **v,
                            dds_sample_info_t *info, uint32_t max, uint32_t sample, uint32_t view,
                            uint32_t instance, dds_instance_handle_t h) {
    (void) c, (void) lock, (void) v, (void) info, (void) max, (void) sample, (void) view;
    (void) instance, (void) h;
    return 0;
}

static bool rhc_add_cond(struct dds_rhc *c, struct dds_readcond *cond) {
    (void) c, (void) cond;
    return true;
}

static void rhc_remove_cond(struct dds_rhc *c, struct dds_readcond *cond) {
    (void) c, (void) cond;
}

static uint32_t rhc_lock(struct dds_rhc *c) {
    (void) c;
    return 0;
}

static dds_return_t rhc_associate(struct dds_rhc *c, struct dds_reader *rd,
                                  const struct ddsi_sertype *t, struct ddsi_tkmap *map) {
    (void) rd, (void) t;
    ((struct rhc *) c)->tkmap = map;
    return DDS_RETCODE_OK;
}

static const struct dds_rhc_ops rhc_ops = {
    .rhc_ops = { .store = rhc_store,
                 .unregister_wr = rhc_unregister,
                 .relinquish_ownership = rhc_relinquish,
                 .set_qos = rhc_set_qos,
                 .free = rhc_free },
    .read = rhc_read,
    .take = rhc_read,
    .readcdr = rhc_read_cdr,
    .takecdr = rhc_read_cdr,
    .add_readcondition = rhc_add_cond,
    .remove_readcondition = rhc_remove_cond,
    .lock_samples = rhc_lock,
    .associate = rhc_associate,
};

dds_entity_t bp_raw_reader(dds_entity_t participant, dds_entity_t topic, const dds_qos_t *qos,
                           const struct bp_raw_events *ev, void *ctx) {
    struct rhc *r = calloc(1, sizeof *r);
    dds_entity_t reader;

    if (!r) {
        if (ev->released)
            ev->released(ctx);
        return DDS_RETCODE_OUT_OF_RESOURCES;
    }
    r->c.common.ops = &rhc_ops;
    r->ev = *ev;
    r->ctx = ctx;
    /* Cyclone owns r from here and frees it with the reader, but not when creation fails. */
    reader = dds_create_reader_rhc(participant, topic, qos, NULL, &r->c);
    if (reader < 0)
        rhc_free(&r->c.common.rhc);
    return reader;
}

int bp_raw_take(dds_entity_t reader, bp_raw_fn fn, void *ctx) {
    struct ddsi_serdata *v[16];
    dds_sample_info_t info[BP_COUNT(v)];
    int n = dds_takecdr(reader, v, BP_COUNT(v), info, DDS_ANY_STATE);

    for (int i = 0; i < n; i++) {
        struct bp_raw_sample s;

        if (info[i].valid_data && v[i]->ops == &serdata_ops) {
            describe(v[i], NULL, &s);
            fn(ctx, &s);
        }
        ddsi_serdata_unref(v[i]);
    }
    return n;
}

/* ---- remote writers ---- */

static struct ddsi_domaingv *domain_of(const struct ddsi_sertype *type) {
    return ddsrt_atomic_ldvoidp((const ddsrt_atomic_voidp_t *) &type->gv);
}

static const struct ddsi_proxy_writer *find_remote(const struct ddsi_domaingv *gv,
                                                   const uint8_t guid[static 16]) {
    uint32_t v[4];
    ddsi_guid_t g;

    memcpy(v, guid, 16);
    for (size_t i = 0; i < 3; i++)
        g.prefix.u[i] = be32toh(v[i]);
    g.entityid.u = be32toh(v[3]);
    return entidx_lookup_proxy_writer_guid(gv->entity_index, &g);
}

/* Not under the writer's lock, which receive threads hold while they wait for ours: one aligned
 * load of a counter that only grows. */
int64_t bp_raw_remote_heard(const void *remote, bool reliable) {
    const struct ddsi_proxy_writer *w = remote;
    int64_t seq = __atomic_load_n(&w->last_seq, __ATOMIC_RELAXED);

    return reliable ? w->have_seen_heartbeat ? seq : -1 : seq > 0 ? seq : -1;
}

const void *bp_raw_remote(const struct ddsi_sertype *type, const uint8_t guid[static 16]) {
    const struct ddsi_domaingv *gv = domain_of(type);
    struct thread_state *me = lookup_thread_state();
    const void *w;

    thread_state_awake(me, gv);
    w = find_remote(gv, guid);
    thread_state_asleep(me);
    return w;
}

int64_t bp_raw_heard(const struct ddsi_sertype *type, const uint8_t guid[static 16],
                     bool reliable) {
    const struct ddsi_domaingv *gv = domain_of(type);
    struct thread_state *me = lookup_thread_state();
    const struct ddsi_proxy_writer *w;
    int64_t seq;

    thread_state_awake(me, gv); /* keeps what the index shows from being freed */
    w = find_remote(gv, guid);
    seq = w ? bp_raw_remote_heard(w, reliable) : -1;
    thread_state_asleep(me);
    return seq;
}

/* ---- writing ---- */

dds_return_t bp_raw_write(dds_entity_t writer, const struct ddsi_sertype *type, const void *cdr,
                          size_t n, bp_ns_t source_ns) {
    ddsrt_iovec_t iov = { .iov_len = n };
    struct ddsi_serdata *d;

    memcpy(&iov.iov_base, &cdr, sizeof cdr); /* only read from */
    d = ddsi_serdata_from_ser_iov(type, SDK_DATA, 1, &iov, n);
    if (!d)
        return DDS_RETCODE_OUT_OF_RESOURCES;
    d->statusinfo = 0;
    d->timestamp.v = source_ns;
    return dds_forwardcdr(writer, d); /* consumes the reference */
}

/* ---- sockets ---- */

int bp_raw_sockets(const struct ddsi_sertype *type, int fds[static BP_RAW_SOCKETS]) {
    const struct ddsi_domaingv *gv = domain_of(type);
    struct ddsi_tran_conn *const conns[] = { gv->disc_conn_mc, gv->data_conn_mc, gv->disc_conn_uc,
                                             gv->data_conn_uc };
    int n = 0;

    for (size_t i = 0; i < BP_COUNT(conns); i++) {
        int fd = conns[i] ? (int) ddsi_conn_handle(conns[i]) : -1;
        bool seen = fd < 0;

        for (int k = 0; k < n; k++)
            seen = seen || fds[k] == fd;
        if (!seen && n < BP_RAW_SOCKETS)
            fds[n++] = fd;
    }
    return n;
}

/* ---- synthetic fragments ---- */

int bp_raw_try_fragments(const uint8_t *pkt, size_t npkt, unsigned submsg_off, unsigned payload_off,
                         const struct bp_raw_frag *frags, size_t nfrags, size_t size,
                         struct bp_raw_sample *ret, struct bp_buf *out) {
    static const struct ddsrt_log_cfg quiet;
    struct ddsi_sertype *t = sertype_new("fuzz", false, false);
    struct nn_rbufpool *pool = nn_rbufpool_new(&quiet, 1u << 20, 128u << 10);
    struct nn_rmsg *m = pool ? nn_rmsg_new(pool) : NULL;
    struct nn_rdata *chain = NULL, **tail = &chain;
    struct ddsi_serdata *d = NULL;
    int rc = -1;

    if (m && t && npkt <= 65000) {
        memcpy(NN_RMSG_PAYLOAD(m), pkt, npkt);
        nn_rmsg_setsize(m, (uint32_t) npkt);
        for (size_t i = 0; i < nfrags; i++) {
            *tail = nn_rdata_new(m, frags[i].min, frags[i].maxp1, submsg_off, payload_off, 0);
            if (!*tail)
                break;
            (*tail)->nextfrag = NULL;
            tail = &(*tail)->nextfrag;
        }
        d = sd_from_ser(t, SDK_DATA, chain, size);
        rc = d != NULL;
    }
    if (d) {
        uint8_t *p;

        describe(d, NULL, ret);
        p = bp_buf_grow(out, ret->size);
        if (p)
            bp_raw_copy(d, p);
        ret->serdata = NULL;
        ddsi_serdata_unref(d);
    }
    if (m)
        nn_rmsg_commit(m);
    if (pool)
        nn_rbufpool_free(pool);
    if (t)
        ddsi_sertype_unref(t);
    return rc;
}
