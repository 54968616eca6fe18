/* Asks nodes for the definitions of types that neither the embedded table nor the disk knows. An
 * own thread, because a service call takes as long as a node pleases; meanwhile the channel records
 * without a definition. When the answer comes before the channel's first chunk is written, which is
 * the usual case, the file has it from the start; else its next segment has. */
#include "record/recorder-priv.h"

#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "wire/schema.h"

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
