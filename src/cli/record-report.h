#pragma once

#include "bag/writer.h"
#include "record/recorder.h"

/* What `bagpipe record` shows: one live line a second on a terminal, the topic table at the end,
 * and the same as JSON. One owner thread. */
struct bp_record_report {
    struct bp_recorder *recorder; /* borrowed */
    struct bp_take *take;         /* borrowed */
    struct bp_writer *writer;     /* borrowed */
    const char *dir;              /* borrowed */
    bp_ns_t mono_start, mono_last;
    uint64_t last_messages, last_bytes;
    bool tty;
};

/** Prints (or, on anything but a terminal, does nothing) the live line. */
void bp_record_report_tick(struct bp_record_report *p);
/** Removes the live line, so that other output starts on an empty one. */
void bp_record_report_clear(const struct bp_record_report *p);

struct bp_record_result {
    uint64_t messages, bytes, file_bytes;
    uint64_t lost[BP_LOSS_N_];
    uint64_t lost_total; /* without what was asked for (rate, pause) */
    uint64_t udp_drops;
    uint32_t topics, segments;
    double seconds;
    struct bp_record_row {
        const char *topic, *type, *robot; /* borrowed from the recorder */
        struct bp_channel_stats st;
        bool has_definition;
    } * rows; /* owned, sorted by topic */
    size_t nrows;
};

/** Gathers the result; call before recorder and writer are closed. */
int bp_record_result_take(const struct bp_record_report *p, struct bp_record_result *ret);
/** Counts the segments and their bytes; call after the writer was closed. */
void bp_record_result_files(struct bp_record_result *r, const char *dir);
void bp_record_result_done(struct bp_record_result *r);
void bp_record_result_print(const struct bp_record_result *r, const char *dir, bool json);
