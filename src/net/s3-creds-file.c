/* Credentials that lie on this machine: environment and the files that Amazon's tools share. */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/types.h>

#include "crypt/secret.h"
#include "net/s3-priv.h"

enum { MAX_FILE = 1 << 20 };

const char *bp_s3_env(const char *name) {
    const char *v = getenv(name); // NOLINT(concurrency-mt-unsafe): nobody sets it

    return v && v[0] ? v : NULL;
}

int bp_s3_from_environment(const char *profile, struct bp_fetch *fetch, struct bp_s3_keys *ret,
                           struct bp_error *err) {
    const char *access = bp_s3_env("AWS_ACCESS_KEY_ID"),
               *secret = bp_s3_env("AWS_SECRET_ACCESS_KEY");
    int r;

    (void) profile;
    (void) fetch;
    if (!access && !secret)
        return 0;
    if (!access || !secret)
        return bp_fail(err, -EACCES, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together");
    r = bp_s3_keys_set(ret, access, secret, bp_s3_env("AWS_SESSION_TOKEN"), 0);
    return r < 0 ? bp_fail(err, r, "they cannot be used: %s", bp_strerror(r)) : 1;
}

/* ---- files ---- */

static int path_of(bool config, struct bp_buf *path, struct bp_error *err) {
    const char *given = bp_s3_env(config ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE"),
               *home = bp_s3_env("HOME");

    if (given && (given[0] != '~' || given[1] != '/'))
        bp_buf_put_str(path, given);
    else if (!home)
        return 0;
    else
        bp_buf_printf(path, "%s/%s", home,
                      given    ? given + 2
                      : config ? ".aws/config"
                               : ".aws/credentials");
    return bp_buf_cstr(path) ? 1 : bp_fail(err, -ENOMEM, "out of memory");
}

static struct bp_str trim(const char *p, size_t n) {
    while (n > 0 && strchr(" \t\r", p[n - 1]) && p[n - 1])
        n--;
    while (n > 0 && (*p == ' ' || *p == '\t')) {
        p++;
        n--;
    }
    return (struct bp_str){ p, n };
}

/* "[name]"; in the config file "[profile name]", but "[default]". */
static bool is_section(struct bp_str line, bool config, const char *profile) {
    struct bp_str name;

    if (line.n < 2 || line.p[0] != '[' || line.p[line.n - 1] != ']')
        return false;
    name = trim(line.p + 1, line.n - 2);
    if (config && name.n > 8 && memcmp(name.p, "profile", 7) == 0 &&
        (name.p[7] == ' ' || name.p[7] == '\t'))
        name = trim(name.p + 8, name.n - 8);
    else if (config && !bp_streq(profile, "default"))
        return false;
    return bp_str_eq(name, bp_str_of(profile));
}

/* Value of the last such key in such a section. */
static struct bp_str find(const char *text, bool config, const char *profile, const char *key) {
    struct bp_str found = { 0 };
    bool inside = false;

    while (*text) {
        size_t n = strcspn(text, "\n");
        struct bp_str line = trim(text, n);
        const char *equals = memchr(line.p, '=', line.n);

        if (line.n > 0 && line.p[0] == '[')
            inside = is_section(line, config, profile);
        else if (inside && equals && line.p == text && *text != '#' && *text != ';' &&
                 bp_str_eq(trim(line.p, (size_t) (equals - line.p)), bp_str_of(key)))
            found = trim(equals + 1, (size_t) (line.p + line.n - equals) - 1);
        text += n + (text[n] == '\n');
    }
    return found;
}

int bp_s3_profile_value(bool config, const char *profile, const char *key, char **ret,
                        struct bp_error *err) {
    BP_AUTO_BUF path = { 0 };
    BP_AUTO_FREE char *text = NULL;
    struct bp_str value;
    size_t n;
    int r = path_of(config, &path, err);

    if (r <= 0)
        return r;
    r = bp_io_read_file(&bp_io_posix, bp_buf_cstr(&path), MAX_FILE, &text, &n, err);
    if (r == -ENOENT || r == -ENOTDIR)
        return 0;
    if (r < 0)
        return r;
    value = find(text, config, profile, key);
    *ret = value.n > 0 ? strndup(value.p, value.n) : NULL;
    bp_wipe(text, n);
    if (value.n == 0)
        return 0;
    return *ret ? 1 : bp_fail(err, -ENOMEM, "out of memory");
}

/* Keys may stand in either file; the one for credentials first. */
static int find_pair(bool config, const char *profile, struct bp_s3_keys *ret,
                     struct bp_error *err) {
    char *values[3] = { NULL };
    static const char *const names[] = { "aws_access_key_id", "aws_secret_access_key",
                                         "aws_session_token" };
    int r = 0;

    for (size_t i = 0; r >= 0 && i < BP_COUNT(names); i++)
        r = bp_s3_profile_value(config, profile, names[i], &values[i], err);
    if (r >= 0 && !values[0] != !values[1])
        r = bp_fail(err, -EACCES, "profile '%s' has only one of %s and %s", profile, names[0],
                    names[1]);
    else if (r >= 0)
        r = values[0] ? bp_s3_keys_set(ret, values[0], values[1], values[2], 0) : 0;
    if (r == -EINVAL)
        r = bp_fail(err, r, "profile '%s': a key with a blank in it", profile);
    if (r == 0 && values[0])
        r = 1;
    for (size_t i = 0; i < BP_COUNT(values); i++) {
        if (values[i])
            bp_wipe(values[i], strlen(values[i]));
        free(values[i]);
    }
    return r;
}

int bp_s3_from_files(const char *profile, struct bp_fetch *fetch, struct bp_s3_keys *ret,
                     struct bp_error *err) {
    int r = find_pair(false, profile, ret, err);

    (void) fetch;
    return r == 0 ? find_pair(true, profile, ret, err) : r;
}
