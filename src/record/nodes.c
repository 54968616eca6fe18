/* Which nodes are there: a node is as long as one of its endpoints is. */
#include "record/recorder-priv.h"

enum { MAX_NODES = 4096 };

struct node { /* by name; stays, so that it is known to have been */
    uint32_t endpoints;
    UT_hash_handle hh;
    char name[];
};

struct seat { /* an endpoint that is alive */
    uint8_t guid[BP_GUID_LEN];
    struct node *node;
    UT_hash_handle hh;
};

static struct node *node_get(struct bp_recorder *r, const char *name) {
    struct node *n;

    HASH_FIND_STR(r->nodes, name, n);
    if (n || HASH_COUNT(r->nodes) >= MAX_NODES)
        return n;
    n = calloc(1, sizeof *n + strlen(name) + 1);
    if (!n)
        return NULL;
    memcpy(n->name, name, strlen(name) + 1);
    HASH_ADD_STR(r->nodes, name, n);
    return n;
}

static void leave_locked(struct bp_recorder *r, struct seat *s) {
    s->node->endpoints--;
    HASH_DEL(r->seats, s);
    free(s);
}

void bp_nodes_see_locked(struct bp_recorder *r, const struct bp_endpoint *e) {
    struct seat *s;
    struct node *n;

    HASH_FIND(hh, r->seats, e->guid, BP_GUID_LEN, s);
    if (s && (!e->alive || !bp_streq(s->node->name, e->node)))
        leave_locked(r, BP_TAKE_PTR(s));
    if (s || !e->alive || !e->node || !*e->node)
        return;
    n = node_get(r, e->node);
    s = n ? calloc(1, sizeof *s) : NULL;
    if (!s)
        return;
    memcpy(s->guid, e->guid, sizeof s->guid);
    s->node = n;
    n->endpoints++;
    HASH_ADD(hh, r->seats, guid, BP_GUID_LEN, s);
}

enum bp_presence bp_recorder_node(struct bp_recorder *r, const char *name) {
    enum bp_presence p = BP_NEVER_SEEN;
    struct node *n;

    (void) pthread_mutex_lock(&r->lock);
    HASH_FIND_STR(r->nodes, name, n);
    if (n)
        p = n->endpoints ? BP_PRESENT : BP_GONE;
    (void) pthread_mutex_unlock(&r->lock);
    return p;
}

void bp_nodes_free(struct bp_recorder *r) {
    struct seat *s, *next_s;
    struct node *n, *next_n;

    HASH_ITER(hh, r->seats, s, next_s) {
        HASH_DEL(r->seats, s);
        free(s);
    }
    HASH_ITER(hh, r->nodes, n, next_n) {
        HASH_DEL(r->nodes, n);
        free(n);
    }
}
