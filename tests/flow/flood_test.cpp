// Processes flood the embedded service with connections. A member loses nothing, and rejoins when the service
// restarts.
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "base/owned.hpp"
#include "cpg/encode.hpp"
#include "ipc/handshake.hpp"
#include "support/service_process.hpp"
#include "support/world.hpp"

namespace cpgring::test {
namespace {

constexpr uid_t stranger = 65534;

/// Processes of a user that the service does not admit. Without root they run as the test's own user and are
/// admitted.
class flood {
 public:
  flood(const std::string& service, int unfinished, int refused) {
    for (int i = 0; i < unfinished + refused; ++i) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        if (::geteuid() == 0 && (::setgid(stranger) != 0 || ::setuid(stranger) != 0)) {
          ::_exit(1);
        }
        i < unfinished ? connect_and_keep(service) : connect_and_ask(service);
        ::_exit(0);
      }
      pids_.push_back(pid);
    }
  }
  ~flood() {
    for (const pid_t pid : pids_) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
  flood(const flood&) = delete;
  flood& operator=(const flood&) = delete;

 private:
  static constexpr int rounds = 2000000;  // a bound; the processes are killed before

  static void connect_and_keep(const std::string& service) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, service.data(), service.size());
    std::vector<base::unique_fd> kept(512);
    for (int i = 0; i < rounds; ++i) {
      base::unique_fd one(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
      if (::connect(one.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
        kept[static_cast<std::size_t>(i) % kept.size()] = std::move(one);
      }
    }
  }
  static void connect_and_ask(const std::string& service) {
    for (int i = 0; i < rounds; ++i) {
      auto begun = ipc::handshake::begin(service, 65536);
      while (begun) {
        const auto step = begun->advance();
        if (!step || *step == ipc::handshake::step::done) {
          break;
        }
      }
    }
  }

  std::vector<pid_t> pids_;
};

/// Each message arrived once and in order.
void expect_all(const witness& member, std::size_t count) {
  ASSERT_EQ(member.messages.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    ASSERT_EQ(member.messages[i], std::to_string(i));
  }
}

class flooded : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!world::embedded()) {
      GTEST_SKIP() << "tests the embedded service only";
    }
  }
  /// Sends `count` more messages, each after the previous one was delivered.
  void send(std::size_t count) {
    const std::size_t end = member.messages.size() + count;
    while (member.messages.size() < end) {
      const std::size_t before = member.messages.size();
      ASSERT_TRUE(member.self.multicast(std::to_string(before)));
      ASSERT_TRUE(w.until([&] { return member.messages.size() > before; }));
    }
  }

  world w;
  witness member;
};

TEST_F(flooded, a_member_loses_nothing_and_new_clients_are_served) {
  service_process service;
  auto options = w.options("good");
  options.service = service.name();
  ASSERT_TRUE(w.loop().open(options, member.record()).transform([&](handle h) { member.self = h; }));
  ASSERT_TRUE(w.until([&] { return member.is(handle_state::joined); }));
  const flood around(service.name(), 2, 2);
  send(300);
  for (int i = 0; i < 5; ++i) {
    witness fresh;
    options.group = world::fresh_group();
    options.supervision.reconnect = true;  // the service's backlog may be full
    auto opened = w.loop().open(options, fresh.record());
    ASSERT_TRUE(opened);
    ASSERT_TRUE(w.until([&] { return fresh.is(handle_state::joined); }));
    opened->close();
    ASSERT_TRUE(w.until([&] { return fresh.is(handle_state::closed); }));
  }
  send(300);
  expect_all(member, 600);
}

TEST_F(flooded, a_member_rejoins_when_the_service_is_killed_and_restarted) {
  service_process service;
  auto options = w.options("good");
  options.service = service.name();
  options.supervision.reconnect = true;
  ASSERT_TRUE(w.loop().open(options, member.record()).transform([&](handle h) { member.self = h; }));
  ASSERT_TRUE(w.until([&] { return member.is(handle_state::joined); }));
  const flood around(service.name(), 1, 2);
  for (int round = 0; round < 3; ++round) {
    send(100);
    service.kill();
    ASSERT_TRUE(w.until([&] { return member.is(handle_state::lost); }));
    service.start();
    ASSERT_TRUE(w.until([&] { return member.is(handle_state::joined); }));
  }
  send(100);
  expect_all(member, 400);
}

}  // namespace
}  // namespace cpgring::test
