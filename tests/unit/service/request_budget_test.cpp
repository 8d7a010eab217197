// How many requests may be handled in one report: as many as there are bytes on the socket.
#include "service/request_budget.hpp"

#include <poll.h>
#include <sys/socket.h>

#include <vector>

#include <gtest/gtest.h>

#include "base/owned.hpp"

namespace {

using namespace cpgring;

class request_budget : public testing::Test {
 protected:
  void SetUp() override {
    int pair[2];
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    client.reset(pair[0]);
    server.reset(pair[1]);
    loop.enter();
    ASSERT_EQ(service::event_loop::handlers().dispatch_add(QB_LOOP_MED, server.get(), POLLIN, this, &on_report), 0);
  }
  /// What libqb is told for each of three requests in the ring, when there are `bytes` bytes.
  std::vector<bool> goes_on(std::size_t bytes) {
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

TEST_F(request_budget, ends_with_the_request_that_has_the_last_byte) { EXPECT_EQ(goes_on(2), (std::vector<bool>{true, false, false})); }

TEST_F(request_budget, is_over_at_once_with_one_byte) { EXPECT_EQ(goes_on(1), (std::vector<bool>{false, false, false})); }

TEST_F(request_budget, is_no_limit_when_there_are_bytes_enough) { EXPECT_EQ(goes_on(10), (std::vector<bool>{true, true, true})); }

TEST_F(request_budget, outside_of_a_report_there_is_none) { EXPECT_LT(budget.spend(), 0); }

}  // namespace
