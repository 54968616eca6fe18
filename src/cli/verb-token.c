#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/time.h"
#include "cli/accounts.h"
#include "cli/agent-client.h"

struct opts {
    struct bp_cli_accounts where;
    const char *scope;
    int role;
    bp_ns_t expires;
    bool json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "role", 'r', BP_OPT_CHOICE, OPT(role), NULL, "new: what it may do", "viewer",
      "viewer|operator|admin", 0, 0 },
    { "scope", 0, BP_OPT_TEXT, OPT(scope), "DEVICES",
      "new: only these, of a server: ids, * is anything, group:NAME", NULL, NULL, 0, 0 },
    { "expires", 0, BP_OPT_DURATION, OPT(expires), "TIME", "new: ends after this (0 = never)", "0",
      NULL, 0, 315360000 },
    { "url", 0, BP_OPT_TEXT, OPT(where.url), "URL", "agent to talk to (the local one's socket)",
      NULL, NULL, 0, 0 },
    { "config", 'c', BP_OPT_TEXT, OPT(where.config), "FILE",
      "the agent's configuration (/etc/bagpipe/agent.yaml)", NULL, NULL, 0, 0 },
    { "server", 0, BP_OPT_FLAG, OPT(where.server), NULL, "of the server, not the agent", NULL, NULL,
      0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(where.set), "KEY=VALUE", "set a key of it", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the answer as JSON", NULL, NULL, 0, 0 },
};

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

static void print_tokens(const json_t *page) {
    const json_t *list = json_object_get(page, "tokens");
    char created[32], expires[32], used[32];

    if (json_array_size(list))
        (void) printf("%-24s  %-8s  %-19s  %-19s  %-19s  %s\n", "name", "role", "created",
                      "expires", "last used", "scope");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i);

        (void) printf("%-24s  %-8s  %-19s  %-19s  %-19s  %s\n", text(t, "name"), text(t, "role"),
                      bp_cli_time(json_object_get(t, "created_ns"), created, sizeof created),
                      bp_cli_time(json_object_get(t, "expires_ns"), expires, sizeof expires),
                      bp_cli_time(json_object_get(t, "used_ns"), used, sizeof used),
                      text(t, "scope"));
    }
}

static int do_new(const struct opts *o, const char *name, json_t **ret, struct bp_error *err) {
    static const char *const roles[] = { "viewer", "operator", "admin" };
    json_t *body = json_pack("{s:s, s:s, s:f, s:s*}", "name", name, "role", roles[o->role],
                             "lifetime_s", (double) o->expires / 1e9, "scope", o->scope);
    int r = body ? bp_cli_account(&o->where, "POST", "tokens", NULL, body, ret, err)
                 : bp_fail(err, BP_EUSAGE, "a name is UTF-8 text");

    json_decref(body);
    return r;
}

static int token_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    const char *what = argv[0], *name = argc > 1 ? argv[1] : NULL;
    json_t *answer = NULL;
    int r;

    if (bp_streq(what, "new") && name)
        r = do_new(o, name, &answer, err);
    else if (bp_streq(what, "rm") && name)
        r = bp_cli_account(&o->where, "DELETE", "tokens", name, NULL, &answer, err);
    else if (bp_streq(what, "list") && !name)
        r = bp_cli_account(&o->where, "GET", "tokens", NULL, NULL, &answer, err);
    else
        r = bp_fail(err, BP_EUSAGE, "'%s': expected new NAME, rm NAME or list", what);
    if (r == 0 && o->json && answer)
        bp_cli_print_json(answer);
    else if (r == 0 && bp_streq(what, "new"))
        (void) puts(text(answer, "token"));
    else if (r == 0 && bp_streq(what, "list"))
        print_tokens(answer);
    json_decref(answer);
    return r;
}

const struct bp_verb bp_verb_token = {
    .name = "token",
    .args = "new|rm|list [NAME]",
    .summary = "tokens of an agent: how programs get in, and as what",
    .description =
        "A program sends its token as 'Authorization: Bearer TOKEN'. It is printed once, when it is "
        "made: the agent keeps its digest only. NAME says what it is for.\n\nWorks on the agent's "
        "socket, or on its catalogue while it does not run.",
    .examples = "bagpipe token new prometheus                     for /metrics\n"
                "bagpipe token new ci --role operator --expires 30d\n"
                "bagpipe token rm ci                              from now on it is nothing",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = 2,
    .run = token_run,
};
