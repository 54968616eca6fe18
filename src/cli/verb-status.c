#include <stdio.h>

#include "cli/agent-client.h"
#include "cli/verb.h"

struct opts {
    const char *url;
    bool json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "url", 0, BP_OPT_TEXT, OPT(url), "URL", "agent to ask (the local one's socket)", NULL, NULL,
      0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the answer as JSON", NULL, NULL, 0, 0 },
};

static long long number(const json_t *o, const char *section, const char *key) {
    return json_integer_value(json_object_get(json_object_get(o, section), key));
}

static void print_sessions(const json_t *page) {
    const json_t *list = json_object_get(page, "sessions");
    char at[32], size[32];

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);

        (void) printf(
            "  %s  %s, since %s, %lld messages, %s, lost %lld\n",
            json_string_value(json_object_get(s, "name")),
            json_string_value(json_object_get(s, "status")),
            bp_cli_time(json_object_get(s, "started_ns"), at, sizeof at),
            (long long) json_integer_value(json_object_get(s, "messages")),
            bp_cli_bytes(json_number_value(json_object_get(s, "bytes")), size, sizeof size),
            (long long) json_integer_value(json_object_get(s, "lost")));
    }
}

static void print_status(const json_t *o) {
    const char *state = json_string_value(json_object_get(o, "state"));
    bool recording = state && bp_streq(state, "recording");
    char free_text[32], size[32];

    (void) printf("state     %s%s%s\n", bp_cli_color(recording ? "\033[31m" : ""),
                  state ? state : "?", bp_cli_color("\033[0m"));
    (void) printf("up        %.0f s, bagpipe %s\n",
                  json_number_value(json_object_get(o, "uptime_s")),
                  json_string_value(json_object_get(o, "version")));
    (void) printf("graph     %lld topics, %lld writers, %lld subscribed to\n",
                  number(o, "graph", "topics"), number(o, "graph", "writers"),
                  number(o, "graph", "subscribed"));
    (void) printf("disk      %s free of %s in %s\n",
                  bp_cli_bytes((double) number(o, "storage", "free"), free_text, sizeof free_text),
                  bp_cli_bytes((double) number(o, "storage", "size"), size, sizeof size),
                  json_string_value(json_object_get(json_object_get(o, "storage"), "dir")));
    if (number(o, "graph", "udp_drops"))
        (void) printf("network   %lld packets dropped by this host's receive buffers\n",
                      number(o, "graph", "udp_drops"));
    (void) printf("sessions  %lld\n", number(o, "sessions", "running"));
}

static int status_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    json_t *status = NULL, *page = NULL, *device = NULL;
    int r;

    (void) argc, (void) argv;
    r = bp_cli_connect(o->url, &c, err);
    if (r == 0)
        r = bp_client_json(c, "GET", "/api/v1/status", NULL, &status, err);
    if (r == 0 && !o->json)
        r = bp_client_json(c, "GET", "/api/v1/sessions?status=recording", NULL, &page, err);
    if (r == 0 && !o->json) /* agents of the first version know no key */
        (void) !bp_client_json(c, "GET", "/api/v1/device", NULL, &device, NULL);
    if (r == 0 && o->json) {
        bp_cli_print_json(status);
    } else if (r == 0) {
        const char *key = json_string_value(json_object_get(device, "public_key"));

        print_status(status);
        (void) printf("key       %s\n", key ? key : "none: recordings are not signed");
        print_sessions(page);
    }
    json_decref(status);
    json_decref(page);
    json_decref(device);
    return r;
}

const struct bp_verb bp_verb_status = {
    .name = "status",
    .args = "",
    .summary = "how the agent is, on one screen",
    .examples = "bagpipe status                           the agent on this machine\n"
                "bagpipe status --url http://robot:9090   another one\n"
                "bagpipe status --json                    for programs",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 0,
    .run = status_run,
};
