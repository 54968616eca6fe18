#include <errno.h>
#include <string.h>

#include "dds/dds-priv.h"

/* Publications of raw CDR, and the ROS nodes we announce them under. */

static const char info_hash[] =
    "typehash=RIHS01_91a0593bacdcc50ea9bdcf849a938b128412cc1ea821245c663bcd26f83c295e;";

struct bp_pub {
    struct bp_dds *d;
    struct bp_path *path;
    dds_entity_t topic, writer;
    struct ddsi_sertype *type;
    struct bp_node *node;
    uint8_t guid[BP_GUID_LEN];
    struct bp_pub *next;  /* [d->lock] */
    pthread_mutex_t lock; /* order of sequence numbers */
    int64_t seq;          /* [lock] of the last sample */
};

/* ---- nodes ---- */

int bp_dds_node(struct bp_dds *d, const char *ns, const char *name, struct bp_node **ret,
                struct bp_error *err) {
    struct bp_node *n = calloc(1, sizeof *n);
    struct bp_buf b = { 0 };

    if (!ns || !*ns)
        ns = "/";
    bp_buf_printf(&b, "%s%s%s%s", ns[0] == '/' ? "" : "/", ns, ns[strlen(ns) - 1] == '/' ? "" : "/",
                  name);
    if (n)
        n->name = bp_buf_take_cstr(&b);
    if (!n || !n->name) {
        bp_buf_done(&b);
        free(n);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    n->d = d;
    pthread_mutex_lock(&d->lock);
    n->next = d->nodes;
    d->nodes = n;
    d->nodes_changed = true;
    pthread_mutex_unlock(&d->lock);
    bp_dds_wake(d);
    *ret = n;
    return 0;
}

void bp_node_free(struct bp_node *n) {
    if (!n)
        return;
    free(n->name);
    free(n);
}

static int make_info_writer(struct bp_path *p) {
    dds_qos_t *q = dds_create_qos();
    dds_data_representation_id_t xcdr1 = DDS_DATA_REPRESENTATION_XCDR1;

    dds_qset_reliability(q, DDS_RELIABILITY_RELIABLE, DDS_SECS(1));
    dds_qset_durability(q, DDS_DURABILITY_TRANSIENT_LOCAL);
    dds_qset_history(q, DDS_HISTORY_KEEP_LAST, 1);
    dds_qset_data_representation(q, 1, &xcdr1);
    dds_qset_userdata(q, info_hash, sizeof info_hash - 1);
    p->info_writer = dds_create_writer(p->participant, p->info_topic, q, NULL);
    dds_delete_qos(q);
    if (p->info_writer >= 0)
        return 0;
    bp_dds_note(p->d, "cannot announce our nodes: %s", dds_strretcode(-p->info_writer));
    p->info_writer = 0;
    return BP_EDDS;
}

/* Every node of ours, with those publications that live on this path. */
static void announce(struct bp_path *p) {
    struct bp_discovery_info i = { 0 };
    BP_AUTO_BUF cdr = { 0 };
    size_t nodes = 0, pubs = 0;

    for (const struct bp_node *n = p->d->nodes; n; n = n->next)
        nodes++;
    for (const struct bp_pub *b = p->d->pubs; b; b = b->next)
        pubs++;
    if (!p->info_writer && (nodes == 0 || make_info_writer(p) < 0))
        return;
    memcpy(i.participant, p->guid, BP_GUID_LEN);
    i.nodes = calloc(nodes + 1, sizeof *i.nodes);
    i.gids = calloc(pubs + 1, sizeof *i.gids);
    if (i.nodes && i.gids) {
        for (const struct bp_node *n = p->d->nodes; n; n = n->next) {
            for (const struct bp_pub *b = p->d->pubs; b; b = b->next)
                if (b->node == n && b->path == p) {
                    struct bp_discovery_gid *g = &i.gids[i.ngids++];

                    memcpy(g->guid, b->guid, BP_GUID_LEN);
                    g->node = (uint32_t) i.nnodes;
                    g->writer = true;
                }
            i.nodes[i.nnodes++] = n->name;
        }
        bp_discovery_info_put(&i, &cdr);
        if (!cdr.failed)
            (void) bp_raw_write(p->info_writer, p->info_type, cdr.p, cdr.n, bp_wall_ns());
    }
    free(i.nodes); /* the names are the nodes' own */
    free(i.gids);
}

void bp_node_announce_locked(struct bp_dds *d) {
    d->nodes_changed = false;
    for (struct bp_path *p = d->paths; p; p = p->next)
        announce(p);
}

/* ---- publications ---- */

static int create(struct bp_pub *p, const struct bp_pub_opts *o, struct bp_error *err) {
    BP_AUTO_FREE char *topic = o->raw_names ? strdup(o->topic) : bp_dds_mangle_topic(o->topic);
    BP_AUTO_FREE char *type = o->raw_names ? strdup(o->type) : bp_dds_mangle_type(o->type);
    dds_qos_t *q = bp_qos_to_dds(&o->qos);
    dds_guid_t guid;
    char data[128];

    if (!topic || !type || !q) {
        dds_delete_qos(q);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    if (o->type_hash && *o->type_hash) {
        int n = snprintf(data, sizeof data, "typehash=%s;", o->type_hash);

        if (n > 0 && (size_t) n < sizeof data)
            dds_qset_userdata(q, data, (size_t) n);
    }
    p->topic = bp_raw_topic(p->path->participant, topic, type, o->keyed, true, &p->type);
    if (p->topic >= 0)
        p->writer = dds_create_writer(p->path->participant, p->topic, q, NULL);
    dds_delete_qos(q);
    if (p->topic < 0 || p->writer < 0) {
        int code = p->topic < 0 ? p->topic : p->writer;

        if (p->topic >= 0)
            (void) dds_delete(p->topic);
        return bp_fail(err, BP_EDDS, "cannot publish '%s': %s", o->topic, dds_strretcode(-code));
    }
    (void) dds_get_guid(p->writer, &guid);
    memcpy(p->guid, guid.v, BP_GUID_LEN);
    return 0;
}

int bp_dds_advertise(struct bp_dds *d, const struct bp_pub_opts *o, struct bp_pub **ret,
                     struct bp_error *err) {
    struct bp_pub *p = calloc(1, sizeof *p);
    int rc;

    if (!p)
        return bp_fail(err, -ENOMEM, "out of memory");
    p->d = d;
    p->node = o->node;
    pthread_mutex_init(&p->lock, NULL);
    pthread_mutex_lock(&d->lock);
    p->path = d->paths;
    rc = create(p, o, err);
    if (rc == 0) {
        p->path->pubs++;
        p->next = d->pubs;
        d->pubs = p;
        d->nodes_changed = d->nodes_changed || p->node;
    }
    pthread_mutex_unlock(&d->lock);
    if (rc < 0) {
        pthread_mutex_destroy(&p->lock);
        free(p);
        return rc;
    }
    if (p->node)
        bp_dds_wake(d);
    *ret = p;
    return 0;
}

void bp_pub_close(struct bp_pub *p) {
    if (!p)
        return;
    pthread_mutex_lock(&p->d->lock);
    for (struct bp_pub **at = &p->d->pubs; *at; at = &(*at)->next)
        if (*at == p) {
            *at = p->next;
            break;
        }
    p->path->pubs--;
    p->d->nodes_changed = p->d->nodes_changed || p->node;
    pthread_mutex_unlock(&p->d->lock);
    if (p->node)
        bp_dds_wake(p->d);
    (void) dds_delete(p->writer);
    (void) dds_delete(p->topic);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

void bp_pub_guid(const struct bp_pub *p, uint8_t ret[static BP_GUID_LEN]) {
    memcpy(ret, p->guid, BP_GUID_LEN);
}

int64_t bp_pub_write(struct bp_pub *p, const void *cdr, size_t n, bp_ns_t source_ns) {
    dds_return_t rc;
    int64_t seq;

    if (n < 4)
        return -EINVAL;
    pthread_mutex_lock(&p->lock);
    rc = bp_raw_write(p->writer, p->type, cdr, n, source_ns ? source_ns : bp_wall_ns());
    seq = rc == DDS_RETCODE_OK ? ++p->seq : 0;
    pthread_mutex_unlock(&p->lock);
    if (rc == DDS_RETCODE_OK)
        return seq;
    return rc == DDS_RETCODE_TIMEOUT            ? -ETIMEDOUT
           : rc == DDS_RETCODE_OUT_OF_RESOURCES ? -ENOMEM
                                                : BP_EDDS;
}

int bp_pub_wait_acked(struct bp_pub *p, bp_ns_t timeout) {
    dds_return_t rc = dds_wait_for_acks(p->writer, timeout);

    return rc == DDS_RETCODE_OK ? 0 : rc == DDS_RETCODE_TIMEOUT ? -ETIMEDOUT : BP_EDDS;
}

int bp_pub_matched(const struct bp_pub *p) {
    dds_publication_matched_status_t s;

    return dds_get_publication_matched_status(p->writer, &s) == DDS_RETCODE_OK
               ? (int) s.current_count
               : 0;
}
