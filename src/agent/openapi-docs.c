/* The shapes of what the API takes and gives, as JSON Schema (2020-12), and which route has which.
 */
#include "agent/openapi.h"
#include "base/macro.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
const struct bp_api_schema bp_api_schemas[] = {
    { "Any", JSON({"type": "object"}) },
    { "Problem", JSON({
        "type": "object",
        "required": ["title", "status", "detail"],
        "properties": {
          "type": {"type": "string"},
          "title": {"type": "string"},
          "status": {"type": "integer"},
          "detail": {"type": "string"}
        }
      }) },
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
    { "Alert", JSON({
        "type": "object",
        "required": ["key", "severity", "text", "state", "since_ns", "cleared_ns", "count"],
        "properties": {
          "key": {"type": "string"},
          "severity": {"enum": ["info", "warning", "critical"]},
          "text": {"type": "string"},
          "state": {"enum": ["active", "cleared"]},
          "since_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "cleared_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "count": {"type": "integer", "minimum": 0}
        }
      }) },
    { "Alerts", JSON({
        "type": "object",
        "required": ["alerts"],
        "properties": {"alerts": {"type": "array", "items": {"$ref": "#/components/schemas/Alert"}}}
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
    { "LogLine", JSON({
        "type": "object",
        "required": ["number", "time_ns", "level", "text", "cut"],
        "properties": {
          "number": {"type": "integer", "minimum": 0},
          "time_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "level": {"enum": ["error", "warning", "notice", "info", "debug"]},
          "text": {"type": "string"},
          "cut": {"type": "boolean"}
        }
      }) },
    { "Logs", JSON({
        "type": "object",
        "required": ["lines", "next"],
        "properties": {
          "lines": {"type": "array", "items": {"$ref": "#/components/schemas/LogLine"}},
          "next": {"type": "integer", "minimum": 0}
        }
      }) },
    { "ConfigKey", JSON({
        "type": "object",
        "required": ["value", "source", "live"],
        "properties": {
          "value": {},
          "source": {"enum": ["default", "file", "environment", "--set", "live"]},
          "live": {"type": "boolean"},
          "pending": {}
        }
      }) },
    { "Config", JSON({
        "type": "object",
        "required": ["file", "keys"],
        "properties": {
          "file": {"type": "string"},
          "keys": {
            "type": "object",
            "additionalProperties": {"$ref": "#/components/schemas/ConfigKey"}
          }
        }
      }) },
    { "ConfigPatch", JSON({
        "type": "object",
        "description": "keys, dotted or nested, and their values; null takes one back",
        "examples": [{"log.level": "info"}]
      }) },
    { "ConfigReport", JSON({
        "type": "object",
        "required": ["changed", "restart"],
        "properties": {
          "changed": {"type": "array", "items": {"type": "string"}},
          "restart": {"type": "array", "items": {"type": "string"}}
        }
      }) },
    { "ConfigCheck", JSON({
        "type": "object",
        "required": ["ok"],
        "properties": {
          "ok": {"type": "boolean"},
          "error": {"type": "string"},
          "line": {"type": "integer", "minimum": 0},
          "key": {"type": "string"}
        }
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
    { "Who", JSON({
        "type": "object",
        "required": ["user", "role", "by", "auth", "accounts"],
        "properties": {
          "user": {"type": ["string", "null"]},
          "role": {"enum": ["viewer", "operator", "admin", null]},
          "by": {"enum": ["nobody", "socket", "local", "token", "login", "jwt"]},
          "auth": {"enum": ["auto", "required", "off"]},
          "accounts": {"type": "boolean"},
          "note": {"type": "string"}
        }
      }) },
    { "LoginNew", JSON({
        "type": "object",
        "required": ["user", "password"],
        "properties": {"user": {"type": "string"}, "password": {"type": "string"}}
      }) },
    { "UserNew", JSON({
        "type": "object",
        "required": ["name", "role", "password"],
        "additionalProperties": false,
        "properties": {
          "name": {"type": "string"},
          "role": {"enum": ["viewer", "operator", "admin"]},
          "password": {"type": "string"}
        }
      }) },
    { "UserEdit", JSON({
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "role": {"enum": ["viewer", "operator", "admin"]},
          "password": {"type": "string"},
          "disabled": {"type": "boolean"}
        }
      }) },
    { "TokenNew", JSON({
        "type": "object",
        "required": ["name", "role"],
        "additionalProperties": false,
        "properties": {
          "name": {"type": "string"},
          "role": {"enum": ["viewer", "operator", "admin"]},
          "lifetime_s": {"type": "number", "minimum": 0}
        }
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
        "required": ["session", "received", "late", "lost", "lost_by_cause", "sources"],
        "properties": {
          "session": {"type": "string"},
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
    { "Job", JSON({
        "type": "object",
        "required": [
          "id",
          "kind",
          "subject",
          "state",
          "created_ns",
          "started_ns",
          "ended_ns",
          "progress",
          "error",
          "result"
        ],
        "properties": {
          "id": {"type": "string"},
          "kind": {"type": "string"},
          "subject": {"type": "string"},
          "state": {"enum": ["queued", "running", "done", "failed", "cancelled", "interrupted"]},
          "created_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "started_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "ended_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "progress": {
            "type": "object",
            "required": ["done", "total"],
            "properties": {
              "done": {"type": "integer", "minimum": 0},
              "total": {"type": "integer", "minimum": 0}
            }
          },
          "error": {"type": ["string", "null"]},
          "result": {},
          "log": {"type": "string"}
        }
      }) },
    { "Jobs", JSON({
        "type": "object",
        "required": ["jobs", "next"],
        "properties": {
          "jobs": {"type": "array", "items": {"$ref": "#/components/schemas/Job"}},
          "next": {"type": ["string", "null"]}
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
    { "Uploaded", JSON({"type": "object", "properties": {"uploaded": {"type": "boolean"}}}) },
};
const size_t bp_api_schemas_count = BP_COUNT(bp_api_schemas);

const struct bp_api_param bp_api_params[] = {
    { "status", JSON({"enum": ["recording", "paused", "finished", "failed", "deleted"]}), "only these" },
    { "q", JSON({"type": "string"}), "only what contains this text, letters of either case" },
    { "from_ns", JSON({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}), "started at or after" },
    { "to_ns", JSON({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}), "started before" },
    { "limit", JSON({"type": "integer", "minimum": 1, "maximum": 999, "default": 100}), "at most so many" },
    { "before", JSON({"type": "string"}), "only older ones: `next` of the page before" },
    { "past", JSON({"enum": ["0", "1"]}), "1: also what is over" },
    { "spans", JSON({"enum": ["0", "1"]}), "1: the sequence numbers too" },
    { "dry_run", JSON({"enum": ["0", "1"]}), "1: only tell" },
    { "level", JSON({"enum": ["error", "warning", "notice", "info", "debug"]}), "only lines as grave as this" },
    { "tail", JSON({"type": "integer", "minimum": 1, "maximum": 2048, "default": 200}), "the last so many of them" },
    { "since", JSON({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}), "only lines with a higher number" },
};
const size_t bp_api_params_count = BP_COUNT(bp_api_params);

/* method, pattern, query, request, status, reply, others */
const struct bp_api_doc bp_api_docs[] = {
    { "GET", "/healthz", NULL, NULL, 200, "text/plain", NULL },
    { "GET", "/readyz", NULL, NULL, 200, "text/plain", NULL },
    { "GET", "/metrics", NULL, NULL, 200, "text/plain", "406" },
    { "GET", "/api/v1/openapi.json", NULL, NULL, 200, "Any", "304" },
    { "GET", "/api/v1/status", NULL, NULL, 200, "Status", NULL },
    { "GET", "/api/v1/alerts", "past", NULL, 200, "Alerts", NULL },
    { "GET", "/api/v1/host", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/robots", NULL, NULL, 200, "Robots", NULL },
    { "GET", "/api/v1/robots/:robot", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/device", NULL, NULL, 200, "Any", NULL },
    { "GET", "/api/v1/secrets", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/login", NULL, "LoginNew", 200, "Who", "401 429 503" },
    { "POST", "/api/v1/logout", NULL, NULL, 204, NULL, NULL },
    { "GET", "/api/v1/whoami", NULL, NULL, 200, "Who", NULL },
    { "GET", "/api/v1/users", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/users", NULL, "UserNew", 201, "Any", "409 429" },
    { "PATCH", "/api/v1/users/:name", NULL, "UserEdit", 200, "Any", "409" },
    { "DELETE", "/api/v1/users/:name", NULL, NULL, 204, NULL, "409" },
    { "GET", "/api/v1/tokens", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/tokens", NULL, "TokenNew", 201, "Any", "409 429" },
    { "DELETE", "/api/v1/tokens/:name", NULL, NULL, 204, NULL, NULL },
    { "GET", "/api/v1/snapshot", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/snapshot", NULL, "SnapshotNew", 201, "Session", "200 409 422 429 503 507" },
    { "GET", "/api/v1/events", NULL, NULL, 200, "text/event-stream", "101 426" },
    { "GET", "/api/v1/triggers", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/conditions/test", NULL, "Any", 200, "Any", NULL },
    { "GET", "/api/v1/triggers/:name", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/triggers/:name", NULL, "Any", 200, "Any", NULL },
    { "POST", "/api/v1/triggers/:name/fire", NULL, "Any", 200, "Any", NULL },
    { "GET", "/api/v1/topics", NULL, NULL, 200, "Topics", NULL },
    { "GET", "/api/v1/logs", "level q tail since", NULL, 200, "Logs", NULL },
    { "GET", "/api/v1/config", NULL, NULL, 200, "Config", "304" },
    { "PATCH", "/api/v1/config", NULL, "ConfigPatch", 200, "ConfigReport", NULL },
    { "GET", "/api/v1/config/schema", NULL, NULL, 200, "application/schema+json", NULL },
    { "POST", "/api/v1/config/check", NULL, "application/yaml", 200, "ConfigCheck", NULL },
    { "POST", "/api/v1/config/reload", NULL, NULL, 200, "ConfigReport", NULL },
    { "GET", "/api/v1/jobs", "limit before", NULL, 200, "Jobs", NULL },
    { "GET", "/api/v1/jobs/:id", NULL, NULL, 200, "Job", NULL },
    { "DELETE", "/api/v1/jobs/:id", NULL, NULL, 204, NULL, "202" },
    { "GET", "/api/v1/link", NULL, NULL, 200, "Link", NULL },
    { "GET", "/api/v1/storage", NULL, NULL, 200, "Storage", NULL },
    { "POST", "/api/v1/storage/clean", "dry_run", NULL, 202, "Storage", "200" },
    { "GET", "/api/v1/sessions", "status q from_ns to_ns limit before", NULL, 200, "Sessions", NULL },
    { "POST", "/api/v1/sessions", NULL, "SessionStart", 201, "Session", "409 507" },
    { "GET", "/api/v1/sessions/:id", NULL, NULL, 200, "Session", NULL },
    { "PATCH", "/api/v1/sessions/:id", NULL, "SessionEdit", 200, "Session", NULL },
    { "DELETE", "/api/v1/sessions/:id", NULL, NULL, 202, "Session", "409" },
    { "GET", "/api/v1/sessions/:id/topics", NULL, NULL, 200, "SessionTopics", "304" },
    { "GET", "/api/v1/sessions/:id/ledger", "spans", NULL, 200, "Ledger", "304 409 422" },
    { "GET", "/api/v1/sessions/:id/segments", NULL, NULL, 200, "Segments", "304" },
    { "GET", "/api/v1/sessions/:id/segments/:name", NULL, NULL, 200, "application/octet-stream", "206 304 409 416" },
    { "GET", "/api/v1/sessions/:id/download", NULL, NULL, 200, "application/x-tar", "409" },
    { "POST", "/api/v1/sessions/:id/verify", NULL, NULL, 202, "Job", "409" },
    { "POST", "/api/v1/sessions/:id/stop", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/pause", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/resume", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/split", NULL, NULL, 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/marks", NULL, "MarkNew", 204, NULL, NULL },
    { "POST", "/api/v1/sessions/:id/keep", NULL, "Keep", 200, "Session", NULL },
    { "POST", "/api/v1/sessions/:id/uploaded", NULL, "Uploaded", 200, "Session", "409" },
};
const size_t bp_api_docs_count = BP_COUNT(bp_api_docs);
/* clang-format on */
