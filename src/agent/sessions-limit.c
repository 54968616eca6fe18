/* Sessions while the host is at a limit: the same for all of them, and written into each. */
#include "agent/sessions-priv.h"

#include <stdio.h>

/* What a reader of the recording is to know: from here on, this is why something is not there. */
static void write_mark(struct running *r, const char *text) {
    char wall[32];

    (void) snprintf(wall, sizeof wall, "%lld", (long long) bp_wall_ns());
    (void) bp_writer_mark(r->writer, "bagpipe.degraded",
                          (const char *const[]){ "text", *text ? text : "everything is recorded",
                                                 "time_ns", wall, NULL });
}

static void apply(const struct bp_sessions_limit *l, struct running *r) {
    bp_writer_set_plain(r->writer, l->plain);
    if (r->take) /* a snapshot has been chosen by its history already */
        bp_take_set_limit(r->take, l->limit, l->gap);
    write_mark(r, l->text);
}

void bp_running_limit_locked(struct bp_sessions *s, struct running *r) {
    if (s->limit.text[0])
        apply(&s->limit, r);
}

void bp_sessions_set_limit(struct bp_sessions *s, const struct bp_sessions_limit *l) {
    (void) pthread_mutex_lock(&s->lock);
    s->limit = *l;
    for (struct running *r = s->running; r; r = r->next)
        apply(l, r);
    (void) pthread_mutex_unlock(&s->lock);
}
