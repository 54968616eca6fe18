/* Service calls against a server in the dialect of rmw_cyclonedds, made of a raw subscription and
 * publication; a real Fast DDS server is met in test/system/dds-services.py. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/cursor.h"
#include "dds/dds.h"
#include "dds/typedesc.h"

#define SERVICE_TYPE "type_description_interfaces/srv/GetTypeDescription"
#define DDS_PREFIX   "type_description_interfaces::srv::dds_::GetTypeDescription_"

/* Answers each request with the request's own payload, after an answer to somebody else. */
struct server {
    struct bp_dds *d;
    struct bp_sub *requests;
    struct bp_pub *replies;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    uint8_t request[512]; /* [lock] */
    size_t n;             /* [lock] 0 = none */
    bool stop, mute;      /* [lock] */
    atomic_uint served;
};

static void on_request(void *ctx, const struct bp_sample *s) {
    struct server *v = ctx;

    pthread_mutex_lock(&v->lock);
    if (s->size <= sizeof v->request && v->n == 0) {
        bp_sample_copy(s, v->request);
        v->n = s->size;
        pthread_cond_signal(&v->more);
    }
    pthread_mutex_unlock(&v->lock);
}

static void *serve(void *arg) {
    struct server *v = arg;

    pthread_mutex_lock(&v->lock);
    while (!v->stop) {
        if (v->n == 0) {
            pthread_cond_wait(&v->more, &v->lock);
            continue;
        }
        atomic_fetch_add(&v->served, 1); /* before the answer: who has it may look at once */
        if (!v->mute) {
            v->request[4] ^= 1; /* another client's answer, which everybody hears too */
            (void) bp_pub_write(v->replies, v->request, v->n, 0);
            v->request[4] ^= 1;
            (void) bp_pub_write(v->replies, v->request, v->n, 0);
        }
        v->n = 0;
    }
    pthread_mutex_unlock(&v->lock);
    return NULL;
}

static void server_start(struct server *v, uint32_t domain, bool mute) {
    struct bp_dds_opts o = { .domain = domain, .localhost_only = true };
    struct bp_pub_opts po = { .topic = "rr/node/get_type_descriptionReply",
                              .type = DDS_PREFIX "Response_",
                              .raw_names = true,
                              .qos = bp_qos_default };
    struct bp_sub_opts so = { .dds_topic = "rq/node/get_type_descriptionRequest",
                              .dds_type = DDS_PREFIX "Request_",
                              .force = &bp_qos_default,
                              .fn = on_request,
                              .ctx = v };

    memset(v, 0, sizeof *v);
    v->mute = mute;
    pthread_mutex_init(&v->lock, NULL);
    pthread_cond_init(&v->more, NULL);
    assert_int_equal(bp_dds_open(&o, NULL, &v->d, NULL), 0);
    assert_int_equal(bp_dds_advertise(v->d, &po, &v->replies, NULL), 0);
    assert_int_equal(bp_dds_subscribe(v->d, &so, &v->requests, NULL), 0);
    assert_int_equal(pthread_create(&v->thread, NULL, serve, v), 0);
}

static void server_stop(struct server *v) {
    bp_sub_close(v->requests);
    pthread_mutex_lock(&v->lock);
    v->stop = true;
    pthread_cond_signal(&v->more);
    pthread_mutex_unlock(&v->lock);
    pthread_join(v->thread, NULL);
    bp_dds_close(v->d);
    pthread_cond_destroy(&v->more);
    pthread_mutex_destroy(&v->lock);
}

static void test_answer(void **state) {
    struct bp_dds_opts o = { .domain = 61, .localhost_only = true };
    struct bp_dds *d = NULL;
    struct bp_error err = { 0 };
    struct server v;

    (void) state;
    server_start(&v, 61, false);
    assert_int_equal(bp_dds_open(&o, NULL, &d, NULL), 0);
    for (int i = 0; i < 3; i++) {
        BP_AUTO_BUF reply = { 0 };
        struct bp_cur c;

        if (bp_dds_type_description(d, "/node", "std_msgs/msg/String", "RIHS01_00", 10 * BP_SEC,
                                    &reply, &err) < 0)
            fail_msg("%s", err.text);
        c = bp_cur_of(reply.p, reply.n); /* the request came back */
        assert_int_equal(bp_rd_le32(&c), 0x100);
        assert_true(bp_str_eq(bp_rd_str32(&c), BP_STR("std_msgs/msg/String\0")));
        assert_true(bp_str_eq(bp_rd_str32(&c), BP_STR("RIHS01_00\0")));
        (void) bp_rd_view(&c, 2);
        assert_true(bp_cur_ok(&c));
    }
    assert_true(atomic_load(&v.served) >= 3); /* a request that was lost is sent again */
    bp_dds_close(d);
    server_stop(&v);
}

static void test_no_answer(void **state) {
    struct bp_dds_opts o = { .domain = 62, .localhost_only = true };
    BP_AUTO_BUF reply = { 0 };
    struct bp_dds *d = NULL;
    struct bp_error err = { 0 };
    struct server v;

    (void) state;
    assert_int_equal(bp_dds_open(&o, NULL, &d, NULL), 0);
    assert_int_equal(
        bp_dds_call(d, "/none", SERVICE_TYPE, "\0\1\0\0", 4, 300 * BP_MS, &reply, &err), -ENOENT);
    server_start(&v, 62, true);
    assert_int_equal(bp_dds_call(d, "node/get_type_description", SERVICE_TYPE, "\0\1\0\0", 4,
                                 2 * BP_SEC, &reply, &err),
                     -ETIMEDOUT);
    assert_int_equal(atomic_load(&v.served), 1);
    assert_int_equal(reply.n, 0);
    assert_int_equal(bp_dds_call(d, "/none", SERVICE_TYPE, "", 0, BP_SEC, &reply, &err), -EINVAL);
    bp_dds_close(d);
    server_stop(&v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answer),
        cmocka_unit_test(test_no_answer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
