#pragma once

#include "net/http.h"

/* Handlers of api-storage.c; their rows are in api.c. */
int bp_api_get_storage(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_get_host(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_get_robots(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_get_robot(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_post_clean(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_post_keep(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
int bp_api_post_uploaded(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err);
