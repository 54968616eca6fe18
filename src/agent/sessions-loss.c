/* What running sessions lose: by topic, and to the number. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/sessions-priv.h"
#include "bag/bag-ledger.h"

/* Counts of one channel onto those of its topic. */
static void add_losses(json_t *all, const char *topic, const uint64_t lost[static BP_LOSS_N_]) {
    json_t *o = json_object_get(all, topic);

    for (int i = 0; i < BP_LOSS_N_; i++) {
        const char *cause = bp_loss_name((enum bp_loss) i);
        json_int_t sum = json_integer_value(json_object_get(o, cause));

        if (!lost[i] || !bp_loss_is_loss((enum bp_loss) i))
            continue;
        if (!o) {
            o = json_object();
            (void) json_object_set_new(all, topic, o);
        }
        (void) json_object_set_new(o, cause, json_integer(sum + (json_int_t) lost[i]));
    }
}

json_t *bp_sessions_losses(struct bp_sessions *s) {
    json_t *all = json_object();

    (void) pthread_mutex_lock(&s->turn);
    for (struct running *r = s->running; r; r = r->next) {
        size_t n = r->take ? bp_take_topics(r->take, NULL, 0) : 0; /* a snapshot has none */
        BP_AUTO_FREE struct bp_take_topic *v = calloc(n + 1, sizeof *v);

        n = v && n ? BP_MIN(n, bp_take_topics(r->take, v, n)) : 0;
        for (size_t i = 0; i < n; i++) {
            struct bp_channel_stats c = { 0 };

            if (bp_writer_channel_stats(r->writer, v[i].channel, &c) >= 0)
                add_losses(all, v[i].topic, c.lost);
        }
    }
    (void) pthread_mutex_unlock(&s->turn);
    return all;
}

int bp_sessions_ledger(struct bp_sessions *s, const char *id, struct bp_writer_ledger *ret,
                       struct bp_error *err) {
    struct running *r;
    int k;

    (void) pthread_mutex_lock(&s->turn); /* so that it does not end meanwhile */
    (void) pthread_mutex_lock(&s->lock);
    r = bp_running_find_locked(s, id);
    (void) pthread_mutex_unlock(&s->lock);
    k = r ? bp_writer_ledger(r->writer, ret, err)
          : bp_fail(err, -ENOENT, "session '%s' does not run", id);
    (void) pthread_mutex_unlock(&s->turn);
    return k;
}
