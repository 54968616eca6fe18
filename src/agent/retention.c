#include "agent/retention-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bag/session.h"
#include "base/log.h"
#include "base/thread.h"
#include "base/units.h"

#define DELETING    ".deleting-"
#define STEP        ((uint64_t) 64 << 20) /* of a file at once: freeing extents holds locks */
#define STEP_PAUSE  (20 * BP_MS)
#define BUSY_PAUSE  (100 * BP_MS)
#define CLOCK_STEP  (60 * BP_SEC)
#define CLOCK_DOUBT (3600 * BP_SEC)
#define SPACE_DOUBT (600 * BP_SEC)

enum { BUSY_ROUNDS = 20, MAX_DEPTH = 8 };

/* ---- looking ---- */

static void set_policy(const struct bp_agent_config *c, struct bp_retention_view *v) {
    const struct bp_retention_class classes[BP_RETENTION_CLASSES] = {
        { "session", c->retention.session.max_age, c->retention.session.max_size,
          (uint32_t) c->retention.session.keep_newest, c->retention.session.keep },
        { "snapshot", c->retention.snapshot.max_age, c->retention.snapshot.max_size,
          (uint32_t) c->retention.snapshot.keep_newest, c->retention.snapshot.keep },
    };

    memcpy(v->classes, classes, sizeof classes);
    v->policy = (struct bp_retention_policy){
        .max_age = c->retention.max_age,
        .max_size = c->retention.max_size,
        .min_free = c->retention.min_free,
        .keep_newest = (uint32_t) c->retention.keep_newest,
        .keep_marked = c->retention.keep_marked,
        .delete_not_uploaded = c->retention.delete_not_uploaded,
        .classes = v->classes,
        .nclasses = BP_RETENTION_CLASSES,
    };
}

bool bp_retention_is_idle(const struct bp_agent_config *c) {
    const bp_ns_t ages[] = { c->retention.max_age, c->retention.session.max_age,
                             c->retention.snapshot.max_age };
    const uint64_t sizes[] = { c->retention.max_size, c->retention.min_free,
                               c->retention.session.max_size, c->retention.snapshot.max_size };
    bool limited = false;

    for (size_t i = 0; i < BP_COUNT(ages); i++)
        limited |= ages[i] > 0;
    for (size_t i = 0; i < BP_COUNT(sizes); i++)
        limited |= sizes[i] > 0;
    return limited && !c->retention.delete_not_uploaded && !*c->sync.upstream && !c->sync.targets.n;
}

static int grow(struct bp_retention_view *v) {
    size_t cap = v->cap ? 2 * v->cap : 64;
    struct bp_catalog_keep *grown = realloc(v->keep, cap * sizeof *grown);

    if (!grown)
        return -ENOMEM;
    v->keep = grown;
    v->cap = cap;
    return 0;
}

static int keep_row(void *ctx, const struct bp_catalog_keep *k) {
    struct bp_retention_view *v = ctx;
    struct bp_catalog_keep *x;

    if (v->n == v->cap && grow(v) < 0)
        return -ENOMEM;
    x = &v->keep[v->n++];
    *x = *k;
    x->name = strdup(k->name);
    x->dir = strdup(k->dir);
    x->class_ = strdup(k->class_);
    x->deleted_why = NULL;
    return x->name && x->dir && x->class_ ? 0 : -ENOMEM;
}

void bp_retention_view_done(struct bp_retention_view *v) {
    for (size_t i = 0; i < v->n; i++)
        bp_catalog_keep_done(&v->keep[i]);
    free(v->keep);
    free(v->rows);
    free(v->order);
    *v = (struct bp_retention_view){ 0 };
}

static void look_around(struct bp_retention *r, struct bp_retention_view *v) {
    int64_t left = r->io->free_bytes(r->io->ctx, r->o.dir);
    bp_ns_t mono = bp_mono_ns();
    struct statvfs fs;

    v->size = statvfs(r->o.dir, &fs) == 0 ? (uint64_t) fs.f_blocks * fs.f_frsize : 0;
    bp_mutex_lock(&r->lock);
    v->now = (struct bp_retention_now){ .wall_ns = bp_wall_ns(),
                                        .clock_ok = mono >= r->clock_ok_mono,
                                        /* unknown is no reason to delete */
                                        .free = left < 0 ? UINT64_MAX : (uint64_t) left,
                                        .space_ok = mono >= r->space_ok_mono };
    bp_mutex_unlock(&r->lock);
}

int bp_retention_look(struct bp_retention *r, struct bp_retention_view *ret, struct bp_error *err) {
    int k;

    set_policy(r->o.config, ret);
    look_around(r, ret);
    k = bp_catalog_each_keep(r->o.catalog, keep_row, ret, err);
    if (k < 0)
        return k == -ENOMEM ? bp_fail(err, k, "out of memory") : k;
    ret->rows = calloc(ret->n + 1, sizeof *ret->rows);
    ret->order = calloc(ret->n + 1, sizeof *ret->order);
    if (!ret->rows || !ret->order)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (size_t i = 0; i < ret->n; i++) {
        const struct bp_catalog_keep *x = &ret->keep[i];

        ret->rows[i] = (struct bp_retention_row){
            .id = x->id,
            .class_ = x->class_,
            .started_ns = x->started_ns,
            .ended_ns = x->ended_ns,
            .bytes = x->bytes,
            .marks = x->marks,
            .running = x->status == BP_STATUS_RECORDING || x->status == BP_STATUS_PAUSED,
            .keep = x->keep,
            .uploaded = x->uploaded_ns != 0,
        };
    }
    k = bp_retention_plan(&ret->policy, &ret->now, ret->rows, ret->n, ret->order, &ret->sums);
    return k < 0 ? bp_fail(err, k, "out of memory") : 0;
}

/* ---- out of sight ---- */

/* Only what lies directly in our folder is ours to delete. */
static int check_place(const struct bp_retention *r, const char *dir, struct bp_error *err) {
    size_t n = strlen(r->o.dir);

    if (strncmp(dir, r->o.dir, n) == 0 && dir[n] == '/' && dir[n + 1] && dir[n + 1] != '.' &&
        !strchr(dir + n + 1, '/'))
        return 0;
    return bp_fail(err, -EPERM, "'%s' is not in the agent's folder '%s'", dir, r->o.dir);
}

/* The descriptor of a folder that nobody records into or repairs, -1 when there is none. */
static int lock_folder(const char *dir, struct bp_error *err) {
    if (access(dir, F_OK) < 0)
        return -1;
    return bp_session_lock(dir, err);
}

static int hide(struct bp_retention *r, const struct bp_catalog_keep *k, struct bp_error *err) {
    BP_AUTO_FD int locked = -1;
    char hidden[1300];
    int e = check_place(r, k->dir, err);

    if (e < 0)
        return e;
    locked = lock_folder(k->dir, err);
    if (locked < -1)
        return locked;
    (void) snprintf(hidden, sizeof hidden, "%s/" DELETING "%s", r->o.dir, k->id);
    e = locked < 0 ? 0 : r->io->rename(r->io->ctx, k->dir, hidden);
    if (e < 0)
        return bp_fail(err, e, "cannot rename '%s': %s", k->dir, bp_strerror(e));
    e = r->io->sync_dir(r->io->ctx, r->o.dir);
    return e < 0 ? bp_fail(err, e, "cannot sync '%s': %s", r->o.dir, bp_strerror(e)) : 0;
}

/* Steps 1 and 2. @param verdict  BP_RETAIN: by hand */
static int bury(struct bp_retention *r, const struct bp_catalog_keep *k,
                enum bp_retention_verdict verdict, const char *why, struct bp_error *err) {
    char size[BP_UNITS_TEXT];
    int e = hide(r, k, err);

    if (e < 0)
        return e;
    bp_mutex_lock(&r->lock);
    r->deleted[verdict]++;
    r->deleted_bytes += k->bytes;
    bp_mutex_unlock(&r->lock);
    e = bp_catalog_bury(r->o.catalog, k->id, bp_wall_ns(), why, err);
    if (e < 0)
        return e; /* the next start finds the hidden folder and does it again */
    bp_log(BP_LOG_NOTICE, "session deleted", BP_F_TEXT("session", k->name), BP_F_TEXT("id", k->id),
           BP_F_TEXT("why", why), BP_F_TEXT("size", bp_size_format(k->bytes, size)));
    bp_bus_publish(r->o.bus, "sessions",
                   json_pack("{s:s, s:o?}", "event", "deleted", "session",
                             bp_sessions_get(r->o.sessions, k->id)));
    return 0;
}

int bp_retention_delete(struct bp_retention *r, const char *id, const char *why,
                        struct bp_error *err) {
    BP_AUTO_CATALOG_KEEP k = { 0 };
    int e = bp_catalog_get_keep(r->o.catalog, id, &k, err);

    if (e < 0)
        return e;
    if (k.status == BP_STATUS_DELETED)
        return bp_fail(err, -ENOENT, "session '%s' is deleted already", k.name);
    if (k.status == BP_STATUS_RECORDING || k.status == BP_STATUS_PAUSED)
        return bp_fail(err, BP_EBUSY, "session '%s' is being recorded: stop it first", k.name);
    e = bury(r, &k, BP_RETAIN, why, err);
    bp_retention_kick(r);
    return e;
}

/* ---- space back ---- */

static bool is_stopping(struct bp_retention *r) {
    bool stop;

    bp_mutex_lock(&r->lock);
    stop = r->stop;
    bp_mutex_unlock(&r->lock);
    return stop;
}

/* A pause after each step; a longer one while the ring fills up, because then the disk is what the
 * writer waits for. A full disk is another matter: space is what it waits for. */
static void give_way(struct bp_retention *r) {
    bp_sleep(STEP_PAUSE);
    for (int i = 0; i < BUSY_ROUNDS && !is_stopping(r); i++) {
        struct bp_sessions_stats s;

        bp_sessions_stats(r->o.sessions, &s);
        if (s.disk_full || s.ring_used <= s.ring_size / 2)
            return;
        bp_sleep(BUSY_PAUSE);
    }
}

/* Cut from its end first: to free a large file in one go keeps others from the disk for long. */
static int erase_file(struct bp_retention *r, const char *path, uint64_t size) {
    int fd = size > STEP ? r->io->open(r->io->ctx, path, O_WRONLY | O_NOFOLLOW, 0) : -1, e = 0;

    while (fd >= 0 && e == 0 && size > STEP && !is_stopping(r)) {
        size -= STEP;
        e = r->io->truncate(r->io->ctx, fd, size);
        give_way(r);
    }
    if (fd >= 0)
        (void) r->io->close(r->io->ctx, fd);
    if (is_stopping(r))
        return -ECANCELED;
    e = r->io->unlink(r->io->ctx, path);
    give_way(r);
    return e == -ENOENT ? 0 : e;
}

static int erase_tree(struct bp_retention *r, const char *dir, unsigned depth) {
    DIR *d = opendir(dir);
    struct dirent *x;
    int e = 0;

    if (!d)
        return errno == ENOENT ? 0 : -errno;
    while (e == 0 && (x = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
        char path[2048];
        struct stat st;

        if (bp_streq(x->d_name, ".") || bp_streq(x->d_name, ".."))
            continue;
        if (snprintf(path, sizeof path, "%s/%s", dir, x->d_name) >= (int) sizeof path)
            e = -ENAMETOOLONG;
        else if (lstat(path, &st) < 0)
            e = -errno;
        else if (S_ISDIR(st.st_mode))
            e = depth < MAX_DEPTH ? erase_tree(r, path, depth + 1) : -ELOOP;
        else
            e = erase_file(r, path, S_ISREG(st.st_mode) ? (uint64_t) st.st_size : 0);
        if (e == 0 && S_ISREG(st.st_mode)) {
            bp_mutex_lock(&r->lock);
            r->erased_bytes += (uint64_t) st.st_size;
            bp_mutex_unlock(&r->lock);
        }
    }
    (void) closedir(d);
    return e < 0 ? e : rmdir(dir) < 0 ? -errno : 0;
}

/* What an earlier life began: the tombstone may be missing. */
static void bury_again(struct bp_retention *r, const char *id) {
    BP_AUTO_CATALOG_KEEP k = { 0 };
    struct bp_error err;

    if (bp_catalog_get_keep(r->o.catalog, id, &k, &err) < 0 || k.status == BP_STATUS_DELETED)
        return;
    if (bp_catalog_bury(r->o.catalog, id, bp_wall_ns(), "its deletion was interrupted", &err) < 0)
        bp_log(BP_LOG_WARNING, "a deleted session is still in the catalogue", BP_F_TEXT("id", id),
               BP_F_TEXT("why", err.text));
}

/* Every hidden folder. @return 0, or what kept one of them */
static int erase_all(struct bp_retention *r) {
    DIR *d = opendir(r->o.dir);
    struct dirent *x;
    int first = 0;

    while (d && (x = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): own stream */
        char path[1300];
        int e;

        if (!bp_starts_with(x->d_name, DELETING) || is_stopping(r))
            continue;
        (void) snprintf(path, sizeof path, "%s/%s", r->o.dir, x->d_name);
        bury_again(r, x->d_name + strlen(DELETING));
        e = erase_tree(r, path, 0);
        if (e < 0 && e != -ECANCELED) {
            first = first ? first : e;
            bp_log(BP_LOG_WARNING, "a deleted session does not go away", BP_F_TEXT("path", path),
                   BP_F_TEXT("why", bp_strerror(e)));
        }
    }
    if (d)
        (void) closedir(d);
    return first;
}

/* ---- the thread ---- */

static void tell_limits(struct bp_retention *r, const struct bp_retention_view *v) {
    char size[BP_UNITS_TEXT], text[256];

    if (v->sums.over == 0) {
        bp_alerts_clear(r->o.alerts, "retention.over");
        return;
    }
    if (!v->now.space_ok)
        (void) snprintf(text, sizeof text,
                        "deleting sessions gave no space back: is something "
                        "else filling the disk, or are they still being read?");
    else
        (void) snprintf(text, sizeof text,
                        "the limits of retention ask for %s more, but all that is left is "
                        "protected; %zu sessions are not uploaded",
                        bp_size_format(v->sums.over, size), v->sums.nheld);
    bp_alerts_raise(r->o.alerts, "retention.over", BP_SEVERITY_WARNING, text);
}

/* @return its bytes, at least 1, or 0 when it cannot go */
static uint64_t bury_planned(struct bp_retention *r, const struct bp_retention_view *v, size_t i) {
    const struct bp_retention_row *row = &v->rows[i];
    struct bp_error err = { 0 };

    if (bury(r, &v->keep[i], row->verdict, bp_retention_verdict_text(row->verdict), &err) == 0)
        return BP_MAX(row->bytes, 1u);
    bp_log(BP_LOG_WARNING, "a session cannot be deleted", BP_F_TEXT("session", v->keep[i].name),
           BP_F_TEXT("why", err.text));
    return 0;
}

/* Deletes one session after the other; what each next one is is decided anew, since meanwhile it
 * may have got a mark, and somebody else may have made space. @return bytes that should be free
 * now */
static uint64_t delete_some(struct bp_retention *r, uint64_t most) {
    uint64_t freed = 0;

    while (freed < most && !is_stopping(r)) {
        BP_AUTO_VIEW v = { 0 };
        struct bp_error err = { 0 };
        uint64_t one = 0;

        if (bp_retention_look(r, &v, &err) < 0)
            break;
        /* one that cannot go, since somebody repairs it, does not keep the others */
        for (size_t i = 0; i < v.sums.ndeleted && one == 0; i++)
            one = bury_planned(r, &v, v.order[i]);
        if (one == 0)
            break;
        freed += one;
        (void) erase_all(r);
    }
    return freed;
}

/* A loop that deletes until there is space must not delete everything because there never is. */
static void run(struct bp_retention *r) {
    BP_AUTO_VIEW v = { 0 };
    BP_AUTO_VIEW after = { 0 };
    struct bp_error err = { 0 };
    uint64_t freed;

    if (bp_retention_look(r, &v, &err) < 0) {
        bp_log(BP_LOG_WARNING, "retention cannot look at the sessions", BP_F_TEXT("why", err.text));
        return;
    }
    freed = v.sums.ndeleted ? delete_some(r, v.sums.deleted + v.sums.ndeleted) : 0;
    if (freed && bp_retention_look(r, &after, &err) == 0) {
        if (after.policy.min_free > after.now.free && after.now.free < v.now.free + freed / 2) {
            bp_mutex_lock(&r->lock);
            r->space_ok_mono = bp_mono_ns() + SPACE_DOUBT;
            bp_mutex_unlock(&r->lock);
            after.now.space_ok = false;
            after.sums.over = after.policy.min_free - after.now.free;
        }
        tell_limits(r, &after);
    } else {
        tell_limits(r, &v);
    }
}

static void watch_clock(struct bp_retention *r) {
    if (bp_clock_watch_step(&r->clock, CLOCK_STEP) == 0)
        return;
    bp_mutex_lock(&r->lock);
    r->clock_ok_mono = bp_mono_ns() + CLOCK_DOUBT;
    bp_mutex_unlock(&r->lock);
    if (r->o.config->retention.max_age)
        bp_log(BP_LOG_NOTICE,
               "the clock has stepped: for an hour no session is deleted for its age");
}

/* Waits for the interval or a kick; false at the end. */
static bool wait_for_turn(struct bp_retention *r, bp_ns_t pause) {
    bp_ns_t until = bp_mono_ns() + pause;
    struct timespec ts = { .tv_sec = (time_t) (until / BP_SEC), .tv_nsec = until % BP_SEC };
    bool stop;

    bp_mutex_lock(&r->lock);
    while (!r->stop && !r->kick)
        if (pthread_cond_timedwait(&r->wake, &r->lock.m, &ts) == ETIMEDOUT)
            break;
    r->kick = false;
    stop = r->stop;
    bp_mutex_unlock(&r->lock);
    return !stop;
}

/* Lowest of all, for processor and disk (where its scheduler knows idle requests). */
static void be_humble(void) {
    enum { WHO_PROCESS = 1, CLASS_IDLE = 3 << 13 };

    (void) setpriority(PRIO_PROCESS, (id_t) gettid(), 19);
    (void) syscall(SYS_ioprio_set, WHO_PROCESS, 0, CLASS_IDLE);
}

static void *retention_thread(void *arg) {
    struct bp_retention *r = arg;

    be_humble();
    (void) bp_clock_watch_step(&r->clock, CLOCK_STEP);
    do {
        watch_clock(r);
        (void) erase_all(r); /* what an earlier life left, or was deleted by hand */
        run(r);
    } while (wait_for_turn(r, r->o.config->retention.interval));
    return NULL;
}

int bp_retention_open(const struct bp_retention_opts *o, struct bp_retention **ret,
                      struct bp_error *err) {
    BP_CLEANUP(bp_retention_closep) struct bp_retention *r = calloc(1, sizeof *r);
    pthread_condattr_t a;
    int e;

    if (!r)
        return bp_fail(err, -ENOMEM, "out of memory");
    r->o = *o;
    r->io = o->io ? o->io : &bp_io_posix;
    bp_mutex_init(&r->lock);
    (void) pthread_condattr_init(&a);
    (void) pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    (void) pthread_cond_init(&r->wake, &a);
    (void) pthread_condattr_destroy(&a);
    if (bp_retention_is_idle(o->config))
        bp_log(BP_LOG_WARNING,
               "retention deletes only what has been uploaded, and this agent has no upstream: "
               "set retention.delete_not_uploaded if sessions may go without a copy elsewhere");
    e = bp_thread_start("retention", retention_thread, r, &r->thread);
    if (e < 0)
        return bp_fail(err, e, "cannot start a thread: %s", bp_strerror(e));
    r->started = true;
    *ret = BP_TAKE_PTR(r);
    return 0;
}

void bp_retention_kick(struct bp_retention *r) {
    bp_mutex_lock(&r->lock);
    r->kick = true;
    (void) pthread_cond_signal(&r->wake);
    bp_mutex_unlock(&r->lock);
}

void bp_retention_close(struct bp_retention *r) {
    if (!r)
        return;
    bp_mutex_lock(&r->lock);
    r->stop = true;
    (void) pthread_cond_signal(&r->wake);
    bp_mutex_unlock(&r->lock);
    if (r->started)
        (void) pthread_join(r->thread, NULL);
    (void) pthread_cond_destroy(&r->wake);
    bp_mutex_done(&r->lock);
    free(r);
}
