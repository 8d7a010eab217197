// Each option is accepted at the edges of its range; a value beyond them is refused with the option's name.
#include <cpgring/options.hpp>

#include <chrono>
#include <cmath>
#include <functional>
#include <string>

#include <gmock/gmock.h>

namespace cpgring {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

template <class Options>
struct edge {
  const char* option;
  bool good;
  std::function<void(Options&)> set;
};

template <class Options>
void check(const edge<Options>& one) {
  SCOPED_TRACE(one.option);
  Options o;
  one.set(o);
  const auto ok = o.validate();
  ASSERT_EQ(static_cast<bool>(ok), one.good) << (ok ? "accepted" : ok.error().message());
  if (!ok) {
    EXPECT_THAT(ok.error().message(), HasSubstr(one.option));
  }
}

constexpr milliseconds day = std::chrono::hours(24);

TEST(engine_options, defaults_are_valid) { EXPECT_TRUE(engine_options().validate()); }

TEST(engine_options, values_out_of_range_are_refused_by_name) {
  const edge<engine_options> edges[] = {
      {"reactors", false, [](auto& o) { o.reactors = 0; }},
      {"reactors", true, [](auto& o) { o.reactors = 64; }},
      {"reactors", false, [](auto& o) { o.reactors = 65; }},
      {"workers", true, [](auto& o) { o.workers = 64; }},
      {"workers", false, [](auto& o) { o.workers = 65; }},
      {"idle_cpu_share", true, [](auto& o) { o.idle_cpu_share = 0; }},
      {"idle_cpu_share", true, [](auto& o) { o.idle_cpu_share = 1; }},
      {"idle_cpu_share", false, [](auto& o) { o.idle_cpu_share = -0.1; }},
      {"idle_cpu_share", false, [](auto& o) { o.idle_cpu_share = 10; }},
      {"idle_cpu_share", false, [](auto& o) { o.idle_cpu_share = std::nan(""); }},
      {"worker_queue", false, [](auto& o) { o.worker_queue = 0; }},
      {"worker_queue", false, [](auto& o) { o.worker_queue = 32; }},
      {"worker_queue", false, [](auto& o) { o.worker_queue = 100; }},
      {"worker_queue", true, [](auto& o) { o.worker_queue = 1048576; }},
      {"worker_queue", false, [](auto& o) { o.worker_queue = 2097152; }},
      {"handles_expected", false, [](auto& o) { o.handles_expected = 0; }},
      {"handles_expected", false, [](auto& o) { o.handles_expected = 1000001; }},
      {"turn_bytes", false, [](auto& o) { o.turn_bytes = 4095; }},
      {"turn_bytes", true, [](auto& o) { o.turn_bytes = 16777216; }},
      {"turn_bytes", false, [](auto& o) { o.turn_bytes = 16777217; }},
      {"intake_bytes", false, [](auto& o) { o.intake_bytes = 0; }},
      {"intake_bytes", false, [](auto& o) { o.intake_bytes = 100000; }},
      {"intake_bytes", true, [](auto& o) { o.intake_bytes = std::size_t{1} << 16; }},
      {"intake_bytes", false, [](auto& o) { o.intake_bytes = std::size_t{1} << 31; }},
      {"handshakes_max", false, [](auto& o) { o.handshakes_max = 0; }},
      {"handshakes_max", false, [](auto& o) { o.handshakes_max = 129; }},
      {"close_deadline", true, [](auto& o) { o.close_deadline = milliseconds(0); }},
      {"close_deadline", false, [](auto& o) { o.close_deadline = milliseconds(-1); }},
      {"close_deadline", true, [](auto& o) { o.close_deadline = day; }},
      {"close_deadline", false, [](auto& o) { o.close_deadline = milliseconds::max(); }},
  };
  for (const auto& one : edges) {
    check(one);
  }
}

TEST(handle_options, defaults_are_valid) { EXPECT_TRUE(handle_options().validate()); }

TEST(handle_options, values_out_of_range_are_refused_by_name) {
  const edge<handle_options> edges[] = {
      {"service", false, [](auto& o) { o.service.clear(); }},
      {"service", true, [](auto& o) { o.service = std::string(100, 's'); }},
      {"service", false, [](auto& o) { o.service = std::string(101, 's'); }},
      {"service", true, [](auto& o) { o.service = "/" + std::string(200, 's'); }},
      {"service_uid", true, [](auto& o) { o.service_uid = 0; }},
      {"service_uid", true, [](auto& o) { o.service_uid = UINT32_MAX - 1; }},
      {"service_uid", false, [](auto& o) { o.service_uid = UINT32_MAX; }},
      {"group", true, [](auto& o) { o.group = std::string(128, 'g'); }},
      {"group", false, [](auto& o) { o.group = std::string(129, 'g'); }},
      {"key", false, [](auto& o) { o.order = ordering::by_key; }},
      {"key", true,
       [](auto& o) {
         o.order = ordering::by_key;
         o.key = [](const message&) { return 0; };
       }},
      {"ring_bytes", false, [](auto& o) { o.ring_bytes = 16383; }},
      {"ring_bytes", true, [](auto& o) { o.ring_bytes = 16384; }},
      {"ring_bytes", false, [](auto& o) { o.ring_bytes = 33554433; }},
      {"large_message_max", true, [](auto& o) { o.large_message_max = 0; }},
      {"large_message_max", false, [](auto& o) { o.large_message_max = std::size_t{1} << 32; }},
      {"weight", false, [](auto& o) { o.weight = 0; }},
      {"weight", false, [](auto& o) { o.weight = 1001; }},
      {"connect_deadline", false, [](auto& o) { o.connect_deadline = milliseconds(-1); }},
      {"connect_deadline", true, [](auto& o) { o.connect_deadline = day; }},
      {"connect_deadline", false, [](auto& o) { o.connect_deadline = milliseconds::max(); }},
      {"control_deadline", false, [](auto& o) { o.control_deadline = milliseconds(-1); }},
      {"control_deadline", false, [](auto& o) { o.control_deadline = day + milliseconds(1); }},
      {"copy_out_bytes_max", false, [](auto& o) { o.copy_out_bytes_max = SIZE_MAX; }},
      {"lease_age_max", false, [](auto& o) { o.lease_age_max = milliseconds(-1); }},
      {"lease_age_max", false, [](auto& o) { o.lease_age_max = milliseconds(3600001); }},
      {"supervision.backoff_min", false, [](auto& o) { o.supervision.backoff_min = milliseconds(0); }},
      {"supervision.backoff_max", false, [](auto& o) { o.supervision.backoff_max = milliseconds(19); }},
      {"supervision.backoff_max", false, [](auto& o) { o.supervision.backoff_max = milliseconds(3600001); }},
  };
  for (const auto& one : edges) {
    check(one);
  }
}

}  // namespace
}  // namespace cpgring
