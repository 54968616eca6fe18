#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/io.h"
#include "daemon/openapi.h"

/* For the tests of both daemons: routes and rows fit each other, names stand for something, and the
 * committed page is what comes out. */

static bool is_row_of(const struct bp_api_doc *d, const struct bp_http_route *r) {
    return bp_streq(d->method, r->method) && bp_streq(d->pattern, r->pattern);
}

/* Every route is described. */
static void check_routes(const struct bp_api *api, const struct bp_http_route *routes, size_t n) {
    unsigned missing = 0;

    for (size_t i = 0; i < n; i++) {
        bool found = false;

        for (const struct bp_api_part *const *p = api->parts; *p; p++)
            for (size_t k = 0; k < (*p)->ndocs && !found; k++)
                found = is_row_of(&(*p)->docs[k], &routes[i]);
        if (!found)
            print_error("%s %s: not described\n", routes[i].method, routes[i].pattern);
        missing += !found;
    }
    assert_int_equal(missing, 0);
}

/* And nothing else is. */
static void check_docs(const struct bp_api *api, const struct bp_http_route *routes, size_t n) {
    unsigned missing = 0;

    for (const struct bp_api_part *const *p = api->parts; *p; p++)
        for (size_t k = 0; k < (*p)->ndocs; k++) {
            bool found = false;

            for (size_t i = 0; i < n && !found; i++)
                found = is_row_of(&(*p)->docs[k], &routes[i]);
            if (!found)
                print_error("%s %s: described, but there is no such route\n", (*p)->docs[k].method,
                            (*p)->docs[k].pattern);
            missing += !found;
        }
    assert_int_equal(missing, 0);
}

static bool has_schema(const struct bp_api *api, const char *name) {
    for (const struct bp_api_part *const *p = api->parts; *p; p++)
        for (size_t i = 0; i < (*p)->nschemas; i++)
            if (bp_streq((*p)->schemas[i].name, name))
                return true;
    return false;
}

static bool has_param(const struct bp_api *api, const char *name, size_t n) {
    for (const struct bp_api_part *const *p = api->parts; *p; p++)
        for (size_t i = 0; i < (*p)->nparams; i++)
            if (strlen((*p)->params[i].name) == n && memcmp((*p)->params[i].name, name, n) == 0)
                return true;
    return false;
}

static void check_schema(const struct bp_api *api, const struct bp_api_schema *s) {
    static const char ref[] = "#/components/schemas/";
    json_error_t e;
    json_t *o = json_loads(s->json, JSON_REJECT_DUPLICATES, &e);

    if (!o)
        fail_msg("%s: %s", s->name, e.text);
    json_decref(o);
    for (const char *p = s->json; (p = strstr(p, ref)); p++) {
        char name[80];

        (void) snprintf(name, sizeof name, "%.*s", (int) strcspn(p + sizeof ref - 1, "\""),
                        p + sizeof ref - 1);
        if (!has_schema(api, name))
            fail_msg("%s: there is no schema '%s'", s->name, name);
    }
}

static void check_doc(const struct bp_api *api, const struct bp_api_doc *d) {
    if (d->request && !strchr(d->request, '/') && !has_schema(api, d->request))
        fail_msg("%s %s: there is no schema '%s'", d->method, d->pattern, d->request);
    if (d->reply && !strchr(d->reply, '/') && !has_schema(api, d->reply))
        fail_msg("%s %s: there is no schema '%s'", d->method, d->pattern, d->reply);
    for (const char *p = d->query; p && *p;) {
        size_t n = strcspn(p, " ");

        if (!has_param(api, p, n))
            fail_msg("%s: there is no parameter '%.*s'", d->pattern, (int) n, p);
        p += n + (p[n] == ' ');
    }
}

/* Each schema is JSON, each name stands for something. */
static void check_names(const struct bp_api *api) {
    for (const struct bp_api_part *const *p = api->parts; *p; p++) {
        for (size_t i = 0; i < (*p)->nschemas; i++)
            check_schema(api, &(*p)->schemas[i]);
        for (size_t k = 0; k < (*p)->ndocs; k++)
            check_doc(api, &(*p)->docs[k]);
    }
}

/* @param o  taken over; @param command  that prints the page */
static void check_page(json_t *o, const char *path, const char *command) {
    BP_AUTO_FREE char *text = json_dumps(o, JSON_INDENT(1));
    BP_AUTO_FREE char *there = NULL;
    struct bp_error err = { 0 };
    size_t n;

    json_decref(o);
    assert_non_null(text);
    if (bp_io_read_file(&bp_io_posix, path, 4 << 20, &there, &n, &err) < 0)
        fail_msg("%s", err.text);
    if (strncmp(there, text, strlen(text)) != 0)
        fail_msg("%s is not what `%s` prints", path, command);
}
