/* Commands to agents. One is told to its agent as often as the link breaks, and done at most once,
 * since the agent remembers its id; when its time is over it is told no more. Everything is the
 * loop's but `reply` and `done`, which a handler waits for. */
#include <errno.h>
#include <stdio.h>
#include <utlist.h>

#include "server/links/links-priv.h"

enum { ARGS_MAX = 64 * 1024, KEEP_S = 3600 };

static void unref(struct bp_links_cmd *c) {
    if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    json_decref(c->reply);
    free(c->text);
    (void) pthread_cond_destroy(&c->over);
    bp_mutex_done(&c->lock);
    free(c);
}

/* {"id", "state", "status", "body"}; takes `body` over. */
static json_t *report(const struct bp_links_cmd *c, const char *state, int status, json_t *body) {
    return json_pack("{s:s, s:s, s:i, s:o}", "id", c->id, "state", state, "status", status, "body",
                     body ? body : json_null());
}

static json_t *problem(int status, const char *text) {
    return json_pack("{s:i, s:s}", "status", status, "detail", text);
}

/* It is over: remembered for a while, and whoever waits is woken. @param reply  taken over */
static void end(struct bp_links_dev *d, struct bp_links_cmd *c, json_t *reply) {
    DL_DELETE(d->commands, c);
    d->ncommands--;
    DL_APPEND(d->results, c);
    d->nresults++;
    c->mono_ended = bp_mono_ns();
    bp_mutex_lock(&c->lock);
    c->reply = reply;
    c->done = true;
    (void) pthread_cond_broadcast(&c->over);
    bp_mutex_unlock(&c->lock);
    while (d->nresults > BP_LINK_KEPT) {
        struct bp_links_cmd *old = d->results;

        DL_DELETE(d->results, old);
        d->nresults--;
        unref(old);
    }
}

static void send_cmd(struct bp_links_dev *d, struct bp_links_cmd *c) {
    json_t *o = json_loads(c->text, 0, NULL);
    double within = (double) (c->mono_until - bp_mono_ns()) / 1e9;

    if (!d->conn || within <= 0) {
        json_decref(o);
        return;
    }
    (void) json_object_set_new(json_object_get(o, "command"), "within_s", json_real(within));
    bp_links_send(d->conn, o);
    c->sent = true;
}

void bp_links_cmd_send_all(struct bp_links_dev *d) {
    struct bp_links_cmd *c;

    DL_FOREACH(d->commands, c) {
        send_cmd(d, c);
    }
}

static struct bp_links_cmd *find(struct bp_links_cmd *list, const char *id) {
    struct bp_links_cmd *c;

    DL_FOREACH(list, c) {
        if (bp_streq(c->id, id))
            return c;
    }
    return NULL;
}

void bp_links_cmd_result(struct bp_links_dev *d, const json_t *result) {
    const char *id = json_string_value(json_object_get(result, "id"));
    json_int_t status = json_integer_value(json_object_get(result, "status"));
    struct bp_links_cmd *c = id ? find(d->commands, id) : NULL;

    if (!id || strlen(id) >= BP_ULID_TEXT)
        return;
    if (c) {
        bool good = status >= 200 && status <= 599;

        bp_counter_add(&bp_links_stats.commands, 1);
        end(d, c,
            report(c, "done", good ? (int) status : 502,
                   json_incref(json_object_get(result, "body"))));
    }
    bp_links_send(d->conn, json_pack("{s:s}", "got", id)); /* it may forget the result */
}

void bp_links_cmd_tick(struct bp_links_dev *d, bp_ns_t now) {
    struct bp_links_cmd *c, *next;

    DL_FOREACH_SAFE(d->commands, c, next) {
        if (now < c->mono_until)
            continue;
        bp_counter_add(&bp_links_stats.expired, 1);
        if (c->sent)
            end(d, c,
                report(c, "lost", 504,
                       problem(504, "the agent was told and has not answered in time: it may "
                                    "or may not have done it")));
        else
            end(d, c,
                report(c, "expired", 504,
                       problem(504, "the agent was not connected in time: it was not told and "
                                    "will not do it")));
    }
    DL_FOREACH_SAFE(d->results, c, next) {
        if (now - c->mono_ended < KEEP_S * BP_SEC)
            break;
        DL_DELETE(d->results, c);
        d->nresults--;
        unref(c);
    }
}

void bp_links_cmd_drop_all(struct bp_links_dev *d) {
    struct bp_links_cmd *c, *next;

    while (d->commands)
        end(d, d->commands, report(d->commands, "lost", 503, problem(503, "the server has ended")));
    DL_FOREACH_SAFE(d->results, c, next) {
        DL_DELETE(d->results, c);
        unref(c);
    }
}

/* ---- for handlers ---- */

struct order {
    struct bp_links *links;
    const char *device, *id;
    struct bp_links_cmd *cmd;
    int r;
};

static void take(void *a, void *b) {
    struct order *o = a;
    struct bp_links_dev *d = bp_links_find(o->links, o->device);

    (void) b;
    o->r = !d ? -ENOENT : d->ncommands >= BP_LINK_COMMANDS ? BP_ELIMIT : 0;
    if (o->r < 0)
        return;
    (void) __atomic_add_fetch(&o->cmd->refs, 1, __ATOMIC_RELAXED);
    DL_APPEND(d->commands, o->cmd);
    d->ncommands++;
    send_cmd(d, o->cmd);
}

/* A time limit of a wait, on the clock that bp_mutex has its conditions on. */
static void wait_until(struct bp_links_cmd *c, bp_ns_t mono_until) {
    bp_mutex_lock(&c->lock);
    while (!c->done && bp_mono_ns() < mono_until) {
        struct timespec t = { .tv_sec = mono_until / BP_SEC, .tv_nsec = mono_until % BP_SEC };

        (void) pthread_cond_clockwait(&c->over, &c->lock.m, CLOCK_MONOTONIC, &t);
    }
    bp_mutex_unlock(&c->lock);
}

static json_t *reply_of(struct bp_links_cmd *c) {
    json_t *reply;

    bp_mutex_lock(&c->lock);
    reply = c->done ? json_deep_copy(c->reply) : NULL;
    bp_mutex_unlock(&c->lock);
    return reply ? reply : report(c, c->sent ? "sent" : "waiting", 202, NULL);
}

static struct bp_links_cmd *cmd_new(const struct bp_links_command *c) {
    struct bp_links_cmd *cmd = calloc(1, sizeof *cmd);
    json_t *o;

    if (!cmd)
        return NULL;
    cmd->refs = 1;
    bp_mutex_init(&cmd->lock);
    (void) pthread_cond_init(&cmd->over, NULL);
    (void) bp_ulid_new(cmd->id);
    cmd->mono_until = bp_mono_ns() + c->within;
    o = json_pack("{s:{s:s, s:s, s:O*, s:s, s:s}}", "command", "id", cmd->id, "name", c->name,
                  "args", c->args, "role", c->role, "by", c->by);
    cmd->text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (!cmd->text) {
        unref(cmd);
        return NULL;
    }
    return cmd;
}

int bp_links_do(struct bp_links *l, const struct bp_links_command *c, bp_ns_t wait, json_t **ret,
                struct bp_error *err) {
    struct order order = { .links = l, .device = c->device };
    int r = 0;

    if (c->within < BP_SEC / 10 || c->within > 3600 * BP_SEC)
        return bp_fail(err, BP_EUSAGE, "a command's time is 0.1 s to 1 h");
    if (strlen(c->name) > 64 || (c->args && !json_is_object(c->args)))
        return bp_fail(err, BP_EUSAGE, "'args' must be an object");
    order.cmd = cmd_new(c);
    if (!order.cmd)
        return bp_fail(err, -ENOMEM, "out of memory");
    if (strlen(order.cmd->text) > ARGS_MAX)
        r = bp_fail(err, BP_ELIMIT, "a command has at most 64 KiB");
    else
        bp_loop_call(l->loop, take, &order, NULL);
    if (r == 0 && order.r == -ENOENT)
        r = bp_fail(err, -ENOENT, "there is no device '%.100s'", c->device);
    else if (r == 0 && order.r < 0)
        r = bp_fail(err, -EAGAIN, "%d commands wait for this device already", BP_LINK_COMMANDS);
    if (r == 0) {
        wait_until(order.cmd, bp_mono_ns() + wait);
        *ret = reply_of(order.cmd);
    }
    unref(order.cmd);
    return r;
}

static void look(void *a, void *b) {
    struct order *o = a;
    struct bp_links_dev *d = bp_links_find(o->links, o->device);

    (void) b;
    o->cmd = d ? find(d->commands, o->id) : NULL;
    if (d && !o->cmd)
        o->cmd = find(d->results, o->id);
    if (o->cmd)
        (void) __atomic_add_fetch(&o->cmd->refs, 1, __ATOMIC_RELAXED);
}

int bp_links_result(struct bp_links *l, const char *device, const char *id, json_t **ret,
                    struct bp_error *err) {
    struct order order = { .links = l, .device = device, .id = id };

    bp_loop_call(l->loop, look, &order, NULL);
    if (!order.cmd)
        return bp_fail(err, -ENOENT, "there is no command '%.40s' of this device", id);
    *ret = reply_of(order.cmd);
    unref(order.cmd);
    return 0;
}
