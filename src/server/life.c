/* A sign of life means that robots are being served: the main thread turns, the door is answered.
 */
#include <stdio.h>

#include "base/log.h"
#include "server/server-priv.h"

#define ANSWERS_WITHIN (2 * BP_SEC)

static void tell(struct bp_server *s, bp_ns_t now) {
    size_t alerts = bp_alerts_active(s->alerts);
    struct bp_error why = { 0 };
    char text[160];
    int r = 0;

    for (const struct bp_server_part *const *p = bp_server_parts; r == 0 && *p; p++)
        if ((*p)->ready)
            r = (*p)->ready(s, &why);
    if (r < 0)
        (void) snprintf(text, sizeof text, "not ready: %.120s", why.text);
    else
        (void) snprintf(text, sizeof text, "serving, %zu alert%s", alerts, alerts == 1 ? "" : "s");
    bp_systemd_status(&s->systemd, text, now);
}

void bp_server_life(struct bp_server *s) {
    const char *door = NULL;
    bp_ns_t now = bp_mono_ns();

    if (s->systemd.fd < 0)
        return;
    tell(s, now);
    if (!bp_systemd_due(&s->systemd, now))
        return;
    for (size_t i = 0; bp_http_address(s->http, i); i++)
        door = bp_http_address(s->http, i);
    if (bp_systemd_http_answers(door, ANSWERS_WITHIN))
        bp_systemd_ping(&s->systemd, bp_mono_ns());
    else
        bp_log(BP_LOG_WARNING, "no sign of life for the watchdog: the HTTP server does not answer");
}
