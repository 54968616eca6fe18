/* What the routes of devices take and give. */
#include "server/api-devices.h"

#define JSON(...) #__VA_ARGS__

/* clang-format off */
static const struct bp_api_schema schemas[] = {
    { "Device", JSON({
        "type": "object",
        "required": ["device", "name", "kind", "state", "public_key", "groups", "info",
                     "approved_by", "first_ns", "seen_ns", "approved_ns"],
        "properties": {
          "device": {"type": "string"},
          "name": {"type": "string"},
          "kind": {"type": "string"},
          "state": {"enum": ["pending", "accepted", "refused"]},
          "public_key": {"type": "string"},
          "groups": {"type": "array", "items": {"type": "string"}},
          "info": {"type": "object"},
          "approved_by": {"type": "string"},
          "first_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "seen_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"},
          "approved_ns": {"type": ["string", "null"], "pattern": "^[0-9]+$"}
        }
      }) },
    { "Devices", JSON({
        "type": "object",
        "required": ["devices"],
        "properties": {"devices": {"type": "array", "items": {"$ref": "#/components/schemas/Device"}}}
      }) },
    { "DeviceNew", JSON({
        "type": "object",
        "required": ["device", "public_key"],
        "properties": {
          "device": {"type": "string", "minLength": 1, "maxLength": 56},
          "public_key": {"type": "string"},
          "name": {"type": "string", "maxLength": 128},
          "kind": {"type": "string", "maxLength": 32},
          "token": {"type": "string"}
        }
      }) },
    { "DeviceEdit", JSON({
        "type": "object",
        "additionalProperties": false,
        "properties": {
          "name": {"type": "string", "maxLength": 128},
          "state": {"enum": ["accepted", "refused"]},
          "groups": {"type": "array", "items": {"type": "string"}, "maxItems": 32}
        }
      }) },
    { "Challenge", JSON({
        "type": "object",
        "required": ["nonce", "time_ns"],
        "properties": {
          "nonce": {"type": "string"},
          "time_ns": {"type": "string", "pattern": "^[0-9]+$"}
        }
      }) },
    { "DeviceAnswer", JSON({
        "type": "object",
        "required": ["device", "nonce", "audience", "time_ns", "signature"],
        "properties": {
          "device": {"type": "string"},
          "nonce": {"type": "string"},
          "audience": {"type": "string"},
          "time_ns": {"type": ["string", "integer"]},
          "signature": {"type": "string"}
        }
      }) },
    { "DeviceToken", JSON({
        "type": "object",
        "required": ["token", "lifetime_s", "expires_ns", "time_ns"],
        "properties": {
          "token": {"type": "string"},
          "lifetime_s": {"type": "number"},
          "expires_ns": {"type": "string", "pattern": "^[0-9]+$"},
          "time_ns": {"type": "string", "pattern": "^[0-9]+$"}
        }
      }) },
    { "EnrolmentNew", JSON({
        "type": "object",
        "required": ["name"],
        "properties": {
          "name": {"type": "string", "minLength": 1, "maxLength": 56},
          "lifetime_s": {"type": "number", "minimum": 1},
          "groups": {"type": "array", "items": {"type": "string"}, "maxItems": 32}
        }
      }) },
};

/* method, pattern, query, request, status, reply, others */
static const struct bp_api_doc docs[] = {
    { "POST", "/api/v1/devices/enroll", NULL, "DeviceNew", 200, "Device", "201 401 409 410 429" },
    { "POST", "/api/v1/devices/challenge", NULL, "Any", 200, "Challenge", "429" },
    { "POST", "/api/v1/devices/token", NULL, "DeviceAnswer", 200, "DeviceToken", "401 409 429" },
    { "GET", "/api/v1/devices", NULL, NULL, 200, "Devices", NULL },
    { "GET", "/api/v1/devices/:id", NULL, NULL, 200, "Device", NULL },
    { "PATCH", "/api/v1/devices/:id", NULL, "DeviceEdit", 200, "Device", NULL },
    { "DELETE", "/api/v1/devices/:id", NULL, NULL, 204, NULL, NULL },
    { "GET", "/api/v1/enrolments", NULL, NULL, 200, "Any", NULL },
    { "POST", "/api/v1/enrolments", NULL, "EnrolmentNew", 201, "Any", "409" },
    { "DELETE", "/api/v1/enrolments/:name", NULL, NULL, 204, NULL, NULL },
};
/* clang-format on */

const struct bp_api_part bp_server_devices_docs = { docs, BP_COUNT(docs), NULL,
                                                    0,    schemas,        BP_COUNT(schemas) };
