#include "sync/test-scripted.h"

#include "sync/schedule.h"

/* The engine against a target that does what a script says; long stories in simulated time. */

enum { PART = 64 << 10, PARALLEL = 4 };

static struct mem mem, mem2;
static struct sim sim;
static struct bp_sync *engine;

struct story {
    char text[64][400]; /* notices, targets' states, what was parked or failed */
    enum bp_sync_event_kind kind[64];
    enum bp_sync_class class[64];
    unsigned n, safe, changed;
    char json[2000];
};
static struct story story;
static bp_ns_t back_at, first_put, last_put; /* of the link, of parts; simulated */
static pthread_mutex_t story_lock = PTHREAD_MUTEX_INITIALIZER;

static void on_event(void *ctx, const struct bp_sync_event *e) {
    (void) ctx;
    (void) pthread_mutex_lock(&story_lock);
    story.safe += e->kind == BP_SYNC_EV_SAFE;
    if (e->kind == BP_SYNC_EV_SESSION_CHANGED) {
        story.changed++;
        (void) snprintf(story.json, sizeof story.json, "%s", e->text);
    }
    if (story.n < 64 && e->text && e->kind != BP_SYNC_EV_SESSION_CHANGED) {
        story.kind[story.n] = e->kind;
        story.class[story.n] = e->class;
        (void) snprintf(story.text[story.n++], 400, "%s", e->text);
    }
    (void) pthread_mutex_unlock(&story_lock);
}

static bool was_told(const char *word) {
    bool found = false;

    (void) pthread_mutex_lock(&story_lock);
    for (unsigned i = 0; i < story.n; i++)
        found = found || strstr(story.text[i], word);
    (void) pthread_mutex_unlock(&story_lock);
    return found;
}

static int set_up(void **state) {
    (void) setenv("TZ", "UTC", 1);
    mem_init(&mem);
    mem_init(&mem2);
    first_put = last_put = back_at = 0;
    memset(&story, 0, sizeof story);
    return set_up_dir(state);
}

static int tear_down(void **state) {
    bp_sync_close(BP_TAKE_PTR(engine));
    return tear_down_dir(state);
}

struct with {
    const char *rates, *windows;
    enum bp_sync_policy policy;
    bool simulated, two, second_optional;
    const char *const *tags;
};

static void open_engine(const struct with *w) {
    struct bp_sync_target_config c[] = {
        { .name = "site",
          .open = { &mem.ops, &mem },
          .policy = w->policy,
          .filter = { .tags = w->tags } },
        { .name = "cloud", .open = { &mem2.ops, &mem2 }, .optional = w->second_optional },
    };
    struct bp_sync_opts o = { .path = in_dir("queue.db"),
                              .targets = c,
                              .ntargets = w->two ? 2 : 1,
                              .device = "robot7",
                              .parallel = PARALLEL,
                              .part_bytes = PART,
                              .rates = w->rates,
                              .windows = w->windows,
                              .no_hints = true,
                              .no_priority = true,
                              .on_event = on_event,
                              .seed = 42 };
    struct bp_error err = { 0 };

    if (w->simulated) {
        sim_init(&sim, 1 + PARALLEL * (w->two ? 2 : 1));
        o.clock = &sim.clock;
        mem.sim = mem2.sim = &sim;
    }
    must(bp_sync_open(&o, &engine, NULL, &err), &err);
}

static void add(const char *name, unsigned n, size_t bytes, char id[static BP_ULID_TEXT]) {
    struct bp_error err = { 0 };
    char path[400];

    make_session(in_dir("rec"), name, n, bytes, 1000, id);
    (void) snprintf(path, sizeof path, "%s/rec/%s", test_dir, name);
    must(bp_sync_add_folder(engine, path, NULL, NULL, &err), &err);
}

static void run(int want) {
    struct bp_error err = { 0 };
    int r;

    must(bp_sync_start(engine, &err), &err);
    r = bp_sync_wait(engine, 60 * BP_SEC, NULL, &err);
    if (r != want)
        fail_msg("%s (%s)", err.text, bp_strerror(r));
}

static struct bp_sync_status status(void) {
    struct bp_sync_status st;
    struct bp_error err = { 0 };

    must(bp_sync_get_status(engine, &st, &err), &err);
    return st;
}

static unsigned stored(struct mem *m) {
    unsigned n;

    (void) pthread_mutex_lock(&m->lock);
    n = m->nstored;
    (void) pthread_mutex_unlock(&m->lock);
    return n;
}

static void all_stored(struct mem *m, unsigned n) {
    unsigned there = 0, wrong = 0;

    (void) pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < m->nfiles; i++) {
        there += m->files[i].stored;
        wrong += m->files[i].stored && !bp_streq(m->files[i].hex, m->files[i].got_hex);
    }
    (void) pthread_mutex_unlock(&m->lock);
    assert_int_equal(there, n);
    assert_int_equal(wrong, 0);
}

static void run_until_stored(unsigned n) {
    struct bp_error err = { 0 };

    must(bp_sync_start(engine, &err), &err);
    for (int i = 0; i < 1000 && stored(&mem) < n; i++)
        bp_sleep(10 * BP_MS);
}

/* ---- what a link does ---- */

static int lying_put(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    uint64_t v = test_random(&m->rng) % 100;

    if (v < 8)
        return bp_sync_fail(f, BP_SYNC_NETWORK, "connection reset");
    if (v < 13)
        return bp_sync_fail(f, BP_SYNC_SERVER, "500");
    if (v < 16) {
        f->retry_after = 5 * BP_SEC;
        return bp_sync_fail(f, BP_SYNC_THROTTLED, "slow down");
    }
    if (v < 18)
        return bp_sync_fail(f, BP_SYNC_MISMATCH, "digest");
    if (v < 20) { /* arrived, and we are told otherwise */
        x->there[n] = true;
        return bp_sync_fail(f, BP_SYNC_NETWORK, "reset after the last byte");
    }
    if (v < 21) { /* cleaned up by a lifecycle rule */
        memset(x->there, 0, x->nparts);
        return bp_sync_fail(f, BP_SYNC_LOST, "NoSuchUpload");
    }
    return 0;
}

static int lying_complete(struct mem *m, struct mem_file *x, struct bp_sync_failure *f) {
    uint64_t v = test_random(&m->rng) % 100;

    (void) x;
    return v < 10 ? bp_sync_fail(f, BP_SYNC_SERVER, "200 with an error in it") : 0;
}

/* NOLINTNEXTLINE(readability-non-const-parameter): of the table's type */
static int flaky_probe(struct mem *m, bp_ns_t *date, struct bp_sync_failure *f) {
    (void) date;
    return test_random(&m->rng) % 4 == 0 ? bp_sync_fail(f, BP_SYNC_NETWORK, "no route") : 0;
}

static void survive_a_lying_link(void **state) {
    char id[BP_ULID_TEXT];
    struct bp_error err = { 0 };

    (void) state;
    mem.on_put = lying_put;
    mem.on_complete = lying_complete;
    mem.on_probe = flaky_probe;
    open_engine(&(struct with){ .simulated = true });
    add("a", 12, 10 * PART + 5, id);
    run(0);
    all_stored(&mem, 13);
    assert_int_equal(mem.nfinished, 1);
    assert_int_equal(bp_sync_is_safe(engine, id, &err), 1);
    assert_int_equal(story.safe, 1);
}

/* ---- days offline ---- */

/* NOLINTNEXTLINE(readability-non-const-parameter): of the table's type */
static int off_until(struct mem *m, bp_ns_t *date, struct bp_sync_failure *f) {
    (void) date;
    return sim_mono(m->sim) < back_at ? bp_sync_fail(f, BP_SYNC_NETWORK, "no route to host") : 0;
}

static int note_put(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    (void) x;
    (void) n;
    (void) f;
    assert_true(sim_mono(m->sim) >= back_at);
    last_put = sim_mono(m->sim);
    if (!first_put)
        first_put = last_put;
    return 0;
}

/* 72 hours without a link while 500 segments come; then a link in a window at a limit. */
static void drain_after_days_offline(void **state) {
    char id[BP_ULID_TEXT], marked[BP_ULID_TEXT] = "";
    struct bp_error err = { 0 };
    struct bp_sync_session x = { .marked = true };
    double rate, sec;
    unsigned marked_until = 0, first_other = 0;
    bp_ns_t minutes;

    (void) state;
    mem.on_probe = off_until;
    mem.on_put = note_put;
    open_engine(&(struct with){
        .simulated = true, .rates = "00:00-24:00=1Mbit", .windows = "22:00-06:00" });
    back_at =
        sim_mono(&sim) + 72 * 3600 * BP_SEC + 12 * 3600 * BP_SEC; /* noon: outside the window */
    for (int i = 0; i < 10; i++) {
        char name[20];

        (void) snprintf(name, sizeof name, "s%d", i);
        if (i == 3) {
            make_session(in_dir("rec"), name, 50, 40000, 1000, marked);
            must(bp_sync_add_folder(engine, in_dir("rec/s3"), &x, NULL, &err), &err);
        } else {
            add(name, 50, 40000, id);
        }
    }
    run(0);
    all_stored(&mem, 510);
    assert_int_equal(mem.nfinished, 10);
    assert_true(mem.probes < 72 * 3600 / 60);     /* they grew to two minutes and stay there */
    assert_true(mem.probes > 72 * 3600 / 60 / 4); /* … but never end */
    assert_int_equal(mem.puts, 510);

    minutes = (last_put + sim.wall_less_mono) / (60 * BP_SEC) % (24 * 60);
    assert_true(first_put >= back_at + 10 * 3600 * BP_SEC); /* at ten in the evening */
    assert_true(minutes >= 22 * 60 || minutes < 6 * 60);
    sec = (double) (last_put - first_put) * 1e-9;
    rate = (double) mem.received / sec;
    print_message("# drained %llu bytes in %.1f simulated s: %.0f bytes/s of 125000, %u probes\n",
                  (unsigned long long) mem.received, sec, rate, mem.probes);
    assert_true(rate > 125000 * 0.95 && rate < 125000 * 1.05);
    for (unsigned i = 0; i < mem.nfiles; i++) { /* marked ones before others, but for manifests */
        const struct mem_file *f = &mem.files[i];

        if (bp_streq(f->session, marked))
            marked_until = BP_MAX(marked_until, f->order);
        else if (!first_other || f->order < first_other)
            first_other = f->order;
    }
    assert_true(marked_until <= 51 + PARALLEL);
    assert_true(first_other > 51 - PARALLEL);
}

/* ---- limits ---- */

static void keep_the_limit_by_schedule(void **state) {
    static const struct {
        const char *rates;
        double want;
    } cases[] = { { "800kbit", 100000 },
                  { "00:00-12:00=400kbit, else=off", 50000 },
                  { "Sat 00:00-06:00=1.6Mbit, else=off", 200000 } };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(cases); i++) {
        char id[BP_ULID_TEXT];
        bp_ns_t from;
        double rate;

        assert_int_equal(set_up(NULL), 0);
        back_at = first_put = last_put = 0;
        mem.on_put = note_put;
        open_engine(&(struct with){ .simulated = true, .rates = cases[i].rates });
        from = sim.mono;
        add("a", 1, 100 * PART, id);
        run(0);
        rate = (double) mem.received / ((double) (last_put - from) * 1e-9);
        print_message("# %s: %.0f bytes/s of %.0f\n", cases[i].rates, rate, cases[i].want);
        assert_true(rate > cases[i].want * 0.95 && rate < cases[i].want * 1.05);
        bp_sync_close(BP_TAKE_PTR(engine));
        if (i + 1 < BP_COUNT(cases))
            (void) tear_down_dir(NULL);
    }
}

/* ---- classes ---- */

static int always(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    (void) x;
    (void) n;
    return m->script == BP_SYNC_OK
               ? 0
               : bp_sync_fail(f, (enum bp_sync_class) m->script, "as it was told");
}

static void park_after_seven_tries(void **state) {
    char id[BP_ULID_TEXT];
    struct bp_sync_status st;
    bp_ns_t from;

    (void) state;
    mem.on_put = always;
    mem.script = BP_SYNC_SERVER;
    open_engine(&(struct with){ .simulated = true });
    add("a", 1, 10, id);
    from = sim.mono;
    run(BP_EMISMATCH);
    assert_true(mem.puts >= 14); /* seven each; the hour may be over before we look */
    assert_true(was_told("as it was told"));
    st = status();
    assert_int_equal(st.targets[0].done.files, 0);
    bp_sync_status_done(&st);
    /* it is tried again within an hour, and then it goes */
    (void) pthread_mutex_lock(&mem.lock);
    mem.script = BP_SYNC_OK;
    (void) pthread_mutex_unlock(&mem.lock);
    for (int i = 0; i < 500 && stored(&mem) < 2; i++)
        bp_sleep(10 * BP_MS);
    all_stored(&mem, 2);
    assert_true(sim_mono(&sim) - from >= 2 * BP_SEC);
}

static void fail_for_good(void **state) {
    char id[BP_ULID_TEXT];
    struct bp_error err = { 0 };
    struct bp_sync_status st;

    (void) state;
    mem.on_put = always;
    mem.script = BP_SYNC_PERMANENT;
    open_engine(&(struct with){ 0 });
    add("a", 1, 10, id);
    run(BP_EMISMATCH);
    assert_int_equal(mem.puts, 2);
    st = status();
    assert_int_equal(st.targets[0].failed.files, 2);
    bp_sync_status_done(&st);
    mem.script = BP_SYNC_OK;
    assert_int_equal(bp_sync_retry(engine, "site", NULL, &err), 2);
    must(bp_sync_wait(engine, 60 * BP_SEC, NULL, &err), &err);
    all_stored(&mem, 2);
    assert_int_equal(bp_sync_retry(engine, "nobody", NULL, &err), -ENOENT);
}

static int once_throttled(struct mem *m, struct mem_file *x, uint32_t n,
                          struct bp_sync_failure *f) {
    (void) x;
    (void) n;
    last_put = sim_mono(m->sim);
    if (m->script++ > 0)
        return 0;
    f->retry_after = 600 * BP_SEC;
    return bp_sync_fail(f, BP_SYNC_THROTTLED, "slow down");
}

static void honour_retry_after(void **state) {
    char id[BP_ULID_TEXT];
    bp_ns_t from;

    (void) state;
    mem.on_put = once_throttled;
    open_engine(&(struct with){ .simulated = true });
    add("a", 6, 10, id);
    from = sim.mono;
    run_until_stored(7);
    all_stored(&mem, 7);
    assert_true(last_put - from >= 600 * BP_SEC && last_put - from < 700 * BP_SEC);
    assert_true(was_told("waiting: slow down"));
}

/* NOLINTNEXTLINE(readability-non-const-parameter): of the table's type */
static int refuse_probe(struct mem *m, bp_ns_t *date, struct bp_sync_failure *f) {
    (void) date;
    return m->probes < 2 ? bp_sync_fail(f, (enum bp_sync_class) m->script, "who are you") : 0;
}

/* A server that begins anew refuses a probe or two: that costs seconds. A quota does not. */
static void wait_for_credentials(void **state) {
    static const enum bp_sync_class classes[] = { BP_SYNC_AUTH, BP_SYNC_QUOTA };
    static const bp_ns_t least[] = { 2 * BP_SEC, 3600 * BP_SEC };
    static const bp_ns_t most[] = { 60 * BP_SEC, 3 * 3600 * BP_SEC };

    (void) state;
    for (size_t i = 0; i < BP_COUNT(classes); i++) {
        char id[BP_ULID_TEXT];
        bp_ns_t from;

        if (i)
            assert_int_equal(set_up(NULL), 0);
        mem.on_probe = refuse_probe;
        mem.on_put = note_put;
        mem.script = (int) classes[i];
        open_engine(&(struct with){ .simulated = true });
        add("a", 1, 10, id);
        from = sim.mono;
        run_until_stored(2);
        assert_in_range(last_put - from, least[i], most[i]);
        assert_true(was_told("waiting: who are you"));
        all_stored(&mem, 2);
        bp_sync_close(BP_TAKE_PTR(engine));
        if (!i)
            (void) tear_down_dir(NULL);
    }
}

static int skewed_put(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    bp_ns_t theirs = sim_wall(m->sim) + 365 * 86400 * BP_SEC;
    bp_ns_t ours = sim_wall(m->sim) + m->offset, skew = theirs - ours;

    (void) x;
    (void) n;
    if (skew < 300 * BP_SEC && skew > -300 * BP_SEC)
        return 0;
    f->date_ns = theirs;
    return bp_sync_fail(f, BP_SYNC_CLOCK, "RequestTimeTooSkewed");
}

static void correct_the_clock(void **state) {
    char id[BP_ULID_TEXT];
    struct bp_sync_status st;

    (void) state;
    mem.on_put = skewed_put;
    open_engine(&(struct with){ .simulated = true });
    add("a", 3, 10, id);
    run(0);
    all_stored(&mem, 4);
    assert_true(was_told("our clock is 31536000 s behind that of 'site'"));
    st = status();
    assert_true(st.targets[0].clock_offset == 365 * 86400 * BP_SEC);
    bp_sync_status_done(&st);
}

/* A wall clock that jumps stops nothing. */
static int jump_put(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    bp_ns_t year = 365 * 86400 * BP_SEC;

    (void) x;
    (void) n;
    m->script++;
    last_put = sim_mono(m->sim);
    (void) __atomic_add_fetch(&m->sim->wall_less_mono, m->script % 2 ? -year : 2 * year,
                              __ATOMIC_SEQ_CST);
    return m->script % 3 ? 0 : bp_sync_fail(f, BP_SYNC_SERVER, "500");
}

static void stand_a_jumping_clock(void **state) {
    char id[BP_ULID_TEXT];
    bp_ns_t from;

    (void) state;
    mem.on_put = jump_put;
    open_engine(&(struct with){ .simulated = true });
    from = sim.mono;
    add("a", 10, PART, id);
    run(0);
    all_stored(&mem, 11);
    assert_true(last_put - from < 2 * 3600 * BP_SEC);
}

/* ---- content ---- */

static void send_one_content_once(void **state) {
    char id[BP_ULID_TEXT];
    struct bp_error err = { 0 };
    struct bp_sync_session x = { .id = id, .dir = in_dir("rec/twins") };
    char dir[300], path[400];

    (void) state;
    (void) snprintf(dir, sizeof dir, "%s", in_dir("rec/twins"));
    x.dir = dir;
    open_engine(&(struct with){ 0 });
    (void) mkdir(in_dir("rec"), 0755);
    (void) mkdir(dir, 0755);
    bp_ulid_new(id);
    must(bp_sync_add_session(engine, &x, &err), &err);
    for (int i = 0; i < 8; i++) {
        char name[20], hex[65];
        uint64_t bytes;

        (void) snprintf(name, sizeof name, "t%d.mcap", i);
        (void) snprintf(path, sizeof path, "%s/%s", dir, name);
        write_random(path, 7, 3 * PART);
        must(bp_manifest_hash_file(&bp_io_posix, path, &bytes, hex, NULL, NULL, &err), &err);
        must(bp_sync_add_file(engine, id, name, BP_SYNC_SEGMENT, hex, &err), &err);
    }
    must(bp_sync_close_session(engine, id, &err), &err);
    run(0);
    assert_int_equal(mem.received, 3 * PART);
    assert_int_equal(mem.nstored, 1);
    assert_int_equal(mem.nfinished, 1);
}

static void refuse_names_that_lead_out(void **state) {
    static const char *const names[] = { "../x", "/etc/passwd", "a/../../x", "",  ".",
                                         "a//b", "a\\b",        "a\nb",      "a/" };
    char id[BP_ULID_TEXT];
    struct bp_error err = { 0 };

    (void) state;
    open_engine(&(struct with){ 0 });
    add("a", 1, 10, id);
    for (size_t i = 0; i < BP_COUNT(names); i++)
        assert_int_equal(bp_sync_add_file(engine, id, names[i], BP_SYNC_OTHER, NULL, &err),
                         -EINVAL);
    assert_int_equal(
        bp_sync_add_file(engine, "01M8HYWJ1QBMYJA52151VZKTA2", "x", BP_SYNC_OTHER, NULL, &err),
        -ENOENT);
}

/* ---- several targets ---- */

static void send_to_two_and_filter(void **state) {
    static const char *const tags[] = { "keep*", NULL };
    const char *mine[] = { "keeper", NULL };
    struct bp_sync_session x = { .tags = mine };
    char a[BP_ULID_TEXT], b[BP_ULID_TEXT];
    struct bp_error err = { 0 };

    (void) state;
    mem.on_probe = off_until;
    open_engine(&(struct with){ .simulated = true, .two = true, .tags = tags });
    back_at = sim_mono(&sim) + 3600 * BP_SEC;
    make_session(in_dir("rec"), "a", 2, 100, 1000, a);
    must(bp_sync_add_folder(engine, in_dir("rec/a"), &x, NULL, &err), &err);
    add("b", 2, 100, b);
    run(0);
    all_stored(&mem, 3); /* the tagged one alone */
    all_stored(&mem2, 6);
    assert_int_equal(bp_sync_is_safe(engine, a, &err), 1);
    assert_int_equal(bp_sync_is_safe(engine, b, &err), 1);
    assert_int_equal(story.safe, 2);
}

static void need_every_required_target(void **state) {
    char a[BP_ULID_TEXT];
    struct bp_error err = { 0 };

    (void) state;
    mem2.on_put = always;
    mem2.script = BP_SYNC_PERMANENT;
    open_engine(&(struct with){ .two = true });
    add("a", 2, 100, a);
    run(BP_EMISMATCH);
    all_stored(&mem, 3);
    assert_int_equal(bp_sync_is_safe(engine, a, &err), 0);
    assert_int_equal(story.safe, 0);
}

/* ---- by hand ---- */

static void pause_and_send_by_hand(void **state) {
    char a[BP_ULID_TEXT], b[BP_ULID_TEXT];
    struct bp_error err = { 0 };
    struct bp_sync_status st;

    (void) state;
    open_engine(&(struct with){ .windows = "00:00-00:00" }); /* all day, as it is written */
    must(bp_sync_set_limits(engine, NULL, NULL, "Sun-Sat 00:00-00:01", &err), &err);
    must(bp_sync_pause(engine, NULL, &err), &err);
    add("a", 2, 100, a);
    add("b", 2, 100, b);
    must(bp_sync_start(engine, &err), &err);
    bp_sleep(200 * BP_MS);
    assert_int_equal(mem.puts, 0);
    st = status();
    assert_int_equal(st.targets[0].state, BP_SYNC_PAUSED);
    bp_sync_status_done(&st);
    must(bp_sync_resume(engine, NULL, &err), &err);
    if (bp_wall_ns() / (60 * BP_SEC) % (24 * 60) >= 2 &&
        bp_wall_ns() / (60 * BP_SEC) % (24 * 60) < 24 * 60 - 2) {
        bp_sleep(200 * BP_MS);
        assert_int_equal(mem.puts, 0); /* the window is closed */
        must(bp_sync_now(engine, NULL, b, &err), &err);
        for (int i = 0; i < 500 && stored(&mem) < 3; i++)
            bp_sleep(10 * BP_MS);
        all_stored(&mem, 3);
        for (unsigned i = 0; i < mem.nfiles; i++)
            assert_string_equal(mem.files[i].session, b);
    }
    must(bp_sync_set_limits(engine, NULL, NULL, NULL, &err), &err);
    must(bp_sync_wait(engine, 60 * BP_SEC, NULL, &err), &err);
    all_stored(&mem, 6);
    assert_int_equal(bp_sync_set_limits(engine, "fast", NULL, NULL, &err), BP_EUSAGE);
}

static unsigned most_open; /* files begun and not stored */

static int count_open(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    unsigned open = 0;

    (void) x;
    (void) n;
    (void) f;
    for (unsigned i = 0; i < m->nfiles; i++)
        open += !m->files[i].stored;
    most_open = BP_MAX(most_open, open);
    return 0;
}

static void begin_no_more_than_are_sent(void **state) {
    char a[BP_ULID_TEXT];
    struct bp_error err = { 0 };

    (void) state;
    most_open = 0;
    mem.on_put = count_open;
    open_engine(&(struct with){ 0 });
    add("a", 60, 3 * PART, a);
    must(bp_sync_now(engine, NULL, NULL, &err), &err);
    run(0);
    all_stored(&mem, 61);
    assert_true(most_open <= 2 * PARALLEL);
}

/* One refused part costs one part, not the file. */
static int refuse_once(struct mem *m, struct mem_file *x, uint32_t n, struct bp_sync_failure *f) {
    if (!bp_streq(x->name, "a_0.mcap") || n != 50 || m->script++)
        return 0;
    return bp_sync_fail(f, BP_SYNC_MISMATCH, "digest");
}

static void send_one_refused_part_again(void **state) {
    char a[BP_ULID_TEXT];
    struct bp_sync_status st;

    (void) state;
    mem.on_put = refuse_once;
    open_engine(&(struct with){ .simulated = true });
    add("a", 1, 100 * PART, a);
    run(0);
    all_stored(&mem, 2);
    st = status();
    assert_int_equal(st.targets[0].resent, PART);
    bp_sync_status_done(&st);
    assert_int_equal(mem.puts, 102);
}

static void forget_what_is_deleted(void **state) {
    char a[BP_ULID_TEXT], b[BP_ULID_TEXT];
    struct bp_error err = { 0 };

    (void) state;
    open_engine(&(struct with){ .rates = "100kbit" });
    add("a", 4, 10 * PART, a);
    must(bp_sync_start(engine, &err), &err);
    bp_sleep(300 * BP_MS);
    must(bp_sync_forget(engine, a, &err), &err);
    assert_int_equal(bp_sync_forget(engine, a, &err), -ENOENT);
    must(bp_sync_set_limits(engine, NULL, NULL, NULL, &err), &err);
    add("b", 2, 10, b);
    must(bp_sync_wait(engine, 60 * BP_SEC, NULL, &err), &err);
    for (unsigned i = 0; i < mem.nfiles; i++)
        assert_true(bp_streq(mem.files[i].session, b) || !mem.files[i].stored ||
                    bp_streq(mem.files[i].name, "manifest.json"));
}

/* ---- order ---- */

static void manifest_goes_last_where_it_tells(void **state) {
    char a[BP_ULID_TEXT];

    (void) state;
    mem.ops.flags = BP_SYNC_MANIFEST_LAST;
    mem.on_put = lying_put;
    open_engine(&(struct with){ .simulated = true });
    add("a", 9, 2 * PART, a);
    run(0);
    for (unsigned i = 0; i < mem.nfiles; i++)
        if (bp_streq(mem.files[i].name, "manifest.json"))
            assert_int_equal(mem.files[i].order, 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
        T(survive_a_lying_link),
        T(drain_after_days_offline),
        T(keep_the_limit_by_schedule),
        T(park_after_seven_tries),
        T(fail_for_good),
        T(honour_retry_after),
        T(wait_for_credentials),
        T(correct_the_clock),
        T(stand_a_jumping_clock),
        T(send_one_content_once),
        T(refuse_names_that_lead_out),
        T(send_to_two_and_filter),
        T(need_every_required_target),
        T(pause_and_send_by_hand),
        T(begin_no_more_than_are_sent),
        T(send_one_refused_part_again),
        T(forget_what_is_deleted),
        T(manifest_goes_last_where_it_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
