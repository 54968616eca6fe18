#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/verb.h"
#include "server/reindex.h"
#include "server/server.h"

struct opts {
    const char *config, *dir;
    struct bp_opt_list set;
    bool json, reindex;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "config", 'c', BP_OPT_TEXT, OPT(config), "FILE",
      "configuration (" BP_SERVER_CONFIG_FILE " when it is there)", NULL, NULL, 0, 0 },
    { "dir", 'd', BP_OPT_TEXT, OPT(dir), "DIR", "the folder for everything it keeps (server.dir)",
      NULL, NULL, 0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(set), "KEY=VALUE", "set a key, after file and environment", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "log as JSON", NULL, NULL, 0, 0 },
    { "reindex", 0, BP_OPT_FLAG, OPT(reindex), NULL,
      "make the archive anew from what is stored, and end", NULL, NULL, 0, 0 },
};

/* --dir is the last word of --set. */
static int load(const struct opts *o, struct bp_server_config *ret, struct bp_error *err) {
    const char **words = calloc(o->set.n + 1, sizeof *words);
    BP_AUTO_BUF dir = { 0 };
    size_t n = 0;
    int r;

    *ret = (struct bp_server_config){ 0 };
    if (!words)
        return bp_fail(err, -ENOMEM, "out of memory");
    for (; n < o->set.n; n++)
        words[n] = o->set.v[n];
    if (o->dir) {
        bp_buf_printf(&dir, "server.dir=%s", o->dir);
        words[n++] = bp_buf_cstr(&dir);
    }
    r = bp_server_config_load(o->config, words, n, ret, err);
    free(words);
    return r;
}

static int reindex(const struct bp_server_config *c, struct bp_error *err) {
    struct bp_reindexed done = { 0 };
    int r = bp_server_reindex(c, &done, err);

    if (r < 0)
        return r;
    (void) printf("%llu objects, %llu manifests, %llu segments", (unsigned long long) done.objects,
                  (unsigned long long) done.sessions, (unsigned long long) done.segments);
    if (done.missing > 0)
        (void) printf(", %llu of them are not stored", (unsigned long long) done.missing);
    (void) printf("\n");
    return done.missing > 0 ? BP_EXIT_LOSSES : 0;
}

static int server_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    struct bp_server_config c;
    int r;

    (void) argc, (void) argv;
    bp_memory_for_years();
    r = load(o, &c, err);
    if (r == 0) {
        bp_log_setup((enum bp_log_level) c.log.level, o->json ? BP_LOG_JSON : BP_LOG_AUTO);
        /* as the first process of a container we get children that are not ours */
        (void) signal(SIGCHLD, SIG_IGN);
        r = o->reindex ? reindex(&c, err) : bp_server_run(&c, err);
    }
    bp_server_config_done(&c);
    return r;
}

const struct bp_verb bp_verb_server = {
    .name = "server",
    .args = "",
    .summary = "the daemon at a site: takes in recordings, knows them, sends them on",
    .description =
        "Takes in what agents and `bagpipe push` send, checks it, indexes it, serves it and sends it "
        "to the cloud. It needs no configuration: everything it keeps lies in one folder, "
        "$STATE_DIRECTORY or ~/.local/share/bagpipe-server; the API listens on 127.0.0.1:8080 and on "
        "a unix socket, events have a second door at 127.0.0.1:8765, metrics at 127.0.0.1:9091.\n\n"
        "SIGINT and SIGTERM end it when what runs is done. `bagpipe config --server` shows every "
        "key; variables are called BAGPIPE_SERVER_SECTION__KEY.",
    .examples =
        "bagpipe server                                   no configuration needed\n"
        "bagpipe server --dir /srv/bagpipe                everything in this folder\n"
        "bagpipe server --set http.listen=192.0.2.7:8080  for robots elsewhere\n"
        "bagpipe server --reindex                         the archive was lost, objects are "
        "there",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 0,
    .run = server_run,
};
