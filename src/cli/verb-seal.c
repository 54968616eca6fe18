#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include <jansson.h>

#include "bag/sealed-file.h"
#include "base/io-fault.h"
#include "cli/keys.h"
#include "cli/verb.h"

struct opts {
    struct bp_opt_list to;
    const char *key, *output;
    bool remove, json;
};

#define OPT(field) offsetof(struct opts, field)

static const struct bp_opt seal_options[] = {
    { "to", 0, BP_OPT_LIST, OPT(to), "KEY…", "public key, or file with keys, that shall open it",
      NULL, NULL, 0, 0 },
    { "key", 0, BP_OPT_TEXT, OPT(key), "FILE", "secret key file that shall open it", NULL, NULL, 0,
      0 },
    { "output", 'o', BP_OPT_TEXT, OPT(output), "FILE", "where to; PATH.sealed otherwise", NULL,
      NULL, 0, 0 },
    { "remove", 0, BP_OPT_FLAG, OPT(remove), NULL, "remove the plain file afterwards", NULL, NULL,
      0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "one JSON object per file", NULL, NULL, 0, 0 },
};

static const struct bp_opt unseal_options[] = {
    { "key", 0, BP_OPT_TEXT, OPT(key), "FILE", BP_CLI_KEY_HELP, NULL, NULL, 0, 0 },
    { "output", 'o', BP_OPT_TEXT, OPT(output), "FILE", "where to; PATH without .sealed otherwise",
      NULL, NULL, 0, 0 },
    { "remove", 0, BP_OPT_FLAG, OPT(remove), NULL, "remove the sealed file afterwards", NULL, NULL,
      0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "one JSON object per file", NULL, NULL, 0, 0 },
};

static int told(const struct opts *o, const char *from, const char *to) {
    json_t *j;

    if (!o->json) {
        (void) printf("%s\n", to);
        return 0;
    }
    j = json_pack("{s:s, s:s}", "from", from, "to", to);
    (void) json_dumpf(j, stdout, JSON_COMPACT);
    json_decref(j);
    (void) printf("\n");
    return 0;
}

static int one_file(const struct opts *o, bool seal, const char *from, const char *to,
                    struct bp_error *err) {
    struct bp_cli_bar bar = { .what = from };
    struct bp_seal_opts so = { .io = bp_io_from_env(),
                               .keys = bp_keyring_process(),
                               .progress = bp_cli_bar_step,
                               .ctx = &bar };
    int r = (seal ? bp_seal_file : bp_unseal_file)(&so, from, to, err);

    bp_cli_bar_end(&bar);
    if (r == 0 && o->remove && unlink(from) < 0)
        r = bp_fail(err, -errno, "cannot remove '%s': %s", from, bp_strerror(-errno));
    if (r < 0)
        return r;
    return told(o, from, to);
}

static int one_session(const struct opts *o, bool seal, const char *dir, struct bp_error *err) {
    struct bp_cli_bar bar = { .what = dir };
    struct bp_seal_opts so = { .io = bp_io_from_env(),
                               .keys = bp_keyring_process(),
                               .progress = bp_cli_bar_step,
                               .ctx = &bar };
    int r;

    if (o->output)
        return bp_fail(err, BP_EUSAGE, "--output is for files; a session stays where it is");
    r = bp_seal_session(&so, seal, dir, err);
    bp_cli_bar_end(&bar);
    return r < 0 ? r : told(o, dir, dir);
}

static bool is_folder(const char *path) {
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int run(const struct opts *o, bool seal, int argc, char *argv[], struct bp_error *err) {
    size_t k = strlen(BP_SEALED_SUFFIX);
    int r = bp_cli_add_keys(o->key, err);

    if (o->output && argc > 1)
        return bp_fail(err, BP_EUSAGE, "--output is for one file");
    for (size_t i = 0; i < o->to.n && r == 0; i++)
        r = bp_keyring_add_recipient(bp_keyring_process(), o->to.v[i], err);
    for (int i = 0; i < argc && r == 0; i++) {
        size_t n = strlen(argv[i]);
        char to[4096];

        if (is_folder(argv[i])) {
            r = one_session(o, seal, argv[i], err);
            continue;
        }
        if (o->output)
            (void) snprintf(to, sizeof to, "%s", o->output);
        else if (seal)
            (void) snprintf(to, sizeof to, "%s%s", argv[i], BP_SEALED_SUFFIX);
        else if (bp_sealed_name(argv[i]))
            (void) snprintf(to, sizeof to, "%.*s", (int) (n - k), argv[i]);
        else
            return bp_fail(err, BP_EUSAGE, "'%s' does not end in %s: say where to with --output",
                           argv[i], BP_SEALED_SUFFIX);
        r = one_file(o, seal, argv[i], to, err);
    }
    return r;
}

static int seal_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    return run(opts, true, argc, argv, err);
}

static int unseal_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    return run(opts, false, argc, argv, err);
}

const struct bp_verb bp_verb_seal = {
    .name = "seal",
    .args = "FILE|SESSION…",
    .summary = "encrypt recordings so that only a key opens them",
    .description =
        "Writes FILE.sealed: AES-256-GCM, for one or several keys. The plain file stays, unless "
        "--remove; those of a session folder are replaced, and its metadata.yaml and manifest.json "
        "name the sealed ones. Keys come from files, from RECORDER_ENCRYPTION_KEY or from the systemd "
        "credential recorder-encryption-key; only public ones may be words of the command line.",
    .examples = "bagpipe seal run_0.mcap --to fleet.pub      whoever has fleet.key reads it\n"
                "bagpipe seal run_0.mcap --to a.pub b.pub    either key opens it",
    .opts = seal_options,
    .nopts = BP_COUNT(seal_options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = seal_run,
};

const struct bp_verb bp_verb_unseal = {
    .name = "unseal",
    .args = "FILE|SESSION…",
    .summary = "decrypt sealed recordings",
    .description =
        "Writes FILE without .sealed, byte for byte what was sealed; nothing when a single byte "
        "was changed. Those of a session folder are replaced. Other verbs read sealed recordings as they are, with --key.",
    .examples = "bagpipe unseal run_0.mcap.sealed --key fleet.key",
    .opts = unseal_options,
    .nopts = BP_COUNT(unseal_options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = unseal_run,
};
