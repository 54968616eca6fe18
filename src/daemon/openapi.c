#include "daemon/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

static const struct bp_api_doc *doc_of(const struct bp_api *api, const struct bp_http_route *r) {
    static const struct bp_api_doc none = { .status = 200, .reply = "Any" };

    for (const struct bp_api_part *const *p = api->parts; *p; p++)
        for (size_t i = 0; i < (*p)->ndocs; i++)
            if (bp_streq((*p)->docs[i].method, r->method) &&
                bp_streq((*p)->docs[i].pattern, r->pattern))
                return &(*p)->docs[i];
    return &none;
}

/* The parameter of that name, the first that a part has; or NULL. */
static const struct bp_api_param *param_of(const struct bp_api *api, struct bp_str name) {
    for (const struct bp_api_part *const *p = api->parts; *p; p++)
        for (size_t i = 0; i < (*p)->nparams; i++)
            if (bp_str_eq(name, bp_str_of((*p)->params[i].name)))
                return &(*p)->params[i];
    return NULL;
}

static json_t *ref_json(const char *kind, const char *name) {
    char text[160];

    (void) snprintf(text, sizeof text, "#/components/%s/%s", kind, name);
    return json_pack("{s:s}", "$ref", text);
}

/* {"application/json": {"schema": …}}, or another media type without a schema of ours. */
static json_t *content_json(const char *what) {
    json_t *types;

    if (!strchr(what, '/'))
        return json_pack("{s:{s:o}}", "application/json", "schema", ref_json("schemas", what));
    types = json_object();
    for (size_t n; *what; what += n + (what[n] == ' ')) {
        n = strcspn(what, " ");
        (void) json_object_setn_new(types, what, n, json_object());
    }
    return types;
}

/* ---- paths and parameters ---- */

/* "/a/:id/x" becomes "/a/{id}/x"; each name is a parameter. */
static void put_path(const char *pattern, struct bp_buf *out, json_t *params) {
    for (const char *p = pattern; *p;) {
        size_t n = strcspn(p, "/");
        bool named = (*p == ':' || *p == '*') && n > 1;

        if (named) {
            bp_buf_printf(out, "{%.*s}", (int) n - 1, p + 1);
            (void) json_array_append_new(
                params, json_pack("{s:o, s:s, s:b, s:o}", "name", json_stringn(p + 1, n - 1), "in",
                                  "path", "required", 1, "schema",
                                  json_pack("{s:s, s:i}", "type", "string", "minLength", 1)));
        } else {
            bp_buf_put(out, p, n);
        }
        p += n;
        if (*p == '/') {
            bp_buf_put_u8(out, '/');
            p++;
        }
    }
}

static void put_query(const struct bp_api *api, const char *names, json_t *params) {
    for (const char *p = names; p && *p;) {
        size_t n = strcspn(p, " ");
        const struct bp_api_param *q = param_of(api, (struct bp_str){ p, n });

        if (q)
            (void) json_array_append_new(params,
                                         json_pack("{s:s, s:s, s:s, s:o}", "name", q->name, "in",
                                                   "query", "description", q->help, "schema",
                                                   json_loads(q->schema, JSON_DECODE_ANY, NULL)));
        p += n + (p[n] == ' ');
    }
}

/* ---- one operation ---- */

/* "GET /api/v1/sessions/:id/stop" becomes "get_sessions_id_stop". */
static json_t *operation_id(const struct bp_http_route *r) {
    const char *path = bp_starts_with(r->pattern, "/api/v1") ? r->pattern + 7 : r->pattern;
    BP_AUTO_BUF id = { 0 };

    for (const char *p = r->method; *p; p++)
        bp_buf_put_u8(&id, (uint8_t) tolower((unsigned char) *p));
    for (; *path; path++)
        if (isalnum((unsigned char) *path))
            bp_buf_put_u8(&id, (uint8_t) *path);
        else if (id.n > 0 && id.p[id.n - 1] != '_')
            bp_buf_put_u8(&id, '_');
    return json_stringn((const char *) id.p, id.n);
}

/* "/api/v1/sessions/:id" is about "sessions". */
static json_t *tag_of(const struct bp_http_route *r) {
    const char *p = bp_starts_with(r->pattern, "/api/v1/") ? r->pattern + 8 : "process";

    return json_stringn(p, strcspn(p, "/."));
}

static void put_problem(json_t *responses, const char *status) {
    (void) json_object_set_new(responses, status, ref_json("responses", "Problem"));
}

static json_t *responses_json(const struct bp_http_route *r, const struct bp_api_doc *d) {
    /* 400: what cannot be read; 403: a foreign page; 404: for paths that only look like this one;
     * 503: too many wait, or it is ending */
    static const char *const always[] = { "400", "403", "404", "413", "414", "431", "503" };
    json_t *responses = json_object(), *good = json_pack("{s:s}", "description", r->summary);
    char status[16];

    (void) snprintf(status, sizeof status, "%d", d->status);
    if (d->reply)
        (void) json_object_set_new(good, "content", content_json(d->reply));
    (void) json_object_set_new(responses, status, good);
    for (size_t i = 0; i < BP_COUNT(always); i++)
        put_problem(responses, always[i]);
    if (r->access != BP_HTTP_PUBLIC)
        put_problem(responses, "401");
    for (const char *p = d->others; p && *p;) {
        size_t n = strcspn(p, " ");

        (void) snprintf(status, sizeof status, "%.*s", (int) n, p);
        if (*p == '2' || *p == '3' || *p == '1')
            (void) json_object_set_new(responses, status,
                                       json_pack("{s:s}", "description", r->summary));
        else
            put_problem(responses, status);
        p += n + (p[n] == ' ');
    }
    return responses;
}

static json_t *operation_json(const struct bp_api *api, const struct bp_http_route *r,
                              const struct bp_api_doc *d, json_t *params) {
    json_t *o = json_pack("{s:o, s:o, s:s, s:s}", "operationId", operation_id(r), "tags",
                          json_pack("[o]", tag_of(r)), "summary", r->summary, "x-role",
                          bp_http_access_text(r->access));

    put_query(api, d->query, params);
    if (json_array_size(params) > 0)
        (void) json_object_set(o, "parameters", params);
    if (d->request)
        (void) json_object_set_new(
            o, "requestBody",
            json_pack("{s:b, s:o}", "required", 0, "content", content_json(d->request)));
    (void) json_object_set_new(o, "responses", responses_json(r, d));
    if (r->access == BP_HTTP_PUBLIC)
        (void) json_object_set_new(o, "security", json_array());
    return o;
}

static void put_route(const struct bp_api *api, json_t *paths, const struct bp_http_route *r) {
    json_t *params = json_array(), *path;
    BP_AUTO_BUF text = { 0 };
    char method[16];

    put_path(r->pattern, &text, params);
    path = json_object_get(paths, bp_buf_cstr(&text));
    if (!path) {
        path = json_object();
        (void) json_object_set_new(paths, bp_buf_cstr(&text), path);
    }
    (void) snprintf(method, sizeof method, "%s", r->method);
    for (char *p = method; *p; p++)
        *p = (char) tolower((unsigned char) *p);
    (void) json_object_set_new(path, method, operation_json(api, r, doc_of(api, r), params));
    json_decref(params);
}

/* ---- the whole ---- */

static json_t *components_json(const struct bp_api *api) {
    json_t *schemas = json_object();

    for (const struct bp_api_part *const *p = api->parts; *p; p++)
        for (size_t i = 0; i < (*p)->nschemas; i++)
            (void) json_object_set_new(
                schemas, (*p)->schemas[i].name,
                json_loads((*p)->schemas[i].json, JSON_REJECT_DUPLICATES, NULL));
    return json_pack("{s:o, s:{s:{s:s, s:{s:{s:o}}}}, s:{s:{s:s, s:s}, s:{s:s, s:s, s:s}}}",
                     "schemas", schemas, "responses", "Problem", "description",
                     "what is wrong (RFC 9457)", "content", "application/problem+json", "schema",
                     ref_json("schemas", "Problem"), "securitySchemes", "token", "type", "http",
                     "scheme", "bearer", "cookie", "type", "apiKey", "in", "cookie", "name",
                     "bagpipe_login");
}

json_t *bp_api_describe(const struct bp_api *api, const struct bp_http_route *routes, size_t n) {
    json_t *paths = json_object();

    for (size_t i = 0; i < n; i++)
        put_route(api, paths, &routes[i]);
    return json_pack("{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:[{}, {s:[]}, {s:[]}], "
                     "s:o, s:o}",
                     "openapi", "3.1.0", "info", "title", api->title, "version", BP_VERSION,
                     "description", api->description, "license", "name", "MIT", "identifier", "MIT",
                     "servers", "url", "/", "security", "token", "cookie", "paths", paths,
                     "components", components_json(api));
}
