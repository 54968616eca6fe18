#pragma once

#include "base/error.h"

/* Where a daemon keeps what is its own, and where its socket is. */
struct bp_places {
    const char *dir, *socket;         /* as configured; NULL or "": none */
    const char *dir_key, *socket_key; /* their keys, for errors */
    const char *name;                 /* of the data folder: "bagpipe" */
    const char *run;                  /* its folder: "/run/bagpipe" */
    const char *socket_name;          /* "agent.sock" */
    const char *who;                  /* "agent" */
};

/**
 * The folder for data and state, made 0700 with its parents when missing: the configured one ("~/"
 * is the home), else the first of $STATE_DIRECTORY, else $XDG_DATA_HOME/NAME, else
 * ~/.local/share/NAME.
 *
 * @return 0, BP_ECONFIG when there is no home either, -ENAMETOOLONG, or why it cannot be made or
 *         written to
 */
BP_MUST_CHECK int bp_places_data(const struct bp_places *p, char *ret, size_t cap,
                                 struct bp_error *err);
/**
 * Where the unix socket belongs: the configured path, else RUN/SOCKET when that folder can be made
 * or written, else $XDG_RUNTIME_DIR/bagpipe/SOCKET, else SOCKET in the data folder. The folder is
 * made.
 *
 * @return 0; BP_ECONFIG when it is longer than a socket's path may be; or why a folder cannot be
 *         made
 */
BP_MUST_CHECK int bp_places_socket(const struct bp_places *p, char *ret, size_t cap,
                                   struct bp_error *err);
/**
 * Where one listens, for those who want to talk to it: the configured path, else the first of the
 * places above that has a socket. Makes nothing.
 *
 * @return 0, or -ENOENT when there is none
 */
BP_MUST_CHECK int bp_places_find(const struct bp_places *p, char *ret, size_t cap,
                                 struct bp_error *err);
