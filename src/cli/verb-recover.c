#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include <jansson.h>

#include "bag/recover.h"
#include "base/io-fault.h"
#include "base/time.h"
#include "cli/keys.h"
#include "cli/verb.h"
#include "crypt/sign.h"

struct opts {
    const char *ring_dir, *definitions, *sign_key, *key;
    struct bp_sign_key *signer; /* owned */
    bool discard, dry_run, json, quiet;
};

#define OPT(field) offsetof(struct opts, field)

static const struct bp_opt options[] = {
    { "discard", 0, BP_OPT_FLAG, OPT(discard), NULL, "do not keep damaged originals in .damaged/",
      NULL, NULL, 0, 0 },
    { "dry-run", 'n', BP_OPT_FLAG, OPT(dry_run), NULL, "say what would be done, change nothing",
      NULL, NULL, 0, 0 },
    { "ring-dir", 0, BP_OPT_TEXT, OPT(ring_dir), "DIR", "folder of the recorder's ring", NULL, NULL,
      0, 0 },
    { "definitions", 0, BP_OPT_TEXT, OPT(definitions), "DIR",
      "message definitions (.msg, .idl) that complete unknown types", NULL, NULL, 0, 0 },
    { "key", 0, BP_OPT_TEXT, OPT(key), "FILE", BP_CLI_KEY_HELP, NULL, NULL, 0, 0 },
    { "sign-key", 0, BP_OPT_TEXT, OPT(sign_key), "FILE",
      "private key that signs what was recovered (of an agent: device.key)", NULL, NULL, 0, 0 },
    { "quiet", 'q', BP_OPT_FLAG, OPT(quiet), NULL, "print only what was lost", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "one JSON object per path", NULL, NULL, 0, 0 },
};

struct view {
    const struct opts *o;
    const char *path;
    bp_ns_t next_bar;
    bool shown;
};

static void on_progress(void *ctx, uint64_t done, uint64_t total) {
    struct view *v = ctx;

    if (bp_mono_ns() < v->next_bar || !total)
        return;
    v->next_bar = bp_mono_ns() + 100 * BP_MS;
    v->shown = true;
    (void) fprintf(stderr, "\r%s: %3d %%", v->path, (int) (100.0 * (double) done / (double) total));
}

static int print_json(const char *path, const struct bp_recovery *r, struct bp_error *err) {
    json_t *j = json_pack(
        "{s:s, s:b, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "path", path, "needed",
        (int) r->needed, "power_cut", (int) r->after_power_cut, "segments",
        (json_int_t) r->segments, "segments_closed", (json_int_t) r->segments_closed,
        "segments_removed", (json_int_t) r->segments_removed, "groups", (json_int_t) r->groups,
        "messages_kept", (json_int_t) r->messages_kept, "from_ring", (json_int_t) r->from_ring,
        "from_journal", (json_int_t) r->from_journal, "torn_bytes", (json_int_t) r->torn_bytes,
        "lost_messages", (json_int_t) r->lost_messages, "report", r->report ? r->report : "");
    bool failed = !j || json_dumpf(j, stdout, JSON_COMPACT) < 0;

    json_decref(j);
    (void) printf("\n");
    return failed ? bp_fail(err, -ENOMEM, "cannot print the result") : 0;
}

static void print_text(const struct opts *o, const char *path, const struct bp_recovery *r) {
    if (!r->needed && !o->quiet)
        (void) printf("%s: whole, nothing to do\n", path);
    if (!r->needed)
        return;
    if (!o->quiet)
        (void) printf("%s: %s, %" PRIu64 " messages kept, %" PRIu64 " of them from memory, %" PRIu64
                      " from the journal; %" PRIu64 " bytes torn off, %" PRIu64 " messages lost\n",
                      path, o->dry_run ? "would be recovered" : "recovered", r->messages_kept,
                      r->from_ring, r->from_journal, r->torn_bytes, r->lost_messages);
    if (r->report)
        (void) printf("%s", r->report);
}

/* @return exit status or a negative code */
static int recover_one(const struct opts *o, const char *path, struct bp_error *err) {
    struct view v = { .o = o, .path = path, .next_bar = bp_mono_ns() + BP_SEC };
    struct bp_recover_opts ro = {
        .io = bp_io_from_env(),
        .ring_dir = o->ring_dir,
        .discard = o->discard,
        .definitions = o->definitions,
        .dry_run = o->dry_run,
        .signer = o->signer,
        .progress = isatty(STDERR_FILENO) && !o->quiet && !o->json ? on_progress : NULL,
        .ctx = &v,
    };
    struct bp_recovery found = { 0 };
    int r = bp_recover(path, &ro, &found, err);

    if (v.shown)
        (void) fprintf(stderr, "\r\033[K");
    if (r < 0)
        return r;
    if (o->json)
        r = print_json(path, &found, err);
    else
        print_text(o, path, &found);
    if (r == 0 && found.lost_messages)
        r = BP_EXIT_LOSSES;
    bp_recovery_done(&found);
    return r;
}

/* A folder of sessions stands for those in it that were interrupted. */
static int recover_found(const struct opts *o, const char *dir, bool *ret_any,
                         struct bp_error *err) {
    char **v = NULL;
    size_t n = 0;
    int worst = 0, r = bp_recover_find(dir, &v, &n);

    for (size_t i = 0; i < n; i++) {
        if (r >= 0)
            r = recover_one(o, v[i], err);
        worst = BP_MAX(worst, r);
        free(v[i]);
    }
    free(v);
    *ret_any = n > 0;
    return r < 0 ? r : worst;
}

static int recover_all(const struct opts *o, int argc, char *argv[], struct bp_error *err) {
    int worst = bp_cli_add_keys(o->key, err);

    if (worst < 0)
        return worst;
    for (int i = 0; i < argc; i++) {
        bool any = false;
        int r = recover_found(o, argv[i], &any, err);

        if (!any)
            r = recover_one(o, argv[i], err);
        if (r == -ENOENT || r == BP_EFORMAT || r == -ENOTDIR) {
            (void) fprintf(stderr, "bagpipe recover: %s\n", err->text);
            r = BP_EXIT_INPUT;
        }
        if (r < 0)
            return r;
        worst = BP_MAX(worst, r);
    }
    return worst;
}

static int recover_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    struct opts *o = opts;
    int r = o->sign_key ? bp_sign_key_load(o->sign_key, &o->signer, err) : 0;

    if (r == 0)
        r = recover_all(o, argc, argv, err);
    bp_sign_key_free(o->signer);
    return r;
}

const struct bp_verb bp_verb_recover = {
    .name = "recover",
    .args = "PATH…",
    .summary = "make interrupted or damaged recordings whole",
    .description =
        "An interrupted session gets what memory and journal still hold, then its indexes, summary "
        "and metadata.yaml. Any other MCAP file, also of others, also in an interrupted rosbag2 "
        "folder, is copied without its damaged parts and gets a new index and summary.\n\n"
        "Never makes a file worse: the new one is written beside the old one and then takes its "
        "place; a damaged original is kept in .damaged/. May be killed at any moment and run "
        "again.\n\n"
        "Exit status: 0 whole now; 3 done, but messages are lost (printed); 2 nothing in it is "
        "usable.",
    .examples = "bagpipe recover run_2026_11_21   a session folder\n"
                "bagpipe recover /data            every interrupted session in a folder\n"
                "bagpipe recover x.mcap           one file, whoever wrote it",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = recover_run,
};
