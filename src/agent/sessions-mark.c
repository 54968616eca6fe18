#include <errno.h>
#include <string.h>

#include "agent/sessions-priv.h"

int bp_sessions_mark_all(struct bp_sessions *s, const char *text, const json_t *values,
                         struct bp_error *err) {
    char ids[BP_TAKES][27];
    int n = 0, done = 0, r = 0;

    (void) pthread_mutex_lock(&s->lock);
    for (const struct running *k = s->running; k && n < BP_TAKES; k = k->next)
        memcpy(ids[n++], k->id, sizeof ids[0]);
    (void) pthread_mutex_unlock(&s->lock);
    for (int i = 0; i < n; i++) {
        int k = bp_sessions_mark(s, ids[i], text, values, err);

        done += k == 0;
        if (k < 0 && k != -ENOENT) /* it may have ended meanwhile */
            r = k;
    }
    return r < 0 ? r : done;
}
