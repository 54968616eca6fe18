/* Many agents in one process, as a load for the server's side of links: each says hello, tells its
 * status once a second (what has changed of it) and an event every ten. The moments are spread over
 * the second.
 *
 *     link-load URL AGENTS SECONDS
 *
 * Prints how many were connected, what was sent and acknowledged, and how long an event waited for
 * its acknowledgement. */
#include <signal.h>
#include <stdio.h>

#include <jansson.h>

#include "base/mutex.h"
#include "base/ulid.h"
#include "net/ws-client.h"

enum { SLICES = 20, CONNECTING = 64, EVENT_EVERY = 10 };

struct agent {
    struct bp_ws_client *ws;
    unsigned number, seconds;
    char log[BP_ULID_TEXT];
    bool welcome, ended; /* [atomic] */
    unsigned seq;
    bp_ns_t mono_event; /* [atomic] sent and not acknowledged, or 0 */
};

static struct {
    unsigned open, ended, welcomes; /* [atomic] */
    uint64_t sent, acks, refused;   /* [atomic] */
    bp_ns_t wait_sum, wait_max;     /* loop thread */
} total;

static void on_open(void *ctx, struct bp_ws_client *c) {
    struct agent *a = ctx;
    char text[400];
    int n =
        snprintf(text, sizeof text,
                 "{\"hello\":{\"version\":\"0.1.0\",\"device\":\"load-%u\",\"name\":\"robot %u\","
                 "\"log\":\"%s\",\"resume\":0,\"robots\":[\"robot%u\"],\"dropped\":{},"
                 "\"time_ns\":\"%lld\"}}",
                 a->number, a->number, a->log, a->number, (long long) bp_wall_ns());

    if (bp_ws_client_send(c, BP_WS_TEXT, text, (size_t) n) < 0)
        (void) __atomic_add_fetch(&total.refused, 1, __ATOMIC_RELAXED);
    (void) __atomic_add_fetch(&total.open, 1, __ATOMIC_RELAXED);
}

static void on_ack(struct agent *a) {
    bp_ns_t since = __atomic_exchange_n(&a->mono_event, 0, __ATOMIC_RELAXED);
    bp_ns_t wait = since ? bp_mono_ns() - since : 0;

    (void) __atomic_add_fetch(&total.acks, 1, __ATOMIC_RELAXED);
    total.wait_sum += wait;
    total.wait_max = BP_MAX(total.wait_max, wait);
}

static void on_message(void *ctx, struct bp_ws_client *c, enum bp_ws_opcode opcode,
                       struct bp_str body) {
    struct agent *a = ctx;

    (void) c;
    (void) opcode;
    if (body.n > 10 && memcmp(body.p, "{\"welcome\"", 10) == 0) {
        __atomic_store_n(&a->welcome, true, __ATOMIC_RELEASE);
        (void) __atomic_add_fetch(&total.welcomes, 1, __ATOMIC_RELAXED);
    } else if (body.n > 6 && memcmp(body.p, "{\"ack\"", 6) == 0) {
        on_ack(a);
    }
}

static void on_end(void *ctx, const struct bp_ws_client_end *why) {
    struct agent *a = ctx;

    __atomic_store_n(&a->ended, true, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&total.ended, 1, __ATOMIC_RELAXED) <= 3)
        (void) fprintf(stderr, "agent %u: %u %s\n", a->number, why->code, why->text);
}

static const struct bp_ws_client_ops ops = { .open = on_open,
                                             .message = on_message,
                                             .end = on_end };

/* About what an agent tells: all of it first, then what changes each second. */
static void tell(struct agent *a) {
    unsigned s = a->seconds++;
    char text[1600];
    int n = snprintf(
        text, sizeof text,
        "{\"status\":{%s\"uptime_s\":%u.25,\"sessions\":{\"running\":1,\"paused\":0,\"messages\":%u,"
        "\"bytes\":%u,\"lost\":0},\"graph\":{\"topics\":87,\"writers\":131,\"subscribed\":87,"
        "\"received\":%u,\"received_bytes\":%u,\"udp_drops\":0},\"ring\":{\"used\":%u,\"size\":"
        "268435456},\"storage\":{\"dir\":\"/var/lib/bagpipe\",\"free\":%u,\"size\":511101108224}}%s}",
        s == 0 ? "\"version\":\"0.1.0\",\"state\":\"recording\",\"degraded\":null,"
                 "\"lost_by_cause\":{},\"back_pressure\":false,\"robots\":1,"
               : "",
        s, s * 1000, s * 40000000, s * 1000, s * 40000000, s * 37 % 1000000, 4000000000u - s,
        s == 0 ? ",\"full\":true" : "");

    if (bp_ws_client_send(a->ws, BP_WS_TEXT, text, (size_t) n) < 0)
        (void) __atomic_add_fetch(&total.refused, 1, __ATOMIC_RELAXED);
    else
        (void) __atomic_add_fetch(&total.sent, 1, __ATOMIC_RELAXED);
    if (s % EVENT_EVERY != a->number % EVENT_EVERY)
        return;
    a->seq++;
    n = snprintf(
        text, sizeof text,
        "{\"events\":[{\"seq\":%u,\"topic\":\"sessions\",\"time_ns\":\"%lld\",\"data\":{"
        "\"event\":\"split\",\"session\":{\"id\":\"%s\",\"name\":\"run\",\"segments\":%u}}}]}",
        a->seq, (long long) bp_wall_ns(), a->log, a->seq);
    __atomic_store_n(&a->mono_event, bp_mono_ns(), __ATOMIC_RELAXED);
    if (bp_ws_client_send(a->ws, BP_WS_TEXT, text, (size_t) n) < 0)
        (void) __atomic_add_fetch(&total.refused, 1, __ATOMIC_RELAXED);
}

/* Connects all, some at a time. */
static int connect_all(struct agent *v, unsigned n, const char *url, struct bp_loop *loop) {
    bp_ns_t give_up = bp_mono_ns() + 120 * BP_SEC;

    for (unsigned i = 0; i < n; i++) {
        struct bp_error err = { 0 };

        while (i - __atomic_load_n(&total.welcomes, __ATOMIC_RELAXED) -
                       __atomic_load_n(&total.ended, __ATOMIC_RELAXED) >
                   CONNECTING &&
               bp_mono_ns() < give_up)
            bp_sleep(BP_MS);
        v[i].number = i;
        (void) bp_ulid_new(v[i].log);
        if (bp_ws_client_open(&(struct bp_ws_client_options){ .loop = loop,
                                                              .ops = &ops,
                                                              .ctx = &v[i],
                                                              .url = url,
                                                              .proxy = "",
                                                              .protocol = "bagpipe-link.1" },
                              &v[i].ws, &err) < 0) {
            (void) fprintf(stderr, "%s\n", err.text);
            return -1;
        }
    }
    while (__atomic_load_n(&total.welcomes, __ATOMIC_RELAXED) +
                   __atomic_load_n(&total.ended, __ATOMIC_RELAXED) <
               n &&
           bp_mono_ns() < give_up)
        bp_sleep(10 * BP_MS);
    return 0;
}

static void run(struct agent *v, unsigned n, unsigned seconds) {
    bp_ns_t begin = bp_mono_ns();

    for (unsigned slice = 0; slice < seconds * SLICES; slice++) {
        bp_sleep_until(begin + slice * (BP_SEC / SLICES));
        for (unsigned i = slice % SLICES; i < n; i += SLICES)
            if (__atomic_load_n(&v[i].welcome, __ATOMIC_ACQUIRE) &&
                !__atomic_load_n(&v[i].ended, __ATOMIC_RELAXED))
                tell(&v[i]);
    }
    bp_sleep(BP_SEC);
}

int main(int argc, char **argv) {
    unsigned n = argc == 4 ? (unsigned) strtoul(argv[2], NULL, 10) : 0;
    unsigned seconds = argc == 4 ? (unsigned) strtoul(argv[3], NULL, 10) : 0;
    struct agent *v = calloc(n ? n : 1, sizeof *v);
    struct bp_loop *loop = NULL;

    (void) signal(SIGPIPE, SIG_IGN);
    if (n == 0 || seconds == 0 || !v || bp_loop_open("load", &loop) < 0)
        return 2;
    if (connect_all(v, n, argv[1], loop) < 0)
        return 1;
    (void) printf("connected %u\n", __atomic_load_n(&total.welcomes, __ATOMIC_RELAXED));
    (void) fflush(stdout);
    run(v, n, seconds);
    (void) printf(
        "{\"connected\": %u, \"ended\": %u, \"sent\": %llu, \"refused\": %llu, \"acks\": %llu, "
        "\"ack_ms\": %.1f, \"ack_max_ms\": %.1f}\n",
        total.welcomes, total.ended, (unsigned long long) total.sent,
        (unsigned long long) total.refused, (unsigned long long) total.acks,
        total.acks ? (double) total.wait_sum / 1e6 / (double) total.acks : 0,
        (double) total.wait_max / 1e6);
    for (unsigned i = 0; i < n; i++)
        bp_ws_client_close(v[i].ws);
    bp_loop_close(loop);
    free(v);
    return 0;
}
