#pragma once

/* What both peers share: options, a payload that proves itself, a log that survives kill -9.
 * C and C++. Nothing of bagpipe is used here: the peers are the other side. */

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { PEER_MIN_SIZE = 32, PEER_DIGITS = 20 };

struct peer {
    const char *topic, *type;
    const char *log_path;
    const char *profile; /* fast only: "udp", "lo", "shm", "datasharing", default all */
    uint32_t domain, size, depth, wait_for, keys;
    uint64_t count;
    double rate, run_s, linger_s;
    bool sub, best_effort, transient_local, keep_all, keyed, async_publish;
    FILE *log;
};

static inline int64_t peer_ns(clockid_t c) {
    struct timespec t;

    clock_gettime(c, &t);
    return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void peer_sleep_until(int64_t mono) {
    struct timespec t = { (time_t) (mono / 1000000000), (long) (mono % 1000000000) };

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) != 0)
        ;
}

/* n bytes: the number as text, then letters that depend on it, then NUL (so that with its length
 * in front it is a CDR string). */
static inline void peer_fill(uint8_t *p, uint32_t n, uint64_t seq) {
    char digits[PEER_DIGITS + 1];

    snprintf(digits, sizeof digits, "%020llu", (unsigned long long) seq);
    memcpy(p, digits, PEER_DIGITS);
    for (uint32_t i = PEER_DIGITS; i < n; i++)
        p[i] = (uint8_t) ('a' + (seq + i) % 26);
    p[n - 1] = 0;
}

/* Number of a payload, 0 when any byte is not what peer_fill() puts there. */
static inline uint64_t peer_check(const uint8_t *p, uint32_t n) {
    uint64_t seq = 0;

    if (n < PEER_MIN_SIZE)
        return 0;
    for (int i = 0; i < PEER_DIGITS; i++) {
        if (p[i] < '0' || p[i] > '9')
            return 0;
        seq = seq * 10 + (uint64_t) (p[i] - '0');
    }
    for (uint32_t i = PEER_DIGITS; i + 1 < n; i++)
        if (p[i] != (uint8_t) ('a' + (seq + i) % 26))
            return 0;
    return p[n - 1] == 0 ? seq : 0;
}

/* "mono_ns wall_ns topic guid seq size ok|bad", the topic as ROS names it; one write() per line. */
static inline void peer_log(const struct peer *o, const uint8_t guid[16], uint64_t seq,
                            uint64_t size, bool ok) {
    char hex[33];

    if (!o->log)
        return;
    for (int i = 0; i < 16; i++)
        snprintf(hex + 2 * i, 3, "%02x", guid[i]);
    fprintf(o->log, "%lld %lld %s %s %llu %llu %s\n", (long long) peer_ns(CLOCK_MONOTONIC),
            (long long) peer_ns(CLOCK_REALTIME),
            strncmp(o->topic, "rt/", 3) ? o->topic : o->topic + 2, hex, (unsigned long long) seq,
            (unsigned long long) size, ok ? "ok" : "bad");
    fflush(o->log);
}

static inline void peer_usage(const char *name) {
    printf("usage: %s [--sub] [--topic rt/x] [--type pkg::msg::dds_::T_] [--domain N]\n"
           "  --size BYTES       of the sequence inside the message (default 64, least %d)\n"
           "  --rate HZ          0 = as fast as possible (default 10)\n"
           "  --count N          stop after N samples (default: no limit)\n"
           "  --for SECONDS      stop after this long (default 10)\n"
           "  --best-effort --transient-local --keep-all --depth N (default 10)\n"
           "  --keyed [--keys N] instances are written in turn\n"
           "  --wait-for N       publish once N readers have matched\n"
           "  --linger SECONDS   stay after the last sample (default 1)\n"
           "  --log FILE         a line per sample: mono_ns wall_ns topic guid seq size ok|bad\n"
           "  --profile P        Fast DDS only: udp, lo, shm, datasharing; --async\n",
           name, PEER_MIN_SIZE);
}

static inline int peer_options(struct peer *o, int argc, char **argv) {
    static const struct option opts[] = {
        { "sub", no_argument, NULL, 's' },
        { "topic", required_argument, NULL, 't' },
        { "type", required_argument, NULL, 'y' },
        { "domain", required_argument, NULL, 'd' },
        { "size", required_argument, NULL, 'z' },
        { "rate", required_argument, NULL, 'r' },
        { "count", required_argument, NULL, 'c' },
        { "for", required_argument, NULL, 'f' },
        { "best-effort", no_argument, NULL, 'b' },
        { "transient-local", no_argument, NULL, 'T' },
        { "keep-all", no_argument, NULL, 'K' },
        { "depth", required_argument, NULL, 'D' },
        { "keyed", no_argument, NULL, 'k' },
        { "keys", required_argument, NULL, 'n' },
        { "wait-for", required_argument, NULL, 'w' },
        { "linger", required_argument, NULL, 'l' },
        { "log", required_argument, NULL, 'L' },
        { "profile", required_argument, NULL, 'p' },
        { "async", no_argument, NULL, 'a' },
        { "help", no_argument, NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int c;

    memset(o, 0, sizeof *o);
    o->topic = "rt/peer";
    o->type = "std_msgs::msg::dds_::String_";
    o->profile = "";
    o->size = 64;
    o->depth = 10;
    o->keys = 1;
    o->rate = 10;
    o->run_s = 10;
    o->linger_s = 1;
    while ((c = getopt_long(argc, argv, "", opts, NULL)) != -1)
        switch (c) {
        case 's':
            o->sub = true;
            break;
        case 't':
            o->topic = optarg;
            break;
        case 'y':
            o->type = optarg;
            break;
        case 'd':
            o->domain = (uint32_t) strtoul(optarg, NULL, 10);
            break;
        case 'z':
            o->size = (uint32_t) strtoul(optarg, NULL, 10);
            break;
        case 'r':
            o->rate = strtod(optarg, NULL);
            break;
        case 'c':
            o->count = strtoull(optarg, NULL, 10);
            break;
        case 'f':
            o->run_s = strtod(optarg, NULL);
            break;
        case 'b':
            o->best_effort = true;
            break;
        case 'T':
            o->transient_local = true;
            break;
        case 'K':
            o->keep_all = true;
            break;
        case 'D':
            o->depth = (uint32_t) strtoul(optarg, NULL, 10);
            break;
        case 'k':
            o->keyed = true;
            break;
        case 'n':
            o->keys = (uint32_t) strtoul(optarg, NULL, 10);
            break;
        case 'w':
            o->wait_for = (uint32_t) strtoul(optarg, NULL, 10);
            break;
        case 'l':
            o->linger_s = strtod(optarg, NULL);
            break;
        case 'L':
            o->log_path = optarg;
            break;
        case 'p':
            o->profile = optarg;
            break;
        case 'a':
            o->async_publish = true;
            break;
        default:
            peer_usage(argv[0]);
            return c == 'h' ? 1 : -1;
        }
    if (o->size < PEER_MIN_SIZE)
        o->size = PEER_MIN_SIZE;
    if (o->keys == 0)
        o->keys = 1;
    if (o->log_path) {
        o->log = fopen(o->log_path, "ae");
        if (!o->log) {
            perror(o->log_path);
            return -1;
        }
    }
    return 0;
}
