// example_interfaces/srv/AddTwoInts on Fast DDS, as rmw_fastrtps serves it: plain payloads, the
// request named in the reply's related_sample_identity. usage: fast-server DOMAIN SECONDS
#include <fastdds/dds/domain/DomainParticipant.hpp>
#include <fastdds/dds/domain/DomainParticipantFactory.hpp>
#include <fastdds/dds/publisher/DataWriter.hpp>
#include <fastdds/dds/publisher/Publisher.hpp>
#include <fastdds/dds/subscriber/DataReader.hpp>
#include <fastdds/dds/subscriber/SampleInfo.hpp>
#include <fastdds/dds/subscriber/Subscriber.hpp>
#include <fastdds/dds/topic/TopicDataType.hpp>
#include <fastdds/dds/topic/TypeSupport.hpp>
#include <fastrtps/rtps/common/WriteParams.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

using namespace eprosima::fastdds::dds;
using namespace eprosima::fastrtps::rtps;

namespace {

std::atomic<bool> stop{ false };

struct Blob {
    std::vector<uint8_t> cdr;
};

class RawType : public TopicDataType {
  public:
    explicit RawType(const char *name) {
        setName(name);
        m_typeSize = 256;
        m_isGetKeyDefined = false;
        auto_fill_type_object(false);
        auto_fill_type_information(false);
    }
    bool serialize(void *data, SerializedPayload_t *p) override {
        const auto *b = static_cast<Blob *>(data);
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
    bool getKey(void *, InstanceHandle_t *, bool) override {
        return false;
    }
};

template <class Q> Q qos(Q q) {
    q.reliability().kind = RELIABLE_RELIABILITY_QOS;
    q.durability().kind = VOLATILE_DURABILITY_QOS;
    q.history().depth = 10;
    q.data_sharing().off();
    q.endpoint().history_memory_policy = PREALLOCATED_WITH_REALLOC_MEMORY_MODE;
    return q;
}

// Answers one request; false when there was none.
bool serve(DataReader *requests, DataWriter *replies) {
    Blob in, out;
    SampleInfo info;

    if (requests->take_next_sample(&in, &info) != ReturnCode_t::RETCODE_OK)
        return false;
    if (!info.valid_data)
        return false;
    SampleIdentity id = info.sample_identity;
    if (info.related_sample_identity.writer_guid() != GUID_t::unknown())
        id.writer_guid() = info.related_sample_identity.writer_guid();
    if (in.cdr.size() != 20) { // a request in another dialect
        printf("odd request of %zu bytes\n", in.cdr.size());
        return true;
    }
    int64_t a, b;
    memcpy(&a, &in.cdr[4], 8);
    memcpy(&b, &in.cdr[12], 8);
    a += b;
    out.cdr.assign(12, 0);
    out.cdr[1] = 1;
    memcpy(&out.cdr[4], &a, 8);
    WriteParams wp;
    wp.related_sample_identity() = id;
    replies->write(&out, wp);
    return true;
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 3)
        return 2;
    signal(SIGTERM, [](int) { stop = true; });
    auto *dp = DomainParticipantFactory::get_instance()->create_participant(
        static_cast<uint32_t>(atoi(argv[1])), PARTICIPANT_QOS_DEFAULT);
    TypeSupport rq(new RawType("example_interfaces::srv::dds_::AddTwoInts_Request_"));
    TypeSupport rr(new RawType("example_interfaces::srv::dds_::AddTwoInts_Response_"));
    rq.register_type(dp);
    rr.register_type(dp);
    auto *tq = dp->create_topic("rq/add_two_intsRequest", rq.get_type_name(), TOPIC_QOS_DEFAULT);
    auto *tr = dp->create_topic("rr/add_two_intsReply", rr.get_type_name(), TOPIC_QOS_DEFAULT);
    auto *w = dp->create_publisher(PUBLISHER_QOS_DEFAULT)
                  ->create_datawriter(tr, qos(DATAWRITER_QOS_DEFAULT));
    auto *r = dp->create_subscriber(SUBSCRIBER_QOS_DEFAULT)
                  ->create_datareader(tq, qos(DATAREADER_QOS_DEFAULT));
    auto end = std::chrono::steady_clock::now() + std::chrono::seconds(atoi(argv[2]));
    int served = 0;

    while (!stop && std::chrono::steady_clock::now() < end)
        if (serve(r, w))
            served++;
        else
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
    printf("served %d\n", served);
    dp->delete_contained_entities();
    DomainParticipantFactory::get_instance()->delete_participant(dp);
    return 0;
}
