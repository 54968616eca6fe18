#include "agent/agent.h"
#include "base/log.h"
#include "base/thread.h"
#include "cli/verb.h"

struct opts {
    const char *config;
    struct bp_opt_list set;
    bool json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "config", 'c', BP_OPT_TEXT, OPT(config), "FILE",
      "configuration (/etc/bagpipe/agent.yaml when it is there)", NULL, NULL, 0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(set), "KEY=VALUE", "set a key, after file and environment", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "log one JSON object a line, also on a terminal",
      NULL, NULL, 0, 0 },
};

static int agent_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    struct bp_agent_config c = { 0 };
    int r;

    (void) argc, (void) argv;
    bp_memory_for_years();
    r = bp_agent_config_load(o->config, o->set.v, o->set.n, &c, err);
    if (r == 0) {
        bp_log_setup((enum bp_log_level) c.log.level, o->json ? BP_LOG_JSON : BP_LOG_AUTO);
        r = bp_agent_run(&c, err);
    }
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
                "bagpipe agent --config robot.yaml                as the file says",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 0,
    .run = agent_run,
};
