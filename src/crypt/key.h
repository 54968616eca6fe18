#pragma once

#include <stdbool.h>

#include "base/buf.h"
#include "base/io.h"
#include "crypt/seal.h"

/* Keys, as files and environment tell them, and what they do: wrap a file's content key for
 * recipients, and find the one that opens it.
 *
 * As text, one key a line, '#' comments:
 *     bagpipe-x25519-public:HEX     seals; opens nothing
 *     bagpipe-x25519-private:HEX    opens what was sealed to its public key; seals, too
 *     bagpipe-key:HEX               one key for both
 * A text without such a line is a bare key (64 hex digits) or else a passphrase.
 *
 * Secrets lie in pages that no core dump takes (MADV_DONTDUMP) and, as far as the limit allows,
 * that are not swapped out; they are wiped when freed. Once a process holds one it can neither be
 * traced by others of its user nor dump core at all. Any thread. */

enum bp_key_kind { BP_KEY_X25519 = 1, BP_KEY_SYMMETRIC = 2, BP_KEY_PASSPHRASE = 3 };

enum {
    BP_KEY_ID = 8,
    BP_KEYS_MAX = 24,       /* recipients of one file */
    BP_WRAPPED_BYTES = 128, /* one recipient in a header; docs/formats/sealed.md */
    BP_FILE_ID = 16,
};

struct bp_keyring;

/** Empty. @return NULL when out of memory */
struct bp_keyring *bp_keyring_new(void);
void bp_keyring_free(struct bp_keyring *k);
BP_DEFINE_CLEANUP(struct bp_keyring, bp_keyring_free)
/** The same keys in a ring of its own. @return NULL when out of memory */
struct bp_keyring *bp_keyring_copy(struct bp_keyring *k);

/**
 * Adds what a text says.
 *
 * @param name  where the text comes from, for errors; what it says never appears in one
 * @return 0, BP_EFORMAT, BP_ELIMIT, -ENOMEM
 */
BP_MUST_CHECK int bp_keyring_add_text(struct bp_keyring *k, struct bp_str text, const char *name,
                                      struct bp_error *err);
/** Adds what a file says: at most 64 KiB. @return as above, or an errno */
BP_MUST_CHECK int bp_keyring_add_file(struct bp_keyring *k, const char *path, struct bp_error *err);
/**
 * Adds RECORDER_ENCRYPTION_KEY, and the systemd credential `recorder-encryption-key`
 * ($CREDENTIALS_DIRECTORY).
 *
 * @return how many there were, or as above
 */
BP_MUST_CHECK int bp_keyring_add_env(struct bp_keyring *k, struct bp_error *err);

/** A public key as text, or a file of keys. @return as bp_keyring_add_file() */
BP_MUST_CHECK int bp_keyring_add_recipient(struct bp_keyring *k, const char *word,
                                           struct bp_error *err);

/** Is there anything in it; anything that opens? */
bool bp_keyring_empty(const struct bp_keyring *k);
bool bp_keyring_opens(const struct bp_keyring *k);

/**
 * Wraps a content key for every key of the ring.
 *
 * @param out  room for BP_KEYS_MAX times BP_WRAPPED_BYTES
 * @return how many, or -EIO, -ENOMEM
 */
BP_MUST_CHECK int bp_keyring_wrap(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                                  const uint8_t content[static BP_KEY_LEN], uint8_t *out);
/**
 * Finds a key that opens one of n wrapped copies.
 *
 * @return 0; BP_EKEY when none does
 */
BP_MUST_CHECK int bp_keyring_unwrap(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                                    const uint8_t *wrapped, unsigned n,
                                    uint8_t ret_content[static BP_KEY_LEN]);

/** Adds the public keys that n wrapped copies tell. @return 0, BP_ELIMIT, -EIO */
BP_MUST_CHECK int bp_keyring_add_wrapped(struct bp_keyring *k, const uint8_t *wrapped, unsigned n);

/** "key id 0123456789abcdef, a passphrase": whom a file is sealed to. */
void bp_wrapped_describe(const uint8_t *wrapped, unsigned n, char *ret, size_t cap);

/* Content keys of files that this process made, by file id: it may read them again (a segment whose
 * write failed) although it is no recipient. The last 128. */
void bp_keyring_remember(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                         const uint8_t content[static BP_KEY_LEN]);
bool bp_keyring_recall(struct bp_keyring *k, const uint8_t file_id[static BP_FILE_ID],
                       uint8_t ret_content[static BP_KEY_LEN]);

/**
 * The keys of this process, by which files are opened that name no other: empty until something is
 * added. Add to it before threads start.
 */
struct bp_keyring *bp_keyring_process(void);

/* One key as a person sees it. */
struct bp_key_info {
    enum bp_key_kind kind;
    bool secret;
    uint8_t id[BP_KEY_ID];
    uint8_t public_key[BP_KEY_LEN]; /* X25519 */
};
size_t bp_keyring_count(const struct bp_keyring *k);
void bp_keyring_info(const struct bp_keyring *k, size_t i, struct bp_key_info *ret);

/**
 * Makes a new private key and writes it to `path`, mode 0600, which must not exist.
 *
 * @param symmetric  one key for both directions instead of a pair
 * @return 0, -EEXIST or another errno
 */
BP_MUST_CHECK int bp_key_create(const char *path, bool symmetric, struct bp_key_info *ret,
                                struct bp_error *err);

/** Lower-case hex with NUL. */
void bp_hex(const uint8_t *p, size_t n, char *ret);
