#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "record/recorder.h"

/* Whether a session begins by itself (`session.auto_start`): never, with the agent, with the first
 * topic of the graph, or with a topic that matches a pattern. The last two begin one each time such
 * a topic appears where none was before, so that a robot that is switched off and on gets a new
 * one, and one that was stopped by hand stays stopped. One owner. */
enum bp_autostart_kind {
    BP_AUTOSTART_NEVER,
    BP_AUTOSTART_BOOT,
    BP_AUTOSTART_FIRST_TOPIC,
    BP_AUTOSTART_PATTERN,
};

/** @return enum bp_autostart_kind, or BP_ECONFIG for a word that is none of them */
int bp_autostart_kind(const char *word, struct bp_error *err);

struct bp_autostart {
    bool seen; /* there was such a topic at the last look */
};

/**
 * One look at the graph.
 *
 * @param word     of the configuration
 * @param running  a session is being recorded: none is begun, whatever appears
 * @return true when a session is to begin now
 */
bool bp_autostart_due(struct bp_autostart *a, const char *word, const struct bp_recorder_topic *v,
                      size_t n, bool running);
