#include <errno.h>
#include <langinfo.h>
#include <locale.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "cli/agent-client.h"
#include "cli/signals.h"
#include "cli/top-draw.h"
#include "cli/top-poll.h"
#include "cli/top-screen.h"
#include "cli/verb.h"

struct opts {
    const char *url;
    bp_ns_t interval;
    bool once, json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "url", 0, BP_OPT_TEXT, OPT(url), "URL", "agent to show (the local one's socket)", NULL, NULL,
      0, 0 },
    { "interval", 0, BP_OPT_DURATION, OPT(interval), "TIME", "between two looks", "1s", NULL, 0.1,
      3600 },
    { "once", 0, BP_OPT_FLAG, OPT(once), NULL, "print a plain report and end", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "with --once: print it as JSON", NULL, NULL, 0, 0 },
};

enum asking { ASK_NOTHING, ASK_MARK, ASK_FILTER, ASK_STOP };

static const bp_ns_t note_time = 5 * BP_SEC;

struct top {
    struct bp_top_poll *poll;
    struct bp_top_model model;
    struct bp_top_screen screen;
    struct bp_top_view view;
    enum asking asking;
    char target[32]; /* id of the session that is asked about */
    char typed[200]; /* UTF-8 */
    char note[256], question[200];
    bp_ns_t note_until; /* mono; 0: as long as the request takes */
    int page;           /* topics that fit */
    bool quit;
};

/* ---- plain ---- */

static int update(struct bp_top_model *m, struct bp_top_news *n) {
    return bp_top_update(m, &(struct bp_top_docs){ .status = n->doc[BP_TOP_DOC_STATUS],
                                                   .topics = n->doc[BP_TOP_DOC_TOPICS],
                                                   .recording = n->doc[BP_TOP_DOC_RECORDING],
                                                   .paused = n->doc[BP_TOP_DOC_PAUSED],
                                                   .alerts = n->doc[BP_TOP_DOC_ALERTS],
                                                   .logs = n->doc[BP_TOP_DOC_LOGS],
                                                   .host = n->doc[BP_TOP_DOC_HOST],
                                                   .mono = n->mono });
}

static void print_documents(const char *url, const struct bp_top_news *n) {
    static const char *const names[BP_TOP_DOCS] = { "status", "topics", "recording", "paused",
                                                    "alerts", "logs",   "host" };
    json_t *o = json_pack("{s:s}", "url", url);

    for (size_t i = 0; o && i < BP_TOP_DOCS; i++)
        (void) json_object_set(o, names[i], n->doc[i] ? n->doc[i] : json_null());
    (void) json_object_set_new(o, "sync", json_null());
    bp_cli_print_json(o);
    json_decref(o);
}

static int report(const struct opts *o, const char *shown_url, struct bp_error *err) {
    struct bp_top_news n = { 0 };
    struct bp_top_model m = { 0 };
    BP_AUTO_BUF text = { 0 };
    int r = bp_top_ask_once(o->url, &n, err);

    if (r == 0 && o->json) {
        print_documents(shown_url, &n);
    } else if (r == 0) {
        r = update(&m, &n);
        bp_top_report(&m, &(struct bp_top_view){ .url = shown_url, .wall_ns = bp_wall_ns() },
                      &text);
        if (r < 0 || !bp_buf_cstr(&text))
            r = bp_fail(err, -ENOMEM, "out of memory");
        else
            (void) fputs(bp_buf_cstr(&text), stdout);
    }
    bp_top_news_done(&n);
    bp_top_model_done(&m);
    return r;
}

/* ---- keys ---- */

static void say(struct top *t, bool bad, bp_ns_t how_long, const char *text) {
    bp_top_clean(t->note, sizeof t->note, text);
    t->view.bad = bad;
    t->note_until = how_long ? bp_mono_ns() + how_long : 0;
    t->view.note = t->note;
}

static void act(struct top *t, const char *id, const char *action, json_t *body, const char *doing,
                const char *done) {
    BP_AUTO_BUF path = { 0 };

    bp_buf_put_str(&path, "/api/v1/");
    if (id) {
        bp_buf_put_str(&path, "sessions/");
        bp_client_put_escaped(&path, id);
        bp_buf_put_str(&path, "/");
    }
    bp_buf_put_str(&path, action);
    if (!bp_buf_cstr(&path))
        json_decref(body);
    else if (bp_top_poll_do(t->poll, bp_buf_cstr(&path), body, done))
        say(t, false, 0, doing);
    else
        say(t, true, note_time, "the agent has not answered the key before yet");
}

static void ask(struct top *t, enum asking what) {
    const struct bp_top_session *s = bp_top_chosen(&t->model);

    if (what != ASK_FILTER && !s) {
        say(t, true, note_time, "nothing is recorded");
        return;
    }
    if (s)
        memcpy(t->target, s->id, sizeof t->target);
    if (what == ASK_STOP)
        (void) snprintf(t->question, sizeof t->question, "stop '%.100s'? y/n", s->name);
    else
        (void) snprintf(t->question, sizeof t->question, "%s",
                        what == ASK_MARK ? "text of the mark:" : "filter:");
    (void) snprintf(t->typed, sizeof t->typed, "%s", what == ASK_FILTER ? t->model.filter : "");
    t->asking = what;
    t->view.prompt = t->question;
    t->view.typed = t->typed;
    t->view.note = NULL;
}

static void answered(struct top *t, bool yes) {
    enum asking what = t->asking;

    t->asking = ASK_NOTHING;
    t->view.prompt = NULL;
    if (what == ASK_FILTER && !yes)
        bp_top_filter(&t->model, "");
    else if (what == ASK_MARK && yes && *t->typed)
        act(t, t->target, "marks", json_pack("{s:s}", "text", t->typed), "marking...", "marked");
    else if (what == ASK_STOP && yes)
        act(t, t->target, "stop", NULL, "stopping...", "stopped");
    else if (what != ASK_FILTER)
        say(t, false, note_time, "nothing was done");
}

static void type_key(struct top *t, int key) {
    size_t n = strlen(t->typed);
    BP_AUTO_BUF typed = { 0 };
    char clean[16];

    if (key == BP_TOP_KEY_BACK) {
        while (n > 0 && (t->typed[--n] & 0xc0) == 0x80)
            ;
        t->typed[n] = 0;
    } else if (key == 'U' - '@') {
        t->typed[0] = 0;
    } else if (key >= 0x20 && key < BP_TOP_KEY_UP) {
        bp_top_put_rune(&typed, (uint32_t) key);
        if (!bp_buf_cstr(&typed) || n + typed.n >= sizeof t->typed)
            return;
        bp_top_clean(clean, sizeof clean, bp_buf_cstr(&typed));
        if (bp_streq(clean, bp_buf_cstr(&typed))) /* nothing that cannot be shown */
            memcpy(t->typed + n, clean, typed.n + 1);
    }
    if (t->asking == ASK_FILTER)
        bp_top_filter(&t->model, t->typed);
}

static void answer_key(struct top *t, int key) {
    if (key == 27 || key == 'C' - '@' || key == 'G' - '@')
        answered(t, false);
    else if (t->asking == ASK_STOP)
        answered(t, key == 'y' || key == 'Y');
    else if (key == '\r' || key == '\n')
        answered(t, true);
    else
        type_key(t, key);
}

static void pause_or_resume(struct top *t) {
    const struct bp_top_session *s = bp_top_chosen(&t->model);

    if (!s)
        say(t, true, note_time, "nothing is recorded");
    else if (strcmp(s->status, "paused") == 0)
        act(t, s->id, "resume", NULL, "resuming...", "resumed");
    else
        act(t, s->id, "pause", NULL, "pausing...", "paused");
}

static void scroll(struct top *t, long by) {
    size_t top = t->model.top;

    if (by < 0)
        t->model.top = top > (size_t) -by ? top - (size_t) -by : 0;
    else
        t->model.top = BP_MIN(top + (size_t) by, t->model.nshown); /* drawing brings it in range */
}

static bool scroll_key(struct top *t, int key) {
    switch (key) {
    case BP_TOP_KEY_UP:
        scroll(t, -1);
        return true;
    case BP_TOP_KEY_DOWN:
        scroll(t, 1);
        return true;
    case BP_TOP_KEY_PAGE_UP:
        scroll(t, -t->page);
        return true;
    case BP_TOP_KEY_PAGE_DOWN:
        scroll(t, t->page);
        return true;
    case BP_TOP_KEY_HOME:
        t->model.top = 0;
        return true;
    case BP_TOP_KEY_END:
        t->model.top = t->model.nshown;
        return true;
    default:
        return false;
    }
}

static bool sort_key(struct top *t, int key) {
    static const char keys[] = "nrbl";
    const char *at = key > 0 && key < 128 ? strchr(keys, key) : NULL;
    int by = (int) t->model.sort;

    if (at)
        by = (int) (at - keys);
    else if (key == BP_TOP_KEY_LEFT)
        by = (by + BP_TOP_SORTS - 1) % BP_TOP_SORTS;
    else if (key == BP_TOP_KEY_RIGHT)
        by = (by + 1) % BP_TOP_SORTS;
    else
        return false;
    bp_top_sort(&t->model, (enum bp_top_sort) by);
    return true;
}

static void plain_key(struct top *t, int key) {
    if (key == 'q' || key == 'C' - '@')
        t->quit = true;
    else if (key == 'h' || key == '?' || (t->view.help && key == 27))
        t->view.help = !t->view.help;
    else if (key == 's')
        act(t, NULL, "sessions", json_object(), "starting...", "started");
    else if (key == 'S')
        act(t, NULL, "snapshot", json_pack("{s:s}", "reason", "bagpipe top"),
            "taking a snapshot...", "snapshot");
    else if (key == 'x')
        ask(t, ASK_STOP);
    else if (key == 'm')
        ask(t, ASK_MARK);
    else if (key == '/')
        ask(t, ASK_FILTER);
    else if (key == 'p')
        pause_or_resume(t);
    else if (key == '\t')
        bp_top_choose_next(&t->model);
    else if (key == 'L' - '@')
        bp_top_term_spoilt();
    else if (key == 'Z' - '@')
        bp_top_term_suspend();
    else if (!scroll_key(t, key))
        (void) sort_key(t, key);
}

/* ---- the loop ---- */

static void take_news(struct top *t) {
    struct bp_top_news n = { 0 };
    char reply[256];
    bool bad;

    if (bp_top_poll_take(t->poll, &n)) {
        if (n.err.code)
            bp_top_gone(&t->model, n.err.text);
        else if (update(&t->model, &n) < 0)
            say(t, true, note_time, "out of memory");
    }
    bp_top_news_done(&n);
    if (bp_top_poll_reply(t->poll, reply, sizeof reply, &bad))
        say(t, bad, note_time, reply);
}

static int draw(struct top *t) {
    int width, height, r;

    if (t->view.note && t->note_until && bp_mono_ns() > t->note_until)
        t->view.note = NULL;
    t->view.wall_ns = bp_wall_ns();
    bp_top_term_size(&width, &height);
    r = bp_top_draw(&t->model, &t->view, width, height, &t->screen, &t->page);
    if (r == 0)
        bp_top_term_show(&t->screen);
    return r;
}

/* A full terminal buffer of keys must not keep the picture from changing. */
static void take_keys(struct top *t) {
    int key;

    for (int i = 0; i < 256 && !t->quit && (key = bp_top_term_key()) != BP_TOP_KEY_NONE; i++) {
        if (t->asking)
            answer_key(t, key);
        else
            plain_key(t, key);
    }
}

static int loop(struct top *t, int signals) {
    struct pollfd fds[] = { { .fd = STDIN_FILENO, .events = POLLIN },
                            { .fd = signals, .events = POLLIN },
                            { .fd = bp_top_poll_fd(t->poll), .events = POLLIN } };
    int r = 0;

    while (r == 0 && !t->quit) {
        r = draw(t);
        /* A change of size interrupts it. Times go on while an agent is gone. */
        if (poll(fds, BP_COUNT(fds), 1000) < 0)
            fds[0].revents = fds[1].revents = fds[2].revents = 0;
        take_keys(t);
        if (fds[1].revents || fds[0].revents & (POLLHUP | POLLERR | POLLNVAL))
            t->quit = true; /* asked to end, or the terminal is gone */
        if (fds[2].revents)
            take_news(t);
    }
    return r;
}

static int show(const struct opts *o, const char *shown_url, bool utf8, struct bp_error *err) {
    BP_AUTO_FD int signals = bp_cli_signals(err);
    struct top t = { .view = { .url = shown_url, .utf8 = utf8 } };
    int r = signals < 0 ? signals : bp_top_poll_open(o->url, o->interval, &t.poll, err);

    if (r < 0)
        return r;
    r = bp_top_term_open(err);
    if (r == 0) {
        r = loop(&t, signals);
        bp_top_term_close();
        if (r < 0)
            (void) bp_fail(err, r, "out of memory");
    }
    if (!bp_top_poll_close(t.poll)) {
        /* An agent hangs. The terminal is as it was; nobody shall wait for a time-out, nor may
         * exit() tear down libraries under a thread that uses them. */
        if (r < 0)
            (void) fprintf(stderr, "bagpipe: %s\n", err->text);
        _exit(r < 0 ? bp_exit_status(r) : BP_EXIT_DONE);
    }
    bp_top_model_done(&t.model);
    bp_top_screen_done(&t.screen);
    return r;
}

static bool is_for_screens(void) {
    const char *term = getenv("TERM"); /* NOLINT(concurrency-mt-unsafe): no setenv() */

    return bp_cli_stdout_is_tty() && isatty(STDIN_FILENO) == 1 && term && *term &&
           !bp_streq(term, "dumb");
}

static int top_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    struct opts *o = opts;
    const char *shown;
    locale_t chars;
    bool utf8;
    int r;

    if (argc > 0 && o->url)
        return bp_fail(err, BP_EUSAGE, "two addresses: '%s' and '%s'", argv[0], o->url);
    if (o->json && !o->once)
        return bp_fail(err, BP_EUSAGE, "--json goes with --once");
    if (argc > 0)
        o->url = argv[0];
    shown = o->url ? o->url : "local agent";
    if (o->once || !is_for_screens())
        return report(o, shown, err);

    /* Only characters, and only this thread's: numbers stay as they are. */
    chars = newlocale(LC_CTYPE_MASK, "", (locale_t) 0);
    if (chars)
        (void) uselocale(chars);
    utf8 = chars && bp_streq(nl_langinfo_l(CODESET, chars), "UTF-8");
    r = show(o, shown, utf8, err);
    if (chars) {
        (void) uselocale(LC_GLOBAL_LOCALE);
        freelocale(chars);
    }
    return r;
}

const struct bp_verb bp_verb_top = {
    .name = "top",
    .args = "[URL]",
    .summary = "watch and steer an agent on a terminal",
    .description =
        "Shows what an agent does, once a second: sessions, robots, rates, ring, disk, losses, "
        "alerts and its log. Keys: s starts a session, x stops it, p pauses and resumes, m marks, S "
        "takes a snapshot, Tab chooses among sessions; n, r, b, l sort topics by name, rate, bytes "
        "and loss, / filters them; h shows all keys, q ends. Needs 40 by 10 characters; without a "
        "terminal, or with TERM=dumb, it prints a report once. NO_COLOR=1 does without colours; "
        "$BAGPIPE_TOKEN is sent to agents that want one.",
    .examples = "bagpipe top                            the agent on this machine\n"
                "bagpipe top http://robot:9090          another one\n"
                "bagpipe top --once                     a report, for logs and mails\n"
                "bagpipe top --once --json              for programs",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 0,
    .max_args = 1,
    .run = top_run,
};
