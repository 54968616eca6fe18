/* wp-instr DIR COUNT: accepts COUNT messages of 100 B, as fast as the ring takes them, and closes.
 * Under callgrind: instructions per message = (total of COUNT - total of 0) / COUNT. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bag/writer.h"

static const uint8_t payload[100] = "telemetry";

static void copy(const void *ctx, uint8_t *dst) {
    memcpy(dst, ctx, sizeof payload);
}

int main(int argc, char **argv) {
    struct bp_writer_opts o = { .ring_bytes = 256 << 20, .durability = BP_SYNC_FAST };
    struct bp_channel_def c = { .topic = "/t",
                                .type = "test_msgs/msg/Blob",
                                .schema_encoding = "",
                                .priority = BP_PRIORITY_HIGH };
    struct bp_source_def s = { .guid = { 1 }, .node = "" };
    struct bp_accept m = { .size = sizeof payload, .copy = copy, .ctx = payload };
    struct bp_writer *w = NULL;
    uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    struct bp_error err;

    if (argc < 3)
        return 2;
    o.dir = argv[1];
    if (bp_writer_open(&o, &w, &err) < 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        return 2;
    }
    s.channel = (uint16_t) bp_writer_channel(w, &c, NULL);
    m.source = (uint32_t) bp_writer_source(w, &s, NULL);
    for (m.seq = 1; m.seq <= n; m.seq++) {
        m.log_ns = m.publish_ns = (bp_ns_t) m.seq;
        while (bp_writer_accept(w, &m) < 0)
            bp_sleep(BP_MS);
    }
    return bp_writer_close(w, &err) < 0;
}
