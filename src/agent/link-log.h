#pragma once

#include <jansson.h>

#include "base/error.h"
#include "base/time.h"

/* What is to be told to the server, on the disk until it says it has it; and the commands that were
 * taken, so that none is done twice. link.db in the agent's folder (SQLite). One thread. */
struct bp_link_log;

/* In the order they go when there is no room. */
enum bp_link_class {
    BP_LINK_STATUS,
    BP_LINK_LOG,
    BP_LINK_SESSIONS,
    BP_LINK_ALERTS,
    BP_LINK_CLASSES
};

/** The topic: "status", "log", "sessions", "alerts". */
const char *bp_link_class_text(enum bp_link_class c);

struct bp_link_event {
    enum bp_link_class class;
    bp_ns_t wall_ns;
    const char *data; /* JSON text; borrowed */
};

/**
 * A damaged file is set aside and a new log begun.
 *
 * @param max_bytes  of events that wait
 * @return 0, -EIO, -ENOSPC, -EACCES, -ENOMEM
 */
BP_MUST_CHECK int bp_link_log_open(const char *path, uint64_t max_bytes, struct bp_link_log **ret,
                                   struct bp_error *err);
/** Takes NULL. */
void bp_link_log_close(struct bp_link_log *l);
BP_DEFINE_CLEANUP(struct bp_link_log, bp_link_log_close)

/** Numbers belong to it; a ULID. */
const char *bp_link_log_id(const struct bp_link_log *l);
/** The last one the server has. */
uint64_t bp_link_log_acked(const struct bp_link_log *l);
/** Appends all or none, on the disk when it returns. What has no room any more is dropped and
 *  counted: the oldest of the first class that has any. */
BP_MUST_CHECK int bp_link_log_add(struct bp_link_log *l, const struct bp_link_event *v, size_t n,
                                  struct bp_error *err);
/** Counts what could not even be kept. */
void bp_link_log_count(struct bp_link_log *l, enum bp_link_class c, uint64_t n);
/** The server has everything up to `seq`. */
BP_MUST_CHECK int bp_link_log_ack(struct bp_link_log *l, uint64_t seq, struct bp_error *err);
/**
 * As bp_link_log_ack(), of a server we have just come to. It may have more than we ever wrote when
 * this file was put back from an older copy: then the log gets a new id, and what the server does
 * not have is told again under that, as its old numbers would be taken for known.
 *
 * @return 0; 1: the log has a new id, and the server is to be told
 */
BP_MUST_CHECK int bp_link_log_meet(struct bp_link_log *l, uint64_t seq, struct bp_error *err);
/**
 * Events behind `after`, oldest first, as the protocol has them.
 *
 * @param ret       [{seq, time_ns, topic, data}], owned by the caller
 * @param ret_last  number of the last of them
 * @return how many
 */
BP_MUST_CHECK int bp_link_log_read(struct bp_link_log *l, uint64_t after, unsigned max,
                                   size_t max_bytes, json_t **ret, uint64_t *ret_last,
                                   struct bp_error *err);
/** {"log": 17}: what was dropped since the log began; owned by the caller. */
json_t *bp_link_log_dropped(const struct bp_link_log *l);
/** Events that wait, and their bytes. */
void bp_link_log_size(const struct bp_link_log *l, uint64_t *ret_n, uint64_t *ret_bytes);

/**
 * A command has come: its id is on the disk when this returns.
 *
 * @param ret  the result that is known, owned by the caller; NULL: none
 * @return 0: new, to be done now; 1: known
 */
BP_MUST_CHECK int bp_link_log_begin(struct bp_link_log *l, const char *id, char **ret,
                                    struct bp_error *err);
/** Its result, JSON. */
BP_MUST_CHECK int bp_link_log_result(struct bp_link_log *l, const char *id, const char *result,
                                     struct bp_error *err);
/** The server has the result: the id alone is kept. */
BP_MUST_CHECK int bp_link_log_got(struct bp_link_log *l, const char *id, struct bp_error *err);
/** Results the server does not have, in order. */
BP_MUST_CHECK int bp_link_log_each_result(struct bp_link_log *l,
                                          void (*fn)(void *ctx, const char *id, const char *result),
                                          void *ctx, struct bp_error *err);
