#pragma once

#include <jansson.h>

#include "catalog/archive.h"

/* Rows of the archive as the API tells them. Owned by the caller; NULL when out of memory. */

/** The same keys as an agent's session where there are such, so that whoever reads one reads both:
 *  `status` is "finished" for what is complete here. */
json_t *bp_archive_session_json(const struct bp_archive_session *s);
json_t *bp_archive_file_json(const struct bp_archive_file *f);
json_t *bp_archive_topic_json(const struct bp_archive_topic *t);
json_t *bp_archive_mark_json(const struct bp_archive_mark *m);
json_t *bp_archive_decision_json(const struct bp_archive_decision *d);
