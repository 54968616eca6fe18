#pragma once

#include "base/buf.h"
#include "cli/top-model.h"

/* From what `bagpipe top` knows to characters on a screen of any size; no terminal in here. */

enum bp_top_look {
    BP_TOP_PLAIN = 0,
    BP_TOP_BOLD = 1 << 0,
    BP_TOP_DIM = 1 << 1,
    BP_TOP_TURNED = 1 << 2, /* background and foreground exchanged */
    BP_TOP_RED = 1 << 3,
    BP_TOP_GREEN = 1 << 4,
    BP_TOP_YELLOW = 1 << 5,
};

struct bp_top_cell {
    uint32_t rune; /* 0: behind a character that is two columns wide */
    uint8_t look;  /* enum bp_top_look, or-ed */
};

enum { BP_TOP_MAX_SIDE = 1000, BP_TOP_MIN_WIDTH = 40, BP_TOP_MIN_HEIGHT = 10 };

/* Zero to start. */
struct bp_top_screen {
    int width, height;
    struct bp_top_cell *cells; /* owned, height rows of width */
};

/* What is on the screen besides the model. Texts are borrowed and need not be clean. */
struct bp_top_view {
    const char *url;
    bool utf8;          /* else only ASCII is drawn */
    bool help;          /* the help page instead */
    const char *prompt; /* a question at the bottom, or NULL */
    const char *typed;  /* what was typed so far behind it */
    const char *note;   /* what came of the last key, or NULL */
    bool bad;           /* the note is about a failure */
    int64_t wall_ns;    /* now, for how long sessions run */
};

/** Takes NULL. */
void bp_top_screen_done(struct bp_top_screen *s);

/**
 * Draws everything anew. With UTF-8, LC_CTYPE must be set to it: widths of characters are libc's.
 *
 * @param width, height  of the screen, in characters; cut to 1 … BP_TOP_MAX_SIDE
 * @param ret_page       topics that fit, or NULL; `m->top` is brought into range
 * @return 0 or -ENOMEM, which leaves the screen as it was
 */
BP_MUST_CHECK int bp_top_draw(struct bp_top_model *m, const struct bp_top_view *v, int width,
                              int height, struct bp_top_screen *s, int *ret_page);

/** Appends a code point as UTF-8. */
void bp_top_put_rune(struct bp_buf *b, uint32_t v);

/** A row as UTF-8 without blanks at its end. */
void bp_top_row(const struct bp_top_screen *s, int row, struct bp_buf *ret);

/** The same knowledge as a plain report of lines, as wide as they are. */
void bp_top_report(const struct bp_top_model *m, const struct bp_top_view *v, struct bp_buf *ret);
