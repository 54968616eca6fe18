/* What all sessions of this life have done together: counters that do not fall when one ends. */
#include <stdio.h>
#include <string.h>

#include "agent/sessions-priv.h"
#include "base/metrics.h"

void bp_running_add(struct running *r, struct totals *to) {
    struct bp_writer_stats w;

    bp_writer_stats(r->writer, &w);
    to->started++;
    to->messages += w.messages;
    to->bytes += w.bytes;
    to->file_bytes += w.file_bytes;
    to->segments += w.segments;
    to->journal_bytes += w.journal_bytes;
    to->forced += w.forced;
    to->rewrites += w.rewrites;
    for (int i = 0; i < BP_LOSS_N_; i++)
        to->lost[i] += w.lost[i];
}

static void put_lost(struct bp_buf *out, const struct totals *t, bool losses) {
    const char *name = losses ? "bagpipe_lost_messages_total" : "bagpipe_left_out_messages_total";

    bp_metrics_family(out, name, BP_METRIC_COUNTER,
                      losses
                          ? "Messages that are missing, by cause: what is lost, and why?"
                          : "Messages left out on request, by cause: do rules do what was meant?");
    for (int i = 0; i < BP_LOSS_N_; i++)
        if (bp_loss_is_loss((enum bp_loss) i) == losses)
            bp_metrics_sample(out, name,
                              &(const struct bp_label){ "cause", bp_loss_name((enum bp_loss) i) },
                              1, (double) t->lost[i]);
}

void bp_sessions_totals(struct bp_sessions *s, struct bp_buf *out) {
    struct totals t;
    const struct {
        const char *name, *help;
        const uint64_t *value;
    } rows[] = {
        { "bagpipe_sessions_started_total", "Sessions begun or taken up again: how often?",
          &t.started },
        { "bagpipe_accepted_messages_total",
          "Messages placed into a ring, once for each session: what is recorded, and since when "
          "nothing?",
          &t.messages },
        { "bagpipe_accepted_bytes_total", "Their bytes: how much comes in?", &t.bytes },
        { "bagpipe_written_bytes_total",
          "Bytes written to segments: what does the disk have to take, and does compression pay?",
          &t.file_bytes },
        { "bagpipe_journal_bytes_total",
          "Bytes written to journals beside the segments: what does the promise against power cuts "
          "cost?",
          &t.journal_bytes },
        { "bagpipe_forced_commits_total",
          "Commits that had to close chunks early since the journal had no room: is it too small for what comes in?",
          &t.forced },
    };

    (void) pthread_mutex_lock(&s->turn);
    t = s->over;
    for (struct running *r = s->running; r; r = r->next)
        bp_running_add(r, &t);
    (void) pthread_mutex_unlock(&s->turn);
    for (size_t i = 0; i < BP_COUNT(rows); i++) {
        bp_metrics_family(out, rows[i].name, BP_METRIC_COUNTER, rows[i].help);
        bp_metrics_sample(out, rows[i].name, NULL, 0, (double) *rows[i].value);
    }
    put_lost(out, &t, true);
    put_lost(out, &t, false);
}
