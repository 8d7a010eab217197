// An unending stream of queries: their number is bounded, and messages are still delivered.
#include <atomic>
#include <functional>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gmock/gmock.h>

#include "support/world.hpp"

namespace cpgring::test {
namespace {

using ::testing::HasSubstr;

std::string name_of(const ::testing::TestParamInfo<std::tuple<wakeup, std::uint32_t>>& p) {
  return std::string(to_string(std::get<0>(p.param))) + (std::get<1>(p.param) == 0 ? "_inline" : "_workers");
}

struct flow_answers : ::testing::TestWithParam<std::tuple<wakeup, std::uint32_t>> {
  flow_answers()
      : w(std::get<0>(GetParam()), [](engine_options& o) { o.workers = std::get<1>(GetParam()); }) {
    callbacks calls;
    calls.on_message = [this](handle&, const message&) { ++delivered; };
    calls.on_state = [this](handle&, const state_change& s) {
      joined = joined || s.to == handle_state::joined;
      if (s.to == handle_state::closed) {
        const std::lock_guard lock(why_lock);
        why = s.cause == nullptr ? error(errc::closed) : *s.cause;
      }
    };
    auto opened = w.loop().open(w.options(world::fresh_group("answers")), std::move(calls));
    EXPECT_TRUE(opened);
    self = *opened;
    EXPECT_TRUE(w.until([this] { return joined.load(); }));
  }

  /// Starts as many chains of queries as a handle may have; each asks again as soon as it is answered.
  void ask_without_end() {
    for (std::uint32_t i = 0; i < handle::requests_max; ++i) {
      ask();
    }
  }
  void ask() {
    ++asked;
    EXPECT_TRUE(self.query_local_node([this](const result<std::uint32_t>& node) {
      EXPECT_TRUE(node);
      ++answered;
      if (asking) {
        ask();
      }
    }));
  }
  bool end_of_asking() {
    asking = false;
    return w.until([this] { return answered == asked; });
  }

  std::atomic<std::uint64_t> asked{0}, answered{0}, delivered{0};
  std::atomic<bool> asking{true}, joined{false};
  std::mutex why_lock;
  std::optional<error> why;
  handle self;
  world w;  // last, so that its engine ends first
};

INSTANTIATE_TEST_SUITE_P(on, flow_answers,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0U, 2U)),
                         name_of);

TEST_P(flow_answers, do_not_starve_messages_and_are_not_starved_by_them) {
  ask_without_end();
  constexpr std::uint64_t messages = 300;
  for (std::uint64_t sent = 0; sent < messages;) {
    sent += self.multicast("between them") ? 1U : 0U;
    ASSERT_TRUE(w.loop().dispatch(mode::all));
  }
  ASSERT_TRUE(w.until([this] { return delivered == messages; }))
      << delivered << " messages, " << answered << " answers";
  const std::uint64_t by_then = answered;
  ASSERT_TRUE(w.until([&] { return answered > by_then + 1000; })) << "the queries go on";
  EXPECT_TRUE(end_of_asking());
}

TEST_P(flow_answers, and_messages_take_turns_to_go_first) {
  ask_without_end();
  std::uint64_t sent = 0;
  const auto send_until = [&](std::uint64_t ahead) {  // keeps messages waiting in the ring
    while (sent < delivered + ahead && self.multicast("one")) {
      ++sent;
    }
  };
  send_until(40);
  const std::uint64_t answers_before = answered;
  constexpr std::uint64_t enough = 100;
  constexpr int calls_max = 20000;
  int calls = 0;
  while ((delivered < enough || answered < answers_before + enough) && ++calls < calls_max) {
    ASSERT_TRUE(w.loop().dispatch(mode::one));
    send_until(40);
  }
  EXPECT_GE(delivered, enough) << "after " << calls << " calls and " << answered << " answers";
  EXPECT_GE(answered, answers_before + enough)
      << "after " << calls << " calls and " << delivered << " messages";
  EXPECT_TRUE(end_of_asking());
}

TEST_P(flow_answers, requests_beyond_requests_max_are_refused_until_an_answer_arrives) {
  const auto count = [this](const result<std::uint32_t>&) { ++answered; };
  for (std::uint32_t i = 0; i < handle::requests_max; ++i) {
    ASSERT_TRUE(self.query_local_node(count));
  }
  const auto refused = self.query_members(self.group(), [](const result<std::vector<member_address>>&) {
    ADD_FAILURE() << "called although the query was refused";
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error(), errc::try_again);
  EXPECT_THAT(refused.error().message(), HasSubstr("256"));
  ASSERT_TRUE(w.until([this] { return answered != 0; }));
  ASSERT_TRUE(self.query_local_node(count)) << "there is room again";
  ASSERT_TRUE(w.until([this] { return answered == handle::requests_max + 1; }));
}

TEST_P(flow_answers, a_completion_that_throws_closes_the_handle_and_the_others_still_run) {
  constexpr std::uint64_t questions = 40;
  for (std::uint64_t i = 0; i < questions; ++i) {
    ASSERT_TRUE(self.query_local_node([this, i](const result<std::uint32_t>&) {
      ++answered;
      if (i == 2) {
        throw std::runtime_error("the third");
      }
    }));
  }
  ASSERT_TRUE(w.until([&] {
    const std::lock_guard lock(why_lock);
    return answered == questions && why;
  }));
  EXPECT_EQ(*why, errc::callback_threw);
  EXPECT_THAT(why->message(), HasSubstr("the third"));
}

TEST_P(flow_answers, a_query_is_sent_after_earlier_multicasts) {
  if (!world::embedded()) {
    GTEST_SKIP() << "a daemon does not report how many multicasts it has taken";
  }
  constexpr std::uint64_t messages = 500;  // far more than the ring holds
  std::atomic<std::uint64_t> taken_by_then{0};
  std::thread other([this, &taken_by_then] {
    const std::string text(3000, 't');
    for (std::uint64_t sent = 0; sent < messages;) {
      sent += self.multicast(text) ? 1U : 0U;
    }
    EXPECT_TRUE(self.query_local_node([this, &taken_by_then](const result<std::uint32_t>&) {
      taken_by_then = w.embedded_service_object().stats().multicasts;
      ++answered;
    }));
  });
  EXPECT_TRUE(w.until([this] { return answered == 1; }));
  other.join();
  EXPECT_EQ(taken_by_then, messages);
}

TEST_P(flow_answers, queries_without_a_completion_are_refused) {
  EXPECT_EQ(self.query_members("g", {}).error(), errc::invalid_param);
  EXPECT_EQ(self.query_groups({}).error(), errc::invalid_param);
  EXPECT_EQ(self.query_local_node({}).error(), errc::invalid_param);
  ASSERT_TRUE(self.leave()) << "leave() needs no completion";
  EXPECT_TRUE(w.until([this] { return self.state() == handle_state::left; }));
}

}  // namespace
}  // namespace cpgring::test
