/* Definitions by type name: the embedded table, then folders. The table is the text of
 * types/PACKAGE.txt, indexed at first use; folders are looked into each time, because a definition
 * is asked for once per topic. What a .srv or .action implies (requests, events, feedback messages)
 * is made here. */
#include "wire/schema-priv.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>

#include <uthash.h>

#include "base/io.h"

enum { MAX_FILE = 1 << 20, MAX_NAME = 256, MAX_DEPS = 2048, MAX_FOLDERS = 64, MAX_DEPTH = 12 };

/* The whole table, put together by the build from types/PACKAGE.txt; see types.S.in. */
extern const char bp_typedb_begin[], bp_typedb_end[];

struct entry {
    char name[MAX_NAME]; /* "std_msgs/msg/Header" */
    struct bp_str text;  /* into the table */
    UT_hash_handle hh;
};

static struct entry *table;   /* constant after index_once */
static struct entry *entries; /* their memory; lives as long as the program */
static pthread_once_t index_once = PTHREAD_ONCE_INIT;
static char *folders[MAX_FOLDERS]; /* set at start-up only */
static size_t nfolders;

/* ---- the embedded table ---- */

static bool next_line(struct bp_str *rest, struct bp_str *line) {
    const char *end;

    if (!rest->n)
        return false;
    end = memchr(rest->p, '\n', rest->n);
    line->p = rest->p;
    line->n = end ? (size_t) (end - rest->p) : rest->n;
    rest->p += BP_MIN(line->n + 1, rest->n);
    rest->n -= BP_MIN(line->n + 1, rest->n);
    return true;
}

static bool starts(struct bp_str s, const char *prefix) {
    size_t n = strlen(prefix);

    return s.n >= n && memcmp(s.p, prefix, n) == 0;
}

/* "## pkg" starts a package, "== msg/Name" an entry. */
static void make_index(void) {
    struct bp_str all = { bp_typedb_begin, (size_t) (bp_typedb_end - bp_typedb_begin) };
    struct bp_str rest = all, line, pkg = { 0 };
    struct entry *e = NULL;
    size_t n = 0;

    while (next_line(&rest, &line))
        n += starts(line, "== ");
    entries = calloc(n + 1, sizeof *entries);
    if (!entries)
        return;

    n = 0;
    for (rest = all; next_line(&rest, &line);) {
        if (starts(line, "## ")) {
            pkg = (struct bp_str){ line.p + 3, line.n - 3 };
            e = NULL;
        } else if (starts(line, "== ")) {
            e = &entries[n++];
            (void) snprintf(e->name, sizeof e->name, "%.*s/%.*s", (int) pkg.n, pkg.p,
                            (int) line.n - 3, line.p + 3);
            e->text = (struct bp_str){ rest.p, 0 };
            HASH_ADD_STR(table, name, e);
        } else if (e) {
            e->text.n = (size_t) (line.p + line.n + 1 - e->text.p);
        }
    }
}

static bool embedded(const char *name, struct bp_str *ret) {
    struct entry *e;

    (void) pthread_once(&index_once, make_index);
    HASH_FIND_STR(table, name, e);
    if (e)
        *ret = e->text;
    return e != NULL;
}

void bp_typedb_each(void (*fn)(void *ctx, const char *type), void *ctx) {
    (void) pthread_once(&index_once, make_index);
    for (struct entry *e = table; e; e = e->hh.next)
        fn(ctx, e->name);
}

/* ---- folders ---- */

int bp_typedb_add_dir(const char *dir, struct bp_error *err) {
    struct stat st;

    if (stat(dir, &st) < 0)
        return bp_fail(err, -errno, "cannot open '%s': %s", dir, bp_strerror(-errno));
    if (!S_ISDIR(st.st_mode))
        return bp_fail(err, -ENOTDIR, "'%s' is not a folder of definitions", dir);
    if (nfolders == MAX_FOLDERS)
        return bp_fail(err, BP_ELIMIT, "at most %d folders of definitions", MAX_FOLDERS);

    folders[nfolders] = strdup(dir);
    return folders[nfolders++] ? 0 : bp_fail(err, -ENOMEM, "no memory");
}

static int read_definition(const char *path, struct bp_buf *out) {
    BP_AUTO_FREE char *text = NULL;
    size_t n;
    int r = bp_io_read_file(&bp_io_posix, path, MAX_FILE, &text, &n, NULL);

    if (r < 0)
        return r;
    bp_buf_put(out, text, n);
    if (n && text[n - 1] != '\n')
        bp_buf_put_u8(out, '\n');
    return 0;
}

/* "<any>/pkg/msg/Name.msg" at any depth below dir. */
static int search(const char *dir, const char *tail, int depth, struct bp_buf *out) {
    char path[4096];
    struct dirent *d;
    DIR *v;
    int r;

    if (snprintf(path, sizeof path, "%s/%s", dir, tail) >= (int) sizeof path || depth > MAX_DEPTH)
        return -ENOENT;
    r = read_definition(path, out);
    if (r != -ENOENT && r != -ENOTDIR)
        return r;

    v = opendir(dir);
    if (!v)
        return -ENOENT;
    r = -ENOENT;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone */
    while (r == -ENOENT && (d = readdir(v))) {
        struct stat st;

        if (d->d_name[0] == '.' ||
            snprintf(path, sizeof path, "%s/%s", dir, d->d_name) >= (int) sizeof path ||
            lstat(path, &st) < 0 || !S_ISDIR(st.st_mode))
            continue;
        r = search(path, tail, depth + 1, out);
    }
    (void) closedir(v);
    return r;
}

/* share/<pkg>/msg/Name.msg below each prefix of AMENT_PREFIX_PATH. */
static int search_ament(const char *tail, struct bp_buf *out) {
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): nobody changes the environment */
    const char *env = getenv("AMENT_PREFIX_PATH");

    while (env && *env) {
        size_t n = strcspn(env, ":");
        char path[4096];

        if (n &&
            snprintf(path, sizeof path, "%.*s/share/%s", (int) n, env, tail) < (int) sizeof path &&
            read_definition(path, out) == 0)
            return 0;
        env += n + (env[n] == ':');
    }
    return -ENOENT;
}

static int from_idl(const char *name, const struct bp_buf *idl, struct bp_buf *out,
                    struct bp_error *err) {
    int r = bp_idl_to_msg((struct bp_str){ (const char *) idl->p, idl->n }, name, out, err);

    return r < 0 ? bp_prefix(err, r, "%s.idl", name) : 0;
}

/* Text of a file-like name, "pkg/srv/SetBool": whole, with its '---'. In each place an .idl file
 * counts where there is no .msg, .srv or .action. */
static int raw_text(const char *name, struct bp_buf *out, struct bp_error *err) {
    const char *kind = strchr(name, '/');
    struct bp_str text;
    char tail[2 * MAX_NAME], idl[MAX_NAME + 8];
    BP_AUTO_BUF found = { 0 };
    int r = -ENOENT;

    if (!kind || strstr(name, ".."))
        return -EINVAL;
    if (embedded(name, &text)) {
        bp_buf_put(out, text.p, text.n);
        return 0;
    }
    (void) snprintf(tail, sizeof tail, "%s.%.*s", name, (int) strcspn(kind + 1, "/"), kind + 1);
    (void) snprintf(idl, sizeof idl, "%s.idl", name);
    for (size_t i = 0; r < 0 && i < nfolders; i++) {
        r = search(folders[i], tail, 0, out);
        if (r < 0 && search(folders[i], idl, 0, &found) == 0)
            return from_idl(name, &found, out, err);
    }
    if (r < 0)
        r = search_ament(tail, out);
    if (r < 0 && search_ament(idl, &found) == 0)
        return from_idl(name, &found, out, err);
    return r;
}

/* ---- types that a .srv or .action implies ---- */

/* Part `which` of a text divided by lines of "---". */
static bool part_of(struct bp_str text, int which, struct bp_buf *out) {
    struct bp_str line;
    int at = 0;

    while (next_line(&text, &line)) {
        if (starts(line, "---")) {
            at++;
            continue;
        }
        if (at == which) {
            bp_buf_put(out, line.p, line.n);
            bp_buf_put_u8(out, '\n');
        }
    }
    return at >= which;
}

static const struct derived {
    const char *kind, *suffix;
    int part;         /* of the text, or -1 */
    const char *text; /* %1$s = "pkg/action/Name" */
} derived[] = {
    { "srv", "_Request", 0, NULL },
    { "srv", "_Response", 1, NULL },
    { "srv", "_Event", -1,
      "service_msgs/msg/ServiceEventInfo info\n%1$s_Request[<=1] request\n"
      "%1$s_Response[<=1] response\n" },
    { "action", "_Goal", 0, NULL },
    { "action", "_Result", 1, NULL },
    { "action", "_Feedback", 2, NULL },
    { "action", "_SendGoal_Request", -1,
      "unique_identifier_msgs/msg/UUID goal_id\n%1$s_Goal goal\n" },
    { "action", "_SendGoal_Response", -1, "bool accepted\nbuiltin_interfaces/msg/Time stamp\n" },
    { "action", "_SendGoal_Event", -1,
      "service_msgs/msg/ServiceEventInfo info\n%1$s_SendGoal_Request[<=1] request\n"
      "%1$s_SendGoal_Response[<=1] response\n" },
    { "action", "_GetResult_Request", -1, "unique_identifier_msgs/msg/UUID goal_id\n" },
    { "action", "_GetResult_Response", -1, "int8 status\n%1$s_Result result\n" },
    { "action", "_GetResult_Event", -1,
      "service_msgs/msg/ServiceEventInfo info\n%1$s_GetResult_Request[<=1] request\n"
      "%1$s_GetResult_Response[<=1] response\n" },
    { "action", "_FeedbackMessage", -1,
      "unique_identifier_msgs/msg/UUID goal_id\n%1$s_Feedback feedback\n" },
};

static bool split_type(const char *type, char kind[static 16], const char **ret_short) {
    const char *a = strchr(type, '/'), *b = a ? strchr(a + 1, '/') : NULL;

    if (!b || b - a - 1 >= 16 || b - a < 2 || strchr(b + 1, '/') || !b[1])
        return false;
    memcpy(kind, a + 1, (size_t) (b - a - 1));
    kind[b - a - 1] = 0;
    *ret_short = b + 1;
    return true;
}

static int derived_text(const char *type, const char *kind, struct bp_buf *out,
                        struct bp_error *err) {
    size_t n = strlen(type);

    for (size_t i = 0; i < BP_COUNT(derived); i++) {
        const struct derived *d = &derived[i];
        size_t k = strlen(d->suffix);
        BP_AUTO_BUF whole = { 0 };
        char base[MAX_NAME];

        if (!bp_streq(kind, d->kind) || n <= k || !bp_streq(type + n - k, d->suffix) ||
            n - k >= sizeof base)
            continue;
        (void) snprintf(base, sizeof base, "%.*s", (int) (n - k), type);
        if (raw_text(base, &whole, err) < 0)
            continue; /* "_Goal" may belong to a longer suffix, or to the name itself */
        if (d->part < 0) {
            for (const char *p = d->text; *p; p++) {
                if (strncmp(p, "%1$s", 4) == 0) {
                    bp_buf_put_str(out, base);
                    p += 3;
                } else {
                    bp_buf_put_u8(out, (uint8_t) *p);
                }
            }
            return 0;
        }
        if (part_of((struct bp_str){ (const char *) whole.p, whole.n }, d->part, out))
            return 0;
    }
    return -ENOENT;
}

/* Own text of one type, without its dependencies. */
static int own_text(const char *type, struct bp_buf *out, struct bp_error *err) {
    const char *name;
    char kind[16];

    if (!split_type(type, kind, &name) || strlen(type) >= MAX_NAME)
        return -EINVAL;
    if (bp_streq(kind, "msg"))
        return raw_text(type, out, err);
    if (!bp_streq(kind, "srv") && !bp_streq(kind, "action"))
        return -ENOENT;
    return derived_text(type, kind, out, err);
}

/* ---- dependencies ---- */

static bool is_builtin(struct bp_str t) {
    static const char *const names[] = { "bool",   "byte",    "char",   "float32", "float64",
                                         "int8",   "uint8",   "int16",  "uint16",  "int32",
                                         "uint32", "int64",   "uint64", "string",  "wstring",
                                         "time",   "duration" };

    for (size_t i = 0; i < BP_COUNT(names); i++)
        if (bp_str_eq(t, bp_str_of(names[i])))
            return true;

    return false;
}

/* The type a field line names, as "pkg/msg/Name"; false for builtin types and other lines. */
static bool field_type(struct bp_str line, const char *of, char ret[static MAX_NAME]) {
    struct bp_str t = line;
    const char *slash;
    size_t n = 0;

    while (t.n && isspace((unsigned char) *t.p)) {
        t.p++;
        t.n--;
    }
    while (n < t.n && !isspace((unsigned char) t.p[n]) && t.p[n] != '[' && t.p[n] != '<' &&
           t.p[n] != '#')
        n++;
    t.n = n;
    if (!n || n >= MAX_NAME / 2 || is_builtin(t) || t.p[0] == '-' || t.p[0] == '#')
        return false;

    slash = memchr(t.p, '/', t.n);
    if (!slash) /* in the same package; "Header" alone has always meant this one */
        (void) snprintf(ret, MAX_NAME, "%.*s/msg/%.*s",
                        bp_str_eq(t, BP_STR("Header")) ? 8 : (int) strcspn(of, "/"),
                        bp_str_eq(t, BP_STR("Header")) ? "std_msgs" : of, (int) t.n, t.p);
    else if (memchr(slash + 1, '/', (size_t) (t.p + t.n - slash - 1)))
        (void) snprintf(ret, MAX_NAME, "%.*s", (int) t.n, t.p);
    else
        (void) snprintf(ret, MAX_NAME, "%.*s/msg/%.*s", (int) (slash - t.p), t.p,
                        (int) (t.p + t.n - slash - 1), slash + 1);
    return true;
}

struct deps {
    char (*v)[MAX_NAME]; /* owned */
    size_t n;
};

static int add_deps(struct bp_str text, const char *of, struct deps *d) {
    struct bp_str line;
    char name[MAX_NAME];

    while (next_line(&text, &line)) {
        bool known = false;
        void *grown;

        if (!field_type(line, of, name))
            continue;
        for (size_t i = 0; i < d->n && !known; i++)
            known = bp_streq(d->v[i], name);
        if (known)
            continue;
        if (d->n == MAX_DEPS)
            return BP_ELIMIT;
        grown = realloc(d->v, (d->n + 1) * sizeof *d->v);
        if (!grown)
            return -ENOMEM;
        d->v = grown;
        memcpy(d->v[d->n++], name, sizeof name);
    }
    return 0;
}

/* "pkg/msg/Name" as a ros2msg text names it: "pkg/Name"; services and actions keep their folder. */
static void put_dependency_name(struct bp_buf *out, const char *type) {
    const char *msg = strstr(type, "/msg/");

    bp_buf_put_str(out, "================================================================"
                        "================\nMSG: ");
    if (msg)
        bp_buf_printf(out, "%.*s/%s\n", (int) (msg - type), type, msg + 5);
    else
        bp_buf_printf(out, "%s\n", type);
}

/* @param file  the text of a .srv or .action may stand for the type of its name, which is no
 *              message but has a hash */
static int whole_text(const char *type, bool file, struct bp_buf *out, struct bp_error *err) {
    struct deps d = { 0 };
    size_t from = out->n;
    char name[MAX_NAME];
    int r = own_text(type, out, err);

    if (r == -ENOENT && file)
        r = raw_text(type, out, err);

    if (r >= 0)
        r = add_deps((struct bp_str){ (const char *) out->p + from, out->n - from }, type, &d);
    for (size_t i = 0; r >= 0 && i < d.n; i++) {
        if (bp_streq(d.v[i], type)) {
            r = BP_EFORMAT; /* a type that holds itself */
            break;
        }
        memcpy(name, d.v[i], sizeof name); /* add_deps() moves d.v */
        put_dependency_name(out, name);
        from = out->n;
        r = own_text(name, out, err);
        if (r >= 0)
            r = add_deps((struct bp_str){ (const char *) out->p + from, out->n - from }, name, &d);
    }
    free(d.v);
    return r < 0 ? r : out->failed ? -ENOMEM : 0;
}

static int unknown(const char *type, int r, struct bp_error *err) {
    if (r == BP_EUNSUPPORTED || (r == BP_EFORMAT && err && err->code == r)) /* an .idl file's */
        return bp_prefix(err, r, "definition of '%s'", type);
    return bp_fail(err, r == -EINVAL ? -ENOENT : r,
                   "no definition of '%s' in the embedded table, in AMENT_PREFIX_PATH or in "
                   "--definitions",
                   type);
}

int bp_typedb_text(const char *type, struct bp_buf *out, struct bp_error *err) {
    size_t n = out->n;
    int r;

    if (err)
        *err = (struct bp_error){ 0 };
    r = whole_text(type, false, out, err);
    if (r >= 0)
        return 0;
    out->n = BP_MIN(n, out->n);
    return unknown(type, r, err);
}

int bp_typedb_hash(const char *type, char ret[static 72], struct bp_error *err) {
    BP_CLEANUP(bp_schema_freep) struct bp_schema *s = NULL;
    BP_AUTO_BUF text = { 0 };
    int r;

    if (err)
        *err = (struct bp_error){ 0 };
    r = whole_text(type, true, &text, err);
    if (r < 0)
        return unknown(type, r, err);
    r = bp_schema_parse(type, "ros2msg", (struct bp_str){ (const char *) text.p, text.n }, &s, err);
    return r < 0 ? r : bp_schema_hash(s, ret, err);
}
