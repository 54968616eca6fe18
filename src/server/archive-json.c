/* Rows of the archive as JSON. */
#include "server/archive-json.h"

#include "base/json-value.h"
#include "crypt/digest.h"

static json_t *parsed(const char *text, json_t *(*otherwise)(void) ) {
    json_t *v = text && *text ? json_loads(text, 0, NULL) : NULL;

    return v ? v : otherwise();
}

static const char *status_of(const struct bp_archive_session *s) {
    switch (s->state) {
    case BP_ARCHIVE_COMPLETE:
        return "finished";
    case BP_ARCHIVE_DAMAGED:
        return "failed";
    default:
        return bp_archive_state_name(s->state);
    }
}

json_t *bp_archive_session_json(const struct bp_archive_session *s) {
    json_t *o = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:i, s:i, "
        "s:i, s:i, s:s, s:b, s:b, s:o, s:o, s:o, s:s?}",
        "id", s->id, "name", s->name, "status", status_of(s), "state",
        bp_archive_state_name(s->state), "device", s->device, "mission", s->mission, "operator",
        s->operator_, "notes", s->notes, "tags", parsed(s->tags, json_array), "robots",
        parsed(s->robots, json_array), "started_ns", bp_json_time(s->started_ns), "ended_ns",
        bp_json_time(s->ended_ns), "messages", bp_json_count(s->messages), "bytes",
        bp_json_count(s->bytes), "lost", bp_json_count(s->lost), "segments", (int) s->segments,
        "segments_here", (int) s->segments_here, "topics", (int) s->topics, "marks", (int) s->marks,
        "signed", bp_archive_signed_name(s->signature), "manifest", (int) s->manifest, "keep",
        (int) s->keep, "received_ns", bp_json_time(s->received_ns), "updated_ns",
        bp_json_time(s->updated_ns), "version", parsed(s->version, json_object), "error",
        *s->error ? s->error : NULL);

    if (o && s->state == BP_ARCHIVE_DELETED)
        (void) json_object_update_new(o, json_pack("{s:o, s:s}", "deleted_ns",
                                                   bp_json_time(s->deleted_ns), "deleted_why",
                                                   s->deleted_why));
    return o;
}

json_t *bp_archive_file_json(const struct bp_archive_file *f) {
    char hex[BP_SHA256_HEX];

    return json_pack("{s:s, s:s, s:s, s:s, s:b, s:o, s:o, s:o, s:o, s:o, s:s?}", "name", f->file,
                     "kind", bp_archive_kind_name(f->kind), "state",
                     bp_archive_file_state_name(f->state), "sha256", bp_sha256_hex(f->sha256, hex),
                     "complete", f->state != BP_ARCHIVE_FILE_EXPECTED, "bytes",
                     bp_json_count(f->bytes), "messages",
                     bp_json_count(f->messages - BP_MIN(f->messages, f->repeated)), "first_ns",
                     bp_json_time(f->first_ns), "last_ns", bp_json_time(f->last_ns), "stored_ns",
                     bp_json_time(f->stored_ns), "error", *f->text ? f->text : NULL);
}

json_t *bp_archive_topic_json(const struct bp_archive_topic *t) {
    return json_pack("{s:s, s:s, s:s, s:i, s:o, s:o, s:o}", "topic", t->topic, "type", t->type,
                     "robot", t->robot, "domain", (int) t->domain, "messages",
                     bp_json_count(t->messages), "lost", bp_json_count(t->lost), "bytes",
                     bp_json_count(t->bytes));
}

json_t *bp_archive_mark_json(const struct bp_archive_mark *m) {
    return json_pack("{s:o, s:s, s:o}", "time_ns", bp_json_time(m->wall_ns), "text", m->text,
                     "values", parsed(m->values, json_object));
}

json_t *bp_archive_decision_json(const struct bp_archive_decision *d) {
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:o, s:o}", "id", (json_int_t) d->id,
                     "session", d->session, "policy", bp_archive_policy_name(d->policy), "subject",
                     d->subject, "ours", d->ours, "theirs", d->theirs, "device", d->device,
                     "took_theirs", (int) d->took_theirs, "time_ns", bp_json_time(d->wall_ns),
                     "undone_ns", bp_json_time(d->undone_ns));
}
