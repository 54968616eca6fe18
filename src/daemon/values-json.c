/* A configuration value as text and as JSON. */
#include <inttypes.h>

#include "base/buf.h"
#include "daemon/values.h"
#include "wire/yaml.h"

/* A number in the largest unit that leaves it whole: exact, and read back as the same. */
struct unit {
    uint64_t factor;
    const char *name;
};

static const struct unit sizes[] = {
    { UINT64_C(1) << 40, "TiB" }, { 1 << 30, "GiB" }, { 1 << 20, "MiB" },
    { 1 << 10, "KiB" },           { 1, "" },          { 0, NULL }
};
static const struct unit durations[] = { { 3600 * BP_SEC, "h" },
                                         { 60 * BP_SEC, "min" },
                                         { BP_SEC, "s" },
                                         { BP_MS, "ms" },
                                         { BP_US, "us" },
                                         { 1, "ns" },
                                         { 0, NULL } };

static void put_units(struct bp_buf *out, const struct unit *u, uint64_t v) {
    while (v % u->factor != 0)
        u++;
    if (v == 0)
        bp_buf_put_str(out, "0");
    else
        bp_buf_printf(out, "%" PRIu64 "%s", v / u->factor, u->name);
}

/* The i-th word of "a|b|c". */
static struct bp_str choice(const char *choices, int i) {
    for (; i > 0; i--)
        choices = strchr(choices, '|') + 1;
    return (struct bp_str){ choices, strcspn(choices, "|") };
}

static const void *member(const void *c, const struct bp_config_row *r) {
    return (const char *) c + r->offset;
}

static const char *text_of(const void *c, const struct bp_config_row *r) {
    const char *text;

    memcpy(&text, member(c, r), sizeof text);
    return text ? text : "";
}

/* That a secret is set may be known. */
static bool is_hidden(const void *c, const struct bp_config_row *r) {
    return r->secret && (r->type != BP_CONFIG_TEXT || *text_of(c, r));
}

/* What of a text may be shown; owned. */
static char *shown(const struct bp_config_row *r, const char *text) {
    return r->shown ? r->shown(text) : strdup(text);
}

static void put_text(struct bp_buf *out, const struct bp_config_row *r, const char *text) {
    BP_AUTO_FREE char *s = shown(r, text);

    bp_yaml_put_string(out, bp_str_of(s ? s : ""));
}

static json_t *text_json(const struct bp_config_row *r, const char *text) {
    BP_AUTO_FREE char *s = shown(r, text);

    return json_string(s ? s : "");
}

static void put_list(struct bp_buf *out, const struct bp_config_row *r,
                     const struct bp_config_list *l) {
    bp_buf_put_str(out, "[");
    for (size_t i = 0; i < l->n; i++) {
        bp_buf_put_str(out, i > 0 ? ", " : "");
        put_text(out, r, l->v[i]);
    }
    bp_buf_put_str(out, "]");
}

/* Texts of a section, and those in its lists. */
static void mask(const struct bp_config_row *r, json_t *section) {
    const char *key;
    json_t *v;

    json_object_foreach(section, key, v) {
        if (json_is_string(v))
            (void) json_object_set_new(section, key, text_json(r, json_string_value(v)));
        for (size_t i = 0; i < json_array_size(v); i++)
            if (json_is_string(json_array_get(v, i)))
                (void) json_array_set_new(v, i,
                                          text_json(r, json_string_value(json_array_get(v, i))));
    }
}

static json_t *maps_json(const struct bp_config_row *r, const struct bp_config_list *l) {
    json_t *j = json_array();

    for (size_t i = 0; i < l->n; i++) {
        json_t *one = json_loads(l->v[i], 0, NULL);

        (void) json_object_del(one, "_at");
        mask(r, one);
        (void) json_array_append_new(j, one);
    }
    return j;
}

static void put_maps(struct bp_buf *out, const struct bp_config_row *r,
                     const struct bp_config_list *l) {
    json_t *j = maps_json(r, l);
    char *text = json_dumps(j, 0);

    bp_buf_put_str(out, text ? text : "[]");
    free(text);
    json_decref(j);
}

/* As a file would say it. */
void bp_values_put(struct bp_buf *out, const void *values, const struct bp_config_row *row) {
    const void *v = member(values, row);
    struct bp_str word;

    if (is_hidden(values, row)) {
        bp_buf_put_str(out, "\"********\"");
        return;
    }
    switch (row->type) {
    case BP_CONFIG_BOOL:
        bp_buf_put_str(out, *(const bool *) v ? "true" : "false");
        break;
    case BP_CONFIG_INT:
        bp_buf_printf(out, "%" PRId64, *(const int64_t *) v);
        break;
    case BP_CONFIG_REAL:
        bp_buf_printf(out, "%.17g", *(const double *) v);
        break;
    case BP_CONFIG_SIZE:
        put_units(out, sizes, *(const uint64_t *) v);
        break;
    case BP_CONFIG_DURATION:
        put_units(out, durations,
                  (uint64_t) * (const bp_ns_t *) v); /* no row allows negative ones */
        break;
    case BP_CONFIG_CHOICE:
        word = choice(row->choices, *(const int *) v);
        bp_buf_put(out, word.p, word.n);
        break;
    case BP_CONFIG_LIST:
        put_list(out, row, v);
        break;
    case BP_CONFIG_MAPS:
        put_maps(out, row, v);
        break;
    default:
        put_text(out, row, text_of(values, row));
        break;
    }
}

static json_t *list_json(const struct bp_config_row *r, const struct bp_config_list *l) {
    json_t *j = json_array();

    for (size_t i = 0; i < l->n; i++)
        (void) json_array_append_new(j, text_json(r, l->v[i]));
    return j;
}

/* Sizes in bytes, durations in seconds. */
json_t *bp_values_json(const void *values, const struct bp_config_row *row) {
    const void *v = member(values, row);
    struct bp_str word;

    if (is_hidden(values, row))
        return json_string("********");
    switch (row->type) {
    case BP_CONFIG_BOOL:
        return json_boolean(*(const bool *) v);
    case BP_CONFIG_INT:
        return json_integer(*(const int64_t *) v);
    case BP_CONFIG_REAL:
        return json_real(*(const double *) v);
    case BP_CONFIG_SIZE:
        return json_integer((json_int_t) * (const uint64_t *) v);
    case BP_CONFIG_DURATION:
        return json_real((double) *(const bp_ns_t *) v / 1e9);
    case BP_CONFIG_CHOICE:
        word = choice(row->choices, *(const int *) v);
        return json_stringn(word.p, word.n);
    case BP_CONFIG_LIST:
        return list_json(row, v);
    case BP_CONFIG_MAPS:
        return maps_json(row, v);
    default:
        return text_json(row, text_of(values, row));
    }
}
