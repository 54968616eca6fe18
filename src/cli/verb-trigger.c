#include <errno.h>
#include <stdio.h>

#include "cli/agent-client.h"
#include "cli/verb.h"

struct opts {
    const char *url;
    bool json;
    bp_ns_t wait;
    struct bp_opt_list values;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "url", 0, BP_OPT_TEXT, OPT(url), "URL", "agent to ask (the local one's socket)", NULL, NULL,
      0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the answer as JSON", NULL, NULL, 0, 0 },
    { "wait", 0, BP_OPT_DURATION, OPT(wait), "TIME", "test: wait so long for messages", "3s", NULL,
      0, 30 },
    { "value", 0, BP_OPT_LIST, OPT(values), "KEY=TEXT", "fire: more for marks and webhooks", NULL,
      NULL, 0, 0 },
};

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

static long long number(const json_t *o, const char *key) {
    return json_integer_value(json_object_get(o, key));
}

static void print_values(const json_t *instance, const char *indent) {
    const json_t *values = json_object_get(instance, "values");
    const char *key;
    json_t *v;

    json_object_foreach((json_t *) (uintptr_t) values, key, v) {
        char *shown = json_dumps(v, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6));

        (void) printf("%s%s = %s\n", indent, key,
                      json_is_null(v) ? "unknown"
                      : shown         ? shown
                                      : "?");
        free(shown);
    }
}

static void print_instance(const json_t *i) {
    const char *match = text(i, "match"), *robot = text(i, "robot");

    if (*robot || *match)
        (void) printf("    %s%s%s: %s\n", robot, *match ? " " : "", match, text(i, "state"));
    print_values(i, "      ");
    if (*text(i, "error"))
        (void) printf("      %s\n", text(i, "error"));
}

static void print_trigger(const json_t *t) {
    const json_t *list = json_object_get(t, "instances");
    const json_t *missing = json_object_get(t, "waiting_for");
    char at[32];

    (void) printf("%-20s  %-8s  fired %lld, last %s\n", text(t, "name"), text(t, "state"),
                  number(t, "fired"),
                  bp_cli_time(json_object_get(t, "last_fired_ns"), at, sizeof at));
    (void) printf("    when %s\n", text(t, "when"));
    for (size_t i = 0; i < json_array_size(list); i++)
        print_instance(json_array_get(list, i));
    for (size_t i = 0; i < json_array_size(missing); i++) {
        const json_t *m = json_array_get(missing, i);
        const char *near = text(m, "nearest");

        (void) printf("    waits for %s%s%s%s\n", text(m, "topic"), *near ? "; is " : "", near,
                      *near ? " meant?" : "");
    }
}

static int do_list(struct bp_client *c, const struct opts *o, struct bp_error *err) {
    json_t *reply = NULL;
    const json_t *list;
    int r = bp_client_json(c, "GET", "/api/v1/triggers", NULL, &reply, err);

    if (r < 0)
        return r;
    list = json_object_get(reply, "triggers");
    if (o->json)
        bp_cli_print_json(reply);
    else if (json_array_size(list) == 0)
        (void) printf("no triggers are configured\n");
    for (size_t i = 0; i < json_array_size(list) && !o->json; i++)
        print_trigger(json_array_get(list, i));
    json_decref(reply);
    return 0;
}

/* Exit status as of test(1): 0 = true, 1 = false or unknown. */
static int do_test(struct bp_client *c, const struct opts *o, const char *when,
                   struct bp_error *err) {
    json_t *body = json_pack("{s:s, s:f}", "when", when, "wait_s", (double) o->wait / 1e9);
    json_t *reply = NULL;
    const json_t *value, *list;
    int r = bp_client_json(c, "POST", "/api/v1/conditions/test", body, &reply, err);

    json_decref(body);
    if (r < 0)
        return r;
    value = json_object_get(reply, "value");
    list = json_object_get(reply, "instances");
    if (o->json)
        bp_cli_print_json(reply);
    else
        (void) printf("%s\n", json_is_true(value)    ? "true"
                              : json_is_false(value) ? "false"
                                                     : "unknown");
    for (size_t i = 0; i < json_array_size(list) && !o->json; i++)
        print_instance(json_array_get(list, i));
    r = json_is_true(value) ? 0 : BP_EXIT_FINDINGS;
    json_decref(reply);
    return r;
}

static json_t *values_of(const struct opts *o, struct bp_error *err) {
    json_t *values = json_object();

    for (size_t i = 0; i < o->values.n; i++) {
        const char *eq = strchr(o->values.v[i], '=');

        if (!eq) {
            (void) bp_fail(err, BP_EUSAGE, "--value '%s': expected KEY=TEXT", o->values.v[i]);
            json_decref(values);
            return NULL;
        }
        (void) json_object_setn_new(values, o->values.v[i], (size_t) (eq - o->values.v[i]),
                                    json_string(eq + 1));
    }
    return values;
}

static int do_post(struct bp_client *c, const struct opts *o, const char *name, const char *suffix,
                   json_t *body, struct bp_error *err) {
    BP_AUTO_BUF path = { 0 };
    json_t *reply = NULL;
    int r;

    bp_buf_put_str(&path, "/api/v1/triggers/");
    bp_client_put_escaped(&path, name);
    bp_buf_put_str(&path, suffix);
    if (!bp_buf_cstr(&path)) {
        json_decref(body);
        return bp_fail(err, -ENOMEM, "out of memory");
    }
    r = bp_client_json(c, "POST", bp_buf_cstr(&path), body, &reply, err);
    json_decref(body);
    if (r < 0)
        return r;
    if (o->json)
        bp_cli_print_json(reply);
    else if (*suffix)
        (void) printf("fired %lld\n", number(reply, "fired"));
    else
        print_trigger(reply);
    json_decref(reply);
    return 0;
}

static int trigger_run(void *v, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = v;
    BP_CLEANUP(bp_client_closep) struct bp_client *c = NULL;
    const char *what = argv[0];
    json_t *values;
    int r = bp_cli_connect(o->url, &c, err);

    if (r < 0)
        return r;
    if (bp_streq(what, "list") && argc == 1)
        return do_list(c, o, err);
    if (bp_streq(what, "test") && argc == 2)
        return do_test(c, o, argv[1], err);
    if (bp_streq(what, "fire") && argc == 2) {
        values = values_of(o, err);
        return values ? do_post(c, o, argv[1], "/fire", json_pack("{s:o}", "values", values), err)
                      : BP_EUSAGE;
    }
    if ((bp_streq(what, "enable") || bp_streq(what, "disable")) && argc == 2)
        return do_post(c, o, argv[1], "",
                       json_pack("{s:b}", "enabled", (int) bp_streq(what, "enable")), err);
    return bp_fail(err, BP_EUSAGE,
                   "'%s': expected list, test CONDITION, fire NAME, enable NAME or disable NAME",
                   what);
}

const struct bp_verb bp_verb_trigger = {
    .name = "trigger",
    .args = "list|test|fire|enable|disable [CONDITION|NAME]",
    .summary = "see, try and fire the triggers of an agent",
    .description = "What triggers are and how conditions are written: docs/triggers.md. `test` "
                   "judges a condition by the next messages and ends with status 0 when it is "
                   "true, 1 when it is not.",
    .examples = "bagpipe trigger list\n"
                "bagpipe trigger test '/battery_state.percentage < 20%'\n"
                "bagpipe trigger fire door --value side=left     external(\"door\") is true",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = 2,
    .run = trigger_run,
};
