#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "dds/dds-priv.h"
#include "dds/typedesc.h"

/* Service calls. ROS 2 maps a service to two topics, but the two vendors tie a reply to its request
 * differently: rmw_cyclonedds puts {u64 client, i64 number} in front of both payloads, rmw_fastrtps
 * sends plain payloads and names the request in the reply's inline QoS (related_sample_identity).
 * A request in the wrong dialect makes a Fast DDS server take the client number for a string length
 * and run out of memory (ros2/rmw_cyclonedds#577), and all servers of a name hear each request.
 * So the dialect follows from who serves, and a name served by both is never called. */

enum { CYCLONE = 0x0110, EPROSIMA = 0x010f, ID_BYTES = 16, SETTLE_MS = 50 };

/* Who serves is only known once everybody has been heard: those who were there before us answer
 * our first announcement within JOIN, and tell what they offer within MEET of being met. Where
 * participants keep coming, the call does not wait for them longer than ENOUGH. */
#define JOIN   (1 * BP_SEC)
#define MEET   (700 * BP_MS)
#define ENOUGH (4 * BP_SEC)

struct call {
    pthread_mutex_t lock;
    pthread_cond_t answered;
    bool cyclone;
    uint64_t client;      /* Cyclone dialect: who asks */
    uint8_t writer[16];   /* eProsima dialect: our request writer */
    bool done;            /* [lock] */
    struct bp_buf *reply; /* [lock] the caller's */
    unsigned refs;        /* [lock] the caller's and the reader's */
};

static void call_release(void *ctx) {
    struct call *c = ctx;
    bool last;

    pthread_mutex_lock(&c->lock);
    last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->answered);
    free(c);
}

static struct call *call_new(struct bp_buf *reply, bool cyclone) {
    struct call *c = calloc(1, sizeof *c);
    pthread_condattr_t a;

    if (!c)
        return NULL;
    c->reply = reply;
    c->cyclone = cyclone;
    c->refs = 1;
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&c->answered, &a);
    pthread_condattr_destroy(&a);
    return c;
}

/* Our calls use a writer once, so the number of a request is always 1. */
static bool is_ours(const struct call *c, const struct bp_raw_sample *s, const uint8_t *cdr) {
    uint64_t client, number;

    if (!c->cyclone)
        return s->has_related && s->related_seq == 1 &&
               memcmp(s->related_guid, c->writer, BP_GUID_LEN) == 0;
    if (s->size < 4 + ID_BYTES)
        return false;
    client = bp_ld_le64(cdr + 4);
    number = bp_ld_le64(cdr + 12);
    if (cdr[1] == 0) { /* a big-endian server */
        client = __builtin_bswap64(client);
        number = __builtin_bswap64(number);
    }
    return client == c->client && number == 1;
}

static void on_reply(void *ctx, const struct bp_raw_sample *s) {
    struct call *c = ctx;
    uint8_t *cdr = s->size >= 4 ? malloc(s->size) : NULL;

    if (!cdr)
        return;
    bp_raw_copy(s->serdata, cdr);
    pthread_mutex_lock(&c->lock);
    if (!c->done && c->reply && is_ours(c, s, cdr)) {
        size_t skip = c->cyclone ? ID_BYTES : 0;

        bp_buf_put(c->reply, cdr, 4);
        bp_buf_put(c->reply, cdr + 4 + skip, s->size - 4 - skip);
        c->done = true;
        pthread_cond_signal(&c->answered);
    }
    pthread_mutex_unlock(&c->lock);
    free(cdr);
}

/* ---- who serves ---- */

struct servers {
    unsigned n;
    uint16_t vendor;
    bool mixed;
};

static struct servers servers_locked(struct bp_dds *d, const char *request_topic) {
    struct servers r = { 0 };
    struct bp_ep *e, *tmp;

    HASH_ITER(hh, d->eps, e, tmp) {
        if (e->e.writer || !bp_streq(e->e.dds_topic, request_topic))
            continue;
        r.mixed = r.mixed || (r.n && r.vendor != e->e.vendor);
        r.vendor = e->e.vendor;
        r.n++;
    }
    return r;
}

static int check_servers(const struct servers *s, const char *service, struct bp_error *err) {
    if (s->n == 0)
        return bp_fail(err, -ENOENT, "no node offers service '%s'", service);
    if (s->mixed)
        return bp_fail(err, BP_EMISMATCH,
                       "service '%s' is offered by nodes of two DDS vendors; a request could make "
                       "one of them run out of memory, so none is sent",
                       service);
    if (s->vendor != CYCLONE && s->vendor != EPROSIMA)
        return bp_fail(err, BP_EUNSUPPORTED,
                       "service '%s' is offered by DDS vendor %u.%u, whose requests are not "
                       "understood yet",
                       service, s->vendor >> 8, s->vendor & 0xff);
    return 0;
}

/* When the graph may be believed complete, monotonic. */
static bp_ns_t complete_at_locked(const struct bp_dds *d) {
    bp_ns_t met = d->met_last ? d->met_last + MEET : 0;

    return BP_MIN(BP_MAX(d->joined + JOIN, met), d->joined + ENOUGH);
}

/* Waits until the service shows up in the graph, and everybody else who may offer it. */
static int find_servers(struct bp_dds *d, const char *topic, const char *service, bp_ns_t end,
                        struct servers *ret, struct bp_error *err) {
    for (;;) {
        bp_ns_t now = bp_mono_ns(), complete;

        pthread_mutex_lock(&d->lock);
        *ret = servers_locked(d, topic);
        complete = complete_at_locked(d);
        pthread_mutex_unlock(&d->lock);
        if (now >= end || (ret->n && now >= complete))
            return check_servers(ret, service, err);
        bp_sleep(5 * BP_MS);
    }
}

/* ---- the two ends ---- */

struct ends {
    dds_entity_t topics[2], writer, reader;
    struct ddsi_sertype *type;
};

static void ends_close(struct ends *e) {
    const dds_entity_t all[] = { e->writer, e->reader, e->topics[0], e->topics[1] };

    for (size_t i = 0; i < BP_COUNT(all); i++)
        if (all[i] > 0)
            (void) dds_delete(all[i]);
}

static int ends_open(struct bp_path *p, const char *topics[2], const char *types[2], struct call *c,
                     struct ends *e, struct bp_error *err) {
    struct bp_qos qos = bp_qos_default; /* reliable, volatile, keep last 10: as rmw's services */
    dds_qos_t *q = bp_qos_to_dds(&qos);
    dds_guid_t guid;
    int rc = 0;

    *e = (struct ends){ 0 };
    if (!q)
        return bp_fail(err, -ENOMEM, "out of memory");
    dds_qset_ignorelocal(q, DDS_IGNORELOCAL_PARTICIPANT);
    e->topics[0] = bp_raw_topic(p->participant, topics[0], types[0], false, true, &e->type);
    e->topics[1] = bp_raw_topic(p->participant, topics[1], types[1], false, false, NULL);
    if (e->topics[0] >= 0 && e->topics[1] >= 0) {
        c->refs++; /* nobody else knows c yet */
        e->reader = bp_raw_reader(
            p->participant, e->topics[1], q,
            &(struct bp_raw_events){ .sample = on_reply, .released = call_release }, c);
        e->writer = dds_create_writer(p->participant, e->topics[0], q, NULL);
    }
    dds_delete_qos(q);
    if (e->writer <= 0 || e->reader <= 0) {
        rc = bp_fail(err, BP_EDDS, "cannot call '%s': %s", topics[0],
                     dds_strretcode(e->writer < 0 ? -e->writer : -e->reader));
        ends_close(e);
        return rc;
    }
    (void) dds_get_guid(e->writer, &guid);
    memcpy(c->writer, guid.v, BP_GUID_LEN);
    c->client = 0;
    (void) dds_get_instance_handle(e->writer, &c->client); /* any unique number will do */
    return 0;
}

static bool matched(const struct ends *e, unsigned servers) {
    dds_publication_matched_status_t w = { 0 };
    dds_subscription_matched_status_t r = { 0 };

    (void) dds_get_publication_matched_status(e->writer, &w);
    (void) dds_get_subscription_matched_status(e->reader, &r);
    return w.current_count >= servers && r.current_count >= 1;
}

static int send_request(const struct ends *e, const struct call *c, const uint8_t *cdr, size_t n,
                        struct bp_error *err) {
    BP_AUTO_BUF b = { 0 };
    uint64_t client = c->client, number = 1;
    dds_return_t rc;

    bp_buf_put(&b, cdr, 4);
    if (c->cyclone) {
        if (cdr[1] == 0) {
            client = __builtin_bswap64(client);
            number = __builtin_bswap64(number);
        }
        bp_buf_put_le64(&b, client);
        bp_buf_put_le64(&b, number);
    }
    bp_buf_put(&b, cdr + 4, n - 4);
    if (b.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    rc = bp_raw_write(e->writer, e->type, b.p, b.n, bp_wall_ns());
    return rc == DDS_RETCODE_OK
               ? 0
               : bp_fail(err, BP_EDDS, "request was refused: %s", dds_strretcode(-rc));
}

static int wait_answer(struct call *c, bp_ns_t end) {
    struct timespec t = { .tv_sec = end / BP_SEC, .tv_nsec = end % BP_SEC };
    int rc = 0;

    pthread_mutex_lock(&c->lock);
    while (!c->done && rc == 0)
        rc = pthread_cond_timedwait(&c->answered, &c->lock, &t);
    rc = c->done ? 0 : -ETIMEDOUT;
    c->reply = NULL; /* the caller's buffer is his again */
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static int ask(struct bp_dds *d, const char *service, const char *topics[2], const char *types[2],
               const void *request, size_t n, bp_ns_t end, struct bp_buf *ret,
               struct bp_error *err) {
    struct servers s, now;
    struct call *c;
    struct ends e;
    int rc = find_servers(d, topics[0], service, end, &s, err);

    if (rc < 0)
        return rc;
    c = call_new(ret, s.vendor == CYCLONE);
    if (!c)
        return bp_fail(err, -ENOMEM, "out of memory");
    pthread_mutex_lock(&d->lock);
    rc = ends_open(d->paths, topics, types, c, &e, err);
    pthread_mutex_unlock(&d->lock);
    if (rc < 0) {
        call_release(c);
        return rc;
    }
    while (!matched(&e, s.n) && bp_mono_ns() < end)
        bp_sleep(BP_MS);
    if (matched(&e, s.n)) {
        bp_sleep(SETTLE_MS * BP_MS); /* the other side matches on its own time */
        pthread_mutex_lock(&d->lock);
        now = servers_locked(d, topics[0]);
        pthread_mutex_unlock(&d->lock);
        rc = check_servers(&now, service, err);
        if (rc == 0)
            rc = send_request(&e, c, request, n, err);
        if (rc == 0 && wait_answer(c, end) < 0)
            rc = bp_fail(err, -ETIMEDOUT, "service '%s' did not answer in time", service);
    } else {
        rc = bp_fail(err, -ETIMEDOUT, "service '%s' is announced but cannot be reached", service);
    }
    (void) wait_answer(c, 0);
    ends_close(&e);
    call_release(c);
    return rc;
}

static char *text2(const char *a, const char *b, const char *c) {
    struct bp_buf t = { 0 };

    bp_buf_put_str(&t, a);
    bp_buf_put_str(&t, b);
    bp_buf_put_str(&t, c);
    return bp_buf_take_cstr(&t);
}

int bp_dds_call(struct bp_dds *d, const char *service, const char *type, const void *request,
                size_t n, bp_ns_t timeout, struct bp_buf *ret, struct bp_error *err) {
    const char *slash = service[0] == '/' ? "" : "/";
    BP_AUTO_FREE char *name = text2(slash, service, "");
    BP_AUTO_FREE char *rq = name ? text2("rq", name, "Request") : NULL;
    BP_AUTO_FREE char *rr = name ? text2("rr", name, "Reply") : NULL;
    BP_AUTO_FREE char *rq_ros = text2(type, "_Request", "");
    BP_AUTO_FREE char *rr_ros = text2(type, "_Response", "");
    BP_AUTO_FREE char *rq_type = rq_ros ? bp_dds_mangle_type(rq_ros) : NULL;
    BP_AUTO_FREE char *rr_type = rr_ros ? bp_dds_mangle_type(rr_ros) : NULL;
    const char *topics[2] = { rq, rr }, *types[2] = { rq_type, rr_type };

    if (!rq || !rr || !rq_type || !rr_type)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (n < 4)
        return bp_fail(err, -EINVAL, "a request of %zu bytes has no encapsulation header", n);
    if (pthread_equal(pthread_self(), d->graph_thread))
        return bp_fail(err, -EDEADLK, "service calls cannot be made from a graph callback");
    return ask(d, service, topics, types, request, n, bp_mono_ns() + timeout, ret, err);
}

/* ---- type descriptions ---- */

static void put_string(struct bp_buf *b, const char *s) {
    static const uint8_t zero[4];
    size_t n = strlen(s) + 1, off = b->n - 4;

    bp_buf_put(b, zero, BP_ALIGN(off, 4) - off);
    bp_buf_put_le32(b, (uint32_t) n);
    bp_buf_put(b, s, n);
}

int bp_dds_type_description(struct bp_dds *d, const char *node, const char *type, const char *hash,
                            bp_ns_t timeout, struct bp_buf *ret, struct bp_error *err) {
    BP_AUTO_FREE char *service = text2(node, "/get_type_description", "");
    BP_AUTO_BUF request = { 0 };

    bp_buf_put(&request, "\0\1\0\0", 4);
    put_string(&request, type);
    put_string(&request, hash);
    bp_buf_put_u8(&request, 1); /* include_type_sources */
    if (!service || request.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    return bp_dds_call(d, service, "type_description_interfaces/srv/GetTypeDescription", request.p,
                       request.n, timeout, ret, err);
}
