#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/metrics.h"

static const int64_t bounds[] = { 1000, 1000000, 1000000000 };
static struct bp_counter ring_drops, disk_drops;
static struct bp_gauge fill;
static struct bp_histogram commit;

static const struct bp_metric rows[] = {
    { .name = "bagpipe_dropped_total",
      .help = "Messages not recorded.",
      .type = BP_METRIC_COUNTER,
      .label = "cause",
      .label_value = "ring",
      .counter = &ring_drops },
    { .name = "bagpipe_dropped_total",
      .help = "Messages not recorded.",
      .type = BP_METRIC_COUNTER,
      .label = "cause",
      .label_value = "disk \"full\"\\\n",
      .counter = &disk_drops },
    { .name = "bagpipe_ring_bytes",
      .help = "Bytes in the ring,\nnow.",
      .type = BP_METRIC_GAUGE,
      .gauge = &fill },
    { .name = "bagpipe_commit_seconds",
      .help = "Time a commit takes.",
      .type = BP_METRIC_HISTOGRAM,
      .scale = 1e-9,
      .histogram = &commit,
      .bounds = bounds,
      .nbounds = BP_COUNT(bounds) },
};

static void renders(void **state) {
    BP_AUTO_BUF out = { 0 };

    (void) state;
    bp_counter_add(&ring_drops, 12345678901234);
    bp_counter_add(&disk_drops, 2);
    bp_gauge_set(&fill, 10);
    bp_gauge_add(&fill, -13);
    bp_histogram_add(&commit, bounds, 3, 1000);
    bp_histogram_add(&commit, bounds, 3, 1001);
    bp_histogram_add(&commit, bounds, 3, 2000000000);
    bp_metrics_render(&out, rows, BP_COUNT(rows));
    assert_string_equal(bp_buf_cstr(&out),
                        "# HELP bagpipe_dropped_total Messages not recorded.\n"
                        "# TYPE bagpipe_dropped_total counter\n"
                        "bagpipe_dropped_total{cause=\"ring\"} 12345678901234\n"
                        "bagpipe_dropped_total{cause=\"disk \\\"full\\\"\\\\\\n\"} 2\n"
                        "# HELP bagpipe_ring_bytes Bytes in the ring,\\nnow.\n"
                        "# TYPE bagpipe_ring_bytes gauge\n"
                        "bagpipe_ring_bytes -3\n"
                        "# HELP bagpipe_commit_seconds Time a commit takes.\n"
                        "# TYPE bagpipe_commit_seconds histogram\n"
                        "bagpipe_commit_seconds_bucket{le=\"1e-06\"} 1\n"
                        "bagpipe_commit_seconds_bucket{le=\"0.001\"} 2\n"
                        "bagpipe_commit_seconds_bucket{le=\"1.0\"} 2\n"
                        "bagpipe_commit_seconds_bucket{le=\"+Inf\"} 3\n"
                        "bagpipe_commit_seconds_sum 2.000002001\n"
                        "bagpipe_commit_seconds_count 3\n");
}

static void openmetrics(void **state) {
    static const struct {
        const char *accept;
        bool want;
    } cases[] = {
        { NULL, false },
        { "*/*", false },
        { "text/plain", false },
        { "application/openmetrics-text; version=1.0.0", true },
        { "text/plain;q=0.5, application/openmetrics-text;version=1.0.0;q=0.75", true },
        { "application/openmetrics-text;q=0.2,text/plain", false },
        { "application/openmetrics-text;q=0", false },
        /* Prometheus 2.42 */
        { "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;"
          "q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
          true },
        { ",,application/openmetrics-text,", true },
    };
    BP_AUTO_BUF text = { 0 };
    BP_AUTO_BUF out = { 0 };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++)
        if (bp_metrics_wants_openmetrics(cases[i].accept) != cases[i].want)
            fail_msg("Accept: %s", cases[i].accept);
    bp_buf_put_str(&text,
                   "# HELP a_total say \"how\"\n# TYPE a_total counter\na_total{x=\"_total\"} 1\n"
                   "# HELP b totals\n# TYPE b gauge\nb 2\n");
    bp_metrics_openmetrics(&text, &out);
    assert_string_equal(bp_buf_cstr(&out),
                        "# HELP a say \\\"how\\\"\n# TYPE a counter\na_total{x=\"_total\"} 1\n"
                        "# HELP b totals\n# TYPE b gauge\nb 2\n# EOF\n");
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(openmetrics), cmocka_unit_test(renders) };

    return cmocka_run_group_tests_name("base/metrics", tests, NULL, NULL);
}
