#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/thread.h"
#include "base/ulid.h"
#include "net/ws-client.h"
#include "server/links/links.h"

/* Fifty agents in this process, while threads ask, command and throw out: made to be run with a
 * sanitizer of threads; what is told is checked all the same. */

enum { AGENTS = 50, ASKERS = 4, ROUNDS = 25, EVENTS = 20, WAIT_S = 60 };

struct agent {
    struct bp_ws_client *ws;
    unsigned number;
    char log[BP_ULID_TEXT];
    unsigned welcomes, acked, did, ended; /* [atomic] */
};

static char dir[64];
static struct bp_links *links;
static struct bp_loop *loop;
static struct agent agents[AGENTS];
static unsigned news; /* [atomic] */

static int rm_one(const char *path, const struct stat *st, int flag, struct FTW *f) {
    (void) st;
    (void) flag;
    (void) f;
    return remove(path);
}

static void add(unsigned *n) { /* NOLINT(readability-non-const-parameter) */
    (void) __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}

static unsigned get(const unsigned *n) {
    return __atomic_load_n(n, __ATOMIC_RELAXED);
}

/* ---- an agent: loop thread ---- */

static void say(struct bp_ws_client *c, json_t *o) {
    char *text = json_dumps(o, JSON_COMPACT);

    if (bp_ws_client_send(c, BP_WS_TEXT, text, strlen(text)) < 0)
        add(&news); /* is seen: what was to be told will be missing */
    free(text);
    json_decref(o);
}

static void on_open(void *ctx, struct bp_ws_client *c) {
    const struct agent *a = ctx;

    say(c, json_pack("{s:{s:s, s:o, s:s, s:s, s:i, s:[s], s:{}, s:s}}", "hello", "version", "1",
                     "device", json_sprintf("a%u", a->number), "name", "x", "log", a->log, "resume",
                     0, "robots", "r", "dropped", "time_ns", "1"));
}

static void tell(struct bp_ws_client *c) {
    json_t *list = json_array();

    say(c, json_pack("{s:{s:i}, s:b}", "status", "x", 1, "full", 1));
    for (int i = 1; i <= EVENTS; i++)
        (void) json_array_append_new(list, json_pack("{s:i, s:s, s:s, s:{s:i}}", "seq", i, "topic",
                                                     "sessions", "time_ns", "5", "data", "i", i));
    say(c, json_pack("{s:o}", "events", list));
}

static void on_message(void *ctx, struct bp_ws_client *c, enum bp_ws_opcode opcode,
                       struct bp_str body) {
    struct agent *a = ctx;
    json_t *m = json_loadb(body.p, body.n, 0, NULL), *v;

    (void) opcode;
    if (json_object_get(m, "welcome")) {
        add(&a->welcomes);
        tell(c);
    } else if ((v = json_object_get(m, "ack"))) {
        __atomic_store_n(&a->acked, (unsigned) json_integer_value(v), __ATOMIC_RELAXED);
    } else if ((v = json_object_get(m, "command"))) {
        add(&a->did);
        say(c, json_pack("{s:{s:O, s:i, s:O}}", "result", "id", json_object_get(v, "id"), "status",
                         200, "body", json_object_get(v, "args")));
    } else if ((v = json_object_get(m, "want"))) {
        say(c, json_pack("{s:{s:[]}}", "topics", "topics"));
    }
    json_decref(m);
}

static void on_end(void *ctx, const struct bp_ws_client_end *why) {
    struct agent *a = ctx;

    (void) why;
    add(&a->ended);
}

/* ---- the server ---- */

static void on_news(void *ctx, const char *topic, json_t *payload) {
    (void) ctx;
    if (bp_streq(topic, "sessions"))
        add(&news);
    json_decref(payload);
}

static int get_link(struct bp_http_req *req, struct bp_http_reply *reply, struct bp_error *err) {
    return bp_links_accept(links, NULL, req, reply, err);
}

static const struct bp_http_route routes[] = {
    { "GET", "/api/v1/link", get_link, BP_HTTP_PUBLIC, "Agents' links." },
};

static void connect_all(const char *address) {
    static const struct bp_ws_client_ops ops = { .open = on_open,
                                                 .message = on_message,
                                                 .end = on_end };
    struct bp_error err = { 0 };
    char url[128];

    (void) snprintf(url, sizeof url, "ws://%s/api/v1/link", address);
    for (unsigned i = 0; i < AGENTS; i++) {
        agents[i].number = i;
        (void) bp_ulid_new(agents[i].log);
        if (bp_ws_client_open(&(struct bp_ws_client_options){ .loop = loop,
                                                              .ops = &ops,
                                                              .ctx = &agents[i],
                                                              .url = url,
                                                              .proxy = "",
                                                              .protocol = "bagpipe-link.1" },
                              &agents[i].ws, &err) < 0)
            fail_msg("%s", err.text);
    }
}

static bool all_told(void) {
    for (unsigned i = 0; i < AGENTS; i++)
        if (get(&agents[i].acked) != EVENTS)
            return false;
    return true;
}

/* ---- those who ask ---- */

struct asker {
    pthread_t thread;
    unsigned number, wrong;
};

static int have_it_done(unsigned agent, unsigned round) {
    char device[16];
    struct bp_error err = { 0 };
    json_t *args = json_pack("{s:i}", "round", (int) round), *report = NULL, *again = NULL;
    int r, wrong;

    (void) snprintf(device, sizeof device, "a%u", agent);
    r = bp_links_do(links,
                    &(struct bp_links_command){ .device = device,
                                                .name = "status",
                                                .args = args,
                                                .role = "operator",
                                                .by = "test",
                                                .within = WAIT_S * BP_SEC },
                    WAIT_S * BP_SEC, &report, &err);
    wrong = r < 0 || !bp_streq(json_string_value(json_object_get(report, "state")), "done") ||
            !json_equal(json_object_get(report, "body"), args);
    if (!wrong) /* and it is remembered */
        wrong = bp_links_result(links, device, json_string_value(json_object_get(report, "id")),
                                &again, &err) < 0 ||
                !json_equal(report, again);
    json_decref(again);
    json_decref(report);
    json_decref(args);
    return wrong;
}

static void *ask(void *arg) {
    struct asker *x = arg;

    for (unsigned i = 0; i < ROUNDS; i++) {
        json_t *o = bp_links_robots(links), *d = bp_links_devices(links), *events = NULL,
               *topics = NULL;
        unsigned agent = (x->number * ROUNDS + i) % AGENTS;
        char device[16];

        x->wrong += json_array_size(json_object_get(d, "devices")) != AGENTS;
        x->wrong += json_array_size(json_object_get(o, "robots")) != AGENTS;
        x->wrong += (unsigned) have_it_done(agent, i);
        (void) snprintf(device, sizeof device, "a%u", agent);
        x->wrong += bp_links_events(links, device, 0, 100, &events, NULL) < 0 ||
                    json_array_size(json_object_get(events, "events")) != EVENTS;
        (void) !bp_links_topics(links, device, &topics, NULL); /* may not have come yet */
        json_decref(topics);
        json_decref(events);
        json_decref(d);
        json_decref(o);
    }
    return NULL;
}

static void ask_all(void) {
    struct asker askers[ASKERS] = { 0 };
    unsigned did = 0;

    for (unsigned i = 0; i < ASKERS; i++) {
        askers[i].number = i;
        assert_int_equal(bp_thread_start("ask", ask, &askers[i], &askers[i].thread), 0);
    }
    for (unsigned i = 0; i < ASKERS; i++) {
        assert_int_equal(pthread_join(askers[i].thread, NULL), 0);
        assert_int_equal(askers[i].wrong, 0);
    }
    for (unsigned i = 0; i < AGENTS; i++)
        did += get(&agents[i].did);
    assert_int_equal(did, ASKERS * ROUNDS); /* each once */
}

static void until(bool (*is_so)(void), const char *what) {
    bp_ns_t end = bp_mono_ns() + WAIT_S * BP_SEC;

    while (!is_so())
        if (bp_mono_ns() > end)
            fail_msg("not within %d s: %s", WAIT_S, what);
        else
            bp_sleep(5 * BP_MS);
}

static bool first_is_out(void) {
    return get(&agents[0].ended) == 1;
}

static bool all_are_out(void) {
    for (unsigned i = 0; i < AGENTS; i++)
        if (!get(&agents[i].ended))
            return false;
    return true;
}

static void fifty_agents(void **state) {
    const char *listen[] = { "127.0.0.1:0", NULL };
    struct bp_http *http = NULL;
    struct bp_error err = { 0 };

    (void) state;
    (void) snprintf(dir, sizeof dir, "/tmp/bp-links-XXXXXX");
    assert_non_null(mkdtemp(dir));
    assert_int_equal(bp_loop_open("agents", &loop), 0);
    if (bp_links_open(&(struct bp_links_options){ .dir = dir, .news = on_news }, &links, &err) < 0)
        fail_msg("%s", err.text);
    if (bp_http_open(&(struct bp_http_options){ .listen = listen,
                                                .routes = routes,
                                                .nroutes = BP_COUNT(routes),
                                                .max_connections = 100,
                                                .max_per_peer = 100 },
                     &http, &err) < 0)
        fail_msg("%s", err.text);
    connect_all(bp_http_address(http, 0));
    until(all_told, "every event is acknowledged");
    assert_int_equal(bp_links_online(links), AGENTS);
    assert_int_equal(get(&news), AGENTS * EVENTS);
    ask_all();
    bp_links_drop(links, "a0");
    bp_links_drop(links, "nobody");
    until(first_is_out, "who is thrown out is out");
    assert_int_equal(get(&agents[1].ended), 0);
    bp_links_stop(links, 0);
    until(all_are_out, "the server goes");
    bp_http_close(http);
    bp_links_close(links);
    for (unsigned i = 0; i < AGENTS; i++)
        bp_ws_client_close(agents[i].ws);
    bp_loop_close(loop);
    (void) nftw(dir, rm_one, 8, FTW_DEPTH | FTW_PHYS);
}

int main(void) {
    const struct CMUnitTest tests[] = { cmocka_unit_test(fifty_agents) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
