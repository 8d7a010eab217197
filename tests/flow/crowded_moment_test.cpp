// More handles than the engine was told to expect, and all of them have news at the same moment: more than an io_uring's completion queue
// holds. Nothing is lost, doubled or out of order. Whether the queue overflows is the kernel's choice, some complete 20 requests at a time;
// tests/unit/reactor/wake_backend_test.cpp makes it overflow.
#include <memory>
#include <string>
#include <vector>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using namespace std::chrono_literals;

class flow_crowded_moment : public testing::TestWithParam<wakeup> {};
INSTANTIATE_TEST_SUITE_P(backend, flow_crowded_moment, testing::ValuesIn(backends_here()), backend_name);

TEST_P(flow_crowded_moment, every_handle_hears_its_message_and_then_of_the_end) {
  if (!world::embedded()) {
    GTEST_SKIP() << "ends its service while nobody looks: an embedded one";
  }
  constexpr std::size_t handles = 2200;  // an event and a hang-up of each; the queue holds 4096 if 1 handle is expected
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
    o.max_message_size = max_message_size_min;
    auto opened = w.loop().open(o, calls);
    ASSERT_TRUE(opened) << opened.error().message();
    all.push_back(*opened);
  }
  ASSERT_TRUE(w.until([&] { return joined == handles; })) << joined;
  // Until it has slept: then each handle's waits are armed.
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
