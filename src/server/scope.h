#pragma once

#include "catalog/archive.h"
#include "server/server-priv.h"

/* People whose account has a scope (catalog/scope.h) see and do what concerns its devices, and
 * nothing else: what is another's is not there (404), what concerns the site as a whole is not for
 * them (403). guard.c judges each request by a table of routes, in which a route that is not there
 * is refused; lists are cut by their handlers. Devices prove who they are by other means: to what
 * is here they have no scope. Any thread. */
struct bp_scopes;

extern const struct bp_server_part bp_server_part_scope;

/** Of who asks; "" = everything. @return 0, -EACCES as bp_access_scope() */
BP_MUST_CHECK int bp_server_scope(struct bp_server *s, struct bp_http_req *req,
                                  char ret[static BP_SCOPE], struct bp_error *err);
/** Does not wait for a disk. */
bool bp_server_sees(struct bp_server *s, const char *scope, const char *device);
/** `sees` of daemon/events.h. */
bool bp_server_sees_news(void *ctx, const char *scope, const char *topic, const json_t *payload);
/** `sees` of ingest/ingest.h. */
bool bp_server_sees_device(void *ctx, const char *scope, const char *device);

/** What :id of a route names, when who asks may see it. @return as bp_archive_get() */
BP_MUST_CHECK int bp_server_find_session(struct bp_server *s, struct bp_http_req *req,
                                         struct bp_archive_session *ret, struct bp_error *err);
/** Takes those out of a list of objects whose device, a text under `key`, is not for who asks. */
BP_MUST_CHECK int bp_server_cut_list(struct bp_server *s, struct bp_http_req *req, json_t *list,
                                     const char *key, struct bp_error *err);

/** May somebody with a scope make this request? @return 0, or the status to refuse with */
int bp_server_judge_scope(struct bp_server *s, struct bp_http_req *req, struct bp_error *err);
/** Does the table say anything of a route? */
bool bp_server_scope_knows(const char *pattern);
