#pragma once

#include "wire/yaml.h"

struct bp_yaml {
    struct bp_yaml_node *v; /* owned; [0] is a dummy, so that index 0 means "no node" */
    size_t n, cap;
    struct bp_buf text; /* keys and scalars, each NUL-terminated */
};

/** One code point of UTF-8 at p[0..n), n > 0: its value and length; 0xFFFD and 1 for anything else.
 */
uint32_t bp_utf8_at(const unsigned char *p, size_t n, size_t *ret_len);
