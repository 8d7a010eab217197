// The service's loop as libqb uses it: which clients are accepted, and how a handshake ends.
#include "service/event_loop.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "base/owned.hpp"

namespace {

using namespace cpgring;
using service::event_loop;

/// Uses its sockets as libqb does: accepts, waits for one byte as the handshake, then watches the connection.
class event_loop_test : public ::testing::Test, public event_loop::gatekeeper {
 protected:
  void SetUp() override {
    loop.enter();
    loop.set_gatekeeper(this);
    listener.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    address.sun_family = AF_UNIX;
    const std::string name = "cpgring-loop-" + std::to_string(::getpid()) + "-" +
                             ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::memcpy(address.sun_path + 1, name.data(), name.size());
    ASSERT_EQ(::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ASSERT_EQ(::listen(listener.get(), 16), 0);
    ASSERT_EQ(calls.dispatch_add(QB_LOOP_MED, listener.get(), POLLIN, this, &on_listener), 0);
  }
  void TearDown() override {
    calls.dispatch_del(listener.get());
    for (const int fd : accepted) {
      calls.dispatch_del(fd);
      ::close(fd);
    }
  }

  static std::int32_t on_listener(std::int32_t fd, std::int32_t, void* data) {
    auto& self = *static_cast<event_loop_test*>(data);
    const int made = ::accept4(fd, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (made < 0) {
      self.failed_accepts += 1;
      return 0;
    }
    self.last_add = self.calls.dispatch_add(QB_LOOP_MED, made, POLLIN, data, &on_handshake);
    if (self.last_add < 0) {
      ::close(made);
    } else {
      self.accepted.push_back(made);
    }
    if (!self.runs_until_over) {
      self.loop.stop();
    }
    return 0;
  }
  static std::int32_t on_handshake(std::int32_t fd, std::int32_t events, void* data) {
    auto& self = *static_cast<event_loop_test*>(data);
    self.calls.dispatch_del(fd);
    self.hung_up = (events & POLLHUP) != 0;
    if (!self.hung_up) {
      EXPECT_EQ(self.loop.reporting(), fd);
      self.calls.dispatch_add(QB_LOOP_MED, fd, POLLIN, data, &on_client);
    }
    self.loop.stop();
    return 1;
  }
  static std::int32_t on_client(std::int32_t, std::int32_t, void*) { return 0; }

  bool may_begin(std::int32_t fd) override {
    began.push_back(fd);
    return lets_in;
  }
  void ended(std::int32_t fd) override { over.push_back(fd); }
  void out_of_descriptors() override {
    ++rests;
    if (at_rest) {
      at_rest();
    }
  }

  base::unique_fd connect() {
    base::unique_fd made(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    EXPECT_EQ(::connect(made.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    return made;
  }

  event_loop loop;
  qb_ipcs_poll_handlers calls = event_loop::handlers();
  sockaddr_un address{};
  base::unique_fd listener;
  std::vector<int> accepted, began, over;
  std::function<void()> at_rest;
  int rests = 0, failed_accepts = 0;
  std::int32_t last_add = 1;
  bool lets_in = true, hung_up = false, runs_until_over = false;
};

TEST_F(event_loop_test, asks_the_gatekeeper_only_about_accepted_clients) {
  const auto client = connect();
  loop.run();
  ASSERT_EQ(accepted.size(), 1U);
  EXPECT_EQ(began, accepted);
  EXPECT_TRUE(over.empty());
}

TEST_F(event_loop_test, reports_the_end_of_a_completed_handshake) {
  const auto client = connect();
  ASSERT_EQ(::send(client.get(), "x", 1, MSG_NOSIGNAL), 1);
  runs_until_over = true;
  loop.run();
  EXPECT_EQ(over, accepted);
  EXPECT_EQ(began, accepted);
  EXPECT_FALSE(hung_up);
}

TEST_F(event_loop_test, does_not_watch_refused_clients) {
  lets_in = false;
  const auto client = connect();
  loop.run();
  EXPECT_EQ(last_add, -EACCES);
  EXPECT_EQ(began.size(), 1U);
  EXPECT_TRUE(over.empty());
}

TEST_F(event_loop_test, hang_up_looks_like_a_hang_up_of_the_peer) {
  const auto client = connect();
  loop.run();
  ASSERT_EQ(accepted.size(), 1U);
  loop.hang_up(accepted.front());
  EXPECT_TRUE(hung_up);
  EXPECT_EQ(over, accepted);
  hung_up = false;
  loop.hang_up(accepted.front());  // no longer watched
  EXPECT_FALSE(hung_up);
}

TEST_F(event_loop_test, pauses_without_descriptors_and_accepts_later) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const auto client = connect();
  at_rest = [&] { ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0); };
  const rlimit none{0, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  loop.run();
  EXPECT_EQ(rests, 1);
  EXPECT_EQ(failed_accepts, 0);
  EXPECT_EQ(accepted.size(), 1U);
}

TEST_F(event_loop_test, can_renew_the_credentials_of_listeners) { EXPECT_TRUE(loop.renew_credentials()); }

}  // namespace
