#pragma once

#include "bag/slice.h"
#include "base/metrics.h"
#include "daemon/openapi.h"
#include "daemon/pump.h"

/* GET .../sessions/:id/data of both daemons: what is asked for, and the reply. Who has the segments
 * says which there are and opens them. */
struct bp_data;

/**
 * Reads what a request asks for.
 *
 * @param started_ns  of the session, for times like "+90s"
 * @return 0, BP_EUSAGE, -ENOMEM
 */
BP_MUST_CHECK int bp_data_new(const struct bp_http_req *req, bp_ns_t started_ns,
                              struct bp_data **ret, struct bp_error *err);
/** Takes NULL. */
void bp_data_free(struct bp_data *d);
BP_DEFINE_CLEANUP(struct bp_data, bp_data_free)

/** Is this segment of the time that is asked for? 0, 0: its times are not known. */
bool bp_data_wants(const struct bp_data *d, bp_ns_t first_ns, bp_ns_t last_ns);
/** Is it read at all, also for what was there before? */
bool bp_data_reads(const struct bp_data *d, bp_ns_t first_ns, bp_ns_t last_ns);
/** The next segment in the order of time. @param name  copied; @return 0, -ENOMEM */
BP_MUST_CHECK int bp_data_add(struct bp_data *d, const char *name, bp_ns_t first_ns,
                              bp_ns_t last_ns, struct bp_error *err);

/* Where the bytes are. */
struct bp_data_source {
    int (*open)(void *ctx, size_t i, struct bp_reads *ret, struct bp_error *err);
    void (*close)(void *ctx, struct bp_reads *r);
    void (*done)(void *ctx); /* called once, whatever becomes of the reply */
    void *ctx;
    unsigned missing; /* segments of that time that are not here */
    bool settled;     /* nothing of it changes any more: it may be kept by who asked */
};

/**
 * Answers with the slice.
 *
 * @param name  of the session, for the file's name
 * @param d     taken over, also on failure
 * @param src   copied; its ctx is taken over, also on failure
 * @return as bp_pump_reply()
 */
BP_MUST_CHECK int bp_data_reply(struct bp_pumps *pumps, struct bp_http_reply *reply,
                                const char *name, struct bp_data *d,
                                const struct bp_data_source *src, struct bp_error *err);

/** Appends its families. */
void bp_data_put_metrics(struct bp_pumps *pumps, struct bp_buf *out);

/* How many replies are written at once. */
enum { BP_DATA_PUMPS = 16 };

/** The route's query, for OpenAPI. */
#define BP_DATA_QUERY "topics from to format prior max_bytes width quality max_points"
/** What it answers with, by `format`. */
#define BP_DATA_TYPES \
    "application/x-mcap application/x-ndjson text/csv application/x-bagpipe-frames"
/** Rows of a table of parameters. */
#define BP_DATA_PARAMS                                                                       \
    { "topics", "{\"type\": \"string\"}", "names with commas between them; * is anything" }, \
        { "from", "{\"type\": \"string\"}",                                                  \
          "log time in nanoseconds since 1970, or +90s after the session began" },           \
        { "to", "{\"type\": \"string\"}", "before this time, said the same way" },           \
        { "format", "{\"enum\": [\"mcap\", \"json\", \"csv\", \"frames\"]}",                 \
          "of the reply [mcap]" },                                                           \
        { "prior", "{\"type\": \"boolean\"}",                                                \
          "first the last message before 'from' of each topic; json and frames" },           \
        { "max_bytes", "{\"type\": \"integer\", \"minimum\": 0}",                            \
          "cut the connection when the slice gets larger; frames: end them there [4 MiB]" }, \
        { "width", "{\"type\": \"integer\", \"minimum\": 16}",                               \
          "of pictures in frames, at most [1280]" },                                         \
        { "quality", "{\"type\": \"integer\", \"minimum\": 1, \"maximum\": 100}",            \
          "of their JPEG [75]" },                                                            \
    {                                                                                        \
        "max_points", "{\"type\": \"integer\", \"minimum\": 1}",                             \
            "of clouds in frames, at most [20000]"                                           \
    }
