/* What judging costs per message: expressions as people write them over messages as robots send
 * them, one after the other in one thread. Prints a line of "name TAB bytes TAB ns" each. */
#include <stdio.h>
#include <stdlib.h>

#include "base/time.h"
#include "wire/cdr.h"
#include "wire/expr.h"
#include "wire/schema.h"

static void put_header(struct bp_cdrw *w) {
    bp_cdrw_time(w, 1700000000 * BP_SEC);
    bp_cdrw_str(w, "base_link");
}

static void put_battery(struct bp_cdrw *w) {
    put_header(w);
    for (int i = 0; i < 7; i++)
        bp_cdrw_f32(w, 0.5F);
    for (int i = 0; i < 4; i++)
        bp_cdrw_u8(w, 1);
    bp_cdrw_u32(w, 8);
    for (int i = 0; i < 8; i++)
        bp_cdrw_f32(w, 3.7F);
    bp_cdrw_u32(w, 0);
    bp_cdrw_str(w, "main");
    bp_cdrw_str(w, "0815");
}

static void put_imu(struct bp_cdrw *w) {
    put_header(w);
    for (int i = 0; i < 37; i++)
        bp_cdrw_f64(w, 0.1 * i);
}

static void put_diagnostics(struct bp_cdrw *w) {
    put_header(w);
    bp_cdrw_u32(w, 8);
    for (int i = 0; i < 8; i++) {
        bp_cdrw_u8(w, 0);
        bp_cdrw_str(w, "motor driver");
        bp_cdrw_str(w, "all is well");
        bp_cdrw_str(w, "serial 12345");
        bp_cdrw_u32(w, 4);
        for (int k = 0; k < 4; k++) {
            bp_cdrw_str(w, "temperature");
            bp_cdrw_str(w, "41.5");
        }
    }
}

static void put_scan(struct bp_cdrw *w) {
    put_header(w);
    for (int i = 0; i < 7; i++)
        bp_cdrw_f32(w, 0.5F);
    bp_cdrw_u32(w, 720);
    for (int i = 0; i < 720; i++)
        bp_cdrw_f32(w, 2 + (float) i);
    bp_cdrw_u32(w, 0);
}

static void put_image(struct bp_cdrw *w) {
    put_header(w);
    bp_cdrw_u32(w, 1080);
    bp_cdrw_u32(w, 1920);
    bp_cdrw_str(w, "rgb8");
    bp_cdrw_u8(w, 0);
    bp_cdrw_u32(w, 5760);
    bp_cdrw_u32(w, 6220800);
    (void) memset(bp_cdrw_room(w, 6220800), 1, 6220800);
}

static void put_joints(struct bp_cdrw *w) {
    put_header(w);
    bp_cdrw_u32(w, 12);
    for (int i = 0; i < 12; i++)
        bp_cdrw_str(w, "left_front_hip_joint");
    for (int k = 0; k < 3; k++) {
        bp_cdrw_u32(w, 12);
        for (int i = 0; i < 12; i++)
            bp_cdrw_f64(w, 1);
    }
}

static const struct {
    const char *type;
    void (*put)(struct bp_cdrw *w);
    const char *text;
} rows[] = {
    { "sensor_msgs/msg/BatteryState", put_battery, "/t.percentage < 15% for 5s until > 20%" },
    { "sensor_msgs/msg/Imu", put_imu, "abs(/t.linear_acceleration.z) > 30" },
    { "sensor_msgs/msg/Imu", put_imu,
      "hypot(/t.angular_velocity.x, /t.angular_velocity.y) > 3 or age(/t) > 1s" },
    { "sensor_msgs/msg/LaserScan", put_scan, "age(/t) > 500ms" },
    { "sensor_msgs/msg/JointState", put_joints, "max(/t.effort) > 40" },
    { "sensor_msgs/msg/Image", put_image, "age(/t) > 500ms and /t.width != 1920" },
    { "diagnostic_msgs/msg/DiagnosticArray", put_diagnostics, "/t.status[*].level >= ERROR" },
    { "sensor_msgs/msg/LaserScan", put_scan, "min(/t.ranges) < 0.3" },
};

static void die(const char *why) {
    (void) fprintf(stderr, "expr-feed: %s\n", why);
    exit(1);
}

static double measure(const struct bp_program *p, struct bp_state *s, const struct bp_buf *cdr) {
    unsigned n = 0, hits = 0;
    bp_ns_t start = bp_cpu_ns(), took;

    do {
        for (int i = 0; i < 1000; i++, n++) {
            if (bp_program_feed(p, s, 0, cdr->p, cdr->n, 1700000000 * BP_SEC, NULL) < 0)
                die("a message cannot be read");
            hits += bp_program_when(p, s, NULL) == BP_TRUE;
        }
        took = bp_cpu_ns() - start;
    } while (took < BP_SEC / 4);
    if (hits)
        die("a condition is true that is not");
    return (double) took / n;
}

int main(void) {
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        BP_AUTO_BUF text = { 0 };
        BP_AUTO_BUF cdr = { 0 };
        struct bp_schema *schema = NULL;
        struct bp_expr *e = NULL;
        struct bp_program *p = NULL;
        struct bp_error err = { 0 };
        struct bp_state *s;
        struct bp_cdrw w = bp_cdrw_begin(&cdr);
        struct bp_expr_bound bound = { .topic = "/t" };

        rows[i].put(&w);
        bp_cdrw_end(&w);
        if (bp_typedb_text(rows[i].type, &text, &err) < 0 ||
            bp_schema_parse(rows[i].type, "ros2msg", (struct bp_str){ (char *) text.p, text.n },
                            &schema, &err) < 0)
            die(err.text);
        bound.schema = schema;
        if (bp_expr_parse(rows[i].text, &e, &err) < 0 || bp_program_new(e, &bound, &p, &err) < 0)
            die(err.text);
        s = bp_state_new(e);
        (void) printf("%s\t%s\t%zu\t%.0f\n", rows[i].type, rows[i].text, cdr.n,
                      measure(p, s, &cdr));
        bp_state_free(s);
        bp_program_free(p);
        bp_expr_free(e);
        bp_schema_free(schema);
    }
    return 0;
}
