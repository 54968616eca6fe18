#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/verify.h"
#include "base/log.h"
#include "base/thread.h"
#include "ingest/ingest-priv.h"
#include "ingest/overview.h"

/* What happens to a recording after it has arrived: somebody looks into it. Objects have no names
 * that say what they are, so each is looked at through a link of its name in a folder of its own,
 * which leads to an open descriptor. Which ones are still to be looked at the archive knows, also
 * after a restart. */

static const bp_ns_t PAUSE = 30 * BP_SEC; /* after something could not be checked: a full disk, … */
enum { AT_ONCE = 8 };

struct job {
    char session[BP_ULID_TEXT], file[BP_SPOOL_NAME_MAX + 1];
    uint8_t sha256[BP_SHA256_LEN];
};

struct list {
    struct job v[AT_ONCE];
    size_t n;
};

struct checker {
    struct bp_ingest *g;
    const char *dir;       /* of its links */
    struct bp_error first; /* the first finding */
};

static bool is_ending(struct bp_ingest *g) {
    bool ending;

    bp_mutex_lock(&g->lock);
    ending = g->ending;
    bp_mutex_unlock(&g->lock);
    return ending;
}

static int progress(void *ctx, uint64_t done, uint64_t total) {
    (void) done, (void) total;
    return is_ending(((struct checker *) ctx)->g);
}

static void finding(void *ctx, const struct bp_finding *f) {
    struct checker *c = ctx;

    if (f->level == BP_FINDING_NOTE || c->first.text[0] != '\0')
        return;
    if (f->at_byte)
        (void) bp_fail(&c->first, BP_EFORMAT, "at byte %llu: %s", (unsigned long long) f->offset,
                       f->text);
    else
        (void) bp_fail(&c->first, BP_EFORMAT, "%s", f->text);
}

/* @return 0 whole, 1 damaged, negative: it could not be told */
static int verify(struct checker *c, const char *link, struct bp_error *err) {
    struct bp_verify_opts o = {
        .threads = c->g->o.verify_threads, .finding = finding, .progress = progress, .ctx = c
    };
    struct bp_verify_result result;
    int r;

    c->first = (struct bp_error){ 0 };
    r = bp_verify(&link, 1, &o, &result, err);
    if (r < 0)
        return r;
    return result.verdict != BP_VERDICT_WHOLE;
}

/* A copy of an object that is no file, without a name. @return a descriptor */
static int copy_of(struct checker *c, struct bp_store_object *o, struct bp_error *err) {
    enum { BLOCK = 4 << 20 };
    BP_AUTO_FD int fd = open(c->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    BP_AUTO_FREE char *p = malloc(BLOCK);
    const struct bp_io *io = c->g->o.io;
    int64_t room = io->free_bytes(io->ctx, c->dir);

    if (fd < 0 || !p)
        return bp_fail(err, fd < 0 ? -errno : -ENOMEM, "cannot make a copy to look into");
    if (room >= 0 &&
        ((uint64_t) room < c->g->o.min_free || (uint64_t) room - c->g->o.min_free < o->bytes))
        return bp_fail(err, -ENOSPC, "the disk has no room for a copy to look into");
    for (uint64_t off = 0; off < o->bytes && !is_ending(c->g);) {
        ssize_t n = bp_store_object_read(o, p, BLOCK, off, err);
        int r = n > 0 ? io->pwrite(io->ctx, fd, p, (size_t) n, off) : (int) n;

        if (n <= 0 || r < 0)
            return n == 0  ? bp_fail(err, -EIO, "the object is shorter than it was")
                   : n < 0 ? (int) n
                           : bp_fail(err, r, "cannot make a copy to look into: %s", bp_strerror(r));
        off += (uint64_t) n;
    }
    return BP_TAKE_FD(fd);
}

static int check(struct checker *c, const struct job *j, struct bp_error *err) {
    BP_CLEANUP(bp_store_object_closep) struct bp_store_object *o = NULL;
    BP_AUTO_FD int fd = -1;
    char link[4096], target[64];
    int r = bp_store_get(c->g->o.store, j->sha256, &o, err);

    if (r < 0)
        return r;
    fd = bp_store_object_fd(o);
    if (fd == -EOPNOTSUPP)
        fd = copy_of(c, o, err);
    if (fd < 0)
        return fd;
    (void) snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    if (snprintf(link, sizeof link, "%s/%s", c->dir, j->file) >= (int) sizeof link)
        return bp_fail(err, -ENAMETOOLONG, "its name is too long");
    (void) unlink(link);
    if (symlink(target, link) < 0)
        return bp_fail(err, -errno, "cannot make '%s': %s", link, bp_strerror(-errno));
    r = verify(c, link, err);
    (void) unlink(link);
    return r;
}

static void tell_damage(struct bp_ingest *g, const struct job *j, const char *text) {
    BP_AUTO_ARCHIVE_SESSION s = { 0 };
    char hex[BP_SHA256_HEX];
    bool known = bp_archive_get(g->o.archive, j->session, &s, NULL) == 0;

    bp_log(BP_LOG_WARNING, "a recording that was received is damaged",
           BP_F_TEXT("session", j->session), BP_F_TEXT("file", j->file),
           BP_F_TEXT("sha256", bp_sha256_hex(j->sha256, hex)), BP_F_TEXT("why", text));
    bp_ingest_tell(g, "segment_damaged",
                   json_pack("{s:s, s:s, s:s, s:s}", "session", j->session, "device",
                             known ? s.device : "", "file", j->file, "text", text));
}

static int check_and_say(struct checker *c, const struct job *j, struct bp_error *err) {
    struct bp_ingest *g = c->g;
    int r = check(c, j, err);
    bool damaged = r > 0;

    if (r == BP_EFORMAT || r == BP_ETRUNCATED || r == BP_ECORRUPT || r == BP_EUNSUPPORTED) {
        damaged = true; /* not even the check could be made */
        c->first = *err;
    } else if (r < 0) {
        return r;
    }
    r = bp_ingest_overview(g->o.archive, g->o.store, j->sha256, j->file, err);
    if (r < 0)
        return r;
    r = bp_archive_set_verified(g->o.archive, j->sha256,
                                damaged ? BP_ARCHIVE_FILE_DAMAGED : BP_ARCHIVE_FILE_VERIFIED,
                                damaged ? c->first.text : "", bp_wall_ns(), err);
    if (r < 0)
        return r;
    bp_counter_add(damaged ? &bp_ingest_stats.damaged : &bp_ingest_stats.verified, 1);
    if (damaged)
        tell_damage(g, j, c->first.text);
    return 0;
}

static int collect(void *ctx, const char *id, const struct bp_archive_file *f) {
    struct list *l = ctx;
    struct job *j = &l->v[l->n];

    (void) snprintf(j->session, sizeof j->session, "%s", id);
    (void) snprintf(j->file, sizeof j->file, "%s", f->file);
    memcpy(j->sha256, f->sha256, sizeof j->sha256);
    return ++l->n == AT_ONCE;
}

/* Checks some of what there is. @return how many, or a failure */
static int round_of(struct checker *c, struct bp_error *err) {
    struct list l = { 0 };
    int r = bp_archive_each_unverified(c->g->o.archive, AT_ONCE, collect, &l, err);

    for (size_t i = 0; r >= 0 && i < l.n && !is_ending(c->g); i++)
        r = check_and_say(c, &l.v[i], err);
    return r < 0 ? r : (int) l.n;
}

/* What an earlier life left whole may have been in the middle of being finished. */
static void finish_whole(struct bp_ingest *g) {
    BP_AUTO_FREE struct bp_spool_info *list = NULL;
    size_t n = 0;

    if (bp_spool_list(g->spool, &list, &n) < 0)
        return;
    for (size_t i = 0; i < n && !is_ending(g); i++) {
        struct bp_error err = { 0 };
        int r;

        if (list[i].parts_there < list[i].parts)
            continue;
        r = bp_ingest_finish(g, list[i].id, &err);
        if (r < 0 && r != -EBUSY && r != -ENOENT)
            bp_log(BP_LOG_WARNING,
                   "an upload from before cannot be finished, it is tried again "
                   "when its sender asks",
                   BP_F_TEXT("id", list[i].id), BP_F_TEXT("why", err.text));
    }
}

/* Waits for news. @return false at the end */
static bool wait_for_news(struct bp_ingest *g, uint64_t *seen, bool failed) {
    struct timespec until;
    bp_ns_t at = bp_wall_ns() + PAUSE;
    bool ending;

    until = (struct timespec){ .tv_sec = at / BP_SEC, .tv_nsec = at % BP_SEC };
    bp_mutex_lock(&g->lock);
    while (!g->ending && (failed || g->arrived == *seen)) {
        int r = failed ? pthread_cond_timedwait(&g->news, &g->lock.m, &until)
                       : pthread_cond_wait(&g->news, &g->lock.m);

        if (r == ETIMEDOUT)
            break;
    }
    *seen = g->arrived;
    ending = g->ending;
    bp_mutex_unlock(&g->lock);
    return !ending;
}

static void *check_loop(void *arg) {
    struct bp_ingest *g = arg;
    struct checker c = { .g = g, .dir = g->checks };
    uint64_t seen = 0;
    int r;

    finish_whole(g);
    do {
        struct bp_error err = { 0 };

        do
            r = g->o.no_verify ? 0 : round_of(&c, &err);
        while (r > 0 && !is_ending(g));
        if (r < 0 && r != -ECANCELED) {
            static struct bp_log_limit limit;
            uint64_t held;

            if (bp_log_allowed(&limit, 600 * BP_SEC, &held))
                bp_log(BP_LOG_WARNING, "a recording that was received cannot be checked, waiting",
                       BP_F_TEXT("why", err.text), BP_F_UINT("suppressed", held));
        }
    } while (wait_for_news(g, &seen, r < 0));
    return NULL;
}

int bp_ingest_checks_start(struct bp_ingest *g, struct bp_error *err) {
    char path[4096];
    int r;

    if (snprintf(path, sizeof path, "%s/checks", g->o.dir) >= (int) sizeof path)
        return bp_fail(err, -ENAMETOOLONG, "path '%s' is too long", g->o.dir);
    g->checks = strdup(path);
    if (!g->checks)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (mkdir(path, 0700) < 0 && errno != EEXIST)
        return bp_fail(err, -errno, "cannot make folder '%s': %s", path, bp_strerror(-errno));
    r = bp_thread_start("ingest-check", check_loop, g, &g->checker);
    if (r < 0)
        return bp_fail(err, r, "cannot start a thread: %s", bp_strerror(r));
    g->checking = true;
    return 0;
}

void bp_ingest_checks_stop(struct bp_ingest *g) {
    bp_mutex_lock(&g->lock);
    g->ending = true;
    (void) pthread_cond_broadcast(&g->news);
    bp_mutex_unlock(&g->lock);
    if (g->checking)
        (void) pthread_join(g->checker, NULL);
    g->checking = false;
}

void bp_ingest_checks_wake(struct bp_ingest *g) {
    bp_mutex_lock(&g->lock);
    g->arrived++;
    (void) pthread_cond_broadcast(&g->news);
    bp_mutex_unlock(&g->lock);
}
