#include "cli/help.h"

#include <stdio.h>

enum { INDENT = 2, LONGEST_NAME = 34 };

static const char exit_statuses[] =
    "0 done; 1 findings; 2 usage or input not usable; 3 done, but something was lost; "
    "64 to 78 as in sysexits.h";

size_t bp_help_columns(const char *s, size_t n) {
    size_t columns = 0;

    for (size_t i = 0; i < n; i++)
        columns += ((unsigned char) s[i] & 0xc0) != 0x80; /* not a UTF-8 continuation */
    return columns;
}

void bp_help_each_choice(const char *choices, void (*fn)(void *ctx, const char *p, size_t n),
                         void *ctx) {
    while (choices && *choices) {
        size_t n = strcspn(choices, "|");

        fn(ctx, choices, n);
        choices += n + (choices[n] == '|');
    }
}

const char *bp_help_arg(const struct bp_opt *o) {
    if (o->type == BP_OPT_FLAG)
        return NULL;
    if (o->arg)
        return o->arg;
    return o->choices ? o->choices : o->type == BP_OPT_LIST ? "WORD…" : "VALUE";
}

static void pad(struct bp_buf *out, size_t columns) {
    for (size_t i = 0; i < columns; i++)
        bp_buf_put_u8(out, ' ');
}

/* Breaks one paragraph at blanks; the cursor stands at column `at`, later lines are indented by
 * `indent`. Ends the line. */
static void wrap(struct bp_buf *out, const char *text, size_t length, size_t at, size_t indent) {
    const char *end = text + length;
    bool fresh = true;

    while (text < end) {
        size_t n = 0, columns;

        while (text + n < end && text[n] != ' ')
            n++;
        columns = bp_help_columns(text, n);
        if (!fresh && at + 1 + columns > BP_HELP_WIDTH) {
            bp_buf_put_u8(out, '\n');
            pad(out, indent);
            at = indent;
            fresh = true;
        }
        if (!fresh) {
            bp_buf_put_u8(out, ' ');
            at++;
        }
        bp_buf_put(out, text, n);
        at += columns;
        fresh = false;
        text += n;
        while (text < end && *text == ' ')
            text++;
    }
    bp_buf_put_u8(out, '\n');
}

/* Paragraphs are lines of the text; a line that begins with a blank is kept as it is. */
static void paragraphs(struct bp_buf *out, const char *text, size_t indent) {
    while (*text) {
        size_t n = strcspn(text, "\n");

        if (n > 0) {
            pad(out, indent);
            if (*text == ' ') {
                bp_buf_put(out, text, n);
                bp_buf_put_u8(out, '\n');
            } else {
                wrap(out, text, n, indent, indent);
            }
        } else {
            bp_buf_put_u8(out, '\n');
        }
        text += n + (text[n] == '\n');
    }
}

/* "  -o, --output DIR" */
static void option_name(struct bp_buf *out, const struct bp_opt *o) {
    if (o->letter)
        bp_buf_printf(out, "-%c, --%s", o->letter, o->name);
    else
        bp_buf_printf(out, "    --%s", o->name);
    if (o->type == BP_OPT_FLAG)
        return;
    bp_buf_printf(out, " %s%s",
                  o->arg       ? o->arg
                  : o->choices ? o->choices
                               : "VALUE",
                  o->type == BP_OPT_LIST ? "…" : "");
}

static void option_text(struct bp_buf *out, const struct bp_opt *o) {
    bp_buf_put_str(out, o->help);
    if (o->choices && o->arg)
        bp_buf_printf(out, ": %s", o->choices);
    if (o->def && !strstr(o->help, "default"))
        bp_buf_printf(out, " (default %s)", o->def);
}

/* One row of two columns, the second beginning at column `second`. */
static void row(struct bp_buf *out, const char *name, const char *text, size_t second) {
    size_t columns = INDENT + bp_help_columns(name, strlen(name));

    pad(out, INDENT);
    bp_buf_put_str(out, name);
    if (columns + 2 > second) {
        bp_buf_put_u8(out, '\n');
        columns = 0;
    }
    pad(out, second - columns);
    wrap(out, text, strlen(text), second, second);
}

static const struct bp_opt help_opt = {
    .name = "help", .letter = 'h', .type = BP_OPT_FLAG, .help = "show this page and exit"
};

static void option_row(struct bp_buf *out, const struct bp_opt *o, size_t second) {
    BP_AUTO_BUF name = { 0 };
    BP_AUTO_BUF text = { 0 };

    option_name(&name, o);
    option_text(&text, o);
    if (name.failed || text.failed)
        out->failed = true;
    else
        row(out, bp_buf_cstr(&name), bp_buf_cstr(&text), second);
}

static size_t name_columns(const struct bp_opt *o) {
    BP_AUTO_BUF name = { 0 };
    size_t n;

    option_name(&name, o);
    n = bp_help_columns((const char *) name.p, name.n);
    return n <= LONGEST_NAME ? n : 0;
}

static void option_rows(struct bp_buf *out, const struct bp_verb *v) {
    size_t widest = name_columns(&help_opt);

    for (size_t i = 0; i < v->nopts; i++)
        widest = BP_MAX(widest, name_columns(&v->opts[i]));
    for (size_t i = 0; i < v->nopts; i++)
        option_row(out, &v->opts[i], INDENT + widest + 2);
    option_row(out, &help_opt, INDENT + widest + 2);
}

void bp_help_verb(struct bp_buf *out, const struct bp_verb *v) {
    bp_buf_printf(out, "Usage: bagpipe %s [OPTION…]%s%s\n\n", v->name,
                  v->args && *v->args ? " " : "", v->args ? v->args : "");
    bp_buf_printf(out, "bagpipe %s: ", v->name);
    wrap(out, v->summary, strlen(v->summary), strlen(v->name) + 10, 0);
    if (v->description) {
        bp_buf_put_u8(out, '\n');
        paragraphs(out, v->description, 0);
    }
    bp_buf_put_str(out, "\nOptions:\n");
    option_rows(out, v);
    if (v->examples) {
        bp_buf_put_str(out, "\nExamples:\n");
        for (const char *e = v->examples; *e;) {
            size_t n;

            e += strspn(e, " ");
            n = strcspn(e, "\n");
            pad(out, INDENT);
            bp_buf_put(out, e, n);
            bp_buf_put_u8(out, '\n');
            e += n + (e[n] == '\n');
        }
    }
    bp_buf_put_str(out, "\nExit status: ");
    wrap(out, exit_statuses, strlen(exit_statuses), 13, 2);
}

void bp_help_program(struct bp_buf *out) {
    size_t widest = 0;

    bp_buf_put_str(out, "Usage: bagpipe VERB [OPTION…] [ARGUMENT…]\n\n"
                        "Records ROS 2 robots and gives the recordings back. No ROS installation "
                        "is needed.\n\nVerbs:\n");
    for (size_t i = 0; i < bp_verbs_count; i++)
        if (!bp_verbs[i]->hidden)
            widest = BP_MAX(widest, strlen(bp_verbs[i]->name));
    for (size_t i = 0; i < bp_verbs_count; i++)
        if (!bp_verbs[i]->hidden)
            row(out, bp_verbs[i]->name, bp_verbs[i]->summary, INDENT + widest + 2);
    bp_buf_put_str(out, "\nOptions:\n"
                        "  -h, --help     show this page and exit\n"
                        "      --version  show the version and exit\n\n"
                        "'bagpipe VERB --help' shows the options of a verb, with examples.\n\n"
                        "Exit status: ");
    wrap(out, exit_statuses, strlen(exit_statuses), 13, 2);
}
