/* The shapes of what the API takes and gives, as JSON Schema (2020-12), and which route has which;
 * what the server has, too, is in daemon/openapi-common.c. */
#include "agent/openapi.h"
#include "base/macro.h"
#include "daemon/data.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const struct bp_api_schema schemas[] = {
    { "Losses", JSON({
        "type": "object",
        "additionalProperties": {"type": "integer", "minimum": 0},
        "description": "messages by cause"
      }) },
    { "Status", JSON({
        "type": "object",
        "required": ["version", "state", "uptime_s", "sessions", "graph", "ring", "storage"],
        "properties": {
          "version": {"type": "string"},
          "state": {"enum": ["idle", "recording", "paused", "disk_full"]},
          "uptime_s": {"type": "number"},
          "sessions": {
            "type": "object",
            "required": ["running", "paused", "messages", "bytes", "lost"],
            "properties": {
              "running": {"type": "integer", "minimum": 0},
              "paused": {"type": "integer", "minimum": 0},
              "messages": {"type": "integer", "minimum": 0},
              "bytes": {"type": "integer", "minimum": 0},
              "lost": {"type": "integer", "minimum": 0}
            }
          },
          "graph": {
            "type": "object",
            "required": [
              "topics",
              "writers",
              "subscribed",
              "received",
              "received_bytes",
              "udp_drops"
            ],
            "properties": {
              "topics": {"type": "integer", "minimum": 0},
              "writers": {"type": "integer", "minimum": 0},
              "subscribed": {"type": "integer", "minimum": 0},
              "received": {"type": "integer", "minimum": 0},
              "received_bytes": {"type": "integer", "minimum": 0},
              "udp_drops": {"type": "integer", "minimum": 0}
            }
          },
          "ring": {
            "type": "object",
            "required": ["used", "size"],
            "properties": {
              "used": {"type": "integer", "minimum": 0},
              "size": {"type": "integer", "minimum": 0}
            }
          },
          "storage": {
            "type": "object",
            "required": ["dir"],
            "properties": {
              "dir": {"type": "string"},
              "free": {"type": "integer", "minimum": 0},
              "size": {"type": "integer", "minimum": 0}
            }
          }
        }
      }) },
    { "Qos", JSON({
        "type": "object",
        "required": ["reliability", "durability", "history", "depth", "deadline_s", "lifespan_s"],
        "properties": {
          "reliability": {"type": "string"},
          "durability": {"type": "string"},
          "history": {"type": "string"},
          "depth": {"type": "integer"},
          "deadline_s": {"type": ["number", "null"]},
          "lifespan_s": {"type": ["number", "null"]}
        }
      }) },
    { "Topic", JSON({
        "type": "object",
        "required": [
          "topic",
          "type",
          "robot",
          "domain",
          "writers",
          "sessions",
          "messages",
          "bytes",
          "has_definition",
          "subscribed",
          "deaf",
          "rate_hz",
          "bytes_per_s",
          "age_s",
          "lost",
          "qos"
        ],
        "properties": {
          "topic": {"type": "string"},
          "type": {"type": "string"},
          "robot": {"type": "string"},
          "domain": {"type": "integer", "minimum": 0},
          "writers": {"type": "integer", "minimum": 0},
          "sessions": {"type": "integer", "minimum": 0},
          "messages": {"type": "integer", "minimum": 0},
          "bytes": {"type": "integer", "minimum": 0},
          "has_definition": {"type": "boolean"},
          "subscribed": {"type": "boolean"},
          "deaf": {"type": "boolean"},
          "rate_hz": {"type": ["number", "null"]},
          "bytes_per_s": {"type": ["number", "null"]},
          "age_s": {"type": ["number", "null"]},
          "lost": {"$ref": "#/components/schemas/Losses"},
          "qos": {
            "type": "object",
            "required": ["offered", "profiles", "requested", "incompatible"],
            "properties": {
              "offered": {"type": "array", "items": {"$ref": "#/components/schemas/Qos"}},
              "profiles": {"type": "integer", "minimum": 0},
              "requested": {"oneOf": [{"$ref": "#/components/schemas/Qos"}, {"type": "null"}]},
              "incompatible": {"type": "array", "items": {"type": "string"}}
            }
          }
        }
      }) },
    { "Topics", JSON({
        "type": "object",
        "required": ["topics"],
        "properties": {"topics": {"type": "array", "items": {"$ref": "#/components/schemas/Topic"}}}
      }) },
    { "Mark", JSON({
        "type": "object",
        "required": ["time_ns", "text", "values"],
        "properties": {
          "time_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "text": {"type": "string"},
          "values": {"type": "object"}
        }
      }) },
    { "Session", JSON({
        "type": "object",
        "required": [
          "id",
          "name",
          "status",
          "dir",
          "mission",
          "operator",
          "notes",
          "tags",
          "started_ns",
          "ended_ns",
          "messages",
          "bytes",
          "lost",
          "segments",
          "outages",
          "error",
          "request"
        ],
        "properties": {
          "id": {"type": "string"},
          "name": {"type": "string"},
          "status": {"enum": ["recording", "paused", "finished", "failed", "deleted"]},
          "dir": {"type": "string"},
          "mission": {"type": "string"},
          "operator": {"type": "string"},
          "notes": {"type": "string"},
          "tags": {"type": "array", "items": {"type": "string"}},
          "started_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "ended_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "messages": {"type": "integer", "minimum": 0},
          "bytes": {"type": "integer", "minimum": 0},
          "lost": {"type": "integer", "minimum": 0},
          "segments": {"type": "integer", "minimum": 0},
          "outages": {"type": "integer", "minimum": 0},
          "error": {"type": ["string", "null"]},
          "request": {"type": "object"},
          "marks": {"type": "array", "items": {"$ref": "#/components/schemas/Mark"}},
          "class": {"type": "string"},
          "keep": {"type": "boolean"},
          "uploaded_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "topics": {"type": "integer", "minimum": 0},
          "writers": {"type": "integer", "minimum": 0},
          "topics_refused": {"type": "integer", "minimum": 0},
          "lost_by_cause": {"$ref": "#/components/schemas/Losses"},
          "ring_used": {"type": "integer", "minimum": 0},
          "ring_size": {"type": "integer", "minimum": 0},
          "durable_until_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "disk_full": {"type": "boolean"},
          "segment": {"type": "string"},
          "commit_p99_ns": {"type": "integer", "minimum": 0},
          "received": {"type": "integer", "minimum": 0}
        }
      }) },
    { "Sessions", JSON({
        "type": "object",
        "required": ["sessions", "next"],
        "properties": {
          "sessions": {"type": "array", "items": {"$ref": "#/components/schemas/Session"}},
          "next": {"type": ["string", "null"]}
        }
      }) },
    { "SessionStart", JSON({
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "name": {"type": "string"},
          "topics": {"type": "array", "items": {"type": "string"}},
          "exclude_topics": {"type": "array", "items": {"type": "string"}},
          "types": {"type": "array", "items": {"type": "string"}},
          "regex": {"type": "string"},
          "mission": {"type": "string"},
          "operator": {"type": "string"},
          "notes": {"type": "string"},
          "compression": {"enum": ["none", "lz4", "zstd"]},
          "paused": {"type": "boolean"},
          "max_time_s": {"type": "number", "exclusiveMinimum": 0, "maximum": 100000000},
          "tags": {"type": "array", "items": {"type": "string"}}
        },
        "examples": [{"name": "{robot}_{time}", "topics": ["/tf*"], "max_time_s": 5}]
      }) },
    { "SnapshotNew", JSON({
        "type": "object",
        "properties": {
          "reason": {"type": "string"},
          "before_s": {"type": "number", "minimum": 0},
          "after_s": {"type": "number", "minimum": 0},
          "topics": {"type": "array", "items": {"type": "string"}},
          "exclude_topics": {"type": "array", "items": {"type": "string"}},
          "values": {"type": "object", "additionalProperties": {"type": "string"}}
        }
      }) },
    { "SessionEdit", JSON({
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "mission": {"type": "string"},
          "operator": {"type": "string"},
          "notes": {"type": "string"},
          "tags": {"type": "array", "items": {"type": "string"}},
          "keep": {"type": "boolean"}
        }
      }) },
    { "SessionTopic", JSON({
        "type": "object",
        "required": ["topic", "type", "robot", "messages", "lost"],
        "properties": {
          "topic": {"type": "string"},
          "type": {"type": "string"},
          "robot": {"type": "string"},
          "messages": {"type": "integer", "minimum": 0},
          "lost": {"$ref": "#/components/schemas/Losses"},
          "writers": {"type": "integer", "minimum": 0},
          "has_definition": {"type": "boolean"},
          "bytes": {"type": "integer", "minimum": 0},
          "domain": {"type": "integer", "minimum": 0}
        }
      }) },
    { "SessionTopics", JSON({
        "type": "object",
        "required": ["topics"],
        "properties": {
          "topics": {"type": "array", "items": {"$ref": "#/components/schemas/SessionTopic"}}
        }
      }) },
    { "MarkNew", JSON({
        "type": "object",
        "required": ["text"],
        "properties": {
          "text": {"type": "string", "minLength": 1},
          "values": {"type": "object", "additionalProperties": {"type": "string"}}
        }
      }) },
    { "Ledger", JSON({
        "type": "object",
        "required": ["session", "running", "received", "late", "lost", "lost_by_cause", "sources"],
        "properties": {
          "session": {"type": "string"},
          "running": {"type": "boolean"},
          "folded": {
            "type": "object",
            "required": ["received", "lost"],
            "properties": {
              "received": {"type": "integer", "minimum": 0},
              "lost": {"type": "integer", "minimum": 0}
            }
          },
          "received": {"type": "integer", "minimum": 0},
          "late": {"type": "integer", "minimum": 0},
          "lost": {"type": "integer", "minimum": 0},
          "lost_by_cause": {"$ref": "#/components/schemas/Losses"},
          "sources": {
            "type": "array",
            "items": {
              "type": "object",
              "required": [
                "guid",
                "topic",
                "node",
                "vendor",
                "first",
                "last",
                "received",
                "late",
                "duplicates",
                "lost",
                "lost_by_cause"
              ],
              "properties": {
                "guid": {"type": "string"},
                "topic": {"type": "string"},
                "node": {"type": "string"},
                "vendor": {"type": "integer", "minimum": 0},
                "first": {"type": "integer", "minimum": 0},
                "last": {"type": "integer", "minimum": 0},
                "received": {"type": "integer", "minimum": 0},
                "late": {"type": "integer", "minimum": 0},
                "duplicates": {"type": "integer", "minimum": 0},
                "lost": {"type": "integer", "minimum": 0},
                "lost_by_cause": {"$ref": "#/components/schemas/Losses"},
                "spans": {
                  "type": "object",
                  "required": ["received", "lost"],
                  "properties": {
                    "received": {"type": "string"},
                    "lost": {"type": "object", "additionalProperties": {"type": "string"}}
                  }
                }
              }
            }
          }
        }
      }) },
    { "Segments", JSON({
        "type": "object",
        "required": ["segments", "files"],
        "properties": {
          "segments": {
            "type": "array",
            "items": {
              "type": "object",
              "required": ["name", "bytes", "complete"],
              "properties": {
                "name": {"type": "string"},
                "bytes": {"type": "integer", "minimum": 0},
                "complete": {"type": "boolean"},
                "sha256": {"type": ["string", "null"]},
                "messages": {"type": "integer", "minimum": 0},
                "first_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
                "last_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"}
              }
            }
          },
          "files": {
            "type": "array",
            "items": {
              "type": "object",
              "required": ["name", "bytes"],
              "properties": {"name": {"type": "string"}, "bytes": {"type": "integer", "minimum": 0}}
            }
          }
        }
      }) },
    { "Storage", JSON({
        "type": "object",
        "required": ["dir", "size", "free", "sessions", "classes", "limits"],
        "properties": {
          "dir": {"type": "string"},
          "size": {"type": "integer", "minimum": 0},
          "free": {"type": "integer", "minimum": 0},
          "sessions": {
            "type": "object",
            "required": ["count", "bytes"],
            "properties": {
              "count": {"type": "integer", "minimum": 0},
              "bytes": {"type": "integer", "minimum": 0}
            }
          },
          "classes": {"type": "array", "items": {"type": "object"}},
          "limits": {"type": "object"}
        }
      }) },
    { "Robots", JSON({
        "type": "object",
        "required": ["robots"],
        "properties": {"robots": {"type": "array", "items": {"type": "object"}}}
      }) },
    { "Link", JSON({
        "type": "object",
        "required": ["configured"],
        "properties": {
          "configured": {"type": "boolean"},
          "device": {"type": "string"},
          "state": {"enum": ["waiting", "connecting", "connected"]},
          "waiting": {"type": "integer", "minimum": 0}
        }
      }) },
    { "Keep", JSON({"type": "object", "properties": {"keep": {"type": "boolean"}}}) },
    { "SyncNew", JSON({
        "type": "object",
        "properties": {
          "target": {"type": "string"},
          "session": {"type": "string", "description": "id or name"},
          "min_age_s": {"type": "number", "minimum": 0},
          "dry_run": {"type": "boolean"}
        }
      }) },
    { "SyncFetch", JSON({
        "type": "object",
        "required": ["session"],
        "properties": {
          "session": {"type": "string", "description": "id or name"},
          "from_ns": {"type": ["string", "integer", "null"]},
          "to_ns": {"type": ["string", "integer", "null"]},
          "topics": {"type": ["array", "null"], "items": {"type": "string"}}
        }
      }) },
    { "SyncFetched", JSON({
        "type": "object",
        "required": ["session", "segments", "bytes"],
        "properties": {
          "session": {"type": "string"},
          "segments": {"type": "integer", "minimum": 0},
          "bytes": {"type": "integer", "minimum": 0}
        }
      }) },
    { "Sync", JSON({
        "type": "object",
        "required": ["running", "targets"],
        "properties": {
          "running": {"type": "boolean"},
          "paused": {"type": "boolean"},
          "metered": {"type": "boolean"},
          "limit": {"type": "number", "description": "bytes a second, 0 = none"},
          "rate": {"type": "number"},
          "eta_s": {"type": ["number", "null"]},
          "targets": {
            "type": "array",
            "items": {
              "type": "object",
              "required": ["name", "url", "state"],
              "properties": {
                "name": {"type": "string"},
                "url": {"type": "string"},
                "state": {"enum": ["unknown", "online", "offline", "waiting", "paused", "closed_window"]}
              }
            }
          }
        }
      }) },
    { "SyncFiles", JSON({
        "type": "object",
        "required": ["files", "next"],
        "properties": {
          "files": {"type": "array", "items": {"type": "object"}},
          "next": {"type": ["integer", "null"]}
        }
      }) },
    { "Uploaded", JSON({"type": "object", "properties": {"uploaded": {"type": "boolean"}}}) },
};

static const struct bp_api_param params[] = {
    { "status", JSON({"enum": ["recording", "paused", "finished", "failed", "deleted"]}), "only these" },
    { "target", JSON({"type": "string"}), "only of this target" },
    { "session", JSON({"type": "string"}), "only of this session" },
    { "state", JSON({"enum": ["waiting", "parked", "failed", "done", "kept"]}), "only these" },
    { "after", JSON({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}), "`next` of the page before" },
    { "spans", JSON({"enum": ["0", "1"]}), "1: the sequence numbers too" },
    BP_DATA_PARAMS,
    { "dry_run", JSON({"enum": ["0", "1"]}), "1: only tell" },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "GET", "/api/v1/status", NULL, NULL, 200, "Status", NULL },
    { "GET", "/api/v1/host", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/robots", NULL, NULL, 200, "Robots", NULL },
    { "GET", "/api/v1/robots/:robot", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/device", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/secrets", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/snapshot", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/snapshot", NULL, "SnapshotNew", 201, "Session", "200 409 422 429 503 507" },
    { "GET", "/api/v1/sync", NULL, NULL, 200, "Sync", NULL },
    { "GET", "/api/v1/sync/files", "target session state limit after", NULL, 200, "SyncFiles", "409" },
    { "GET", "/api/v1/sync/decisions", NULL, NULL, 200, "Any", "409" },
    { "POST", "/api/v1/sync/decisions/:number/undo", NULL, NULL, 200, "Any", "409" },
    { "POST", "/api/v1/sync/now", NULL, "SyncNew", 200, "Sync", "409" },
    { "POST", "/api/v1/sync/pause", NULL, "SyncNew", 200, "Sync", "409" },
    { "POST", "/api/v1/sync/resume", NULL, "SyncNew", 200, "Sync", "409" },
    { "POST", "/api/v1/sync/retry", NULL, "SyncNew", 200, "Sync", "409" },
    { "POST", "/api/v1/sync/fetch", NULL, "SyncFetch", 200, "SyncFetched", "409" },
    { "POST", "/api/v1/sync/gc", NULL, "SyncNew", 200, "Any", "409" },
    { "GET", "/api/v1/triggers", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/conditions/test", NULL, "Any", 200, "Any", NULL },
    { "GET", "/api/v1/triggers/:name", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/triggers/:name", NULL, "Any", 200, "Any", NULL },
    { "POST", "/api/v1/triggers/:name/fire", NULL, "Any", 200, "Any", NULL },
    { "GET", "/api/v1/topics", NULL, NULL, 200, "Topics", NULL },
    { "GET", "/api/v1/link", NULL, NULL, 200, "Link", NULL },
    { "GET", "/api/v1/storage", NULL, NULL, 200, "Storage", NULL },
    { "POST", "/api/v1/storage/clean", "dry_run", NULL, 202, "Storage", "200" },
    { "GET", "/api/v1/sessions", "status q from_ns to_ns limit before", NULL, 200, "Sessions", NULL },
    { "POST", "/api/v1/sessions", NULL, "SessionStart", 201, "Session", "409 507" },
    { "GET", "/api/v1/sessions/:id", NULL, NULL, 200, "Session", NULL },
    { "PATCH", "/api/v1/sessions/:id", NULL, "SessionEdit", 200, "Session", NULL },
    { "DELETE", "/api/v1/sessions/:id", NULL, NULL, 202, "Session", "409" },
    { "GET", "/api/v1/sessions/:id/topics", NULL, NULL, 200, "SessionTopics", "304" },
    { "GET", "/api/v1/sessions/:id/ledger", "spans", NULL, 200, "Ledger", "304 409 422 503" },
    { "GET", "/api/v1/sessions/:id/segments", NULL, NULL, 200, "Segments", "304" },
    { "GET", "/api/v1/sessions/:id/segments/:name", NULL, NULL, 200, "application/octet-stream", "206 304 409 416" },
    { "GET", "/api/v1/sessions/:id/download", NULL, NULL, 200, "application/x-tar", "409" },
    { "GET", "/api/v1/sessions/:id/data", BP_DATA_QUERY, NULL, 200, BP_DATA_TYPES, "503" },
    { "POST", "/api/v1/sessions/:id/verify", NULL, NULL, 202, "Job", "409" },
    { "POST", "/api/v1/sessions/:id/stop", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/pause", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/resume", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/split", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/marks", NULL, "MarkNew", 204, NULL, NULL },
    { "POST", "/api/v1/sessions/:id/keep", NULL, "Keep", 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/uploaded", NULL, "Uploaded", 200, "Session", "409" },
};
/* clang-format on */

const struct bp_api_part bp_agent_api_docs = { docs,    BP_COUNT(docs),   params, BP_COUNT(params),
                                               schemas, BP_COUNT(schemas) };
