#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/agent-client.h"
#include "cli/verb.h"
#include "server/reindex.h"
#include "server/server.h"

struct opts {
    const char *config, *dir, *url;
    struct bp_opt_list set;
    bp_ns_t min_age;
    bool json, reindex, dry_run, force;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "config", 'c', BP_OPT_TEXT, OPT(config), "FILE",
      "configuration (" BP_SERVER_CONFIG_FILE " when it is there)", NULL, NULL, 0, 0 },
    { "dir", 'd', BP_OPT_TEXT, OPT(dir), "DIR", "the folder for everything it keeps (server.dir)",
      NULL, NULL, 0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(set), "KEY=VALUE", "set a key, after file and environment", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "log, or print the answer, as JSON", NULL, NULL, 0,
      0 },
    { "reindex", 0, BP_OPT_FLAG, OPT(reindex), NULL,
      "make the archive anew from what is stored, and end", NULL, NULL, 0, 0 },
    { "url", 0, BP_OPT_TEXT, OPT(url), "URL", "gc: server to talk to (its socket here)", NULL, NULL,
      0, 0 },
    { "min-age", 0, BP_OPT_DURATION, OPT(min_age), "TIME", "gc: objects put so long ago", "24h",
      NULL, 0, 0 },
    { "dry-run", 'n', BP_OPT_FLAG, OPT(dry_run), NULL, "gc: only count", NULL, NULL, 0, 0 },
    { "force", 0, BP_OPT_FLAG, OPT(force), NULL, "gc: also when more than half of all would go",
      NULL, NULL, 0, 0 },
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

/* ---- gc: of a server that runs ---- */

static int find_server(const struct opts *o, struct bp_client **ret, struct bp_error *err) {
    struct bp_server_config c;
    char path[512], url[600];
    struct bp_places p;
    int r;

    if (o->url)
        return bp_cli_connect(o->url, ret, err);
    r = load(o, &c, err);
    if (r == 0) {
        p = bp_server_places(&c);
        r = bp_places_find(&p, path, sizeof path, err);
    }
    bp_server_config_done(&c);
    if (r < 0)
        return r;
    (void) snprintf(url, sizeof url, "unix:%s", path);
    return bp_cli_connect(url, ret, err);
}

/* Waits for the end of a job. @param io  as it was told; replaced */
static int wait_for_job(struct bp_client *c, json_t **io, struct bp_error *err) {
    char path[64];

    (void) snprintf(path, sizeof path, "/api/v1/jobs/%.26s",
                    json_string_value(json_object_get(*io, "id")));
    while (json_is_null(json_object_get(*io, "ended_ns"))) {
        json_t *now = NULL;
        int r;

        bp_sleep(100 * BP_MS);
        r = bp_client_json(c, "GET", path, NULL, &now, err);
        if (r < 0)
            return r;
        json_decref(*io);
        *io = now;
    }
    return 0;
}

static unsigned long long count(const json_t *o, const char *key) {
    return (unsigned long long) json_integer_value(json_object_get(o, key));
}

static int report(const json_t *job, bool json, struct bp_error *err) {
    const json_t *x = json_object_get(job, "result");
    const char *error = json_string_value(json_object_get(job, "error"));
    char a[32], b[32];

    if (json)
        bp_cli_print_json(job);
    else if (json_is_object(x))
        (void) printf("%llu objects, %llu of them in no session (%s), %llu too young to go, %llu "
                      "deleted (%s)\n",
                      count(x, "objects"), count(x, "unwanted"),
                      bp_cli_bytes((double) count(x, "unwanted_bytes"), a, sizeof a),
                      count(x, "young"), count(x, "deleted"),
                      bp_cli_bytes((double) count(x, "deleted_bytes"), b, sizeof b));
    return error ? bp_fail(err, BP_EBUSY, "%s", error) : 0;
}

static int collect_garbage(const struct opts *o, struct bp_error *err) {
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    json_t *body = json_pack("{s:f, s:b, s:b}", "min_age_s", (double) o->min_age / 1e9, "dry_run",
                             (int) o->dry_run, "force", (int) o->force);
    json_t *job = NULL;
    int r = find_server(o, &c, err);

    if (r == 0)
        r = bp_client_json(c, "POST", "/api/v1/gc", body, &job, err);
    if (r == 0)
        r = wait_for_job(c, &job, err);
    if (r == 0)
        r = report(job, o->json, err);
    json_decref(body);
    json_decref(job);
    return r;
}

static int server_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    struct bp_server_config c;
    int r;

    if (argc == 1)
        return bp_streq(argv[0], "gc") ? collect_garbage(o, err)
                                       : bp_fail(err, BP_EUSAGE, "'%s': expected gc", argv[0]);
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
    .args = "[gc]",
    .summary = "the daemon at a site: takes in recordings, knows them, sends them on",
    .description =
        "Takes in what agents and `bagpipe push` send, checks it, indexes it, serves it and sends it "
        "to the cloud. It needs no configuration: everything it keeps lies in one folder, "
        "$STATE_DIRECTORY or ~/.local/share/bagpipe-server; the API listens on 127.0.0.1:8080 and on "
        "a unix socket, events have a second door at 127.0.0.1:8765, metrics at 127.0.0.1:9091.\n\n"
        "`bagpipe server gc` has one that runs delete objects that no session has: what a crash "
        "left behind.\n\n"
        "SIGINT and SIGTERM end it when what runs is done. `bagpipe config --server` shows every "
        "key; variables are called BAGPIPE_SERVER_SECTION__KEY.",
    .examples =
        "bagpipe server                                   no configuration needed\n"
        "bagpipe server --dir /srv/bagpipe                everything in this folder\n"
        "bagpipe server --set http.listen=192.0.2.7:8080  for robots elsewhere\n"
        "bagpipe server --reindex                         the archive was lost, objects are "
        "there\n"
        "bagpipe server gc --dry-run                      what no session has: how much is it?",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 1,
    .run = server_run,
};
