#include "cli/transfer.h"

#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/time.h"
#include "base/units.h"
#include "cli/agent-client.h"

enum { TOKEN_MAX = 16 << 10 };

int bp_cli_link_open(const struct bp_cli_link *l, const char *url, struct bp_cli_link_ready *ret,
                     struct bp_error *err) {
    const char *token = bp_cli_token();
    int r = 0;

    *ret = (struct bp_cli_link_ready){
        .opts = { .url = url, .ca_file = l->ca_file, .proxy = l->proxy, .settings = l->settings.v }
    };
    if (l->token_file) {
        r = bp_secret_read_file(l->token_file, TOKEN_MAX, true, &ret->token, err);
        token = (const char *) ret->token.p;
    }
    ret->opts.token = token;
    return r;
}

void bp_cli_link_done(struct bp_cli_link_ready *r) {
    bp_secret_done(&r->token);
}

static int width_of_terminal(void) {
    struct winsize w;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 20 ? w.ws_col : 80;
}

/* A file's name may hold anything. */
static void put_clean(char *ret, size_t cap, const char *text) {
    size_t n = 0;

    for (; *text && n + 1 < cap; text++)
        ret[n++] = (unsigned char) *text < ' ' || *text == 0x7f ? '?' : *text;
    ret[n] = '\0';
}

void bp_cli_bar_draw(struct bp_cli_bar_line *b, uint64_t done, uint64_t total, double rate,
                     const char *text) {
    enum { WIDTH = 24 };
    char line[512], speed[32], left[BP_UNITS_TEXT] = "", clean[256];
    double part = total ? BP_MIN((double) done / (double) total, 1.0) : 0;
    int full = (int) (part * WIDTH), n;

    if (!isatty(STDERR_FILENO) || bp_mono_ns() < b->next_mono)
        return;
    b->next_mono = bp_mono_ns() + 200 * BP_MS;
    b->shown = true;
    if (rate > 1 && total > done)
        (void) bp_duration_format((bp_ns_t) ((double) (total - done) / rate) * BP_SEC, left);
    put_clean(clean, sizeof clean, text ? text : "");
    n = snprintf(line, sizeof line, "%s [%.*s%*s] %3d %%  %s/s  %s  %s", b->what, full,
                 "##############################", WIDTH - full, "", (int) (100 * part),
                 bp_cli_bytes(rate, speed, sizeof speed), left, clean);
    n = BP_MIN(n, width_of_terminal() - 1);
    (void) fprintf(stderr, "\r%.*s\033[K", n, line);
}

void bp_cli_bar_clear(struct bp_cli_bar_line *b) {
    if (b->shown)
        (void) fprintf(stderr, "\r\033[K");
    b->shown = false;
}
