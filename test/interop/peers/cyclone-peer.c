/* A publisher or subscriber on plain Cyclone DDS with its own serializer: the far side of tests. */
#include <dds/dds.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

#include "peer.h"

/* As idlc makes them of
 *     @final struct Blob { sequence<octet> data; };
 *     @final struct KeyedBlob { @key long id; sequence<octet> data; };
 * without type information, which ROS nodes do not send either, and with the type's name open. */
struct blob {
    int32_t id; /* keyed only */
    struct {
        uint32_t _maximum, _length;
        uint8_t *_buffer;
        bool _release;
    } data;
};

static const uint32_t plain_ops[] = { DDS_OP_ADR | DDS_OP_TYPE_SEQ | DDS_OP_SUBTYPE_1BY,
                                      offsetof(struct blob, data), DDS_OP_RTS };
static const uint32_t keyed_ops[] = { DDS_OP_ADR | DDS_OP_FLAG_KEY | DDS_OP_FLAG_MU |
                                          DDS_OP_TYPE_4BY | DDS_OP_FLAG_SGN,
                                      offsetof(struct blob, id),
                                      DDS_OP_ADR | DDS_OP_TYPE_SEQ | DDS_OP_SUBTYPE_1BY,
                                      offsetof(struct blob, data),
                                      DDS_OP_RTS,
                                      DDS_OP_KOF | 1,
                                      0u };
static const dds_key_descriptor_t keys[] = { { "id", 5, 0 } };

static atomic_bool stop;

static void on_signal(int sig) {
    (void) sig;
    atomic_store(&stop, true);
}

static dds_topic_descriptor_t descriptor(const struct peer *o) {
    return (dds_topic_descriptor_t){
        .m_size = sizeof(struct blob),
        .m_align = _Alignof(struct blob),
        .m_flagset = o->keyed ? DDS_TOPIC_FIXED_KEY | DDS_TOPIC_FIXED_KEY_XCDR2 : 0,
        .m_nkeys = o->keyed ? 1 : 0,
        .m_typename = o->type,
        .m_keys = o->keyed ? keys : NULL,
        .m_nops = o->keyed ? 3 : 2,
        .m_ops = o->keyed ? keyed_ops : plain_ops,
        .m_meta = "",
    };
}

static dds_qos_t *qos(const struct peer *o) {
    dds_qos_t *q = dds_create_qos();
    dds_data_representation_id_t xcdr1 = DDS_DATA_REPRESENTATION_XCDR1;
    dds_history_kind_t h = o->keep_all ? DDS_HISTORY_KEEP_ALL : DDS_HISTORY_KEEP_LAST;
    int32_t depth = o->keep_all ? 0 : (int32_t) o->depth;

    dds_qset_reliability(q, o->best_effort ? DDS_RELIABILITY_BEST_EFFORT : DDS_RELIABILITY_RELIABLE,
                         DDS_SECS(10));
    dds_qset_history(q, h, depth);
    if (o->transient_local) {
        dds_qset_durability(q, DDS_DURABILITY_TRANSIENT_LOCAL);
        dds_qset_durability_service(q, 0, h, depth, DDS_LENGTH_UNLIMITED, DDS_LENGTH_UNLIMITED,
                                    DDS_LENGTH_UNLIMITED);
    }
    dds_qset_data_representation(q, 1, &xcdr1);
    return q;
}

/* Instances told apart by the middleware. */
struct instances {
    dds_instance_handle_t seen[64];
    unsigned n;
};

static void note_instance(struct instances *v, dds_instance_handle_t h) {
    for (unsigned i = 0; i < v->n; i++)
        if (v->seen[i] == h)
            return;
    if (v->n < sizeof v->seen / sizeof v->seen[0])
        v->seen[v->n++] = h;
}

static int64_t run_end(const struct peer *o) {
    return peer_ns(CLOCK_MONOTONIC) + (int64_t) (o->run_s * 1e9);
}

static int publish(struct peer *o, dds_entity_t pp, dds_entity_t topic, dds_qos_t *q) {
    dds_entity_t wr = dds_create_writer(pp, topic, q, NULL);
    uint8_t *data = malloc(o->size);
    struct blob b = { .data = { ._maximum = o->size, ._length = o->size, ._buffer = data } };
    int64_t end = run_end(o), next;
    dds_publication_matched_status_t m = { 0 };
    uint64_t sent = 0;
    dds_guid_t guid;

    if (wr < 0 || !data) {
        fprintf(stderr, "writer: %s\n", dds_strretcode(-wr));
        return 1;
    }
    dds_get_guid(wr, &guid);
    while (o->wait_for && m.current_count < o->wait_for && !atomic_load(&stop) &&
           peer_ns(CLOCK_MONOTONIC) < end) {
        dds_sleepfor(DDS_MSECS(5));
        dds_get_publication_matched_status(wr, &m);
    }
    if (o->wait_for)
        dds_sleepfor(DDS_MSECS(100));
    next = peer_ns(CLOCK_MONOTONIC);
    end = run_end(o);
    while (!atomic_load(&stop) && (!o->count || sent < o->count) &&
           peer_ns(CLOCK_MONOTONIC) < end) {
        dds_return_t rc;

        b.id = (int32_t) (sent % o->keys);
        peer_fill(data, o->size, sent + 1);
        rc = dds_write(wr, &b);
        if (rc != DDS_RETCODE_OK) {
            fprintf(stderr, "write: %s\n", dds_strretcode(-rc));
            continue;
        }
        sent++;
        peer_log(o, guid.v, sent, o->size, true);
        if (o->rate > 0) {
            next += (int64_t) (1e9 / o->rate);
            peer_sleep_until(next);
        }
    }
    dds_sleepfor((dds_duration_t) (o->linger_s * 1e9));
    printf("sent %llu\n", (unsigned long long) sent);
    free(data);
    return 0;
}

static int subscribe(struct peer *o, dds_entity_t pp, dds_entity_t topic, dds_qos_t *q) {
    int64_t end = run_end(o);
    struct instances instances = { .n = 0 };
    uint64_t n = 0, bad = 0;
    dds_entity_t rd;

    dds_qset_history(q, DDS_HISTORY_KEEP_ALL, 0);
    rd = dds_create_reader(pp, topic, q, NULL);
    if (rd < 0) {
        fprintf(stderr, "reader: %s\n", dds_strretcode(-rd));
        return 1;
    }
    while (!atomic_load(&stop) && (!o->count || n < o->count) && peer_ns(CLOCK_MONOTONIC) < end) {
        void *v[1] = { NULL };
        dds_sample_info_t info;
        int k = dds_take(rd, v, &info, 1, 1);

        if (k > 0 && info.valid_data) {
            const struct blob *b = v[0];
            uint64_t seq = peer_check(b->data._buffer, b->data._length);
            dds_builtintopic_endpoint_t *e =
                dds_get_matched_publication_data(rd, info.publication_handle);
            static const uint8_t unknown[16];

            n++;
            note_instance(&instances, info.instance_handle);
            bad += seq == 0;
            peer_log(o, e ? e->key.v : unknown, seq, b->data._length, seq != 0);
            if (e)
                dds_builtintopic_free_endpoint(e);
        }
        if (k > 0)
            dds_return_loan(rd, v, k);
        else
            dds_sleepfor(DDS_MSECS(1));
    }
    printf("received %llu bad %llu instances %u\n", (unsigned long long) n,
           (unsigned long long) bad, instances.n);
    return bad ? 1 : 0;
}

int main(int argc, char **argv) {
    struct peer o;
    int rc = peer_options(&o, argc, argv);
    dds_entity_t pp, topic;
    dds_qos_t *q, *pq;

    if (rc)
        return rc > 0 ? 0 : 2;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    pq = dds_create_qos();
    dds_qset_userdata(pq, "enclave=/;", 10);
    pp = dds_create_participant(o.domain, pq, NULL);
    dds_delete_qos(pq);
    const dds_topic_descriptor_t d = descriptor(&o);
    topic = pp < 0 ? pp : dds_create_topic(pp, &d, o.topic, NULL, NULL);
    if (topic < 0) {
        fprintf(stderr, "cannot start: %s\n", dds_strretcode(-topic));
        return 1;
    }
    q = qos(&o);
    rc = o.sub ? subscribe(&o, pp, topic, q) : publish(&o, pp, topic, q);
    dds_delete_qos(q);
    dds_delete(pp);
    if (o.log)
        fclose(o.log);
    return rc;
}
