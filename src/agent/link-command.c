/* Commands of the server. Each is a request to the agent's own API, made over its unix socket: what
 * is checked, done and answered is what everybody else gets. What the server may ask for is bounded
 * by link.role, and by the role of who asked there; which role a request needs says the route
 * table.
 *
 * A command is done at most once: its id is on the disk before it begins, and one that is known
 * gets the answer that is known. */
#include <errno.h>
#include <stdio.h>
#include <utlist.h>

#include "agent/link-priv.h"
#include "base/log.h"
#include "net/client.h"

struct row {
    const char *name, *method, *pattern; /* of the route */
    const char *param, *otherwise;       /* arg that stands for ":…" in it, and its default */
};

static const struct row rows[] = {
    { "session.start", "POST", "/api/v1/sessions", NULL, NULL },
    { "session.stop", "POST", "/api/v1/sessions/:id/stop", "session", "current" },
    { "session.pause", "POST", "/api/v1/sessions/:id/pause", "session", "current" },
    { "session.resume", "POST", "/api/v1/sessions/:id/resume", "session", "current" },
    { "session.split", "POST", "/api/v1/sessions/:id/split", "session", "current" },
    { "session.mark", "POST", "/api/v1/sessions/:id/marks", "session", "current" },
    { "session.edit", "PATCH", "/api/v1/sessions/:id", "session", NULL },
    { "session.keep", "POST", "/api/v1/sessions/:id/keep", "session", NULL },
    { "session.verify", "POST", "/api/v1/sessions/:id/verify", "session", NULL },
    { "session.get", "GET", "/api/v1/sessions/:id", "session", NULL },
    { "session.list", "GET", "/api/v1/sessions", NULL, NULL },
    { "snapshot", "POST", "/api/v1/snapshot", NULL, NULL },
    { "trigger.list", "GET", "/api/v1/triggers", NULL, NULL },
    { "trigger.set", "POST", "/api/v1/triggers/:name", "trigger", NULL },
    { "trigger.fire", "POST", "/api/v1/triggers/:name/fire", "trigger", NULL },
    { "alert.list", "GET", "/api/v1/alerts", NULL, NULL },
    { "alert.acknowledge", "POST", "/api/v1/alerts/:key/acknowledge", "alert", NULL },
    { "sync.status", "GET", "/api/v1/sync", NULL, NULL },
    { "sync.now", "POST", "/api/v1/sync/now", NULL, NULL },
    { "sync.pause", "POST", "/api/v1/sync/pause", NULL, NULL },
    { "sync.resume", "POST", "/api/v1/sync/resume", NULL, NULL },
    { "sync.fetch", "POST", "/api/v1/sync/fetch", NULL, NULL },
    { "job.get", "GET", "/api/v1/jobs/:id", "job", NULL },
    { "status", "GET", "/api/v1/status", NULL, NULL },
    { "topics", "GET", "/api/v1/topics", NULL, NULL },
    { "host", "GET", "/api/v1/host", NULL, NULL },
    { "storage.clean", "POST", "/api/v1/storage/clean", NULL, NULL },
    { "config.get", "GET", "/api/v1/config", NULL, NULL },
    { "config.patch", "PATCH", "/api/v1/config", NULL, NULL },
};

static const struct row *row_of(const char *name) {
    for (size_t i = 0; name && i < BP_COUNT(rows); i++)
        if (bp_streq(rows[i].name, name))
            return &rows[i];
    return NULL;
}

static const struct bp_http_route *route_of(const struct row *row) {
    for (size_t i = 0; i < bp_agent_routes_count; i++)
        if (bp_streq(bp_agent_routes[i].method, row->method) &&
            bp_streq(bp_agent_routes[i].pattern, row->pattern))
            return &bp_agent_routes[i];
    return NULL;
}

/* What "viewer", "operator", "admin" may; less than anybody for other words. */
static int access_of(const char *role) {
    return !role                        ? -1
           : bp_streq(role, "viewer")   ? BP_HTTP_VIEWER
           : bp_streq(role, "operator") ? BP_HTTP_OPERATOR
           : bp_streq(role, "admin")    ? BP_HTTP_ADMIN
                                        : -1;
}

/* {"status", "body": {"status", "detail"}} */
static json_t *refusal(int status, const char *text) {
    return json_pack("{s:i, s:{s:i, s:s}}", "status", status, "body", "status", status, "detail",
                     text);
}

/* ---- doing it: thread of commands ---- */

/* The path of the request; the arg that stands in it is taken out of them. */
static int put_path(const struct row *row, json_t *args, struct bp_buf *out) {
    const char *colon = strchr(row->pattern, ':'), *rest, *value;

    if (!colon) {
        bp_buf_put_str(out, row->pattern);
        return 0;
    }
    value = json_string_value(json_object_get(args, row->param));
    value = value ? value : row->otherwise;
    if (!value || !*value)
        return BP_EUSAGE;
    rest = strchr(colon, '/');
    bp_buf_put(out, row->pattern, (size_t) (colon - row->pattern));
    bp_client_put_escaped(out, value);
    bp_buf_put_str(out, rest ? rest : "");
    (void) json_object_del(args, row->param);
    return 0;
}

/* Args of a GET are its query. */
static void put_query(json_t *args, struct bp_buf *out) {
    const char *key;
    json_t *v;
    char sep = '?';

    json_object_foreach(args, key, v) {
        BP_AUTO_FREE char *text =
            json_is_string(v) ? strdup(json_string_value(v)) : json_dumps(v, JSON_ENCODE_ANY);

        bp_buf_printf(out, "%c", sep);
        bp_client_put_escaped(out, key);
        bp_buf_put_str(out, "=");
        bp_client_put_escaped(out, text ? text : "");
        sep = '&';
    }
}

static json_t *result_of(const struct bp_client_reply *reply) {
    json_t *body = reply->body.n > 0 ? json_loadb((const char *) reply->body.p, reply->body.n,
                                                  JSON_DECODE_ANY, NULL)
                                     : json_null();

    return json_pack("{s:i, s:o}", "status", reply->status, "body", body ? body : json_null());
}

static json_t *call(struct bp_link *l, const struct row *row, json_t *args, bp_ns_t within) {
    BP_CLEANUP(bp_client_closep) struct bp_client *client = NULL;
    struct bp_client_reply reply = { 0 };
    struct bp_error err = { 0 };
    BP_AUTO_BUF path = { 0 };
    bool get = bp_streq(row->method, "GET");
    json_t *result;
    int r = put_path(row, args, &path);

    if (r < 0)
        return refusal(400, "the command names no session, trigger or job");
    if (get)
        put_query(args, &path);
    r = bp_client_open(&(struct bp_client_options){ .url = l->api,
                                                    .timeout = within,
                                                    .max_body_bytes = BP_LINK_RESULT_MAX },
                       &client, &err);
    if (r == 0)
        r = bp_client_call(client, row->method, bp_buf_cstr(&path), get ? NULL : args, &reply,
                           &err);
    if (r == -ETIMEDOUT)
        return refusal(504, "it was begun and has not come to an end in time");
    result = r < 0 ? refusal(bp_http_status(r), err.text) : result_of(&reply);
    bp_client_reply_done(&reply);
    return result;
}

static json_t *perform(struct bp_link *l, const struct bp_link_cmd *c) {
    const char *name = json_string_value(json_object_get(c->command, "name"));
    const char *role = json_string_value(json_object_get(c->command, "role"));
    const struct row *row = row_of(name);
    const struct bp_http_route *route = row ? route_of(row) : NULL;
    bp_ns_t within = c->mono_until - bp_mono_ns();
    json_t *args, *result;
    /* enum of link.role: none, viewer, operator, admin */
    static const char *const roles[] = { "none", "viewer", "operator", "admin" };
    int may = BP_MIN(access_of(role), access_of(roles[l->agent->config->link.role]));

    if (!route)
        return refusal(501, "this agent does not know that command");
    if (may < (int) route->access)
        return refusal(403, "the role of who asks, or link.role of this agent, does not allow it");
    if (within <= 0)
        return refusal(504, "it came too late and was not done");
    args = json_copy(json_object_get(c->command, "args"));
    args = args ? args : json_object();
    result = call(l, row, args, within);
    json_decref(args);
    return result;
}

static void tell_result(struct bp_link *l, const struct bp_link_cmd *c, json_t *result) {
    struct bp_link_item *i = calloc(1, sizeof *i);

    if (i) {
        i->kind = BP_LINK_RESULT;
        (void) snprintf(i->id, sizeof i->id, "%s", c->id);
        (void) json_object_set_new(result, "id", json_string(c->id));
        i->text = json_dumps(result, JSON_COMPACT);
    }
    json_decref(result);
    bp_link_put(l, i);
}

static void cmd_free(struct bp_link_cmd *c) {
    json_decref(c->command);
    free(c);
}

void *bp_link_cmd_run(void *link) {
    struct bp_link *l = link;

    for (;;) {
        struct bp_link_cmd *c;
        bool stop;

        bp_mutex_lock(&l->lock);
        while (!l->cmds && !l->stop)
            bp_mutex_wait(&l->lock, &l->cmd_work);
        c = l->cmds;
        stop = l->stop;
        if (c)
            DL_DELETE(l->cmds, c);
        if (c)
            (void) snprintf(l->doing, sizeof l->doing, "%s", c->id);
        bp_mutex_unlock(&l->lock);
        if (!c)
            return NULL;
        if (!stop) /* else it is taken again, and found not done */
            tell_result(l, c, perform(l, c));
        bp_mutex_lock(&l->lock);
        l->doing[0] = '\0';
        l->ncmds--;
        bp_mutex_unlock(&l->lock);
        cmd_free(c);
    }
}

/* ---- taking it: link's thread ---- */

/* Does it wait to be done, or is it being done? */
static bool is_known_here(struct bp_link *l, const char *id) {
    struct bp_link_cmd *c;
    struct bp_link_item *i;
    bool found;

    bp_mutex_lock(&l->lock);
    found = bp_streq(l->doing, id);
    DL_FOREACH(l->cmds, c) {
        found |= bp_streq(c->id, id);
    }
    DL_FOREACH(l->items, i) { /* done, and its result not written yet */
        found |= i->kind == BP_LINK_RESULT && bp_streq(i->id, id);
    }
    bp_mutex_unlock(&l->lock);
    return found;
}

static void send_refusal(struct bp_link *l, const char *id, int status, const char *text) {
    json_t *o = refusal(status, text);

    (void) json_object_set_new(o, "id", json_string(id));
    (void) bp_link_send(l, json_pack("{s:o}", "result", o));
}

/* One that is known: what came of it. */
static void answer_again(struct bp_link *l, const char *id, const char *known) {
    json_t *result;

    if (is_known_here(l, id))
        return;
    if (known && !*known) {
        send_refusal(l, id, 409, "it was done before, and its result was told");
        return;
    }
    result = known ? json_loads(known, 0, NULL) : NULL;
    if (result)
        (void) bp_link_send(l, json_pack("{s:o}", "result", result));
    else
        send_refusal(l, id, 500, "the agent ended while it did this: it may or may not be done");
}

static void take(struct bp_link *l, json_t *command, const char *id, bp_ns_t within) {
    struct bp_link_cmd *c = calloc(1, sizeof *c);

    if (!c)
        return;
    (void) snprintf(c->id, sizeof c->id, "%s", id);
    c->command = json_incref(command);
    c->mono_until = bp_mono_ns() + within;
    bp_mutex_lock(&l->lock);
    DL_APPEND(l->cmds, c);
    l->ncmds++;
    l->shown.commands++;
    (void) pthread_cond_signal(&l->cmd_work);
    bp_mutex_unlock(&l->lock);
}

void bp_link_command(struct bp_link *l, json_t *command) {
    const char *id = json_string_value(json_object_get(command, "id"));
    const char *name = json_string_value(json_object_get(command, "name"));
    const char *by = json_string_value(json_object_get(command, "by"));
    double within = json_number_value(json_object_get(command, "within_s"));
    BP_AUTO_FREE char *known = NULL;
    struct bp_error err = { 0 };
    unsigned waiting;
    int r;

    if (!id || strlen(id) != BP_ULID_TEXT - 1 || bp_ulid_parse(id, strlen(id), NULL) < 0 || !name)
        return;
    bp_mutex_lock(&l->lock);
    waiting = l->ncmds;
    bp_mutex_unlock(&l->lock);
    if (waiting >= BP_LINK_COMMANDS && !is_known_here(l, id)) {
        send_refusal(l, id, 503, "too many commands wait already: not done");
        return;
    }
    r = bp_link_log_begin(l->log, id, &known, &err);
    if (r == 1) {
        answer_again(l, id, known);
        return;
    }
    if (r < 0) { /* without its id on the disk it could be done twice */
        send_refusal(l, id, 503, err.text);
        return;
    }
    bp_log(BP_LOG_NOTICE, "the server has a command", BP_F_TEXT("command", name),
           BP_F_TEXT("id", id), BP_F_TEXT("by", by ? by : ""));
    take(l, command, id, (bp_ns_t) (BP_MIN(BP_MAX(within, 0), 3600.0) * 1e9));
}
