#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/thread.h"
#include "cli/agent-client.h"
#include "cli/signals.h"
#include "cli/transfer.h"
#include "cli/verb.h"
#include "sync/pull.h"
#include "sync/sync.h"

struct opts {
    struct bp_cli_link link;
    bp_ns_t patience;
    bool json, quiet;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    BP_CLI_LINK_OPTIONS(OPT(link)),
    { "patience", 0, BP_OPT_DURATION, OPT(patience), "TIME",
      "give up when nothing has come for so long", "2min", NULL, 0, 1e9 },
    { "quiet", 'q', BP_OPT_FLAG, OPT(quiet), NULL, "no progress bar", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print what was done as JSON", NULL, NULL, 0, 0 },
};

/* ---- Ctrl-C ---- */

struct quit {
    int signals, end[2]; /* a pipe that ends the thread */
    bool cancel;         /* [atomic] */
    pthread_t thread;
};

static void *quit_main(void *arg) {
    struct quit *q = arg;
    struct pollfd fds[] = { { .fd = q->signals, .events = POLLIN },
                            { .fd = q->end[0], .events = POLLIN } };

    while (poll(fds, BP_COUNT(fds), -1) < 0 && errno == EINTR)
        ;
    if (fds[0].revents)
        __atomic_store_n(&q->cancel, true, __ATOMIC_RELAXED);
    return NULL;
}

/* ---- one session ---- */

struct pulling {
    const struct opts *o;
    const struct bp_sync_target_opts *from;
    struct quit quit;
    struct bp_cli_bar_line bar;
    const char *dir;
    json_t *done;         /* owned: what was pulled */
    uint64_t come, total; /* bytes of the session at work */
    unsigned refused;     /* of a disk */
    struct bp_error *err;
};

static void on_progress(void *ctx, const char *file, uint64_t done, uint64_t total, double rate,
                        const char *why) {
    struct pulling *p = ctx;

    p->come = done;
    p->total = total;
    if (!p->o->quiet)
        bp_cli_bar_draw(&p->bar, done, total, rate, *why ? why : file);
}

static int pull(struct pulling *p, const char *url, const char *session) {
    struct bp_sync_pull o = { .from = *p->from,
                              .session = session,
                              .dir = p->dir,
                              .patience = p->o->patience,
                              .progress = on_progress,
                              .ctx = p,
                              .cancel = &p->quit.cancel };
    struct bp_sync_pulled got;
    char a[32], b[32];
    int r;

    o.from.url = url;
    r = bp_sync_pull(&o, &got, p->err);
    bp_cli_bar_clear(&p->bar);
    if (r == -ECANCELED && p->total)
        return bp_fail(p->err, -EINTR,
                       "interrupted at %s of %s; the same command goes on from here",
                       bp_cli_bytes((double) p->come, a, sizeof a),
                       bp_cli_bytes((double) p->total, b, sizeof b));
    if (r < 0)
        return r;
    (void) json_array_append_new(
        p->done, json_pack("{s:s, s:s, s:i, s:I, s:I, s:i}", "id", got.id, "dir", got.dir, "files",
                           (int) got.files, "bytes", (json_int_t) got.bytes, "fetched",
                           (json_int_t) got.fetched, "unproven", (int) got.unproven));
    if (!p->o->json)
        (void) printf("%s: %u files, %s, of them %s now%s\n", got.dir, got.files,
                      bp_cli_bytes((double) got.bytes, a, sizeof a),
                      bp_cli_bytes((double) got.fetched, b, sizeof b),
                      got.unproven ? "; without a digest to compare some of them" : "");
    return 0;
}

/* ---- a whole disk ---- */

static int on_session(void *ctx, const char *device, const char *id, const char *dir,
                      const char *json) {
    struct pulling *p = ctx;
    BP_AUTO_FREE char *url = NULL;
    char *name;

    (void) device, (void) id, (void) json;
    if (asprintf(&url, "file://%s", dir) < 0) {
        url = NULL;
        return bp_fail(p->err, -ENOMEM, "out of memory");
    }
    name = strrchr(url, '/');
    *name = '\0';
    return pull(p, url, name + 1);
}

static void on_refused(void *ctx, const char *what, const char *why) {
    struct pulling *p = ctx;

    p->refused++;
    (void) fprintf(stderr, "bagpipe: left out: %s: %s\n", what, why);
    (void) json_array_append_new(p->done, json_pack("{s:s, s:s}", "refused", what, "why", why));
}

/* @return sessions, or -ENOENT when it is no such disk */
static int import(struct pulling *p, const char *root) {
    return bp_sync_import_shuttle(
        &(struct bp_sync_import){
            .root = root, .session = on_session, .refused = on_refused, .ctx = p },
        p->err);
}

static int choose(struct pulling *p, const char *word) {
    BP_AUTO_FREE char *url = strdup(word);
    const char *host = url ? strstr(url, "://") : NULL;
    size_t n = url ? strlen(url) : 0;
    char *slash;
    int r;

    if (!url)
        return bp_fail(p->err, -ENOMEM, "out of memory");
    while (n && url[n - 1] == '/')
        url[--n] = '\0';
    if (bp_starts_with(url, "file:///")) {
        r = import(p, url + strlen("file://"));
        if (r != -ENOENT)
            return r < 0 ? r : 0;
    }
    slash = strrchr(url, '/');
    if (!host || !slash || slash <= host + 3 || !slash[1])
        return bp_fail(p->err, BP_EUSAGE, "'%s': expected URL/SESSION, its id or name", word);
    *slash = '\0';
    return pull(p, url, slash + 1);
}

static int run(struct pulling *p, const char *url) {
    BP_CLEANUP(bp_cli_link_done) struct bp_cli_link_ready link = { 0 };
    int r = bp_cli_link_open(&p->o->link, url, &link, p->err);

    if (r == 0 && pipe(p->quit.end) < 0)
        r = bp_fail(p->err, -errno, "no descriptors: %s", bp_strerror(-errno));
    if (r < 0)
        return r;
    r = bp_thread_start("quit", quit_main, &p->quit, &p->quit.thread);
    if (r < 0)
        return bp_fail(p->err, r, "cannot start a thread: %s", bp_strerror(r));
    p->from = &link.opts;
    r = choose(p, url);
    p->from = NULL;
    (void) close(p->quit.end[1]);
    (void) pthread_join(p->quit.thread, NULL);
    (void) close(p->quit.end[0]);
    return r;
}

static int pull_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    BP_AUTO_FD int signals = bp_cli_signals(err);
    struct pulling p = { .o = o,
                         .dir = argc > 1 ? argv[1] : ".",
                         .quit.signals = signals,
                         .bar.what = "pull",
                         .done = json_array(),
                         .err = err };
    int r = signals < 0 ? signals : run(&p, argv[0]);

    if (r == 0 && o->json)
        bp_cli_print_json(p.done);
    json_decref(p.done);
    return r == 0 && p.refused ? BP_EXIT_LOSSES : r;
}

const struct bp_verb bp_verb_pull = {
    .name = "pull",
    .args = "URL/SESSION [DIR]",
    .summary = "fetch a recording from a server, agent, bucket or disk",
    .description =
        "SESSION is an id, or the name of the newest session called so. URL is http(s)://SERVER or "
        "that of an agent, s3://BUCKET/PREFIX, or file:///MOUNTED/DISK; a disk that `bagpipe push` "
        "made gives without a SESSION all that is whole and signed on it. Cut off at any point, the "
        "same command goes on; each file is proven by its SHA-256. Exit status 3: something of the disk "
        "was left out.\n\n" BP_CLI_LINK_DESCRIPTION,
    .examples = "bagpipe pull https://site:8080/drive_7 .\n"
                "bagpipe pull http://robot:9090/drive_7 /data     straight from a robot\n"
                "bagpipe pull s3://robots/fleet1/drive_7 .\n"
                "bagpipe pull file:///mnt/usb /data               a disk that was carried here",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = 2,
    .run = pull_run,
};
