#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* A file that lies elsewhere: an object of a store, something behind a network. */
struct bp_reads {
    uint64_t size;
    /** As pread. Several threads at once. @return bytes read, fewer than n at the end only, or a
     *  negative code */
    ssize_t (*read)(void *ctx, void *p, size_t n, uint64_t off, struct bp_error *err);
    void *ctx;
};
