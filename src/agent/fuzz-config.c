#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include "agent/config.h"
#include "base/metrics.h"
#include "daemon/settings.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

/* What was understood must be the same when it is written as a file again. */
static void write_again(const struct bp_agent_config *c) {
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config again = { 0 };
    const struct bp_config_table *t = &bp_agent_config_table;
    BP_AUTO_BUF text = { 0 };
    struct bp_error err;

    for (size_t i = 0; i < t->nrows; i++) {
        bp_buf_printf(&text, "%s: ", t->rows[i].key);
        bp_values_put(&text, c, &t->rows[i]);
        bp_buf_put_u8(&text, '\n');
    }
    if (bp_agent_config_parse("again", (struct bp_str){ (const char *) text.p, text.n }, NULL, 0,
                              &again, &err) < 0) {
        (void) fprintf(stderr, "%s\n%s", err.text, bp_buf_cstr(&text));
        abort();
    }
    for (size_t i = 0; i < t->nrows; i++)
        if (!t->rows[i].secret && !t->rows[i].shown && t->rows[i].type != BP_CONFIG_REAL &&
            !bp_config_same(&t->rows[i], c, &again)) {
            (void) fprintf(stderr, "%s differs\n%s", t->rows[i].key, bp_buf_cstr(&text));
            abort();
        }
}

static void as_file(struct bp_str text) {
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config c = { 0 };
    struct bp_error err;

    if (bp_agent_config_parse("input", text, NULL, 0, &c, &err) >= 0)
        write_again(&c);
}

/* Setting live keys is all or nothing. */
static void as_patch(struct bp_str text) {
    BP_CLEANUP(bp_agent_config_done) struct bp_agent_config c = { 0 };
    BP_CLEANUP(bp_settings_closep) struct bp_settings *s = NULL;
    json_t *patch = json_loadb(text.p, text.n, 0, NULL), *report = NULL, *check;
    const struct bp_agent_config *before;
    struct bp_error err;
    int r;

    if (!json_is_object(patch) || bp_agent_config_parse("", bp_str_of(""), NULL, 0, &c, &err) < 0 ||
        bp_settings_open(&bp_agent_config_kind, &c, NULL, NULL, &s, &err) < 0) {
        json_decref(patch);
        return;
    }
    before = bp_settings_get(s);
    r = bp_settings_patch(s, patch, &report, &err);
    if (r < 0) {
        BP_AUTO_SETTINGS const struct bp_agent_config *after = bp_settings_get(s);

        if (after != before)
            abort();
    }
    check = bp_settings_check(s, text);
    if (!check)
        abort();
    bp_settings_put(before);
    json_decref(check);
    json_decref(report);
    json_decref(patch);
}

/* The first byte says what the rest is. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    struct bp_str text = { (const char *) p + 1, n ? n - 1 : 0 };
    char *accept;

    if (n == 0)
        return 0;
    switch (*p) {
    case '{':
        as_patch((struct bp_str){ (const char *) p, n });
        break;
    case '@':
        accept = strndup(text.p, text.n);
        (void) bp_metrics_wants_openmetrics(accept);
        free(accept);
        break;
    default:
        as_file((struct bp_str){ (const char *) p, n });
        break;
    }
    return 0;
}
