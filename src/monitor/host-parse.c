#include "monitor/host-parse.h"

#include <string.h>

/* ---- words and numbers ---- */

static bool next_line(struct bp_str *text, struct bp_str *ret) {
    const char *end;

    if (text->n == 0)
        return false;
    end = memchr(text->p, '\n', text->n);
    *ret = (struct bp_str){ text->p, end ? (size_t) (end - text->p) : text->n };
    text->p += ret->n + (end != NULL);
    text->n -= ret->n + (end != NULL);
    return true;
}

static bool is_space(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Empty at the end of the line. */
static struct bp_str next_word(struct bp_str *line) {
    struct bp_str w;

    while (line->n && is_space(*line->p)) {
        line->p++;
        line->n--;
    }
    w = (struct bp_str){ line->p, 0 };
    while (w.n < line->n && !is_space(w.p[w.n]))
        w.n++;
    line->p += w.n;
    line->n -= w.n;
    return w;
}

/* Digits at the start of a word; the largest number when it is larger. */
static bool read_digits(struct bp_str *w, uint64_t *ret) {
    uint64_t v = 0;
    size_t i = 0;

    for (; i < w->n && w->p[i] >= '0' && w->p[i] <= '9'; i++) {
        uint64_t digit = (uint64_t) (w->p[i] - '0');

        v = v > (UINT64_MAX - digit) / 10 ? UINT64_MAX : v * 10 + digit;
    }
    if (i == 0)
        return false;
    w->p += i;
    w->n -= i;
    *ret = v;
    return true;
}

static bool next_number(struct bp_str *line, uint64_t *ret) {
    struct bp_str w = next_word(line);

    return read_digits(&w, ret) && w.n == 0;
}

static bool skip_words(struct bp_str *line, unsigned n) {
    while (n-- > 0)
        if (next_word(line).n == 0)
            return false;
    return true;
}

static uint64_t add(uint64_t a, uint64_t b) {
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static bool starts_with(struct bp_str s, struct bp_str prefix) {
    return s.n >= prefix.n && memcmp(s.p, prefix.p, prefix.n) == 0;
}

/* Shell, JSON and Prometheus are to show it as it is. */
static void copy_name(struct bp_str w, char ret[static BP_HOST_NAME]) {
    size_t n = BP_MIN(w.n, (size_t) BP_HOST_NAME - 1);

    for (size_t i = 0; i < n; i++)
        ret[i] = w.p[i] > ' ' && w.p[i] < 127 ? w.p[i] : '_';
    ret[n] = 0;
}

/* ---- processor, memory ---- */

/* user nice system idle iowait irq softirq steal; guest times are in user and nice already. */
static bool read_ticks(struct bp_str line, struct bp_host_ticks *ret) {
    uint64_t v[8] = { 0 };
    size_t n = 0;

    while (n < BP_COUNT(v) && next_number(&line, &v[n]))
        n++;
    if (n < 4)
        return false;
    *ret = (struct bp_host_ticks){ .idle = v[3], .iowait = v[4], .steal = v[7] };
    for (size_t i = 0; i < BP_COUNT(v); i++)
        ret->total = add(ret->total, v[i]);
    return true;
}

bool bp_host_parse_stat(struct bp_str text, struct bp_host_ticks *ret, struct bp_host_ticks *cores,
                        size_t cap, size_t *ret_n) {
    struct bp_str line;
    bool found = false;

    memset(cores, 0, cap * sizeof *cores);
    *ret_n = 0;
    while (next_line(&text, &line)) {
        struct bp_str word = next_word(&line);
        uint64_t no;

        if (!starts_with(word, BP_STR("cpu")))
            continue;
        word.p += 3;
        word.n -= 3;
        if (word.n == 0)
            found |= read_ticks(line, ret);
        else if (read_digits(&word, &no) && word.n == 0 && no < cap && read_ticks(line, &cores[no]))
            *ret_n = BP_MAX(*ret_n, (size_t) no + 1);
    }
    return found;
}

bool bp_host_parse_meminfo(struct bp_str text, struct bp_host_memory *ret) {
    const struct {
        struct bp_str key;
        uint64_t *value;
    } keys[] = {
        { BP_STR("MemTotal:"), &ret->total },
        { BP_STR("MemAvailable:"), &ret->available },
        { BP_STR("SwapTotal:"), &ret->swap_total },
        { BP_STR("SwapFree:"), &ret->swap_free },
    };
    struct bp_str line;

    *ret = (struct bp_host_memory){ 0 };
    while (next_line(&text, &line)) {
        struct bp_str word = next_word(&line);
        uint64_t kib;

        for (size_t i = 0; i < BP_COUNT(keys); i++)
            if (bp_str_eq(word, keys[i].key) && next_number(&line, &kib))
                *keys[i].value = kib > UINT64_MAX / 1024 ? UINT64_MAX : kib * 1024;
    }
    ret->available = BP_MIN(ret->available, ret->total);
    ret->swap_free = BP_MIN(ret->swap_free, ret->swap_total);
    return ret->total > 0;
}

bool bp_host_parse_loadavg(struct bp_str text, double ret[static 3]) {
    double v[3];

    for (size_t i = 0; i < BP_COUNT(v); i++) {
        struct bp_str w = next_word(&text);
        uint64_t whole, part = 0;

        if (!read_digits(&w, &whole))
            return false;
        v[i] = (double) whole;
        if (w.n == 3 && *w.p == '.') { /* always two digits */
            w.p++;
            w.n--;
            if (!read_digits(&w, &part) || w.n)
                return false;
            v[i] += (double) part / 100;
        } else if (w.n) {
            return false;
        }
    }
    memcpy(ret, v, sizeof v);
    return true;
}

bool bp_host_parse_process(struct bp_str text, struct bp_host_process_row *ret) {
    const char *end = text.n ? memrchr(text.p, ')', text.n) : NULL;
    struct bp_str rest;
    uint64_t user, system, threads, rss;

    if (!end)
        return false;
    rest = (struct bp_str){ end + 1, text.n - (size_t) (end + 1 - text.p) };
    /* behind the name: 3 state … 14 utime 15 stime … 20 num_threads … 24 rss */
    if (!skip_words(&rest, 11) || !next_number(&rest, &user) || !next_number(&rest, &system) ||
        !skip_words(&rest, 4) || !next_number(&rest, &threads) || !skip_words(&rest, 3) ||
        !next_number(&rest, &rss))
        return false;
    *ret = (struct bp_host_process_row){ add(user, system), threads, rss };
    return true;
}

/* ---- disks, network ---- */

/* major minor name, then reads merged sectors ms writes merged sectors ms in-flight busy-ms … */
static bool read_disk(struct bp_str line, struct bp_host_disk_row *ret) {
    struct bp_host_disk_row d = { 0 };
    struct bp_str name;
    uint64_t major, minor;

    if (!next_number(&line, &major) || !next_number(&line, &minor) || major > 4095 ||
        minor > 0xfffff)
        return false;
    name = next_word(&line);
    if (name.n == 0 || !skip_words(&line, 2) || !next_number(&line, &d.read_sectors) ||
        !skip_words(&line, 3) || !next_number(&line, &d.written_sectors) || !skip_words(&line, 2) ||
        !next_number(&line, &d.busy_ms))
        return false;
    copy_name(name, d.name);
    d.major = (unsigned) major;
    d.minor = (unsigned) minor;
    *ret = d;
    return true;
}

size_t bp_host_parse_diskstats(struct bp_str text, struct bp_host_disk_row *ret, size_t cap) {
    struct bp_str line;
    size_t n = 0;

    while (n < cap && next_line(&text, &line))
        n += read_disk(line, &ret[n]);
    return n;
}

/* "name: bytes packets errs drop fifo frame compressed multicast | bytes packets errs drop …"; the
 * name may stand close to its colon and close to what follows. */
static bool read_net(struct bp_str line, struct bp_host_net_row *ret) {
    const char *colon = line.n ? memchr(line.p, ':', line.n) : NULL;
    struct bp_host_net_row d = { 0 };
    struct bp_str head, name;

    if (!colon)
        return false;
    head = (struct bp_str){ line.p, (size_t) (colon - line.p) };
    name = next_word(&head);
    line = (struct bp_str){ colon + 1, line.n - (size_t) (colon + 1 - line.p) };
    if (name.n == 0 || next_word(&head).n || !next_number(&line, &d.rx_bytes) ||
        !skip_words(&line, 1) || !next_number(&line, &d.rx_errors) ||
        !next_number(&line, &d.rx_dropped) || !skip_words(&line, 4) ||
        !next_number(&line, &d.tx_bytes) || !skip_words(&line, 1) ||
        !next_number(&line, &d.tx_errors) || !next_number(&line, &d.tx_dropped))
        return false;
    copy_name(name, d.name);
    *ret = d;
    return true;
}

size_t bp_host_parse_netdev(struct bp_str text, struct bp_host_net_row *ret, size_t cap) {
    struct bp_str line;
    size_t n = 0;

    while (n < cap && next_line(&text, &line))
        n += read_net(line, &ret[n]);
    return n;
}

/* ---- attributes ---- */

bool bp_host_parse_number(struct bp_str text, int64_t *ret) {
    struct bp_str w = next_word(&text);
    bool negative = w.n && *w.p == '-';
    uint64_t v;

    w.p += negative;
    w.n -= negative;
    if (!read_digits(&w, &v) || w.n || next_word(&text).n)
        return false;
    v = BP_MIN(v, (uint64_t) INT64_MAX);
    *ret = negative ? -(int64_t) v : (int64_t) v;
    return true;
}

bool bp_host_parse_name(struct bp_str text, char ret[static BP_HOST_NAME]) {
    struct bp_str line = { NULL, 0 };

    if (!next_line(&text, &line))
        return false;
    while (line.n && is_space(line.p[line.n - 1]))
        line.n--;
    copy_name(line, ret);
    return ret[0] != 0;
}
