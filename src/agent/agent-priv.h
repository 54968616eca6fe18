#pragma once

#include "agent/agent.h"
#include "agent/sessions.h"
#include "net/http.h"

struct bp_agent {
    const struct bp_agent_config *config;
    struct bp_recorder *recorder;
    struct bp_catalog *catalog;
    struct bp_sessions *sessions;
    struct bp_http *http;
    const char **listen, **hosts, **origins; /* owned; borrowed by the server */
    char dir[1024], socket[512], address[600];
    bp_ns_t started_mono, started_ns;
};

/* api.c */
extern const struct bp_http_route bp_agent_routes[];
extern const size_t bp_agent_routes_count;
