#pragma once

#include <sys/types.h>

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* The opening handshake of a WebSocket as a client makes it (RFC 6455 §4.1). Pure functions over
 * texts. */

enum { BP_WS_KEY_TEXT = 25, BP_WS_ACCEPT_TEXT = 29, BP_WS_ANSWER_MAX = 16 * 1024 };

/** What a server answers to a key: Sec-WebSocket-Accept; returns `out`. */
char *bp_ws_accept_text(const char *key, char out[static BP_WS_ACCEPT_TEXT]);
/** A new key: 16 random bytes in base64. @return 0, -EIO */
BP_MUST_CHECK int bp_ws_key_new(char out[static BP_WS_KEY_TEXT]);

struct bp_ws_answer {
    int status;
    size_t body;         /* bytes of body it announces (Content-Length), 0 = no word */
    bp_ns_t retry_after; /* in seconds as it says (Retry-After); 0 = no word */
};

/**
 * Reads the head of the answer to a handshake.
 *
 * @param text      what has come so far
 * @param key       that was sent
 * @param protocol  the one that was offered, which must be taken; NULL: none may be
 * @param ret       filled when the head is whole, also when it is a refusal
 * @return bytes of the head; 0 when it is not whole yet; BP_EFORMAT when this is no answer of
 *         HTTP/1.1 or one that agrees to something else than what was asked for; BP_ELIMIT beyond
 *         BP_WS_ANSWER_MAX. A status that is not 101 is no failure.
 */
BP_MUST_CHECK ssize_t bp_ws_answer_read(struct bp_str text, const char *key, const char *protocol,
                                        struct bp_ws_answer *ret, struct bp_error *err);
