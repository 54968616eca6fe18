#include "blob.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <dds/ddsi/ddsi_serdata.h>
#include <dds/ddsi/ddsi_sertype.h>
#include <dds/ddsi/q_radmin.h>

struct blob {
    struct ddsi_serdata c;
    uint32_t size;
    uint8_t data[];
};

static struct blob *blob_new(const struct ddsi_sertype *t, enum ddsi_serdata_kind k, size_t n) {
    struct blob *b = calloc(1, sizeof *b);
    struct blob *grown = b ? realloc(b, sizeof *b + ((n + 3) & ~(size_t) 3)) : NULL;

    if (!grown) {
        free(b);
        return NULL;
    }

    ddsi_serdata_init(&grown->c, t, k);
    grown->c.hash = t->serdata_basehash;
    grown->size = (uint32_t) n;
    memset(grown->data + n, 0, -n & 3); /* may be sent up to a multiple of 4 */
    return grown;
}

static struct ddsi_serdata *blob_from_ser(const struct ddsi_sertype *t, enum ddsi_serdata_kind k,
                                          const struct nn_rdata *f, size_t size) {
    struct blob *b = blob_new(t, k, size);
    uint32_t off = 0;

    if (!b)
        return NULL;
    for (; f; f = f->nextfrag)
        if (f->maxp1 > off) {
            const uint8_t *p = NN_RMSG_PAYLOADOFF(f->rmsg, NN_RDATA_PAYLOAD_OFF(f));

            if (f->maxp1 > size) {
                free(b);
                return NULL;
            }
            memcpy(b->data + off, p + off - f->min, f->maxp1 - off);
            off = f->maxp1;
        }
    return &b->c;
}

static struct ddsi_serdata *blob_from_iov(const struct ddsi_sertype *t, enum ddsi_serdata_kind k,
                                          ddsrt_msg_iovlen_t n, const ddsrt_iovec_t *iov,
                                          size_t size) {
    struct blob *b = blob_new(t, k, size);
    size_t off = 0;

    if (!b)
        return NULL;
    for (ddsrt_msg_iovlen_t i = 0; i < n && off < size; i++) {
        size_t len = iov[i].iov_len < size - off ? iov[i].iov_len : size - off;

        memcpy(b->data + off, iov[i].iov_base, len);
        off += len;
    }
    return &b->c;
}

static struct ddsi_serdata *blob_to_ser_ref(const struct ddsi_serdata *d, size_t off, size_t n,
                                            ddsrt_iovec_t *ref) {
    struct ddsi_serdata *kept = ddsi_serdata_ref(d);

    ref->iov_base = ((struct blob *) kept)->data + off;
    ref->iov_len = n;
    return kept;
}

static void blob_to_ser_unref(struct ddsi_serdata *d, const ddsrt_iovec_t *ref) {
    (void) ref;
    ddsi_serdata_unref(d);
}

static struct ddsi_serdata *blob_from_keyhash(const struct ddsi_sertype *t,
                                              const struct ddsi_keyhash *kh) {
    (void) kh;
    struct blob *b = blob_new(t, SDK_KEY, 0);
    return b ? &b->c : NULL;
}

static struct ddsi_serdata *blob_to_untyped(const struct ddsi_serdata *d) {
    struct blob *b = blob_new(d->type, SDK_KEY, 0);

    if (!b)
        return NULL;
    b->c.type = NULL;
    return &b->c;
}

static bool blob_eqkey(const struct ddsi_serdata *a, const struct ddsi_serdata *b) {
    return a && b;
}

static uint32_t blob_size(const struct ddsi_serdata *d) {
    return ((const struct blob *) d)->size;
}

static void blob_free(struct ddsi_serdata *d) {
    free(d);
}

static void blob_to_ser(const struct ddsi_serdata *d, size_t off, size_t n, void *buf) {
    memcpy(buf, ((const struct blob *) d)->data + off, n);
}

static bool blob_no_sample(const struct ddsi_sertype *t, const struct ddsi_serdata *d, void *s,
                           void **b, void *l) {
    (void) t, (void) d, (void) s, (void) b, (void) l;
    return true;
}

static size_t blob_print(const struct ddsi_sertype *t, const struct ddsi_serdata *d, char *buf,
                         size_t n) {
    (void) t;
    return (size_t) snprintf(buf, n, "blob[%u]", blob_size(d));
}

static void blob_keyhash(const struct ddsi_serdata *d, struct ddsi_keyhash *k, bool md5) {
    (void) d, (void) md5;
    memset(k, 0, sizeof *k);
}

static const struct ddsi_serdata_ops blob_ops = {
    .eqkey = blob_eqkey,
    .get_size = blob_size,
    .from_ser = blob_from_ser,
    .from_ser_iov = blob_from_iov,
    .from_keyhash = blob_from_keyhash,
    .to_ser = blob_to_ser,
    .to_ser_ref = blob_to_ser_ref,
    .to_ser_unref = blob_to_ser_unref,
    .to_untyped = blob_to_untyped,
    .untyped_to_sample = blob_no_sample,
    .free = blob_free,
    .print = blob_print,
    .get_keyhash = blob_keyhash,
};

static void type_free(struct ddsi_sertype *t) {
    ddsi_sertype_fini(t);
    free(t);
}

static bool type_equal(const struct ddsi_sertype *a, const struct ddsi_sertype *b) {
    return a->typekind_no_key == b->typekind_no_key;
}

static uint32_t type_hash(const struct ddsi_sertype *t) {
    return t->typekind_no_key;
}

static const struct ddsi_sertype_ops type_ops = {
    .version = ddsi_sertype_v0,
    .free = type_free,
    .equal = type_equal,
    .hash = type_hash,
};

dds_entity_t blob_topic(dds_entity_t participant, const char *name, const char *type, bool keyed,
                        struct ddsi_sertype **ret) {
    struct ddsi_sertype *t = calloc(1, sizeof *t);
    dds_entity_t tp;

    if (!t)
        return DDS_RETCODE_OUT_OF_RESOURCES;
    ddsi_sertype_init_flags(t, type, &type_ops, &blob_ops,
                            keyed ? 0 : DDSI_SERTYPE_FLAG_TOPICKIND_NO_KEY);
    t->allowed_data_representation =
        DDS_DATA_REPRESENTATION_FLAG_XCDR1 | DDS_DATA_REPRESENTATION_FLAG_XCDR2;
    tp = dds_create_topic_sertype(participant, name, &t, NULL, NULL, NULL);
    if (tp < 0)
        ddsi_sertype_unref(t);
    else if (ret)
        *ret = t; /* the interned one by now */
    return tp;
}

dds_return_t blob_write(dds_entity_t writer, const struct ddsi_sertype *t, const void *cdr,
                        size_t n) {
    ddsrt_iovec_t iov = { .iov_len = n };
    struct ddsi_serdata *d;

    memcpy(&iov.iov_base, &cdr, sizeof cdr); /* the iovec is not const, the bytes stay so */
    d = ddsi_serdata_from_ser_iov(t, SDK_DATA, 1, &iov, n);
    if (!d)
        return DDS_RETCODE_OUT_OF_RESOURCES;
    return dds_writecdr(writer, d);
}
