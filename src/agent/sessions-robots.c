/* What running sessions have of one robot. */
#include <stdlib.h>

#include "agent/sessions-priv.h"

static void add_channel(struct running *r, const struct bp_take_topic *t,
                        struct bp_robot_sums *sums) {
    struct bp_channel_stats c;

    if (bp_writer_channel_stats(r->writer, t->channel, &c) < 0)
        return;
    sums->messages += c.messages;
    sums->bytes += c.bytes;
    for (int i = 0; i < BP_LOSS_N_; i++) {
        sums->lost_by[i] += c.lost[i];
        sums->lost += bp_loss_is_loss((enum bp_loss) i) ? c.lost[i] : 0;
    }
}

/* Adds up what the session has of the robot; false when it has no topic of it. */
static bool add_session(struct running *r, const char *robot, struct bp_robot_sums *sums) {
    size_t n = r->take ? bp_take_topics(r->take, NULL, 0) : 0; /* a snapshot has none */
    BP_AUTO_FREE struct bp_take_topic *v = calloc(n + 1, sizeof *v);
    bool any = false;

    n = v && n ? BP_MIN(n, bp_take_topics(r->take, v, n)) : 0;
    for (size_t i = 0; i < n; i++)
        if (bp_streq(v[i].robot, robot)) {
            any = true;
            add_channel(r, &v[i], sums);
        }
    return any;
}

void bp_sessions_robot_sums(struct bp_sessions *s, const char *robot, struct bp_robot_sums *ret) {
    *ret = (struct bp_robot_sums){ 0 };
    (void) pthread_mutex_lock(&s->lock);
    for (struct running *r = s->running; r; r = r->next)
        (void) add_session(r, robot, ret);
    (void) pthread_mutex_unlock(&s->lock);
}

json_t *bp_sessions_of_robot(struct bp_sessions *s, const char *robot) {
    json_t *list = json_array();

    (void) pthread_mutex_lock(&s->lock);
    for (struct running *r = s->running; r; r = r->next) {
        struct bp_robot_sums ignored = { 0 };

        if (add_session(r, robot, &ignored))
            (void) json_array_append_new(list, json_string(r->name));
    }
    (void) pthread_mutex_unlock(&s->lock);
    return list;
}
