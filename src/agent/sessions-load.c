/* What an earlier life left: sessions that were being recorded go on, other interrupted ones are
 * recovered, and folders the catalogue does not know are entered. The folders are the truth. */
#include "agent/sessions-priv.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bag/ledger.h"
#include "bag/manifest.h"
#include "bag/metadata.h"
#include "bag/recover.h"
#include "base/log.h"

int bp_sessions_sum_up(const char *dir, struct bp_catalog_session *row, struct bp_error *err) {
    BP_AUTO_MANIFEST m = { 0 };
    int r = bp_manifest_read(&bp_io_posix, dir, &m, err);

    if (r < 0)
        return r;
    (void) snprintf(row->id, sizeof row->id, "%s", m.id);
    row->messages = row->bytes = row->lost = 0;
    row->segments = (uint32_t) m.nsegments;
    for (size_t i = 0; i < m.nsegments; i++) {
        row->messages += m.segments[i].messages - m.segments[i].repeated;
        row->bytes += m.segments[i].bytes;
    }
    for (size_t i = 0; i < m.nchannels; i++)
        for (int k = 0; k < BP_LOSS_N_; k++)
            row->lost += bp_loss_is_loss((enum bp_loss) k) ? m.channels[i].lost[k] : 0;
    if (!row->started_ns)
        row->started_ns = m.created_ns;
    if (!row->ended_ns && m.nsegments)
        row->ended_ns = m.segments[m.nsegments - 1].last_ns;
    return 0;
}

/* ---- sessions that go on ---- */

struct unfinished {
    struct bp_catalog_session *v; /* owned copies: id, dir, request, … */
    size_t n, cap;
};

static int keep(void *ctx, const struct bp_catalog_session *s) {
    struct unfinished *u = ctx;
    struct bp_catalog_session *grown, *x;

    if (u->n == u->cap) {
        size_t cap = u->cap ? 2 * u->cap : 8;

        grown = realloc(u->v, cap * sizeof *grown);
        if (!grown)
            return -ENOMEM;
        u->v = grown;
        u->cap = cap;
    }
    x = &u->v[u->n];
    *x = (struct bp_catalog_session){ .status = s->status,
                                      .started_ns = s->started_ns,
                                      .outages = s->outages,
                                      .class = s->class,
                                      .name = strdup(s->name),
                                      .dir = strdup(s->dir),
                                      .request = strdup(s->request) };
    memcpy(x->id, s->id, sizeof x->id);
    u->n++;
    return x->name && x->dir && x->request ? 0 : -ENOMEM;
}

static void unfinished_done(struct unfinished *u) {
    for (size_t i = 0; i < u->n; i++)
        bp_catalog_session_done(&u->v[i]);
    free(u->v);
}

static int fail_row(struct bp_sessions *s, const struct bp_catalog_session *old, const char *why) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    struct bp_error err;
    int r = bp_catalog_get(s->catalog, old->id, &row, &err);

    if (r < 0)
        return r;
    row.status = access(row.dir, F_OK) == 0 ? BP_STATUS_FAILED : BP_STATUS_DELETED;
    free(row.error);
    row.error = strdup(why);
    row.ended_ns = bp_wall_ns();
    return bp_catalog_put(s->catalog, &row, &err);
}

/* As the same session, into the same folder, with what was asked for then. */
static void go_on(struct bp_sessions *s, const struct bp_catalog_session *old) {
    json_t *request = json_loads(old->request, JSON_REJECT_DUPLICATES, NULL);
    struct bp_error err = { 0 };
    struct bp_catalog_session row;
    struct running *r = NULL;
    int k;

    if (!request)
        request = json_object();
    if (old->status == BP_STATUS_PAUSED)
        (void) json_object_set_new(request, "paused", json_true());
    k = access(old->dir, F_OK) < 0
            ? bp_fail(&err, -ENOENT, "the folder '%s' is gone", old->dir)
            : bp_running_begin(s, request, old->dir, true, old->outages + 1, &r, &err);
    json_decref(request);
    if (k == 0) {
        r->started_ns = old->started_ns;
        (void) bp_writer_mark(r->writer, "bagpipe.mark",
                              (const char *const[]){ "text", "goes on after an outage", NULL });
        row = bp_running_row(r);
        k = bp_catalog_put(s->catalog, &row, &err);
        bp_log(BP_LOG_NOTICE, "session goes on after an outage", BP_F_TEXT("session", r->name),
               BP_F_TEXT("id", r->id));
    }
    if (k < 0) {
        bp_log(BP_LOG_WARNING, "session cannot go on", BP_F_TEXT("session", old->name),
               BP_F_TEXT("why", err.text));
        (void) fail_row(s, old, err.text);
    }
}

static int take_up(struct bp_sessions *s, struct bp_error *err) {
    BP_CLEANUP(unfinished_done) struct unfinished u = { 0 };
    static const enum bp_session_status statuses[] = { BP_STATUS_RECORDING, BP_STATUS_PAUSED };

    for (size_t i = 0; i < BP_COUNT(statuses); i++) {
        struct bp_catalog_query q = { .status = (int) statuses[i], .limit = 1000 };
        int r = bp_catalog_list(s->catalog, &q, keep, &u, err);

        if (r < 0)
            return r;
    }
    for (size_t i = u.n; i-- > 0;) /* oldest first */
        if (u.v[i].class == BP_CLASS_SESSION)
            go_on(s, &u.v[i]);
    return 0;
}

/* ---- folders ---- */

static bool is_running(struct bp_sessions *s, const char *dir) {
    for (const struct running *r = s->running; r; r = r->next)
        if (bp_streq(r->dir, dir))
            return true;
    return false;
}

static void recover_others(struct bp_sessions *s) {
    char **found = NULL;
    size_t n = 0;

    if (bp_recover_find(s->dir, &found, &n) < 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct bp_recovery rec = { 0 };
        struct bp_error err = { 0 };
        int k =
            is_running(s, found[i])
                ? BP_EBUSY
                : bp_recover(found[i],
                             &(struct bp_recover_opts){
                                 .signer = s->device, .hide_names = s->config->crypto.hide_names },
                             &rec, &err);

        if (k == 0 && rec.needed)
            bp_log(BP_LOG_NOTICE, "interrupted session recovered", BP_F_TEXT("path", found[i]),
                   BP_F_UINT("messages", rec.messages_kept), BP_F_UINT("lost", rec.lost_messages));
        else if (k < 0 && k != BP_EBUSY)
            bp_log(BP_LOG_WARNING, "interrupted session could not be recovered",
                   BP_F_TEXT("path", found[i]), BP_F_TEXT("why", err.text));
        bp_recovery_done(&rec);
        free(found[i]);
    }
    free(found);
}

/* What a catalogue that was lost knew, and the folder's metadata.yaml still tells. */
static enum bp_session_class class_of(const char *dir) {
    BP_AUTO_METADATA m = { 0 };
    int class = BP_CLASS_SESSION;

    if (bp_metadata_read(&bp_io_posix, dir, &m, NULL) < 0)
        return BP_CLASS_SESSION;
    for (size_t i = 0; i < m.ncustom; i++)
        if (bp_streq(m.custom[i].key, "bagpipe.class"))
            class = bp_class_from_name(m.custom[i].value);
    return class < 0 ? BP_CLASS_SESSION : (enum bp_session_class) class;
}

static void enter(struct bp_sessions *s, const char *dir, const char *name) {
    struct bp_catalog_session row = { .status = BP_STATUS_FINISHED,
                                      .name = (char *) (uintptr_t) name,
                                      .dir = (char *) (uintptr_t) dir };
    BP_AUTO_CATALOG_SESSION known = { 0 };
    struct bp_error err;

    if (bp_sessions_sum_up(dir, &row, &err) < 0)
        return; /* no recording of ours, or one that verify will explain */
    if (bp_catalog_get(s->catalog, row.id, &known, &err) == 0 &&
        (known.status == BP_STATUS_FINISHED || known.status == BP_STATUS_RECORDING ||
         known.status == BP_STATUS_PAUSED) &&
        bp_streq(known.dir, dir))
        return;
    row.class = class_of(dir);
    if (bp_catalog_put(s->catalog, &row, &err) < 0)
        bp_log(BP_LOG_WARNING, "session could not be entered into the catalogue",
               BP_F_TEXT("path", dir), BP_F_TEXT("why", err.text));
}

static void enter_folders(struct bp_sessions *s) {
    DIR *d = opendir(s->dir);
    struct dirent *e;

    while (d && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
        char dir[1300];

        if (e->d_name[0] == '.' ||
            snprintf(dir, sizeof dir, "%s/%s", s->dir, e->d_name) >= (int) sizeof dir)
            continue;
        if (!is_running(s, dir))
            enter(s, dir, e->d_name);
    }
    if (d)
        (void) closedir(d);
}

/* A snapshot that was being saved has what was saved by then: recovered, it is finished. */
static void settle_snapshot(struct bp_sessions *s, const struct bp_catalog_session *old) {
    BP_AUTO_CATALOG_SESSION row = { 0 };
    struct bp_error err = { 0 };
    int r = bp_catalog_get(s->catalog, old->id, &row, &err);

    if (r == 0)
        r = bp_sessions_sum_up(row.dir, &row, &err);
    if (r == 0) {
        row.status = BP_STATUS_FINISHED;
        row.outages++;
        r = bp_catalog_put(s->catalog, &row, &err);
    }
    if (r < 0) {
        bp_log(BP_LOG_WARNING, "snapshot cannot be finished", BP_F_TEXT("session", old->name),
               BP_F_TEXT("why", err.text));
        (void) fail_row(s, old, err.text);
    }
}

static void settle_snapshots(struct bp_sessions *s) {
    BP_CLEANUP(unfinished_done) struct unfinished u = { 0 };
    struct bp_catalog_query q = { .status = BP_STATUS_RECORDING, .limit = 1000 };
    struct bp_error err;

    if (bp_catalog_list(s->catalog, &q, keep, &u, &err) < 0)
        return; /* the next start looks again */
    for (size_t i = 0; i < u.n; i++)
        if (u.v[i].class == BP_CLASS_SNAPSHOT)
            settle_snapshot(s, &u.v[i]);
}

int bp_sessions_load(struct bp_sessions *s, struct bp_error *err) {
    int r = take_up(s, err);

    if (r < 0)
        return r;
    recover_others(s);
    enter_folders(s);
    settle_snapshots(s);
    return 0;
}
