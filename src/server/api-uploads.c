/* Uploads and objects: routes over ingest/, and what it needs of the rest. docs/api/uploads.md. */
#include "server/api-uploads.h"

#include "base/io-fault.h"
#include "catalog/archive.h"
#include "ingest/ingest.h"
#include "server/guard.h"
#include "server/scope.h"

#define JSON(...) #__VA_ARGS__

/* ---- routes ---- */

static int put_session(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_put_session(bp_server_of(q)->ingest, q, reply, err);
}

static int post_upload(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_post_upload(bp_server_of(q)->ingest, q, reply, err);
}

static int list_uploads(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_list_uploads(bp_server_of(q)->ingest, q, reply, err);
}

static int get_upload(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_get_upload(bp_server_of(q)->ingest, q, reply, err);
}

static int delete_upload(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_delete_upload(bp_server_of(q)->ingest, q, reply, err);
}

static int complete(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_complete(bp_server_of(q)->ingest, q, reply, err);
}

static int get_object(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_get_object(bp_server_of(q)->ingest, q, reply, err);
}

static int put_part(struct bp_http_req *q, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_ingest_put_part(bp_server_of(q)->ingest, q, reply, err);
}

static int begin_part(struct bp_http_req *q, struct bp_http_reply *reply, void **ret_body,
                      struct bp_error *err) {
    return bp_ingest_part_begin(bp_server_of(q)->ingest, q, reply, ret_body, err);
}

static const struct bp_http_route routes[] = {
    { "PUT", "/api/v1/ingest/sessions/:id", put_session, BP_HTTP_OPERATOR,
      "Announces a session, or says more of it." },
    { "GET", "/api/v1/uploads", list_uploads, BP_HTTP_VIEWER, "Uploads that are not whole yet." },
    { "POST", "/api/v1/uploads", post_upload, BP_HTTP_OPERATOR,
      "Begins an upload, goes on with one, or says that its content is here." },
    { "GET", "/api/v1/uploads/:id", get_upload, BP_HTTP_VIEWER, "One, with the parts it has." },
    { "DELETE", "/api/v1/uploads/:id", delete_upload, BP_HTTP_OPERATOR, "Gives one up." },
    { "PUT", "/api/v1/uploads/:id/parts/:n", put_part, BP_HTTP_OPERATOR,
      "One part; there for good when it is acknowledged." },
    { "POST", "/api/v1/uploads/:id/complete", complete, BP_HTTP_OPERATOR,
      "Makes a file of the session of it; safe to repeat." },
    { "GET", "/api/v1/objects/:sha256", get_object, BP_HTTP_VIEWER,
      "Stored bytes by their digest, with ranges; HEAD to know whether they are here." },
};
static const size_t nroutes = BP_COUNT(routes);

/* The last three take long only: they make room, check and move files. */
static const struct bp_http_body_ops bodies[] = {
    { .handler = put_part,
      .max_bytes = BP_SPOOL_PART_MAX,
      .begin = begin_part,
      .data = bp_ingest_part_data,
      .abort = bp_ingest_part_abort },
    { .handler = post_upload },
    { .handler = complete },
    { .handler = delete_upload },
};
static const size_t nbodies = BP_COUNT(bodies);

/* ---- what they take and give ---- */

/* clang-format off */
static const struct bp_api_schema schemas[] = {
    { "SessionAnnounced", JSON({
        "type": "object",
        "required": ["name"],
        "properties": {
          "name": {"type": "string"},
          "device": {"type": "string"},
          "robots": {"type": "array", "items": {"type": "string"}},
          "started_ns": {"type": ["string", "integer", "null"]},
          "ended_ns": {"type": ["string", "integer", "null"]},
          "mission": {"type": "string"},
          "operator": {"type": "string"},
          "notes": {"type": "string"},
          "tags": {"type": "array", "items": {"type": "string"}},
          "marks": {
            "type": "array",
            "items": {
              "type": "object",
              "required": ["text"],
              "properties": {
                "wall_ns": {"type": ["string", "integer"]},
                "text": {"type": "string"},
                "values": {"type": "object"}
              }
            }
          },
          "version": {"type": "object"},
          "stamps": {"type": "object"}
        },
        "examples": [{"name": "hall-7", "device": "robot7", "started_ns": "1796900000000000000"}]
      }) },
    { "SessionTaken", JSON({
        "type": "object",
        "required": ["id", "conflicts"],
        "properties": {
          "id": {"type": "string"},
          "conflicts": {"type": "integer", "minimum": 0}
        }
      }) },
    { "UploadNew", JSON({
        "type": "object",
        "required": ["session", "file", "bytes", "sha256"],
        "properties": {
          "session": {"type": "string", "minLength": 26, "maxLength": 26},
          "file": {"type": "string", "minLength": 1, "maxLength": 255},
          "bytes": {"type": "integer", "minimum": 0},
          "sha256": {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"},
          "kind": {"enum": ["segment", "manifest", "metadata", "signature", "preview", "other"]},
          "part_bytes": {"type": ["integer", "null"], "minimum": 65536, "maximum": 1073741824}
        },
        "examples": [{
          "session": "01J8ZQ4K5T7Y9N3M2B6C8D0E1F",
          "file": "hall-7_0.mcap",
          "bytes": 5,
          "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
        }]
      }) },
    { "Upload", JSON({
        "type": "object",
        "required": ["id", "state", "session", "file", "kind", "bytes", "sha256"],
        "properties": {
          "id": {"type": "string"},
          "state": {"enum": ["open", "finishing", "have", "stored"]},
          "session": {"type": "string"},
          "file": {"type": "string"},
          "kind": {"type": "string"},
          "bytes": {"type": "integer", "minimum": 0},
          "sha256": {"type": "string"},
          "part_bytes": {"type": "integer"},
          "part_count": {"type": "integer"},
          "parts": {"type": "string", "pattern": "^([0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)?$"},
          "expires_ns": {"type": ["string", "null"]}
        }
      }) },
    { "UploadList", JSON({
        "type": "object",
        "required": ["uploads"],
        "properties": {
          "uploads": {"type": "array", "items": {"$ref": "#/components/schemas/Upload"}}
        }
      }) },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "PUT", "/api/v1/ingest/sessions/:id", NULL, "SessionAnnounced", 200, "SessionTaken",
      "201 409" },
    { "GET", "/api/v1/uploads", NULL, NULL, 200, "UploadList", NULL },
    { "POST", "/api/v1/uploads", NULL, "UploadNew", 201, "Upload", "200 404 409 413 429 507" },
    { "GET", "/api/v1/uploads/:id", NULL, NULL, 200, "Upload", "404" },
    { "DELETE", "/api/v1/uploads/:id", NULL, NULL, 204, NULL, "404 409" },
    { "PUT", "/api/v1/uploads/:id/parts/:n", NULL, "application/octet-stream", 204, NULL,
      "404 409 410 411 413 422 507" },
    { "POST", "/api/v1/uploads/:id/complete", NULL, NULL, 200, "Upload", "404 409 422 507" },
    { "GET", "/api/v1/objects/:sha256", NULL, NULL, 200, "application/octet-stream",
      "206 304 404 416" },
};
/* clang-format on */

static const struct bp_api_part api_docs = { docs, BP_COUNT(docs), NULL,
                                             0,    schemas,        BP_COUNT(schemas) };

/* ---- the part ---- */

static void tell(void *ctx, const char *name, json_t *data) {
    const struct bp_server *s = ctx;
    json_t *o = json_pack("{s:s, s:O}", "what", name, "data", data);

    if (o)
        bp_bus_publish(s->bus, "ingest", o);
}

static int open_uploads(struct bp_server *s, struct bp_error *err) {
    const struct bp_server_config *c = s->config;
    struct bp_ingest_options o = {
        .io = bp_io_from_env(),
        .dir = s->dir,
        .store = s->store,
        .archive = s->archive,
        .policy = (enum bp_archive_policy) c->queue.conflicts,
        .quota_bytes = c->queue.max_bytes,
        .device_bytes = c->queue.device_bytes,
        .file_bytes = c->storage.max_file,
        .min_free = c->storage.min_free,
        .expiry = c->queue.expiry,
        .verify_threads = (unsigned) c->queue.verify_threads,
        .no_verify = !c->queue.verify,
        .who = bp_server_who,
        .sees = bp_server_sees_device,
        .event = tell,
        .ctx = s,
    };

    return bp_ingest_open(&o, &s->ingest, err);
}

static void close_uploads(struct bp_server *s) {
    bp_ingest_close(s->ingest);
    s->ingest = NULL;
}

/* Looks once a minute: each look goes over all of them. */
static void tick(struct bp_server *s) {
    static bp_ns_t next_mono; /* main thread */
    bp_ns_t now = bp_mono_ns();

    if (now < next_mono)
        return;
    next_mono = now + 60 * BP_SEC;
    bp_ingest_tick(s->ingest);
}

static void metrics(struct bp_server *s, struct bp_buf *out) {
    bp_ingest_put_metrics(s->ingest, out);
}

const struct bp_server_part bp_server_part_uploads = {
    .name = "uploads",
    .routes = routes,
    .nroutes = &nroutes,
    .bodies = bodies,
    .nbodies = &nbodies,
    .docs = &api_docs,
    .open = open_uploads,
    .close = close_uploads,
    .tick = tick,
    .metrics = metrics,
};
