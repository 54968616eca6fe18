#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <termios.h>
#include <unistd.h>

#include <jansson.h>

#include "agent/vault.h"
#include "base/time.h"
#include "cli/verb.h"

struct opts {
    const char *config;
    struct bp_opt_list set;
    bool json;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "config", 'c', BP_OPT_TEXT, OPT(config), "FILE",
      "configuration of the agent (" BP_AGENT_CONFIG_FILE " when it is there)", NULL, NULL, 0, 0 },
    { "set", 0, BP_OPT_LIST, OPT(set), "KEY=VALUE", "set a key of it, after file and environment",
      NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print the list as JSON", NULL, NULL, 0, 0 },
};

/* ---- set ---- */

/* One line from a terminal, which is not shown. Ctrl-C is a character meanwhile: else it would
 * leave a terminal that shows nothing. */
static int read_typed(const char *name, const struct termios *saved, struct bp_secret *ret) {
    enum { LINE = 4096, CTRL_C = 3 };
    BP_AUTO_SECRET line = { 0 };
    struct termios quiet = *saved;
    ssize_t n;
    int r = bp_secret_alloc(LINE, &line);

    if (r < 0)
        return r;
    quiet.c_lflag = (quiet.c_lflag & ~(tcflag_t) (ECHO | ISIG)) | ECHONL;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet) < 0)
        return -errno;
    (void) fprintf(stderr, "value of %s (not shown): ", name);
    n = read(STDIN_FILENO, line.p, LINE);
    r = n < 0 ? -errno : 0;
    (void) tcsetattr(STDIN_FILENO, TCSAFLUSH, saved);
    if (n < 0)
        return r;
    if (memchr(line.p, CTRL_C, (size_t) n))
        return -ECANCELED;
    if (n > 0 && line.p[n - 1] == '\n')
        n--;
    return bp_secret_copy(line.p, (size_t) n, ret);
}

/* From a pipe or file to its end, from a terminal one line. */
static int read_value(const char *name, struct bp_secret *ret, struct bp_error *err) {
    struct termios saved;
    int r = tcgetattr(STDIN_FILENO, &saved) == 0
                ? read_typed(name, &saved, ret)
                : bp_secret_read(STDIN_FILENO, BP_VAULT_VALUE_MAX, true, ret);

    return r < 0 ? bp_fail(err, r == -EFBIG ? BP_EUSAGE : r, "cannot read the value: %s",
                           bp_strerror(r))
                 : 0;
}

static int set(struct bp_vault *v, const char *name, struct bp_error *err) {
    BP_AUTO_SECRET value = { 0 };
    int r = read_value(name, &value, err);

    if (r == 0)
        r = bp_vault_set(v, name, &value, err);
    if (r == 0)
        (void) fprintf(stderr, "'%s' is in the vault, locked with the key from %s\n", name,
                       bp_vault_key_source(v));
    return r;
}

/* ---- list ---- */

static void print_name(void *ctx, const char *name, int64_t set_ns) {
    char at[BP_TIME_TEXT];

    (void) ctx;
    (void) printf("%-32s set %s\n", name, bp_time_format(set_ns, at));
}

static void add_name(void *ctx, const char *name, int64_t set_ns) {
    char ns[24];

    (void) snprintf(ns, sizeof ns, "%" PRId64, set_ns);
    (void) json_array_append_new(ctx, json_pack("{s:s, s:s}", "name", name, "set_ns", ns));
}

static int list(struct bp_vault *v, bool json, struct bp_error *err) {
    json_t *names = json ? json_array() : NULL;
    int r = bp_vault_list(v, json ? add_name : print_name, names, err);

    if (r == 0 && json) {
        (void) json_dumpf(names, stdout, JSON_INDENT(2));
        (void) printf("\n");
    }
    json_decref(names);
    return r;
}

/* ---- */

static int act(const struct opts *o, struct bp_vault *v, int argc, char *argv[],
               struct bp_error *err) {
    if (bp_streq(argv[0], "list") && argc == 1)
        return list(v, o->json, err);
    if (bp_streq(argv[0], "set") && argc == 2)
        return set(v, argv[1], err);
    if (bp_streq(argv[0], "rm") && argc == 2)
        return bp_vault_remove(v, argv[1], err);
    if (bp_streq(argv[0], "set") && argc > 2) /* which is not repeated here */
        return bp_fail(err, BP_EUSAGE,
                       "a value on the command line can be seen by everybody on this machine (ps) "
                       "and stays in the shell's history: it is read from standard input");
    return bp_fail(err, BP_EUSAGE, "expected set NAME, list, or rm NAME");
}

static int secret_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config c = { 0 };
    BP_CLEANUP(bp_vault_closep) struct bp_vault *v = NULL;
    char dir[1024];
    int r = bp_agent_config_load(o->config, o->set.v, o->set.n, &c, err);

    if (r == 0)
        r = bp_agent_data_dir(&c, dir, sizeof dir, err);
    if (r == 0)
        r = bp_agent_vault_open(&c, dir, &v, err);
    return r < 0 ? r : act(o, v, argc, argv, err);
}

const struct bp_verb bp_verb_secret = {
    .name = "secret",
    .args = "set NAME|list|rm NAME",
    .summary = "credentials of the agent, in an encrypted file",
    .description =
        "The vault holds what the agent needs to get in elsewhere: keys of object stores, tokens, "
        "webhooks. The configuration names them as secret:NAME. A value is read from standard "
        "input, or from the terminal without showing it, and is never shown again. A running agent "
        "sees a change at once.\n\n"
        "The vault's key, 32 bytes as hex or base64, or a passphrase, comes from "
        "$BAGPIPE_VAULT_KEY, the file crypto.vault_key names, the systemd credential "
        "bagpipe.vault_key, or the kernel's keyring (`keyctl padd user bagpipe:vault @u`). Without "
        "one it is made and kept beside the vault as vault.key, for its owner alone: that keeps "
        "the secrets out of backups of the vault, not from whoever has the disk.\n\n"
        "Use the agent's account, data folder and key.",
    .examples = "bagpipe secret set s3_key < key.txt      from a file\n"
                "bagpipe secret set webhook_token         typed, not shown\n"
                "bagpipe secret list                      names and when they were set\n"
                "bagpipe secret rm s3_key",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = secret_run,
};
