// Nonsense in a handle's shared memory, put there by the test itself: that handle ends with an error that names the field, others go on.
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <set>

#include <fmt/format.h>

#include "base/owned.hpp"
#include "cpg/wire_format.hpp"
#include "ipc/chunk_format.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;
namespace cf = cpgring::ipc::chunk_format;

std::set<std::string> ring_directories() {
  std::set<std::string> all;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const auto name = entry.path().filename().string();
    if (name.starts_with(fmt::format("qb-{}-{}-", ::getpid(), ::getpid()))) {  // the embedded service is this process too
      all.insert(entry.path());
    }
  }
  return all;
}

/// The event ring of a handle, as the service sees it.
class event_ring {
 public:
  explicit event_ring(const std::string& directory) {
    for (const auto& entry : std::filesystem::directory_iterator(directory)) {
      const auto name = entry.path().filename().string();
      if (name.find("event") != std::string::npos) {
        (name.ends_with("-header") ? header_ : data_) = map(entry.path());
      }
    }
  }
  void post() { ::sem_post(reinterpret_cast<sem_t*>(header_.data() + cf::semaphore)); }
  void set(std::size_t at, std::uint32_t value) { std::memcpy(header_.data() + at, &value, sizeof value); }
  /// Word `index` of the oldest event, its length and magic included; the ring must not wrap there.
  void set_oldest(std::size_t index, std::uint32_t value) {
    std::uint32_t read = 0;
    std::memcpy(&read, header_.data() + cf::read_position, sizeof read);
    std::memcpy(data_.data() + (read + index) * 4, &value, sizeof value);
  }

 private:
  static base::unique_mapping map(const std::string& path) {
    const base::unique_fd file(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    const auto size = std::filesystem::file_size(path);
    return base::unique_mapping(::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0), size);
  }
  base::unique_mapping header_, data_;
};

struct lie {
  const char* name;
  void (*tell)(event_ring&);
  const char* named;
};
void PrintTo(const lie& l, std::ostream* os) { *os << l.name; }

class flow_hostile_service : public testing::TestWithParam<lie> {};
INSTANTIATE_TEST_SUITE_P(
    lies, flow_hostile_service,
    testing::Values(lie{"a_count_without_an_event", [](event_ring& r) { r.post(); }, "magic of a chunk"},
                    lie{"a_write_position_outside", [](event_ring& r) { r.set(cf::write_position, 1U << 30); }, "write position"},
                    lie{"a_wrong_magic", [](event_ring& r) { r.set_oldest(1, cf::magic_being_written); }, "magic"},
                    lie{"a_chunk_longer_than_the_ring", [](event_ring& r) { r.set_oldest(0, 0x7fffffff); }, "length of a chunk"},
                    lie{"an_event_of_no_kind", [](event_ring& r) { r.set_oldest(2, 77); }, "event id"},
                    lie{"a_message_longer_than_its_event",
                        [](event_ring& r) { r.set_oldest(2 + cpg::wire::deliver_event::length / 4, 60000); }, "message length"}),
    [](const auto& info) { return std::string(info.param.name); });

TEST_P(flow_hostile_service, ends_that_handle_and_names_the_field) {
  if (!world::embedded()) {
    GTEST_SKIP() << "a daemon's own memory is left alone";
  }
  for (const wakeup backend : backends_here()) {
    world w(backend);
    witness a, b;
    const auto before = ring_directories();
    open_joined(w, a, world::fresh_group());
    const auto with_a = ring_directories();
    open_joined(w, b, world::fresh_group());
    while (w.loop().dispatch(mode::one_nonblocking)) {
    }
    std::string of_a;
    for (const auto& one : with_a) {
      of_a = before.contains(one) ? of_a : one;
    }
    ASSERT_FALSE(of_a.empty());
    event_ring ring(of_a);
    const auto events = w.embedded_service_object().stats().events;
    ASSERT_TRUE(a.self.multicast("waits in the ring"));
    while (w.embedded_service_object().stats().events == events) {
      ::usleep(100);
    }
    GetParam().tell(ring);
    ASSERT_TRUE(w.until([&] { return a.is(handle_state::lost); })) << to_string(backend);
    EXPECT_EQ(a.causes.back(), errc::malformed);
    EXPECT_NE(a.causes.back().message().find(GetParam().named), std::string::npos) << a.causes.back().message();
    ASSERT_TRUE(b.self.multicast("goes on"));
    EXPECT_TRUE(w.until([&] { return b.messages.size() == 1; })) << to_string(backend);
  }
}

}  // namespace
