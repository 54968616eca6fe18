#include "cli/verb.h"

#include "base/macro.h"

/* Every verb has one row here, in the order of the help page. X(record) is the struct
 * bp_verb_record at the end of verb-record.c. */
#define VERBS(X)  \
    X(record)     \
    X(play)       \
    X(sim)        \
    X(topics)     \
    X(echo)       \
    X(hz)         \
    X(info)       \
    X(verify)     \
    X(recover)    \
    X(key)        \
    X(seal)       \
    X(unseal)     \
    X(agent)      \
    X(server)     \
    X(status)     \
    X(top)        \
    X(session)    \
    X(user)       \
    X(token)      \
    X(trigger)    \
    X(secret)     \
    X(snapshot)   \
    X(sync)       \
    X(push)       \
    X(pull)       \
    X(config)     \
    X(completion) \
    X(man)

#define X(name) extern const struct bp_verb bp_verb_##name;
VERBS(X)
#undef X

const struct bp_verb *const bp_verbs[] = {
#define X(name) &bp_verb_##name,
    VERBS(X)
#undef X
};

const size_t bp_verbs_count = BP_COUNT(bp_verbs);
