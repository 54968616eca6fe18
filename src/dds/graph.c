#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "dds/dds-priv.h"

/* The graph thread sleeps in poll() until Cyclone has discovered something (its listeners only
 * write to an eventfd), a node list changed, or an interface came or went. Nothing is polled for:
 * a domain at rest costs nothing here. */

enum { KEYED_WRITER = 0x02, KEYED_READER = 0x07 };

/* ---- telling the user ---- */

/* Events are collected under the lock and told without it, so that the user may call anything. */
struct news {
    struct bp_endpoint e;
    char *text;
    char *node;
    struct news *next;
};

struct telling {
    struct news *first, **last;
};

static void tell_later(struct telling *t, const struct bp_ep *ep, bool alive) {
    struct news *n = calloc(1, sizeof *n);
    const char *base = ep->text;
    size_t len = 0;

    if (!n)
        return;
    /* `text` holds the five strings one behind the other. */
    for (int i = 0; i < 5; i++)
        len += strlen(base + len) + 1;
    n->text = malloc(len);
    n->node = strdup(ep->node ? ep->node : "");
    if (!n->text || !n->node) {
        free(n->text);
        free(n->node);
        free(n);
        return;
    }
    memcpy(n->text, base, len);
    n->e = ep->e;
    n->e.topic = n->text + (ep->e.topic - base);
    n->e.type = n->text + (ep->e.type - base);
    n->e.dds_topic = n->text + (ep->e.dds_topic - base);
    n->e.dds_type = n->text + (ep->e.dds_type - base);
    n->e.type_hash = n->text + (ep->e.type_hash - base);
    n->e.node = n->node;
    n->e.alive = alive;
    *t->last = n;
    t->last = &n->next;
}

static void tell_now(struct bp_dds *d, struct telling *t) {
    while (t->first) {
        struct news *n = t->first;

        t->first = n->next;
        if (d->ev.endpoint && !atomic_load(&d->stop))
            d->ev.endpoint(d->ev.ctx, &n->e);
        free(n->text);
        free(n->node);
        free(n);
    }
    t->last = &t->first;
}

static void tell_notes(struct bp_dds *d) {
    for (;;) {
        char *text = NULL;

        pthread_mutex_lock(&d->notes_lock);
        if (d->nnotes) {
            text = d->notes[0];
            d->nnotes--;
            memmove(d->notes, d->notes + 1, d->nnotes * sizeof d->notes[0]);
        }
        pthread_mutex_unlock(&d->notes_lock);
        if (!text)
            return;
        if (d->ev.notice)
            d->ev.notice(d->ev.ctx, text);
        free(text);
    }
}

/* ---- endpoints ---- */

static void ep_free(struct bp_ep *ep) {
    if (!ep)
        return;
    free(ep->text);
    free(ep->node);
    free(ep);
}

/* Puts the strings of an endpoint behind one another: type hash, DDS topic, DDS type, ROS type;
 * the ROS topic lies inside the DDS topic. Five strings, with an empty one at the end. */
static int ep_strings(struct bp_ep *ep, const char *topic, const char *type, struct bp_str hash) {
    size_t nhash = BP_MIN(hash.n, (size_t) 127), ntopic = strlen(topic), ntype = strlen(type);
    char *p = malloc(nhash + ntopic + 2 * ntype + 16), *w = p;
    const char *ros;

    if (!p)
        return -ENOMEM;
    ep->text = p;
    ep->e.type_hash = w;
    if (nhash)
        memcpy(w, hash.p, nhash);
    w += nhash;
    *w++ = 0;
    ep->e.dds_topic = w;
    memcpy(w, topic, ntopic + 1);
    ep->e.kind = bp_discovery_kind(w, &ros);
    ep->e.topic = ros;
    w += ntopic + 1;
    ep->e.dds_type = w;
    memcpy(w, type, ntype + 1);
    w += ntype + 1;
    ep->e.type = w;
    bp_discovery_demangle_type(type, w, ntype + 2);
    w += strlen(w) + 1;
    *w = 0;
    ep->e.node = "";
    return 0;
}

static void ep_policies(struct bp_ep *ep, const dds_qos_t *q) {
    dds_ownership_kind_t ownership;
    char **names = NULL;
    uint32_t n = 0;

    bp_qos_from_dds(q, ep->e.vendor, &ep->e.qos);
    ep->e.qos.avoid_ros_namespace_conventions = ep->e.kind == BP_ENDPOINT_FOREIGN;
    ep->exclusive = dds_qget_ownership(q, &ownership) && ownership == DDS_OWNERSHIP_EXCLUSIVE;
    if (dds_qget_partition(q, &n, &names)) {
        for (uint32_t i = 0; i < n; i++) {
            ep->partitioned = ep->partitioned || names[i][0];
            dds_free(names[i]);
        }
        dds_free(names);
    }
}

static struct bp_ep *ep_new(const struct bp_path *p, const dds_builtintopic_endpoint_t *s,
                            bool writer) {
    struct bp_ep *ep = calloc(1, sizeof *ep);
    void *data = NULL;
    size_t ndata = 0;
    struct bp_str hash = { 0 };
    uint8_t kind = s->key.v[15] & 0x3f;
    int rc;

    if (!ep)
        return NULL;
    memcpy(ep->e.guid, s->key.v, BP_GUID_LEN);
    memcpy(ep->e.participant, s->participant_key.v, BP_GUID_LEN);
    ep->e.domain = p->d->opts.domain;
    ep->e.writer = writer;
    ep->e.alive = true;
    ep->e.vendor = (uint16_t) (s->key.v[0] << 8 | s->key.v[1]);
    ep->e.keyed = kind == KEYED_WRITER || kind == KEYED_READER;
    if (s->qos && dds_qget_userdata(s->qos, &data, &ndata) && data)
        hash = bp_discovery_user_data((struct bp_str){ data, ndata }, "typehash");
    rc = ep_strings(ep, s->topic_name ? s->topic_name : "", s->type_name ? s->type_name : "", hash);
    dds_free(data);
    if (rc < 0) {
        ep_free(ep);
        return NULL;
    }
    if (s->qos)
        ep_policies(ep, s->qos);
    return ep;
}

static bool set_node(struct bp_ep *ep, const char *node) {
    char *copy;

    if (!node || (ep->node && bp_streq(ep->node, node)))
        return false;
    copy = strdup(node);
    if (!copy)
        return false;
    free(ep->node);
    ep->node = copy;
    ep->e.node = copy;
    return true;
}

static void endpoint_alive(struct bp_path *p, const dds_builtintopic_endpoint_t *s, bool writer,
                           struct telling *t) {
    struct bp_dds *d = p->d;
    struct bp_ep *old = NULL, *ep = ep_new(p, s, writer);
    struct bp_part *part = NULL;
    bool same;

    if (!ep)
        return;
    HASH_FIND(hh, d->parts, ep->e.participant, BP_GUID_LEN, part);
    if (part)
        (void) set_node(ep, bp_discovery_info_node(&part->info, ep->e.guid));
    ep->paths = 1u << p->index;
    HASH_FIND(hh, d->eps, ep->e.guid, BP_GUID_LEN, old);
    same = old && bp_qos_equal(&old->e.qos, &ep->e.qos) &&
           bp_streq(old->e.type_hash, ep->e.type_hash) &&
           bp_streq(old->node ? old->node : "", ep->node ? ep->node : "");
    if (old) {
        ep->paths |= old->paths;
        HASH_DEL(d->eps, old);
        ep_free(old);
    }
    HASH_ADD(hh, d->eps, e.guid, BP_GUID_LEN, ep);
    if (writer)
        bp_sub_meet_locked(d, ep);
    if (!same)
        tell_later(t, ep, true);
}

static void endpoint_gone(const struct bp_path *p, const uint8_t guid[static BP_GUID_LEN],
                          struct telling *t) {
    struct bp_ep *ep = NULL;

    HASH_FIND(hh, p->d->eps, guid, BP_GUID_LEN, ep);
    if (!ep)
        return;
    ep->paths &= ~(1u << p->index);
    if (ep->paths)
        return; /* another path still sees it */
    HASH_DEL(p->d->eps, ep);
    if (ep->e.writer)
        bp_sub_part_locked(p->d, ep);
    tell_later(t, ep, false);
    ep_free(ep);
}

static bool is_ours(const struct bp_dds *d, const uint8_t participant[static BP_GUID_LEN]) {
    for (const struct bp_path *p = d->paths; p; p = p->next)
        if (memcmp(p->guid, participant, BP_GUID_LEN) == 0)
            return true;
    return false;
}

static void take_endpoints(struct bp_path *p, bool writers, struct telling *t) {
    dds_entity_t rd = p->graph[writers ? 0 : 1];
    void *v[32] = { 0 };
    dds_sample_info_t info[BP_COUNT(v)];
    int n;

    while ((n = dds_take(rd, v, info, BP_COUNT(v), BP_COUNT(v))) > 0) {
        for (int i = 0; i < n; i++) {
            const dds_builtintopic_endpoint_t *s = v[i];

            /* Of one that went away only the key is filled in. */
            if (info[i].instance_state != DDS_IST_ALIVE)
                endpoint_gone(p, s->key.v, t);
            else if (info[i].valid_data && !is_ours(p->d, s->participant_key.v))
                endpoint_alive(p, s, writers, t);
        }
        (void) dds_return_loan(rd, v, n);
    }
}

/* ---- participants and their nodes ---- */

static void part_free(struct bp_dds *d, struct bp_part *part) {
    if (!part)
        return;
    HASH_DEL(d->parts, part);
    bp_discovery_info_done(&part->info);
    free(part);
}

static void take_participants(struct bp_path *p) {
    void *v[32] = { 0 };
    dds_sample_info_t info[BP_COUNT(v)];
    int n;

    while ((n = dds_take(p->people, v, info, BP_COUNT(v), BP_COUNT(v))) > 0) {
        for (int i = 0; i < n; i++) {
            const dds_builtintopic_participant_t *s = v[i];
            struct bp_part *part = NULL;

            if (info[i].instance_state == DDS_IST_ALIVE) {
                if (info[i].valid_data && info[i].view_state == DDS_VST_NEW &&
                    !is_ours(p->d, s->key.v)) {
                    p->npeople++;
                    p->d->met_last = bp_mono_ns();
                }
                continue;
            }
            if (p->npeople)
                p->npeople--;
            HASH_FIND(hh, p->d->parts, s->key.v, BP_GUID_LEN, part);
            part_free(p->d, part);
        }
        (void) dds_return_loan(p->people, v, n);
    }
}

struct info_take {
    struct bp_dds *d;
    struct telling *t;
};

static void on_info(void *ctx, const struct bp_raw_sample *s) {
    struct info_take *it = ctx;
    struct bp_part *part = calloc(1, sizeof *part), *old = NULL;
    uint8_t *cdr = malloc(s->size);
    struct bp_error err;

    if (!part || !cdr) {
        free(part);
        free(cdr);
        return;
    }
    bp_raw_copy(s->serdata, cdr);
    if (bp_discovery_info_parse(cdr, s->size, &part->info, &err) < 0) {
        bp_dds_note(it->d, "%s; node names of one participant stay unknown", err.text);
        free(part);
        free(cdr);
        return;
    }
    free(cdr);
    HASH_FIND(hh, it->d->parts, part->info.participant, BP_GUID_LEN, old);
    part_free(it->d, old);
    HASH_ADD(hh, it->d->parts, info.participant, BP_GUID_LEN, part);
    for (size_t i = 0; i < part->info.ngids; i++) {
        const struct bp_discovery_gid *g = &part->info.gids[i];
        struct bp_ep *ep = NULL;

        HASH_FIND(hh, it->d->eps, g->guid, BP_GUID_LEN, ep);
        if (ep && set_node(ep, part->info.nodes[g->node]))
            tell_later(it->t, ep, true);
    }
}

/* ---- the thread ---- */

static void on_data(dds_entity_t rd, void *ctx) {
    (void) rd;
    bp_dds_wake(ctx);
}

int bp_graph_watch(struct bp_path *p, struct bp_error *err) {
    dds_listener_t *l = dds_create_listener(p->d);
    dds_entity_t *const made[] = { &p->people, &p->graph[0], &p->graph[1] };
    const dds_entity_t topics[] = { DDS_BUILTIN_TOPIC_DCPSPARTICIPANT,
                                    DDS_BUILTIN_TOPIC_DCPSPUBLICATION,
                                    DDS_BUILTIN_TOPIC_DCPSSUBSCRIPTION };
    int rc = 0;

    dds_lset_data_available(l, on_data);
    for (size_t i = 0; i < BP_COUNT(made) && rc == 0; i++) {
        *made[i] = dds_create_reader(p->participant, topics[i], NULL, l);
        if (*made[i] < 0)
            rc = bp_fail(err, BP_EDDS, "cannot watch the graph: %s", dds_strretcode(-*made[i]));
    }
    if (rc == 0)
        (void) dds_set_listener(p->info_reader, l);
    dds_delete_listener(l);
    return rc;
}

static void look(struct bp_dds *d) {
    struct telling t = { 0 };
    struct info_take it = { d, &t };

    t.last = &t.first;
    pthread_mutex_lock(&d->lock);
    for (struct bp_path *p = d->paths; p; p = p->next) {
        take_participants(p);
        take_endpoints(p, true, &t);
        take_endpoints(p, false, &t);
        while (bp_raw_take(p->info_reader, on_info, &it) > 0)
            ;
    }
    if (d->nodes_changed)
        bp_node_announce_locked(d);
    pthread_mutex_unlock(&d->lock);
    tell_now(d, &t);
    tell_notes(d);
}

void bp_graph_drop_path(struct bp_dds *d, struct bp_path *p) {
    struct telling t = { 0 };
    struct bp_ep *ep, *tmp;

    t.last = &t.first;
    pthread_mutex_lock(&d->lock);
    bp_sub_retract_locked(d, p);
    HASH_ITER(hh, d->eps, ep, tmp)
    if (ep->paths & 1u << p->index)
        endpoint_gone(p, ep->e.guid, &t);
    pthread_mutex_unlock(&d->lock);
    tell_now(d, &t);
}

/* Between two looks at writers of which nothing has come yet. */
enum { LOOK_MS = 250 };

static void *graph_main(void *arg) {
    struct bp_dds *d = arg;
    int timeout = -1;

    (void) pthread_setname_np(pthread_self(), "bp-graph");
    while (!atomic_load(&d->stop)) {
        struct pollfd fds[2] = { { .fd = d->wake_fd, .events = POLLIN },
                                 { .fd = d->netlink_fd, .events = POLLIN } };
        uint64_t count;

        (void) poll(fds, 2, timeout);
        (void) !read(d->wake_fd, &count, sizeof count);
        if (fds[1].revents)
            bp_move_event(d);
        look(d);
        timeout = bp_move_tick(d);
        if (bp_sub_look(d))
            timeout = timeout < 0 ? LOOK_MS : BP_MIN(timeout, LOOK_MS);
    }
    return NULL;
}

int bp_graph_start(struct bp_dds *d, struct bp_error *err) {
    int rc = pthread_create(&d->graph_thread, NULL, graph_main, d);

    if (rc)
        return bp_fail(err, -rc, "cannot start the graph thread: %s", bp_strerror(-rc));
    d->graph_running = true;
    bp_dds_wake(d);
    return 0;
}

void bp_graph_stop(struct bp_dds *d) {
    atomic_store(&d->stop, true);
    if (!d->graph_running)
        return;
    bp_dds_wake(d);
    (void) pthread_join(d->graph_thread, NULL);
    d->graph_running = false;
}

void bp_graph_free(struct bp_dds *d) {
    struct bp_ep *ep, *ep2;
    struct bp_part *part, *part2;

    HASH_ITER(hh, d->eps, ep, ep2) {
        HASH_DEL(d->eps, ep);
        ep_free(ep);
    }
    HASH_ITER(hh, d->parts, part, part2)
    part_free(d, part);
}
