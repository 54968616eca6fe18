#include <errno.h>
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "cli/top-draw.h"

/* Screens are compared with files beside this one; BP_GOLDEN_WRITE=1 writes them anew. */
static const char *golden_dir;

static json_t *parsed(const char *text) {
    json_error_t e;
    json_t *o = json_loads(text, 0, &e);

    if (!o)
        fail_msg("%s: %s", e.text, text);
    return o;
}

static const char status_text[] =
    "{\"version\":\"0.1.0\",\"state\":\"recording\",\"uptime_s\":3723.4,\"sessions\":{\"running\":2,"
    "\"lost\":12},\"graph\":{\"topics\":5,\"writers\":6,\"subscribed\":4,\"received\":%lld,"
    "\"received_bytes\":%lld,\"udp_drops\":3},\"ring\":{\"used\":2629632,\"size\":33554432},"
    "\"storage\":{\"dir\":\"/var/lib/bagpipe\",\"free\":71634055168,\"size\":270553174016},"
    "\"back_pressure\":{\"fullest_ring\":0.61,\"accepts\":\"all\"},"
    "\"degraded\":[{\"why\":\"cpu\",\"step\":\"no_compression\"}],"
    "\"robots\":[{\"robot\":\"robot1\",\"topics\":4,\"rate\":300.5,\"byte_rate\":17440423.9,\"lost\":12},"
    "{\"robot\":\"vm\",\"topics\":1,\"rate\":1,\"byte_rate\":216,\"lost\":0}]}";

static const char topics_text[] =
    "{\"topics\":["
    "{\"topic\":\"/robot1/imu\",\"type\":\"sensor_msgs/msg/Imu\",\"robot\":\"robot1\",\"domain\":0,"
    "\"writers\":1,\"sessions\":2,\"rate_hz\":%g,\"bytes_per_s\":33200,\"age_s\":0.01,"
    "\"lost\":{\"ring\":10,\"rate\":2}},"
    "{\"topic\":\"/robot1/camera/image_raw\",\"type\":\"sensor_msgs/msg/Image\",\"robot\":\"robot1\","
    "\"domain\":0,\"writers\":1,\"sessions\":1,\"rate_hz\":15.5,\"bytes_per_s\":14280000,"
    "\"age_s\":0.06,\"lost\":{}},"
    "{\"topic\":\"/robot1/battery_state\",\"type\":\"sensor_msgs/msg/BatteryState\",\"domain\":0,"
    "\"robot\":\"robot1\",\"rate_hz\":1,\"bytes_per_s\":148,\"age_s\":75,\"lost\":{}},"
    "{\"topic\":\"/\xc3\xbc\x62\xe2\x82\xac/\xe6\xbc\xa2\xe5\xad\x97\",\"type\":\"x/msg/Y\",\"domain\":0,"
    "\"robot\":\"robot1\",\"rate_hz\":2000,\"bytes_per_s\":5,\"age_s\":0,\"lost\":{}},"
    "{\"topic\":\"/rosout\",\"type\":\"rcl_interfaces/msg/Log\",\"domain\":0,\"robot\":\"vm\","
    "\"rate_hz\":null,\"bytes_per_s\":null,\"age_s\":null,\"lost\":{}}]}";

static const char sessions_text[] =
    "{\"sessions\":[{\"id\":\"B\",\"name\":\"light\",\"status\":\"recording\",\"started_ns\":"
    "\"1700000060000000000\",\"messages\":678,\"bytes\":38100992,\"lost\":0,\"class\":\"session\"},"
    "{\"id\":\"A\",\"name\":\"every_\\u001b[31mevil\",\"status\":\"recording\",\"started_ns\":"
    "\"1700000000000000000\",\"messages\":123456,\"bytes\":8100992000,\"lost\":12}]}";

static const char alerts_text[] =
    "{\"alerts\":[{\"severity\":\"warning\",\"key\":\"messages.lost\",\"text\":\"messages are refused\"},"
    "{\"severity\":\"critical\",\"key\":\"disk.low\",\"text\":\"little is left\\nreally\"}]}";

static const char logs_text[] =
    "{\"lines\":[{\"time_ns\":\"1700000000000000000\",\"level\":\"notice\",\"text\":\"agent is ready\"},"
    "{\"time_ns\":\"1700000001000000000\",\"level\":\"warning\",\"text\":\"it is \\u009b2Jhot\"}]}";

static const char host_text[] =
    "{\"cpu\":{\"busy\":0.42,\"load\":[1.5,1,1]},\"memory\":{\"total\":1000,\"available\":750},"
    "\"temperatures\":[{\"label\":\"x\",\"celsius\":51.2},{\"celsius\":64}]}";

/* Round number k of an agent that gets 100 messages a second more each second. */
static void round_of(struct bp_top_model *m, int k) {
    char status[2048], topics[2048];
    json_t *d[6];

    (void) snprintf(status, sizeof status, status_text, 100LL * k * (k + 1) / 2, 1000000LL * k);
    (void) snprintf(topics, sizeof topics, topics_text, 50.0 * (k % 8));
    d[0] = parsed(status);
    d[1] = parsed(topics);
    d[2] = parsed(sessions_text);
    d[3] = parsed(alerts_text);
    d[4] = parsed(logs_text);
    d[5] = parsed(host_text);
    assert_int_equal(bp_top_update(m, &(struct bp_top_docs){ .status = d[0],
                                                             .topics = d[1],
                                                             .recording = d[2],
                                                             .alerts = d[3],
                                                             .logs = d[4],
                                                             .host = d[5],
                                                             .mono = (k + 1) * BP_SEC }),
                     0);
    for (size_t i = 0; i < BP_COUNT(d); i++)
        json_decref(d[i]);
}

static void rates_are_differences(void **state) {
    struct bp_top_model m = { 0 };

    (void) state;
    round_of(&m, 0);
    assert_true(fabs(m.hz - 301.5) < 1e-6); /* what the agent says of its robots */
    for (int k = 1; k < 100; k++)
        round_of(&m, k);
    assert_true(fabs(m.hz - 9900) < 1e-6);
    assert_true(fabs(m.bytes_per_s - 1e6) < 1e-3);
    assert_int_equal(m.rates.n, BP_TOP_HISTORY);
    assert_true(m.rates.v[0] == 4000 && m.rates.v[BP_TOP_HISTORY - 1] == 9900);
    round_of(&m, 2); /* another agent: its counters are lower */
    assert_true(fabs(m.hz - 301.5) < 1e-6);
    assert_int_equal(m.lost, 12);
    assert_true(m.temperature == 64 && m.memory == 0.25);
    bp_top_gone(&m, "away\n");
    assert_false(m.there);
    assert_string_equal(m.trouble, "away?");
    round_of(&m, 3);
    assert_true(m.there && fabs(m.hz - 301.5) < 1e-6);
    bp_top_model_done(&m);
}

static const char *shown(const struct bp_top_model *m, size_t i) {
    return m->topic[m->shown[i]].name;
}

static void topics_sort_and_filter(void **state) {
    struct bp_top_model m = { 0 };

    (void) state;
    round_of(&m, 3);
    assert_int_equal(m.nshown, 5);
    assert_string_equal(shown(&m, 0), "/robot1/battery_state");
    bp_top_sort(&m, BP_TOP_BY_NAME);
    assert_string_equal(shown(&m, 4), "/robot1/battery_state");
    bp_top_sort(&m, BP_TOP_BY_RATE);
    assert_string_equal(shown(&m, 1), "/robot1/imu");
    bp_top_sort(&m, BP_TOP_BY_BYTES);
    assert_string_equal(shown(&m, 0), "/robot1/camera/image_raw");
    bp_top_sort(&m, BP_TOP_BY_LOST);
    assert_string_equal(shown(&m, 0), "/robot1/imu");
    bp_top_sort(&m, BP_TOP_BY_LOST);
    assert_string_equal(shown(&m, 4), "/robot1/imu");
    bp_top_filter(&m, "IMAGE");
    assert_int_equal(m.nshown, 1);
    bp_top_filter(&m, "vm");
    assert_string_equal(shown(&m, 0), "/rosout");
    bp_top_filter(&m, "nothing");
    assert_int_equal(m.nshown, 0);
    round_of(&m, 4);
    assert_int_equal(m.nshown, 0);
    bp_top_filter(&m, "");
    assert_int_equal(m.nshown, 5);
    bp_top_model_done(&m);
}

static json_t *many_topics(int first, int n) {
    json_t *list = json_array();

    for (int i = first; i < first + n; i++)
        (void) json_array_append_new(
            list, json_pack("{s:s, s:i, s:f}", "topic", "/t", "domain", i, "rate_hz", (double) i));
    return json_pack("{s:o}", "topics", list);
}

static void lists_are_bounded(void **state) {
    struct bp_top_model m = { 0 };
    json_t *a = many_topics(0, BP_TOP_TOPICS + 7), *b = many_topics(3, 10);

    (void) state;
    assert_int_equal(bp_top_update(&m, &(struct bp_top_docs){ .topics = a }), 0);
    assert_int_equal(m.ntopics, BP_TOP_TOPICS);
    assert_int_equal(m.hidden, 7);
    assert_int_equal(bp_top_update(&m, &(struct bp_top_docs){ .topics = b }), 0);
    assert_int_equal(m.ntopics, 10); /* those that are gone, are gone */
    assert_int_equal(m.topic[0].domain, 3);
    assert_int_equal(m.topic[0].rates.n, 2); /* and those that stay remember */
    json_decref(a);
    json_decref(b);
    bp_top_model_done(&m);
}

static void sessions_are_chosen(void **state) {
    struct bp_top_model m = { 0 };
    json_t *o;

    (void) state;
    assert_null(bp_top_chosen(&m));
    bp_top_choose_next(&m);
    o = parsed("{\"sessions\":[{\"id\":\"X\",\"class\":\"snapshot\",\"started_ns\":\"1\"},"
               "{\"id\":\"Y\",\"class\":\"session\",\"started_ns\":\"2\"}]}");
    assert_int_equal(bp_top_update(&m, &(struct bp_top_docs){ .recording = o, .paused = o }), 0);
    json_decref(o);
    assert_int_equal(m.nsessions, 2);
    assert_string_equal(bp_top_chosen(&m)->id, "Y"); /* not the snapshot */
    round_of(&m, 1);
    assert_string_equal(bp_top_chosen(&m)->id, "A"); /* began first */
    bp_top_choose_next(&m);
    assert_string_equal(bp_top_chosen(&m)->id, "B");
    round_of(&m, 2);
    assert_string_equal(bp_top_chosen(&m)->id, "B");
    bp_top_choose_next(&m);
    assert_string_equal(bp_top_chosen(&m)->id, "A");
    assert_int_equal(bp_top_update(&m, &(struct bp_top_docs){ .mono = 1 }), 0);
    assert_null(bp_top_chosen(&m));
    bp_top_model_done(&m);
}

static void texts_are_cleaned(void **state) {
    static const struct {
        const char *in, *want;
        size_t cap;
    } cases[] = {
        { "/plain", "/plain", 64 },
        { "a\x1b[2Jb\r\n\t\x7f", "a?[2Jb????", 64 },
        { "a\xc2\x9b\x32Jb", "a?2Jb", 64 }, /* CSI of the upper set */
        { "a\xe2\x80\xae"
          "b",
          "a?b", 64 }, /* turns the direction */
        { "a\xff\xc3(\xc0\x80",
          "a?"
          "?(?"
          "?",
          64 },                                  /* no UTF-8 */
        { "\xed\xa0\x80\xf5\x80", "?????", 64 }, /* half a surrogate, beyond the end */
        { "\xc3\xbc\xe2\x82\xac\xf0\x9f\xa4\x96", "\xc3\xbc\xe2\x82\xac\xf0\x9f\xa4\x96", 64 },
        { "\xc3\xbc\xc3\xbc", "\xc3\xbc", 4 }, /* not half a character */
        { "\xe2\x82", "??", 64 },
        { NULL, "", 64 },
        { "abc", "", 1 },
    };
    char got[64];

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        bp_top_clean(got, cases[i].cap, cases[i].in);
        assert_string_equal(got, cases[i].want);
    }
}

static char *screen_text(const struct bp_top_screen *s) {
    struct bp_buf b = { 0 };

    for (int i = 0; i < s->height; i++) {
        bp_top_row(s, i, &b);
        bp_buf_put_u8(&b, '\n');
    }
    return bp_buf_take_cstr(&b);
}

static void compare(const char *name, const char *got) {
    char path[512];
    BP_AUTO_FREE char *want = calloc(1, 65536);
    FILE *f;

    (void) snprintf(path, sizeof path, "%s/%s.txt", golden_dir, name);
    if (getenv("BP_GOLDEN_WRITE")) {
        f = fopen(path, "w");
        assert_non_null(f);
        (void) fputs(got, f);
        assert_int_equal(fclose(f), 0);
    }
    f = fopen(path, "r");
    if (!f)
        fail_msg("%s: %s", path, strerror(errno));
    assert_true(fread(want, 1, 65535, f) > 0);
    (void) fclose(f);
    assert_string_equal(got, want);
}

static void screens_are_as_before(void **state) {
    static const struct {
        const char *name;
        int width, height;
        struct bp_top_view v;
        bool gone;
    } cases[] = {
        { "80x24", 80, 24, { .utf8 = true }, false },
        { "120x40", 120, 40, { .utf8 = true }, false },
        { "50x12", 50, 12, { .utf8 = true }, false },
        { "80x24-ascii",
          80,
          24,
          { .utf8 = false, .prompt = "text of the mark:", .typed = "hit" },
          false },
        { "40x10", 40, 10, { .utf8 = true, .note = "marked" }, false },
        { "39x9", 39, 9, { .utf8 = true }, false },
        { "80x24-help", 80, 24, { .utf8 = true, .help = true }, false },
        { "80x24-gone", 80, 24, { .utf8 = true }, true },
    };
    struct bp_top_screen s = { 0 };
    struct bp_top_model m = { 0 };

    (void) state;
    for (int k = 0; k < 30; k++)
        round_of(&m, k);
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_top_view v = cases[i].v;
        char *got;

        if (cases[i].gone)
            bp_top_gone(&m, "nobody answers");
        v.url = "unix:/run/bagpipe/agent.sock";
        v.wall_ns = 1700000100LL * BP_SEC;
        assert_int_equal(bp_top_draw(&m, &v, cases[i].width, cases[i].height, &s, NULL), 0);
        got = screen_text(&s);
        assert_non_null(got);
        compare(cases[i].name, got);
        free(got);
    }
    bp_top_screen_done(&s);
    bp_top_model_done(&m);
}

/* Any size holds: nothing is written beside the screen (ASan looks on), and nothing but text is on
 * it. */
static void every_size_holds(void **state) {
    struct bp_top_screen s = { 0 };
    struct bp_top_model m = { 0 };
    struct bp_top_view v = {
        .url = "http://robot:9090", .utf8 = true, .prompt = "?", .typed = "x"
    };
    int page;

    (void) state;
    for (int k = 0; k < 4; k++)
        round_of(&m, k);
    for (int w = 0; w < 140; w += 3) {
        for (int h = 0; h < 50; h++) {
            v.utf8 = h % 2;
            m.top = 1000;
            assert_int_equal(bp_top_draw(&m, &v, w, h, &s, &page), 0);
            assert_true(page >= 1);
            for (int i = 0; i < s.width * s.height; i++)
                assert_false((s.cells[i].rune && s.cells[i].rune < 0x20) ||
                             (s.cells[i].rune >= 0x7f && s.cells[i].rune < 0xa0) ||
                             (!v.utf8 && s.cells[i].rune > 0x7e));
        }
    }
    bp_top_screen_done(&s);
    bp_top_model_done(&m);
}

static void report_tells_everything(void **state) {
    static const char *const words[] = { "recording",
                                         "degraded: cpu",
                                         "lost     12",
                                         "no upstream",
                                         "robot1, 4 topics",
                                         "every_?[31mevil",
                                         "disk.low: little is left?really",
                                         "/robot1/camera/image_raw",
                                         "14.3 MB" };
    struct bp_top_model m = { 0 };
    BP_AUTO_BUF b = { 0 };

    (void) state;
    round_of(&m, 0);
    bp_top_report(&m, &(struct bp_top_view){ .url = "x", .wall_ns = 1700000100LL * BP_SEC }, &b);
    for (size_t i = 0; i < BP_COUNT(words); i++)
        assert_non_null(strstr(bp_buf_cstr(&b), words[i]));
    bp_top_model_done(&m);
}

int main(int argc, char *argv[]) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_differences), cmocka_unit_test(topics_sort_and_filter),
        cmocka_unit_test(lists_are_bounded),     cmocka_unit_test(sessions_are_chosen),
        cmocka_unit_test(texts_are_cleaned),     cmocka_unit_test(screens_are_as_before),
        cmocka_unit_test(every_size_holds),      cmocka_unit_test(report_tells_everything),
    };

    locale_t chars;

    golden_dir = argc > 1 ? argv[1] : "src/cli/top-golden";
    (void) setenv("TZ", "UTC", 1);
    chars = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
    if (!chars)
        return 77;
    (void) uselocale(chars);
    return cmocka_run_group_tests_name("cli/top", tests, NULL, NULL);
}
