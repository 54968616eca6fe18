#pragma once

#include <jansson.h>

#include "access/access.h"
#include "alert/alert.h"
#include "daemon/bus.h"
#include "daemon/jobs.h"
#include "daemon/settings.h"
#include "net/http.h"

/* What handlers of both daemons do alike. */

/** The body of a request as a JSON object, owned by the caller; an empty body is an empty one.
 *  @return 0, or BP_EUSAGE when it is something else */
BP_MUST_CHECK int bp_api_body(const struct bp_http_req *req, json_t **ret, struct bp_error *err);
/** A number of the query, `otherwise` when it is not there. @return 0 or BP_EUSAGE */
BP_MUST_CHECK int bp_api_number(const struct bp_http_req *req, const char *name, int64_t otherwise,
                                int64_t min, int64_t max, int64_t *ret, struct bp_error *err);
/** Replies with JSON under an ETag made of its bytes, so that who has it already is told so.
 *  @param json  taken over */
void bp_api_reply_known(struct bp_http_reply *reply, json_t *json);

/** GET /healthz: the process lives. A handler. */
int bp_api_get_health(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);

/** Handler of .../users and .../tokens and of one of them by :name. */
int bp_api_accounts(struct bp_access *a, struct bp_http_req *req, struct bp_http_reply *reply,
                    struct bp_error *err);
/**
 * Addresses that others can reach need accounts, or nobody could be told from a thief.
 *
 * @param auth_key, key  those of the configuration that say `mode` and `listen`, for the error
 * @param mode           of `a`
 * @return 0, BP_ECONFIG
 */
BP_MUST_CHECK int bp_api_check_listen(struct bp_access *a, enum bp_access_mode mode,
                                      const char *auth_key, const char *key,
                                      const char *const *listen, struct bp_error *err);

/** Replies to GET .../alerts?past. */
void bp_api_get_alerts(struct bp_alerts *a, const struct bp_http_req *req,
                       struct bp_http_reply *reply);
/** Handler of .../alerts/:key/acknowledge. */
int bp_api_acknowledge(struct bp_alerts *a, struct bp_http_req *req, struct bp_http_reply *reply,
                       struct bp_error *err);
/** A line in the log for what bp_alerts_fn tells. */
void bp_api_log_alert(const char *event, const json_t *alert);

/** Handler of .../jobs and of one of them by :id, which DELETE cancels or forgets. */
int bp_api_jobs(struct bp_jobs *j, struct bp_http_req *req, struct bp_http_reply *reply,
                struct bp_error *err);

/** Handler of .../config: GET, PATCH, GET schema, POST check, POST reload. */
int bp_api_config(struct bp_settings *s, struct bp_http_req *req, struct bp_http_reply *reply,
                  struct bp_error *err);
/** Reads the configuration anew and logs what came of it. */
void bp_api_reload(struct bp_settings *s);

/** GET /api/v1/logs?level&q&tail&since. A handler. */
int bp_api_get_logs(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err);
/** Lines of the log are news on the bus from now on, until bp_api_log_stop(). */
void bp_api_log_start(struct bp_bus *bus);
void bp_api_log_stop(void);

/** Appends what every process has: memory, processor, files, start, version. */
void bp_api_put_process(struct bp_buf *out, bp_ns_t started_wall);
/** Appends size and free space of the disk that `dir` is on. */
void bp_api_put_disk(struct bp_buf *out, const char *dir);
/** Replies with a page of families in the format that is asked for. @param page  emptied */
void bp_api_reply_metrics(const struct bp_http_req *req, struct bp_http_reply *reply,
                          struct bp_buf *page);
