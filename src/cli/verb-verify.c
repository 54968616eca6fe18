#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include <jansson.h>

#include "bag/verify.h"
#include "base/buf.h"
#include "base/time.h"
#include "base/units.h"
#include "cli/keys.h"
#include "cli/verb.h"
#include "crypt/sign.h"

struct opts {
    bool json, quiet;
    int64_t threads, max;
    const char *key;
    char *signed_by;
};

#define OPT(f) offsetof(struct opts, f)

static const struct bp_opt options[] = {
    { "quiet", 'q', BP_OPT_FLAG, OPT(quiet), NULL, "print nothing; the exit status tells", NULL,
      NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, OPT(json), NULL, "print as JSON", NULL, NULL, 0, 0 },
    { "max-findings", 0, BP_OPT_INT, OPT(max), "N",
      "print at most N findings a file, count the rest", "20", NULL, 0, 1e9 },
    { "threads", 0, BP_OPT_INT, OPT(threads), "N", "check on N threads; 0 = one per core", "0",
      NULL, 0, 64 },
    { "key", 0, BP_OPT_TEXT, OPT(key), "FILE", BP_CLI_KEY_HELP, NULL, NULL, 0, 0 },
    { "signed-by", 0, BP_OPT_TEXT, OPT(signed_by), "KEY",
      "the public key that must have signed: a file, or hex or base64", NULL, NULL, 0, 0 },
};

struct view {
    const struct opts *o;
    json_t *findings; /* owned; with --json */
    char last[4096];  /* path of the last finding */
    int64_t shown, held;
    bool bar; /* a progress bar stands on the terminal's last line */
    bool tty;
    bp_ns_t next_bar, began;
};

static void clear_bar(struct view *v) {
    if (v->bar)
        (void) fputs("\r\033[K", stderr);
    v->bar = false;
}

static void flush_held(struct view *v) {
    if (v->held > 0)
        (void) printf("%s: … and %" PRId64 " more; --max-findings shows them\n", v->last, v->held);
    v->held = v->shown = 0;
}

static const char *level_name(const struct bp_finding *f) {
    static const char *const names[] = { "note", "damage", "unusable" };

    return f->proof ? "proof" : names[f->level];
}

static void finding_json(struct view *v, const struct bp_finding *f) {
    json_t *j =
        json_pack("{s:s, s:s, s:s}", "level", level_name(f), "path", f->path, "text", f->text);

    if (j && f->at_byte)
        (void) json_object_set_new(j, "byte", json_integer((json_int_t) f->offset));
    if (j && f->remedy)
        (void) json_object_set_new(j, "remedy", json_string(f->remedy));
    (void) json_array_append_new(v->findings, j);
}

static void on_finding(void *ctx, const struct bp_finding *f) {
    static const char *const colors[] = { "", "\033[33m", "\033[31m" };
    struct view *v = ctx;

    if (v->o->json)
        finding_json(v, f);
    if (v->o->json || v->o->quiet)
        return;
    clear_bar(v);
    if (!bp_streq(v->last, f->path)) {
        flush_held(v);
        (void) snprintf(v->last, sizeof v->last, "%s", f->path);
    }
    if (v->shown++ >= v->o->max) {
        v->held++;
        return;
    }
    (void) printf("%s", f->path);
    if (f->at_byte)
        (void) printf(", byte %" PRIu64, f->offset);
    (void) printf(": %s%s:%s %s", bp_cli_color(colors[f->level]), level_name(f),
                  bp_cli_color("\033[0m"), f->text);
    (void) printf(f->remedy ? "; %s\n" : "\n", f->remedy);
}

static int on_progress(void *ctx, uint64_t done, uint64_t total) {
    enum { WIDTH = 30 };
    char a[BP_UNITS_TEXT], b[BP_UNITS_TEXT];
    struct view *v = ctx;
    bp_ns_t now = bp_mono_ns();
    int full;

    if (!v->tty || now < v->next_bar || total == 0)
        return 0;
    done = BP_MIN(done, total);
    full = (int) (done * WIDTH / total);
    v->next_bar = now + 100 * BP_MS;
    v->bar = true;
    (void) fprintf(stderr, "\r\033[K[%.*s%*s] %3d %%  %s of %s", full,
                   "##############################", WIDTH - full, "", (int) (done * 100 / total),
                   bp_size_format(done, a), bp_size_format(total, b));
    return 0;
}

static const char *const proof_names[] = { "none", "signed", "unsigned", "other key", "broken" };

static void print_proof(const struct bp_verify_result *r) {
    static const char *const texts[] = {
        [BP_PROOF_NONE] = "",
        [BP_PROOF_SIGNED] = "signed by ",
        [BP_PROOF_UNSIGNED] = "unsigned",
        [BP_PROOF_OTHER] = "signed by another key: ",
        [BP_PROOF_BROKEN] = "not as it was signed",
    };
    bool key = r->proof == BP_PROOF_SIGNED || r->proof == BP_PROOF_OTHER;

    if (r->proof != BP_PROOF_NONE)
        (void) printf("%s%s\n", texts[r->proof], !key ? "" : *r->key ? r->key : "several keys");
}

static void print_result(struct view *v, const struct bp_verify_result *r) {
    static const char *const verdicts[] = { "whole", "damaged, what is intact can be saved",
                                            "not usable" };
    static const char *const colors[] = { "\033[32m", "\033[33m", "\033[31m" };
    char size[BP_UNITS_TEXT], took[BP_UNITS_TEXT];

    flush_held(v);
    (void) printf("%" PRIu64 " file%s, %s, %" PRIu64 " messages", r->files,
                  r->files == 1 ? "" : "s", bp_size_format(r->bytes, size), r->messages);
    if (r->repeated)
        (void) printf(" (%" PRIu64 " repeated)", r->repeated);
    (void) printf(", %" PRIu64 " chunks", r->chunks);
    if (r->groups)
        (void) printf(", %" PRIu64 " commits", r->groups);
    (void) printf(", in %s\n", bp_duration_format(bp_mono_ns() - v->began, took));
    if (r->unchecked_chunks)
        (void) printf("%" PRIu64 " of the chunks carry no CRC: their writer stored none\n",
                      r->unchecked_chunks);
    if (r->lost)
        (void) printf("%" PRIu64 " messages were lost while recording, see `bagpipe info`\n",
                      r->lost);
    print_proof(r);
    (void) printf("%s%s%s", bp_cli_color(colors[r->verdict]), verdicts[r->verdict],
                  bp_cli_color("\033[0m"));
    if (r->recoveries)
        (void) printf("; recovered, %" PRIu64 " lost", r->lost_in_recovery);
    (void) printf("\n");
}

static int print_json(struct view *v, const struct bp_verify_result *r, struct bp_error *err) {
    static const char *const verdicts[] = { "whole", "damaged", "unusable" };
    json_t *j = json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:O}", "verdict",
        verdicts[r->verdict], "files", (json_int_t) r->files, "bytes", (json_int_t) r->bytes,
        "message_count", (json_int_t) r->messages, "repeated", (json_int_t) r->repeated, "chunks",
        (json_int_t) r->chunks, "commits", (json_int_t) r->groups, "chunks_without_crc",
        (json_int_t) r->unchecked_chunks, "lost", (json_int_t) r->lost, "recoveries",
        (json_int_t) r->recoveries, "lost_in_recovery", (json_int_t) r->lost_in_recovery, "proof",
        proof_names[r->proof], "signed_by", r->key, "findings", v->findings);
    int failed = !j || json_dumpf(j, stdout, JSON_INDENT(2)) < 0;

    json_decref(j);
    (void) printf("\n");
    return failed ? bp_fail(err, -ENOMEM, "cannot print the result") : 0;
}

static int verify_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    static const int exits[] = { BP_EXIT_DONE, BP_EXIT_FINDINGS, BP_EXIT_INPUT };
    const struct opts *o = opts;
    struct view v = {
        .o = o,
        .tty = isatty(STDERR_FILENO) && !o->quiet && !o->json,
        .began = bp_mono_ns(),
    };
    struct bp_verify_opts vo = {
        .threads = (unsigned) o->threads,
        .finding = on_finding,
        .progress = on_progress,
        .ctx = &v,
    };
    struct bp_verify_result result = { 0 };
    uint8_t key[BP_PUBLIC_KEY_LEN];
    int r = o->signed_by ? bp_public_key_read(o->signed_by, key, err) : 0;

    if (r < 0)
        return r;
    vo.signed_by = o->signed_by ? key : NULL;

    v.next_bar = v.began + BP_SEC; /* short work needs no bar */
    v.findings = o->json ? json_array() : NULL;
    r = bp_cli_add_keys(o->key, err);
    if (r == 0)
        r = bp_verify((const char *const *) argv, (size_t) argc, &vo, &result, err);
    clear_bar(&v);
    if (r >= 0 && o->json)
        r = print_json(&v, &result, err);
    else if (r >= 0 && !o->quiet)
        print_result(&v, &result);
    json_decref(v.findings);
    if (r == -ENOENT || r == BP_EFORMAT) { /* nothing to verify is "not usable" */
        (void) fprintf(stderr, "bagpipe verify: %s\n", err->text);
        return BP_EXIT_INPUT;
    }
    if (r < 0)
        return r;
    return result.verdict == BP_VERDICT_WHOLE && result.unproven ? BP_EXIT_FINDINGS
                                                                 : exits[result.verdict];
}

const struct bp_verb bp_verb_verify = {
    .name = "verify",
    .args = "PATH…",
    .summary = "check recordings: checksums, indexes, counts, ledger",
    .description =
        "Reads files, sessions or folders of sessions once and compares everything that can be "
        "compared: every chunk with its CRC and its message indexes, every commit, the summary "
        "with what the file holds, metadata.yaml and manifest with the files, the ledger with the "
        "messages. Changes nothing. Recordings of others (MCAP, rosbag2's sqlite3) too.\n\n"
        "What a device has signed (manifest.sig) is compared, too: changed, cut, missing, added, "
        "renamed or exchanged segments and an edited manifest are found. Who signed matters only "
        "with --signed-by: anybody can sign with a key of his own.\n\n"
        "One line per finding: a note, damage (the rest can be used), proof (not what the device "
        "has signed), or unusable.\n\n"
        "Exit status: 0 whole, also after a recovery; 1 damaged, what is intact can be saved with "
        "`bagpipe recover`, or not as signed; 2 not usable.",
    .examples = "bagpipe verify run_2026_11_21     one session\n"
                "bagpipe verify -q /data || mail   a folder of sessions; the exit status tells\n"
                "bagpipe verify --json x.mcap      for programs\n"
                "bagpipe verify --signed-by robot7.pub run_2026_11_21",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .run = verify_run,
};
