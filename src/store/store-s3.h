#pragma once

#include "store/store.h"

/* Objects in a bucket, PREFIX/objects/ab/cdef…, over net/s3.h. Texts are borrowed for the call;
 * NULL or "" means the default of net/s3.h. Credentials come from where it looks for them. */
struct bp_store_s3_options {
    const char *endpoint, *region, *bucket, *prefix, *ca_file;
    bool path_style;
    const struct bp_io *io; /* reads what is put; borrowed, must outlive the store */
    uint64_t part_bytes;    /* files of more go in parts of this size or more [16 MiB] */
};

/** Nothing is asked of the service yet. @return 0, -EINVAL, BP_ECONFIG, -ENOMEM */
BP_MUST_CHECK int bp_store_open_s3(const struct bp_store_s3_options *o, struct bp_store **ret,
                                   struct bp_error *err);
