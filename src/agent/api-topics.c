/* The API's part about topics of the graph, and what is looked at once a tick. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent-priv.h"
#include "agent/rates.h"

#include "base/json-value.h"

/* All topics of the graph; owned. NULL when out of memory. */
static struct bp_recorder_topic *topics_of(struct bp_agent *a, size_t *ret_n) {
    size_t n = bp_recorder_topics(a->recorder, NULL, 0);
    struct bp_recorder_topic *v = calloc(n + 1, sizeof *v);

    *ret_n = v ? BP_MIN(n, bp_recorder_topics(a->recorder, v, n)) : 0;
    return v;
}

/* ---- QoS ---- */

static const char *reliability_text(enum bp_reliability r) {
    return r == BP_RELIABILITY_RELIABLE      ? "reliable"
           : r == BP_RELIABILITY_BEST_EFFORT ? "best_effort"
                                             : "unknown";
}

static const char *durability_text(enum bp_durability d) {
    return d == BP_DURABILITY_TRANSIENT_LOCAL ? "transient_local"
           : d == BP_DURABILITY_VOLATILE      ? "volatile"
                                              : "unknown";
}

static const char *history_text(enum bp_history h) {
    return h == BP_HISTORY_KEEP_LAST  ? "keep_last"
           : h == BP_HISTORY_KEEP_ALL ? "keep_all"
                                      : "unknown";
}

/* Seconds; null when there is no limit. */
static json_t *span_json(bp_ns_t ns) {
    return ns && ns != BP_QOS_INFINITE ? json_real((double) ns / 1e9) : json_null();
}

static json_t *qos_json(const struct bp_qos *q) {
    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o}", "reliability",
                     reliability_text(q->reliability), "durability", durability_text(q->durability),
                     "history", history_text(q->history), "depth", (int) q->depth, "deadline_s",
                     span_json(q->deadline), "lifespan_s", span_json(q->lifespan));
}

/* Names of the policies by which a writer does not offer what is asked for (DDS 1.4, 2.2.3). */
static void put_incompatible(const struct bp_qos *offered, const struct bp_qos *wanted,
                             json_t *list) {
    const struct {
        const char *name;
        bool bad;
    } policies[] = {
        { "reliability", wanted->reliability == BP_RELIABILITY_RELIABLE &&
                             offered->reliability == BP_RELIABILITY_BEST_EFFORT },
        { "durability", wanted->durability == BP_DURABILITY_TRANSIENT_LOCAL &&
                            offered->durability == BP_DURABILITY_VOLATILE },
        { "deadline",
          wanted->deadline && offered->deadline && wanted->deadline < offered->deadline },
        { "liveliness", wanted->lease && offered->lease && wanted->lease < offered->lease },
    };

    for (size_t i = 0; i < BP_COUNT(policies); i++) {
        bool told = !policies[i].bad;

        for (size_t k = 0; !told && k < json_array_size(list); k++)
            told = bp_streq(json_string_value(json_array_get(list, k)), policies[i].name);
        if (!told)
            (void) json_array_append_new(list, json_string(policies[i].name));
    }
}

/* Without an override each writer is listened to as it offers, so nothing can be incompatible. */
static json_t *all_qos_json(const struct bp_recorder_topic *t) {
    json_t *offered = json_array(), *bad = json_array();

    for (size_t i = 0; i < BP_MIN(t->nqos, BP_COUNT(t->qos)); i++) {
        (void) json_array_append_new(offered, qos_json(&t->qos[i]));
        if (t->forced)
            put_incompatible(&t->qos[i], &t->requested, bad);
    }
    return json_pack("{s:o, s:i, s:o, s:o}", "offered", offered, "profiles", (int) t->nqos,
                     "requested", t->forced ? qos_json(&t->requested) : json_null(), "incompatible",
                     bad);
}

/* ---- topics ---- */

static json_t *topic_json(struct bp_agent *a, const struct bp_recorder_topic *t, size_t i,
                          const json_t *losses) {
    json_t *lost = json_object_get(losses, t->topic);
    double hz = 0, bytes = 0;
    bool known = bp_rates_get(a->rates, i, &hz, &bytes);

    return json_pack(
        "{s:s, s:s, s:s, s:i, s:i, s:i, s:o, s:o, s:b, s:b, s:b, s:o, s:o, s:o, s:O, s:o}", "topic",
        t->topic, "type", t->type, "robot", t->robot, "domain", (int) t->domain, "writers",
        (int) t->writers, "sessions", (int) t->takes, "messages", bp_json_count(t->messages),
        "bytes", bp_json_count(t->bytes), "has_definition", (int) t->has_definition, "subscribed",
        (int) t->subscribed, "deaf", (int) t->deaf, "rate_hz",
        known && t->subscribed ? json_real(hz) : json_null(), "bytes_per_s",
        known && t->subscribed ? json_real(bytes) : json_null(), "age_s",
        t->last_ns ? json_real((double) BP_MAX(bp_wall_ns() - t->last_ns, 0) / 1e9) : json_null(),
        "lost", lost ? lost : losses, "qos", all_qos_json(t));
}

json_t *bp_agent_topics_json(struct bp_agent *a) {
    size_t n;
    BP_AUTO_FREE struct bp_recorder_topic *v = topics_of(a, &n);
    json_t *list = v ? json_array() : NULL, *losses = bp_sessions_losses(a->sessions);
    json_t *none = json_object();

    for (size_t i = 0; list && i < n; i++)
        (void) json_array_append_new(
            list, topic_json(a, &v[i], i, json_object_get(losses, v[i].topic) ? losses : none));
    json_decref(losses);
    json_decref(none);
    return list ? json_pack("{s:o}", "topics", list) : NULL;
}

int bp_agent_get_topics(struct bp_http_req *req, struct bp_http_reply *reply,
                        struct bp_error *err) {
    (void) err;
    bp_http_reply_json(reply, 200, bp_agent_topics_json(bp_http_ctx(req)));
    return 0;
}

/* ---- the tick ---- */

void bp_agent_tick(struct bp_agent *a) {
    size_t n;
    BP_AUTO_FREE struct bp_recorder_topic *v = topics_of(a, &n);

    if (v)
        bp_rates_tick(a->rates, v, n, bp_mono_ns());
}
