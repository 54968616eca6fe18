#pragma once

#include <jansson.h>

#include "agent/config.h"
#include "agent/sessions.h"
#include "alert/alert.h"
#include "base/io.h"
#include "catalog/catalog.h"
#include "daemon/bus.h"
#include "daemon/settings.h"

/* Keeps the disk from filling: deletes what the limits of `retention` ask for (retention-plan.h),
 * one session after the other, in small steps, on a thread of its own with the lowest priority.
 *
 * A session goes in this order, so that a kill at any point leaves a whole session or none:
 *   1. its folder is renamed to .deleting-ID, and that is synced: nobody finds it any more;
 *   2. the catalogue's row becomes a tombstone;
 *   3. its files are cut shorter and unlinked, with pauses; then the folder.
 * Start-up goes on with every .deleting-ID that it finds. */
struct bp_retention;

struct bp_retention_opts {
    struct bp_settings *settings; /* all borrowed, outlive it */
    struct bp_catalog *catalog;
    struct bp_sessions *sessions;
    struct bp_bus *bus;
    struct bp_alerts *alerts;
    const char *dir;        /* the agent's folder */
    const struct bp_io *io; /* NULL = bp_io_posix */
};

/** Starts the thread. @return 0, -ENOMEM, -EAGAIN */
BP_MUST_CHECK int bp_retention_open(const struct bp_retention_opts *o, struct bp_retention **ret,
                                    struct bp_error *err);
/** Ends between two steps; what is left is done by the next start. Takes NULL. */
void bp_retention_close(struct bp_retention *r);
BP_DEFINE_CLEANUP(struct bp_retention, bp_retention_close)

/**
 * How it is: disk, sums by class, limits, and what would be deleted next and why, or what keeps it.
 *
 * @param limit  at most so many sessions in "next" and "held"
 * @return owned by the caller; 0 or a negative code of the catalogue
 */
int bp_retention_json(struct bp_retention *r, size_t limit, json_t **ret, struct bp_error *err);

/** Looks now, not at the next interval; also when the limits have changed. */
void bp_retention_kick(struct bp_retention *r);

/**
 * Deletes one session by hand, whatever the limits say: renamed and buried when this returns, its
 * space is given back by the thread afterwards.
 *
 * @param id   of a session that is not running
 * @param why  sentence fragment for the tombstone and the log
 * @return 0, -ENOENT, BP_EBUSY when it is being recorded or read by somebody who locks it, or why
 *         it cannot be renamed or buried
 */
BP_MUST_CHECK int bp_retention_delete(struct bp_retention *r, const char *id, const char *why,
                                      struct bp_error *err);

/** Families of metrics. */
void bp_retention_metrics(struct bp_retention *r, struct bp_buf *out);
