#include "cli/keys.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "base/time.h"
#include "crypt/key.h"

int bp_cli_add_keys(const char *file, struct bp_error *err) {
    struct bp_keyring *k = bp_keyring_process();
    int r = k ? bp_keyring_add_env(k, err) : bp_fail(err, -ENOMEM, "out of memory");

    if (r >= 0 && file)
        r = bp_keyring_add_file(k, file, err);
    return r < 0 ? r : 0;
}

int bp_cli_bar_step(void *ctx, uint64_t done, uint64_t total) {
    enum { WIDTH = 30 };
    struct bp_cli_bar *b = ctx;
    int full;

    if (!isatty(STDERR_FILENO) || !total || bp_mono_ns() < b->next_mono)
        return 0;
    b->next_mono = bp_mono_ns() + 100 * BP_MS;
    b->shown = true;
    full = (int) ((double) done / (double) total * WIDTH);
    (void) fprintf(stderr, "\r%s [%.*s%*s] %3d %%", b->what, full, "##############################",
                   WIDTH - full, "", (int) (100.0 * (double) done / (double) total));
    return 0;
}

void bp_cli_bar_end(const struct bp_cli_bar *b) {
    if (b->shown)
        (void) fprintf(stderr, "\r\033[K");
}
