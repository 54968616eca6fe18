#include "dds/discovery.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"

enum { MAX_NODES = 4096, MAX_GIDS = 65536, MAX_NAME = 260 };

/* ---- names ---- */

enum bp_endpoint_kind bp_discovery_kind(const char *dds_topic, const char **ret_ros) {
    static const struct {
        const char *prefix;
        enum bp_endpoint_kind kind;
    } table[] = {
        { "rt/", BP_ENDPOINT_TOPIC },
        { "rq/", BP_ENDPOINT_SERVICE_REQUEST },
        { "rr/", BP_ENDPOINT_SERVICE_REPLY },
    };

    for (size_t i = 0; i < BP_COUNT(table); i++)
        if (bp_starts_with(dds_topic, table[i].prefix)) {
            *ret_ros = dds_topic + 2;
            return table[i].kind;
        }
    *ret_ros = dds_topic;
    return BP_ENDPOINT_FOREIGN;
}

void bp_discovery_demangle_type(const char *dds_type, char *buf, size_t cap) {
    const char *mark = strstr(dds_type, "::dds_::");
    size_t n = strlen(dds_type), w = 0;

    if (!mark || dds_type[n - 1] != '_' || mark + 8 >= dds_type + n - 1 || cap < n + 1) {
        (void) snprintf(buf, cap, "%s", dds_type);
        return;
    }
    for (const char *p = dds_type; p < mark; p++)
        if (p[0] == ':' && p[1] == ':') {
            buf[w++] = '/';
            p++;
        } else {
            buf[w++] = *p;
        }
    buf[w++] = '/';
    for (const char *p = mark + 8; p < dds_type + n - 1; p++)
        buf[w++] = *p;
    buf[w] = 0;
}

char *bp_dds_mangle_topic(const char *ros_topic) {
    struct bp_buf b = { 0 };

    bp_buf_put_str(&b, ros_topic[0] == '/' ? "rt" : "rt/");
    bp_buf_put_str(&b, ros_topic);
    return bp_buf_take_cstr(&b);
}

char *bp_dds_mangle_type(const char *ros_type) {
    const char *last = strrchr(ros_type, '/');
    struct bp_buf b = { 0 };

    if (!last) {
        bp_buf_put_str(&b, ros_type);
        return bp_buf_take_cstr(&b);
    }
    for (const char *p = ros_type; p < last; p++)
        if (*p == '/')
            bp_buf_put_str(&b, "::");
        else
            bp_buf_put_u8(&b, (uint8_t) *p);
    bp_buf_printf(&b, "::dds_::%s_", last + 1);
    return bp_buf_take_cstr(&b);
}

struct bp_str bp_discovery_user_data(struct bp_str data, const char *key) {
    size_t nkey = strlen(key);

    while (data.n) {
        const char *end = memchr(data.p, ';', data.n);
        size_t n = end ? (size_t) (end - data.p) : data.n;

        if (n > nkey && memcmp(data.p, key, nkey) == 0 && data.p[nkey] == '=')
            return (struct bp_str){ data.p + nkey + 1, n - nkey - 1 };
        if (!end)
            break;
        data.p += n + 1;
        data.n -= n + 1;
    }
    return (struct bp_str){ 0 };
}

/* ---- ros_discovery_info ---- */

struct reader {
    struct bp_cur c;
    const uint8_t *start; /* CDR aligns from here */
    bool swap;
};

static uint32_t rd_u32(struct reader *r) {
    size_t off = (size_t) (r->c.p - r->start);
    uint32_t v;

    (void) bp_rd_bytes(&r->c, BP_ALIGN(off, 4) - off);
    v = bp_rd_le32(&r->c);
    return r->swap ? __builtin_bswap32(v) : v;
}

/* A CDR string of at most MAX_NAME bytes with its NUL; empty and sticky when it is none. */
static struct bp_str rd_string(struct reader *r) {
    uint32_t n = rd_u32(r);
    struct bp_str s = { 0 };

    if (n < 1 || n > MAX_NAME) {
        r->c.bad = true;
        return s;
    }
    s = bp_rd_view(&r->c, n);
    if (bp_cur_ok(&r->c) && memchr(s.p, 0, n) != s.p + n - 1)
        r->c.bad = true;
    s.n = bp_cur_ok(&r->c) ? n - 1 : 0;
    return s;
}

static char *full_name(struct bp_str ns, struct bp_str name) {
    struct bp_buf b = { 0 };

    bp_buf_put(&b, ns.p, ns.n);
    if (ns.n == 0 || ns.p[ns.n - 1] != '/')
        bp_buf_put_u8(&b, '/');
    bp_buf_put(&b, name.p, name.n);
    return bp_buf_take_cstr(&b);
}

static int rd_gids(struct reader *r, struct bp_discovery_info *i, uint32_t node, bool writer) {
    uint32_t n = rd_u32(r);

    if (!bp_cur_ok(&r->c) || n > bp_cur_left(&r->c) / i->gid_len)
        return BP_EFORMAT;
    if (n > MAX_GIDS - i->ngids)
        return BP_ELIMIT;
    if (n == 0)
        return 0;

    struct bp_discovery_gid *p = realloc(i->gids, (i->ngids + n) * sizeof *p);
    if (!p)
        return -ENOMEM;
    i->gids = p;
    for (uint32_t k = 0; k < n; k++) {
        const uint8_t *g = bp_rd_bytes(&r->c, i->gid_len);
        struct bp_discovery_gid *e = &i->gids[i->ngids++];

        *e = (struct bp_discovery_gid){ .node = node, .writer = writer };
        memcpy(e->guid, g, BP_GUID_LEN);
    }
    return 0;
}

static int by_guid(const void *a, const void *b) {
    return memcmp(((const struct bp_discovery_gid *) a)->guid,
                  ((const struct bp_discovery_gid *) b)->guid, BP_GUID_LEN);
}

static int parse_nodes(struct reader *r, struct bp_discovery_info *i) {
    uint32_t n = rd_u32(r);
    int rc;

    if (!bp_cur_ok(&r->c) || n > bp_cur_left(&r->c) / 16) /* least bytes of a node */
        return BP_EFORMAT;
    if (n > MAX_NODES)
        return BP_ELIMIT;
    i->nodes = calloc(n ? n : 1, sizeof *i->nodes);
    if (!i->nodes)
        return -ENOMEM;
    for (uint32_t k = 0; k < n; k++) {
        struct bp_str ns = rd_string(r), name = rd_string(r);

        if (!bp_cur_ok(&r->c))
            return BP_EFORMAT;
        i->nodes[i->nnodes] = full_name(ns, name);
        if (!i->nodes[i->nnodes++])
            return -ENOMEM;
        rc = rd_gids(r, i, k, false);
        if (rc == 0)
            rc = rd_gids(r, i, k, true);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int parse_as(const uint8_t *cdr, size_t n, unsigned gid_len, struct bp_discovery_info *ret) {
    struct bp_discovery_info i = { .gid_len = gid_len };
    struct reader r = { .c = bp_cur_of(cdr + 4, n - 4), .start = cdr + 4, .swap = cdr[1] == 0 };
    const uint8_t *gid = bp_rd_bytes(&r.c, gid_len);
    int rc = BP_EFORMAT;

    if (gid) {
        memcpy(i.participant, gid, BP_GUID_LEN);
        rc = parse_nodes(&r, &i);
    }
    if (rc == 0 && (!bp_cur_ok(&r.c) || bp_cur_left(&r.c) >= 4))
        rc = BP_EFORMAT;
    if (rc < 0) {
        bp_discovery_info_done(&i);
        return rc;
    }
    if (i.ngids)
        qsort(i.gids, i.ngids, sizeof *i.gids, by_guid);
    *ret = i;
    return 0;
}

int bp_discovery_info_parse(const void *cdr, size_t n, struct bp_discovery_info *ret,
                            struct bp_error *err) {
    const uint8_t *p = cdr;
    int rc;

    if (n < 4 || p[0] != 0 || p[1] > 1)
        return bp_fail(err, BP_EFORMAT, "ros_discovery_info is not plain CDR");
    rc = parse_as(p, n, 16, ret);
    if (rc == BP_EFORMAT)
        rc = parse_as(p, n, 24, ret);
    if (rc < 0)
        return bp_fail(err, rc, "ros_discovery_info of %zu bytes is in neither known layout: %s", n,
                       bp_strerror(rc));
    return 0;
}

void bp_discovery_info_done(struct bp_discovery_info *i) {
    for (size_t k = 0; k < i->nnodes; k++)
        free(i->nodes[k]);
    free(i->nodes);
    free(i->gids);
    *i = (struct bp_discovery_info){ 0 };
}

const char *bp_discovery_info_node(const struct bp_discovery_info *i,
                                   const uint8_t guid[static BP_GUID_LEN]) {
    struct bp_discovery_gid key;
    const struct bp_discovery_gid *hit;

    if (!i->ngids)
        return NULL;
    memcpy(key.guid, guid, BP_GUID_LEN);
    hit = bsearch(&key, i->gids, i->ngids, sizeof key, by_guid);
    return hit ? i->nodes[hit->node] : NULL;
}

static void put_u32(struct bp_buf *b, size_t start, uint32_t v) {
    static const uint8_t zero[4];

    bp_buf_put(b, zero, BP_ALIGN(b->n - start, 4) - (b->n - start));
    bp_buf_put_le32(b, v);
}

static void put_string(struct bp_buf *b, size_t start, const char *s, size_t n) {
    put_u32(b, start, (uint32_t) n + 1);
    bp_buf_put(b, s, n);
    bp_buf_put_u8(b, 0);
}

void bp_discovery_info_put(const struct bp_discovery_info *i, struct bp_buf *out) {
    size_t start = out->n + 4;

    bp_buf_put(out, "\0\1\0\0", 4);
    bp_buf_put(out, i->participant, BP_GUID_LEN);
    put_u32(out, start, (uint32_t) i->nnodes);
    for (size_t k = 0; k < i->nnodes; k++) {
        const char *slash = strrchr(i->nodes[k], '/');
        size_t nns = slash && slash != i->nodes[k] ? (size_t) (slash - i->nodes[k]) : 1;

        put_string(out, start, nns == 1 ? "/" : i->nodes[k], nns);
        put_string(out, start, slash ? slash + 1 : i->nodes[k],
                   strlen(slash ? slash + 1 : i->nodes[k]));
        for (int writer = 0; writer < 2; writer++) {
            uint32_t n = 0;

            for (size_t g = 0; g < i->ngids; g++)
                n += i->gids[g].node == k && i->gids[g].writer == (writer == 1);
            put_u32(out, start, n);
            for (size_t g = 0; g < i->ngids; g++)
                if (i->gids[g].node == k && i->gids[g].writer == (writer == 1))
                    bp_buf_put(out, i->gids[g].guid, BP_GUID_LEN);
        }
    }
}
