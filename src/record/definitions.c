/* Asks nodes for the definitions of types that neither the embedded table nor the disk knows. An
 * own thread, because a service call takes as long as a node pleases; meanwhile the channel records
 * without a definition. When the answer comes before the channel's first chunk is written, which is
 * the usual case, the file has it from the start; else its next segment has. */
#include "record/recorder-priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "dds/typedesc.h"
#include "wire/schema.h"

/* A stop waits for a call under way, and must itself be over within 2 s. */
#define PATIENCE BP_SEC

void bp_recorder_want_locked(struct bp_recorder *r, struct topic *t, struct chan *c,
                             const char *node) {
    struct want **end = &r->wants;
    struct want *w;

    if (!node || !*node || !*c->hash)
        return; /* nobody to ask, or too old to have the service: recover --definitions helps later
                 */

    w = calloc(1, sizeof *w);
    if (!w)
        return;
    w->topic = t;
    w->chan = c;
    w->node = strdup(node);
    while (*end)
        end = &(*end)->next;
    *end = w;
    (void) pthread_cond_signal(&r->wanted);
}

static void want_free(struct want *w) {
    free(w->node);
    free(w);
}

/* Asks one node. The text is checked against the hash, so a wrong answer is no answer. */
static int ask(const struct want *w, struct bp_buf *ret, struct bp_error *err) {
    BP_AUTO_BUF reply = { 0 };
    int r = bp_dds_type_description(w->topic->domain->dds, w->node, w->topic->type, w->chan->hash,
                                    PATIENCE, &reply, err);

    if (r < 0)
        return r;
    return bp_schema_from_type_description(reply.p, reply.n, w->topic->type, w->chan->hash, ret,
                                           err);
}

static void answer(struct bp_recorder *r, const struct want *w) {
    BP_AUTO_BUF text = { 0 };
    struct bp_error err = { 0 };
    char said[600];
    int k = ask(w, &text, &err);

    (void) pthread_mutex_lock(&r->lock);
    if (k >= 0 && !w->chan->told.n) {
        w->chan->told = BP_TAKE(text, (struct bp_buf){ 0 });
        bp_recorder_changed_locked(r, w->topic, w->chan);
    }
    (void) pthread_mutex_unlock(&r->lock);
    if (k >= 0)
        return;

    (void) snprintf(said, sizeof said,
                    "'%s' is recorded without the definition of '%s' (%s told none: %s); "
                    "`bagpipe recover --definitions DIR` adds it later",
                    w->topic->name, w->topic->type, w->node, err.text);
    bp_recorder_notice(r, said);
}

static void *resolve(void *arg) {
    struct bp_recorder *r = arg;

    (void) pthread_setname_np(pthread_self(), "definitions");
    (void) pthread_mutex_lock(&r->lock);
    for (;;) {
        struct want *w;

        while (!r->wants && !r->closing)
            (void) pthread_cond_wait(&r->wanted, &r->lock);
        if (r->closing)
            break;

        w = r->wants;
        r->wants = w->next;
        (void) pthread_mutex_unlock(&r->lock);
        answer(r, w);
        want_free(w);
        (void) pthread_mutex_lock(&r->lock);
    }
    (void) pthread_mutex_unlock(&r->lock);
    return NULL;
}

int bp_recorder_resolver_start(struct bp_recorder *r) {
    int k = pthread_create(&r->resolver, NULL, resolve, r);

    r->has_resolver = k == 0;
    return -k;
}

void bp_recorder_resolver_stop(struct bp_recorder *r) {
    if (!r->has_resolver)
        return;

    (void) pthread_mutex_lock(&r->lock);
    (void) pthread_cond_broadcast(&r->wanted);
    (void) pthread_mutex_unlock(&r->lock);
    (void) pthread_join(r->resolver, NULL);
    r->has_resolver = false;
    while (r->wants) {
        struct want *w = r->wants;

        r->wants = w->next;
        want_free(w);
    }
}
