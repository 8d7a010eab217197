// The doorbell byte of each request: exactly one is sent, and sending never blocks.
#include "ipc/doorbell.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include <gtest/gtest.h>

#include "base/owned.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;

struct doorbell_on_a_socket : ::testing::Test {
  doorbell_on_a_socket() {
    std::array<int, 2> fds{};
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds.data()), 0);
    ours.reset(fds[0]);
    theirs.reset(fds[1]);
  }
  std::size_t arrived() {
    std::array<char, 4096> bytes;
    std::size_t total = 0;
    for (ssize_t n; (n = ::recv(theirs.get(), bytes.data(), bytes.size(), MSG_DONTWAIT)) > 0;) {
      total += static_cast<std::size_t>(n);
    }
    return total;
  }
  base::unique_fd ours, theirs;
  doorbell bell;
};

TEST_F(doorbell_on_a_socket, sends_one_byte_for_each_request) {
  ASSERT_TRUE(bell.ring(ours.get(), 1));
  EXPECT_EQ(arrived(), 1U);
  ASSERT_TRUE(bell.ring(ours.get(), 64));
  EXPECT_EQ(arrived(), 64U);
  ASSERT_TRUE(bell.ring(ours.get(), 1000));
  EXPECT_EQ(arrived(), 1000U);
  ASSERT_TRUE(bell.ring(ours.get(), 0));
  EXPECT_EQ(arrived(), 0U);
}

TEST_F(doorbell_on_a_socket, single_bytes_up_to_the_limit_never_fill_the_socket) {
  const std::uint32_t most = doorbell::outstanding_limit(ours.get()) + doorbell::service_batch_max;
  // With Linux's default send buffer.
  EXPECT_EQ(doorbell::outstanding_limit(ours.get()), doorbell::outstanding_max);
  for (std::uint32_t i = 0; i < most; ++i) {
    ASSERT_TRUE(bell.ring(ours.get(), 1));
    ASSERT_EQ(bell.owed(), 0U) << i;
  }
  EXPECT_EQ(arrived(), most);
}

TEST_F(doorbell_on_a_socket, has_a_lower_limit_with_a_small_send_buffer) {
  const int small = 32768;
  ASSERT_EQ(::setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &small, sizeof small), 0);
  const std::uint32_t limit = doorbell::outstanding_limit(ours.get());
  EXPECT_LT(limit, doorbell::outstanding_max);
  for (std::uint32_t i = 0; i < limit; ++i) {
    ASSERT_TRUE(bell.ring(ours.get(), 1));
    ASSERT_EQ(bell.owed(), 0U) << i;
  }
  const int tiny = 1;
  ASSERT_EQ(::setsockopt(ours.get(), SOL_SOCKET, SO_SNDBUF, &tiny, sizeof tiny), 0);
  EXPECT_EQ(doorbell::outstanding_limit(ours.get()), 1U);
}

TEST_F(doorbell_on_a_socket, sends_bytes_later_that_a_full_socket_refused) {
  std::size_t sent = 0;
  while (bell.owed() == 0) {
    ASSERT_TRUE(bell.ring(ours.get(), 1));
    ASSERT_LT(++sent, 1000000U);
  }
  ASSERT_TRUE(bell.ring(ours.get(), 4));
  EXPECT_EQ(bell.owed(), 5U);
  sent += 4;
  ASSERT_TRUE(bell.send_owed(ours.get()));
  EXPECT_EQ(bell.owed(), 5U);
  EXPECT_EQ(arrived(), sent - 5);
  ASSERT_TRUE(bell.send_owed(ours.get()));
  EXPECT_EQ(bell.owed(), 0U);
  EXPECT_EQ(arrived(), 5U);
}

TEST_F(doorbell_on_a_socket, reports_a_closed_peer_without_sigpipe) {
  theirs.reset();
  auto rung = bell.ring(ours.get(), 1);
  ASSERT_FALSE(rung);
  EXPECT_EQ(rung.error(), errc::service_lost);
}

TEST_F(doorbell_on_a_socket, drains_all_event_bytes_at_once) {
  for (int i = 0; i < 200; ++i) {
    ASSERT_EQ(::send(theirs.get(), "", 1, 0), 1);
  }
  auto taken = doorbell::drain(ours.get());
  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken, 200U);
  taken = doorbell::drain(ours.get());
  ASSERT_TRUE(taken);
  EXPECT_EQ(*taken, 0U);
  const std::array<char, 10000> many{};
  ASSERT_EQ(::send(theirs.get(), many.data(), many.size(), 0), 10000);
  EXPECT_EQ(*doorbell::drain(ours.get()), 10000U);
}

TEST_F(doorbell_on_a_socket, drains_the_last_event_bytes_before_reporting_the_end) {
  ASSERT_EQ(::send(theirs.get(), "", 1, 0), 1);
  theirs.reset();
  EXPECT_EQ(*doorbell::drain(ours.get()), 1U);
  auto end = doorbell::drain(ours.get());
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error(), errc::service_lost);
}

}  // namespace
