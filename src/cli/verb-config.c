#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "agent/config.h"
#include "base/buf.h"
#include "base/config.h"
#include "cli/verb.h"
#include "wire/yaml.h"

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

/* ---- a value as text and as JSON ---- */

/* A number in the largest unit that leaves it whole: exact, and read back as the same. */
struct unit {
    uint64_t factor;
    const char *name;
};

static const struct unit sizes[] = {
    { UINT64_C(1) << 40, "TiB" }, { 1 << 30, "GiB" }, { 1 << 20, "MiB" },
    { 1 << 10, "KiB" },           { 1, "" },          { 0, NULL }
};
static const struct unit durations[] = { { 3600 * BP_SEC, "h" },
                                         { 60 * BP_SEC, "min" },
                                         { BP_SEC, "s" },
                                         { BP_MS, "ms" },
                                         { BP_US, "us" },
                                         { 1, "ns" },
                                         { 0, NULL } };

static void put_units(struct bp_buf *out, const struct unit *u, uint64_t v) {
    while (v % u->factor != 0)
        u++;
    if (v == 0)
        bp_buf_put_str(out, "0");
    else
        bp_buf_printf(out, "%" PRIu64 "%s", v / u->factor, u->name);
}

/* The i-th word of "a|b|c". */
static struct bp_str choice(const char *choices, int i) {
    for (; i > 0; i--)
        choices = strchr(choices, '|') + 1;
    return (struct bp_str){ choices, strcspn(choices, "|") };
}

static const void *member(const struct bp_agent_config *c, const struct bp_config_row *r) {
    return (const char *) c + r->offset;
}

static const char *text_of(const struct bp_agent_config *c, const struct bp_config_row *r) {
    const char *text;

    memcpy(&text, member(c, r), sizeof text);
    return text ? text : "";
}

static void put_list(struct bp_buf *out, const struct bp_config_list *l) {
    bp_buf_put_str(out, "[");
    for (size_t i = 0; i < l->n; i++) {
        bp_buf_put_str(out, i > 0 ? ", " : "");
        bp_yaml_put_string(out, bp_str_of(l->v[i]));
    }
    bp_buf_put_str(out, "]");
}

static json_t *maps_json(const struct bp_config_list *l) {
    json_t *j = json_array();

    for (size_t i = 0; i < l->n; i++) {
        json_t *one = json_loads(l->v[i], 0, NULL);

        (void) json_object_del(one, "_at");
        (void) json_array_append_new(j, one);
    }
    return j;
}

/* JSON is YAML too. */
static void put_maps(struct bp_buf *out, const struct bp_config_list *l) {
    json_t *j = maps_json(l);
    char *text = json_dumps(j, 0);

    bp_buf_put_str(out, text ? text : "[]");
    free(text);
    json_decref(j);
}

/* As a file would say it. */
static void put_value(struct bp_buf *out, const struct bp_agent_config *c,
                      const struct bp_config_row *r) {
    const void *v = member(c, r);
    struct bp_str word;

    switch (r->type) {
    case BP_CONFIG_BOOL:
        bp_buf_put_str(out, *(const bool *) v ? "true" : "false");
        break;
    case BP_CONFIG_INT:
        bp_buf_printf(out, "%" PRId64, *(const int64_t *) v);
        break;
    case BP_CONFIG_REAL:
        bp_buf_printf(out, "%.17g", *(const double *) v);
        break;
    case BP_CONFIG_SIZE:
        put_units(out, sizes, *(const uint64_t *) v);
        break;
    case BP_CONFIG_DURATION:
        put_units(out, durations,
                  (uint64_t) * (const bp_ns_t *) v); /* no row allows negative ones */
        break;
    case BP_CONFIG_CHOICE:
        word = choice(r->choices, *(const int *) v);
        bp_buf_put(out, word.p, word.n);
        break;
    case BP_CONFIG_LIST:
        put_list(out, v);
        break;
    case BP_CONFIG_MAPS:
        put_maps(out, v);
        break;
    default:
        bp_yaml_put_string(out, bp_str_of(text_of(c, r)));
        break;
    }
}

static json_t *list_json(const struct bp_config_list *l) {
    json_t *j = json_array();

    for (size_t i = 0; i < l->n; i++)
        (void) json_array_append_new(j, json_string(l->v[i]));
    return j;
}

/* Sizes in bytes, durations in seconds. */
static json_t *value_json(const struct bp_agent_config *c, const struct bp_config_row *r) {
    const void *v = member(c, r);
    struct bp_str word;

    switch (r->type) {
    case BP_CONFIG_BOOL:
        return json_boolean(*(const bool *) v);
    case BP_CONFIG_INT:
        return json_integer(*(const int64_t *) v);
    case BP_CONFIG_REAL:
        return json_real(*(const double *) v);
    case BP_CONFIG_SIZE:
        return json_integer((json_int_t) * (const uint64_t *) v);
    case BP_CONFIG_DURATION:
        return json_real((double) *(const bp_ns_t *) v / 1e9);
    case BP_CONFIG_CHOICE:
        word = choice(r->choices, *(const int *) v);
        return json_stringn(word.p, word.n);
    case BP_CONFIG_LIST:
        return list_json(v);
    case BP_CONFIG_MAPS:
        return maps_json(v);
    default:
        return json_string(text_of(c, r));
    }
}

/* ---- where it comes from ---- */

static bool in_environment(const char *key) {
    BP_AUTO_BUF name = { 0 };

    bp_buf_put_str(&name, "BAGPIPE_");
    for (; *key; key++)
        if (*key == '.')
            bp_buf_put_str(&name, "__");
        else
            bp_buf_put_u8(&name, (uint8_t) toupper((unsigned char) *key));
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody calls setenv() */
    return !name.failed && getenv(bp_buf_cstr(&name));
}

/* Values are compared: a file that says what is the default anyway is not named. */
static const char *source_of(const struct opts *o, const struct bp_agent_config *c,
                             const struct bp_agent_config *defaults,
                             const struct bp_config_row *r) {
    BP_AUTO_BUF now = { 0 };
    BP_AUTO_BUF def = { 0 };
    size_t n = strlen(r->key);

    for (size_t i = 0; i < o->set.n; i++)
        if (strncmp(o->set.v[i], r->key, n) == 0 && o->set.v[i][n] == '=')
            return "--set";
    if (in_environment(r->key))
        return "environment";
    put_value(&now, c, r);
    put_value(&def, defaults, r);
    return bp_str_eq((struct bp_str){ (const char *) now.p, now.n },
                     (struct bp_str){ (const char *) def.p, def.n })
               ? "default"
               : "file";
}

/* ---- show ---- */

static int show_json(const struct opts *o, const struct bp_agent_config *c,
                     const struct bp_agent_config *defaults, struct bp_error *err) {
    json_t *j = json_object();
    int failed;

    for (size_t i = 0; i < bp_agent_config_table.nrows; i++) {
        const struct bp_config_row *r = &bp_agent_config_table.rows[i];

        (void) json_object_set_new(j, r->key,
                                   json_pack("{s:o, s:s}", "value", value_json(c, r), "source",
                                             source_of(o, c, defaults, r)));
    }
    failed = !j || json_dumpf(j, stdout, JSON_INDENT(2)) < 0;
    json_decref(j);
    (void) printf("\n");
    return failed ? bp_fail(err, -ENOMEM, "cannot print the configuration") : BP_EXIT_DONE;
}

/* A file that says all of it; behind what is not the default, where it comes from. */
static int show_yaml(const struct opts *o, const struct bp_agent_config *c,
                     const struct bp_agent_config *defaults, struct bp_error *err) {
    BP_AUTO_BUF out = { 0 };
    struct bp_str section = { "", 0 };

    for (size_t i = 0; i < bp_agent_config_table.nrows; i++) {
        const struct bp_config_row *r = &bp_agent_config_table.rows[i];
        const char *name = strrchr(r->key, '.') + 1, *source = source_of(o, c, defaults, r);
        struct bp_str mine = { r->key, (size_t) (name - 1 - r->key) };

        if (!bp_str_eq(mine, section))
            bp_buf_printf(&out, "%.*s:\n", (int) mine.n, mine.p);
        section = mine;
        bp_buf_printf(&out, "  %s: ", name);
        put_value(&out, c, r);
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
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config defaults = { 0 };
    int r = bp_config_init(&bp_agent_config_table, &defaults, err);

    if (r >= 0)
        r = bp_agent_config_load(o->file, o->set.v, o->set.n, &c, err);
    if (r < 0)
        return r;
    return o->json ? show_json(o, &c, &defaults, err) : show_yaml(o, &c, &defaults, err);
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
    if (bp_streq(word, "reference")) /* the table in docs/config.md */
        return print_rows(bp_config_put_reference, "", err);
    return bp_fail(err, BP_EUSAGE, "'%s' is none of check|show|default", word);
}

const struct bp_verb bp_verb_config = {
    .name = "config",
    .args = "check [FILE]|show|default",
    .summary = "check and show the agent's configuration",
    .description =
        "check looks for mistakes and says where the first one is: file, line, key, what is "
        "allowed. show prints what the agent would work with, as a file, and behind each value "
        "that is not the default where it comes from. default prints a file with every key, "
        "commented out.\n\n"
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
