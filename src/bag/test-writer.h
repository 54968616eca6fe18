#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/macro.h"

/* A folder for one test's session, removed with all that is in it. */
struct bp_test_dir {
    char root[64], session[80];
};

static inline struct bp_test_dir bp_test_dir(void) {
    struct bp_test_dir d;

    (void) snprintf(d.root, sizeof d.root, "/tmp/bagpipe-test-XXXXXX");
    if (!mkdtemp(d.root))
        abort();
    (void) snprintf(d.session, sizeof d.session, "%s/session", d.root);
    return d;
}

static inline void bp_test_dir_done(const struct bp_test_dir *d) {
    char command[128];

    (void) snprintf(command, sizeof command, "rm -rf '%s'", d->root);
    if (system(command) != 0) /* NOLINT(cert-env33-c,concurrency-mt-unsafe): a test */
        perror("rm");
}

#define BP_AUTO_TEST_DIR BP_CLEANUP(bp_test_dir_done) struct bp_test_dir
