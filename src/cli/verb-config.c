#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "agent/agent.h"
#include "agent/config.h"
#include "base/buf.h"
#include "base/config.h"
#include "cli/verb.h"

struct opts {
    const char *file;
    struct bp_opt_list set;
    bool json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "config", 'c', BP_OPT_TEXT, OPT(file), "FILE",
      "the file (" BP_AGENT_CONFIG_FILE " when it is there)", NULL, NULL, 0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(set), "KEY=VALUE", "set a key, after file and environment", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print as JSON", NULL, NULL, 0, 0 },
};

/* ---- show ---- */

static const char *source_of(const struct bp_agent_config *c, const struct bp_config_row *r) {
    return bp_config_source_text(bp_config_origin(&bp_agent_config_table, c, r));
}

static int show_json(const struct bp_agent_config *c, struct bp_error *err) {
    json_t *j = json_object();
    int failed;

    for (size_t i = 0; i < bp_agent_config_table.nrows; i++) {
        const struct bp_config_row *r = &bp_agent_config_table.rows[i];

        (void) json_object_set_new(
            j, r->key,
            json_pack("{s:o, s:s}", "value", bp_values_json(c, r), "source", source_of(c, r)));
    }
    failed = !j || json_dumpf(j, stdout, JSON_INDENT(2)) < 0;
    json_decref(j);
    (void) printf("\n");
    return failed ? bp_fail(err, -ENOMEM, "cannot print the configuration") : BP_EXIT_DONE;
}

/* A file that says all of it; behind what is not the default, where it comes from. */
static int show_yaml(const struct opts *o, const struct bp_agent_config *c, struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };
    struct bp_str section = { "", 0 };

    for (size_t i = 0; i < bp_agent_config_table.nrows; i++) {
        const struct bp_config_row *r = &bp_agent_config_table.rows[i];
        const char *dot = strrchr(r->key, '.'), *source = source_of(c, r);
        struct bp_str mine = { r->key, dot ? (size_t) (dot - r->key) : 0 };

        if (dot && !bp_str_eq(mine, section))
            bp_buf_printf(&out, "%.*s:\n", (int) mine.n, mine.p);
        section = mine;
        bp_buf_printf(&out, dot ? "  %s: " : "%s: ", dot ? dot + 1 : r->key);
        bp_values_put(&out, c, r);
        if (bp_streq(source, "file"))
            source = o->file ? o->file : BP_AGENT_CONFIG_FILE;
        bp_buf_printf(&out, bp_streq(source, "default") ? "\n" : " # %s\n", source);
    }
    if (out.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) fwrite(out.p, 1, out.n, stdout);
    return BP_EXIT_DONE;
}

static int show(const struct opts *o, struct bp_error *err) {
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config c = { 0 };
    int r = bp_agent_config_load(o->file, o->set.v, o->set.n, &c, err);

    if (r < 0)
        return r;
    return o->json ? show_json(&c, err) : show_yaml(o, &c, err);
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
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config c = { 0 };
    bool there = file || access(BP_AGENT_CONFIG_FILE, F_OK) == 0;
    const char *what = file ? file : there ? BP_AGENT_CONFIG_FILE : "defaults";
    int r = bp_agent_config_load(file, o->set.v, o->set.n, &c, err);

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

static int print_rows(void (*put)(struct bp_buf *out, const struct bp_config_table *t),
                      const char *head, struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };

    bp_buf_put_str(&out, head);
    put(&out, &bp_agent_config_table);
    if (out.failed)
        return bp_fail(err, -ENOMEM, "out of memory");
    (void) fwrite(out.p, 1, out.n, stdout);
    return BP_EXIT_DONE;
}

/* docs/api/openapi.json */
static int print_openapi(struct bp_error *err) {
    json_t *o = bp_agent_openapi();
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
        return print_rows(bp_config_put_sample,
                          "# Configuration of bagpipe's agent: every key at its default. See "
                          "`bagpipe config --help`.\n",
                          err);
    if (bp_streq(word, "openapi"))
        return print_openapi(err);
    if (bp_streq(word, "schema"))
        return print_rows(bp_config_put_schema, "", err);
    if (bp_streq(word, "reference")) /* the table in docs/config.md */
        return print_rows(bp_config_put_reference, "", err);
    return bp_fail(err, BP_EUSAGE, "'%s' is none of check|show|default|schema", word);
}

const struct bp_verb bp_verb_config = {
    .name = "config",
    .args = "check [FILE]|show|default|schema",
    .summary = "check and show the agent's configuration",
    .description =
        "check looks for mistakes and says where the first one is: file, line, key, what is "
        "allowed. show prints what the agent would work with, as a file, and behind each value "
        "that is not the default where it comes from. default prints a file with every key, "
        "commented out. schema prints a JSON schema (2020-12) of such a file, for editors.\n\n"
        "Later ones win: defaults, file, environment (BAGPIPE_RECORD__SEGMENT_SIZE=4G), --set. "
        "check takes environment and --set into account, as the agent does. Exit status of check: "
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
