#pragma once

#include "base/buf.h"

/** Appends `s` as a JSON string with its quotes: control characters escaped, bytes that are not
 *  UTF-8 replaced by U+FFFD. */
void bp_json_put_text(struct bp_buf *b, const char *s, size_t n);
/** Appends a number that reads back as the same double; null when it is not finite. */
void bp_json_put_real(struct bp_buf *b, double v);

/** Length of the valid UTF-8 character at p (RFC 3629), or 0 when there is none in n bytes. */
size_t bp_utf8_char(const char *p, size_t n);
