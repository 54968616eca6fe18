#pragma once

#include "crypt/sign.h"
#include "server/server-priv.h"

/* Devices: who they are, whether they may come in, and the short-lived tokens they come in by.
 *
 * A device has an Ed25519 key and a name. Enrolling tells both to the server; a one-time token, an
 * admin, or the configuration lets it in. Then it asks for a challenge, signs it and gets a bearer
 * token that is good for minutes; before that ends it does so again. Protocol: docs/api/server.md.
 * Any thread. */

enum {
    BP_DEVICE_ID = 57,                 /* with NUL; "device:" and it fit a user's name */
    BP_DEVICE_TOKEN_TEXT = 4 + 43 + 1, /* "bpd_" and 256 random bits */
    BP_DEVICE_NONCE_TEXT = 55,
    BP_DEVICES_PENDING_MAX = 1000,
    BP_DEVICES_TOKENS_MAX = 50000,
    BP_DEVICE_TOKENS_MAX = 4, /* of one device at once; the oldest goes */
};

/* Who a device's token stands for. */
struct bp_device_who {
    char id[BP_DEVICE_ID];
    char key[BP_PUBLIC_KEY_TEXT];
};

BP_MUST_CHECK int bp_devices_open(struct bp_server *s, struct bp_devices **ret,
                                  struct bp_error *err);
/** Takes NULL. */
void bp_devices_close(struct bp_devices *d);
/** What has expired goes. */
void bp_devices_tick(struct bp_devices *d);

/** Is this the text of a device's token, good or not? */
bool bp_device_is_token(const char *text);
/** @return 0, -EACCES when it is not known or has expired */
BP_MUST_CHECK int bp_devices_find(struct bp_devices *d, const char *token,
                                  struct bp_device_who *ret, struct bp_error *err);
/** Its tokens are no good any more. */
void bp_devices_revoke(struct bp_devices *d, const char *id);
/** How many tokens are good. */
size_t bp_devices_tokens(struct bp_devices *d);

/** A challenge for a device, known to us or not. */
BP_MUST_CHECK int bp_devices_challenge(struct bp_devices *d, const char *id,
                                       char ret[static BP_DEVICE_NONCE_TEXT], struct bp_error *err);
/* The answer to one. Texts are borrowed. */
struct bp_device_answer {
    const char *id, *nonce, *audience, *signature;
    bp_ns_t time_ns; /* wall, the device's */
};
/** Appends what a device signs: docs/api/server.md. */
void bp_device_put_signed(struct bp_buf *out, const struct bp_device_answer *a);
/**
 * Judges an answer and makes a token.
 *
 * @param key       the device's
 * @param audience  what the answer must have been meant for
 * @return 0; -EACCES: wrong signature, audience, unknown, used or expired nonce; BP_ECLOCK: the
 *         device's clock is too far off; -EAGAIN: too many tokens
 */
BP_MUST_CHECK int bp_devices_answer(struct bp_devices *d, const struct bp_device_answer *a,
                                    const uint8_t key[static BP_PUBLIC_KEY_LEN],
                                    const char *audience, bp_ns_t wall_now,
                                    char ret[static BP_DEVICE_TOKEN_TEXT], struct bp_error *err);

/** Letters, digits and "._:@-", not beginning with '.' or '-'. @return 0 or BP_EUSAGE */
BP_MUST_CHECK int bp_device_check_id(const char *id, struct bp_error *err);
