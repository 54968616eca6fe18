#include "cli/help.h"

/* roff takes backslashes, leading dots and quotes for itself; a plain '-' would become a hyphen. */
static void put_roff(struct bp_buf *out, const char *text, size_t n) {
    for (size_t i = 0; i < n; i++) {
        bool line_start = i == 0 || text[i - 1] == '\n';

        if (line_start && (text[i] == '.' || text[i] == '\''))
            bp_buf_put_str(out, "\\&");
        if (text[i] == '\\')
            bp_buf_put_str(out, "\\e");
        else if (text[i] == '-')
            bp_buf_put_str(out, "\\-");
        else
            bp_buf_put_u8(out, (uint8_t) text[i]);
    }
}

static void put_text(struct bp_buf *out, const char *text) {
    put_roff(out, text, strlen(text));
}

static void put_paragraphs(struct bp_buf *out, const char *text) {
    while (*text) {
        size_t n = strcspn(text, "\n");

        if (n > 0) {
            bp_buf_put_str(out, *text == ' ' ? ".br\n" : ".PP\n");
            put_roff(out, text, n);
            bp_buf_put_u8(out, '\n');
        }
        text += n + (text[n] == '\n');
    }
}

static void put_option(struct bp_buf *out, const struct bp_opt *o) {
    bp_buf_put_str(out, ".TP\n\\fB");
    if (o->letter)
        bp_buf_printf(out, "\\-%c\\fR, \\fB", o->letter);
    bp_buf_put_str(out, "\\-\\-");
    put_text(out, o->name);
    bp_buf_put_str(out, "\\fR");
    if (bp_help_arg(o)) {
        bp_buf_put_str(out, " \\fI");
        put_text(out, bp_help_arg(o));
        bp_buf_put_str(out, "\\fR");
    }
    bp_buf_put_u8(out, '\n');
    put_text(out, o->help);
    if (o->choices && o->arg) {
        bp_buf_put_str(out, ": ");
        put_text(out, o->choices);
    }
    if (o->def && !strstr(o->help, "default")) {
        bp_buf_put_str(out, " (default ");
        put_text(out, o->def);
        bp_buf_put_u8(out, ')');
    }
    bp_buf_put_str(out, ".\n");
}

static void put_exit_status(struct bp_buf *out) {
    static const struct {
        const char *status, *text;
    } rows[] = {
        { "0", "done" },
        { "1", "verify found damage" },
        { "2", "wrong usage, or input that is not usable" },
        { "3", "done, but something was lost" },
        { "64 to 78", "failed, as in sysexits.h: 65 bad data, 66 no such input, 69 not available, "
                      "70 internal, 71 system, 73 cannot create, 74 input or output, 75 try again, "
                      "77 not permitted, 78 configuration" },
    };

    bp_buf_put_str(out, ".SH EXIT STATUS\n");
    for (size_t i = 0; i < BP_COUNT(rows); i++)
        bp_buf_printf(out, ".TP\n.B %s\n%s\n", rows[i].status, rows[i].text);
}

static void put_title(struct bp_buf *out, const char *page, const char *summary) {
    bp_buf_put_str(out, ".TH \"");
    put_text(out, page);
    bp_buf_put_str(out, "\" 1 \"\" \"bagpipe " BP_VERSION "\" \"bagpipe manual\"\n.SH NAME\n");
    put_text(out, page);
    bp_buf_put_str(out, " \\- ");
    put_text(out, summary);
    bp_buf_put_u8(out, '\n');
}

static void put_examples(struct bp_buf *out, const char *examples) {
    bp_buf_put_str(out, ".SH EXAMPLES\n.nf\n");
    while (*examples) {
        size_t n;

        examples += strspn(examples, " ");
        n = strcspn(examples, "\n");
        put_roff(out, examples, n);
        bp_buf_put_u8(out, '\n');
        examples += n + (examples[n] == '\n');
    }
    bp_buf_put_str(out, ".fi\n");
}

static void verb_page(struct bp_buf *out, const struct bp_verb *v) {
    BP_AUTO_BUF page = { 0 };

    bp_buf_printf(&page, "bagpipe-%s", v->name);
    if (page.failed) {
        out->failed = true;
        return;
    }

    put_title(out, bp_buf_cstr(&page), v->summary);
    bp_buf_put_str(out, ".SH SYNOPSIS\n.B bagpipe ");
    put_text(out, v->name);
    bp_buf_put_str(out, "\n[\\fIOPTION\\fR…]\n");
    if (v->args) {
        put_text(out, v->args);
        bp_buf_put_u8(out, '\n');
    }
    bp_buf_put_str(out, ".SH DESCRIPTION\n");
    put_paragraphs(out, v->description ? v->description : v->summary);
    bp_buf_put_str(out, ".SH OPTIONS\n");
    for (size_t i = 0; i < v->nopts; i++)
        put_option(out, &v->opts[i]);
    bp_buf_put_str(out, ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nshow a short page and exit.\n");
    if (v->examples)
        put_examples(out, v->examples);
    put_exit_status(out);
    bp_buf_put_str(out, ".SH SEE ALSO\n.BR bagpipe (1)\n");
}

static void program_page(struct bp_buf *out) {
    put_title(out, "bagpipe", "record ROS 2 robots and give the recordings back");
    bp_buf_put_str(out, ".SH SYNOPSIS\n.B bagpipe\n\\fIVERB\\fR [\\fIOPTION\\fR…] "
                        "[\\fIARGUMENT\\fR…]\n.SH VERBS\n");
    for (size_t i = 0; i < bp_verbs_count; i++) {
        if (bp_verbs[i]->hidden)
            continue;
        bp_buf_put_str(out, ".TP\n.BR bagpipe\\-");
        put_text(out, bp_verbs[i]->name);
        bp_buf_put_str(out, " (1)\n");
        put_text(out, bp_verbs[i]->summary);
        bp_buf_put_u8(out, '\n');
    }
    put_exit_status(out);
}

void bp_help_man(struct bp_buf *out, const struct bp_verb *v) {
    if (v)
        verb_page(out, v);
    else
        program_page(out);
}
