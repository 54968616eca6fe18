#pragma once

#include "base/error.h"
#include "cli/top-draw.h"

/* The terminal of `bagpipe top`, by curses. One per process, main thread only. */

/* Keys that are no characters; what bp_top_term_key() tells besides code points. */
enum bp_top_key {
    BP_TOP_KEY_NONE = 0, /* none is waiting */
    BP_TOP_KEY_UP = 0x200000,
    BP_TOP_KEY_DOWN,
    BP_TOP_KEY_LEFT,
    BP_TOP_KEY_RIGHT,
    BP_TOP_KEY_PAGE_UP,
    BP_TOP_KEY_PAGE_DOWN,
    BP_TOP_KEY_HOME,
    BP_TOP_KEY_END,
    BP_TOP_KEY_BACK,
    BP_TOP_KEY_OTHER,
};

/** Takes the terminal over. LC_CTYPE must be set.
 *  @return 0, BP_EUNSUPPORTED when it can do too little */
BP_MUST_CHECK int bp_top_term_open(struct bp_error *err);
/** Gives it back as it was; may be called again. */
void bp_top_term_close(void);
/** The size by the terminal itself; tells curses when it has changed. */
void bp_top_term_size(int *ret_width, int *ret_height);
void bp_top_term_show(const struct bp_top_screen *s);
/** Draws everything anew at the next show: something else has written to the terminal. */
void bp_top_term_spoilt(void);
/** Gives the terminal back and stops the process, as Ctrl-Z does; goes on when it is continued. */
void bp_top_term_suspend(void);
/** Does not wait. @return a code point or an enum bp_top_key */
int bp_top_term_key(void);
