#include "agent/autostart.h"

#include "base/buf.h"
#include "record/select.h"

int bp_autostart_kind(const char *word, struct bp_error *err) {
    static const struct {
        const char *word;
        enum bp_autostart_kind kind;
    } words[] = {
        { "", BP_AUTOSTART_NEVER },
        { "false", BP_AUTOSTART_NEVER },
        { "no", BP_AUTOSTART_NEVER },
        { "off", BP_AUTOSTART_NEVER },
        { "true", BP_AUTOSTART_BOOT },
        { "yes", BP_AUTOSTART_BOOT },
        { "on", BP_AUTOSTART_BOOT },
        { "boot", BP_AUTOSTART_BOOT },
        { "first_topic", BP_AUTOSTART_FIRST_TOPIC },
    };

    for (size_t i = 0; i < BP_COUNT(words); i++)
        if (bp_streq(word, words[i].word))
            return words[i].kind;
    if (*word == '/' || *word == '*')
        return BP_AUTOSTART_PATTERN;
    return bp_fail(err, BP_ECONFIG,
                   "session.auto_start: '%s' is not false, boot (or true), first_topic or a topic "
                   "such as /robot1/* ",
                   word);
}

/* Every ROS node has these; a graph with nothing else has nothing to record. */
static bool is_of_any_node(const char *topic) {
    static const char *const names[] = { "/rosout", "/parameter_events" };

    for (size_t i = 0; i < BP_COUNT(names); i++)
        if (bp_streq(topic, names[i]))
            return true;
    return strstr(topic, "/_") != NULL; /* hidden */
}

static bool is_there(int kind, const char *word, const struct bp_recorder_topic *v, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (v[i].writers && (kind == BP_AUTOSTART_PATTERN ? bp_topic_match(word, v[i].topic)
                                                          : !is_of_any_node(v[i].topic)))
            return true;
    return false;
}

bool bp_autostart_due(struct bp_autostart *a, const char *word, const struct bp_recorder_topic *v,
                      size_t n, bool running) {
    int kind = bp_autostart_kind(word, NULL);
    bool there, due;

    if (kind != BP_AUTOSTART_FIRST_TOPIC && kind != BP_AUTOSTART_PATTERN)
        return false;
    there = is_there(kind, word, v, n);
    due = there && !a->seen && !running;
    a->seen = there;
    return due;
}
