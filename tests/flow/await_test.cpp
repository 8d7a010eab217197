// awaitable_multicast: a coroutine resumes once its message is delivered back, and does not suspend where the
// call is refused.
#include <atomic>
#include <coroutine>
#include <string>
#include <vector>

#include <cpgring/await.hpp>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

struct detached {
  struct promise_type {
    detached get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};

detached append(handle to, int count, std::atomic<int>& done, std::vector<multicast_outcome>& outcomes) {
  for (int i = 0; i < count; ++i) {
    outcomes.push_back(co_await awaitable_multicast(to, std::to_string(i), patience));
  }
  ++done;
}

class flow_await : public ::testing::TestWithParam<std::uint32_t> {};
INSTANTIATE_TEST_SUITE_P(workers, flow_await, ::testing::Values(0U, 2U));

TEST_P(flow_await, resumes_in_order_with_the_sequence_of_each_message) {
  world w(wakeup::automatic, [](engine_options& o) { o.workers = GetParam(); });
  auto opened = w.loop().open(w.options(world::fresh_group("await")), {});
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return opened->state() == handle_state::joined; }));
  std::atomic<int> done{0};
  std::vector<multicast_outcome> outcomes;
  append(*opened, 100, done, outcomes);
  ASSERT_TRUE(w.until([&] { return done == 1; }));
  for (std::size_t i = 0; i < outcomes.size(); ++i) {
    EXPECT_TRUE(outcomes[i]);
    EXPECT_EQ(outcomes[i].sequence, i + 1);
  }
}

TEST_P(flow_await, does_not_suspend_when_refused) {
  world w(wakeup::automatic, [](engine_options& o) { o.workers = GetParam(); });
  auto opened = w.loop().open(w.options(), {});
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return opened->state() == handle_state::ready; }));
  std::atomic<int> done{0};
  std::vector<multicast_outcome> outcomes;
  append(*opened, 2, done, outcomes);
  EXPECT_EQ(done, 1);
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].fate, multicast_fate::not_sent);
  ASSERT_TRUE(outcomes[0].cause);
  EXPECT_EQ(*outcomes[0].cause, errc::not_joined);
}

TEST_P(flow_await, is_resumed_when_the_engine_shuts_down) {
  world w(wakeup::automatic, [](engine_options& o) { o.workers = GetParam(); });
  auto opened = w.loop().open(w.options(world::fresh_group("await")), {});
  ASSERT_TRUE(opened);
  ASSERT_TRUE(w.until([&] { return opened->state() == handle_state::joined; }));
  std::atomic<int> done{0};
  std::vector<multicast_outcome> outcomes;
  append(*opened, 2, done, outcomes);
  EXPECT_EQ(done, 0);
  EXPECT_TRUE(w.loop().shut_down(patience).clean());
  EXPECT_EQ(done, 1);
  ASSERT_EQ(outcomes.size(), 2U);
  EXPECT_EQ(outcomes[0].fate, multicast_fate::unknown);
  EXPECT_EQ(outcomes[1].fate, multicast_fate::not_sent) << "the engine is gone";
}

}  // namespace
}  // namespace cpgring::test
