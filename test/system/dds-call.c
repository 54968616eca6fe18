/* Calls example_interfaces/srv/AddTwoInts, or serves it in the dialect of rmw_cyclonedds.
 * usage: dds-call DOMAIN call COUNT | dds-call DOMAIN serve SECONDS */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "dds/dds.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t requests[64][36]; /* [lock] */
static unsigned nrequests;       /* [lock] */

static void on_request(void *ctx, const struct bp_sample *s) {
    (void) ctx;
    pthread_mutex_lock(&lock);
    if (s->size == 36 && nrequests < 64)
        bp_sample_copy(s, requests[nrequests++]);
    else
        printf("odd request of %u bytes\n", s->size);
    pthread_mutex_unlock(&lock);
}

static int serve(struct bp_dds *d, double seconds) {
    struct bp_pub_opts po = { .topic = "rr/add_two_intsReply",
                              .type = "example_interfaces::srv::dds_::AddTwoInts_Response_",
                              .raw_names = true,
                              .qos = bp_qos_default };
    struct bp_sub_opts so = { .dds_topic = "rq/add_two_intsRequest",
                              .dds_type = "example_interfaces::srv::dds_::AddTwoInts_Request_",
                              .force = &bp_qos_default,
                              .fn = on_request };
    struct bp_sub *sub;
    struct bp_pub *pub;
    bp_ns_t end = bp_mono_ns() + (bp_ns_t) (seconds * 1e9);
    int served = 0;

    if (bp_dds_advertise(d, &po, &pub, NULL) < 0 || bp_dds_subscribe(d, &so, &sub, NULL) < 0)
        return 1;
    while (bp_mono_ns() < end) {
        uint8_t q[36], r[28];
        bool any;

        pthread_mutex_lock(&lock);
        any = nrequests > 0;
        if (any)
            memcpy(q, requests[--nrequests], sizeof q);
        pthread_mutex_unlock(&lock);
        if (!any) {
            bp_sleep(BP_MS);
            continue;
        }
        memcpy(r, q, 20);
        bp_st_le64(r + 20, bp_ld_le64(q + 20) + bp_ld_le64(q + 28));
        (void) bp_pub_write(pub, r, sizeof r, 0);
        served++;
    }
    printf("served %d\n", served);
    return 0;
}

static int call(struct bp_dds *d, uint64_t count) {
    struct bp_error err = { 0 };

    for (uint64_t i = 1; i <= count; i++) {
        uint8_t q[20] = { 0, 1 };
        BP_AUTO_BUF r = { 0 };
        int rc;

        bp_st_le64(q + 4, i);
        bp_st_le64(q + 12, 1000);
        rc = bp_dds_call(d, "/add_two_ints", "example_interfaces/srv/AddTwoInts", q, sizeof q,
                         10 * BP_SEC, &r, &err);
        if (rc < 0) {
            printf("%s\n", err.text);
            return rc == BP_EMISMATCH ? 3 : 1;
        }
        if (r.n != 12 || bp_ld_le64(r.p + 4) != i + 1000) {
            printf("wrong answer\n");
            return 1;
        }
    }
    printf("called %llu\n", (unsigned long long) count);
    return 0;
}

int main(int argc, char **argv) {
    struct bp_dds_opts o;
    struct bp_dds *d;
    struct bp_error err;
    int rc;

    if (argc != 4)
        return 2;
    if (bp_dds_opts_from_env(&o, &err) < 0)
        return 1;
    o.domain = (uint32_t) strtoul(argv[1], NULL, 10);
    if (bp_dds_open(&o, NULL, &d, &err) < 0) {
        printf("%s\n", err.text);
        return 1;
    }
    if (strcmp(argv[2], "serve") == 0)
        rc = serve(d, strtod(argv[3], NULL));
    else
        rc = call(d, strtoull(argv[3], NULL, 10));
    bp_dds_close(d);
    return rc;
}
