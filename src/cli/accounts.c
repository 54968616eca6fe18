#include "cli/accounts.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "cli/agent-client.h"

/* Files made here must be the agent's. */
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
                   "no agent runs here, and '%s' belongs to '%s': start the agent, or become that "
                   "user",
                   dir, found ? found->pw_name : "another user");
}

static int in_catalog(const struct bp_agent_config *c, const char *method, const char *kind,
                      const char *name, const json_t *body, json_t **ret, struct bp_error *err) {
    BP_CLEANUP(bp_catalog_closep) struct bp_catalog *catalog = NULL;
    BP_CLEANUP(bp_access_closep) struct bp_access *access = NULL;
    char dir[1024], path[1100];
    bool renewed = false;
    int r = bp_agent_data_dir(c, dir, sizeof dir, err);

    if (r == 0)
        r = check_owner(dir, err);
    if (r < 0)
        return r;
    (void) snprintf(path, sizeof path, "%s/catalog.db", dir);
    r = bp_catalog_open(path, &catalog, &renewed, err);
    if (r == 0)
        r = bp_agent_access_open(c, dir, catalog, &access, err);
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

/* The agent of this configuration. @return 0; -ENOENT, -ECONNREFUSED when none runs */
static int find_agent(const struct bp_agent_config *c, struct bp_client **ret,
                      struct bp_error *err) {
    BP_CLEANUP(bp_client_reply_done) struct bp_client_reply reply = { 0 };
    BP_CLEANUP(bp_client_closep) struct bp_client *client = NULL;
    char path[512], url[600];
    int r = bp_agent_socket_find(c, path, sizeof path, err);

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
    struct bp_agent_config c = { 0 };
    int r;

    *ret = NULL;
    if (where->url) {
        r = bp_client_open(
            &(struct bp_client_options){ .url = where->url, .token = bp_cli_token() }, &client,
            err);
        return r < 0 ? r : by_http(client, method, kind, name, body, ret, err);
    }
    r = bp_agent_config_load(where->config, where->set.v, where->set.n, &c, err);
    if (r == 0) {
        r = find_agent(&c, &client, err);
        if (r == 0)
            r = by_http(client, method, kind, name, body, ret, err);
        else if (r == -ENOENT || r == -ECONNREFUSED)
            r = in_catalog(&c, method, kind, name, body, ret, err);
    }
    bp_agent_config_done(&c);
    return r;
}
