/* The server's side of agents' links on the rooms of net/ and the links alone, for tests and
 * benches from outside. link-probe DIR ADDRESS… prints the addresses it listens on, then each piece
 * of news as a line of JSON, and answers until SIGTERM. SIGUSR1: agents are asked to go, within 2
 * s.
 *
 *   GET /api/v1/link?device=…    agents; `device` stands for what authentication would have proved
 *   the rows of server/links/routes.h */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/log.h"
#include "base/mutex.h"
#include "server/links/routes.h"

static struct bp_links *links;
static struct bp_mutex out_lock = BP_MUTEX_INIT;

static void on_news(void *ctx, const char *topic, json_t *payload) {
    char *text = json_dumps(payload, JSON_COMPACT);

    (void) ctx;
    bp_mutex_lock(&out_lock);
    (void) printf("{\"topic\":\"%s\",\"data\":%s}\n", topic, text);
    (void) fflush(stdout);
    bp_mutex_unlock(&out_lock);
    free(text);
    json_decref(payload);
}

static struct bp_links *links_of(void *ctx) {
    (void) ctx;
    return links;
}

static int get_link(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_links_accept(links, bp_http_query(req, "device"), req, reply, err);
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/link", get_link, BP_HTTP_PUBLIC, "Agents' links." },
    { "GET", "/api/v1/devices", bp_links_get_devices, BP_HTTP_VIEWER, "Devices." },
    { "GET", "/api/v1/robots", bp_links_get_robots, BP_HTTP_VIEWER, "Robots." },
    { "GET", "/api/v1/devices/:device/status", bp_links_get_status, BP_HTTP_VIEWER, "Status." },
    { "GET", "/api/v1/devices/:device/topics", bp_links_get_topics, BP_HTTP_VIEWER, "Topics." },
    { "GET", "/api/v1/devices/:device/events", bp_links_get_events, BP_HTTP_VIEWER, "Events." },
    { "POST", "/api/v1/devices/:device/commands", bp_links_post_command, BP_HTTP_OPERATOR, "Do." },
    { "GET", "/api/v1/devices/:device/commands/:id", bp_links_get_command, BP_HTTP_VIEWER,
      "Done?" },
    { "GET", "/api/v1/devices/:device/config", bp_links_config, BP_HTTP_VIEWER, "Configuration." },
    { "PATCH", "/api/v1/devices/:device/config", bp_links_config, BP_HTTP_ADMIN, "Sets it." },
};

int main(int argc, char **argv) {
    BP_CLEANUP(bp_http_closep) struct bp_http *http = NULL;
    const char *listen[8] = { NULL };
    struct bp_error err = { 0 };
    sigset_t set;
    int sig = 0;

    if (argc < 3 || argc > 9)
        return 2;
    for (int i = 2; i < argc; i++)
        listen[i - 2] = argv[i];
    (void) signal(SIGPIPE, SIG_IGN);
    (void) sigemptyset(&set);
    (void) sigaddset(&set, SIGTERM);
    (void) sigaddset(&set, SIGUSR1);
    (void) pthread_sigmask(SIG_BLOCK, &set, NULL);
    bp_log_setup(BP_LOG_INFO, BP_LOG_JSON);
    bp_links_routes_setup(links_of, 3);
    if (bp_links_open(
            &(struct bp_links_options){ .dir = argv[1], .news = getenv("QUIET") ? NULL : on_news },
            &links, &err) < 0 ||
        bp_http_open(&(struct bp_http_options){ .listen = listen,
                                                .routes = routes,
                                                .nroutes = BP_COUNT(routes),
                                                .max_connections = 8192,
                                                .max_per_peer = 8192 },
                     &http, &err) < 0) {
        (void) fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    bp_mutex_lock(&out_lock);
    for (size_t i = 0; bp_http_address(http, i); i++)
        (void) printf("%s\n", bp_http_address(http, i));
    (void) fflush(stdout);
    bp_mutex_unlock(&out_lock);
    while (sig != SIGTERM && sig != SIGUSR1)
        (void) sigwait(&set, &sig);
    bp_links_stop(links, sig == SIGUSR1 ? 2 * BP_SEC : 0);
    (void) bp_http_drain(http, BP_SEC);
    bp_http_close(BP_TAKE_PTR(http));
    bp_links_close(links);
    return 0;
}
