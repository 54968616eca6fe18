#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "base/buf.h"
#include "base/config.h"
#include "cli/verb.h"
#include "server/server.h"

struct opts {
    const char *file;
    struct bp_opt_list set;
    bool json, server;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "config", 'c', BP_OPT_TEXT, OPT(file), "FILE",
      "the file (" BP_AGENT_CONFIG_FILE " or " BP_SERVER_CONFIG_FILE " when it is there)", NULL,
      NULL, 0, 0 },
    { "server", 0, BP_OPT_FLAG, OPT(server), NULL, "of the server, not the agent", NULL, NULL, 0,
      0 },
    { "set", 0, BP_OPT_LIST, OPT(set), "KEY=VALUE", "set a key, after file and environment", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print as JSON", NULL, NULL, 0, 0 },
};

static const struct bp_config_kind *kind_of(const struct opts *o) {
    return o->server ? &bp_server_config_kind : &bp_agent_config_kind;
}

/* Values of either kind, on the heap; owned, release with drop(), also after a failure. */
static int load(const struct opts *o, const char *file, void **ret, struct bp_error *err) {
    const struct bp_config_kind *k = kind_of(o);

    *ret = calloc(1, k->table->size);
    return *ret ? bp_values_load(k, file, o->set.v, o->set.n, *ret, err)
                : bp_fail(err, -ENOMEM, "out of memory");
}

static void drop(const struct opts *o, void *values) {
    if (values)
        bp_values_done(kind_of(o), values);
    free(values);
}

/* ---- show ---- */

static const char *source_of(const struct bp_config_table *t, const void *values,
                             const struct bp_config_row *r) {
    return bp_config_source_text(bp_config_origin(t, values, r));
}

static int show_json(const struct bp_config_table *t, const void *values, struct bp_error *err) {
    json_t *j = json_object();
    int failed;

    for (size_t i = 0; i < t->nrows; i++)
        (void) json_object_set_new(j, t->rows[i].key,
                                   json_pack("{s:o, s:s}", "value",
                                             bp_values_json(values, &t->rows[i]), "source",
                                             source_of(t, values, &t->rows[i])));
    failed = !j || json_dumpf(j, stdout, JSON_INDENT(2)) < 0;
    json_decref(j);
    (void) printf("\n");
    return failed ? bp_fail(err, -ENOMEM, "cannot print the configuration") : BP_EXIT_DONE;
}

/* A file that says all of it; behind what is not the default, where it comes from. */
static int show_yaml(const struct opts *o, const void *values, struct bp_error *err) {
    const struct bp_config_table *t = kind_of(o)->table;
    BP_AUTO_BUF out = { 0 };
    struct bp_str section = { "", 0 };

    for (size_t i = 0; i < t->nrows; i++) {
        const struct bp_config_row *r = &t->rows[i];
        const char *dot = strrchr(r->key, '.'), *source = source_of(t, values, r);
        struct bp_str mine = { r->key, dot ? (size_t) (dot - r->key) : 0 };

        if (dot && !bp_str_eq(mine, section))
            bp_buf_printf(&out, "%.*s:\n", (int) mine.n, mine.p);
        section = mine;
        bp_buf_printf(&out, dot ? "  %s: " : "%s: ", dot ? dot + 1 : r->key);
        bp_values_put(&out, values, r);
        if (bp_streq(source, "file"))
            source = o->file ? o->file : kind_of(o)->file;
        bp_buf_printf(&out, bp_streq(source, "default") ? "\n" : " # %s\n", source);
    }
    if (out.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) fwrite(out.p, 1, out.n, stdout);
    return BP_EXIT_DONE;
}

static int show(const struct opts *o, struct bp_error *err) {
    void *values = NULL;
    int r = load(o, o->file, &values, err);

    if (r >= 0)
        r = o->json ? show_json(kind_of(o)->table, values, err) : show_yaml(o, values, err);
    drop(o, values);
    return r;
}

/* ---- check ---- */

static int check_json(const char *what, int r, const struct bp_error *err) {
    json_t *j = json_pack("{s:s, s:b, s:s*}", "file", what, "ok", r >= 0, "error",
                          r < 0 ? err->text : NULL);

    (void) json_dumpf(j, stdout, JSON_INDENT(2));
    (void) printf("\n");
    json_decref(j);
    return r < 0 ? BP_EXIT_INPUT : BP_EXIT_DONE;
}

static int check(const struct opts *o, const char *file, struct bp_error *err) {
    const char *usual = kind_of(o)->file;
    bool there = file || access(usual, F_OK) == 0;
    const char *what = file ? file : there ? usual : "defaults";
    void *values = NULL;
    int r = load(o, file, &values, err);

    drop(o, values);
    if (r == -ENOMEM)
        return r;
    if (o->json)
        return check_json(what, r, err);
    if (r < 0) {
        (void) fprintf(stderr, "bagpipe config: %s\n", err->text);
        return BP_EXIT_INPUT;
    }
    (void) printf("%s: ok\n", what);
    return BP_EXIT_DONE;
}

/* ---- what the rows say ---- */

static int print_rows(const struct opts *o,
                      void (*put)(struct bp_buf *out, const struct bp_config_table *t),
                      const char *head, struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };

    bp_buf_put_str(&out, head);
    put(&out, kind_of(o)->table);
    if (out.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) fwrite(out.p, 1, out.n, stdout);
    return BP_EXIT_DONE;
}

/* docs/api/openapi.json, openapi-server.json */
static int print_openapi(bool server, struct bp_error *err) {
    json_t *o = server ? bp_server_openapi() : bp_agent_openapi();
    int failed = !o || json_dumpf(o, stdout, JSON_INDENT(1)) < 0;

    json_decref(o);
    (void) printf("\n");
    return failed ? bp_fail(err, -ENOMEM, "out of memory") : BP_EXIT_DONE;
}

static int config_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    const char *word = argv[0], *file = argc > 1 ? argv[1] : o->file;

    if (argc > 1 && (!bp_streq(word, "check") || o->file))
        return bp_fail(err, BP_EUSAGE, "one FILE, behind check or --config");
    if (bp_streq(word, "check"))
        return check(o, file, err);
    if (bp_streq(word, "show"))
        return show(o, err);
    if (bp_streq(word, "default"))
        return print_rows(o, bp_config_put_sample,
                          o->server ? "# Configuration of bagpipe's server: every key at its "
                                      "default. See `bagpipe config --help`.\n"
                                    : "# Configuration of bagpipe's agent: every key at its "
                                      "default. See `bagpipe config --help`.\n",
                          err);
    if (bp_streq(word, "openapi"))
        return print_openapi(o->server, err);
    if (bp_streq(word, "schema"))
        return print_rows(o, bp_config_put_schema, "", err);
    if (bp_streq(word, "reference")) /* the tables in docs/config*.md */
        return print_rows(o, bp_config_put_reference, "", err);
    return bp_fail(err, BP_EUSAGE, "'%s' is none of check|show|default|schema", word);
}

const struct bp_verb bp_verb_config = {
    .name = "config",
    .args = "check [FILE]|show|default|schema",
    .summary = "check and show the configuration of agent or server",
    .description =
        "check looks for mistakes and says where the first one is: file, line, key, what is "
        "allowed. show prints what the agent would work with, as a file, and behind each value "
        "that is not the default where it comes from. default prints a file with every key, "
        "commented out. schema prints a JSON schema (2020-12) of such a file, for editors.\n\n"
        "Later ones win: defaults, file, environment (BAGPIPE_RECORD__SEGMENT_SIZE=4G), --set. "
        "check takes environment and --set into account, as the agent does. With --server all of it "
        "is about the server: BAGPIPE_SERVER_HTTP__LISTEN. Exit status of check: "
        "0 no mistake, 2 a mistake.",
    .examples = "bagpipe config default > agent.yaml                a file to begin with\n"
                "bagpipe config check agent.yaml                    is it right?\n"
                "bagpipe config show --set record.segment_size=4G   what would be in effect",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = 2,
    .run = config_run,
};
