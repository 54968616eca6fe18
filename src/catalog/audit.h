#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/time.h"

/* Who changed what, when, from where: an append-only log in a SQLite database of its own (it cannot
 * be made anew from recordings, so it must not go when the archive has to). Each entry holds the
 * SHA-256 of the one before, so that changing, dropping, inserting or reordering entries shows;
 * that the newest were cut off shows to whoever has kept a later head (bp_audit_head(), GET
 * /api/v1/audit, the log). Any thread; calls take turns. */
struct bp_audit;

enum { BP_AUDIT_HASH = 32 };

/* Texts are borrowed; NULL is read as "". */
struct bp_audit_entry {
    int64_t number; /* 1.. without gaps */
    bp_ns_t wall_ns;
    const char *who;             /* "admin", "token:ci", "device:robot7", "local" */
    const char *from;            /* peer: "192.0.2.7", "unix" */
    const char *action;          /* "session.delete", "device.accept", "config.change" */
    const char *subject;         /* what it was done to */
    const char *details;         /* JSON object, or "" */
    uint8_t hash[BP_AUDIT_HASH]; /* of the entry and the one before; out only */
};

/**
 * Opens the database. A damaged one is set aside as PATH.damaged-<UTC> and a new one begins with an
 * entry "audit.renewed".
 *
 * @param path  made when it is not there (its folder must be)
 * @param ret   owned by the caller, release with bp_audit_close()
 * @return as bp_catalog_open()
 */
BP_MUST_CHECK int bp_audit_open(const char *path, struct bp_audit **ret, bool *ret_renewed,
                                struct bp_error *err);
/** Takes NULL. */
void bp_audit_close(struct bp_audit *a);
BP_DEFINE_CLEANUP(struct bp_audit, bp_audit_close)

/**
 * Appends; durable when it returns.
 *
 * @param e  `number` and `hash` are ignored; wall_ns 0 = now. Texts are cut at 4 KiB, details at
 *           64 KiB
 * @return 0, -ENOSPC, -EIO, …: do not do what could not be written down
 */
BP_MUST_CHECK int bp_audit_add(struct bp_audit *a, const struct bp_audit_entry *e,
                               struct bp_error *err);

/** Number and hash of the newest entry; 0 and zeroes when there is none. */
BP_MUST_CHECK int bp_audit_head(struct bp_audit *a, int64_t *ret_number,
                                uint8_t ret_hash[static BP_AUDIT_HASH], struct bp_error *err);

struct bp_audit_query {
    int64_t before;      /* only older ones (paging); 0 = from the newest */
    const char *who;     /* exactly, or NULL */
    const char *action;  /* this one, or those that begin so when it ends in '.', or NULL */
    const char *subject; /* exactly, or NULL */
    bp_ns_t from, to;    /* [from, to), wall; to 0 = no end */
    uint32_t limit;      /* 0 = 100, at most 1000 */
};

/** Newest first. @param fn  under the log's lock: no bp_audit_* in it; nonzero stops */
int bp_audit_list(struct bp_audit *a, const struct bp_audit_query *q,
                  int (*fn)(void *ctx, const struct bp_audit_entry *e), void *ctx,
                  struct bp_error *err);

/**
 * Reads everything and recomputes every hash.
 *
 * @param head        a number and its hash that were kept elsewhere and must still be there; NULL
 * @param ret_number  entries that are good
 * @return 0; BP_EMISMATCH naming the first entry that is not as it was written, is missing, or out
 *         of order
 */
BP_MUST_CHECK int bp_audit_verify(struct bp_audit *a, const struct bp_audit_entry *head,
                                  int64_t *ret_number, struct bp_error *err);
