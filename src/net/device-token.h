#pragma once

#include "base/error.h"
#include "crypt/sign.h"

/* How a device proves to a server who it is: it enrols its key, signs a challenge, and gets a
 * bearer token that is good for minutes (docs/api/server.md). Any thread; calls take turns. */
struct bp_device_tokens;

enum { BP_DEVICE_TOKEN_MAX = 256 };

/* Borrowed for bp_device_tokens_open(), but the key lives on. Empty or NULL: none, or the default
 * of struct bp_fetch_options. */
struct bp_device_tokens_options {
    const char *url;               /* "https://host[:port][/base]" */
    const char *device, *name;     /* id, and what people call it */
    const struct bp_sign_key *key; /* the device's */
    const char *enrolment;         /* one-time token by which it is let in */
    const char *ca_file, *proxy;
};

/** @param ret  owned by the caller, release with bp_device_tokens_close()
 *  @return 0, BP_ECONFIG for ca_file, -EINVAL for the URL, -ENOMEM */
BP_MUST_CHECK int bp_device_tokens_open(const struct bp_device_tokens_options *o,
                                        struct bp_device_tokens **ret, struct bp_error *err);
/** Takes NULL. */
void bp_device_tokens_close(struct bp_device_tokens *t);
BP_DEFINE_CLEANUP(struct bp_device_tokens, bp_device_tokens_close)

/**
 * A token that is good for some time yet: the one there is, or a new one, for which the device
 * enrols when the server does not know it. Waits.
 *
 * @param cancel  read atomically; true ends the wait; NULL: bp_device_tokens_stop() does
 * @return 0; -EPERM: it was refused, or waits for an admin; -EACCES: the key is not the one the
 *         server knows; -EEXIST: the name is taken; -ENOENT: the server has no such routes; what
 *         bp_fetch() fails with; BP_EFORMAT
 */
BP_MUST_CHECK int bp_device_token(struct bp_device_tokens *t, const bool *cancel,
                                  char ret[static BP_DEVICE_TOKEN_MAX], struct bp_error *err);
/** The server does not take this one any more. What another thread has got since stays. */
void bp_device_token_forget(struct bp_device_tokens *t, const char *token);
/** From now on nobody waits for a server any more: bp_device_token() fails with -ECANCELED. */
void bp_device_tokens_stop(struct bp_device_tokens *t);
/** Is this the server they are for? Schemes of WebSockets and HTTP are the same. */
bool bp_device_tokens_are_for(const struct bp_device_tokens *t, const char *url);
