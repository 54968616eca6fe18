#include "agent/degrade.h"

#include <assert.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"
#include "base/units.h"

static const struct {
    const char *name, *what; /* `what` is beyond the limit */
    bool below, percent;
} whys[] = {
    [BP_DEGRADE_CPU] = { "cpu", "processor load is above", false, true },
    [BP_DEGRADE_TEMPERATURE] = { "temperature", "the temperature is above", false, false },
    [BP_DEGRADE_DISK] = { "disk_free", "free space is below", true, false },
    [BP_DEGRADE_BATTERY] = { "battery", "the battery is below", true, true },
    [BP_DEGRADE_RING] = { "ring", "a ring is fuller than", false, true },
};
static_assert(BP_COUNT(whys) == BP_DEGRADE_WHYS_N_, "every reason has its row");

static const struct {
    const char *name, *text;
} steps[] = {
    [BP_DEGRADE_NONE] = { "none", "everything is recorded" },
    [BP_DEGRADE_PLAIN] = { "no_compression", "nothing is compressed" },
    [BP_DEGRADE_THIN_LOW] = { "thin_low", "topics of low priority are thinned out" },
    [BP_DEGRADE_NO_LOW] = { "no_low", "topics of low priority are left out" },
    [BP_DEGRADE_HIGH_ONLY] = { "high_only", "only topics of high priority are recorded" },
};
static_assert(BP_COUNT(steps) == BP_DEGRADE_STEPS_N_, "every step has its row");

const char *bp_degrade_why_name(enum bp_degrade_why why) {
    return whys[why].name;
}

const char *bp_degrade_step_name(enum bp_degrade_step step) {
    return steps[step].name;
}

/* ---- configuration ---- */

void bp_degrade_policy_of(const struct bp_agent_config *c, struct bp_degrade_policy *ret) {
    const struct bp_degrade_policy p = {
        .limits = {
            [BP_DEGRADE_CPU] = {
                .enter = c->degrade.cpu.enter,
                .leave = c->degrade.cpu.leave,
            },
            [BP_DEGRADE_TEMPERATURE] = {
                .enter = c->degrade.temperature.enter,
                .leave = c->degrade.temperature.leave,
            },
            [BP_DEGRADE_DISK] = {
                .enter = (double) c->degrade.disk_free.enter,
                .leave = (double) c->degrade.disk_free.leave,
            },
            [BP_DEGRADE_BATTERY] = {
                .enter = c->degrade.battery.enter,
                .leave = c->degrade.battery.leave,
            },
            [BP_DEGRADE_RING] = {
                .enter = c->degrade.ring.enter,
                .leave = c->degrade.ring.leave,
            },
        },
        .hold = c->degrade.hold,
        .recover = c->degrade.recover,
        .most = (enum bp_degrade_step)(BP_DEGRADE_PLAIN + c->degrade.most),
    };

    *ret = p;
    for (size_t i = 0; i < BP_DEGRADE_WHYS_N_; i++) {
        struct bp_degrade_limit *l = &ret->limits[i];

        l->below = whys[i].below;
        if (l->leave <= 0) /* a tenth of hysteresis where none was given */
            l->leave = l->below ? l->enter * 1.1 : l->enter * 0.9;
    }
}

int bp_degrade_check(const struct bp_agent_config *c, struct bp_error *err) {
    struct bp_degrade_policy p;

    bp_degrade_policy_of(c, &p);
    for (size_t i = 0; i < BP_DEGRADE_WHYS_N_; i++) {
        const struct bp_degrade_limit *l = &p.limits[i];

        if (l->enter > 0 && (l->below ? l->leave < l->enter : l->leave > l->enter))
            return bp_fail(err, BP_ECONFIG, "degrade.%s.leave: must be %s than degrade.%s.enter",
                           whys[i].name, l->below ? "more" : "less", whys[i].name);
    }
    return 0;
}

/* ---- steps ---- */

static enum bp_degrade_step first_step(enum bp_degrade_why why) {
    return why == BP_DEGRADE_DISK ? BP_DEGRADE_THIN_LOW : BP_DEGRADE_PLAIN;
}

static enum bp_degrade_step step_up(enum bp_degrade_why why, enum bp_degrade_step step,
                                    enum bp_degrade_step most) {
    enum bp_degrade_step next = step == BP_DEGRADE_NONE ? first_step(why) : step + 1;

    return next <= most ? next : step;
}

static enum bp_degrade_step step_down(enum bp_degrade_why why, enum bp_degrade_step step) {
    return step <= first_step(why) ? BP_DEGRADE_NONE : step - 1;
}

static bool update_one(struct bp_degrade_reason *r, const struct bp_degrade_policy *p,
                       enum bp_degrade_why why, double value, bp_ns_t mono, bp_ns_t wall) {
    const struct bp_degrade_limit *l = &p->limits[why];
    bool on = l->enter > 0 && !isnan(value);
    bool beyond = on && (l->below ? value < l->enter : value > l->enter);
    bool behind = !on || (l->below ? value >= l->leave : value <= l->leave);
    enum bp_degrade_step was = r->step;

    r->value = value;
    if (l->enter <= 0 && r->step) { /* switched off: its step was a limit's that is gone */
        *r = (struct bp_degrade_reason){ .value = value };
        return true;
    }
    if (r->step > p->most)
        r->step = p->most < first_step(why) ? BP_DEGRADE_NONE : p->most;
    r->beyond = beyond ? (r->beyond ? r->beyond : mono) : 0;
    r->behind = behind ? (r->behind ? r->behind : mono) : 0;
    if (beyond && mono - r->beyond >= p->hold) {
        r->step = step_up(why, r->step, p->most);
        r->beyond = mono;
    } else if (behind && r->step && mono - r->behind >= p->recover) {
        r->step = step_down(why, r->step);
        r->behind = mono;
    }
    if (was == BP_DEGRADE_NONE || r->step == BP_DEGRADE_NONE)
        r->since_ns = r->step ? wall : 0;
    return r->step != was;
}

bool bp_degrade_update(struct bp_degrade *d, const struct bp_degrade_policy *p,
                       const double values[static BP_DEGRADE_WHYS_N_], bp_ns_t mono, bp_ns_t wall) {
    bool changed = false;

    for (int i = 0; i < BP_DEGRADE_WHYS_N_; i++)
        changed |= update_one(&d->whys[i], p, (enum bp_degrade_why) i, values[i], mono, wall);
    return changed;
}

static enum bp_degrade_why worst(const struct bp_degrade *d) {
    enum bp_degrade_why w = BP_DEGRADE_CPU;

    for (int i = 0; i < BP_DEGRADE_WHYS_N_; i++)
        if (d->whys[i].step > d->whys[w].step)
            w = (enum bp_degrade_why) i;
    return w;
}

enum bp_degrade_step bp_degrade_step_of(const struct bp_degrade *d) {
    return d->whys[worst(d)].step;
}

bool bp_degrade_is_plain(const struct bp_degrade *d) {
    for (int i = 0; i < BP_DEGRADE_WHYS_N_; i++)
        if (i != BP_DEGRADE_DISK && d->whys[i].step >= BP_DEGRADE_PLAIN)
            return true;
    return false;
}

/* ---- told ---- */

static void value_text(enum bp_degrade_why why, double v, char *ret, size_t cap) {
    char size[BP_UNITS_TEXT];

    if (isnan(v))
        (void) snprintf(ret, cap, "not known");
    else if (why == BP_DEGRADE_DISK)
        (void) snprintf(ret, cap, "%s", bp_size_format((uint64_t) BP_MAX(v, 0.0), size));
    else
        (void) snprintf(ret, cap, "%.0f %s", v, whys[why].percent ? "%" : "°C");
}

void bp_degrade_text(const struct bp_degrade *d, char *ret, size_t cap) {
    enum bp_degrade_why w = worst(d);
    char value[48];

    ret[0] = 0;
    if (d->whys[w].step == BP_DEGRADE_NONE)
        return;
    value_text(w, d->whys[w].value, value, sizeof value);
    (void) snprintf(ret, cap, "%s is %s: %s", whys[w].name, value, steps[d->whys[w].step].text);
}

void bp_degrade_why_text(const struct bp_degrade *d, const struct bp_degrade_policy *p,
                         enum bp_degrade_why why, char *ret, size_t cap) {
    char limit[48];

    value_text(why, p->limits[why].enter, limit, sizeof limit);
    (void) snprintf(ret, cap, "%s %s: %s", whys[why].what, limit, steps[d->whys[why].step].text);
}

json_t *bp_degrade_json(const struct bp_degrade *d) {
    json_t *list = json_array();

    for (int step = BP_DEGRADE_STEPS_N_ - 1; step > BP_DEGRADE_NONE; step--)
        for (int i = 0; i < BP_DEGRADE_WHYS_N_; i++) {
            const struct bp_degrade_reason *r = &d->whys[i];
            char since[32];

            if ((int) r->step != step)
                continue;
            (void) snprintf(since, sizeof since, "%lld", (long long) r->since_ns);
            (void) json_array_append_new(
                list, json_pack("{s:s, s:s, s:s, s:o}", "why", whys[i].name, "step",
                                steps[step].name, "since_ns", since, "value",
                                isnan(r->value) ? json_null() : json_real(r->value)));
        }
    return list;
}

void bp_degrade_metrics(const struct bp_degrade *d, struct bp_buf *out) {
    static const char name[] = "bagpipe_degraded_step";

    bp_metrics_family(out, name, BP_METRIC_GAUGE,
                      "How much is given up, by reason: 0 nothing, 1 compression, 2 low priorities "
                      "thinned out, 3 left out, 4 only high priorities recorded.");
    for (int i = 0; i < BP_DEGRADE_WHYS_N_; i++)
        bp_metrics_sample(out, name, &(const struct bp_label){ "reason", whys[i].name }, 1,
                          d->whys[i].step);
}
