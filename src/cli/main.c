#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/help.h"
#include "cli/opt.h"
#include "crypt/secretmem.h"

bool bp_cli_stdout_is_tty(void) {
    return isatty(STDOUT_FILENO) == 1;
}

const char *bp_cli_color(const char *ansi) {
    /* NOLINTBEGIN(concurrency-mt-unsafe): nobody calls setenv() */
    const char *no = getenv("NO_COLOR"), *term = getenv("TERM");
    /* NOLINTEND(concurrency-mt-unsafe) */

    return bp_cli_stdout_is_tty() && !(no && *no) && term && !bp_streq(term, "dumb") ? ansi : "";
}

/* Everything written must have arrived; a reader that went away is no failure of ours. */
static int finish_output(int status) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    if (errno == EPIPE)
        return status;
    (void) fprintf(stderr, "bagpipe: cannot write the output: %s\n", bp_strerror(-errno));
    return status == BP_EXIT_DONE ? bp_exit_status(-EIO) : status;
}

static int print_page(struct bp_buf *page, FILE *to, int status) {
    if (page->failed) {
        (void) fputs("bagpipe: out of memory\n", stderr);
        return bp_exit_status(-ENOMEM);
    }

    (void) fwrite(page->p, 1, page->n, to);
    return finish_output(status);
}

static int show_program_help(FILE *to, int status) {
    BP_AUTO_BUF page = { 0 };

    bp_help_program(&page);
    return print_page(&page, to, status);
}

static int show_verb_help(const struct bp_verb *v) {
    BP_AUTO_BUF page = { 0 };

    bp_help_verb(&page, v);
    return print_page(&page, stdout, BP_EXIT_DONE);
}

static int unknown_verb(const char *name) {
    const char *guess = bp_verb_nearest(name);

    if (guess)
        (void) fprintf(stderr,
                       "bagpipe: unknown verb '%s', did you mean '%s'? see bagpipe --help\n", name,
                       guess);
    else
        (void) fprintf(stderr, "bagpipe: unknown verb '%s', see bagpipe --help\n", name);
    return BP_EXIT_INPUT;
}

/* `bagpipe help`, `bagpipe help VERB` */
static int run_help(int argc, char *argv[]) {
    const struct bp_verb *v;

    if (argc == 0 || bp_streq(argv[0], "help"))
        return show_program_help(stdout, BP_EXIT_DONE);
    v = bp_verb_find(argv[0]);
    return v ? show_verb_help(v) : unknown_verb(argv[0]);
}

static int report(const struct bp_verb *v, int code, const struct bp_error *err) {
    const char *text = err->text[0] ? err->text : bp_strerror(code);

    (void) fflush(stdout); /* what was found comes before why it ended */
    if (code == BP_EUSAGE)
        (void) fprintf(stderr, "bagpipe %s: %s%s see bagpipe %s --help\n", v->name, text,
                       text[strlen(text) - 1] == '?' ? "" : ";", v->name);
    else
        (void) fprintf(stderr, "bagpipe %s: %s\n", v->name, text);
    return bp_exit_status(code);
}

static int run_verb(const struct bp_verb *v, int argc, char *argv[]) {
    BP_AUTO_FREE void *opts = calloc(1, v->opts_size + 1);
    struct bp_error err = { 0 };
    int words = 0, r;

    if (!opts)
        return report(v, -ENOMEM, &err);

    r = bp_opt_parse(v, argc, argv, opts, &words, &err);
    if (r == BP_OPT_HELP) {
        bp_opt_done(v, opts);
        return show_verb_help(v);
    }
    if (r == 0) {
        if (v->outlives_stdout)
            (void) signal(SIGPIPE, SIG_IGN);
        argv[words] = NULL; /* argv ends in NULL, so there is room */
        r = v->run(opts, words, argv, &err);
    }
    bp_opt_done(v, opts);
    return finish_output(r < 0 ? report(v, r, &err) : r);
}

/* BAGPIPE_LOG=debug shows more than the usual notices. */
static void set_up_log(void) {
    const char *wanted = getenv("BAGPIPE_LOG"); /* NOLINT(concurrency-mt-unsafe): no setenv() */
    int level = wanted ? bp_log_level_from_text(wanted) : BP_LOG_NOTICE;

    bp_log_setup(level < 0 ? BP_LOG_NOTICE : (enum bp_log_level) level, BP_LOG_AUTO);
    if (level < 0)
        bp_log(BP_LOG_WARNING,
               "BAGPIPE_LOG is none of error, warning, notice, info, debug, ignored",
               BP_F_TEXT("value", wanted));
}

int main(int argc, char *argv[]) {
    const struct bp_verb *v;

    (void) signal(SIGPIPE, SIG_DFL); /* a parent may have left it ignored */
    set_up_log();
    /* Asking is also what links that allocator into the program: nothing else names it. */
    if (!bp_secret_openssl_protected())
        bp_log(BP_LOG_DEBUG, "a core dump may show keys that OpenSSL holds");
    if (argc < 2)
        return show_program_help(stderr, BP_EXIT_INPUT);
    if (bp_streq(argv[1], "--help") || bp_streq(argv[1], "-h"))
        return show_program_help(stdout, BP_EXIT_DONE);
    if (bp_streq(argv[1], "--version") || bp_streq(argv[1], "-V")) {
        (void) puts("bagpipe " BP_VERSION);
        return finish_output(BP_EXIT_DONE);
    }
    if (bp_streq(argv[1], "help"))
        return run_help(argc - 2, argv + 2);
    if (argv[1][0] == '-') {
        (void) fprintf(stderr, "bagpipe: unknown option '%s', see bagpipe --help\n", argv[1]);
        return BP_EXIT_INPUT;
    }

    v = bp_verb_find(argv[1]);
    return v ? run_verb(v, argc - 2, argv + 2) : unknown_verb(argv[1]);
}
