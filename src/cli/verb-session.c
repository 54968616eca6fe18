#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/agent-client.h"
#include "cli/verb.h"

struct opts {
    const char *url, *name, *regex, *mission, *operator_, *notes, *status, *query;
    struct bp_opt_list topics, not_topics, types, tags, values;
    int compression;
    bp_ns_t max_time;
    int64_t limit;
    bool json, paused;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "url", 0, BP_OPT_TEXT, OPT(url), "URL", "agent to talk to (the local one's socket)", NULL,
      NULL, 0, 0 },
    { "name", 0, BP_OPT_TEXT, OPT(name), "TEMPLATE", "start: name of the session", NULL, NULL, 0,
      0 },
    { "topics", 0, BP_OPT_LIST, OPT(topics), "TOPIC", "start: these topics ('*' matches anything)",
      NULL, NULL, 0, 0 },
    { "exclude-topics", 0, BP_OPT_LIST, OPT(not_topics), "TOPIC", "start: but not these", NULL,
      NULL, 0, 0 },
    { "topic-types", 0, BP_OPT_LIST, OPT(types), "TYPE", "start: topics of these types", NULL, NULL,
      0, 0 },
    { "regex", 'e', BP_OPT_TEXT, OPT(regex), "REGEX", "start: topics whose name contains a match",
      NULL, NULL, 0, 0 },
    { "compression-format", 0, BP_OPT_CHOICE, OPT(compression), NULL, "start: chunk compression",
      "default", "default|none|lz4|zstd", 0, 0 },
    { "mission", 0, BP_OPT_TEXT, OPT(mission), "TEXT", "start: what it is for", NULL, NULL, 0, 0 },
    { "operator", 0, BP_OPT_TEXT, OPT(operator_), "TEXT", "start: who is at it", NULL, NULL, 0, 0 },
    { "notes", 0, BP_OPT_TEXT, OPT(notes), "TEXT", "start: anything else", NULL, NULL, 0, 0 },
    { "tags", 0, BP_OPT_LIST, OPT(tags), "TAG", "start: words to find it by", NULL, NULL, 0, 0 },
    { "max-time", 0, BP_OPT_DURATION, OPT(max_time), "TIME", "start: stop by itself after this",
      NULL, NULL, 0, 0 },
    { "paused", 0, BP_OPT_FLAG, OPT(paused), NULL, "start: paused", NULL, NULL, 0, 0 },
    { "values", 0, BP_OPT_LIST, OPT(values), "KEY=VALUE", "mark: what belongs to it", NULL, NULL, 0,
      0 },
    { "status", 0, BP_OPT_TEXT, OPT(status), "STATUS",
      "list: recording, paused, finished, failed or deleted", NULL, NULL, 0, 0 },
    { "query", 'q', BP_OPT_TEXT, OPT(query), "TEXT",
      "list: with this in name, mission, notes, tags", NULL, NULL, 0, 0 },
    { "limit", 0, BP_OPT_INT, OPT(limit), "N", "list: at most so many", "100", NULL, 1, 999 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the answer as JSON", NULL, NULL, 0, 0 },
};

static void set_text(json_t *o, const char *key, const char *text) {
    if (text)
        (void) json_object_set_new(o, key, json_string(text));
}

static void set_list(json_t *o, const char *key, const struct bp_opt_list *l) {
    json_t *v = l->n ? json_array() : NULL;

    for (size_t i = 0; i < l->n; i++)
        (void) json_array_append_new(v, json_string(l->v[i]));
    if (v)
        (void) json_object_set_new(o, key, v);
}

static json_t *request_of(const struct opts *o) {
    static const char *const codecs[] = { NULL, "none", "lz4", "zstd" };
    json_t *r = json_object();

    set_text(r, "name", o->name);
    set_text(r, "regex", o->regex);
    set_text(r, "mission", o->mission);
    set_text(r, "operator", o->operator_);
    set_text(r, "notes", o->notes);
    set_text(r, "compression", codecs[o->compression]);
    set_list(r, "topics", &o->topics);
    set_list(r, "exclude_topics", &o->not_topics);
    set_list(r, "types", &o->types);
    set_list(r, "tags", &o->tags);
    if (o->paused)
        (void) json_object_set_new(r, "paused", json_true());
    if (o->max_time)
        (void) json_object_set_new(r, "max_time_s", json_real((double) o->max_time / 1e9));
    return r;
}

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

static long long number(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

static void print_session(const json_t *s) {
    const json_t *marks = json_object_get(s, "marks");
    char a[32], b[32], size[32];

    (void) printf("session   %s\nid        %s\nstatus    %s\n", text(s, "name"), text(s, "id"),
                  text(s, "status"));
    (void) printf("folder    %s\n", text(s, "dir"));
    (void) printf("time      %s to %s\n",
                  bp_cli_time(json_object_get(s, "started_ns"), a, sizeof a),
                  bp_cli_time(json_object_get(s, "ended_ns"), b, sizeof b));
    (void) printf("messages  %lld, %s in %lld segment%s, lost %lld\n", number(s, "messages"),
                  bp_cli_bytes((double) number(s, "bytes"), size, sizeof size),
                  number(s, "segments"), number(s, "segments") == 1 ? "" : "s", number(s, "lost"));
    if (number(s, "outages"))
        (void) printf("outages   %lld\n", number(s, "outages"));
    for (size_t i = 0; i < json_array_size(marks); i++)
        (void) printf(
            "mark      %s  %s\n",
            bp_cli_time(json_object_get(json_array_get(marks, i), "time_ns"), a, sizeof a),
            text(json_array_get(marks, i), "text"));
    if (*text(s, "error"))
        (void) printf("trouble   %s\n", text(s, "error"));
}

static void print_list(const json_t *page) {
    const json_t *list = json_object_get(page, "sessions");
    char at[32], size[32];

    if (json_array_size(list))
        (void) printf("%-26s  %-9s  %-19s  %12s  %9s  %8s  %s\n", "id", "status", "started",
                      "messages", "size", "lost", "name");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);

        (void) printf(
            "%-26s  %-9s  %-19s  %12lld  %9s  %8lld  %s\n", text(s, "id"), text(s, "status"),
            bp_cli_time(json_object_get(s, "started_ns"), at, sizeof at), number(s, "messages"),
            bp_cli_bytes((double) number(s, "bytes"), size, sizeof size), number(s, "lost"),
            text(s, "name"));
    }
}

static void put_query(struct bp_buf *path, const char *key, const char *value) {
    if (!value)
        return;
    bp_buf_printf(path, "&%s=", key);
    bp_client_put_escaped(path, value);
}

static int do_list(struct bp_client *c, const struct opts *o, struct bp_error *err) {
    BP_AUTO_BUF path = { 0 };
    json_t *page = NULL;
    int r;

    bp_buf_printf(&path, "/api/v1/sessions?limit=%lld", (long long) o->limit);
    put_query(&path, "status", o->status);
    put_query(&path, "q", o->query);
    if (!bp_buf_cstr(&path))
        return bp_fail(err, -ENOMEM, "out of memory");
    r = bp_client_json(c, "GET", bp_buf_cstr(&path), NULL, &page, err);
    if (r == 0 && o->json)
        bp_cli_print_json(page);
    else if (r == 0)
        print_list(page);
    json_decref(page);
    return r;
}

static int path_of(const char *key, const char *action, struct bp_buf *path, struct bp_error *err) {
    bp_buf_put_str(path, "/api/v1/sessions/");
    bp_client_put_escaped(path, key ? key : "current");
    bp_buf_put_str(path, action);
    return bp_buf_cstr(path) ? 0 : bp_fail(err, -ENOMEM, "out of memory");
}

static int show(struct bp_client *c, const char *method, const char *path, const json_t *body,
                bool json, struct bp_error *err) {
    json_t *s = NULL;
    int r = bp_client_json(c, method, path, body, &s, err);

    if (r == 0 && json && s)
        bp_cli_print_json(s);
    else if (r == 0 && s)
        print_session(s);
    json_decref(s);
    return r;
}

static int do_start(struct bp_client *c, const struct opts *o, struct bp_error *err) {
    json_t *request = request_of(o);
    int r = show(c, "POST", "/api/v1/sessions", request, o->json, err);

    json_decref(request);
    return r;
}

static int do_mark(struct bp_client *c, const struct opts *o, const char *key, const char *what,
                   struct bp_error *err) {
    BP_AUTO_BUF path = { 0 };
    json_t *values = json_object(), *body;
    int r = path_of(key, "/marks", &path, err);

    for (size_t i = 0; i < o->values.n; i++) {
        const char *eq = strchr(o->values.v[i], '=');

        if (!eq) {
            json_decref(values);
            return bp_fail(err, BP_EUSAGE, "--values '%s': expected KEY=VALUE", o->values.v[i]);
        }
        (void) json_object_setn_new(values, o->values.v[i], (size_t) (eq - o->values.v[i]),
                                    json_string(eq + 1));
    }
    body = json_pack("{s:s, s:o}", "text", what, "values", values);
    if (r == 0)
        r = bp_client_json(c, "POST", bp_buf_cstr(&path), body, NULL, err);
    json_decref(body);
    return r;
}

static int session_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    static const char *const actions[] = { "stop", "pause", "resume", "split" };
    const struct opts *o = opts;
    const char *what = argv[0], *key = argc > 1 ? argv[1] : NULL;
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    BP_AUTO_BUF path = { 0 };
    char suffix[32];
    int r = bp_cli_connect(o->url, &c, err);

    if (r < 0)
        return r;
    if (bp_streq(what, "start") && argc == 1)
        return do_start(c, o, err);
    if (bp_streq(what, "list") && argc == 1)
        return do_list(c, o, err);
    if (bp_streq(what, "mark") && argc >= 2 && argc <= 3)
        return do_mark(c, o, argc == 3 ? key : NULL, argv[argc - 1], err);
    if (bp_streq(what, "show") && argc == 2) {
        r = path_of(key, "", &path, err);
        return r < 0 ? r : show(c, "GET", bp_buf_cstr(&path), NULL, o->json, err);
    }
    for (size_t i = 0; i < BP_COUNT(actions); i++) {
        if (!bp_streq(what, actions[i]) || argc > 2)
            continue;
        (void) snprintf(suffix, sizeof suffix, "/%s", what);
        r = path_of(key, suffix, &path, err);
        return r < 0 ? r : show(c, "POST", bp_buf_cstr(&path), NULL, o->json, err);
    }
    return bp_fail(err, BP_EUSAGE,
                   "'%s': expected start, stop [SESSION], pause [SESSION], resume [SESSION], split "
                   "[SESSION], mark [SESSION] TEXT, list or show SESSION",
                   what);
}

const struct bp_verb bp_verb_session = {
    .name = "session",
    .args = "start|stop|pause|resume|split|mark|list|show [SESSION] [TEXT]",
    .summary = "start, stop and list the sessions of an agent",
    .description = "SESSION is an id or a name; it may be left out while one session is recorded. "
                   "Several sessions with different topics may be recorded at once.",
    .examples = "bagpipe session start --mission 'aisle 7' --topics /tf '/camera*'\n"
                "bagpipe session mark 'hit the shelf'       into the one that runs\n"
                "bagpipe session stop                       finish it\n"
                "bagpipe session list -q aisle              find it again",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = 3,
    .run = session_run,
};
