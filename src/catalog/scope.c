#include "catalog/scope.h"

#include <stdio.h>
#include <string.h>

static const char apart[] = " \t,";

static int check_word(const char *word, size_t n, struct bp_error *err) {
    static const char ok[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:@-*";
    bool group = bp_starts_with(word, BP_SCOPE_GROUP);
    size_t name = group ? strlen(BP_SCOPE_GROUP) : 0;

    if (strspn(word, ok) < n || n == name || (group && memchr(word, '*', n)))
        return bp_fail(err, BP_EUSAGE,
                       "scope: '%.*s' is neither an id of devices (letters, digits, '.', '_', ':', "
                       "'@', '-', '*' for anything) nor group:NAME",
                       (int) BP_MIN(n, (size_t) 60), word);
    return 0;
}

int bp_scope_read(const char *text, char ret[static BP_SCOPE], struct bp_error *err) {
    char made[BP_SCOPE] = "";
    size_t words = 0, at = 0, n;

    for (const char *p = text + strspn(text, apart); *p; p += n, p += strspn(p, apart)) {
        int r;

        n = strcspn(p, apart);
        r = check_word(p, n, err);
        if (r < 0)
            return r;
        if (++words > BP_SCOPE_WORDS || at + n + 2 > sizeof made)
            return bp_fail(err, BP_EUSAGE, "scope: at most %d words of %d bytes together",
                           BP_SCOPE_WORDS, BP_SCOPE - 1);
        at += (size_t) snprintf(made + at, sizeof made - at, "%s%.*s", at ? " " : "", (int) n, p);
    }
    memcpy(ret, made, sizeof made);
    return 0;
}

bool bp_scope_next(const char **io, struct bp_str *ret, bool *ret_group) {
    const char *p = *io + strspn(*io, apart);
    size_t n = strcspn(p, apart);

    *io = p + n;
    *ret_group = bp_starts_with(p, BP_SCOPE_GROUP);
    if (*ret_group) {
        p += strlen(BP_SCOPE_GROUP);
        n -= strlen(BP_SCOPE_GROUP);
    }
    *ret = (struct bp_str){ p, n };
    return n > 0;
}

/* `*` is anything; back to the last one when what follows does not fit. */
static bool fits(struct bp_str pattern, const char *text) {
    const char *p = pattern.p, *end = p + pattern.n, *star = NULL, *again = NULL;

    while (*text) {
        if (p < end && *p == '*') {
            star = ++p;
            again = text;
        } else if (p < end && *p == *text) {
            p++;
            text++;
        } else if (star) {
            p = star;
            text = ++again;
        } else {
            return false;
        }
    }
    while (p < end && *p == '*')
        p++;
    return p == end;
}

/* Names of groups are plain: in JSON they stand as they are. */
static bool is_in(struct bp_str group, const char *groups) {
    char quoted[BP_SCOPE + 2];

    (void) snprintf(quoted, sizeof quoted, "\"%.*s\"", (int) group.n, group.p);
    return strstr(groups, quoted) != NULL;
}

bool bp_scope_has(const char *scope, const char *device, const char *groups) {
    const char *at = scope;
    struct bp_str word;
    bool group;

    if (!*scope)
        return true;
    if (!*device)
        return false;
    while (bp_scope_next(&at, &word, &group))
        if (group ? is_in(word, groups) : fits(word, device))
            return true;
    return false;
}
