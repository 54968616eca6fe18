#include "cli/help.h"

/* The scripts complete verbs, options, and the values of choice options; everything else is a file
 * name. They carry no logic of their own beyond that, so that they need no test per shell version.
 */

static void put_choice(void *ctx, const char *p, size_t n) {
    struct bp_buf *out = ctx;

    bp_buf_put(out, p, n);
    bp_buf_put_u8(out, ' ');
}

static void bash_verb(struct bp_buf *out, const struct bp_verb *v) {
    bp_buf_printf(out, "    %s)\n        case $prev in\n", v->name);
    for (size_t i = 0; i < v->nopts; i++) {
        const struct bp_opt *o = &v->opts[i];

        if (o->type == BP_OPT_FLAG)
            continue;
        if (o->letter)
            bp_buf_printf(out, "        --%s | -%c) ", o->name, o->letter);
        else
            bp_buf_printf(out, "        --%s) ", o->name);
        if (o->type == BP_OPT_CHOICE) {
            bp_buf_put_str(out, "words='");
            bp_help_each_choice(o->choices, put_choice, out);
            bp_buf_put_str(out, "' ;;\n");
        } else {
            bp_buf_put_str(out, "words= ;;\n");
        }
    }
    bp_buf_put_str(out, "        *) words='");
    for (size_t i = 0; i < v->nopts; i++)
        bp_buf_printf(out, "--%s ", v->opts[i].name);
    bp_buf_put_str(out, "--help' ;;\n        esac ;;\n");
}

static void put_verb_names(struct bp_buf *out) {
    for (size_t i = 0; i < bp_verbs_count; i++)
        if (!bp_verbs[i]->hidden)
            bp_buf_printf(out, "%s ", bp_verbs[i]->name);
    bp_buf_put_str(out, "help");
}

static void bash(struct bp_buf *out) {
    bp_buf_put_str(out, "# bash completion of bagpipe\n_bagpipe() {\n"
                        "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} "
                        "words=\n"
                        "    if [ \"$COMP_CWORD\" -eq 1 ] || [ \"$prev\" = help ]; then\n"
                        "        words='");
    put_verb_names(out);
    bp_buf_put_str(out, " --help --version'\n    else\n        case ${COMP_WORDS[1]} in\n");
    for (size_t i = 0; i < bp_verbs_count; i++)
        if (!bp_verbs[i]->hidden)
            bash_verb(out, bp_verbs[i]);
    bp_buf_put_str(out,
                   "    esac\n    fi\n"
                   "    case $cur in\n"
                   "    -*) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\") ;;\n"
                   "    *) case $words in\n"
                   "        '' | --*) mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
                   "        *) mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$cur\") ;;\n"
                   "        esac ;;\n"
                   "    esac\n}\ncomplete -o filenames -F _bagpipe bagpipe\n");
}

/* For single quotes in sh, zsh and fish; brackets and colons mean something to zsh's _arguments. */
static void put_quoted(struct bp_buf *out, const char *text, const char *escape) {
    for (; *text; text++) {
        if (*text == '\'') {
            bp_buf_put_str(out, "'\\''");
            continue;
        }
        if (strchr(escape, *text))
            bp_buf_put_u8(out, '\\');
        bp_buf_put_u8(out, (uint8_t) *text);
    }
}

static void zsh_option(struct bp_buf *out, const struct bp_opt *o) {
    if (o->letter)
        bp_buf_printf(out, "            '*'{-%c,--%s}'[", o->letter, o->name);
    else
        bp_buf_printf(out, "            '*--%s[", o->name);
    put_quoted(out, o->help, "[]:\\");
    bp_buf_put_u8(out, ']');
    if (o->type == BP_OPT_CHOICE) {
        bp_buf_printf(out, ":%s:(", o->name);
        bp_help_each_choice(o->choices, put_choice, out);
        bp_buf_put_u8(out, ')');
    } else if (o->type != BP_OPT_FLAG) {
        bp_buf_printf(out, ":%s:_files", o->name);
    }
    bp_buf_put_str(out, "' \\\n");
}

static void zsh(struct bp_buf *out) {
    bp_buf_put_str(out, "#compdef bagpipe\n_bagpipe() {\n"
                        "    local -a verbs=(\n");
    for (size_t i = 0; i < bp_verbs_count; i++)
        if (!bp_verbs[i]->hidden) {
            bp_buf_printf(out, "        '%s:", bp_verbs[i]->name);
            put_quoted(out, bp_verbs[i]->summary, ":\\");
            bp_buf_put_str(out, "'\n");
        }
    bp_buf_put_str(out, "        'help:show the page of a verb'\n    )\n"
                        "    if (( CURRENT == 2 )); then\n"
                        "        _describe verb verbs\n        return\n    fi\n"
                        "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n"
                        "    case $verb in\n    help) _describe verb verbs ;;\n");
    for (size_t i = 0; i < bp_verbs_count; i++) {
        const struct bp_verb *v = bp_verbs[i];

        if (v->hidden)
            continue;
        bp_buf_printf(out, "    %s)\n        _arguments \\\n", v->name);
        for (size_t k = 0; k < v->nopts; k++)
            zsh_option(out, &v->opts[k]);
        bp_buf_put_str(out, "            '(- *)'{-h,--help}'[show the page of the verb]' \\\n"
                            "            '*:file:_files' ;;\n");
    }
    bp_buf_put_str(out, "    esac\n}\n"
                        "if [ \"$funcstack[1]\" = _bagpipe ]; then\n    _bagpipe \"$@\"\n"
                        "else\n    compdef _bagpipe bagpipe\nfi\n");
}

static void fish_option(struct bp_buf *out, const char *verb, const struct bp_opt *o) {
    bp_buf_printf(out, "complete -c bagpipe -n '__fish_seen_subcommand_from %s' -l %s", verb,
                  o->name);
    if (o->letter)
        bp_buf_printf(out, " -s %c", o->letter);
    if (o->type == BP_OPT_CHOICE) {
        bp_buf_put_str(out, " -x -a '");
        bp_help_each_choice(o->choices, put_choice, out);
        bp_buf_put_u8(out, '\'');
    } else if (o->type != BP_OPT_FLAG) {
        bp_buf_put_str(out, " -r");
    }
    bp_buf_put_str(out, " -d '");
    put_quoted(out, o->help, "\\");
    bp_buf_put_str(out, "'\n");
}

static void fish(struct bp_buf *out) {
    bp_buf_put_str(out, "# fish completion of bagpipe\n");
    for (size_t i = 0; i < bp_verbs_count; i++) {
        const struct bp_verb *v = bp_verbs[i];

        if (v->hidden)
            continue;
        bp_buf_printf(out, "complete -c bagpipe -n __fish_use_subcommand -f -a %s -d '", v->name);
        put_quoted(out, v->summary, "\\");
        bp_buf_put_str(out, "'\n");
        for (size_t k = 0; k < v->nopts; k++)
            fish_option(out, v->name, &v->opts[k]);
    }
    bp_buf_put_str(out, "complete -c bagpipe -n __fish_use_subcommand -f -a help -d 'show the page "
                        "of a verb'\ncomplete -c bagpipe -n '__fish_seen_subcommand_from help' -f "
                        "-a '");
    put_verb_names(out);
    bp_buf_put_str(out, "'\ncomplete -c bagpipe -s h -l help -d 'show a help page'\n");
}

void bp_help_completion(struct bp_buf *out, const char *shell) {
    if (bp_streq(shell, "bash"))
        bash(out);
    else if (bp_streq(shell, "zsh"))
        zsh(out);
    else
        fish(out);
}
