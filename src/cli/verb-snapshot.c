#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "base/units.h"
#include "cli/agent-client.h"
#include "cli/verb.h"

#define ASK_EVERY (200 * BP_MS)

struct opts {
    const char *url, *reason, *name, *before, *after;
    struct bp_opt_list topics, not_topics, values;
    bool wait, json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "url", 0, BP_OPT_TEXT, OPT(url), "URL", "agent to talk to (the local one's socket)", NULL,
      NULL, 0, 0 },
    { "before", 0, BP_OPT_TEXT, OPT(before), "TIME", "how far back (as the agent is told)", NULL,
      NULL, 0, 0 },
    { "after", 0, BP_OPT_TEXT, OPT(after), "TIME", "how long it goes on (as the agent is told)",
      NULL, NULL, 0, 0 },
    { "reason", 'r', BP_OPT_TEXT, OPT(reason), "TEXT", "what happened", NULL, NULL, 0, 0 },
    { "name", 0, BP_OPT_TEXT, OPT(name), "TEMPLATE", "name of the session", NULL, NULL, 0, 0 },
    { "topics", 0, BP_OPT_LIST, OPT(topics), "TOPIC",
      "only these topics of the history ('*' matches anything)", NULL, NULL, 0, 0 },
    { "exclude-topics", 0, BP_OPT_LIST, OPT(not_topics), "TOPIC", "but not these", NULL, NULL, 0,
      0 },
    { "values", 0, BP_OPT_LIST, OPT(values), "KEY=VALUE", "what belongs to the reason", NULL, NULL,
      0, 0 },
    { "wait", 'w', BP_OPT_FLAG, OPT(wait), NULL, "until it is finished", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the answer as JSON", NULL, NULL, 0, 0 },
};

static void set_list(json_t *o, const char *key, const struct bp_opt_list *l) {
    json_t *v = l->n ? json_array() : NULL;

    for (size_t i = 0; i < l->n; i++)
        (void) json_array_append_new(v, json_string(l->v[i]));
    if (v)
        (void) json_object_set_new(o, key, v);
}

static int set_values(json_t *o, const struct bp_opt_list *l, struct bp_error *err) {
    json_t *values = json_object();

    for (size_t i = 0; i < l->n; i++) {
        const char *eq = strchr(l->v[i], '=');

        if (!eq) {
            json_decref(values);
            return bp_fail(err, BP_EUSAGE, "--values '%s': expected KEY=VALUE", l->v[i]);
        }
        (void) json_object_setn_new(values, l->v[i], (size_t) (eq - l->v[i]), json_string(eq + 1));
    }
    return json_object_set_new(o, "values", values) < 0 ? bp_fail(err, -ENOMEM, "out of memory")
                                                        : 0;
}

/* Not told is not the same as 0 s: then the agent decides. */
static int set_time(json_t *o, const char *option, const char *text, struct bp_error *err) {
    char key[32];
    bp_ns_t ns;

    if (!text)
        return 0;
    if (bp_parse_duration(text, &ns) < 0 || ns < 0)
        return bp_fail(err, BP_EUSAGE, "option '--%s': '%s' is no time, such as 90s or 5min",
                       option, text);
    (void) snprintf(key, sizeof key, "%s_s", option);
    (void) json_object_set_new(o, key, json_real((double) ns / 1e9));
    return 0;
}

static int request_of(const struct opts *o, json_t *r, struct bp_error *err) {
    int k;

    if (o->reason)
        (void) json_object_set_new(r, "reason", json_string(o->reason));
    if (o->name)
        (void) json_object_set_new(r, "name", json_string(o->name));
    k = set_time(r, "before", o->before, err);
    if (k == 0)
        k = set_time(r, "after", o->after, err);
    if (k < 0)
        return k;
    set_list(r, "topics", &o->topics);
    set_list(r, "exclude_topics", &o->not_topics);
    return o->values.n ? set_values(r, &o->values, err) : 0;
}

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

static bool is_over(const json_t *s) {
    return !bp_streq(text(s, "status"), "recording");
}

/* @param s  replaced by the session as it is in the end */
static int wait_for(struct bp_client *c, json_t **s, struct bp_error *err) {
    bool merged = json_is_true(json_object_get(*s, "merged"));
    char path[64];
    int r = 0;

    (void) snprintf(path, sizeof path, "/api/v1/sessions/%.26s", text(*s, "id"));
    while (r == 0 && !is_over(*s)) {
        bp_sleep(ASK_EVERY);
        json_decref(BP_TAKE_PTR(*s));
        r = bp_client_json(c, "GET", path, NULL, s, err);
    }
    if (r == 0)
        (void) json_object_set_new(*s, "merged", json_boolean(merged));
    return r;
}

static void print_snapshot(const json_t *s) {
    char a[32], size[32];

    (void) printf("snapshot  %s%s\nid        %s\nstatus    %s\n", text(s, "name"),
                  json_is_true(json_object_get(s, "merged")) ? " (merged into it)" : "",
                  text(s, "id"), text(s, "status"));
    (void) printf("folder    %s\nfrom      %s\n", text(s, "dir"),
                  bp_cli_time(json_object_get(s, "started_ns"), a, sizeof a));
    if (is_over(s))
        (void) printf("messages  %lld, %s, lost %lld\n",
                      (long long) json_integer_value(json_object_get(s, "messages")),
                      bp_cli_bytes((double) json_integer_value(json_object_get(s, "bytes")), size,
                                   sizeof size),
                      (long long) json_integer_value(json_object_get(s, "lost")));
    if (*text(s, "error"))
        (void) printf("trouble   %s\n", text(s, "error"));
}

static int snapshot_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    json_t *request = json_object(), *s = NULL;
    int r = request_of(o, request, err);

    (void) argc, (void) argv;
    if (r == 0)
        r = bp_cli_connect(o->url, &c, err);
    if (r == 0)
        r = bp_client_json(c, "POST", "/api/v1/snapshot", request, &s, err);
    if (r == 0 && o->wait)
        r = wait_for(c, &s, err);
    if (r == 0 && o->json)
        bp_cli_print_json(s);
    else if (r == 0)
        print_snapshot(s);
    if (r == 0 && o->wait && bp_streq(text(s, "status"), "failed"))
        r = bp_fail(err, -EIO, "the snapshot failed: %s", text(s, "error"));
    else if (r == 0 && o->wait && json_integer_value(json_object_get(s, "lost")))
        r = BP_EXIT_LOSSES;
    json_decref(request);
    json_decref(s);
    return r;
}

const struct bp_verb bp_verb_snapshot = {
    .name = "snapshot",
    .args = "",
    .summary = "save what came before and after this moment",
    .description = "The agent keeps a history of what it received lately (snapshot.enabled). A "
                   "snapshot is a session made from it: what came before, and for a while what "
                   "comes after. While one is being saved, another makes it longer.",
    .examples = "bagpipe snapshot --reason 'hit the shelf'\n"
                "bagpipe snapshot --before 5min --after 0s --wait\n"
                "bagpipe snapshot --topics /tf '/camera*' --values aisle=7",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 0,
    .run = snapshot_run,
};
