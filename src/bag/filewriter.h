#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "base/compress.h"
#include "base/error.h"
#include "base/io.h"

/* Writes one MCAP file as fast as the disk and the codec allow: for conversion, recovery, benches.
 * No ring, no journal: a file is whole when bp_filewriter_close() has returned 0. The same groups
 * as the recorder's segments. One producer thread; its own workers compress, in order. */
struct bp_filewriter;

struct bp_filewriter_opts {
    const struct bp_io *io; /* NULL = bp_io_posix */
    enum bp_codec codec;
    int level;
    bool fast;            /* see bp_compressor_new() */
    unsigned workers;     /* 0 = the producer does everything itself; at most 16 */
    uint64_t chunk_bytes; /* 0 = 1 MiB, which the caches hold */
    bool sync;            /* durable when close returns */
    bool memory;          /* no file: finished groups are thrown away (benches) */
};

/** Makes `path` anew. @return 0, an errno, -ENOMEM */
BP_MUST_CHECK int bp_filewriter_open(const char *path, const struct bp_filewriter_opts *o,
                                     struct bp_filewriter **ret, struct bp_error *err);

/** Ids from 1, by the order of the calls. Before the first message that needs them. */
int bp_filewriter_schema(struct bp_filewriter *w, const char *name, const char *encoding,
                         struct bp_str data);
/** @param metadata  key, value pairs ending with NULL; may be NULL */
int bp_filewriter_channel(struct bp_filewriter *w, uint16_t schema, const char *topic,
                          const char *message_encoding, const char *const *metadata);

/** @return 0, -EINVAL for an unknown channel, or the error of an earlier write */
int bp_filewriter_append(struct bp_filewriter *w, uint16_t channel, uint32_t sequence,
                         uint64_t log_ns, uint64_t publish_ns, const void *data, size_t n);

/** Ends the file; frees in any case. On failure the file is not usable. Takes NULL. */
int bp_filewriter_close(struct bp_filewriter *w, uint64_t *ret_bytes, struct bp_error *err);
/** Gives up: closes without an end and removes the file. Takes NULL. */
void bp_filewriter_abort(struct bp_filewriter *w);
BP_DEFINE_CLEANUP(struct bp_filewriter, bp_filewriter_abort)
