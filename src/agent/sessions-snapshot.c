/* Sessions that are filled from the history instead of by a take. */
#include <string.h>

#include "agent/sessions-priv.h"
#include "base/log.h"
#include "record/save.h"

static int begin(struct bp_sessions *s, struct running *r, const struct bp_save_opts *o,
                 struct bp_save **ret, struct bp_error *err) {
    struct bp_save_opts opts = *o;
    struct bp_catalog_session row;
    struct bp_save *save = NULL;
    int k;

    opts.writer = r->writer;
    opts.select = r->select;
    k = bp_save_open(&opts, &save, err);
    if (k < 0)
        return k;
    r->started_ns = bp_wall_ns() - (bp_mono_ns() - o->from_mono);
    row = bp_running_row(r);
    k = bp_catalog_put(s->catalog, &row, err);
    if (k < 0) { /* a session nobody knows of after a crash: better none */
        bp_save_close(save);
        return k;
    }
    r->save = save;
    *ret = save;
    return 0;
}

int bp_sessions_start_snapshot(struct bp_sessions *s, const json_t *request,
                               const char *const *custom, uint64_t ring_bytes,
                               const struct bp_save_opts *window, char ret_id[static 27],
                               struct bp_save **ret, struct bp_error *err) {
    struct running *r = NULL;
    char dir[1300];
    int k;

    (void) pthread_mutex_lock(&s->turn);
    k = bp_sessions_choose_dir(s, request, dir, sizeof dir, err);
    if (k == 0)
        k = bp_running_begin_snapshot(s, request, dir, custom, ring_bytes, &r, err);
    if (k == 0) {
        k = begin(s, r, window, ret, err);
        memcpy(ret_id, r->id, 27);
        if (k < 0)
            (void) bp_running_end(s, r, NULL);
        else
            bp_log(BP_LOG_NOTICE, "snapshot started", BP_F_TEXT("session", r->name),
                   BP_F_TEXT("id", r->id));
    }
    (void) pthread_mutex_unlock(&s->turn);
    if (k == 0)
        bp_sessions_tell(s, "started", ret_id);
    return k;
}

int bp_sessions_end_snapshot(struct bp_sessions *s, const char *id, struct bp_error *err) {
    struct running *r;
    int k = 0;

    (void) pthread_mutex_lock(&s->turn);
    (void) pthread_mutex_lock(&s->lock);
    r = bp_running_find_locked(s, id);
    (void) pthread_mutex_unlock(&s->lock);
    if (r)
        k = bp_running_end(s, r, err);
    (void) pthread_mutex_unlock(&s->turn);
    if (r)
        bp_sessions_tell(s, "stopped", id);
    return k;
}
