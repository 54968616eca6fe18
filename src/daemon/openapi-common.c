/* Routes, parameters and shapes that agent and server have in common. */
#include "base/macro.h"
#include "daemon/openapi.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const struct bp_api_schema schemas[] = {
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
    { "Alert", JSON({
        "type": "object",
        "required": ["key", "severity", "text", "state", "since_ns", "cleared_ns", "count",
                     "acknowledged_ns", "acknowledged_by", "note"],
        "properties": {
          "key": {"type": "string"},
          "severity": {"enum": ["info", "warning", "critical"]},
          "text": {"type": "string"},
          "state": {"enum": ["active", "cleared"]},
          "since_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "cleared_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "count": {"type": "integer", "minimum": 0},
          "acknowledged_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "acknowledged_by": {"type": ["string", "null"]},
          "note": {"type": ["string", "null"]}
        }
      }) },
    { "Acknowledge", JSON({
        "type": "object",
        "properties": {
          "note": {"type": ["string", "null"], "description": "at most 255 bytes"},
          "by": {"type": ["string", "null"], "description": "who has seen it; by the unix socket only"}
        }
      }) },
    { "Alerts", JSON({
        "type": "object",
        "required": ["alerts"],
        "properties": {"alerts": {"type": "array", "items": {"$ref": "#/components/schemas/Alert"}}}
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
    { "Who", JSON({
        "type": "object",
        "required": ["user", "role", "by", "auth", "accounts"],
        "properties": {
          "user": {"type": ["string", "null"]},
          "role": {"enum": ["viewer", "operator", "admin", null]},
          "by": {"enum": ["nobody", "socket", "local", "token", "login", "jwt"]},
          "auth": {"enum": ["auto", "required", "off"]},
          "accounts": {"type": "boolean"},
          "scope": {"type": "string"},
          "note": {"type": "string"}
        }
      }) },
    { "LoginNew", JSON({
        "type": "object",
        "anyOf": [{"required": ["user", "password"]}, {"required": ["token"]}],
        "properties": {
          "user": {"type": "string"},
          "password": {"type": "string"},
          "token": {"type": "string"}
        }
      }) },
    { "UserNew", JSON({
        "type": "object",
        "required": ["name", "role", "password"],
        "additionalProperties": false,
        "properties": {
          "name": {"type": "string"},
          "role": {"enum": ["viewer", "operator", "admin"]},
          "password": {"type": "string"},
          "scope": {"type": "string", "maxLength": 511}
        }
      }) },
    { "UserEdit", JSON({
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "role": {"enum": ["viewer", "operator", "admin"]},
          "password": {"type": "string"},
          "disabled": {"type": "boolean"},
          "scope": {"type": "string", "maxLength": 511}
        }
      }) },
    { "TokenNew", JSON({
        "type": "object",
        "required": ["name", "role"],
        "additionalProperties": false,
        "properties": {
          "name": {"type": "string"},
          "role": {"enum": ["viewer", "operator", "admin"]},
          "lifetime_s": {"type": "number", "minimum": 0},
          "scope": {"type": "string", "maxLength": 511}
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
};

static const struct bp_api_param params[] = {
    { "from_ns", JSON({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}), "started at or after" },
    { "to_ns", JSON({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}), "started before" },
    { "q", JSON({"type": "string"}), "only what contains this text, letters of either case" },
    { "limit", JSON({"type": "integer", "minimum": 1, "maximum": 999, "default": 100}), "at most so many" },
    { "before", JSON({"type": "string"}), "only older ones: `next` of the page before" },
    { "past", JSON({"enum": ["0", "1"]}), "1: also what is over" },
    { "level", JSON({"enum": ["error", "warning", "notice", "info", "debug"]}), "only lines as grave as this" },
    { "tail", JSON({"type": "integer", "minimum": 1, "maximum": 2048, "default": 200}), "the last so many of them" },
    { "since", JSON({"type": "integer", "minimum": 0, "maximum": 9223372036854775807}), "only lines with a higher number" },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "GET", "/healthz", NULL, NULL, 200, "text/plain", NULL },
    { "GET", "/readyz", NULL, NULL, 200, "text/plain", NULL },
    { "GET", "/metrics", NULL, NULL, 200, "text/plain", "406" },
    { "GET", "/api/v1/openapi.json", NULL, NULL, 200, "Any", "304" },
    { "GET", "/api/v1/alerts", "past", NULL, 200, "Alerts", NULL },
    { "POST", "/api/v1/alerts/:key/acknowledge", NULL, "Acknowledge", 200, "Alert", NULL },
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
    { "GET", "/api/v1/events", NULL, NULL, 200, "text/event-stream", "101 426" },
    { "GET", "/api/v1/logs", "level q tail since", NULL, 200, "Logs", NULL },
    { "GET", "/api/v1/config", NULL, NULL, 200, "Config", "304" },
    { "PATCH", "/api/v1/config", NULL, "ConfigPatch", 200, "ConfigReport", NULL },
    { "GET", "/api/v1/config/schema", NULL, NULL, 200, "application/schema+json", NULL },
    { "POST", "/api/v1/config/check", NULL, "application/yaml", 200, "ConfigCheck", NULL },
    { "POST", "/api/v1/config/reload", NULL, NULL, 200, "ConfigReport", NULL },
    { "GET", "/api/v1/jobs", "limit before", NULL, 200, "Jobs", NULL },
    { "GET", "/api/v1/jobs/:id", NULL, NULL, 200, "Job", NULL },
    { "DELETE", "/api/v1/jobs/:id", NULL, NULL, 204, NULL, "202" },
};
/* clang-format on */

const struct bp_api_part bp_api_common = { docs,    BP_COUNT(docs),   params, BP_COUNT(params),
                                           schemas, BP_COUNT(schemas) };
