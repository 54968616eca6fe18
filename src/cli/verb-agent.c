#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/verb.h"

struct opts {
    const char *config, *upstream;
    struct bp_opt_list set;
    bool json;
    int64_t sim;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "config", 'c', BP_OPT_TEXT, OPT(config), "FILE",
      "configuration (/etc/bagpipe/agent.yaml when it is there)", NULL, NULL, 0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(set), "KEY=VALUE", "set a key, after file and environment", NULL,
      NULL, 0, 0 },
    { "upstream", 0, BP_OPT_TEXT, OPT(upstream), "URL",
      "send what is recorded there (as --set sync.upstream=URL)", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "log one JSON object a line, also on a terminal",
      NULL, NULL, 0, 0 },
    { "sim", 0, BP_OPT_INT, OPT(sim), "N",
      "also simulate so many robots, in its first domain, as long as it runs", NULL, NULL, 1, 64 },
};

/* `bagpipe sim` as a child that cannot outlive us, not even a kill -9. */
static int start_robots(const struct bp_agent_config *c, int64_t robots, struct bp_error *err) {
    const char *domain = c->discovery.domains.n ? c->discovery.domains.v[0] : NULL;
    pid_t parent = getpid(), child;
    char n[24];

    (void) snprintf(n, sizeof n, "%" PRId64, robots);
    child = fork();
    if (child < 0)
        return bp_fail(err, -errno, "cannot start simulated robots: %s", bp_strerror(errno));
    if (child == 0) {
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);

        /* the parent may have died before it was asked for */
        if (prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != parent || null < 0 ||
            dup2(null, STDIN_FILENO) < 0 || dup2(null, STDOUT_FILENO) < 0)
            _exit(1);
        (void) setpgid(0, 0); /* Ctrl-C is for the agent, which ends us */
        (void) execl("/proc/self/exe", "bagpipe", "sim", "--profile", "mixed", "--robots", n,
                     domain ? "--domain" : NULL, domain, NULL);
        _exit(127);
    }
    bp_log(BP_LOG_NOTICE, "simulated robots drive along", BP_F_INT("robots", robots),
           BP_F_INT("pid", child));
    return 0;
}

/* --upstream is one --set more. */
static int load(const struct opts *o, struct bp_agent_config *c, struct bp_error *err) {
    BP_AUTO_FREE const char **set = calloc(o->set.n + 1, sizeof *set);
    BP_AUTO_FREE char *upstream = NULL;
    size_t n = o->set.n;

    if (!set || (o->upstream && asprintf(&upstream, "sync.upstream=%s", o->upstream) < 0)) {
        upstream = NULL;
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    for (size_t i = 0; i < n; i++)
        set[i] = o->set.v[i];
    if (upstream)
        set[n++] = upstream;
    return bp_agent_config_load(o->config, set, n, c, err);
}

static int agent_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    struct bp_agent_config c = { 0 };
    int r;

    (void) argc, (void) argv;
    bp_memory_for_years();
    r = load(o, &c, err);
    if (r == 0) {
        bp_log_setup((enum bp_log_level) c.log.level, o->json ? BP_LOG_JSON : BP_LOG_AUTO);
        /* children are not waited for, and as the first process of a container neither is anybody
         * else's child that was left to us */
        (void) signal(SIGCHLD, SIG_IGN);
        if (o->sim)
            r = start_robots(&c, o->sim, err);
    }
    if (r == 0)
        r = bp_agent_run(&c, err);
    bp_agent_config_done(&c);
    return r;
}

const struct bp_verb bp_verb_agent = {
    .name = "agent",
    .args = "",
    .summary = "the daemon on a robot: records as it is told, tells how it is",
    .description =
        "Watches the ROS 2 graph and records sessions, several at once, as it is told by `bagpipe "
        "session`, over HTTP or by its configuration. It needs none: data go to $STATE_DIRECTORY or "
        "~/.local/share/bagpipe, the API listens on 127.0.0.1:9090 and on a unix socket. After a "
        "crash or a reboot sessions that were being recorded go on, with the outage marked.\n\n"
        "SIGINT and SIGTERM finish all sessions and end it. `bagpipe config` shows every key.",
    .examples = "bagpipe agent                                    wait to be told\n"
                "bagpipe agent --set session.auto_start=true      record from the start\n"
                "bagpipe agent --upstream https://site:8080       and send it to a server\n"
                "bagpipe agent --sim 2                            with two simulated robots\n"
                "bagpipe agent --config robot.yaml                as the file says",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 0,
    .run = agent_run,
};
