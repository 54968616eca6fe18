/* What the routes of the archive take and give, as OpenAPI. */
#include "server/api-archive.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const struct bp_api_param params[] = {
    { "status", JSON({"type": "string"}), "only sessions in this state: receiving, complete, damaged, deleted" },
    { "sort", JSON({"type": "string"}),
      "id, started, received, name, bytes, messages, lost or duration; - before it: largest first" },
    { "cursor", JSON({"type": "string"}), "`next` of the page before" },
    { "facets", JSON({"type": "integer", "minimum": 0, "maximum": 1000}),
      "also tell what the sessions found have in common, so many values a kind" },
    { "who", JSON({"type": "string"}), "only what this one did" },
    { "action", JSON({"type": "string"}), "only this, or what begins so when it ends in a dot" },
    { "subject", JSON({"type": "string"}), "only what was done to this" },
    { "session", JSON({"type": "string"}), "id of a session" },
    { "why", JSON({"type": "string"}), "a reason, kept with the tombstone" },
    { "force", JSON({"type": "string"}), "1: also one that is kept" },
};

static const struct bp_api_schema schemas[] = {
    { "ArchiveSession", JSON({
        "type": "object",
        "required": ["id", "name", "status", "state", "device", "mission", "operator", "notes",
                     "tags", "robots", "started_ns", "ended_ns", "messages", "bytes", "lost",
                     "segments", "segments_here", "topics", "marks", "signed", "manifest", "keep"],
        "properties": {
          "id": {"type": "string"},
          "name": {"type": "string"},
          "status": {"enum": ["receiving", "finished", "failed", "deleted"]},
          "state": {"enum": ["receiving", "complete", "damaged", "deleted"]},
          "device": {"type": "string"},
          "mission": {"type": "string"},
          "operator": {"type": "string"},
          "notes": {"type": "string"},
          "tags": {"type": "array", "items": {"type": "string"}},
          "robots": {"type": "array", "items": {"type": "string"}},
          "started_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "ended_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "received_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "updated_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "deleted_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "deleted_why": {"type": "string"},
          "messages": {"type": "integer", "minimum": 0},
          "bytes": {"type": "integer", "minimum": 0},
          "lost": {"type": "integer", "minimum": 0},
          "segments": {"type": "integer", "minimum": 0},
          "segments_here": {"type": "integer", "minimum": 0},
          "topics": {"type": "integer", "minimum": 0},
          "marks": {"description": "how many, in lists; of one session the marks themselves"},
          "signed": {"enum": ["unsigned", "good", "bad"]},
          "manifest": {"type": "boolean"},
          "keep": {"type": "boolean"},
          "version": {"type": "object"},
          "error": {"type": ["string", "null"]}
        }
      }) },
    { "ArchivePage", JSON({
        "type": "object",
        "required": ["sessions", "next"],
        "properties": {
          "sessions": {"type": "array",
                       "items": {"$ref": "#/components/schemas/ArchiveSession"}},
          "next": {"type": ["string", "null"]},
          "facets": {"type": "object"},
          "total": {"type": "integer", "minimum": 0},
          "total_exact": {"type": "boolean"}
        }
      }) },
    { "ArchiveEdit", JSON({
        "type": "object",
        "properties": {
          "mission": {"type": "string"},
          "operator": {"type": "string"},
          "notes": {"type": "string"},
          "tags": {"type": "array", "items": {"type": "string"}},
          "keep": {"type": "boolean"}
        }
      }) },
    { "ArchiveMark", JSON({
        "type": "object",
        "required": ["text"],
        "properties": {
          "text": {"type": "string"},
          "time_ns": {"type": "string", "pattern": "^[0-9]+$"},
          "values": {"type": "object"}
        }
      }) },
    { "ArchiveTopics", JSON({
        "type": "object",
        "required": ["topics"],
        "properties": {"topics": {"type": "array", "items": {"type": "object"}}}
      }) },
    { "ArchiveFiles", JSON({
        "type": "object",
        "required": ["segments", "files"],
        "properties": {
          "segments": {"type": "array", "items": {"type": "object"}},
          "files": {"type": "array", "items": {"type": "object"}}
        }
      }) },
    { "Decisions", JSON({
        "type": "object",
        "required": ["decisions"],
        "properties": {"decisions": {"type": "array", "items": {"type": "object"}}}
      }) },
    { "AuditPage", JSON({
        "type": "object",
        "required": ["entries", "head", "next"],
        "properties": {
          "entries": {"type": "array", "items": {"type": "object"}},
          "head": {"$ref": "#/components/schemas/AuditHead"},
          "next": {"type": ["integer", "null"]}
        }
      }) },
    { "AuditHead", JSON({
        "type": "object",
        "properties": {
          "number": {"type": "integer", "minimum": 0},
          "hash": {"type": "string", "pattern": "^[0-9a-f]{64}$"}
        }
      }) },
    { "AuditVerdict", JSON({
        "type": "object",
        "required": ["good", "entries", "error"],
        "properties": {
          "good": {"type": "boolean"},
          "entries": {"type": ["integer", "null"]},
          "error": {"type": ["string", "null"]}
        }
      }) },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/sessions", "q status from_ns to_ns sort cursor before limit facets", NULL,
      200, "ArchivePage", NULL },
    { "GET", "/api/v1/sessions/:id", NULL, NULL, 200, "ArchiveSession", "404" },
    { "PATCH", "/api/v1/sessions/:id", NULL, "ArchiveEdit", 200, "ArchiveSession", "404" },
    { "DELETE", "/api/v1/sessions/:id", "why force", NULL, 204, NULL, "404 409" },
    { "POST", "/api/v1/sessions/:id/marks", NULL, "ArchiveMark", 204, NULL, "404" },
    { "GET", "/api/v1/sessions/:id/topics", NULL, NULL, 200, "ArchiveTopics", "404" },
    { "GET", "/api/v1/sessions/:id/overview", NULL, NULL, 200, "Any", "404" },
    { "GET", "/api/v1/sessions/:id/segments", NULL, NULL, 200, "ArchiveFiles", "404" },
    { "GET", "/api/v1/sessions/:id/segments/:name", NULL, NULL, 200, "application/octet-stream",
      "404" },
    { "GET", "/api/v1/decisions", "session limit", NULL, 200, "Decisions", NULL },
    { "POST", "/api/v1/decisions/:id/undo", NULL, NULL, 204, NULL, "404 409" },
    { "GET", "/api/v1/audit", "who action subject from_ns to_ns before limit", NULL, 200,
      "AuditPage", NULL },
    { "POST", "/api/v1/audit/verify", NULL, "AuditHead", 200, "AuditVerdict", NULL },
};
/* clang-format on */

const struct bp_api_part bp_server_archive_docs = { docs,    BP_COUNT(docs),
                                                    params,  BP_COUNT(params),
                                                    schemas, BP_COUNT(schemas) };
