#include <errno.h>
#include <stdio.h>

#include <jansson.h>

#include "cli/verb.h"
#include "crypt/key.h"

struct opts {
    bool symmetric, json;
};

static const struct bp_opt options[] = {
    { "symmetric", 0, BP_OPT_FLAG, offsetof(struct opts, symmetric), NULL,
      "new: one secret that seals and opens, instead of a pair", NULL, NULL, 0, 0 },
    { "json", 0, BP_OPT_FLAG, offsetof(struct opts, json), NULL, "print JSON", NULL, NULL, 0, 0 },
};

static const char *kind_name(const struct bp_key_info *k) {
    return k->kind == BP_KEY_PASSPHRASE  ? "passphrase"
           : k->kind == BP_KEY_SYMMETRIC ? "key"
           : k->secret                   ? "private key"
                                         : "public key";
}

/* The public half and the id; never a secret. */
static int print_key(const struct opts *o, const struct bp_key_info *k, struct bp_error *err) {
    char id[2 * BP_KEY_ID + 1], pub[2 * BP_KEY_LEN + 1];
    json_t *j;

    bp_hex(k->id, BP_KEY_ID, id);
    bp_hex(k->public_key, BP_KEY_LEN, pub);
    if (o->json) {
        j = json_pack("{s:s, s:s, s:b}", "kind", kind_name(k), "id", id, "secret", (int) k->secret);
        if (j && k->kind == BP_KEY_X25519)
            (void) json_object_set_new(j, "public", json_sprintf("bagpipe-x25519-public:%s", pub));
        if (!j || json_dumpf(j, stdout, JSON_COMPACT) < 0) {
            json_decref(j);
            return bp_fail(err, -ENOMEM, "cannot print the key");
        }
        json_decref(j);
        (void) printf("\n");
        return 0;
    }
    if (k->kind == BP_KEY_X25519)
        (void) printf("bagpipe-x25519-public:%s\n", pub);
    if (k->kind == BP_KEY_PASSPHRASE)
        (void) fprintf(stderr, "a passphrase\n");
    else
        (void) fprintf(stderr, "%s, id %s\n", kind_name(k), id);
    return 0;
}

static int show(const struct opts *o, const char *path, struct bp_error *err) {
    BP_CLEANUP(bp_keyring_freep) struct bp_keyring *k = bp_keyring_new();
    int r = k ? bp_keyring_add_file(k, path, err) : bp_fail(err, -ENOMEM, "out of memory");

    for (size_t i = 0; r == 0 && i < bp_keyring_count(k); i++) {
        struct bp_key_info info;

        bp_keyring_info(k, i, &info);
        r = print_key(o, &info, err);
    }
    return r;
}

static int key_run(void *opts, int argc, char *argv[], struct bp_error *err) {
    const struct opts *o = opts;
    struct bp_key_info made;
    int r;

    (void) argc;
    if (strcmp(argv[0], "show") == 0)
        return show(o, argv[1], err);
    if (strcmp(argv[0], "new") != 0)
        return bp_fail(err, BP_EUSAGE, "'%s' is neither 'new' nor 'show'", argv[0]);
    r = bp_key_create(argv[1], o->symmetric, &made, err);
    return r < 0 ? r : print_key(o, &made, err);
}

const struct bp_verb bp_verb_key = {
    .name = "key",
    .args = "new|show FILE",
    .summary = "make and show keys for sealed recordings",
    .description =
        "new writes a private key to FILE (mode 0600) and prints its public key. Recordings are "
        "sealed to the public key; whoever has it alone, like the robot, cannot read them. Keep "
        "the file away from the robot, and keep a copy: without it a recording is lost.\n\n"
        "show prints the public keys of FILE, and on stderr their ids. Secrets are never printed.",
    .examples = "bagpipe key new fleet.key                   on your desk, not on the robot\n"
                "bagpipe key show fleet.key > fleet.pub      what the robot gets\n"
                "bagpipe key new shared.key --symmetric      one key for both directions",
    .opts = options,
    .nopts = BP_COUNT(options),
    .opts_size = sizeof(struct opts),
    .min_args = 2,
    .max_args = 2,
    .run = key_run,
};
