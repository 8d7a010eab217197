// A handle that is closed while the answer to a fragment is under way: the message arrives whole, once, and no fragment that nobody sent.
#include <memory>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "support/service_process.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

struct close_in_fragments : testing::TestWithParam<wakeup> {
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
    o.max_message_size = 65536;
    o.pid = pid;
    auto opened = loop.open(o, std::move(calls));
    EXPECT_TRUE(opened);
    EXPECT_TRUE(drive(loop, [&] { return opened->state() == handle_state::joined; }));
    return *opened;
  }

  service_process service;
  const std::string group = world::fresh_group("fragments");
};

INSTANTIATE_TEST_SUITE_P(backend, close_in_fragments, testing::ValuesIn(backends_here()), backend_name);

TEST_P(close_in_fragments, sends_each_once) {
  const auto loop = make(), others_loop = make();
  witness other;
  const handle observer = join(*others_loop, other.record(), made_up_pid + 4711);
  handle self = join(*loop, {});
  const auto last_view_has = [&](std::string_view what) {
    return !other.views.empty() && other.views.back().find(fmt::format("{}{}", what, self.pid())) != std::string::npos;
  };
  ASSERT_TRUE(drive(*others_loop, [&] { return last_view_has("+"); }));

  const std::string text(self.max_atomic_message() + 100, 'f');  // two fragments
  ASSERT_TRUE(self.multicast(text));
  ASSERT_TRUE(drive(*others_loop, [&] { return observer.stats().fragments == 1; })) << "the service has the first";
  service.stop();
  // Takes its answer and writes the last one, which nobody answers now. Stopped in the moment between the two the service has not answered
  // the first either: what is checked below holds there too.
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(loop->dispatch(mode::all));
  }
  self.close();
  ASSERT_TRUE(loop->dispatch(mode::all));
  service.go_on();
  ASSERT_TRUE(drive(*loop, [&] { return loop->stats().handles == 0; }));
  ASSERT_TRUE(drive(*others_loop, [&] { return last_view_has("-"); })) << "its end is behind all that it sent";
  EXPECT_EQ(other.messages.size(), 1U);
  EXPECT_TRUE(other.aborted.empty());
  EXPECT_EQ(observer.stats().fragments, 2U);
}

}  // namespace
}  // namespace cpgring::test
