/* The link's beginning and end, who we are, and how it is for those who ask. */
#include <errno.h>
#include <stdio.h>
#include <utlist.h>

#include "agent/link-priv.h"
#include "agent/vault.h"
#include "base/json-value.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/thread.h"
#include "crypt/digest.h"
#include "crypt/secret.h"
#include "crypt/vault.h"

enum { SECRET_MAX = 4096 };

/* ---- who we are ---- */

static void read_machine_id(char *ret, size_t cap) {
    FILE *f = fopen("/etc/machine-id", "re");

    *ret = '\0';
    if (!f || !fgets(ret, (int) cap, f))
        (void) gethostname(ret, cap - 1);
    if (f)
        (void) fclose(f);
}

/* Of a digest: the machine's id is nobody's business (machine-id(5)). */
char *bp_agent_device_id(struct bp_agent *a, char ret[static BP_DEVICE_ID_TEXT]) {
    const struct bp_sign_key *k = bp_sessions_device(a->sessions);
    uint8_t digest[BP_SHA256_LEN];
    char hex[BP_SHA256_HEX], text[256] = "bagpipe device ";
    size_t n = strlen(text);

    if (*a->config->sync.device) {
        (void) snprintf(ret, BP_DEVICE_ID_TEXT, "%s", a->config->sync.device);
        return ret;
    }
    if (k)
        return bp_device_id_of_key(bp_sign_key_public(k), ret);
    read_machine_id(text + n, sizeof text - n);
    bp_sha256_of(text, strlen(text), digest);
    (void) snprintf(ret, BP_DEVICE_ID_TEXT, "d-%.20s", bp_sha256_hex(digest, hex));
    return ret;
}

/* ---- its life ---- */

/* "https://host/base" → "https://host/base/api/v1/link" */
static char *url_of(const char *upstream) {
    size_t n = strlen(upstream);
    char *url = NULL;

    while (n > 0 && upstream[n - 1] == '/')
        n--;
    return asprintf(&url, "%.*s/api/v1/link", (int) n, upstream) < 0 ? NULL : url;
}

/* The door to ourselves. */
static char *api_of(struct bp_agent *a) {
    const char *text;

    for (size_t i = 0; (text = bp_http_address(a->http, i)) != NULL; i++)
        if (bp_starts_with(text, "unix:"))
            return strdup(text);
    return NULL;
}

int bp_link_secret(struct bp_agent *a, const char *what, struct bp_secret *ret,
                   struct bp_error *err) {
    if (bp_starts_with(what, "file:/"))
        return bp_secret_read_file(what + strlen("file:"), SECRET_MAX, true, ret, err);
    if (!bp_starts_with(what, "secret:"))
        return bp_fail(err, BP_ECONFIG,
                       "a configuration is no place for a token: put it into the vault (`bagpipe "
                       "secret set`) and write secret:NAME, or file:/PATH");
    return a->vault ? bp_vault_resolve(a->vault, what, ret, err)
                    : bp_fail(err, -ENOENT, "there is no vault to look '%.60s' up in", what);
}

static bool is_server(const char *url) {
    return bp_starts_with(url, "http://") || bp_starts_with(url, "https://");
}

/* What is uploaded goes to a server: it is the one to tell, too. "" = none. */
static const char *server_of(const struct bp_agent_config *c) {
    const char *upstream = c->sync.upstream;

    if (*c->link.url)
        return bp_streq(c->link.url, "none") ? "" : c->link.url;
    return is_server(upstream) ? upstream : "";
}

/* What people call it. */
static const char *device_name(const struct bp_agent_config *c, const char *device,
                               char ret[static BP_LINK_NAME]) {
    (void) snprintf(ret, BP_LINK_NAME, "%s", c->link.name);
    if (!*ret && gethostname(ret, BP_LINK_NAME - 1) < 0)
        (void) snprintf(ret, BP_LINK_NAME, "%s", device);
    return ret;
}

/* The link goes to where uploads go, so it trusts whom they trust. */
static const char *ca_of(const struct bp_agent_config *c) {
    return *c->link.ca_file || *c->link.url ? c->link.ca_file : c->sync.ca_file;
}

static const char *proxy_of(const struct bp_agent_config *c) {
    return *c->link.proxy || *c->link.url ? c->link.proxy : c->sync.proxy;
}

/* Link and uploads prove with the same tokens who we are. */
int bp_agent_tokens_open(struct bp_agent *a, struct bp_device_tokens **ret, struct bp_error *err) {
    const struct bp_agent_config *c = a->config;
    const struct bp_sign_key *key = bp_sessions_device(a->sessions);
    const char *url = server_of(c);
    char device[BP_DEVICE_ID_TEXT], name[BP_LINK_NAME];
    BP_AUTO_SECRET enrolment = { 0 };
    int r = 0;

    *ret = NULL;
    if (!*url && is_server(c->sync.upstream)) /* link.url: none */
        url = c->sync.upstream;
    if (!*url || !key)
        return 0;
    if (*c->link.enrolment)
        r = bp_link_secret(a, c->link.enrolment, &enrolment, err);
    return r < 0 ? bp_prefix(err, r, "link.enrolment")
                 : bp_device_tokens_open(
                       &(struct bp_device_tokens_options){
                           .url = url,
                           .device = bp_agent_device_id(a, device),
                           .name = device_name(c, device, name),
                           .key = key,
                           .enrolment = enrolment.n > 0 ? (const char *) enrolment.p : NULL,
                           .ca_file = ca_of(c),
                           .proxy = proxy_of(c) },
                       ret, err);
}

static int start(struct bp_link *l, struct bp_error *err) {
    int r = bp_loop_open("link-net", &l->loop);

    if (r == 0)
        r = bp_link_live_open(l);
    if (r == 0 && bp_link_watch(l) < 0)
        bp_log(BP_LOG_INFO, "no hints of the kernel about its networks");
    if (r == 0)
        r = bp_bus_listen(l->agent->bus, bp_link_on_news, l);
    l->listening = r == 0;
    if (r == 0)
        r = bp_thread_start("link", bp_link_run, l, &l->thread);
    l->started = r == 0;
    if (r == 0)
        r = bp_thread_start("link-cmd", bp_link_cmd_run, l, &l->cmd_thread);
    l->cmd_started = r == 0;
    return r < 0 ? bp_fail(err, r, "the link to the server cannot start: %s", bp_strerror(r)) : 0;
}

int bp_link_open(struct bp_agent *a, struct bp_link **ret, struct bp_error *err) {
    const struct bp_agent_config *c = a->config;
    struct bp_link *l;
    char path[1100];
    int r;

    *ret = NULL;
    if (!*server_of(c))
        return 0;
    if (*c->link.token && !bp_starts_with(c->link.token, "secret:") &&
        !bp_starts_with(c->link.token, "file:/"))
        return bp_link_secret(a, c->link.token, NULL, err); /* says what it should be */
    l = calloc(1, sizeof *l);
    if (!l)
        return bp_fail(err, -ENOMEM, "out of memory");
    l->agent = a;
    l->netlink.fd = l->live.timer.fd = -1;
    l->shown.state = "waiting";
    bp_mutex_init(&l->lock);
    (void) pthread_cond_init(&l->work, NULL);
    (void) pthread_cond_init(&l->cmd_work, NULL);
    (void) bp_agent_device_id(a, l->device);
    (void) device_name(c, l->device, l->name);
    l->tokens = a->tokens;
    l->ca_file = ca_of(c);
    l->proxy = proxy_of(c);
    l->url = url_of(server_of(c));
    l->api = api_of(a);
    (void) snprintf(path, sizeof path, "%s/link.db", a->dir);
    r = l->url && l->api ? bp_link_log_open(path, c->link.queue_size, &l->log, err)
                         : bp_fail(err, -ENOMEM, "out of memory");
    if (r == 0)
        r = start(l, err);
    if (r < 0) {
        bp_link_close(l);
        return r;
    }
    *ret = l;
    return 0;
}

void bp_link_stop(struct bp_link *l) {
    if (!l)
        return;
    bp_mutex_lock(&l->lock);
    l->stop = true;
    (void) pthread_cond_signal(&l->work);
    (void) pthread_cond_signal(&l->cmd_work);
    bp_mutex_unlock(&l->lock);
    if (BP_TAKE(l->cmd_started, false))
        (void) pthread_join(l->cmd_thread, NULL);
    if (BP_TAKE(l->started, false))
        (void) pthread_join(l->thread, NULL);
}

void bp_link_close(struct bp_link *l) {
    struct bp_link_item *i, *next;
    struct bp_link_cmd *c, *next_cmd;

    if (!l)
        return;
    if (l->listening)
        bp_bus_unlisten(l->agent->bus, bp_link_on_news, l);
    bp_link_stop(l);
    if (l->log)
        bp_link_do_items(l); /* what came since */
    bp_link_unwatch(l);
    bp_link_live_close(l);
    bp_loop_close(l->loop);
    bp_link_log_close(l->log);
    DL_FOREACH_SAFE(l->items, i, next) {
        bp_link_item_free(i);
    }
    DL_FOREACH_SAFE(l->cmds, c, next_cmd) {
        json_decref(c->command);
        free(c);
    }
    json_decref(l->told);
    json_decref(l->robots);
    json_decref(l->sync);
    bp_wipe(l->token, sizeof l->token);
    free(l->url);
    free(l->api);
    (void) pthread_cond_destroy(&l->work);
    (void) pthread_cond_destroy(&l->cmd_work);
    bp_mutex_done(&l->lock);
    free(l);
}

json_t *bp_link_json(struct bp_link *l) {
    uint64_t waiting;
    json_t *o;

    if (!l)
        return json_pack("{s:b}", "configured", 0);
    o = json_pack("{s:b, s:s, s:s, s:s}", "configured", 1, "device", l->device, "name", l->name,
                  "url", l->url);
    bp_mutex_lock(&l->lock);
    waiting = l->shown.waiting + l->nnews + l->nkeeping;
    if (o)
        (void) json_object_update_new(
            o, json_pack("{s:s, s:o, s:s, s:I, s:I, s:I, s:I, s:I}", "state", l->shown.state,
                         "since_ns", bp_json_time(l->shown.wall_since), "error", l->shown.error,
                         "waiting", (json_int_t) waiting, "waiting_bytes",
                         (json_int_t) l->shown.waiting_bytes, "acknowledged",
                         (json_int_t) l->shown.acked, "connects", (json_int_t) l->shown.connects,
                         "commands", (json_int_t) l->shown.commands));
    bp_mutex_unlock(&l->lock);
    return o;
}

void bp_link_metrics(struct bp_link *l, struct bp_buf *out) {
    bool up;
    uint64_t waiting, bytes;

    if (!l)
        return;
    bp_mutex_lock(&l->lock);
    up = bp_streq(l->shown.state, "connected");
    waiting = l->shown.waiting;
    bytes = l->shown.waiting_bytes;
    bp_mutex_unlock(&l->lock);
    bp_metrics_family(out, "bagpipe_link_up", BP_METRIC_GAUGE, "Is there a link to the server?");
    bp_metrics_sample(out, "bagpipe_link_up", NULL, 0, up);
    bp_metrics_family(out, "bagpipe_link_waiting_events", BP_METRIC_GAUGE,
                      "News that the server does not have yet. Does it drain?");
    bp_metrics_sample(out, "bagpipe_link_waiting_events", NULL, 0, (double) waiting);
    bp_metrics_family(out, "bagpipe_link_waiting_bytes", BP_METRIC_GAUGE,
                      "Their bytes on the disk. Does it drain?");
    bp_metrics_sample(out, "bagpipe_link_waiting_bytes", NULL, 0, (double) bytes);
    bp_metrics_family(out, "bagpipe_link_live_frames_total", BP_METRIC_COUNTER,
                      "Pictures, clouds and samples that went to be watched through the server.");
    bp_metrics_sample(out, "bagpipe_link_live_frames_total", NULL, 0,
                      (double) bp_counter_get(&l->live.frames));
    bp_metrics_family(out, "bagpipe_link_live_bytes_total", BP_METRIC_COUNTER,
                      "Their bytes. What do viewers cost the link?");
    bp_metrics_sample(out, "bagpipe_link_live_bytes_total", NULL, 0,
                      (double) bp_counter_get(&l->live.bytes));
}
