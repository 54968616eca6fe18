#pragma once

#include <jansson.h>

#include "base/buf.h"
#include "base/error.h"
#include "crypt/sign.h"

struct bp_agent;

/* The agent's link to its server: one outgoing WebSocket, by which it tells how it is and takes
 * commands. What goes over it: docs/api/link.md.
 *
 * The bus is listened to from the start; what is worth telling is written to link.db and told when
 * there is a link, so that an outage leaves no hole. Threads: `link` owns the log and decides,
 * `link-net` (a loop) moves bytes, `link-cmd` does commands, one after the other, through the
 * agent's own API.
 */
struct bp_link;

/** Begins; nothing when no server is configured: *ret is NULL then. `a` outlives it and its door is
 *  open. @return 0, -EINVAL, BP_ECONFIG, -EAGAIN, -ENOMEM */
BP_MUST_CHECK int bp_link_open(struct bp_agent *a, struct bp_link **ret, struct bp_error *err);
/** Says good-bye: nothing is told and no command is done any more, news are kept for the next life.
 *  Before bp_http_drain(); twice does no harm. Takes NULL. */
void bp_link_stop(struct bp_link *l);
/** After bp_http_close(); what is not told stays in link.db. Takes NULL. */
void bp_link_close(struct bp_link *l);
/** For GET /api/v1/link: {"configured", "state", "url", …}; takes NULL. Owned by the caller. */
json_t *bp_link_json(struct bp_link *l);
/** Families of metrics; takes NULL. */
void bp_link_metrics(struct bp_link *l, struct bp_buf *out);

struct bp_device_tokens;
/** What link and uploads prove with who we are to the server. @param ret  NULL without a server or
 *  a key; release with bp_device_tokens_close(); @return 0, or why `link.enrolment` or a file of
 *  authorities is none */
BP_MUST_CHECK int bp_agent_tokens_open(struct bp_agent *a, struct bp_device_tokens **ret,
                                       struct bp_error *err);

/** The id of this device: sync.device, else made of its public key, else of the machine's id. */
char *bp_agent_device_id(struct bp_agent *a, char ret[static BP_DEVICE_ID_TEXT]);
