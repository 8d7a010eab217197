// A handle is closed while it waits for the answer to a fragment: the message arrives complete and once, and
// no fragment is sent twice.
#include <memory>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "support/service_process.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

struct close_in_fragments : ::testing::TestWithParam<wakeup> {
  std::unique_ptr<engine> make() {
    engine_options o;
    o.wakeup_backend = GetParam();
    o.close_deadline = patience;
    return std::make_unique<engine>(o);
  }
  handle join(engine& loop, callbacks calls, std::uint32_t pid = 0) {
    handle_options o;
    o.service = service.name();
    o.group = group;
    o.ring_bytes = 65536;
    cpgring::testing::simulate_pid(o, pid);
    auto opened = loop.open(o, std::move(calls));
    EXPECT_TRUE(opened);
    EXPECT_TRUE(drive(loop, [&] { return opened->state() == handle_state::joined; }));
    return *opened;
  }

  service_process service;
  const std::string group = world::fresh_group("fragments");
};

INSTANTIATE_TEST_SUITE_P(backend, close_in_fragments, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(close_in_fragments, sends_each_fragment_once) {
  const auto loop = make(), others_loop = make();
  witness other;
  const handle observer = join(*others_loop, other.record(), made_up_pid + 4711);
  handle self = join(*loop, {});
  const auto last_view_has = [&](std::string_view what) {
    return !other.views.empty() &&
           other.views.back().find(fmt::format("{}{}", what, self.pid())) != std::string::npos;
  };
  ASSERT_TRUE(drive(*others_loop, [&] { return last_view_has("+"); }));

  const std::string text(self.max_atomic_message() + 100, 'f');  // two fragments
  ASSERT_TRUE(self.multicast(text));
  ASSERT_TRUE(drive(*others_loop, [&] { return observer.stats().fragments == 1; }))
      << "the service has the first fragment";
  service.stop();
  // The handle takes the answer and writes the last fragment, which the stopped service does not answer. If
  // the service stopped before it answered the first fragment, the checks below hold as well.
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(loop->dispatch(mode::all));
  }
  self.close();
  ASSERT_TRUE(loop->dispatch(mode::all));
  service.resume();
  ASSERT_TRUE(drive(*loop, [&] { return loop->stats().handles == 0; }));
  ASSERT_TRUE(drive(*others_loop, [&] { return last_view_has("-"); }))
      << "the leave view follows all messages of the handle";
  EXPECT_EQ(other.messages.size(), 1U);
  EXPECT_TRUE(other.aborted.empty());
  EXPECT_EQ(observer.stats().fragments, 2U);
}

}  // namespace
}  // namespace cpgring::test
