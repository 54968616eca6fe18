#pragma once

#include "base/buf.h"
#include "base/error.h"
#include "base/time.h"

/* A sender's own log of what it sent: the truth that tests judge a recording by. One line per
 * message, written only after the write call came back:
 *     mono_ns wall_ns topic guid sequence size
 * mono_ns when the call had returned (CLOCK_MONOTONIC), wall_ns the source stamp on the sample,
 * guid 32 hex digits, sequence the RTPS sequence number, size CDR bytes with the encapsulation
 * header. Lines reach the file within 20 ms; a last line without its newline is not to be used. */
struct bp_sendlog;

/** @return 0, -ENOMEM, -EAGAIN (no thread), or the errno of opening `path` (it is truncated) */
BP_MUST_CHECK int bp_sendlog_open(const char *path, struct bp_sendlog **ret, struct bp_error *err);

/**
 * Appends a line. Any thread; never waits for the disk.
 *
 * @param key  " topic guid ", as bp_sendlog_key() made it
 */
void bp_sendlog_put(struct bp_sendlog *l, bp_ns_t mono_ns, bp_ns_t wall_ns, struct bp_str key,
                    uint64_t sequence, uint64_t size);

/** Heap text " topic guid " for a writer, NULL when out of memory. */
char *bp_sendlog_key(const char *topic, const uint8_t guid[static 16]);

/** Writes what is left and closes. Takes NULL. @return 0 or the first error of writing */
int bp_sendlog_close(struct bp_sendlog *l, struct bp_error *err);
