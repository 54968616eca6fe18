/* Sends session folders to a target with libbagpipe-sync, and goes on where it was when it is run
 * again:
 *
 *     cc sync-push.c $(pkg-config --cflags --libs bagpipe-sync) -o sync-push
 *     ./sync-push queue.db file:///mnt/usb recordings/run1 recordings/run2
 */
#include <inttypes.h>
#include <stdio.h>

#include "sync/sync.h"

static void on_event(void *ctx, const struct bp_sync_event *e) {
    (void) ctx;
    switch (e->kind) {
    case BP_SYNC_EV_PROGRESS:
        printf("%" PRIu64 " bytes sent\n", e->bytes);
        break;
    case BP_SYNC_EV_FILE:
        printf("%s is there\n", e->file);
        break;
    case BP_SYNC_EV_SAFE:
        printf("session %s is safe\n", e->session);
        break;
    default:
        if (e->text)
            printf("%s: %s\n", bp_sync_event_name(e->kind), e->text);
    }
}

static int failed(const struct bp_error *err) {
    (void) fprintf(stderr, "%s\n", err->text);
    return 1;
}

int main(int argc, char **argv) {
    struct bp_error err = { 0 };
    struct bp_sync *sync = NULL;

    if (argc < 4) {
        (void) fprintf(stderr, "usage: sync-push QUEUE URL FOLDER…\n");
        return 2;
    }

    struct bp_sync_target_config target = { .name = "target", .opts = { .url = argv[2] } };
    struct bp_sync_opts opts = { .path = argv[1],
                                 .targets = &target,
                                 .ntargets = 1,
                                 .device = "example",
                                 .on_event = on_event };

    if (bp_sync_open(&opts, &sync, NULL, &err) < 0)
        return failed(&err);
    for (int i = 3; i < argc; i++) {
        if (bp_sync_add_folder(sync, argv[i], NULL, NULL, &err) < 0) {
            bp_sync_close(sync);
            return failed(&err);
        }
    }

    int r = bp_sync_start(sync, &err);

    if (r >= 0) /* an hour; what is not there by then goes on next time */
        r = bp_sync_wait(sync, 3600 * BP_SEC, NULL, &err);
    bp_sync_close(sync);
    return r < 0 ? failed(&err) : 0;
}
