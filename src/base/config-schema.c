/* A table of configuration rows as a JSON schema. What YAML readers make of a word differs (`on`,
 * `1`, `0x10`), so every key may also be written as the text that our own reader takes. */
#include <inttypes.h>

#include "base/config.h"
#include "base/json.h"

#define SIZE_PATTERN     "^[0-9]+(\\\\.[0-9]+)? ?([kKMGT](iB|B)?|B)?$"
#define DURATION_PATTERN "^-?([0-9]+(\\\\.[0-9]+)? ?(ns|us|ms|s|min|m|h|d)? ?)+$"

static void put_text(struct bp_buf *out, const char *text) {
    bp_json_put_text(out, text, strlen(text));
}

static void put_range(struct bp_buf *out, const struct bp_config_row *r) {
    if (r->min != 0 || r->max != 0)
        bp_buf_printf(out, ",\"minimum\":%.15g,\"maximum\":%.15g", r->min, r->max);
}

static void put_choices(struct bp_buf *out, const char *choices) {
    bp_buf_put_str(out, "\"enum\":[");
    for (const char *p = choices; *p;) {
        size_t n = strcspn(p, "|");

        bp_json_put_text(out, p, n);
        p += n + (p[n] == '|');
        if (*p)
            bp_buf_put_u8(out, ',');
    }
    bp_buf_put_u8(out, ']');
}

static void put_type(struct bp_buf *out, const struct bp_config_row *r) {
    static const char scalar[] = "{\"type\":[\"string\",\"number\",\"boolean\"]}";

    switch (r->type) {
    case BP_CONFIG_BOOL:
        bp_buf_put_str(out,
                       "\"enum\":[true,false,\"true\",\"false\",\"yes\",\"no\",\"on\",\"off\"]");
        break;
    case BP_CONFIG_INT:
        bp_buf_put_str(out, "\"type\":\"integer\"");
        put_range(out, r);
        break;
    case BP_CONFIG_REAL:
        bp_buf_put_str(out, "\"type\":\"number\"");
        put_range(out, r);
        break;
    case BP_CONFIG_SIZE:
        bp_buf_put_str(out, "\"type\":[\"integer\",\"string\"],\"pattern\":\"" SIZE_PATTERN "\"");
        put_range(out, r);
        break;
    case BP_CONFIG_DURATION:
        bp_buf_put_str(out,
                       "\"type\":[\"number\",\"string\"],\"pattern\":\"" DURATION_PATTERN "\"");
        put_range(out, r);
        break;
    case BP_CONFIG_CHOICE:
        put_choices(out, r->choices);
        break;
    case BP_CONFIG_LIST:
        bp_buf_printf(out, "\"type\":[\"array\",\"string\",\"number\"],\"items\":%s", scalar);
        break;
    case BP_CONFIG_MAPS:
        bp_buf_put_str(out, "\"type\":[\"array\",\"null\"],\"items\":{\"type\":\"object\"}");
        break;
    default:
        bp_buf_put_str(out, "\"type\":[\"string\",\"number\",\"boolean\",\"null\"]");
        break;
    }
}

static void put_row(struct bp_buf *out, const struct bp_config_row *r) {
    put_text(out, r->key);
    bp_buf_put_str(out, ":{");
    put_type(out, r);
    bp_buf_put_str(out, ",\"description\":");
    put_text(out, r->help);
    if (r->def) {
        bp_buf_put_str(out, ",\"x-default\":"); /* as text: `default` would have to be typed */
        put_text(out, r->def);
    }
    bp_buf_printf(out, ",\"x-live\":%s%s}", r->live ? "true" : "false",
                  r->secret ? ",\"writeOnly\":true" : "");
}

/* Has an earlier row of the section this next word already? */
static bool is_seen(const struct bp_config_table *t, size_t i, size_t n) {
    for (size_t k = 0; k < i; k++)
        if (strncmp(t->rows[k].key, t->rows[i].key, n) == 0 &&
            (t->rows[k].key[n] == '.' || t->rows[k].key[n] == '\0'))
            return true;
    return false;
}

/* The keys below `section`, which ends with its dot or is empty. */
/* NOLINTNEXTLINE(misc-no-recursion): as deep as keys have dots */
static void put_section(struct bp_buf *out, const struct bp_config_table *t, const char *section,
                        size_t length) {
    const char *comma = "";

    bp_buf_put_str(out, "\"type\":[\"object\",\"null\"],\"additionalProperties\":false,"
                        "\"properties\":{");
    for (size_t i = 0; i < t->nrows; i++) {
        const char *key = t->rows[i].key;
        size_t n;

        if (strncmp(key, section, length) != 0)
            continue;
        n = length + strcspn(key + length, ".");
        if (is_seen(t, i, n))
            continue;
        bp_buf_put_str(out, comma);
        comma = ",";
        bp_json_put_text(out, key + length, n - length);
        if (key[n] == '.') {
            bp_buf_put_str(out, ":{");
            put_section(out, t, key, n + 1);
            bp_buf_put_u8(out, '}');
        } else {
            bp_buf_printf(out, ":{\"$ref\":\"#/$defs/%s\"}", key);
        }
    }
    for (size_t i = 0; i < t->nrows; i++) { /* dotted keys */
        const char *key = t->rows[i].key;

        if (strncmp(key, section, length) == 0 && strchr(key + length, '.'))
            bp_buf_printf(out, ",\"%s\":{\"$ref\":\"#/$defs/%s\"}", key + length, key);
    }
    bp_buf_put_u8(out, '}');
}

void bp_config_put_schema(struct bp_buf *out, const struct bp_config_table *t) {
    bp_buf_put_str(out, "{\"$schema\":\"https://json-schema.org/draft/2020-12/schema\","
                        "\"title\":\"configuration of bagpipe's agent\",");
    put_section(out, t, "", 0);
    bp_buf_put_str(out, ",\"$defs\":{");
    for (size_t i = 0; i < t->nrows; i++) {
        bp_buf_put_str(out, i > 0 ? ",\n" : "\n");
        put_row(out, &t->rows[i]);
    }
    bp_buf_put_str(out, "}}\n");
}
