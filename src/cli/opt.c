#include "cli/opt.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/units.h"
#include "cli/help.h"

/* What is being parsed. Borrowed for one call of bp_opt_parse(). */
struct parse {
    const struct bp_verb *verb;
    char *opts;
    char **argv;
    int argc;
    int at;    /* next word to look at */
    int words; /* positional words found; they stand in argv[0..words) */
    struct bp_error *err;
};

static const struct bp_opt *find_long(const struct bp_verb *v, const char *name, size_t n) {
    for (size_t i = 0; i < v->nopts; i++)
        if (strlen(v->opts[i].name) == n && memcmp(v->opts[i].name, name, n) == 0)
            return &v->opts[i];
    return NULL;
}

static const struct bp_opt *find_letter(const struct bp_verb *v, char letter) {
    for (size_t i = 0; i < v->nopts; i++)
        if (v->opts[i].letter == letter)
            return &v->opts[i];
    return NULL;
}

/* A word that a value could not be: an option. "-" and negative numbers are values. */
static bool looks_like_option(const char *word) {
    return word[0] == '-' && word[1] && !isdigit((unsigned char) word[1]) && word[1] != '.';
}

static int unknown_long(const struct parse *p, const char *name, size_t n) {
    char typed[64];
    const char *best = NULL;
    unsigned least = UINT32_MAX;

    (void) snprintf(typed, sizeof typed, "%.*s", (int) BP_MIN(n, sizeof typed - 1), name);
    for (size_t i = 0; i < p->verb->nopts; i++) {
        const char *guess = p->verb->opts[i].name;
        unsigned d = bp_edit_distance(typed, guess);

        if (bp_is_likely_typo(typed, guess) && d < least) {
            least = d;
            best = guess;
        }
    }
    if (best)
        return bp_fail(p->err, BP_EUSAGE, "unknown option '--%s', did you mean '--%s'?", typed,
                       best);
    return bp_fail(p->err, BP_EUSAGE, "unknown option '--%s'", typed);
}

static int bad_value(const struct parse *p, const struct bp_opt *o, const char *value, int code,
                     const char *want) {
    return bp_fail(p->err, BP_EUSAGE, "option '--%s': '%s' is %s%s", o->name, value,
                   code == -ERANGE ? "too large for " : "not ", want);
}

static int check_range(const struct parse *p, const struct bp_opt *o, const char *text,
                       double value) {
    static const char *const units[] = { [BP_OPT_SIZE] = " bytes", [BP_OPT_DURATION] = " s" };
    const char *unit = o->type < BP_COUNT(units) && units[o->type] ? units[o->type] : "";

    if ((o->min == 0 && o->max == 0) || (value >= o->min && value <= o->max))
        return 0;
    return bp_fail(p->err, BP_EUSAGE, "option '--%s': '%s' is outside of %.15g to %.15g%s", o->name,
                   text, o->min, o->max, unit);
}

static int store_int(const struct parse *p, const struct bp_opt *o, const char *text, void *to) {
    int64_t v;
    int r = bp_parse_int(text, &v);

    if (r < 0)
        return bad_value(p, o, text, r, "a whole number");
    memcpy(to, &v, sizeof v);
    return check_range(p, o, text, (double) v);
}

static int store_number(const struct parse *p, const struct bp_opt *o, const char *text, void *to) {
    double v;
    int r = bp_parse_real(text, &v);

    if (r < 0)
        return bad_value(p, o, text, r, "a number");
    memcpy(to, &v, sizeof v);
    return check_range(p, o, text, v);
}

static int store_size(const struct parse *p, const struct bp_opt *o, const char *text, void *to) {
    uint64_t v;
    int r = bp_parse_size(text, &v);

    if (r < 0)
        return bad_value(p, o, text, r, "a size such as 16MiB, 1G or 1048576");
    memcpy(to, &v, sizeof v);
    return check_range(p, o, text, (double) v);
}

static int store_duration(const struct parse *p, const struct bp_opt *o, const char *text,
                          void *to) {
    bp_ns_t v;
    int r = bp_parse_duration(text, &v);

    if (r < 0)
        return bad_value(p, o, text, r, "a duration such as 100ms, 10s or 2min");
    memcpy(to, &v, sizeof v);
    return check_range(p, o, text, (double) v / BP_SEC);
}

static int store_choice(const struct parse *p, const struct bp_opt *o, const char *text, void *to) {
    size_t n = strlen(text);
    const char *c = o->choices;

    for (int i = 0; c; i++, c = strchr(c, '|')) {
        c += *c == '|';
        if (strcspn(c, "|") == n && memcmp(c, text, n) == 0) {
            memcpy(to, &i, sizeof i);
            return 0;
        }
    }
    return bp_fail(p->err, BP_EUSAGE, "option '--%s': '%s' is none of %s", o->name, text,
                   o->choices);
}

static int store_list(const struct parse *p, const struct bp_opt *o, const char *text, void *to) {
    struct bp_opt_list *l = to;
    const char **v = realloc(l->v, (l->n + 2) * sizeof *v);

    if (!v)
        return bp_fail(p->err, -ENOMEM, "option '--%s': out of memory", o->name);

    l->v = v;
    l->v[l->n++] = text;
    l->v[l->n] = NULL;
    return 0;
}

static int store(const struct parse *p, const struct bp_opt *o, const char *text) {
    void *to = p->opts + o->offset;

    switch (o->type) {
    case BP_OPT_FLAG:
        memcpy(to, &(bool){ true }, sizeof(bool));
        return 0;
    case BP_OPT_TEXT:
        memcpy(to, &text, sizeof text);
        return 0;
    case BP_OPT_LIST:
        return store_list(p, o, text, to);
    case BP_OPT_INT:
        return store_int(p, o, text, to);
    case BP_OPT_NUMBER:
        return store_number(p, o, text, to);
    case BP_OPT_SIZE:
        return store_size(p, o, text, to);
    case BP_OPT_DURATION:
        return store_duration(p, o, text, to);
    case BP_OPT_CHOICE:
        return store_choice(p, o, text, to);
    }
    return bp_fail(p->err, BP_EUSAGE, "option '--%s' has no type", o->name);
}

/* Takes the option's value: `attached` (behind "=" or the letter), or the next word or words. */
static int take_value(struct parse *p, const struct bp_opt *o, const char *attached) {
    int r;

    if (attached)
        return store(p, o, attached);
    if (p->at == p->argc || looks_like_option(p->argv[p->at]))
        return bp_fail(p->err, BP_EUSAGE, "option '--%s' needs a value (%s)", o->name,
                       bp_help_arg(o));

    do
        r = store(p, o, p->argv[p->at++]);
    while (r == 0 && o->type == BP_OPT_LIST && p->at < p->argc &&
           !looks_like_option(p->argv[p->at]));
    return r;
}

static int parse_long(struct parse *p, const char *name) {
    size_t n = strcspn(name, "=");
    const char *value = name[n] == '=' ? name + n + 1 : NULL;
    const struct bp_opt *o = find_long(p->verb, name, n);

    if (!o && n == 4 && bp_starts_with(name, "help"))
        return BP_OPT_HELP;
    if (!o)
        return unknown_long(p, name, n);
    if (o->type == BP_OPT_FLAG && value)
        return bp_fail(p->err, BP_EUSAGE, "option '--%s' takes no value", o->name);

    return o->type == BP_OPT_FLAG ? store(p, o, NULL) : take_value(p, o, value);
}

/* "-a", "-ab", "-oDIR", "-o DIR". */
static int parse_letters(struct parse *p, const char *letters) {
    for (; *letters; letters++) {
        const struct bp_opt *o = find_letter(p->verb, *letters);
        int r;

        if (!o && *letters == 'h')
            return BP_OPT_HELP;
        if (!o)
            return bp_fail(p->err, BP_EUSAGE, "unknown option '-%c'", *letters);
        if (o->type != BP_OPT_FLAG)
            return take_value(p, o, letters[1] ? letters + 1 + (letters[1] == '=') : NULL);
        r = store(p, o, NULL);
        if (r != 0)
            return r;
    }
    return 0;
}

static int store_defaults(struct parse *p) {
    for (size_t i = 0; i < p->verb->nopts; i++) {
        int r = p->verb->opts[i].def ? store(p, &p->verb->opts[i], p->verb->opts[i].def) : 0;

        if (r < 0)
            return r;
    }
    return 0;
}

static int parse_words(struct parse *p) {
    bool only_words = false;

    while (p->at < p->argc) {
        char *w = p->argv[p->at++];
        int r = 0;

        if (!only_words && bp_streq(w, "--"))
            only_words = true;
        else if (only_words || !looks_like_option(w))
            p->argv[p->words++] = w;
        else if (w[1] == '-')
            r = parse_long(p, w + 2);
        else
            r = parse_letters(p, w + 1);
        if (r != 0)
            return r;
    }
    return 0;
}

int bp_opt_parse(const struct bp_verb *v, int argc, char *argv[], void *opts, int *ret_argc,
                 struct bp_error *err) {
    struct parse p = { .verb = v, .opts = opts, .argv = argv, .argc = argc, .err = err };
    int r;

    if (v->opts_size > 0)
        memset(opts, 0, v->opts_size);
    r = store_defaults(&p);
    if (r == 0)
        r = parse_words(&p);
    if (r != 0)
        return r;
    if (p.words < v->min_args)
        return bp_fail(err, BP_EUSAGE, "needs %s", v->args ? v->args : "more words");
    if (v->max_args >= 0 && p.words > v->max_args)
        return bp_fail(err, BP_EUSAGE, "unexpected word '%s'", argv[v->max_args]);

    *ret_argc = p.words;
    return 0;
}

void bp_opt_done(const struct bp_verb *v, void *opts) {
    for (size_t i = 0; i < v->nopts; i++) {
        struct bp_opt_list *l = (void *) ((char *) opts + v->opts[i].offset);

        if (v->opts[i].type == BP_OPT_LIST) {
            free(l->v);
            *l = (struct bp_opt_list){ 0 };
        }
    }
}

const struct bp_verb *bp_verb_find(const char *name) {
    for (size_t i = 0; i < bp_verbs_count; i++)
        if (bp_streq(bp_verbs[i]->name, name))
            return bp_verbs[i];
    return NULL;
}

const char *bp_verb_nearest(const char *name) {
    const char *best = NULL;
    unsigned least = UINT32_MAX;

    for (size_t i = 0; i < bp_verbs_count; i++) {
        unsigned d = bp_edit_distance(name, bp_verbs[i]->name);

        if (!bp_verbs[i]->hidden && bp_is_likely_typo(name, bp_verbs[i]->name) && d < least) {
            least = d;
            best = bp_verbs[i]->name;
        }
    }
    return best;
}
