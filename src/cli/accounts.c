#include "cli/accounts.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "cli/agent-client.h"
#include "server/server.h"

/* Files made here must be the daemon's. */
static int check_owner(const char *dir, struct bp_error *err) {
    char text[1024];
    struct passwd pw, *found = NULL;
    struct stat st;

    if (stat(dir, &st) < 0)
        return bp_fail(err, -errno, "'%s': %s", dir, bp_strerror(-errno));
    if (st.st_uid == geteuid())
        return 0;
    (void) getpwuid_r(st.st_uid, &pw, text, sizeof text, &found);
    return bp_fail(err, -EPERM,
                   "none runs here, and '%s' belongs to '%s': start it, or become that "
                   "user",
                   dir, found ? found->pw_name : "another user");
}

/* Whose accounts: of an agent or of a server with this configuration. */
struct owner {
    bool server;
    union {
        struct bp_agent_config agent;
        struct bp_server_config of_server;
    } c;
};

static int load(const struct bp_cli_accounts *where, struct owner *ret, struct bp_error *err) {
    *ret = (struct owner){ .server = where->server };
    return where->server ? bp_server_config_load(where->config, where->set.v, where->set.n,
                                                 &ret->c.of_server, err)
                         : bp_agent_config_load(where->config, where->set.v, where->set.n,
                                                &ret->c.agent, err);
}

static void owner_done(struct owner *o) {
    if (o->server)
        bp_server_config_done(&o->c.of_server);
    else
        bp_agent_config_done(&o->c.agent);
}

static int data_dir(const struct owner *o, char *ret, size_t cap, struct bp_error *err) {
    struct bp_places p;

    if (!o->server)
        return bp_agent_data_dir(&o->c.agent, ret, cap, err);
    p = bp_server_places(&o->c.of_server);
    return bp_places_data(&p, ret, cap, err);
}

static int find_socket(const struct owner *o, char *ret, size_t cap, struct bp_error *err) {
    struct bp_places p;

    if (!o->server)
        return bp_agent_socket_find(&o->c.agent, ret, cap, err);
    p = bp_server_places(&o->c.of_server);
    return bp_places_find(&p, ret, cap, err);
}

static int in_catalog(const struct owner *o, const char *method, const char *kind, const char *name,
                      const json_t *body, json_t **ret, struct bp_error *err) {
    BP_CLEANUP(bp_catalog_closep) struct bp_catalog *catalog = NULL;
    BP_CLEANUP(bp_access_closep) struct bp_access *access = NULL;
    char dir[1024], path[1100];
    bool renewed = false;
    int r = data_dir(o, dir, sizeof dir, err);

    if (r == 0)
        r = check_owner(dir, err);
    if (r < 0)
        return r;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    r = bp_catalog_open(path, &catalog, &renewed, err);
    if (r == 0)
        r = o->server ? bp_server_access_open(&o->c.of_server, dir, catalog, &access, err)
                      : bp_agent_access_open(&o->c.agent, dir, catalog, &access, err);
    if (r == 0)
        r = bp_access_manage(access, method, kind, name, body, ret, err);
    return r < 0 ? r : 0;
}

static int by_http(struct bp_client *c, const char *method, const char *kind, const char *name,
                   const json_t *body, json_t **ret, struct bp_error *err) {
    BP_AUTO_BUF path = { 0 };

    bp_buf_printf(&path, "/api/v1/%s", kind);
    if (name) {
        bp_buf_put_u8(&path, '/');
        bp_client_put_escaped(&path, name);
    }
    if (!bp_buf_cstr(&path))
        return bp_fail(err, -ENOMEM, "out of memory");
    return bp_client_json(c, method, bp_buf_cstr(&path), body, ret, err);
}

/* The one of this configuration. @return 0; -ENOENT, -ECONNREFUSED when none runs */
static int find_running(const struct owner *o, struct bp_client **ret, struct bp_error *err) {
    BP_CLEANUP(bp_client_reply_done) struct bp_client_reply reply = { 0 };
    BP_CLEANUP(bp_client_closep) struct bp_client *client = NULL;
    char path[512], url[600];
    int r = find_socket(o, path, sizeof path, err);

    if (r < 0)
        return r;
    (void) snprintf(url, sizeof url, "unix:%s", path);
    r = bp_client_open(&(struct bp_client_options){ .url = url }, &client, err);
    if (r == 0)
        r = bp_client_call(client, "GET", "/healthz", NULL, &reply, err);
    if (r < 0)
        return r;
    *ret = BP_TAKE_PTR(client);
    return 0;
}

int bp_cli_account(const struct bp_cli_accounts *where, const char *method, const char *kind,
                   const char *name, const json_t *body, json_t **ret, struct bp_error *err) {
    BP_CLEANUP(bp_client_closep) struct bp_client *client = NULL;
    struct owner o;
    int r;

    *ret = NULL;
    if (where->url) {
        r = bp_client_open(
            &(struct bp_client_options){ .url = where->url, .token = bp_cli_token() }, &client,
            err);
        return r < 0 ? r : by_http(client, method, kind, name, body, ret, err);
    }
    r = load(where, &o, err);
    if (r == 0) {
        r = find_running(&o, &client, err);
        if (r == 0)
            r = by_http(client, method, kind, name, body, ret, err);
        else if (r == -ENOENT || r == -ECONNREFUSED)
            r = in_catalog(&o, method, kind, name, body, ret, err);
    }
    owner_done(&o);
    return r;
}
