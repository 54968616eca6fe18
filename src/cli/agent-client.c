#include "cli/agent-client.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "agent/config.h"
#include "base/time.h"

const char *bp_cli_token(void) {
    const char *token = getenv("BAGPIPE_TOKEN"); /* NOLINT(concurrency-mt-unsafe): no setenv() */

    return token && *token ? token : NULL;
}

int bp_cli_connect(const char *url, struct bp_client **ret, struct bp_error *err) {
    return bp_cli_connect_for(url, 0, ret, err);
}

int bp_cli_connect_for(const char *url, bp_ns_t timeout, struct bp_client **ret,
                       struct bp_error *err) {
    struct bp_agent_config c = { 0 };
    char path[512], text[600];
    int r = 0;

    if (!url) {
        r = bp_agent_config_load(NULL, NULL, 0, &c, err);
        if (r == 0)
            r = bp_agent_socket_find(&c, path, sizeof path, err);
        bp_agent_config_done(&c);
        (void) snprintf(text, sizeof text, "unix:%s", path);
    }
    if (r < 0)
        return r;
    return bp_client_open(&(struct bp_client_options){ .url = url ? url : text,
                                                       .token = bp_cli_token(),
                                                       .timeout = timeout },
                          ret, err);
}

void bp_cli_print_json(const json_t *o) {
    BP_AUTO_FREE char *text = json_dumps(o, JSON_INDENT(2));

    if (text)
        (void) puts(text);
}

const char *bp_cli_bytes(double n, char *ret, size_t cap) {
    static const char *const units[] = { "B", "kB", "MB", "GB", "TB" };
    size_t u = 0;

    while (n >= 1000 && u + 1 < BP_COUNT(units)) {
        n /= 1000;
        u++;
    }
    (void) snprintf(ret, cap, u ? "%.1f %s" : "%.0f %s", n, units[u]);
    return ret;
}

const char *bp_cli_time(const json_t *ns, char *ret, size_t cap) {
    const char *text = json_string_value(ns);
    time_t sec = text ? (time_t) (strtoll(text, NULL, 10) / BP_SEC) : 0;
    struct tm tm;

    if (!sec || !localtime_r(&sec, &tm) || !strftime(ret, cap, "%Y-%m-%d %H:%M:%S", &tm))
        (void) snprintf(ret, cap, "-");
    return ret;
}
