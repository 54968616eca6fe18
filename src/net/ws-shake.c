#include "net/ws-shake.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "crypt/digest.h"
#include "crypt/secret.h"

enum { KEY_BYTES = 16, MAX_RETRY_S = 3600 };

/* Base64 with padding, of n bytes; `p` has zeros behind them up to a multiple of 3. */
static void base64(const uint8_t *p, size_t n, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t o = 0;

    for (size_t i = 0; i < n; i += 3) {
        unsigned v = (unsigned) p[i] << 16 | (unsigned) p[i + 1] << 8 | p[i + 2];

        for (int shift = 18; shift >= 0; shift -= 6)
            out[o++] = digits[v >> shift & 63];
    }
    for (size_t k = 0; k < (3 - n % 3) % 3; k++)
        out[o - 1 - k] = '=';
    out[o] = '\0';
}

char *bp_ws_accept_text(const char *key, char out[static BP_WS_ACCEPT_TEXT]) {
    uint8_t digest[BP_SHA1_LEN + 1] = { 0 };
    char text[64];

    (void) snprintf(text, sizeof text, "%.24s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
    bp_sha1_of(text, strlen(text), digest);
    base64(digest, BP_SHA1_LEN, out);
    return out;
}

int bp_ws_key_new(char out[static BP_WS_KEY_TEXT]) {
    uint8_t key[KEY_BYTES + 2] = { 0 };
    int r = bp_random(key, KEY_BYTES);

    base64(key, KEY_BYTES, out);
    return r;
}

/* ---- the answer ---- */

static struct bp_str trimmed(struct bp_str s) {
    while (s.n > 0 && (*s.p == ' ' || *s.p == '\t'))
        s.p++, s.n--;
    while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

static bool is_word(struct bp_str s, const char *word) {
    return s.n == strlen(word) && strncasecmp(s.p, word, s.n) == 0;
}

/* Is `word` one of a list with commas between? */
static bool has_word(struct bp_str list, const char *word) {
    while (list.n > 0) {
        const char *comma = memchr(list.p, ',', list.n);
        size_t n = comma ? (size_t) (comma - list.p) : list.n;

        if (is_word(trimmed((struct bp_str){ list.p, n }), word))
            return true;
        n += comma != NULL;
        list.p += n;
        list.n -= n;
    }
    return false;
}

/* Digits alone; what is larger than `max` is that. */
static uint64_t number(struct bp_str s, uint64_t max) {
    uint64_t v = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return 0;
        v = BP_MIN(v * 10 + (uint64_t) (s.p[i] - '0'), max);
    }
    return v;
}

/* What of the answer must be there for us to go on. */
struct agreed {
    const char *key, *protocol;
    bool upgrade, connection, accept, has_protocol, bad;
};

static void read_header(struct bp_str name, struct bp_str value, struct agreed *a,
                        struct bp_ws_answer *ret) {
    char accept[BP_WS_ACCEPT_TEXT];

    if (is_word(name, "Upgrade")) {
        a->upgrade = is_word(value, "websocket");
    } else if (is_word(name, "Connection")) {
        a->connection |= has_word(value, "upgrade");
    } else if (is_word(name, "Sec-WebSocket-Accept")) {
        a->bad |= a->accept;
        a->accept = bp_str_eq(value, bp_str_of(bp_ws_accept_text(a->key, accept)));
    } else if (is_word(name, "Sec-WebSocket-Protocol")) {
        a->bad |= a->has_protocol || !a->protocol || !bp_str_eq(value, bp_str_of(a->protocol));
        a->has_protocol = true;
    } else if (is_word(name, "Sec-WebSocket-Extensions")) {
        a->bad |= value.n > 0; /* none was offered */
    } else if (is_word(name, "Content-Length")) {
        ret->body = (size_t) number(value, BP_WS_ANSWER_MAX);
    } else if (is_word(name, "Retry-After")) {
        ret->retry_after = (bp_ns_t) number(value, MAX_RETRY_S) * BP_SEC;
    }
}

/* "HTTP/1.1 101 Switching Protocols". @return the status, or 0 */
static int status_of(struct bp_str line) {
    if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[8] != ' ' ||
        (line.n > 12 && line.p[12] != ' '))
        return 0;
    for (size_t i = 9; i < 12; i++)
        if (line.p[i] < '0' || line.p[i] > '9')
            return 0;
    return (line.p[9] - '0') * 100 + (line.p[10] - '0') * 10 + (line.p[11] - '0');
}

/* Takes a line; false when there is no whole one. */
static bool take_line(struct bp_str *s, struct bp_str *ret) {
    const char *nl = s->n > 0 ? memchr(s->p, '\n', s->n) : NULL;
    size_t n = nl ? (size_t) (nl - s->p) : 0;

    if (!nl)
        return false;
    *ret = (struct bp_str){ s->p, n > 0 && s->p[n - 1] == '\r' ? n - 1 : n };
    s->p += n + 1;
    s->n -= n + 1;
    return true;
}

/* @return 1 when the head is whole, 0 when not, BP_EFORMAT */
static int read_lines(struct bp_str *text, struct agreed *a, struct bp_ws_answer *ret,
                      struct bp_error *err) {
    struct bp_str line;

    if (!take_line(text, &line))
        return 0;
    ret->status = status_of(line);
    if (ret->status < 100)
        return bp_fail(err, BP_EFORMAT, "what answers there does not speak HTTP/1.1");
    while (take_line(text, &line)) {
        const char *colon;

        if (line.n == 0)
            return 1;
        colon = memchr(line.p, ':', line.n);
        if (!colon || colon == line.p)
            return bp_fail(err, BP_EFORMAT, "the answer has a line that is no header");
        read_header((struct bp_str){ line.p, (size_t) (colon - line.p) },
                    trimmed((struct bp_str){ colon + 1, line.n - (size_t) (colon - line.p) - 1 }),
                    a, ret);
    }
    return 0;
}

ssize_t bp_ws_answer_read(struct bp_str text, const char *key, const char *protocol,
                          struct bp_ws_answer *ret, struct bp_error *err) {
    struct agreed a = { .key = key, .protocol = protocol };
    struct bp_ws_answer answer = { 0 };
    struct bp_str rest = text;
    int r = read_lines(&rest, &a, &answer, err);

    if (r < 0)
        return r;
    if (r == 0 ? text.n >= BP_WS_ANSWER_MAX : text.n - rest.n > BP_WS_ANSWER_MAX)
        return bp_fail(err, BP_ELIMIT, "the head of the answer is longer than 16 KiB");
    if (r == 0)
        return 0;
    if (answer.status == 101 && !(a.upgrade && a.connection && a.accept))
        return bp_fail(err, BP_EFORMAT, "the answer agrees to something that is no WebSocket");
    if (answer.status == 101 && (a.bad || (protocol && !a.has_protocol)))
        return bp_fail(err, BP_EFORMAT, "the answer agrees to another protocol than '%s'",
                       protocol ? protocol : "");
    *ret = answer;
    return (ssize_t) (text.n - rest.n);
}
