#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bag/manifest.h"
#include "bag/paths.h"
#include "base/io.h"
#include "base/ulid.h"
#include "base/units.h"
#include "cli/agent-client.h"
#include "cli/signals.h"
#include "cli/transfer.h"
#include "cli/verb.h"
#include "crypt/digest.h"
#include "crypt/sign.h"
#include "sync/json.h"
#include "sync/sync.h"

/* `push` is the sync engine with a queue of its own, one a URL. It lies in the state folder as long
 * as something is missing over there: the same command goes on where the one before was cut off. */

struct opts {
    struct bp_cli_link link;
    struct bp_opt_list tags;
    const char *bandwidth, *queue, *device;
    uint64_t part_size;
    int64_t parallel;
    int conflicts;
    bp_ns_t patience;
    bool json, quiet;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    BP_CLI_LINK_OPTIONS(OPT(link)),
    { "part-size", 0, BP_OPT_SIZE, OPT(part_size), "SIZE",
      "send parts of this size, a power of two", "16MiB", NULL, 65536, 1 << 30 },
    { "parallel", 0, BP_OPT_INT, OPT(parallel), "N", "so many at once", "4", NULL, 1, 64 },
    { "bandwidth", 0, BP_OPT_TEXT, OPT(bandwidth), "RATE", "at most so much: 2Mbit, 500kB", NULL,
      NULL, 0, 0 },
    { "tags", 0, BP_OPT_LIST, OPT(tags), "TAG", "words to find them by", NULL, NULL, 0, 0 },
    { "device", 0, BP_OPT_TEXT, OPT(device), "ID",
      "whose sessions these are (the device's that signed them, else this machine's)", NULL, NULL,
      0, 0 },
    { "conflicts", 0, BP_OPT_CHOICE, OPT(conflicts), NULL,
      "who wins when it was changed over there, too", "merge", "local|remote|merge|keep-both", 0,
      0 },
    { "patience", 0, BP_OPT_DURATION, OPT(patience), "TIME",
      "give up when the other side cannot be reached for so long", "10min", NULL, 0, 1e9 },
    { "queue", 0, BP_OPT_TEXT, OPT(queue), "FILE",
      "what is left to do, to go on later (in the state folder, by URL)", NULL, NULL, 0, 0 },
    { "quiet", 'q', BP_OPT_FLAG, OPT(quiet), NULL, "no progress bar", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print what was done as JSON", NULL, NULL, 0, 0 },
};

/* ---- the queue's file ---- */

static int make_folders(char *path) {
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return -errno;
        *p = '/';
    }
    return 0;
}

static int queue_path(const struct opts *o, const char *url, char *ret, size_t cap,
                      struct bp_error *err) {
    /* NOLINTBEGIN(concurrency-mt-unsafe): no setenv() */
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    /* NOLINTEND(concurrency-mt-unsafe) */
    char hex[BP_SHA256_HEX];
    uint8_t digest[BP_SHA256_LEN];
    int r;

    bp_sha256_of(url, strlen(url), digest);
    (void) bp_sha256_hex(digest, hex);
    if (o->queue)
        (void) snprintf(ret, cap, "%s", o->queue);
    else if (state && *state == '/')
        (void) snprintf(ret, cap, "%s/bagpipe/push-%.16s.db", state, hex);
    else if (home && *home == '/')
        (void) snprintf(ret, cap, "%s/.local/state/bagpipe/push-%.16s.db", home, hex);
    else
        return bp_fail(err, BP_EUSAGE, "there is no home folder: say --queue FILE");
    r = o->queue ? 0 : make_folders(ret);
    return r < 0 ? bp_fail(err, r, "cannot make the folder of '%s': %s", ret, bp_strerror(r)) : 0;
}

/* All is there: the next push asks the other side again. */
static void forget_queue(const char *path) {
    static const char *const ends[] = { "", "-wal", "-shm", ".lock" };
    char name[1200];

    for (size_t i = 0; i < BP_COUNT(ends); i++) {
        (void) snprintf(name, sizeof name, "%s%s", path, ends[i]);
        (void) unlink(name);
    }
}

/* ---- what is pushed ---- */

struct pushing {
    const struct opts *o;
    struct bp_sync *engine;
    char device[128];
    char path[1100]; /* of the queue */
    size_t sessions;
    unsigned refused; /* of a shuttle disk */
    bool ever_online;
    bp_ns_t last_good_mono;
    uint64_t total, sent; /* bytes */
    struct bp_error why;
    int failure;
};

/* A time-ordered id that is the same for the same file again. */
static void id_of_file(const char *path, const struct stat *st, char ret[static BP_ULID_TEXT]) {
    uint8_t digest[BP_SHA256_LEN];
    BP_AUTO_BUF b = { 0 };
    bp_ns_t ns = (bp_ns_t) st->st_mtim.tv_sec * BP_SEC;

    bp_buf_printf(&b, "%s\n%lld %lld", path, (long long) st->st_size, (long long) ns);
    bp_sha256_of(b.p, b.n, digest);
    (void) bp_ulid_of(BP_MAX(ns, 0), digest, ret);
}

/* One file is a session of its own. */
static int add_file(struct pushing *p, const char *path, struct bp_error *err) {
    char dir[1024], id[BP_ULID_TEXT], name[256];
    const char *base = strrchr(path, '/') + 1;
    struct stat st;
    struct bp_sync_session x = { .id = id, .dir = dir, .name = name, .tags = p->o->tags.v };
    int r;

    if (stat(path, &st) < 0)
        return bp_fail(err, -errno, "cannot read '%s': %s", path, bp_strerror(-errno));
    bp_io_dirname(path, dir, sizeof dir);
    id_of_file(path, &st, id);
    x.started_ns = (bp_ns_t) st.st_mtim.tv_sec * BP_SEC;
    (void) snprintf(name, sizeof name, "%.*s", (int) strcspn(base, "."), base);
    r = bp_sync_add_session(p->engine, &x, err);
    if (r == 0)
        r = bp_sync_add_file(p->engine, id, base, BP_SYNC_SEGMENT, NULL, err);
    return r < 0 ? r : bp_sync_close_session(p->engine, id, err);
}

static bool is_session_folder(const char *path) {
    static const char *const signs[] = { BP_MANIFEST_FILE, "metadata.yaml" };
    char file[1200];

    for (size_t i = 0; i < BP_COUNT(signs); i++) {
        (void) snprintf(file, sizeof file, "%s/%s", path, signs[i]);
        if (access(file, R_OK) == 0)
            return true;
    }
    return false;
}

static int add_path(struct pushing *p, const char *path, int depth, struct bp_error *err);

static int add_folders(struct pushing *p, const char *path, int depth, struct bp_error *err) {
    DIR *d = opendir(path);
    size_t before = p->sessions;
    struct dirent *e;
    int r = 0;

    if (!d)
        return bp_fail(err, -errno, "cannot read '%s': %s", path, bp_strerror(-errno));
    while (r == 0 && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): of our own stream */
        char inner[1200];
        struct stat st;

        (void) snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (*e->d_name != '.' && ((stat(inner, &st) == 0 && S_ISDIR(st.st_mode)) ||
                                  (depth == 0 && bp_is_recording_name(e->d_name))))
            r = add_path(p, inner, depth + 1, err);
    }
    (void) closedir(d);
    if (r == 0 && depth == 0 && p->sessions == before)
        r = bp_fail(err, BP_EFORMAT, "there is no recording in '%s'", path);
    return r;
}

/* ---- a disk that was carried ---- */

/* What its device said of a session goes with it, so that it arrives as it had by the network. A
 * list that nobody has signed is no less than a folder of recordings: the server looks at the
 * signature of each manifest in any case. */
static int on_session(void *ctx, const char *device, const char *id, const char *dir,
                      const char *json) {
    struct pushing *p = ctx;
    json_t *about = json_loads(json, 0, NULL);
    struct bp_sync_session extra = { .name = json_string_value(json_object_get(about, "name")),
                                     .json = json,
                                     .tags = p->o->tags.v };
    int r = bp_sync_add_folder(p->engine, dir, &extra, NULL, &p->why);

    (void) device, (void) id;
    p->sessions += r >= 0;
    json_decref(about);
    return r < 0 ? r : 0;
}

static void on_refused(void *ctx, const char *what, const char *why) {
    struct pushing *p = ctx;

    p->refused++;
    (void) fprintf(stderr, "bagpipe: left out: %s: %s\n", what, why);
}

/* @return -ENOENT when it is no such disk */
static int add_disk(struct pushing *p, const char *root, struct bp_error *err) {
    int r = bp_sync_import_shuttle(&(struct bp_sync_import){ .root = root,
                                                             .allow_unsigned = true,
                                                             .session = on_session,
                                                             .refused = on_refused,
                                                             .ctx = p },
                                   err);

    if (r < 0)
        return *p->why.text ? bp_fail(err, r, "%s", p->why.text) : r;
    if (p->sessions == 0)
        return bp_fail(err, BP_EFORMAT, "nothing on '%s' is whole", root);
    return 0;
}

static int add_path(struct pushing *p, const char *path, int depth, struct bp_error *err) {
    struct bp_sync_session extra = { .tags = p->o->tags.v };
    struct stat st;
    int r;

    if (stat(path, &st) < 0)
        return bp_fail(err, -errno, "cannot read '%s': %s", path, bp_strerror(-errno));
    if (depth == 0 && S_ISDIR(st.st_mode) && (r = add_disk(p, path, err)) != -ENOENT)
        return r;
    if (S_ISDIR(st.st_mode) && !is_session_folder(path))
        return depth < 2 ? add_folders(p, path, depth, err) : 0;
    p->sessions++;
    r = S_ISDIR(st.st_mode) ? bp_sync_add_folder(p->engine, path, &extra, NULL, err)
                            : add_file(p, path, err);
    return r < 0 ? r : 0;
}

/* ---- until all is there ---- */

/* One picture of how it goes. @return the failure that ends it, or 0 */
static int look(struct pushing *p, struct bp_cli_bar_line *bar, struct bp_error *err) {
    struct bp_sync_status st = { 0 };
    const struct bp_sync_target_status *t;
    int r = bp_sync_get_status(p->engine, &st, err);
    uint64_t missing;

    if (r < 0)
        return r;
    t = &st.targets[0];
    p->ever_online |= t->state == BP_SYNC_ONLINE;
    if (t->state == BP_SYNC_ONLINE || t->state == BP_SYNC_CLOSED_WINDOW)
        p->last_good_mono = bp_mono_ns();
    missing = t->waiting.bytes + t->parked.bytes; /* less with each part that is there */
    p->total = BP_MAX(p->total, missing + t->done.bytes);
    p->sent = p->total - missing;
    for (size_t i = 0; i < t->nactive; i++)
        p->sent += t->active[i].flying;
    p->sent = BP_MIN(p->sent, p->total);
    if (!p->o->quiet)
        bp_cli_bar_draw(bar, p->sent, p->total, t->rate,
                        t->state == BP_SYNC_ONLINE ? (t->nactive ? t->active[0].file : "")
                                                   : t->text);
    if (t->state == BP_SYNC_WAITING && t->class == BP_SYNC_AUTH)
        r = bp_fail(err, -EACCES, "'%s' does not let us in: %s", t->url, t->text);
    else if (t->state == BP_SYNC_WAITING && t->class == BP_SYNC_QUOTA)
        r = bp_fail(err, -EDQUOT, "'%s' takes no more: %s", t->url, t->text);
    else if (!p->ever_online && t->state == BP_SYNC_OFFLINE &&
             bp_mono_ns() > p->last_good_mono + BP_MIN(p->o->patience, 5 * BP_SEC))
        r = bp_fail(err, -EHOSTUNREACH, "cannot reach '%s': %s", t->url, t->text);
    else if (bp_mono_ns() > p->last_good_mono + p->o->patience)
        r = bp_fail(err, -EHOSTUNREACH,
                    "'%s' could not be reached for long: %s; the same command goes on from here",
                    t->url, t->text);
    bp_sync_status_done(&st);
    return r;
}

static int first_failed(void *ctx, const struct bp_sync_row *x) {
    return bp_fail(ctx, -EIO, "'%s' of '%s' was not taken: %s", x->file, x->session_name, x->error);
}

/* Of a session that was refused all files wait. */
static int first_refused(void *ctx, const struct bp_sync_row *x) {
    return *x->error
               ? bp_fail(ctx, -EACCES, "session '%s' was not taken: %s", x->session_name, x->error)
               : 0;
}

/* Why not everything could be sent, of the first that was not. @return 0 when nobody has said it */
static int why_not(struct pushing *p, struct bp_error *err) {
    struct bp_error why = { 0 };

    for (int state = BP_SYNC_ROW_FAILED; state >= BP_SYNC_ROW_PARKED; state--)
        if (bp_sync_list(p->engine, &(struct bp_sync_query){ .state = state, .limit = 1 },
                         first_failed, &why, NULL) < 0 &&
            why.code)
            return bp_fail(err, -EIO, "%s", why.text);
    if (bp_sync_list(p->engine,
                     &(struct bp_sync_query){ .state = BP_SYNC_ROW_WAITING, .limit = UINT32_MAX },
                     first_refused, &why, NULL) < 0 &&
        why.code)
        return bp_fail(err, -EACCES, "%s; it was sent as one of device '%s', --device says another",
                       why.text, p->device);
    return 0;
}

static int wait_for_end(struct pushing *p, int signals, struct bp_error *err) {
    struct pollfd quit = { .fd = signals, .events = POLLIN };
    struct bp_cli_bar_line bar = { .what = "push" };
    char a[32], b[32];
    int r;

    p->last_good_mono = bp_mono_ns();
    for (;;) {
        int end = bp_sync_wait(p->engine, 200 * BP_MS, NULL, err);

        r = end == -ETIMEDOUT || end == BP_EMISMATCH ? look(p, &bar, err) : end;
        if (r < 0 || end != -ETIMEDOUT) { /* who was refused at once hears why */
            r = r < 0 ? r : end;
            break;
        }
        if (poll(&quit, 1, 0) > 0) {
            r = bp_fail(err, -EINTR, "interrupted at %s of %s; the same command goes on from here",
                        bp_cli_bytes((double) p->sent, a, sizeof a),
                        bp_cli_bytes((double) p->total, b, sizeof b));
            break;
        }
    }
    bp_cli_bar_clear(&bar);
    if (r == BP_EMISMATCH) { /* parked ones are tried again by the next push */
        struct bp_error why = { 0 };
        int refused = look(p, &bar, &why); /* wait() may be the first to see it */

        bp_cli_bar_clear(&bar);
        if (refused == -EACCES || refused == -EDQUOT)
            return bp_fail(err, refused, "%s", why.text);
        refused = why_not(p, err);
        return refused < 0 ? refused : r;
    }
    return r;
}

static void report(struct pushing *p) {
    struct bp_sync_status st = { 0 };
    struct bp_error err;
    char a[32], b[32], c[32];
    json_t *o = NULL;

    if (p->o->json) {
        if (bp_sync_status_json(p->engine, &o, &err) == 0) {
            (void) json_object_set_new(o, "sessions", json_integer((json_int_t) p->sessions));
            bp_cli_print_json(o);
        }
        json_decref(o);
        return;
    }
    if (bp_sync_get_status(p->engine, &st, &err) < 0)
        return;
    (void) printf("%zu session%s, %" PRIu64 " files, %s: sent %s", p->sessions,
                  p->sessions == 1 ? "" : "s", st.targets[0].done.files,
                  bp_cli_bytes((double) st.targets[0].done.bytes, a, sizeof a),
                  bp_cli_bytes((double) st.targets[0].sent, b, sizeof b));
    if (st.targets[0].have)
        (void) printf(", %s were there", bp_cli_bytes((double) st.targets[0].have, c, sizeof c));
    (void) puts("");
    bp_sync_status_done(&st);
}

/* Whose sessions these are: the device's that signed the first of them, so that a server that has
 * them from an agent sees the same device again; else this machine's. */
static void find_device(struct pushing *p, const char *path, int depth) {
    BP_AUTO_MANIFEST m = { 0 };
    uint8_t key[BP_PUBLIC_KEY_LEN];
    struct dirent *e;
    DIR *d;

    if (bp_manifest_read(&bp_io_posix, path, &m, NULL) >= 0) {
        if (bp_public_key_parse(bp_str_of(m.signed_by), key) == 0)
            (void) bp_device_id_of_key(key, p->device);
        return;
    }
    d = depth < 2 ? opendir(path) : NULL;
    while (d && !p->device[0] && (e = readdir(d))) { /* NOLINT(concurrency-mt-unsafe): our own */
        char inner[1200];

        (void) snprintf(inner, sizeof inner, "%s/%s", path, e->d_name);
        if (*e->d_name != '.')
            find_device(p, inner, depth + 1);
    }
    if (d)
        (void) closedir(d);
}

static int push(struct pushing *p, char *const paths[], int n, const char *url, int signals,
                struct bp_error *err) {
    BP_CLEANUP(bp_cli_link_done) struct bp_cli_link_ready link = { 0 };
    struct bp_sync_target_config target = { .name = "push",
                                            .policy = (enum bp_sync_policy) p->o->conflicts };
    int r = bp_cli_link_open(&p->o->link, url, &link, err);

    if (r == 0)
        r = queue_path(p->o, url, p->path, sizeof p->path, err);
    target.opts = link.opts;
    target.opts.device = p->device;
    if (r == 0)
        r = bp_sync_open(&(struct bp_sync_opts){ .path = p->path,
                                                 .targets = &target,
                                                 .ntargets = 1,
                                                 .device = p->device,
                                                 .parallel = (unsigned) p->o->parallel,
                                                 .part_bytes = p->o->part_size,
                                                 .rates = p->o->bandwidth,
                                                 .no_priority = true },
                         &p->engine, NULL, err);
    if (r == BP_EBUSY)
        r = bp_prefix(err, r, "another push to '%s' is at it", url);
    for (int i = 0; r == 0 && i < n; i++) {
        BP_AUTO_FREE char *whole = realpath(paths[i], NULL);

        r = whole ? add_path(p, whole, 0, err)
                  : bp_fail(err, -errno, "cannot read '%s': %s", paths[i], bp_strerror(-errno));
    }
    if (r == 0 && bp_sync_retry(p->engine, NULL, NULL, err) < 0)
        r = -EIO;
    if (r == 0)
        r = bp_sync_start(p->engine, err);
    if (r == 0)
        r = wait_for_end(p, signals, err);
    if (r == 0)
        report(p);
    return r;
}

static int push_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    struct pushing p = { .o = o };
    BP_AUTO_FD int signals = bp_cli_signals(err);
    int r;

    if (signals < 0)
        return signals;
    if (o->device)
        (void) snprintf(p.device, sizeof p.device, "%s", o->device);
    else
        find_device(&p, argv[0], 0);
    if (!*p.device && (gethostname(p.device, sizeof p.device - 1) < 0 || !*p.device))
        (void) snprintf(p.device, sizeof p.device, "push");
    r = push(&p, argv, argc - 1, argv[argc - 1], signals, err);
    if (p.engine)
        bp_sync_stop(p.engine);
    bp_sync_close(p.engine);
    if (r == 0)
        forget_queue(p.path);
    return r == 0 && p.refused ? BP_EXIT_LOSSES : r;
}

const struct bp_verb bp_verb_push = {
    .name = "push",
    .args = "PATH… URL",
    .summary = "send recordings to a server, a bucket or a disk",
    .description =
        "PATH is a session folder, a folder of them, a file, or a disk that a robot has filled. URL is http(s)://SERVER, "
        "s3://BUCKET/PREFIX or file:///MOUNTED/DISK. Files go in parts, each proven by its "
        "SHA-256, and nothing that is there is sent again. Cut off at any point, the same command "
        "goes on. A disk carries signed recordings to a site, which takes them with `bagpipe pull "
        "file:///DISK`, or has them sent on with `bagpipe push /DISK URL`: what is not as it "
        "was written is left out, and the exit status is 3.\n\n" BP_CLI_LINK_DESCRIPTION,
    .examples = "bagpipe push ~/bags/drive_7 https://site:8080\n"
                "bagpipe push ~/bags s3://robots/fleet1 --option endpoint=http://minio:9000\n"
                "bagpipe push /var/lib/bagpipe file:///mnt/usb      a disk to carry\n"
                "bagpipe push /mnt/usb https://site:8080            what such a disk brought",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 2,
    .max_args = -1,
    .run = push_run,
};
