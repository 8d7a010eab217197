// More handles than handles_expected have an event and a hang-up at the same moment, more completions than an
// io_uring's completion queue holds. Nothing is lost, doubled or reordered. Whether the queue overflows
// depends on the kernel: some kernels complete 20 requests at a time.
// tests/unit/reactor/wake_backend_test.cpp forces an overflow.
#include <memory>
#include <string>
#include <vector>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;

class flow_crowded_moment : public ::testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_crowded_moment, ::testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_crowded_moment, every_handle_gets_its_message_and_then_the_loss) {
  if (!world::embedded()) {
    GTEST_SKIP() << "needs an embedded service, which it ends while nothing drives the engine";
  }
  // Each handle gets an event and a hang-up; the queue holds 4096 completions if 1 handle is expected.
  constexpr std::size_t handles = 2200;
  world w(GetParam(), [](engine_options& o) { o.handles_expected = 1; });
  std::vector<std::string> heard(handles);
  std::vector<handle> all;
  std::size_t joined = 0, lost = 0;
  for (std::size_t i = 0; i < handles; ++i) {
    callbacks calls;
    calls.on_state = [&, i](handle&, const state_change& s) {
      joined += s.to == handle_state::joined ? 1U : 0U;
      lost += s.to == handle_state::lost ? 1U : 0U;
      heard[i] += s.to == handle_state::lost ? "lost." : "";
    };
    calls.on_message = [&, i](handle&, const message& m) { heard[i] += std::string(m.text()) + ","; };
    handle_options o = w.options("alone-" + std::to_string(i));
    o.ring_bytes = ring_bytes_min;
    auto opened = w.loop().open(o, std::move(calls));
    ASSERT_TRUE(opened) << opened.error().message();
    all.push_back(*opened);
  }
  ASSERT_TRUE(w.until([&] { return joined == handles; })) << joined;
  // Runs until the engine has slept: by then the waits of every handle are armed.
  for (bool slept = false; !slept;) {
    const auto did = w.loop().dispatch(mode::blocking, budget{0, 0, 20ms});
    ASSERT_TRUE(did);
    slept = did->events == 0;
  }
  for (handle& one : all) {
    ASSERT_TRUE(one.multicast("only"));
  }
  ASSERT_TRUE(eventually([&] { return w.embedded_service_object().stats().multicasts == handles; }));
  w.end_service();
  EXPECT_TRUE(w.until([&] { return lost == handles; })) << lost;
  EXPECT_EQ(heard, std::vector<std::string>(handles, "only,lost."));
}

}  // namespace
}  // namespace cpgring::test
