/* Input: the text of an expression up to the first NUL, a byte that picks a type, then CDR. */
#include <stdint.h>
#include <stdio.h>

#include "wire/expr.h"
#include "wire/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static const char *const types[] = {
    "sensor_msgs/msg/BatteryState", "diagnostic_msgs/msg/DiagnosticArray",
    "sensor_msgs/msg/NavSatFix",    "sensor_msgs/msg/JointState",
    "std_msgs/msg/String",          "visualization_msgs/msg/Marker",
    "test_msgs/msg/Arrays",         "trajectory_msgs/msg/JointTrajectory"
};

static struct bp_schema *schema_of(size_t i) {
    static struct bp_schema *known[BP_COUNT(types)];
    BP_AUTO_BUF text = { 0 };

    if (!known[i] &&
        (bp_typedb_text(types[i], &text, NULL) < 0 ||
         bp_schema_parse(types[i], "ros2msg", (struct bp_str){ (char *) text.p, text.n }, &known[i],
                         NULL) < 0))
        abort();
    return known[i];
}

static double on_ask(void *ctx, const struct bp_expr_ask *ask) {
    (void) ctx;
    if (ask->source >= BP_SOURCE_N_ || ask->topic >= BP_EXPR_MAX_TOPICS || strlen(ask->text) > 2000)
        abort();
    return ask->number;
}

/* The topic is what is left of the first '/' part, so that fields may be written behind it. */
static void first_part(const struct bp_expr *e, size_t i, char name[static 64]) {
    const char *text = bp_expr_topic_text(e, i);
    size_t n = 1 + strcspn(text + 1, "/");

    (void) snprintf(name, 64, "%.*s", (int) BP_MIN(n, (size_t) 60), text);
    for (char *c = name; *c; c++)
        if (*c == '*')
            *c = 'x';
}

static void judge(const struct bp_expr *e, const struct bp_schema *schema, const uint8_t *cdr,
                  size_t n) {
    static const struct bp_expr_env env = { on_ask, NULL };
    BP_CLEANUP(bp_program_freep) struct bp_program *p = NULL;
    BP_CLEANUP(bp_state_freep) struct bp_state *s = NULL;
    struct bp_expr_bound bound[BP_EXPR_MAX_TOPICS] = { 0 };
    char names[BP_EXPR_MAX_TOPICS][64], capture[64];
    struct bp_error err = { 0 };
    struct bp_expr_value v;

    for (size_t i = 0; i < bp_expr_topics(e); i++) {
        first_part(e, i, names[i]);
        if (bp_expr_fits(e, i, names[i], capture, sizeof capture))
            bound[i] = (struct bp_expr_bound){ names[i], schema };
    }
    if (bp_program_new(e, bound, &p, &err) < 0)
        return;
    s = bp_state_new(e);
    for (size_t i = 0; s && i < bp_expr_topics(e); i++)
        (void) bp_program_feed(p, s, i, cdr, n, BP_SEC, NULL);
    if (!s || bp_program_when(p, s, &env) > BP_UNKNOWN || bp_program_until(p, s, NULL) > BP_UNKNOWN)
        abort();
    for (size_t i = 0; bp_program_value(p, s, i, &v); i++)
        if (v.text.n > BP_EXPR_MAX_TEXT)
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    BP_CLEANUP(bp_expr_freep) struct bp_expr *e = NULL;
    const uint8_t *end = memchr(p, 0, n);
    size_t len = end ? (size_t) (end - p) : n;
    BP_AUTO_FREE char *text = calloc(1, len + 1);
    struct bp_error err = { 0 };

    if (!text)
        return 0;
    memcpy(text, p, len);
    if (bp_expr_parse(text, &e, &err) < 0) {
        if (!err.text[0])
            abort();
        return 0;
    }
    if (len + 2 > n)
        judge(e, NULL, NULL, 0);
    else
        judge(e, schema_of(p[len + 1] % BP_COUNT(types)), p + len + 2, n - len - 2);
    return 0;
}
