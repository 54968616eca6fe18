#include <jansson.h>
#include <locale.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "cli/top-draw.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void require(bool ok) {
    if (!ok)
        abort();
}

static bool is_control(uint32_t v) {
    return v < 0x20 || (v >= 0x7f && v < 0xa0);
}

/* Nothing of an agent's answers reaches the terminal as a control character. */
static void check_screen(const struct bp_top_screen *s, bool utf8) {
    for (int i = 0; i < s->width * s->height; i++) {
        uint32_t v = s->cells[i].rune;

        require(v == 0 || !is_control(v));
        require(utf8 || v < 0x7f);
    }
}

static void check_report(struct bp_buf *b) {
    const char *text = bp_buf_cstr(b);
    size_t len;

    require(text != NULL);
    for (; *text; text += len) {
        uint32_t v = bp_top_rune(text, &len);

        require(v == '\n' || !is_control(v));
        require(v != 0xfffd || len > 1);
    }
}

/* Two bytes say how large the screen is and what is sorted and filtered; the rest is an object with
 * one answer a key. */
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n) {
    static locale_t chars;
    struct bp_top_view v = { .url = "unix:/x", .wall_ns = 1700000000LL * BP_SEC };
    struct bp_top_screen s = { 0 };
    struct bp_top_model m = { 0 };
    BP_AUTO_BUF report = { 0 };
    json_t *o;

    if (!chars)
        chars = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t) 0);
    if (chars)
        (void) uselocale(chars);
    o = n > 2 ? json_loadb((const char *) p + 2, n - 2, JSON_DECODE_ANY, NULL) : NULL;
    for (int k = 1; o && k < 4; k++) {
        struct bp_top_docs d = { json_object_get(o, "status"), json_object_get(o, "topics"),
                                 json_object_get(o, "alerts"), json_object_get(o, "logs"),
                                 json_object_get(o, "host"),   json_object_get(o, "recording"),
                                 json_object_get(o, "paused"), k * BP_SEC };

        require(bp_top_update(&m, &d) == 0);
        bp_top_sort(&m, (enum bp_top_sort)((p[0] + k) % BP_TOP_SORTS));
        bp_top_choose_next(&m);
        v.utf8 = k % 2;
        require(bp_top_draw(&m, &v, p[0] + 20, p[1] / 2, &s, NULL) == 0);
        check_screen(&s, v.utf8);
    }
    bp_top_report(&m, &v, &report);
    if (o)
        check_report(&report);
    json_decref(o);
    bp_top_screen_done(&s);
    bp_top_model_done(&m);
    return 0;
}
