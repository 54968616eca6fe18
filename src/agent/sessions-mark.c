#include "agent/sessions-priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Without a lock: listeners may ask us. @param mark  taken over, or NULL */
static void tell_mark(struct bp_sessions *s, const char *event, const char *id, json_t *mark) {
    bp_bus_publish(s->bus, "sessions",
                   json_pack("{s:s, s:o?, s:o*}", "event", event, "session",
                             bp_sessions_brief(s, id), "mark", mark));
}

void bp_sessions_tell(struct bp_sessions *s, const char *event, const char *id) {
    tell_mark(s, event, id, NULL);
}

/* "text", then the values, as the writer takes them. */
static int write_mark(struct running *r, const char *wall, const char *text, const json_t *values,
                      struct bp_error *err) {
    size_t n = 0, cap = 5 + 2 * json_object_size(values);
    BP_AUTO_FREE const char **kv = calloc(cap, sizeof *kv);
    const char *key;
    json_t *v;

    if (!kv)
        return bp_fail(err, -ENOMEM, "out of memory");
    kv[n++] = "text";
    kv[n++] = text;
    kv[n++] = "time_ns";
    kv[n++] = wall;
    json_object_foreach((json_t *) (uintptr_t) values, key, v) {
        if (!json_is_string(v))
            return bp_fail(err, BP_EUSAGE, "values.%s must be a text", key);
        kv[n++] = key;
        kv[n++] = json_string_value(v);
    }
    return bp_writer_mark(r->writer, "bagpipe.mark", kv);
}

int bp_sessions_mark(struct bp_sessions *s, const char *key, const char *text, const json_t *values,
                     struct bp_error *err) {
    struct bp_catalog_mark m = { .wall_ns = bp_wall_ns(), .text = (char *) (uintptr_t) text };
    BP_AUTO_FREE char *dumped = values ? json_dumps(values, JSON_COMPACT) : strdup("{}");
    struct running *r;
    char wall[32], id[27];
    int k = 0;

    if (!dumped)
        return bp_fail(err, -ENOMEM, "out of memory");
    m.values = dumped;
    (void) snprintf(wall, sizeof wall, "%lld", (long long) m.wall_ns);
    (void) pthread_mutex_lock(&s->turn);
    (void) pthread_mutex_lock(&s->lock);
    r = bp_running_find_locked(s, key);
    if (!r)
        k = bp_running_not_found_locked(s, key, err);
    (void) pthread_mutex_unlock(&s->lock);
    if (r)
        k = write_mark(r, wall, text, values, err);
    if (k == 0)
        k = bp_catalog_add_mark(s->catalog, r->id, &m, err);
    if (r)
        memcpy(id, r->id, sizeof id);
    (void) pthread_mutex_unlock(&s->turn);
    if (k == 0)
        tell_mark(s, "mark", id,
                  json_pack("{s:s, s:s, s:O*}", "time_ns", wall, "text", text, "values",
                            (json_t *) (uintptr_t) values));
    return k;
}

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
