#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include "base/buf.h"
#include "cli/accounts.h"
#include "cli/agent-client.h"

enum { PASSWORD_MAX = 1024 };

struct opts {
    struct bp_cli_accounts where;
    const char *scope;
    int role;
    bool json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "role", 'r', BP_OPT_CHOICE, OPT(role), NULL, "add, role: what the user may do", "viewer",
      "viewer|operator|admin", 0, 0 },
    { "scope", 0, BP_OPT_TEXT, OPT(scope), "DEVICES",
      "add, scope: only these, of a server: ids, * is anything, group:NAME", NULL, NULL, 0, 0 },
    { "url", 0, BP_OPT_TEXT, OPT(where.url), "URL", "agent to talk to (the local one's socket)",
      NULL, NULL, 0, 0 },
    { "config", 'c', BP_OPT_TEXT, OPT(where.config), "FILE",
      "the agent's configuration (/etc/bagpipe/agent.yaml)", NULL, NULL, 0, 0 },
    { "server", 0, BP_OPT_FLAG, OPT(where.server), NULL, "of the server, not the agent", NULL, NULL,
      0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(where.set), "KEY=VALUE", "set a key of it", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the answer as JSON", NULL, NULL, 0, 0 },
};

/* ---- passwords ---- */

static volatile sig_atomic_t caught;

static void on_signal(int sig) {
    caught = sig;
}

/* A line of a terminal that does not show it; whoever interrupts us gets the terminal back as it
 * was. */
static int read_quietly(const char *prompt, char ret[static PASSWORD_MAX]) {
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
    struct sigaction was[BP_COUNT(signals)], ours = { .sa_handler = on_signal };
    struct termios before, quiet;
    bool got;

    (void) fprintf(stderr, "%s: ", prompt);
    if (tcgetattr(STDIN_FILENO, &before) < 0)
        return -errno;
    for (size_t i = 0; i < BP_COUNT(signals); i++)
        (void) sigaction(signals[i], &ours, &was[i]);
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t) ECHO;
    (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    got = !caught && fgets(ret, PASSWORD_MAX, stdin);
    (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    for (size_t i = 0; i < BP_COUNT(signals); i++)
        (void) sigaction(signals[i], &was[i], NULL);
    (void) fputc('\n', stderr);
    if (caught)
        (void) raise(caught);
    return got ? 0 : -EIO;
}

static int read_line(const char *prompt, char ret[static PASSWORD_MAX], struct bp_error *err) {
    int r;

    if (isatty(STDIN_FILENO))
        r = read_quietly(prompt, ret);
    else
        r = fgets(ret, PASSWORD_MAX, stdin) ? 0 : -EIO;
    if (r < 0)
        return bp_fail(err, BP_EUSAGE, "a password is read from stdin, and there was none");
    ret[strcspn(ret, "\r\n")] = '\0';
    return 0;
}

/* Asked twice of people, since nobody sees what is typed. */
static int ask_password(char ret[static PASSWORD_MAX], struct bp_error *err) {
    char again[PASSWORD_MAX];
    int r = read_line("Password", ret, err);

    if (r == 0 && isatty(STDIN_FILENO)) {
        r = read_line("Once more", again, err);
        if (r == 0 && !bp_streq(ret, again))
            r = bp_fail(err, BP_EUSAGE, "these were two different passwords");
        explicit_bzero(again, sizeof again);
    }
    return r;
}

/* ---- actions ---- */

static const char *text(const json_t *o, const char *key) {
    const char *s = json_string_value(json_object_get(o, key));

    return s ? s : "";
}

static void print_user(const json_t *u) {
    char created[32], used[32];

    (void) printf("%-24s  %-8s  %-8s  %-19s  %-19s  %6lld  %s\n", text(u, "name"), text(u, "role"),
                  json_is_true(json_object_get(u, "disabled")) ? "disabled" : "enabled",
                  bp_cli_time(json_object_get(u, "created_ns"), created, sizeof created),
                  bp_cli_time(json_object_get(u, "used_ns"), used, sizeof used),
                  (long long) json_integer_value(json_object_get(u, "logins")), text(u, "scope"));
}

static void print_users(const json_t *page) {
    const json_t *list = json_object_get(page, "users");

    if (json_array_size(list))
        (void) printf("%-24s  %-8s  %-8s  %-19s  %-19s  %6s  %s\n", "name", "role", "state",
                      "created", "last used", "logins", "scope");
    for (size_t i = 0; i < json_array_size(list); i++)
        print_user(json_array_get(list, i));
}

static const char *role_of(const struct opts *o) {
    static const char *const roles[] = { "viewer", "operator", "admin" };

    return roles[o->role];
}

/* The body of a request that has one. */
static int body_of(const struct opts *o, const char *what, const char *name, json_t **ret,
                   struct bp_error *err) {
    char password[PASSWORD_MAX];
    bool add = bp_streq(what, "add");
    int r = 0;

    *ret = NULL;
    if (bp_streq(what, "disable") || bp_streq(what, "enable")) {
        *ret = json_pack("{s:b}", "disabled", (int) bp_streq(what, "disable"));
    } else if (bp_streq(what, "role")) {
        *ret = json_pack("{s:s}", "role", role_of(o));
    } else if (bp_streq(what, "scope")) {
        *ret = json_pack("{s:s}", "scope", o->scope ? o->scope : "");
    } else if (add || bp_streq(what, "passwd")) {
        r = ask_password(password, err);
        if (r == 0)
            *ret = add ? json_pack("{s:s, s:s, s:s, s:s*}", "name", name, "role", role_of(o),
                                   "password", password, "scope", o->scope)
                       : json_pack("{s:s}", "password", password);
        explicit_bzero(password, sizeof password);
        if (r == 0 && !*ret)
            r = bp_fail(err, BP_EUSAGE, "a password is UTF-8 text");
    }
    return r;
}

static int user_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    static const struct {
        const char *word, *method;
        bool by_name; /* the name is in the path */
    } actions[] = {
        { "add", "POST", false },   { "passwd", "PATCH", true },  { "role", "PATCH", true },
        { "scope", "PATCH", true }, { "disable", "PATCH", true }, { "enable", "PATCH", true },
        { "rm", "DELETE", true },   { "list", "GET", false },
    };
    const struct opts *o = opts;
    const char *what = argv[0], *name = argc > 1 ? argv[1] : NULL;
    json_t *body = NULL, *answer = NULL;
    size_t i = 0;
    int r;

    while (i < BP_COUNT(actions) && !bp_streq(what, actions[i].word))
        i++;
    if (i == BP_COUNT(actions) || (bp_streq(what, "list") ? argc != 1 : argc != 2))
        return bp_fail(err, BP_EUSAGE,
                       "'%s': expected add NAME, passwd NAME, role NAME, scope NAME, disable NAME, "
                       "enable NAME, rm NAME or list",
                       what);
    r = body_of(o, what, name, &body, err);
    if (r == 0)
        r = bp_cli_account(&o->where, actions[i].method, "users", actions[i].by_name ? name : NULL,
                           body, &answer, err);
    if (r == 0 && o->json && answer)
        bp_cli_print_json(answer);
    else if (r == 0 && bp_streq(what, "list"))
        print_users(answer);
    json_decref(body);
    json_decref(answer);
    return r;
}

const struct bp_verb bp_verb_user = {
    .name = "user",
    .args = "add|passwd|role|scope|disable|enable|rm|list [NAME]",
    .summary = "users of an agent: who may log in, and as what",
    .description =
        "A viewer looks, an operator starts, stops and marks sessions too, an admin does "
        "everything. The password is asked for, or read from stdin when that is no terminal. With "
        "the first user or token everybody has to prove who they are, except on the agent's "
        "socket.\n\nWith --server they are a server's. There a viewer or operator may have a scope: devices "
        "by id, group:NAME for those of a group, several with commas. Of all others nothing is seen "
        "and nothing can be done to them.\n\nWorks on the agent's socket, or on its catalogue while it does not run.",
    .examples = "bagpipe user add alice --role admin       asks for a password\n"
                "bagpipe user role alice --role viewer     from now on she looks\n"
                "bagpipe user scope alice --server --scope 'hall-*,group:lab'\n"
                "bagpipe user disable alice                ends her logins, keeps the account\n"
                "bagpipe user passwd alice <secret.txt     as a script does it",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = 2,
    .run = user_run,
};
