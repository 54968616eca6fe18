#pragma once

#include "cli/verb.h"
#include "crypt/secretmem.h"
#include "sync/target.h"

/* What push and pull share: how the other side is reached, and a line that shows how far it is. */

/* Values of the options below. */
struct bp_cli_link {
    const char *token_file, *ca_file, *proxy;
    struct bp_opt_list settings;
};

#define BP_CLI_LINK_OPTIONS(type, member)                                                  \
    { "token-file",                                                                        \
      0,                                                                                   \
      BP_OPT_TEXT,                                                                         \
      offsetof(type, member.token_file),                                                   \
      "FILE",                                                                              \
      "what we prove with who we are to a server ($BAGPIPE_TOKEN)",                        \
      NULL,                                                                                \
      NULL,                                                                                \
      0,                                                                                   \
      0 },                                                                                 \
        { "ca-file",   0,                                                                  \
          BP_OPT_TEXT, offsetof(type, member.ca_file),                                     \
          "FILE",      "trust the authorities in this file (PEM) instead of the system's", \
          NULL,        NULL,                                                               \
          0,           0 },                                                                \
        { "proxy",     0,                                                                  \
          BP_OPT_TEXT, offsetof(type, member.proxy),                                       \
          "URL",       "proxy; \"\" for none (as the environment says)",                   \
          NULL,        NULL,                                                               \
          0,           0 },                                                                \
    {                                                                                      \
        "option", 'o', BP_OPT_LIST, offsetof(type, member.settings), "KEY=VALUE",          \
            "of a bucket: endpoint, region, profile, style, template, …", NULL, NULL, 0, 0 \
    }

#define BP_CLI_LINK_DESCRIPTION                                                                   \
    "A token comes from $BAGPIPE_TOKEN or a file, credentials of a bucket from where AWS's own "  \
    "tools look for them (environment, ~/.aws, web identity, instance metadata); never from the " \
    "command line, which every user of the machine can read."

/* Ready to be used; release with bp_cli_link_done(). */
struct bp_cli_link_ready {
    struct bp_sync_target_opts opts; /* texts are borrowed from options and `token` */
    struct bp_secret token;
};

/** @return 0, or why the token cannot be read */
BP_MUST_CHECK int bp_cli_link_open(const struct bp_cli_link *l, const char *url,
                                   struct bp_cli_link_ready *ret, struct bp_error *err);
void bp_cli_link_done(struct bp_cli_link_ready *r);

/* A line on stderr, when that is a terminal: "push [####    ]  42 %  1.2 MB/s  4 s  drive_0.mcap".
 */
struct bp_cli_bar_line {
    const char *what;
    int64_t next_mono;
    bool shown;
};
void bp_cli_bar_draw(struct bp_cli_bar_line *b, uint64_t done, uint64_t total, double rate,
                     const char *text);
void bp_cli_bar_clear(struct bp_cli_bar_line *b);
