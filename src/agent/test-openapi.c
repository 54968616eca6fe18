#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "agent/agent-priv.h"
#include "agent/openapi.h"
#include "base/io.h"

/* Every route is described, and nothing else is. */
static void every_route(void **state) {
    unsigned missing = 0;

    (void) state;
    for (size_t i = 0; i < bp_agent_routes_count; i++) {
        const struct bp_http_route *r = &bp_agent_routes[i];
        bool found = false;

        for (size_t k = 0; k < bp_api_docs_count && !found; k++)
            found = bp_streq(bp_api_docs[k].method, r->method) &&
                    bp_streq(bp_api_docs[k].pattern, r->pattern);
        if (!found)
            print_error("%s %s: no row in openapi-docs.c\n", r->method, r->pattern);
        missing += !found;
    }
    for (size_t k = 0; k < bp_api_docs_count; k++) {
        bool found = false;

        for (size_t i = 0; i < bp_agent_routes_count && !found; i++)
            found = bp_streq(bp_api_docs[k].method, bp_agent_routes[i].method) &&
                    bp_streq(bp_api_docs[k].pattern, bp_agent_routes[i].pattern);
        if (!found)
            print_error("%s %s: described, but there is no such route\n", bp_api_docs[k].method,
                        bp_api_docs[k].pattern);
        missing += !found;
    }
    assert_int_equal(missing, 0);
}

static bool has_schema(const char *name) {
    for (size_t i = 0; i < bp_api_schemas_count; i++)
        if (bp_streq(bp_api_schemas[i].name, name))
            return true;
    return false;
}

/* Each schema is JSON, each name stands for something. */
static void every_name(void **state) {
    (void) state;
    for (size_t i = 0; i < bp_api_schemas_count; i++) {
        static const char ref[] = "#/components/schemas/";
        json_error_t e;
        json_t *o = json_loads(bp_api_schemas[i].json, JSON_REJECT_DUPLICATES, &e);

        if (!o)
            fail_msg("%s: %s", bp_api_schemas[i].name, e.text);
        json_decref(o);
        for (const char *p = bp_api_schemas[i].json; (p = strstr(p, ref)); p++) {
            char name[80];

            (void) snprintf(name, sizeof name, "%.*s", (int) strcspn(p + sizeof ref - 1, "\""),
                            p + sizeof ref - 1);
            if (!has_schema(name))
                fail_msg("%s: there is no schema '%s'", bp_api_schemas[i].name, name);
        }
    }
    for (size_t k = 0; k < bp_api_docs_count; k++) {
        const struct bp_api_doc *d = &bp_api_docs[k];

        assert_true(!d->request || strchr(d->request, '/') || has_schema(d->request));
        assert_true(!d->reply || strchr(d->reply, '/') || has_schema(d->reply));
        for (const char *p = d->query; p && *p;) {
            size_t n = strcspn(p, " ");
            bool found = false;

            for (size_t i = 0; i < bp_api_params_count; i++)
                found |=
                    strlen(bp_api_params[i].name) == n && memcmp(bp_api_params[i].name, p, n) == 0;
            if (!found)
                fail_msg("%s: there is no parameter '%.*s'", d->pattern, (int) n, p);
            p += n + (p[n] == ' ');
        }
    }
}

/* docs/api/openapi.json is what `bagpipe config openapi` prints. */
static void page(void **state) {
    json_t *o = bp_agent_openapi();
    BP_AUTO_FREE char *text = json_dumps(o, JSON_INDENT(1));
    BP_AUTO_FREE char *there = NULL;
    struct bp_error err = { 0 };
    size_t n;

    (void) state;
    json_decref(o);
    assert_non_null(text);
    if (bp_io_read_file(&bp_io_posix, BP_TEST_SOURCE "/docs/api/openapi.json", 4 << 20, &there, &n,
                        &err) < 0)
        fail_msg("%s", err.text);
    if (strncmp(there, text, strlen(text)) != 0)
        fail_msg("docs/api/openapi.json is not what `bagpipe config openapi` prints");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_route),
        cmocka_unit_test(every_name),
        cmocka_unit_test(page),
    };

    return cmocka_run_group_tests_name("agent/openapi", tests, NULL, NULL);
}
