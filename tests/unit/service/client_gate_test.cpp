// Handshakes that take too long. Limits on their number: half_open_test.cpp. Refusals:
// tests/flow/admission_test.cpp.
#include "service/client_gate.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/owned.hpp"
#include "service/half_open.hpp"

namespace {

using namespace cpgring;
using namespace std::chrono_literals;

/// A client's socket and the service's end of it.
struct connection {
  connection() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()), 0);
    client = base::unique_fd(ends[0]);
    accepted = base::unique_fd(ends[1]);
  }
  base::unique_fd client, accepted;
};

class late_handshake : public ::testing::Test {
 protected:
  /// A time at which a handshake begun now is late. The loop does not run, so no timer fires by itself.
  base::time_point after_patience() const { return base::clock::now() + service::half_open::patience; }

  std::vector<std::string> lines;
  service::event_loop loop;
  service::service_log log{[this](log_level, std::string_view text) { lines.emplace_back(text); }, loop};
  service::client_gate gate{*service::admission::make({}, service::identity::own()), loop, log};
};

TEST_F(late_handshake, ends_with_a_hang_up_if_the_client_sends_nothing) {
  const connection silent;
  ASSERT_TRUE(gate.may_begin(silent.accepted.get()));
  gate.drop_expired(base::clock::now());
  EXPECT_TRUE(lines.empty());
  gate.drop_expired(after_patience());
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("more than 5 s"), std::string::npos) << lines[0];
  gate.drop_expired(after_patience() + service::half_open::patience);
  EXPECT_EQ(lines.size(), 1U) << "the client was removed";
}

TEST_F(late_handshake, does_not_count_time_spent_waiting_for_the_service) {
  const connection waiting;
  ASSERT_TRUE(gate.may_begin(waiting.accepted.get()));
  std::array<char, 24> request{};
  ASSERT_EQ(::write(waiting.client.get(), request.data(), request.size()), 24);
  const auto late = after_patience();
  gate.drop_expired(late);
  EXPECT_TRUE(lines.empty()) << lines[0];
  // The request was read; from here on the client's time counts.
  ASSERT_EQ(::read(waiting.accepted.get(), request.data(), request.size()), 24);
  gate.drop_expired(late + service::half_open::patience - 1ms);
  EXPECT_TRUE(lines.empty()) << lines[0];
  gate.drop_expired(late + service::half_open::patience);
  EXPECT_EQ(lines.size(), 1U);
}

}  // namespace
