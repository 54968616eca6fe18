#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "cli/agent-client.h"
#include "cli/verb.h"

struct opts {
    const char *url, *target, *session, *state;
    int64_t limit;
    bp_ns_t min_age;
    bool dry_run, json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "url", 0, BP_OPT_TEXT, OPT(url), "URL", "agent to talk to (the local one's socket)", NULL,
      NULL, 0, 0 },
    { "target", 't', BP_OPT_TEXT, OPT(target), "NAME", "only this target", NULL, NULL, 0, 0 },
    { "session", 's', BP_OPT_TEXT, OPT(session), "SESSION",
      "now, retry, list: only this session (id or name)", NULL, NULL, 0, 0 },
    { "state", 0, BP_OPT_TEXT, OPT(state), "STATE", "list: waiting, parked, failed, done or kept",
      NULL, NULL, 0, 0 },
    { "limit", 0, BP_OPT_INT, OPT(limit), "N", "list: at most so many", "100", NULL, 1, 999 },
    { "min-age", 0, BP_OPT_DURATION, OPT(min_age), "TIME",
      "gc: uploads begun so long ago (default: sync.gc_age of the agent)", "-1", NULL, 0, 0 },
    { "dry-run", 'n', BP_OPT_FLAG, OPT(dry_run), NULL, "gc: only count", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the answer as JSON", NULL, NULL, 0, 0 },
};

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

static double count(const json_t *o, const char *what, const char *key) {
    return (double) json_integer_value(json_object_get(json_object_get(o, what), key));
}

static void print_count(const json_t *t, const char *what) {
    char size[32];

    if (count(t, what, "files") > 0)
        (void) printf("  %-8s %.0f files, %s\n", what, count(t, what, "files"),
                      bp_cli_bytes(count(t, what, "bytes"), size, sizeof size));
}

static const char *color_of(const char *state) {
    return bp_streq(state, "online")                                  ? "\033[32m"
           : bp_streq(state, "offline") || bp_streq(state, "waiting") ? "\033[31m"
                                                                      : "\033[33m";
}

static void print_active(const json_t *t) {
    const json_t *list = json_object_get(t, "active");
    char a[32], b[32], c[32];

    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *x = json_array_get(list, i);
        double bytes = (double) json_integer_value(json_object_get(x, "bytes"));
        double done = (double) json_integer_value(json_object_get(x, "done"));

        (void) printf("  %s  %3.0f %% of %s, %s/s", text(x, "file"),
                      bytes > 0 ? 100 * done / bytes : 100, bp_cli_bytes(bytes, a, sizeof a),
                      bp_cli_bytes(json_number_value(json_object_get(x, "rate")), b, sizeof b));
        if (json_is_number(json_object_get(x, "eta_s")))
            (void) printf(", %s left",
                          bp_duration_format(
                              (bp_ns_t) (json_number_value(json_object_get(x, "eta_s")) * 1e9), c));
        (void) puts("");
    }
}

static void print_target(const json_t *t) {
    double rate = json_number_value(json_object_get(t, "rate"));
    const char *state = text(t, "state");
    char a[64], size[32];

    (void) printf("%s  %s%s%s  %s%s\n", text(t, "name"), bp_cli_color(color_of(state)), state,
                  bp_cli_color("\033[0m"), text(t, "url"),
                  json_is_true(json_object_get(t, "optional")) ? "  (optional)" : "");
    if (*text(t, "text"))
        (void) printf("  why      %s\n", text(t, "text"));
    if (*text(t, "next_ns"))
        (void) printf("  next try %s\n", bp_cli_time(json_object_get(t, "next_ns"), a, sizeof a));
    print_count(t, "waiting");
    print_count(t, "parked");
    print_count(t, "failed");
    print_count(t, "done");
    if (rate > 0)
        (void) printf("  rate     %s/s\n", bp_cli_bytes(rate, size, sizeof size));
    print_active(t);
}

static void print_status(const json_t *o) {
    const json_t *targets = json_object_get(o, "targets");

    if (!json_array_size(targets))
        (void) puts("no upstream: nothing is uploaded (sync.upstream, sync.targets)");
    if (json_is_true(json_object_get(o, "paused")))
        (void) puts("paused: bagpipe sync resume");
    for (size_t i = 0; i < json_array_size(targets); i++)
        print_target(json_array_get(targets, i));
}

static void print_files(const json_t *page) {
    const json_t *files = json_object_get(page, "files");
    char size[32];

    for (size_t i = 0; i < json_array_size(files); i++) {
        const json_t *x = json_array_get(files, i);
        double bytes = (double) json_integer_value(json_object_get(x, "bytes"));
        double done = (double) json_integer_value(json_object_get(x, "done"));

        (void) printf("%-8s %-10s %s/%s  %s", text(x, "state"), text(x, "target"),
                      text(x, "session_name"), text(x, "file"),
                      bp_cli_bytes(bytes, size, sizeof size));
        if (done > 0 && done < bytes)
            (void) printf(", %.0f %%", 100 * done / bytes);
        if (*text(x, "error"))
            (void) printf("  %s", text(x, "error"));
        (void) puts("");
    }
    if (!json_array_size(files))
        (void) puts("none");
    if (json_is_integer(json_object_get(page, "next")))
        (void) puts("…");
}

/* ---- what is asked ---- */

static void put_query(struct bp_buf *b, const char *key, const char *value) {
    if (!value)
        return;
    bp_buf_printf(b, "%s%s=", memchr(b->p, '?', b->n) ? "&" : "?", key);
    bp_client_put_escaped(b, value);
}

static int list_files(struct bp_client *c, const struct opts *o, json_t **ret,
                      struct bp_error *err) {
    BP_AUTO_BUF path = { 0 };
    char limit[24];
    const char *p;

    (void) snprintf(limit, sizeof limit, "%lld", (long long) o->limit);
    bp_buf_put_str(&path, "/api/v1/sync/files");
    put_query(&path, "target", o->target);
    put_query(&path, "session", o->session);
    put_query(&path, "state", o->state);
    put_query(&path, "limit", limit);
    p = bp_buf_cstr(&path);
    return p ? bp_client_json(c, "GET", p, NULL, ret, err) : bp_fail(err, -ENOMEM, "out of memory");
}

static int post(struct bp_client *c, const char *word, const struct opts *o, json_t **ret,
                struct bp_error *err) {
    json_t *body = json_object();
    char path[64];
    int r;

    if (o->target)
        (void) json_object_set_new(body, "target", json_string(o->target));
    if (o->session)
        (void) json_object_set_new(body, "session", json_string(o->session));
    if (bp_streq(word, "gc") && o->min_age >= 0)
        (void) json_object_set_new(body, "min_age_s", json_real((double) o->min_age / 1e9));
    if (o->dry_run)
        (void) json_object_set_new(body, "dry_run", json_true());
    (void) snprintf(path, sizeof path, "/api/v1/sync/%s", word);
    r = bp_client_json(c, "POST", path, body, ret, err);
    json_decref(body);
    return r;
}

static int sync_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    static const char *const posts[] = { "now", "pause", "resume", "retry", "gc" };
    const char *word = argc ? argv[0] : "status";
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    const struct opts *o = opts;
    bool is_status = bp_streq(word, "status"), is_list = bp_streq(word, "list"), known = false;
    json_t *answer = NULL;
    int r;

    for (size_t i = 0; i < BP_COUNT(posts); i++)
        known |= bp_streq(word, posts[i]);
    if (!known && !is_status && !is_list)
        return bp_fail(err, BP_EUSAGE,
                       "unknown word '%s'; expected status, now, pause, resume, retry, list or gc",
                       word);
    r = bp_cli_connect_for(o->url, 120 * BP_SEC, &c, err);
    if (r == 0)
        r = is_status ? bp_client_json(c, "GET", "/api/v1/sync", NULL, &answer, err)
            : is_list ? list_files(c, o, &answer, err)
                      : post(c, word, o, &answer, err);
    if (r == 0 && o->json)
        bp_cli_print_json(answer);
    else if (r == 0 && is_list)
        print_files(answer);
    else if (r == 0 && bp_streq(word, "gc"))
        (void) printf("%lld unfinished uploads %s\n",
                      (long long) json_integer_value(json_object_get(answer, "uploads")),
                      o->dry_run ? "would be removed" : "removed");
    else if (r == 0)
        print_status(answer);
    json_decref(answer);
    return r;
}

const struct bp_verb bp_verb_sync = {
    .name = "sync",
    .args = "[status|now|pause|resume|retry|list|gc]",
    .summary = "how uploads of an agent go, and what they do next",
    .description =
        "An agent with an upstream (`bagpipe agent --upstream URL`, sync.targets) sends each "
        "segment when it is closed. `status` tells how that goes, `now` sends before all else and "
        "outside of windows, `pause` and `resume` outlive a restart, `retry` tries again what is "
        "parked or has failed, `list` shows each file, `gc` removes uploads in buckets that nobody "
        "goes on with.",
    .examples = "bagpipe sync                              status of the local agent\n"
                "bagpipe sync now --session drive_7        this one first\n"
                "bagpipe sync list --state failed          what was refused, and why\n"
                "bagpipe sync pause --target cloud",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 1,
    .run = sync_run,
};
