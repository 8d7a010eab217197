// The number of requests handled per report of the loop: at most the number of bytes on the socket.
#include "service/request_budget.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <vector>

#include <gtest/gtest.h>

#include "base/owned.hpp"

namespace {

using namespace cpgring;

class request_budget : public ::testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    client.reset(pair[0]);
    server.reset(pair[1]);
    loop.enter();
    ASSERT_EQ(
        service::event_loop::handlers().dispatch_add(QB_LOOP_MED, server.get(), POLLIN, this, &on_report), 0);
  }
  /// Whether libqb may continue after each of three requests in the ring, with `bytes` bytes on the socket.
  std::vector<bool> keep_going(std::size_t bytes) {
    const std::vector<char> bells(bytes);
    EXPECT_EQ(::send(client.get(), bells.data(), bytes, MSG_NOSIGNAL), static_cast<ssize_t>(bytes));
    loop.run();
    return answers;
  }
  static std::int32_t on_report(std::int32_t, std::int32_t, void* data) {
    auto& self = *static_cast<request_budget*>(data);
    for (int i = 0; i < 3 && self.loop.reports() == 1; ++i) {
      self.answers.push_back(self.budget.spend() == 0);
    }
    self.loop.stop();
    return 0;
  }

  service::event_loop loop;
  service::request_budget budget{loop};
  base::unique_fd client, server;
  std::vector<bool> answers;
};

TEST_F(request_budget, ends_with_the_request_of_the_last_byte) {
  EXPECT_EQ(keep_going(2), (std::vector<bool>{true, false, false}));
}

TEST_F(request_budget, ends_after_one_request_with_one_byte) {
  EXPECT_EQ(keep_going(1), (std::vector<bool>{false, false, false}));
}

TEST_F(request_budget, does_not_limit_with_enough_bytes) {
  EXPECT_EQ(keep_going(10), (std::vector<bool>{true, true, true}));
}

TEST_F(request_budget, is_empty_outside_of_a_report) { EXPECT_LT(budget.spend(), 0); }

}  // namespace
