/* The host as JSON for the API and as families for Prometheus. */
#include <stdio.h>
#include <string.h>

#include "base/json-value.h"
#include "base/metrics.h"
#include "monitor/host.h"

static const char *const part_names[] = {
    [BP_HOST_PART_CPU] = "cpu",         [BP_HOST_PART_MEMORY] = "memory",
    [BP_HOST_PART_LOAD] = "load",       [BP_HOST_PART_DISKS] = "disks",
    [BP_HOST_PART_NET] = "network",     [BP_HOST_PART_CLOCK] = "clock",
    [BP_HOST_PART_PROCESS] = "process",
};

/* -1 = not told */
static json_t *known_json(double v) {
    return v < 0 ? json_null() : json_real(v);
}

static json_t *cpu_json(const struct bp_host_state *s) {
    json_t *cores = json_array();

    for (size_t i = 0; i < s->ncores; i++)
        (void) json_array_append_new(cores, json_real(s->cores[i]));
    return json_pack("{s:f, s:f, s:f, s:o, s:[f, f, f]}", "busy", s->cpu, "iowait", s->iowait,
                     "steal", s->steal, "cores", cores, "load", s->load[0], s->load[1], s->load[2]);
}

static json_t *disks_json(const struct bp_host_state *s) {
    json_t *list = json_array();

    for (size_t i = 0; i < s->ndisks; i++) {
        const struct bp_host_disk *d = &s->disks[i];

        (void) json_array_append_new(list, json_pack("{s:s, s:b, s:f, s:f, s:f}", "name",
                                                     d->row.name, "recordings", (int) d->recordings,
                                                     "busy", d->busy, "read_rate", d->read_rate,
                                                     "write_rate", d->write_rate));
    }
    return list;
}

static json_t *nets_json(const struct bp_host_state *s) {
    json_t *list = json_array();

    for (size_t i = 0; i < s->nnets; i++) {
        const struct bp_host_net *d = &s->nets[i];

        (void) json_array_append_new(
            list, json_pack("{s:s, s:o, s:o, s:f, s:f, s:o, s:o, s:o, s:o}", "name", d->row.name,
                            "rx_bytes", bp_json_count(d->row.rx_bytes), "tx_bytes",
                            bp_json_count(d->row.tx_bytes), "rx_rate", d->rx_rate, "tx_rate",
                            d->tx_rate, "rx_errors", bp_json_count(d->row.rx_errors), "rx_dropped",
                            bp_json_count(d->row.rx_dropped), "tx_errors",
                            bp_json_count(d->row.tx_errors), "tx_dropped",
                            bp_json_count(d->row.tx_dropped)));
    }
    return list;
}

static json_t *temps_json(const struct bp_host_state *s) {
    json_t *list = json_array();

    for (size_t i = 0; i < s->ntemps; i++) {
        const struct bp_host_temp *t = &s->temps[i];

        (void) json_array_append_new(list,
                                     json_pack("{s:s, s:s, s:f, s:o}", "chip", t->chip, "label",
                                               t->label, "celsius", t->celsius, "critical",
                                               known_json(t->critical > 0 ? t->critical : -1)));
    }
    return list;
}

static json_t *power_json(const struct bp_host_state *s) {
    json_t *list = json_array();

    for (size_t i = 0; i < s->nbatteries; i++) {
        const struct bp_host_battery *b = &s->batteries[i];

        (void) json_array_append_new(list, json_pack("{s:s, s:o, s:b, s:o}", "name", b->name,
                                                     "percent", known_json(b->percent),
                                                     "discharging", (int) b->discharging, "watts",
                                                     known_json(b->watts)));
    }
    return json_pack("{s:b, s:o}", "external", (int) s->external_power, "batteries", list);
}

static json_t *clock_json(const struct bp_host_clock *c) {
    if (!c->known)
        return json_null();
    return json_pack("{s:b, s:f, s:f, s:o, s:f, s:o}", "synchronised", (int) c->synchronised,
                     "offset_s", c->offset_s, "max_error_s", c->error_s, "steps",
                     bp_json_count(c->steps), "last_step_s", c->last_step_s, "last_step_ns",
                     bp_json_time(c->last_step_ns));
}

json_t *bp_host_json(const struct bp_host_state *s) {
    json_t *gone = json_array();

    for (int i = 0; i < BP_HOST_PARTS_N_; i++)
        if (s->missing & 1u << i)
            (void) json_array_append_new(gone, json_string(part_names[i]));
    return json_pack(
        "{s:o, s:o, s:{s:o, s:o, s:o, s:o}, s:o, s:{s:o, s:o}, s:o, s:o, s:o, s:o, s:{s:f, s:o, "
        "s:o}, s:f, s:o}",
        "taken_ns", bp_json_time(s->taken_ns), "cpu", cpu_json(s), "memory", "total",
        bp_json_count(s->memory.total), "available", bp_json_count(s->memory.available),
        "swap_total", bp_json_count(s->memory.swap_total), "swap_free",
        bp_json_count(s->memory.swap_free), "disks", disks_json(s), "storage", "size",
        bp_json_count(s->disk_size), "free", bp_json_count(s->disk_free), "network", nets_json(s),
        "temperatures", temps_json(s), "power", power_json(s), "clock", clock_json(&s->clock),
        "process", "cpu_cores", s->process.cpu, "rss", bp_json_count(s->process.rss), "threads",
        bp_json_count(s->process.threads), "look_s", s->look_s, "missing", gone);
}

/* ---- metrics ---- */

static void put_one(struct bp_buf *out, enum bp_metric_type type, const char *name,
                    const char *help, double value) {
    bp_metrics_family(out, name, type, help);
    bp_metrics_sample(out, name, NULL, 0, value);
}

static void put_cpu(const struct bp_host_state *s, struct bp_buf *out) {
    static const char core_name[] = "bagpipe_host_cpu_core_busy_ratio";

    if (s->missing & 1u << BP_HOST_PART_CPU)
        return;
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_cpu_busy_ratio",
            "Share of all cores in use, 0 to 1.", s->cpu);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_cpu_iowait_ratio",
            "Share of the time in which cores waited for disks.", s->iowait);
    bp_metrics_family(out, core_name, BP_METRIC_GAUGE,
                      "The same by core: is one thread at its end?");
    for (size_t i = 0; i < s->ncores; i++) {
        char no[16];

        (void) snprintf(no, sizeof no, "%zu", i);
        bp_metrics_sample(out, core_name, &(const struct bp_label){ "core", no }, 1, s->cores[i]);
    }
    if (!(s->missing & 1u << BP_HOST_PART_LOAD))
        put_one(out, BP_METRIC_GAUGE, "bagpipe_host_load1", "Load average of the last minute.",
                s->load[0]);
}

/* One family of a value of each row. */
#define PUT_ROWS(out, type, metric, help, rows, n, key, name_of, value)                            \
    do {                                                                                           \
        bp_metrics_family(out, metric, type, help);                                                \
        for (size_t i_ = 0; i_ < (n); i_++)                                                        \
            bp_metrics_sample(out, metric, &(const struct bp_label){ key, (rows)[i_].name_of }, 1, \
                              (double) (rows)[i_].value);                                          \
    } while (0)

static void put_disks(const struct bp_host_state *s, struct bp_buf *out) {
    const struct bp_host_disk *d = s->disks;

    PUT_ROWS(out, BP_METRIC_GAUGE, "bagpipe_host_disk_busy_ratio",
             "Share of the time with requests under way: is the disk at its end?", d, s->ndisks,
             "disk", row.name, busy);
    PUT_ROWS(out, BP_METRIC_COUNTER, "bagpipe_host_disk_written_sectors_total",
             "Sectors of 512 bytes written, by whoever.", d, s->ndisks, "disk", row.name,
             row.written_sectors);
    PUT_ROWS(out, BP_METRIC_COUNTER, "bagpipe_host_disk_read_sectors_total",
             "Sectors of 512 bytes read, by whoever.", d, s->ndisks, "disk", row.name,
             row.read_sectors);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_disk_free_bytes",
            "Free space of the file system with the recordings.", (double) s->disk_free);
}

static void put_nets(const struct bp_host_state *s, struct bp_buf *out) {
    const struct bp_host_net *d = s->nets;

    PUT_ROWS(out, BP_METRIC_COUNTER, "bagpipe_host_network_received_bytes_total",
             "Bytes received by interface.", d, s->nnets, "interface", row.name, row.rx_bytes);
    PUT_ROWS(out, BP_METRIC_COUNTER, "bagpipe_host_network_sent_bytes_total",
             "Bytes sent by interface.", d, s->nnets, "interface", row.name, row.tx_bytes);
    PUT_ROWS(out, BP_METRIC_COUNTER, "bagpipe_host_network_receive_errors_total",
             "Packets that arrived damaged.", d, s->nnets, "interface", row.name, row.rx_errors);
    PUT_ROWS(out, BP_METRIC_COUNTER, "bagpipe_host_network_receive_dropped_total",
             "Packets dropped for want of memory or interest.", d, s->nnets, "interface", row.name,
             row.rx_dropped);
}

static void put_sensors(const struct bp_host_state *s, struct bp_buf *out) {
    static const char name[] = "bagpipe_host_temperature_celsius";

    bp_metrics_family(out, name, BP_METRIC_GAUGE, "Temperature by sensor.");
    for (size_t i = 0; i < s->ntemps; i++) {
        const struct bp_label labels[] = { { "chip", s->temps[i].chip },
                                           { "sensor", s->temps[i].label } };
        bool twice = false;

        for (size_t k = 0; k < i; k++) /* two of one name would be one series with two values */
            twice |= bp_streq(s->temps[k].chip, s->temps[i].chip) &&
                     bp_streq(s->temps[k].label, s->temps[i].label);
        if (!twice)
            bp_metrics_sample(out, name, labels, BP_COUNT(labels), s->temps[i].celsius);
    }
    bp_metrics_family(out, "bagpipe_host_battery_ratio", BP_METRIC_GAUGE,
                      "Charge of each battery, 0 to 1.");
    for (size_t i = 0; i < s->nbatteries; i++)
        if (s->batteries[i].percent >= 0)
            bp_metrics_sample(out, "bagpipe_host_battery_ratio",
                              &(const struct bp_label){ "battery", s->batteries[i].name }, 1,
                              s->batteries[i].percent / 100);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_external_power",
            "1 while a mains or USB supply is online.", s->external_power);
}

static void put_clock(const struct bp_host_clock *c, struct bp_buf *out) {
    if (!c->known)
        return;
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_clock_synchronised",
            "1 while the kernel believes that somebody steers its clock.", c->synchronised);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_clock_offset_seconds",
            "What the clock still has to be corrected by.", c->offset_s);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_clock_max_error_seconds",
            "How far off it may be at most.", c->error_s);
    put_one(out, BP_METRIC_COUNTER, "bagpipe_host_clock_steps_total",
            "Steps of the clock by more than 0.1 s since the start.", (double) c->steps);
}

void bp_host_metrics(const struct bp_host_state *s, struct bp_buf *out) {
    if (!s->taken_ns)
        return;
    put_cpu(s, out);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_memory_available_bytes",
            "Memory that programs could still get.", (double) s->memory.available);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_host_memory_total_bytes", "Memory of the machine.",
            (double) s->memory.total);
    put_disks(s, out);
    put_nets(s, out);
    put_sensors(s, out);
    put_clock(&s->clock, out);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_process_cpu_cores",
            "Cores that this program uses; 1 is one core.", s->process.cpu);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_process_resident_bytes", "Its memory.",
            (double) s->process.rss);
    put_one(out, BP_METRIC_GAUGE, "bagpipe_process_threads", "Its threads.",
            (double) s->process.threads);
}
