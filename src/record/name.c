#include "record/name.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"

static int expand(struct bp_str word, const struct tm *tm, unsigned domain, const char *mission,
                  const char *robot, struct bp_buf *out) {
    char host[128] = "robot", text[64];

    if (bp_str_eq(word, BP_STR("date"))) {
        (void) strftime(text, sizeof text, "%Y_%m_%d", tm);
        bp_buf_put_str(out, text);
    } else if (bp_str_eq(word, BP_STR("time"))) {
        (void) strftime(text, sizeof text, "%H_%M_%S", tm);
        bp_buf_put_str(out, text);
    } else if (robot && *robot && bp_str_eq(word, BP_STR("robot"))) {
        bp_buf_put_str(out, robot);
    } else if (bp_str_eq(word, BP_STR("host")) || bp_str_eq(word, BP_STR("robot"))) {
        (void) gethostname(host, sizeof host - 1);
        bp_buf_put_str(out, host);
    } else if (bp_str_eq(word, BP_STR("domain"))) {
        bp_buf_printf(out, "%u", domain);
    } else if (bp_str_eq(word, BP_STR("mission"))) {
        bp_buf_put_str(out, mission ? mission : "");
    } else {
        return BP_EUSAGE;
    }
    return 0;
}

static void make_safe(char *name) {
    for (char *p = name; *p; p++)
        if (!isalnum((unsigned char) *p) && !strchr("-_.+@", *p) && (unsigned char) *p < 128)
            *p = '_';
    if (name[0] == '.')
        name[0] = '_';
}

int bp_record_name(const char *pattern, bp_ns_t wall_ns, unsigned domain, const char *mission,
                   char *ret, size_t cap, struct bp_error *err) {
    return bp_record_name_for(pattern, wall_ns, domain, mission, NULL, ret, cap, err);
}

int bp_record_name_for(const char *pattern, bp_ns_t wall_ns, unsigned domain, const char *mission,
                       const char *robot, char *ret, size_t cap, struct bp_error *err) {
    time_t sec = (time_t) (wall_ns / BP_SEC);
    BP_AUTO_BUF out = { 0 };
    const char *text;
    struct tm tm;

    if (!localtime_r(&sec, &tm))
        return bp_fail(err, BP_EUSAGE, "the clock shows no usable date");

    for (const char *p = pattern; *p; p++) {
        const char *end = *p == '{' ? strchr(p, '}') : NULL;

        if (!end) {
            bp_buf_put_u8(&out, (uint8_t) *p);
            continue;
        }
        if (expand((struct bp_str){ p + 1, (size_t) (end - p - 1) }, &tm, domain, mission, robot,
                   &out) < 0)
            return bp_fail(err, BP_EUSAGE,
                           "name '%s': unknown '%.*s'; known are {date} {time} {host} {robot} "
                           "{domain} {mission}",
                           pattern, (int) (end - p + 1), p);
        p = end;
    }

    text = bp_buf_cstr(&out);
    if (!text || !*text || out.n >= cap || out.n > 200)
        return bp_fail(err, BP_EUSAGE, "name '%s' is empty or longer than 200 bytes", pattern);

    (void) snprintf(ret, cap, "%s", text);
    make_safe(ret);
    return 0;
}

int bp_record_unused_dir(const char *parent, const char *name, char *ret, size_t cap,
                         struct bp_error *err) {
    bool here = bp_streq(parent, ".");

    for (unsigned i = 1; i < 100000; i++) {
        char number[16] = "";

        if (i > 1)
            (void) snprintf(number, sizeof number, "-%u", i);
        if (snprintf(ret, cap, "%s%s%s%s", here ? "" : parent, here ? "" : "/", name, number) >=
            (int) cap)
            return bp_fail(err, BP_EUSAGE, "the path below '%s' is too long", parent);
        if (access(ret, F_OK) < 0)
            return 0;
    }
    return bp_fail(err, -EEXIST, "'%s' and many more are there already", ret);
}
