#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "wire/cdr.h"
#include "wire/expr.h"
#include "wire/schema.h"

#define LINE "================================================================================\n"

static const char definition[] =
    "std_msgs/Header header\nbool flag\nint32 n\nfloat64 x\nfloat64 nan\nuint64 big\nstring s\n"
    "float32[3] arr\nuint8[] bytes\nIn[] ins\nstring[] names\nIn one\nint8 last\n" LINE
    "MSG: p/In\nbyte OK=0\nbyte WARN=1\nbyte ERROR=2\nfloat64 PI=3.14\nbyte level\nstring name\n"
    "float64[] v\n" LINE
    "MSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n" LINE
    "MSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n";

/* ---- the world ---- */

enum { SENT_S = 1700000000 };
#define RECV (SENT_S * BP_SEC + 250 * BP_MS)

static struct topic {
    const char *name, *type;
    struct bp_schema *schema;
    struct bp_buf cdr;
} world[] = {
    { "/all", "p/msg/All", NULL, { 0 } },
    { "/battery", "sensor_msgs/msg/BatteryState", NULL, { 0 } },
    { "/r1/battery_state", "sensor_msgs/msg/BatteryState", NULL, { 0 } },
    { "/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", NULL, { 0 } },
    { "/gps", "sensor_msgs/msg/NavSatFix", NULL, { 0 } },
    { "/nofix", "sensor_msgs/msg/NavSatFix", NULL, { 0 } },
    { "/estop", "std_msgs/msg/Bool", NULL, { 0 } },
    { "/a/b", "std_msgs/msg/Float64", NULL, { 0 } },
    { "/a/b/c", "std_msgs/msg/Float64", NULL, { 0 } },
    { "/quiet", "std_msgs/msg/Float64", NULL, { 0 } },
};

static void put_header(struct bp_cdrw *w) {
    bp_cdrw_i32(w, SENT_S);
    bp_cdrw_u32(w, 0);
    bp_cdrw_str(w, "map");
}

static void put_in(struct bp_cdrw *w, uint8_t level, const char *name, unsigned n) {
    bp_cdrw_u8(w, level);
    bp_cdrw_str(w, name);
    bp_cdrw_u32(w, n);
    for (unsigned i = 0; i < n; i++)
        bp_cdrw_f64(w, level + i * 0.5);
}

static void put_all(struct bp_cdrw *w) {
    const float arr[] = { 1.5F, -2, 30 };

    put_header(w);
    bp_cdrw_u8(w, 1);
    bp_cdrw_i32(w, -7);
    bp_cdrw_f64(w, 2.5);
    bp_cdrw_f64(w, NAN);
    bp_cdrw_u64(w, 1ULL << 40);
    bp_cdrw_str(w, "hello world");
    bp_cdrw_f32s(w, arr, 3);
    bp_cdrw_u32(w, 4);
    bp_cdrw_raw(w, "\1\2\3\xff", 4);
    bp_cdrw_u32(w, 3);
    put_in(w, 0, "fine", 0);
    put_in(w, 2, "motor left", 3);
    put_in(w, 1, "lidar", 1);
    bp_cdrw_u32(w, 2);
    bp_cdrw_str(w, "alpha");
    bp_cdrw_str(w, "beta");
    put_in(w, 1, "one", 2);
    bp_cdrw_u8(w, (uint8_t) -3);
}

static void put_battery(struct bp_cdrw *w, float percentage) {
    const float before[] = { 24.5F, 40, -3.5F, NAN, NAN, NAN };

    put_header(w);
    bp_cdrw_f32s(w, before, 6); /* voltage temperature current charge capacity design_capacity */
    bp_cdrw_f32(w, percentage);
    bp_cdrw_u8(w, 2); /* DISCHARGING */
    bp_cdrw_u8(w, 1);
    bp_cdrw_u8(w, 2);
    bp_cdrw_u8(w, 1);
    bp_cdrw_u32(w, 0);
    bp_cdrw_u32(w, 0);
    bp_cdrw_str(w, "slot");
    bp_cdrw_str(w, "");
}

static void put_diagnostics(struct bp_cdrw *w) {
    put_header(w);
    bp_cdrw_u32(w, 2);
    for (uint8_t i = 0; i < 2; i++) {
        bp_cdrw_u8(w, i * 2);
        bp_cdrw_str(w, i ? "motor" : "lidar");
        bp_cdrw_str(w, i ? "overheated" : "");
        bp_cdrw_str(w, "hw");
        bp_cdrw_u32(w, 1);
        bp_cdrw_str(w, "temp");
        bp_cdrw_str(w, i ? "91" : "20");
    }
}

static void put_fix(struct bp_cdrw *w, uint8_t status) {
    put_header(w);
    bp_cdrw_u8(w, status);
    bp_cdrw_u16(w, 1);
    bp_cdrw_f64(w, 48.137);
    bp_cdrw_f64(w, 11.575);
    bp_cdrw_f64(w, 519);
    for (int i = 0; i < 9; i++)
        bp_cdrw_f64(w, 0);
    bp_cdrw_u8(w, 0);
}

static void put_message(size_t i, struct bp_cdrw *w) {
    switch (i) {
    case 0:
        put_all(w);
        break;
    case 1:
        put_battery(w, 0.125F);
        break;
    case 2:
        put_battery(w, 0.75F);
        break;
    case 3:
        put_diagnostics(w);
        break;
    case 4:
        put_fix(w, 0);
        break;
    case 5:
        put_fix(w, (uint8_t) -1);
        break;
    case 6:
        bp_cdrw_u8(w, 1);
        break;
    default:
        bp_cdrw_f64(w, (double) i);
    }
}

static int open_world(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(world); i++) {
        struct bp_cdrw w;
        BP_AUTO_BUF text = { 0 };

        if (i == 0)
            bp_buf_put_str(&text, definition);
        else
            assert_int_equal(bp_typedb_text(world[i].type, &text, NULL), 0);
        assert_int_equal(bp_schema_parse(world[i].type, "ros2msg",
                                         (struct bp_str){ (char *) text.p, text.n },
                                         &world[i].schema, NULL),
                         0);
        w = bp_cdrw_begin(&world[i].cdr);
        put_message(i, &w);
        bp_cdrw_end(&w);
    }
    return 0;
}

static int close_world(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(world); i++) {
        bp_schema_free(world[i].schema);
        bp_buf_done(&world[i].cdr);
    }
    return 0;
}

static const struct topic *lookup(const struct bp_expr *e, size_t i) {
    const struct topic *best = NULL;
    size_t most = 0;

    for (size_t k = 0; k < BP_COUNT(world); k++) {
        char capture[64];
        size_t n = bp_expr_fits(e, i, world[k].name, capture, sizeof capture);

        if (n > most) {
            most = n;
            best = &world[k];
        }
    }
    return best;
}

static double on_ask(void *ctx, const struct bp_expr_ask *ask) {
    (void) ctx;
    switch (ask->source) {
    case BP_SOURCE_SILENT:
        return 3;
    case BP_SOURCE_RATE:
        return 9.5;
    case BP_SOURCE_SEEN:
        return 1;
    case BP_SOURCE_NODE_GONE:
        return strcmp(ask->text, "/driver") == 0;
    case BP_SOURCE_EXTERNAL:
        return NAN;
    case BP_SOURCE_DISK_FREE:
        return 4.0 * (1 << 30);
    default:
        return 0.95;
    }
}

/* Parses, binds, feeds all but /quiet. @return 0 or the first failure */
static int run(const char *text, bool feed, enum bp_truth *ret, enum bp_truth *ret_until,
               struct bp_error *err) {
    static const struct bp_expr_env env = { on_ask, NULL };
    BP_CLEANUP(bp_expr_freep) struct bp_expr *e = NULL;
    BP_CLEANUP(bp_program_freep) struct bp_program *p = NULL;
    BP_CLEANUP(bp_state_freep) struct bp_state *s = NULL;
    struct bp_expr_bound bound[BP_EXPR_MAX_TOPICS] = { 0 };
    int r = bp_expr_parse(text, &e, err);

    if (r < 0)
        return r;
    for (size_t i = 0; i < bp_expr_topics(e); i++) {
        const struct topic *t = lookup(e, i);

        if (t)
            bound[i] = (struct bp_expr_bound){ t->name, t->schema };
    }
    r = bp_program_new(e, bound, &p, err);
    if (r < 0)
        return r;
    s = bp_state_new(e);
    assert_non_null(s);
    for (size_t i = 0; feed && i < bp_expr_topics(e); i++) {
        const struct topic *t = lookup(e, i);

        if (t && strcmp(t->name, "/quiet") != 0)
            assert_int_equal(bp_program_feed(p, s, i, t->cdr.p, t->cdr.n, RECV, NULL), 0);
    }
    *ret = bp_program_when(p, s, &env);
    *ret_until = bp_program_until(p, s, &env);
    return 0;
}

/* ---- what is true ---- */

static const struct {
    const char *text;
    enum bp_truth want;
} truths[] = {
    { "/all.flag", BP_TRUE },
    { "not /all.flag", BP_FALSE },
    { "/all.flag == true", BP_TRUE },
    { "/all.flag != true", BP_FALSE },
    { "/all.n == -7", BP_TRUE },
    { "/all.n < -7", BP_FALSE },
    { "/all:n <= -7 and /all:x > 2", BP_TRUE },
    { "/all.x + 1 * 2 == 4.5", BP_TRUE },
    { "(/all.x + 1) * 2 == 7", BP_TRUE },
    { "-/all.n % 4 == 3", BP_TRUE },
    { "/all.x / 0 > 1e300", BP_TRUE },
    { "1 - 2 - 3 == -4", BP_TRUE },
    { "/all.big == 1TiB", BP_TRUE },
    { "/all.x within 2..3", BP_TRUE },
    { "/all.x outside 2.5..3", BP_FALSE },
    { "/all.x outside 2.6..3", BP_TRUE },
    { "/all.nan < 1", BP_UNKNOWN },
    { "not /all.nan < 1", BP_UNKNOWN },
    { "isnan(/all.nan)", BP_TRUE },
    { "/all.nan < 1 or /all.flag", BP_TRUE },
    { "/all.nan < 1 and false", BP_FALSE },
    { "/all.nan < 1 and true", BP_UNKNOWN },
    { "/all.s == \"hello world\"", BP_TRUE },
    { "/all.s != 'hello world'", BP_FALSE },
    { "'hello' == /all.s", BP_FALSE },
    { "contains(/all.s, \"lo w\")", BP_TRUE },
    { "contains(/all.s, \"low\")", BP_FALSE },
    { "starts_with(/all.s, 'hello ')", BP_TRUE },
    { "starts_with(/all.s, 'hello world!')", BP_FALSE },
    { "len(/all.s) == 11", BP_TRUE },
    { "/all.header.frame_id == 'map'", BP_TRUE },
    { "/all.header.stamp.sec == 1700000000", BP_TRUE },
    { "/all.arr[0] == 1.5", BP_TRUE },
    { "/all.arr[2] == 30 and /all.arr[1] == -2", BP_TRUE },
    { "/all.arr[*] > 29", BP_TRUE },
    { "/all.arr[*] > 30", BP_FALSE },
    { "/all.arr[*] * 2 + 1 == -3", BP_TRUE },
    { "not (/all.arr[*] > 30)", BP_TRUE },
    { "max(/all.arr) == 30 and min(/all.arr) == -2", BP_TRUE },
    { "sum(/all.arr) == 29.5", BP_TRUE },
    { "abs(avg(/all.arr) - 9.8333) < 1e-3", BP_TRUE },
    { "len(/all.arr) == 3 and len(/all.bytes) == 4", BP_TRUE },
    { "/all.bytes[3] == 255 and /all.bytes[*] == 2", BP_TRUE },
    { "/all.bytes[4] == 0", BP_UNKNOWN }, /* there is none */
    { "len(/all.ins) == 3 and len(/all.names) == 2", BP_TRUE },
    { "/all.ins[*].level >= ERROR", BP_TRUE },
    { "/all.ins[*].level > ERROR", BP_FALSE },
    { "/all.ins[1].level == ERROR", BP_TRUE },
    { "/all.ins[0].level == OK and /all.ins[2].level == WARN", BP_TRUE },
    { "/all.ins[7].level == OK", BP_UNKNOWN },
    { "/all.ins[7].name == 'x'", BP_UNKNOWN },
    { "/all.ins[*].name == 'lidar'", BP_TRUE },
    { "contains(/all.ins[*].name, 'motor')", BP_TRUE },
    { "/all.ins[*].v[*] == 3", BP_TRUE },
    { "/all.ins[*].v[*] == 3.1", BP_FALSE },
    { "/all.ins[*].v[2] == 3", BP_TRUE },
    { "/all.ins[1].v[*] == 1", BP_FALSE },
    { "max(/all.ins[*].v) == 3", BP_TRUE },
    { "sum(/all.ins[*].level) == 3", BP_TRUE },
    { "len(/all.ins[1].v) == 3 and len(/all.ins[0].v) == 0", BP_TRUE },
    { "len(/all.ins[1].name) == 10", BP_TRUE },
    { "/all.ins[0].v[*] == 1", BP_FALSE }, /* no item: none is */
    { "avg(/all.ins[0].v) == 0", BP_UNKNOWN },
    { "sum(/all.ins[0].v) == 0", BP_TRUE },
    { "max(/all.ins[0].v) > 0", BP_UNKNOWN },
    { "/all.names[*] == 'beta'", BP_TRUE },
    { "/all.names[0] == 'beta'", BP_FALSE },
    { "/all.names[1] == 'beta'", BP_TRUE },
    { "len(/all.names[1]) == 4", BP_TRUE },
    { "/all.one.level == WARN and /all.one.v[1] == 1.5", BP_TRUE },
    { "/all.one.v[0] < PI", BP_TRUE },
    { "/all.last == -3", BP_TRUE },
    { "/all.last == -3 and /all.n == -7 and /all.ins[*].level == ERROR", BP_TRUE },
    { "min(/all.n, /all.x) == -7 and max(3, /all.x) == 3", BP_TRUE },
    { "hypot(3, 4) == 5 and sqrt(16) == 4 and abs(-2) == 2", BP_TRUE },
    { "age(/all) within 0.249..0.251", BP_TRUE },
    { "age(/all) > 300ms", BP_FALSE },
    { "/battery/percentage < 15%", BP_TRUE },
    { "/battery/percentage < 0.15", BP_TRUE },
    { "/battery.percentage < 0.125", BP_FALSE },
    { "/*/battery_state.percentage == 75%", BP_TRUE },
    { "/r1/battery_state/percentage == 75%", BP_TRUE },
    { "/r*/battery_state.voltage > 24 and /battery.current < 0", BP_TRUE },
    { "/battery.power_supply_status == POWER_SUPPLY_STATUS_DISCHARGING", BP_TRUE },
    { "/battery.present", BP_TRUE },
    { "/diagnostics[*].level >= 2", BP_TRUE },
    { "/diagnostics.status[*].level > 2", BP_FALSE },
    { "/diagnostics/status[*].level >= ERROR", BP_TRUE },
    { "/diagnostics[*].values[*].value == '91'", BP_TRUE },
    { "inside(/gps, (48, 11), (49, 11), (49, 12), (48, 12))", BP_TRUE },
    { "inside(/gps, (48, 11.6), (49, 11.6), (49, 12), (48, 12))", BP_FALSE },
    { "inside(/gps, (48, 11), (49, 11), (48, 12))", BP_TRUE },
    { "inside(/gps, (49, 11), (49, 12), (48, 12))", BP_FALSE },
    { "inside(/nofix, (48, 11), (49, 11), (49, 12), (48, 12))", BP_UNKNOWN },
    { "/estop", BP_TRUE },
    { "not /estop.data", BP_FALSE },
    { "/a/b == 7 and /a/b/c == 8", BP_TRUE }, /* the longest topic that is there */
    { "/a/b.data == 7", BP_TRUE },
    { "/quiet > 1", BP_UNKNOWN },
    { "/nowhere.x > 1", BP_UNKNOWN },
    { "/nowhere.x > 1 or /estop", BP_TRUE },
    { "silent(/a/b) > 2s", BP_TRUE },
    { "rate(/a/b) outside 8..12", BP_FALSE },
    { "rate(/a/b, 10s) < 9.6 and seen(/a/b)", BP_TRUE },
    { "node_gone('/driver') and not node_gone('/other')", BP_TRUE },
    { "external('door')", BP_UNKNOWN },
    { "disk.free < 5GiB and cpu > 90%", BP_TRUE },
    { "disk.free < 4GB", BP_FALSE },
    { "!false && (true || false)", BP_TRUE },
};

static void test_truths(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(truths); i++) {
        struct bp_error err = { 0 };
        enum bp_truth got, until;
        int r = run(truths[i].text, true, &got, &until, &err);

        if (r < 0)
            fail_msg("%s: %s", truths[i].text, err.text);
        if (got != truths[i].want)
            fail_msg("%s: %d, expected %d", truths[i].text, got, truths[i].want);
        if (until != (got == BP_UNKNOWN ? BP_UNKNOWN : got == BP_TRUE ? BP_FALSE : BP_TRUE))
            fail_msg("%s: the end is not the opposite", truths[i].text);
    }
}

/* Before any message everything about topics is unknown. */
static void test_unfed(void **state) {
    enum bp_truth got, until;

    (void) state;
    assert_int_equal(run("/all.n < 0", false, &got, &until, NULL), 0);
    assert_int_equal(got, BP_UNKNOWN);
    assert_int_equal(run("/all.ins[*].level < 9", false, &got, &until, NULL), 0);
    assert_int_equal(got, BP_UNKNOWN);
    assert_int_equal(
        run("/all.s == 'x' or inside(/gps, (1,2),(3,4),(5,7))", false, &got, &until, NULL), 0);
    assert_int_equal(got, BP_UNKNOWN);
}

static void test_until(void **state) {
    struct bp_expr *e = NULL;
    enum bp_truth got, until;

    (void) state;
    assert_int_equal(run("/battery.percentage < 20% until > 10%", true, &got, &until, NULL), 0);
    assert_int_equal(got, BP_TRUE);
    assert_int_equal(until, BP_TRUE);
    assert_int_equal(
        run("/battery.percentage < 20% for 5s until /estop and > 30%", true, &got, &until, NULL),
        BP_EUSAGE);
    assert_int_equal(run("/all.x * 2 > 4 until < 4", true, &got, &until, NULL), 0);
    assert_int_equal(until, BP_FALSE);
    assert_int_equal(run("/all.arr[*] > 4 until outside 1..31", true, &got, &until, NULL),
                     BP_EUSAGE);
    assert_int_equal(run("/all.arr[*] > 4 until < 1", true, &got, &until, NULL), 0);
    assert_int_equal(until, BP_TRUE);
    assert_int_equal(bp_expr_parse("/a.b > 1 for 1min30s until not /c", &e, NULL), BP_EUSAGE);
    assert_int_equal(bp_expr_parse("/a.b > 1 for 1.5min until not /c", &e, NULL), 0);
    assert_int_equal(bp_expr_for(e), 90 * BP_SEC);
    assert_true(bp_expr_has_until(e) && bp_expr_needs_time(e));
    assert_int_equal(bp_expr_topics(e), 2);
    bp_expr_free(e);
}

/* ---- what is refused, and where ---- */

static const struct {
    const char *text;
    const char *says;
    int column; /* of the caret; -1 = none */
} refused[] = {
    { "", "something is missing", 0 },
    { "/all.n <", "something is missing", 8 },
    { "/all.n < 5 5", "expected an operator", 11 },
    { "/all.n = 5", "'=='", 7 },
    { "/all.n + 2", "not a condition", 0 },
    { "5", "this is a number, not a condition", 0 },
    { "1 < /all.n < 5", "within 1..2", 11 },
    { "/all.n < abc", "unknown word 'abc'", 9 },
    { "/all.n < 5 adn true", "expected an operator", 11 },
    { "silnet(/all) > 2", "did you mean 'silent'", 0 },
    { "dsk.free > 2", "did you mean 'disk.free'", 0 },
    { "silent(/all.n) > 2", "a topic alone", 11 },
    { "silent(all) > 2", "expected a topic", 7 },
    { "rate(/all, 1h) > 2", "0.5s to 10min", 13 },
    { "/all.n < 5m", "unknown unit", 10 },
    { "/all.n < 5 for", "expected a number", 14 },
    { "/all.n < 5 for 8s or true", "about the whole condition", 18 },
    { "/all.n < 5 for 8d", "at most 7d", 15 },
    { "(/all.n < 5", "expected ')'", 11 },
    { "/all.s == \"x", "never closed", 10 },
    { "/all.", "expected a field's name", 5 },
    { "/all.ins[x].level > 1", "number or * in brackets", 8 },
    { "/al//l.n > 1", "two of them together", 3 },
    { "/**/b.x > 1", "one * between", 2 },
    { "/all.zzzzz < 5", "p/msg/All has no field 'zzzzz'; it has header, flag, n", 5 },
    { "/all.one.levl < 5", "did you mean 'level'", 9 },
    { "/battery/persentage < 1", "did you mean 'percentage'", 9 },
    { "/all.ins.level < 5", "'ins' is an array: say which item", 8 },
    { "/all.ins[*] < 5", "'ins' is a p/msg/In: name one of its fields", 0 },
    { "/all.n.x < 5", "'n' has no fields", 6 },
    { "/all.n[0] < 5", "'n' is not an array", 5 },
    { "/all.arr[3] < 5", "'arr' has 3 items", 5 },
    { "/all.arr < 5", "take an item", 0 },
    { "/all < 5", "has several fields", 4 },
    { "/all[0].x < 5", "no array, or several", 4 },
    { "/all.s < 5", "expected a number, this is a text", 0 },
    { "/all.n == 'x'", "cannot compare a number with a text", 10 },
    { "/all.n and true", "expected a condition, this is a number", 0 },
    { "/all.s and true", "compare this with something", 0 },
    { "/all.s == /all.s", "compared with a number, a text in quotes", 10 },
    { "/all.arr[*] == /all.arr[*]", "compared with a number", 15 },
    { "/all.arr[*] < rate(/all)", "any item of an array", 14 },
    { "/all.flag[*]", "not an array", 5 },
    { "/all.one.level == EROR", "did you mean 'ERROR'", 18 },
    { "FOO == 1", "compared with a field of its message", 0 },
    { "contains(/all.n, 'x')", "expected a text, this is a number", 9 },
    { "len(/all.n) > 1", "neither an array nor a text", 0 },
    { "max(/all.names) > 1", "is no number", 0 },
    { "max(/all.n) > 1", "not an array", 0 },
    { "age(/estop) > 1", "no header", 0 },
    { "inside(/estop, (1,2),(3,4),(5,6))", "latitude", 0 },
    { "inside(/gps, (1,2),(3,4))", "three points", 24 },
    { "inside(/gps, (91,2),(3,4),(5,6))", "-90 and 90", 14 },
    { "node_gone(/driver)", "in quotes", 10 },
    { "\"\xc3\xa4\xc3\xb6\" == 5", "cannot compare a text with a number", 8 },
};

static void test_refused(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(refused); i++) {
        struct bp_error err = { 0 };
        enum bp_truth got, until;
        int r = run(refused[i].text, true, &got, &until, &err);
        const char *line = strrchr(err.text, '\n');

        if (r != BP_EUSAGE)
            fail_msg("'%s' is accepted", refused[i].text);
        if (!strstr(err.text, refused[i].says))
            fail_msg("'%s': %s", refused[i].text, err.text);
        if (!line || strcspn(line, "^") - 3 != (size_t) refused[i].column)
            fail_msg("'%s': not column %d: %s", refused[i].text, refused[i].column, err.text);
    }
}

static void test_limits(void **state) {
    struct bp_expr *e = NULL;
    BP_AUTO_BUF b = { 0 };

    (void) state;
    for (int i = 0; i < 100; i++)
        bp_buf_put_str(&b, "(");
    assert_int_equal(bp_expr_parse(bp_buf_cstr(&b), &e, NULL), BP_ELIMIT);
    bp_buf_clear(&b);
    for (int i = 0; i < 100; i++)
        bp_buf_put_str(&b, "-");
    assert_int_equal(bp_expr_parse(bp_buf_cstr(&b), &e, NULL), BP_ELIMIT);
    bp_buf_clear(&b);
    bp_buf_put_str(&b, "1==1");
    for (int i = 0; i < 100; i++)
        bp_buf_put_str(&b, " and 1==1");
    assert_int_equal(bp_expr_parse(bp_buf_cstr(&b), &e, NULL), BP_ELIMIT);
    bp_buf_clear(&b);
    bp_buf_put_str(&b, "/t.x==1");
    for (int i = 0; i < 20; i++)
        bp_buf_printf(&b, " and /t%d.x==1", i);
    assert_int_equal(bp_expr_parse(bp_buf_cstr(&b), &e, NULL), BP_ELIMIT);
    bp_buf_clear(&b);
    for (int i = 0; i < 3000; i++)
        bp_buf_put_str(&b, " ");
    assert_int_equal(bp_expr_parse(bp_buf_cstr(&b), &e, NULL), BP_ELIMIT);
    assert_null(e);
}

/* A message cut anywhere, or with any byte changed, never reads beyond itself (the address
 * sanitizer watches) and what cannot be read is unknown. */
static void test_damaged(void **state) {
    const struct topic *t = &world[0];
    struct bp_expr_bound bound = { t->name, t->schema };
    struct bp_expr *e = NULL;
    struct bp_program *p = NULL;
    struct bp_state *s;

    (void) state;
    assert_int_equal(
        bp_expr_parse("/all.last == -3 and contains(/all.ins[*].name, 'motor')", &e, NULL), 0);
    assert_int_equal(bp_program_new(e, &bound, &p, NULL), 0);
    s = bp_state_new(e);
    for (size_t n = 0; n < t->cdr.n; n++) {
        uint8_t *cut = malloc(n + 1);

        memcpy(cut, t->cdr.p, n);
        cut = realloc(cut, n ? n : 1);
        assert_true(bp_program_feed(p, s, 0, cut, n, RECV, NULL) < 0);
        assert_int_equal(bp_program_when(p, s, NULL), BP_UNKNOWN);
        free(cut);
    }
    assert_int_equal(bp_program_feed(p, s, 0, t->cdr.p, t->cdr.n, RECV, NULL), 0);
    assert_int_equal(bp_program_when(p, s, NULL), BP_TRUE);
    bp_state_free(s);
    bp_program_free(p);
    bp_expr_free(e);
}

/* A big message is judged by its beginning. */
static void test_beginning(void **state) {
    const struct topic *t = &world[0];
    struct bp_expr_bound bound = { t->name, t->schema };
    static const struct {
        const char *text;
        size_t need;
    } cases[] = {
        { "age(/all) < 1", 20 }, /* encapsulation, stamp, "map" */
        { "/all.flag", 21 },
        { "/all.n == -7", 28 },
    };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        struct bp_expr *e = NULL;
        struct bp_program *p = NULL;
        struct bp_state *s;

        assert_int_equal(bp_expr_parse(cases[i].text, &e, NULL), 0);
        assert_int_equal(bp_program_new(e, &bound, &p, NULL), 0);
        s = bp_state_new(e);
        assert_true(bp_program_feed(p, s, 0, t->cdr.p, cases[i].need - 1, RECV, NULL) < 0);
        assert_int_equal(bp_program_feed(p, s, 0, t->cdr.p, cases[i].need, RECV, NULL), 0);
        assert_int_equal(bp_program_when(p, s, NULL), BP_TRUE);
        bp_state_free(s);
        bp_program_free(p);
        bp_expr_free(e);
    }
}

static void test_values(void **state) {
    const struct topic *t = &world[1];
    struct bp_expr_bound bound[2] = { { t->name, t->schema }, { "/scan", NULL } };
    static const struct bp_expr_env env = { on_ask, NULL };
    struct bp_expr *e = NULL;
    struct bp_program *p = NULL;
    struct bp_expr_value v;
    struct bp_state *s;

    (void) state;
    assert_int_equal(bp_expr_parse("/battery.percentage < 20% and /battery.present and "
                                   "rate(/scan) < 10 until > 12",
                                   &e, NULL),
                     0);
    assert_int_equal(bp_program_new(e, bound, &p, NULL), 0);
    s = bp_state_new(e);
    assert_int_equal(bp_program_feed(p, s, 0, t->cdr.p, t->cdr.n, RECV, NULL), 0);
    assert_int_equal(bp_program_when(p, s, &env), BP_TRUE);
    assert_true(bp_program_value(p, s, 0, &v));
    assert_true(bp_str_eq(v.text, BP_STR("/battery.percentage")));
    assert_true(v.value == 0.125 && !v.is_bool);
    assert_true(bp_program_value(p, s, 1, &v));
    assert_true(v.value == 1 && v.is_bool);
    assert_true(bp_program_value(p, s, 2, &v));
    assert_true(bp_str_eq(v.text, BP_STR("rate(/scan)")) && v.value == 9.5);
    assert_false(bp_program_value(p, s, 3, &v));
    bp_state_free(s);
    bp_program_free(p);
    bp_expr_free(e);
}

static const struct {
    const char *pattern, *name;
    const char *capture; /* NULL: does not fit */
} fits[] = {
    { "/a.x", "/a", "" },
    { "/a.x", "/a/x", NULL },
    { "/a/x", "/a/x", "" },
    { "/a/x", "/a", "" },
    { "/a/x", "/a/x/y", NULL },
    { "/a/x", "/ax", NULL },
    { "silent(/a/x) >", "/a", NULL },
    { "/*/x.y", "/r1/x", "r1" },
    { "/*/x.y", "/r1/z/x", NULL },
    { "/*/x.y", "/x", NULL },
    { "/r*/x/*.y", "/r12/x/left", "12,left" },
    { "/r*/x.y", "/r/x", NULL },
    { "/*_state/x.y", "/battery_state/x", "battery" },
};

static void test_fits(void **state) {
    (void) state;
    for (size_t i = 0; i < BP_COUNT(fits); i++) {
        struct bp_expr *e = NULL;
        char text[100], capture[32];
        size_t n;

        (void) snprintf(text, sizeof text, "%s %s", fits[i].pattern,
                        strchr(fits[i].pattern, '>') ? "1" : "> 1");
        assert_int_equal(bp_expr_parse(text, &e, NULL), 0);
        n = bp_expr_fits(e, 0, fits[i].name, capture, sizeof capture);
        if ((n > 0) != (fits[i].capture != NULL) ||
            (n && (n != strlen(fits[i].name) || strcmp(capture, fits[i].capture) != 0)))
            fail_msg("%s and %s: %zu '%s'", fits[i].pattern, fits[i].name, n, capture);
        bp_expr_free(e);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truths), cmocka_unit_test(test_unfed),
        cmocka_unit_test(test_until),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_limits), cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_values), cmocka_unit_test(test_beginning),
        cmocka_unit_test(test_fits),
    };

    return cmocka_run_group_tests(tests, open_world, close_world);
}
