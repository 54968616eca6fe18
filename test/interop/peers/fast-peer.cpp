// A publisher or subscriber on Fast DDS, set up as rmw_fastrtps does (opaque CDR, no type
// information): the far side of tests.
#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/DataReaderListener.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/topic/TopicDataType.hpp>
#include <fastdds/dds/topic/TypeSupport.hpp>
#include <fastdds/rtps/transport/UDPv4TransportDescriptor.h>
#include <fastdds/rtps/transport/shared_mem/SharedMemTransportDescriptor.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "peer.h"

using namespace eprosima::fastdds::dds;
using namespace eprosima::fastrtps::rtps;

namespace {

std::atomic<bool> stop{ false };

void on_signal(int) {
    stop = true;
}

struct Blob {
    std::vector<uint8_t> cdr; // with encapsulation header
};

class RawType : public TopicDataType {
  public:
    RawType(const struct peer &o) : keyed_(o.keyed), plain_(!strcmp(o.profile, "datasharing")) {
        setName(o.type);
        m_typeSize = o.size + 64;
        m_isGetKeyDefined = keyed_;
        auto_fill_type_object(false);
        auto_fill_type_information(false);
    }
    bool serialize(void *data, SerializedPayload_t *p) override {
        auto *b = static_cast<Blob *>(data);
        if (p->max_size < b->cdr.size())
            return false;
        memcpy(p->data, b->cdr.data(), b->cdr.size());
        p->length = static_cast<uint32_t>(b->cdr.size());
        p->encapsulation = CDR_LE;
        return true;
    }
    bool deserialize(SerializedPayload_t *p, void *data) override {
        static_cast<Blob *>(data)->cdr.assign(p->data, p->data + p->length);
        return true;
    }
    std::function<uint32_t()> getSerializedSizeProvider(void *data) override {
        return [data]() { return static_cast<uint32_t>(static_cast<Blob *>(data)->cdr.size()); };
    }
    void *createData() override {
        return new Blob;
    }
    void deleteData(void *d) override {
        delete static_cast<Blob *>(d);
    }
    bool getKey(void *data, InstanceHandle_t *h, bool) override {
        if (!keyed_)
            return false;
        const auto *b = static_cast<Blob *>(data);
        for (int i = 0; i < 16; i++) // the key as big-endian CDR: a long in front
            h->value[i] = i < 4 ? b->cdr[4 + 3 - i] : 0;
        return true;
    }
    bool is_bounded() const override {
        return plain_;
    }
    bool is_plain() const override {
        return plain_;
    }

  private:
    bool keyed_, plain_;
};

void guid_bytes(const GUID_t &g, uint8_t out[16]) {
    memcpy(out, g.guidPrefix.value, 12);
    memcpy(out + 12, g.entityId.value, 4);
}

class Listener : public DataReaderListener {
  public:
    Listener(const struct peer &o) : o_(o) {
    }
    void on_data_available(DataReader *r) override {
        Blob b;
        SampleInfo info;
        const size_t head = o_.keyed ? 12 : 8;

        while (r->take_next_sample(&b, &info) == ReturnCode_t::RETCODE_OK) {
            uint8_t guid[16];
            uint64_t seq;

            if (!info.valid_data || b.cdr.size() < head)
                continue;
            guid_bytes(info.sample_identity.writer_guid(), guid);
            uint32_t n;
            memcpy(&n, b.cdr.data() + head - 4, 4);
            seq = n <= b.cdr.size() - head ? peer_check(b.cdr.data() + head, n) : 0;
            received++;
            if (o_.keyed)
                instances.insert(info.instance_handle);
            bad += seq == 0;
            peer_log(&o_, guid, seq, n, seq != 0);
        }
    }
    std::atomic<uint64_t> received{ 0 }, bad{ 0 };
    std::set<InstanceHandle_t> instances; // read once the listener is off

  private:
    const struct peer &o_;
};

void transport(const struct peer &o, DomainParticipantQos &q) {
    if (!strcmp(o.profile, "udp") || !strcmp(o.profile, "lo")) {
        auto u = std::make_shared<eprosima::fastdds::rtps::UDPv4TransportDescriptor>();
        if (!strcmp(o.profile, "lo"))
            u->interfaceWhiteList.push_back("127.0.0.1");
        q.transport().use_builtin_transports = false;
        q.transport().user_transports.push_back(u);
    } else if (!strcmp(o.profile, "shm")) {
        q.transport().use_builtin_transports = false;
        q.transport().user_transports.push_back(
            std::make_shared<eprosima::fastdds::rtps::SharedMemTransportDescriptor>());
    }
}

template <class Q> void common_qos(const struct peer &o, Q &q) {
    q.reliability().kind = o.best_effort ? BEST_EFFORT_RELIABILITY_QOS : RELIABLE_RELIABILITY_QOS;
    q.durability().kind =
        o.transient_local ? TRANSIENT_LOCAL_DURABILITY_QOS : VOLATILE_DURABILITY_QOS;
    q.history().kind = o.keep_all ? KEEP_ALL_HISTORY_QOS : KEEP_LAST_HISTORY_QOS;
    q.history().depth = static_cast<int32_t>(o.depth);
    q.endpoint().history_memory_policy = PREALLOCATED_WITH_REALLOC_MEMORY_MODE;
}

bool before(std::chrono::steady_clock::time_point end) {
    return !stop && std::chrono::steady_clock::now() < end;
}

auto run_end(const struct peer &o) {
    return std::chrono::steady_clock::now() + std::chrono::milliseconds(int64_t(o.run_s * 1000));
}

int publish(const struct peer &o, DomainParticipant *dp, Topic *topic) {
    DataWriterQos q = DATAWRITER_QOS_DEFAULT;

    common_qos(o, q);
    q.reliability().max_blocking_time = { 10, 0 };
    q.publish_mode().kind = o.async_publish ? ASYNCHRONOUS_PUBLISH_MODE : SYNCHRONOUS_PUBLISH_MODE;
    if (!strcmp(o.profile, "datasharing")) {
        q.endpoint().history_memory_policy = PREALLOCATED_MEMORY_MODE;
        q.data_sharing().on("/dev/shm");
    } else {
        q.data_sharing().off();
    }
    auto *w = dp->create_publisher(PUBLISHER_QOS_DEFAULT)->create_datawriter(topic, q);
    if (!w) {
        fprintf(stderr, "no writer\n");
        return 1;
    }
    uint8_t guid[16];
    guid_bytes(w->guid(), guid);
    auto end = run_end(o);
    PublicationMatchedStatus m;
    while (o.wait_for && before(end)) {
        w->get_publication_matched_status(m);
        if (m.current_count >= static_cast<int32_t>(o.wait_for))
            break;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    if (o.wait_for)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));

    const size_t head = o.keyed ? 12 : 8;
    Blob b;
    uint64_t sent = 0;
    int64_t next = peer_ns(CLOCK_MONOTONIC);
    b.cdr.resize(head + o.size);
    memcpy(b.cdr.data(), "\0\1\0\0", 4);
    memcpy(b.cdr.data() + head - 4, &o.size, 4);
    end = run_end(o);
    while (before(end) && (!o.count || sent < o.count)) {
        int32_t id = static_cast<int32_t>(sent % o.keys);

        if (o.keyed)
            memcpy(b.cdr.data() + 4, &id, 4);
        peer_fill(b.cdr.data() + head, o.size, sent + 1);
        if (!w->write(&b)) {
            fprintf(stderr, "write failed\n");
            continue;
        }
        sent++;
        peer_log(&o, guid, sent, o.size, true);
        if (o.rate > 0) {
            next += static_cast<int64_t>(1e9 / o.rate);
            peer_sleep_until(next);
        }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(int64_t(o.linger_s * 1000)));
    printf("sent %llu\n", static_cast<unsigned long long>(sent));
    return 0;
}

int subscribe(const struct peer &o, DomainParticipant *dp, Topic *topic) {
    DataReaderQos q = DATAREADER_QOS_DEFAULT;
    Listener l(o);

    common_qos(o, q);
    q.history().depth = 1000;
    if (strcmp(o.profile, "datasharing") != 0)
        q.data_sharing().off();
    auto *r = dp->create_subscriber(SUBSCRIBER_QOS_DEFAULT)->create_datareader(topic, q, &l);
    if (!r) {
        fprintf(stderr, "no reader\n");
        return 1;
    }
    auto end = run_end(o);
    while (before(end) && (!o.count || l.received < o.count))
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    r->set_listener(nullptr);
    printf("received %llu bad %llu instances %zu\n",
           static_cast<unsigned long long>(l.received.load()),
           static_cast<unsigned long long>(l.bad.load()), o.keyed ? l.instances.size() : 1);
    return l.bad ? 1 : 0;
}

} // namespace

int main(int argc, char **argv) {
    struct peer o;
    int rc = peer_options(&o, argc, argv);

    if (rc)
        return rc > 0 ? 0 : 2;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    DomainParticipantQos pq;
    const char *ud = "enclave=/;";
    pq.name("/");
    pq.user_data().assign(ud, ud + 10);
    transport(o, pq);
    auto *dp = DomainParticipantFactory::get_instance()->create_participant(o.domain, pq);
    if (!dp) {
        fprintf(stderr, "no participant\n");
        return 1;
    }
    TypeSupport ts(new RawType(o));
    ts.register_type(dp);
    auto *topic = dp->create_topic(o.topic, o.type, TOPIC_QOS_DEFAULT);
    if (!topic) {
        fprintf(stderr, "no topic\n");
        return 1;
    }
    rc = o.sub ? subscribe(o, dp, topic) : publish(o, dp, topic);
    dp->delete_contained_entities();
    DomainParticipantFactory::get_instance()->delete_participant(dp);
    if (o.log)
        fclose(o.log);
    return rc;
}
