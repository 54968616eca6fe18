#include "cli/top-screen.h"

#define NCURSES_WIDECHAR 1
#include <curses.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <wchar.h>

static SCREEN *screen; /* main thread; a process has one terminal */
static bool colored;

enum { PAIR_RED = 1, PAIR_GREEN, PAIR_YELLOW };

static void prepare_colors(void) {
    const char *no = getenv("NO_COLOR"); /* NOLINT(concurrency-mt-unsafe): no setenv() */

    colored = !(no && *no) && has_colors() && start_color() == OK;
    if (!colored)
        return;
    (void) use_default_colors();
    (void) init_pair(PAIR_RED, COLOR_RED, -1);
    (void) init_pair(PAIR_GREEN, COLOR_GREEN, -1);
    (void) init_pair(PAIR_YELLOW, COLOR_YELLOW, -1);
}

int bp_top_term_open(struct bp_error *err) {
    screen = newterm(NULL, stdout, stdin); /* initscr() would end the process itself */
    if (!screen)
        return bp_fail(err, BP_EUNSUPPORTED, "this terminal ($TERM) is not known; use --once");
    (void) set_term(screen);
    (void) raw(); /* Ctrl-C is a key like others, so that the terminal is always given back */
    (void) noecho();
    (void) nonl();
    (void) keypad(stdscr, TRUE);
    (void) nodelay(stdscr, TRUE);
    (void) set_escdelay(50);
    (void) curs_set(0);
    prepare_colors();
    return 0;
}

void bp_top_term_close(void) {
    if (!screen)
        return;
    (void) curs_set(1);
    (void) endwin();
    delscreen(screen);
    screen = NULL;
}

void bp_top_term_size(int *ret_width, int *ret_height) {
    struct winsize w = { 0 };

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col && w.ws_row &&
        (w.ws_col != COLS || w.ws_row != LINES)) {
        (void) resizeterm(BP_MIN(w.ws_row, BP_TOP_MAX_SIDE), BP_MIN(w.ws_col, BP_TOP_MAX_SIDE));
        (void) clearok(stdscr, TRUE); /* what was on its way meanwhile stands anywhere */
    }
    *ret_width = COLS;
    *ret_height = LINES;
}

static attr_t attributes(unsigned look) {
    return (look & BP_TOP_BOLD ? A_BOLD : 0) | (look & BP_TOP_DIM ? A_DIM : 0) |
           (look & BP_TOP_TURNED ? A_REVERSE : 0);
}

static short pair_of(unsigned look) {
    return !colored               ? 0
           : look & BP_TOP_RED    ? PAIR_RED
           : look & BP_TOP_YELLOW ? PAIR_YELLOW
           : look & BP_TOP_GREEN  ? PAIR_GREEN
                                  : 0;
}

void bp_top_term_show(const struct bp_top_screen *s) {
    for (int row = 0; row < s->height; row++) {
        for (int col = 0; col < s->width; col++) {
            const struct bp_top_cell *c = &s->cells[row * s->width + col];
            wchar_t text[2] = { (wchar_t) c->rune, 0 };
            cchar_t cell;

            if (c->rune && setcchar(&cell, text, attributes(c->look), pair_of(c->look), NULL) == OK)
                (void) mvadd_wch(row, col, &cell); /* ERR in the last corner is normal */
        }
    }
    (void) refresh();
}

void bp_top_term_spoilt(void) {
    (void) clearok(stdscr, TRUE);
}

void bp_top_term_suspend(void) {
    (void) endwin();
    (void) raise(SIGSTOP);
    (void) clearok(stdscr, TRUE);
}

int bp_top_term_key(void) {
    static const struct {
        int curses, ours;
    } keys[] = {
        { KEY_UP, BP_TOP_KEY_UP },          { KEY_DOWN, BP_TOP_KEY_DOWN },
        { KEY_LEFT, BP_TOP_KEY_LEFT },      { KEY_RIGHT, BP_TOP_KEY_RIGHT },
        { KEY_PPAGE, BP_TOP_KEY_PAGE_UP },  { KEY_NPAGE, BP_TOP_KEY_PAGE_DOWN },
        { KEY_HOME, BP_TOP_KEY_HOME },      { KEY_END, BP_TOP_KEY_END },
        { KEY_BACKSPACE, BP_TOP_KEY_BACK }, { KEY_ENTER, '\r' },
    };
    wint_t c;
    int r = get_wch(&c);

    if (r == ERR)
        return BP_TOP_KEY_NONE;
    if (r != KEY_CODE_YES)
        return c == 8 || c == 127 ? BP_TOP_KEY_BACK : c == 0 ? BP_TOP_KEY_OTHER : (int) c;
    for (size_t i = 0; i < BP_COUNT(keys); i++)
        if ((int) c == keys[i].curses)
            return keys[i].ours;
    return BP_TOP_KEY_OTHER;
}
