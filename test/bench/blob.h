#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <dds/dds.h>

struct ddsi_sertype;

/* Serialized samples without a type, the way rmw_cyclonedds does it: one copy out of the receive
 * buffers into a heap block. For the peers of the benches; the product has its own (src/dds). */

/** A topic of the given DDS type name. @param ret its sertype, borrowed from the topic, or NULL
 * @return an entity or a DDS return code */
dds_entity_t blob_topic(dds_entity_t participant, const char *name, const char *type, bool keyed,
                        struct ddsi_sertype **ret);

/** Publishes n bytes of CDR, encapsulation header first; they are copied. */
dds_return_t blob_write(dds_entity_t writer, const struct ddsi_sertype *t, const void *cdr,
                        size_t n);
