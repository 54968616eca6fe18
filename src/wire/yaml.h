#pragma once

#include "base/buf.h"
#include "base/error.h"

/* YAML as metadata.yaml, QoS profiles and override files use it: mappings, sequences, scalars.
 * A whole text becomes a tree of nodes that know their line, so that an error can name it.
 * Anchors, aliases, tags and several documents are refused: no recording has them, and they are
 * how small files become large trees. A tree is constant once made and may be shared by threads. */
struct bp_yaml;

enum bp_yaml_kind { BP_YAML_SCALAR, BP_YAML_SEQUENCE, BP_YAML_MAPPING };

struct bp_yaml_node {
    enum bp_yaml_kind kind;
    bool plain;         /* an unquoted scalar: `~`, numbers and booleans mean what they say */
    uint32_t line;      /* from 1 */
    const char *key;    /* within a mapping, else NULL; NUL-terminated */
    struct bp_str text; /* of a scalar; NUL-terminated, may hold NULs */
    uint32_t count;     /* children */
    /* internal: node indexes, text offsets */
    uint32_t first, next, key_at, text_at;
};

/* Bounds of what is accepted. */
enum { BP_YAML_DEPTH_MAX = 32, BP_YAML_NODES_MAX = 1 << 20, BP_YAML_BYTES_MAX = 64 << 20 };

/**
 * @param text  borrowed for the call
 * @param ret   owned by the caller, release with bp_yaml_free()
 * @return 0; BP_EFORMAT with "line L: …"; BP_ELIMIT beyond the bounds above; -ENOMEM
 */
BP_MUST_CHECK int bp_yaml_parse(struct bp_str text, struct bp_yaml **ret, struct bp_error *err);
void bp_yaml_free(struct bp_yaml *y);
BP_DEFINE_CLEANUP(struct bp_yaml, bp_yaml_free)

/** The outermost node; NULL for an empty text. */
const struct bp_yaml_node *bp_yaml_root(const struct bp_yaml *y);
/** First and next child in file order, NULL at the end. `n` may be NULL or a scalar. */
const struct bp_yaml_node *bp_yaml_first(const struct bp_yaml *y, const struct bp_yaml_node *n);
const struct bp_yaml_node *bp_yaml_next(const struct bp_yaml *y, const struct bp_yaml_node *n);
/** Child of a mapping by key (the first, if there are several), or NULL. */
const struct bp_yaml_node *bp_yaml_get(const struct bp_yaml *y, const struct bp_yaml_node *n,
                                       const char *key);

/** `~`, null or nothing at all. */
bool bp_yaml_is_null(const struct bp_yaml_node *n);

/* Scalars to values: 0, or BP_EFORMAT with "line L, key 'k': expected …, found '…'". */
int bp_yaml_int(const struct bp_yaml_node *n, int64_t min, int64_t max, int64_t *ret,
                struct bp_error *err);
int bp_yaml_uint(const struct bp_yaml_node *n, uint64_t max, uint64_t *ret, struct bp_error *err);
int bp_yaml_bool(const struct bp_yaml_node *n, bool *ret, struct bp_error *err);
/** Fails with the sentence above for `n`, with `expected` in it. */
int bp_yaml_expected(const struct bp_yaml_node *n, const char *expected, struct bp_error *err);

/**
 * Appends text as a scalar that every YAML reader takes for a string with these bytes: plain where
 * nobody could take it for something else, otherwise double-quoted with escapes. What is not UTF-8
 * becomes U+FFFD.
 */
void bp_yaml_put_string(struct bp_buf *out, struct bp_str text);
