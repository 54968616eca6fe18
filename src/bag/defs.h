#pragma once

#include "bag/index.h"

/* The definitions of a session: schemas, channels and sources, each as the record that goes to
 * disk, by id. Ids are the same in all segments of a session. Not for several threads: the writer
 * keeps its own under a lock. */

enum { BP_MAX_SOURCES = 1 << 21 }; /* of a session; a greater id is damage */

struct bp_def_record {
    uint8_t *p; /* owned; NULL = no such id */
    size_t n;
};

struct bp_def_source {
    uint16_t channel, vendor;
    uint8_t guid[16];
    char *node; /* owned */
};

struct bp_defs {
    struct bp_def_record *schemas, *channels; /* [0] is unused; owned */
    char **topics;                            /* of the channels; owned */
    struct bp_def_source **sources;           /* NULL = no such id, or forgotten; owned */
    uint32_t nschemas, nchannels, nsources;   /* highest id + 1 */
};

/* How much of the definitions a segment already has: all ids below. */
struct bp_defined {
    uint32_t schemas, channels, sources;
};

/* What group 0 says about the segment. */
struct bp_head_info {
    const char *name; /* of the session */
    const char *id;   /* of the session */
    uint32_t segment;
    bp_ns_t wall_ns;           /* when it was made */
    const char *const *custom; /* "key=value", NULL-terminated; or NULL */
};

void bp_defs_done(struct bp_defs *d);

/** Each stores a copy of a whole MCAP record under its id. @return 0, BP_ECORRUPT, -ENOMEM */
int bp_defs_put_schema(struct bp_defs *d, const uint8_t *rec, size_t n);
int bp_defs_put_channel(struct bp_defs *d, const uint8_t *rec, size_t n);
int bp_defs_put_source(struct bp_defs *d, uint32_t id, const struct bp_def_source *s);
/** Takes a source out: segments headed from now on do not define it. Its id is not used again. */
void bp_defs_forget_source(struct bp_defs *d, uint32_t id);

/** Copies all of `from` into the empty `d`. @return 0 or -ENOMEM */
int bp_defs_copy(struct bp_defs *d, const struct bp_defs *from);

/* A source as the value of its entry in a `bagpipe.sources` record (key: its id). */
void bp_source_encode(const struct bp_def_source *s, struct bp_buf *out);
/** @return 0, BP_EFORMAT, -ENOMEM; ret->node is owned by the caller */
int bp_source_decode(struct bp_str value, struct bp_def_source *ret);

/**
 * Appends a group with all definitions that are not in `have`, ready to be written at byte `at` of
 * its file, and notes them in the index. With `head` it is group 0: magic, Header and a
 * `bagpipe.session` record come too. `b` must be empty.
 *
 * @return 0 or -ENOMEM
 */
int bp_defs_group(const struct bp_defs *d, struct bp_defined *have, const struct bp_head_info *head,
                  const uint8_t session[16], uint64_t at, struct bp_buf *b, struct bp_index *x);

/** Appends a Metadata record from key, value pairs ending with NULL; returns where it starts. */
size_t bp_put_metadata(struct bp_buf *b, const char *name, const char *const *kv);

/** 32 hex digits and NUL. */
char *bp_hex16(const uint8_t v[16], char ret[static 33]);
