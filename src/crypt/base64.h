#pragma once

#include <sys/types.h>

#include "base/buf.h"

/* base64url without padding (RFC 4648 §5), as tokens and JSON Web Keys have it. Strict: no other
 * character, no '=', and the bits behind the last byte are zero, so that one text is one value. */

/* Characters for n bytes. */
#define BP_BASE64_LEN(n) (((n) *4 + 2) / 3)

/** Appends n bytes as text. */
void bp_base64_put(struct bp_buf *out, const void *p, size_t n);

/** @param cap  of `ret`; @return bytes written; -EINVAL when it is none, -EOVERFLOW beyond cap */
ssize_t bp_base64_read(struct bp_str text, uint8_t *ret, size_t cap);

/* The plain alphabet with padding (RFC 4648 §4), as HTTP headers and XML have it. */

/** Appends n bytes as text. */
void bp_base64_std_put(struct bp_buf *out, const void *p, size_t n);
/** As strict as bp_base64_read(), and padding must be there. */
ssize_t bp_base64_std_read(struct bp_str text, uint8_t *ret, size_t cap);
