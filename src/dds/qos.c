#include "dds/dds-priv.h"

static bp_ns_t duration(dds_duration_t v) {
    return v == DDS_INFINITY ? BP_QOS_INFINITE : v;
}

static dds_duration_t to_duration(bp_ns_t v) {
    return v <= 0 || v == BP_QOS_INFINITE ? DDS_INFINITY : v;
}

void bp_qos_from_dds(const dds_qos_t *q, uint16_t vendor, struct bp_qos *ret) {
    dds_reliability_kind_t reliability;
    dds_durability_kind_t durability;
    dds_history_kind_t history;
    dds_liveliness_kind_t liveliness;
    dds_duration_t d;
    int32_t depth;

    *ret = bp_qos_default;
    ret->reliability = BP_RELIABILITY_BEST_EFFORT;
    ret->durability = BP_DURABILITY_VOLATILE;
    ret->history = BP_HISTORY_UNKNOWN;
    ret->depth = 0;
    ret->deadline = ret->lifespan = ret->lease = BP_QOS_INFINITE;
    ret->liveliness = BP_LIVELINESS_AUTOMATIC;
    if (dds_qget_reliability(q, &reliability, &d) && reliability == DDS_RELIABILITY_RELIABLE)
        ret->reliability = BP_RELIABILITY_RELIABLE;
    if (dds_qget_durability(q, &durability) && durability != DDS_DURABILITY_VOLATILE)
        ret->durability = BP_DURABILITY_TRANSIENT_LOCAL;
    /* eProsima does not send its history; what Cyclone shows is the default of the standard. */
    if (vendor != 0x010f && dds_qget_history(q, &history, &depth)) {
        ret->history = history == DDS_HISTORY_KEEP_ALL ? BP_HISTORY_KEEP_ALL : BP_HISTORY_KEEP_LAST;
        ret->depth = depth > 0 && ret->history == BP_HISTORY_KEEP_LAST ? (uint32_t) depth : 0;
    }
    if (dds_qget_deadline(q, &d))
        ret->deadline = duration(d);
    if (dds_qget_lifespan(q, &d))
        ret->lifespan = duration(d);
    if (dds_qget_liveliness(q, &liveliness, &d)) {
        ret->liveliness =
            liveliness == DDS_LIVELINESS_AUTOMATIC ? BP_LIVELINESS_AUTOMATIC : BP_LIVELINESS_MANUAL;
        ret->lease = duration(d);
    }
}

dds_qos_t *bp_qos_to_dds(const struct bp_qos *q) {
    dds_qos_t *r = dds_create_qos();
    dds_data_representation_id_t xcdr1 = DDS_DATA_REPRESENTATION_XCDR1;
    bool all = q->history == BP_HISTORY_KEEP_ALL;
    int32_t depth = q->depth && q->depth < INT32_MAX ? (int32_t) q->depth : 10;

    if (!r)
        return NULL;
    dds_qset_reliability(r,
                         q->reliability == BP_RELIABILITY_BEST_EFFORT ? DDS_RELIABILITY_BEST_EFFORT
                                                                      : DDS_RELIABILITY_RELIABLE,
                         DDS_SECS(10));
    dds_qset_history(r, all ? DDS_HISTORY_KEEP_ALL : DDS_HISTORY_KEEP_LAST, all ? 0 : depth);
    if (q->durability == BP_DURABILITY_TRANSIENT_LOCAL) {
        dds_qset_durability(r, DDS_DURABILITY_TRANSIENT_LOCAL);
        /* What late joiners get is governed by this and not by the history. */
        dds_qset_durability_service(r, 0, all ? DDS_HISTORY_KEEP_ALL : DDS_HISTORY_KEEP_LAST,
                                    all ? 0 : depth, DDS_LENGTH_UNLIMITED, DDS_LENGTH_UNLIMITED,
                                    DDS_LENGTH_UNLIMITED);
    }
    dds_qset_deadline(r, to_duration(q->deadline));
    dds_qset_lifespan(r, to_duration(q->lifespan));
    dds_qset_liveliness(r,
                        q->liveliness == BP_LIVELINESS_MANUAL ? DDS_LIVELINESS_MANUAL_BY_TOPIC
                                                              : DDS_LIVELINESS_AUTOMATIC,
                        to_duration(q->lease));
    dds_qset_data_representation(r, 1, &xcdr1); /* what rmw_cyclonedds offers */
    return r;
}
