#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/config.h"
#include "base/buf.h"
#include "base/io.h"
#include "daemon/settings.h"

static char dir[32], file[64];

static void write_file(const char *text) {
    struct bp_error err = { 0 };

    if (bp_io_replace_file(&bp_io_posix, file, text, strlen(text), &err) < 0)
        fail_msg("%s", err.text);
}

static int set_up(void **state) {
    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-settings-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    (void) snprintf(file, sizeof file, "%s/agent.yaml", dir);
    return 0;
}

static int tear_down(void **state) {
    (void) state;
    (void) unlink(file);
    return rmdir(dir);
}

static unsigned applied;

static void on_apply(void *ctx, const void *now) {
    (void) ctx, (void) now;
    applied++;
}

static struct bp_settings *open_with(const char *text) {
    static const char *const set[] = { "session.operator=ann" };
    struct bp_agent_config c;
    struct bp_settings *s = NULL;
    struct bp_error err = { 0 };

    write_file(text);
    if (bp_agent_config_load(file, set, 1, &c, &err) < 0 ||
        bp_settings_open(&bp_agent_config_kind, &c, on_apply, NULL, &s, &err) < 0)
        fail_msg("%s", err.text);
    bp_agent_config_done(&c); /* it was copied */
    applied = 0;
    return s;
}

static void expect(json_t *got, const char *want) {
    BP_AUTO_FREE char *text = json_dumps(got, JSON_COMPACT | JSON_ENCODE_ANY);

    assert_string_equal(text, want);
    json_decref(got);
}

static void check_mission(struct bp_settings *s, const char *want) {
    BP_AUTO_SETTINGS const struct bp_agent_config *c = bp_settings_get(s);

    assert_string_equal(c->session.mission, want);
}

static void reload(void **state) {
    struct bp_settings *s = open_with("session.mission: one\nhttp.workers: 3\n");
    const struct bp_agent_config *held = bp_settings_get(s);
    struct bp_error err = { 0 };
    json_t *report = NULL;

    (void) state;
    write_file("session.mission: two\nhttp.workers: 5\n");
    assert_int_equal(bp_settings_reload(s, &report, &err), 0);
    expect(report, "{\"changed\":[\"session.mission\"],\"restart\":[\"http.workers\"]}");
    assert_string_equal(held->session.mission, "one"); /* who holds the old one keeps it whole */
    bp_settings_put(held);
    check_mission(s, "two");
    held = bp_settings_get(s);
    assert_int_equal(held->http.workers, 3);
    assert_string_equal(held->session.operator_, "ann");
    bp_settings_put(held);
    assert_int_equal(applied, 1);

    write_file("session.mission: three\nhttp.workers: many\n"); /* all of it or nothing */
    assert_int_equal(bp_settings_reload(s, NULL, &err), BP_ECONFIG);
    assert_non_null(strstr(err.text, "line 2: http.workers"));
    check_mission(s, "two");
    assert_int_equal(applied, 1);
    bp_settings_close(s);
}

static int patch(struct bp_settings *s, const char *text, json_t **ret, struct bp_error *err) {
    json_t *o = json_loads(text, 0, NULL);
    int r = bp_settings_patch(s, o, ret, err);

    json_decref(o);
    return r;
}

static void patching(void **state) {
    static const struct {
        const char *patch, *word;
    } bad[] = {
        { "{\"http\":{\"workers\":2}}", "restart" },
        { "{\"session.mision\":\"x\"}", "did you mean 'session.mission'" },
        { "{\"record\":{\"max_rate\":[\"/a=fast\"]}}", "/a=fast" },
        { "{\"record.segment_size\":1}", "1.0 MiB" },
        { "{\"session.mission\":{\"a\":1}}", "expected a text" },
        { "{\"session.mission\":\"y\",\"log.level\":\"loud\"}", "log.level" },
        { "{\"record\":5}", "unknown key 'record'" },
        { "{\"triggers\":[{\"name\":\"x\",\"when\":\"/a.b <\",\"do\":\"mark\"}]}",
          "trigger 'x': when" },
        { "{\"triggers\":[{\"name\":\"x\",\"when\":{}}]}", "expected a text" },
        { "{\"triggers\":[\"x\"]}", "is not a list of sections" },
    };
    struct bp_settings *s = open_with("session.mission: one\n");
    struct bp_error err = { 0 };
    json_t *report = NULL;

    (void) state;
    for (size_t i = 0; i < BP_COUNT(bad); i++) {
        assert_int_equal(patch(s, bad[i].patch, NULL, &err), BP_ECONFIG);
        if (!strstr(err.text, bad[i].word))
            fail_msg("%s: '%s' does not say '%s'", bad[i].patch, err.text, bad[i].word);
    }
    check_mission(s, "one");
    assert_int_equal(
        patch(s, "{\"session.mission\":\"live\",\"session.operator\":\"bob\"}", &report, &err), 0);
    expect(report, "{\"changed\":[\"session.mission\",\"session.operator\"],\"restart\":[]}");
    write_file("session.mission: two\n");
    assert_int_equal(bp_settings_reload(s, &report, &err), 0); /* what is set live wins */
    expect(report, "{\"changed\":[],\"restart\":[]}");
    check_mission(s, "live");
    assert_int_equal(patch(s, "{\"session\":{\"mission\":null}}", &report, &err), 0);
    expect(report, "{\"changed\":[\"session.mission\"],\"restart\":[]}");
    check_mission(s, "two");
    bp_settings_close(s);
}

static void telling(void **state) {
    struct bp_settings *s = open_with("session.mission: one\nhttp.workers: 3\n");
    struct bp_error err = { 0 };
    json_t *o, *keys;

    (void) state;
    assert_int_equal(patch(s, "{\"record.hidden\":true}", NULL, &err), 0);
    write_file("http.workers: 9\n");
    assert_int_equal(bp_settings_reload(s, NULL, &err), 0);
    o = bp_settings_json(s);
    keys = json_object_get(o, "keys");
    assert_int_equal(json_object_size(keys), bp_agent_config_table.nrows);
    expect(json_incref(json_object_get(keys, "http.workers")),
           "{\"value\":3,\"source\":\"file\",\"live\":false,\"pending\":9}");
    expect(json_incref(json_object_get(keys, "record.hidden")),
           "{\"value\":true,\"source\":\"live\",\"live\":true}");
    expect(json_incref(json_object_get(keys, "session.operator")),
           "{\"value\":\"ann\",\"source\":\"--set\",\"live\":true}");
    json_decref(o);

    expect(bp_settings_check(s, bp_str_of("record: {hidden: yes}\n")), "{\"ok\":true}");
    o = bp_settings_check(s, bp_str_of("record:\n  hiden: yes\n"));
    assert_int_equal(json_integer_value(json_object_get(o, "line")), 2);
    assert_string_equal(json_string_value(json_object_get(o, "key")), "record.hiden");
    json_decref(o);
    o = bp_settings_check(s, bp_str_of("a: [\n"));
    assert_true(json_is_false(json_object_get(o, "ok")));
    json_decref(o);
    bp_settings_close(s);
}

/* Sections: numbers and true are texts to those who read them; a look gives back what was put in.
 */
static void sections(void **state) {
    struct bp_settings *s = open_with("session.mission: one\n");
    struct bp_error err = { 0 };
    json_t *o;

    (void) state;
    if (patch(s,
              "{\"triggers\":[{\"name\":\"x\",\"when\":\"/a.b < 1\",\"do\":[\"mark\"],"
              "\"enabled\":false,\"cooldown\":5}]}",
              NULL, &err) < 0)
        fail_msg("%s", err.text);
    o = bp_settings_json(s);
    expect(json_incref(
               json_object_get(json_object_get(json_object_get(o, "keys"), "triggers"), "value")),
           "[{\"name\":\"x\",\"when\":\"/a.b < 1\",\"do\":[\"mark\"],\"enabled\":\"false\","
           "\"cooldown\":\"5\"}]");
    json_decref(o);
    bp_settings_close(s);
}

static _Atomic bool over;

/* Values that belong together are seen together. */
static void *look(void *arg) {
    while (!over) {
        BP_AUTO_SETTINGS const struct bp_agent_config *c = bp_settings_get(arg);

        if (strcmp(c->session.mission, c->session.name) != 0)
            return arg;
    }
    return NULL;
}

static void consistent(void **state) {
    struct bp_settings *s = open_with("session: {mission: a, name: a}\n");
    pthread_t readers[3];
    struct bp_error err = { 0 };
    void *torn = NULL;

    (void) state;
    over = false;
    for (size_t i = 0; i < BP_COUNT(readers); i++)
        assert_int_equal(pthread_create(&readers[i], NULL, look, s), 0);
    for (unsigned i = 0; i < 300; i++) {
        char text[80];

        (void) snprintf(text, sizeof text, "{\"session\":{\"mission\":\"m%u\",\"name\":\"m%u\"}}",
                        i, i);
        assert_int_equal(patch(s, text, NULL, &err), 0);
    }
    over = true;
    for (size_t i = 0; i < BP_COUNT(readers); i++) {
        (void) pthread_join(readers[i], &torn);
        assert_null(torn);
    }
    bp_settings_close(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(reload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patching, set_up, tear_down),
        cmocka_unit_test_setup_teardown(sections, set_up, tear_down),
        cmocka_unit_test_setup_teardown(telling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(consistent, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("agent/settings", tests, NULL, NULL);
}
