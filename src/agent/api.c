/* The agent's HTTP API: one row a route. Handlers run on the server's workers and may wait for
 * disks. Paths and bodies: docs/api/agent.md. */
#include "agent/agent-priv.h"
#include "agent/api-storage.h"
#include "agent/care.h"
#include "agent/events-media.h"
#include "agent/link.h"
#include "agent/openapi.h"
#include "agent/retention.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/json-value.h"
#include "base/metrics.h"
#include "base/units.h"
#include "net/fanout.h"

static struct bp_agent *agent_of(const struct bp_http_req *req) {
    return bp_http_ctx(req);
}

/* ---- how it is ---- */

static json_t *storage_json(const struct bp_agent *a) {
    struct statvfs v;

    if (statvfs(a->dir, &v) < 0)
        return json_pack("{s:s}", "dir", a->dir);
    return json_pack("{s:s, s:o, s:o}", "dir", a->dir, "free",
                     bp_json_count((uint64_t) v.f_bavail * v.f_frsize), "size",
                     bp_json_count((uint64_t) v.f_blocks * v.f_frsize));
}

json_t *bp_agent_status_json(struct bp_agent *a) {
    struct bp_sessions_stats s;
    struct bp_recorder_stats r;
    const char *state;
    json_t *o;

    bp_sessions_stats(a->sessions, &s);
    bp_recorder_stats(a->recorder, &r);
    state = s.disk_full            ? "disk_full"
            : s.running > s.paused ? "recording"
            : s.running            ? "paused"
                                   : "idle";
    o = json_pack("{s:s, s:s, s:f, s:{s:i, s:i, s:o, s:o, s:o}, s:{s:i, s:i, s:i, s:o, s:o, s:o}, "
                  "s:{s:o, s:o}, s:o}",
                  "version", BP_VERSION, "state", state, "uptime_s",
                  (double) (bp_mono_ns() - a->started_mono) / 1e9, "sessions", "running",
                  (int) s.running, "paused", (int) s.paused, "messages", bp_json_count(s.messages),
                  "bytes", bp_json_count(s.bytes), "lost", bp_json_count(s.lost), "graph", "topics",
                  (int) r.topics, "writers", (int) r.writers, "subscribed", (int) r.readers,
                  "received", bp_json_count(r.received), "received_bytes", bp_json_count(r.bytes),
                  "udp_drops", bp_json_count(r.udp_drops), "ring", "used",
                  bp_json_count(s.ring_used), "size", bp_json_count(s.ring_size), "storage",
                  storage_json(a));
    if (o) {
        json_t *sync = bp_agent_sync_brief(a->sync);

        bp_care_status(a->care, o);
        if (sync)
            (void) json_object_set_new(o, "sync", sync);
    }
    return o;
}

static int get_status(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_agent_status_json(agent_of(req)));
    return 0;
}

static int get_ready(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_sessions_stats s;

    bp_sessions_stats(agent_of(req)->sessions, &s);
    if (bp_http_draining(req))
        return bp_fail(err, -EAGAIN, "the agent is ending");
    if (s.disk_full)
        return bp_fail(err, -EAGAIN, "the disk is full: new messages are refused");
    bp_http_reply_static(reply, 200, "text/plain", "ok\n", 3);
    return 0;
}

static int get_metrics(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    BP_AUTO_BUF out = { 0 };
    struct bp_recorder_stats r;

    (void) err;
    bp_recorder_stats(a->recorder, &r);
    bp_metrics_family(&out, "bagpipe_graph_topics", BP_METRIC_GAUGE,
                      "Topics in the ROS graph that have a writer.");
    bp_metrics_sample(&out, "bagpipe_graph_topics", NULL, 0, r.topics);
    bp_metrics_family(&out, "bagpipe_graph_writers", BP_METRIC_GAUGE,
                      "Writers in the ROS graph; do robots come and go?");
    bp_metrics_sample(&out, "bagpipe_graph_writers", NULL, 0, r.writers);
    bp_metrics_family(&out, "bagpipe_received_messages_total", BP_METRIC_COUNTER,
                      "Messages handed to us by DDS, each once.");
    bp_metrics_sample(&out, "bagpipe_received_messages_total", NULL, 0, (double) r.received);
    bp_metrics_family(&out, "bagpipe_received_bytes_total", BP_METRIC_COUNTER, "Their bytes.");
    bp_metrics_sample(&out, "bagpipe_received_bytes_total", NULL, 0, (double) r.bytes);
    bp_metrics_family(&out, "bagpipe_udp_drops_total", BP_METRIC_COUNTER,
                      "Packets that this host's receive buffers dropped since the start.");
    bp_metrics_sample(&out, "bagpipe_udp_drops_total", NULL, 0, (double) r.udp_drops);
    bp_sessions_metrics(a->sessions, &out);
    bp_snapshots_metrics(a->snapshots, &out);
    bp_retention_metrics(a->retention, &out);
    bp_care_metrics(a->care, &out);
    bp_triggers_metrics(a->triggers, &out);
    bp_agent_sync_metrics(a->sync, &out);
    bp_alerts_metrics(a->alerts, &out);
    bp_link_metrics(a->link, &out);
    bp_metrics_render(&out, bp_http_metrics, bp_http_metrics_count);
    bp_metrics_render(&out, bp_access_metrics, bp_access_metrics_count);
    bp_metrics_render(&out, bp_fanout_metrics, bp_fanout_metrics_count);
    bp_metrics_render(&out, bp_streams_metrics, bp_streams_metrics_count);
    bp_agent_put_metrics(a, &out);
    bp_api_reply_metrics(req, reply, &out);
    return 0;
}

static int get_alerts(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    bp_api_get_alerts(agent_of(req)->alerts, req, reply);
    return 0;
}

static int acknowledge(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_api_acknowledge(agent_of(req)->alerts, req, reply, err);
}

static int on_config(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_api_config(agent_of(req)->settings, req, reply, err);
}

static int on_events(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_events_reply(agent_of(req)->events, req, reply, err);
}

static int get_link(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_link_json(agent_of(req)->link));
    return 0;
}

/* ---- sessions ---- */

static int reply_session(struct bp_agent *a, const char *key, int status,
                         struct bp_http_reply *reply, struct bp_error *err) {
    json_t *o = bp_sessions_get(a->sessions, key);

    if (!o)
        return bp_fail(err, -ENOENT, "there is no session '%s'", key ? key : "");
    bp_http_reply_json(reply, status, o);
    return 0;
}

static int post_session(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    json_t *request = NULL;
    char id[27];
    int r = bp_agent_body(req, &request, err);

    if (r < 0)
        return r;
    r = bp_sessions_start(a->sessions, request, id, err);
    json_decref(request);
    return r < 0 ? r : reply_session(a, id, 201, reply, err);
}

static int list_sessions(struct bp_http_req *req, struct bp_http_reply *reply,
                         struct bp_error *err) {
    const char *status = bp_http_query(req, "status");
    struct bp_catalog_query q = { .status = -1,
                                  .text = bp_http_query(req, "q"),
                                  .before = bp_http_query(req, "before") };
    int64_t limit;
    json_t *page = NULL;
    int r = bp_agent_number(req, "limit", 100, 1, 999, &limit, err);

    if (r == 0)
        r = bp_agent_number(req, "from_ns", 0, 0, INT64_MAX, &q.from, err);
    if (r == 0)
        r = bp_agent_number(req, "to_ns", 0, 0, INT64_MAX, &q.to, err);
    if (r < 0)
        return r;
    if (status && (q.status = bp_status_from_name(status)) < 0)
        return bp_fail(err, BP_EUSAGE,
                       "status=%s: expected recording, paused, finished, failed or deleted",
                       status);
    q.limit = (uint32_t) limit;
    r = bp_sessions_list(agent_of(req)->sessions, &q, &page, err);
    if (r == 0)
        bp_http_reply_json(reply, 200, page);
    return r;
}

static int get_session(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return reply_session(agent_of(req), bp_http_param(req, "id"), 200, reply, err);
}

static int act(struct bp_http_req *req, enum bp_session_action action, struct bp_http_reply *reply,
               struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    const char *key = bp_http_param(req, "id");
    char id[27];
    int r = bp_sessions_act(a->sessions, bp_streq(key, "current") ? NULL : key, action, id, err);

    return r < 0 ? r : reply_session(a, id, 200, reply, err);
}

static int post_stop(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return act(req, BP_SESSION_STOP, reply, err);
}

static int post_pause(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return act(req, BP_SESSION_PAUSE, reply, err);
}

static int post_resume(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return act(req, BP_SESSION_RESUME, reply, err);
}

static int post_split(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return act(req, BP_SESSION_SPLIT, reply, err);
}

static int post_mark(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    struct bp_agent *a = agent_of(req);
    const char *key = bp_http_param(req, "id"), *text;
    json_t *body = NULL, *values;
    int r = bp_agent_body(req, &body, err);

    if (r < 0)
        return r;
    text = json_string_value(json_object_get(body, "text"));
    values = json_object_get(body, "values");
    if (!text || !*text)
        r = bp_fail(err, BP_EUSAGE, "'text' is missing: what happened?");
    else if (values && !json_is_object(values))
        r = bp_fail(err, BP_EUSAGE, "'values' must be an object of texts");
    else
        r = bp_sessions_mark(a->sessions, bp_streq(key, "current") ? NULL : key, text, values, err);
    json_decref(body);
    if (r == 0)
        bp_http_reply_empty(reply, 204);
    return r;
}

const struct bp_http_route bp_agent_routes[] = {
    { "GET", "/healthz", bp_api_get_health, BP_HTTP_PUBLIC, "Answers while the process lives." },
    { "GET", "/readyz", get_ready, BP_HTTP_PUBLIC, "Answers 200 while recording is possible." },
    { "POST", "/api/v1/login", bp_agent_login, BP_HTTP_PUBLIC,
      "A cookie for user and password, or for a token." },
    { "POST", "/api/v1/logout", bp_agent_logout, BP_HTTP_PUBLIC,
      "Ends what the cookie stands for." },
    { "GET", "/api/v1/whoami", bp_agent_whoami, BP_HTTP_PUBLIC, "Who asks, as what, and by what." },
    { "GET", "/api/v1/users", bp_agent_accounts, BP_HTTP_ADMIN, "Users." },
    { "POST", "/api/v1/users", bp_agent_accounts, BP_HTTP_ADMIN, "Adds a user." },
    { "PATCH", "/api/v1/users/:name", bp_agent_accounts, BP_HTTP_ADMIN,
      "Changes role or password, disables, enables." },
    { "DELETE", "/api/v1/users/:name", bp_agent_accounts, BP_HTTP_ADMIN, "Removes a user." },
    { "GET", "/api/v1/tokens", bp_agent_accounts, BP_HTTP_ADMIN, "Tokens, without what they are." },
    { "POST", "/api/v1/tokens", bp_agent_accounts, BP_HTTP_ADMIN,
      "Makes a token and tells it, once." },
    { "DELETE", "/api/v1/tokens/:name", bp_agent_accounts, BP_HTTP_ADMIN, "Removes a token." },
    { "GET", "/metrics", get_metrics, BP_HTTP_VIEWER, "Numbers in Prometheus' text format." },
    { "GET", "/api/v1/openapi.json", bp_agent_get_openapi, BP_HTTP_VIEWER,
      "This description, OpenAPI 3.1." },
    { "GET", "/api/v1/status", get_status, BP_HTTP_VIEWER, "How the agent is, at a glance." },
    { "GET", "/api/v1/alerts", get_alerts, BP_HTTP_VIEWER,
      "What is wrong now; with past=1 also what was." },
    { "POST", "/api/v1/alerts/:key/acknowledge", acknowledge, BP_HTTP_OPERATOR,
      "Says that somebody has seen an alert that is active, with a note if there is one." },
    { "GET", "/api/v1/topics", bp_agent_get_topics, BP_HTTP_VIEWER,
      "Topics of the graph: rates, QoS, losses." },
    { "GET", "/api/v1/logs", bp_api_get_logs, BP_HTTP_VIEWER, "The last lines of the log." },
    { "GET", "/api/v1/jobs", bp_agent_jobs, BP_HTTP_VIEWER, "Long work, newest first." },
    { "GET", "/api/v1/jobs/:id", bp_agent_jobs, BP_HTTP_VIEWER, "One job, with its log." },
    { "DELETE", "/api/v1/jobs/:id", bp_agent_jobs, BP_HTTP_ADMIN,
      "Cancels what waits or runs; forgets what has ended." },
    { "GET", "/api/v1/host", bp_api_get_host, BP_HTTP_VIEWER,
      "The machine: processor, memory, disks, network, temperatures, power, clock." },
    { "GET", "/api/v1/robots", bp_api_get_robots, BP_HTTP_VIEWER,
      "Robots: topics, rates, sessions, losses." },
    { "GET", "/api/v1/robots/:robot", bp_api_get_robot, BP_HTTP_VIEWER,
      "One robot, with its topics." },
    { "GET", "/api/v1/device", bp_api_device, BP_HTTP_VIEWER,
      "The public key that recordings are signed with." },
    { "GET", "/api/v1/secrets", bp_api_secrets, BP_HTTP_ADMIN,
      "Names in the vault and when they were set; never a value." },
    { "GET", "/api/v1/link", get_link, BP_HTTP_VIEWER,
      "The link to the server, and what waits to be told to it." },
    { "GET", "/api/v1/storage", bp_api_get_storage, BP_HTTP_VIEWER,
      "The disk, sessions by class, and what retention would delete next and why." },
    { "POST", "/api/v1/storage/clean", bp_api_post_clean, BP_HTTP_OPERATOR,
      "Lets retention look now; dry_run=1 only tells what it would delete." },
    { "GET", "/api/v1/config", on_config, BP_HTTP_VIEWER,
      "The configuration in effect, and where each value comes from." },
    { "PATCH", "/api/v1/config", on_config, BP_HTTP_ADMIN, "Sets live keys until the agent ends." },
    { "GET", "/api/v1/config/schema", on_config, BP_HTTP_VIEWER,
      "JSON schema of the configuration file." },
    { "POST", "/api/v1/config/check", on_config, BP_HTTP_ADMIN,
      "Says what is wrong with a configuration file." },
    { "POST", "/api/v1/config/reload", on_config, BP_HTTP_ADMIN,
      "Reads the configuration file anew, all of it or nothing." },
    { "GET", "/api/v1/events", on_events, BP_HTTP_VIEWER,
      "Events as they happen: a WebSocket, or server-sent events." },
    { "GET", "/api/v1/sessions", list_sessions, BP_HTTP_VIEWER,
      "Sessions, newest first; status, q, from_ns, to_ns, limit, before." },
    { "POST", "/api/v1/sessions", post_session, BP_HTTP_OPERATOR, "Starts a session." },
    { "GET", "/api/v1/sessions/:id", get_session, BP_HTTP_VIEWER, "One session, by id or name." },
    { "PATCH", "/api/v1/sessions/:id", bp_agent_patch_session, BP_HTTP_OPERATOR,
      "Changes mission, operator, notes, tags, or whether it is kept." },
    { "DELETE", "/api/v1/sessions/:id", bp_agent_delete_session, BP_HTTP_ADMIN,
      "Deletes it; its files go in small steps afterwards." },
    { "GET", "/api/v1/sessions/:id/topics", bp_agent_get_session_topics, BP_HTTP_VIEWER,
      "Its topics with counts and losses." },
    { "GET", "/api/v1/sessions/:id/ledger", bp_agent_get_ledger, BP_HTTP_VIEWER,
      "What became of every message of every writer." },
    { "GET", "/api/v1/sessions/:id/segments", bp_agent_get_segments, BP_HTTP_VIEWER,
      "Its files with sizes, times and digests." },
    { "GET", "/api/v1/sessions/:id/segments/:name", bp_agent_get_segment, BP_HTTP_VIEWER,
      "One of its files." },
    { "GET", "/api/v1/sessions/:id/download", bp_agent_get_download, BP_HTTP_VIEWER,
      "All of its files as a tar stream." },
    { "GET", "/api/v1/sessions/:id/data", bp_agent_get_data, BP_HTTP_VIEWER,
      "Messages of a session, by topics and time: MCAP, JSON lines, CSV or frames." },
    { "POST", "/api/v1/sessions/:id/verify", bp_agent_verify_session, BP_HTTP_OPERATOR,
      "Checks every byte of it, as a job." },
    { "POST", "/api/v1/sessions/:id/stop", post_stop, BP_HTTP_OPERATOR,
      "Finishes it; 'current' is the only one that runs." },
    { "POST", "/api/v1/sessions/:id/pause", post_pause, BP_HTTP_OPERATOR, "Pauses it." },
    { "POST", "/api/v1/sessions/:id/resume", post_resume, BP_HTTP_OPERATOR, "Goes on." },
    { "POST", "/api/v1/sessions/:id/split", post_split, BP_HTTP_OPERATOR, "Begins a new segment." },
    { "POST", "/api/v1/sessions/:id/keep", bp_api_post_keep, BP_HTTP_OPERATOR,
      "Keeps it from retention, or with keep=false no longer." },
    { "POST", "/api/v1/sessions/:id/uploaded", bp_api_post_uploaded, BP_HTTP_OPERATOR,
      "Tells that there is a copy elsewhere, so that retention may delete it." },
    { "POST", "/api/v1/sessions/:id/marks", post_mark, BP_HTTP_OPERATOR,
      "Writes a mark with a text and values into recording and catalogue." },
    { "GET", "/api/v1/sync", bp_api_get_sync, BP_HTTP_VIEWER,
      "Uploads: targets, what waits, what is under way, rates." },
    { "GET", "/api/v1/sync/files", bp_api_get_sync_files, BP_HTTP_VIEWER,
      "Files of sessions and what became of them at each target; target, session, state." },
    { "GET", "/api/v1/sync/decisions", bp_api_get_sync_decisions, BP_HTTP_VIEWER,
      "What was decided where both sides had changed something." },
    { "POST", "/api/v1/sync/decisions/:number/undo", bp_api_post_sync_undo, BP_HTTP_OPERATOR,
      "Takes a decision back: what lost wins." },
    { "POST", "/api/v1/sync/now", bp_api_post_sync, BP_HTTP_OPERATOR,
      "Sends at once, before all else and outside of windows: {target, session}." },
    { "POST", "/api/v1/sync/pause", bp_api_post_sync, BP_HTTP_OPERATOR,
      "Sends nothing more until told: {target}." },
    { "POST", "/api/v1/sync/resume", bp_api_post_sync, BP_HTTP_OPERATOR, "Goes on: {target}." },
    { "POST", "/api/v1/sync/retry", bp_api_post_sync, BP_HTTP_OPERATOR,
      "Tries again what is parked or has failed: {target, session}." },
    { "POST", "/api/v1/sync/fetch", bp_api_post_sync_fetch, BP_HTTP_OPERATOR,
      "Sends segments of a session that hold a range of time: {session, from_ns, to_ns, topics}." },
    { "POST", "/api/v1/sync/gc", bp_api_post_sync_gc, BP_HTTP_OPERATOR,
      "Removes unfinished uploads in buckets that nobody goes on with: {min_age_s, dry_run}." },
    { "GET", "/api/v1/triggers", bp_agent_get_triggers, BP_HTTP_VIEWER,
      "Triggers with their state, counts and the values last seen." },
    { "POST", "/api/v1/conditions/test", bp_agent_test_trigger, BP_HTTP_OPERATOR,
      "Tries a condition: {when, wait_s}." },
    { "GET", "/api/v1/triggers/:name", bp_agent_get_trigger, BP_HTTP_VIEWER, "One of them." },
    { "POST", "/api/v1/triggers/:name", bp_agent_post_trigger, BP_HTTP_OPERATOR,
      "Switches it on or off until the agent ends: {enabled}." },
    { "POST", "/api/v1/triggers/:name/fire", bp_agent_fire_trigger, BP_HTTP_OPERATOR,
      "Fires it, or makes external(name) true for a moment: {values}." },
    { "POST", "/api/v1/snapshot", bp_api_post_snapshot, BP_HTTP_OPERATOR,
      "Saves what came before and what comes after now as a session." },
    { "GET", "/api/v1/snapshot", bp_api_get_snapshot, BP_HTTP_VIEWER,
      "The history that snapshots are taken from, and those being saved." },
};

const size_t bp_agent_routes_count = BP_COUNT(bp_agent_routes);
