// The handshake with libqb's own server: agreements, refusals, and no leaks after a handshake is dropped.
#include "ipc/handshake.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "unit/ipc/no_leak.hpp"
#include "unit/ipc/qb_service.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

/// Advances as a caller without a deadline does.
result<handshake::step> advance_to_the_end(handshake& h) {
  for (;;) {
    auto step = h.advance();
    if (!step || *step == handshake::step::done) {
      return step;
    }
    if (*step == handshake::step::retry_connect) {
      std::this_thread::yield();
    } else if (!wait_readable(h.fd())) {
      return fail(errc::timeout, "no answer for 30 s");
    }
  }
}

result<connection> connect(const std::string& name, std::uint32_t max_message_size = 16384) {
  auto h = handshake::begin(name, max_message_size);
  if (!h) {
    return fail(h.error());
  }
  if (auto end = advance_to_the_end(*h); !end) {
    return fail(end.error());
  }
  return h->finish();
}

TEST(handshake, opens_three_rings_with_two_references) {
  const no_leak none;
  qb_service service;
  auto made = connect(service.name());
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->service_pid(), ::getpid());
  EXPECT_EQ(made->max_message_size(), 16384U);
  EXPECT_EQ(made->shm_bytes(), 3U * (20480 + 8252));
  EXPECT_EQ(made->events().capacity_bytes(), 20480U);
  EXPECT_EQ(made->responses().capacity_bytes(), 20480U);
  EXPECT_EQ(made->request_bytes_max(), 20480U - 12U);
  EXPECT_EQ(made->writable(), writable::yes);  // requires a reference count of 2
  EXPECT_FALSE(made->hung_up());
  EXPECT_EQ(service.connections(), 1U);
  EXPECT_NE(::fcntl(made->fd(), F_GETFD) & FD_CLOEXEC, 0);
  EXPECT_NE(::fcntl(made->fd(), F_GETFL) & O_NONBLOCK, 0);
}

TEST(handshake, opens_rings_of_the_requested_size) {
  const no_leak none;
  qb_service service;
  for (std::uint32_t size : {12328U, 16384U, 65536U, 1048576U}) {
    auto made = connect(service.name(), size);
    ASSERT_TRUE(made) << made.error().message();
    EXPECT_EQ(made->max_message_size(), size);
    EXPECT_EQ(made->events().capacity_bytes(), (size + 13 + 4095) / 4096 * 4096);
  }
}

TEST(handshake, accepts_a_larger_size_enforced_by_the_service) {
  const no_leak none;
  qb_service service(0, 131072);
  auto made = connect(service.name(), 16384);
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(made->max_message_size(), 131072U);
  EXPECT_EQ(made->events().capacity_bytes(), 135168U);
}

TEST(handshake, runs_concurrently_with_others) {
  const no_leak none;
  qb_service service;
  std::vector<handshake> all;
  for (int i = 0; i < 64; ++i) {
    auto h = handshake::begin(service.name(), 16384, false);
    ASSERT_TRUE(h) << h.error().message();
    const auto step = h->advance();
    ASSERT_TRUE(step) << step.error().message();
    all.push_back(std::move(*h));
  }
  std::vector<connection> made;
  for (auto& h : all) {
    const auto end = advance_to_the_end(h);
    ASSERT_TRUE(end) << end.error().message();
    auto c = h.finish();
    ASSERT_TRUE(c) << c.error().message();
    made.push_back(std::move(*c));
  }
  EXPECT_EQ(service.connections(), 64U);
  made.clear();
  all.clear();
}

struct refusal_case {
  std::int32_t code;
  std::error_code expected;
  const char* words;
};

TEST(handshake, names_cause_and_remedy_of_a_refusal) {
  const no_leak none;
  for (const auto& [code, expected, words] : {
           refusal_case{-EACCES, errc::access, "uidgid"},
           refusal_case{-EAGAIN, errc::service_not_ready, "try again"},
           refusal_case{-ENOSPC, errc::no_space, "/dev/shm"},
           refusal_case{-EMFILE, errc::no_descriptors, "the service's RLIMIT_NOFILE"},
           refusal_case{-ENFILE, errc::no_descriptors, "the service's RLIMIT_NOFILE"},
           refusal_case{-ENOSYS, errc::service_absent, "no such service"},
           refusal_case{-ENOMEM, errc::no_memory, "out of memory"},
           refusal_case{-EXDEV, {EXDEV, std::system_category()}, "refused the connection"},
       }) {
    qb_service service(code);
    const auto made = connect(service.name());
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, expected) << made.error().message();
    EXPECT_NE(made.error().text.find(words), std::string::npos) << made.error().text;
    EXPECT_NE(made.error().text.find(service.name()), std::string::npos) << made.error().text;
    EXPECT_EQ(service.connections(), 0U);
  }
}

/// Waits at most 30 s until the server has no connections.
bool comes_to_have_no_connections(qb_service& service) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (service.connections() != 0) {
    if (std::chrono::steady_clock::now() > give_up) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

TEST(handshake, dropped_at_any_step_leaves_nothing_open_in_client_or_service) {
  const no_leak none;
  qb_service service;
  const auto before = no_leak::descriptors();
  { ASSERT_TRUE(handshake::begin(service.name(), 16384)); }
  {
    auto h = handshake::begin(service.name(), 16384);
    ASSERT_TRUE(h && h->advance());
  }
  {
    auto h = handshake::begin(service.name(), 16384);
    ASSERT_TRUE(h);
    const auto step = h->advance();  // a fast service may have answered already
    ASSERT_TRUE(step && (*step == handshake::step::done || wait_readable(h->fd())));
  }
  {
    auto h = handshake::begin(service.name(), 16384);
    ASSERT_TRUE(h && advance_to_the_end(*h));
  }
  { ASSERT_TRUE(connect(service.name())); }
  // The server sees the clients in the order of their connecting.
  ASSERT_TRUE(comes_to_have_no_connections(service));
  EXPECT_EQ(no_leak::descriptors(), before);  // includes the server's ends: same process
  EXPECT_EQ(no_leak::mappings(), 0);
}

TEST(handshake, moves_with_its_socket) {
  const no_leak none;
  qb_service service;
  auto first = handshake::begin(service.name(), 16384);
  ASSERT_TRUE(first && first->advance());
  handshake second = std::move(*first);
  const auto end = advance_to_the_end(second);
  ASSERT_TRUE(end) << end.error().message();
  EXPECT_EQ(*second.advance(), handshake::step::done);  // a further call changes nothing
  EXPECT_TRUE(second.finish());
}

TEST(handshake, reports_an_absent_service) {
  const no_leak none;
  for (const char* name : {"cpgring-test-nobody", "/tmp/cpgring-test-nobody"}) {
    auto made = connect(name);
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error(), errc::service_absent) << made.error().message();
    EXPECT_NE(made.error().text.find(name), std::string::npos) << made.error().text;
  }
}

TEST(handshake, refuses_invalid_socket_names) {
  const no_leak none;
  for (const std::string& name :
       {std::string(), std::string(107, 'x'), std::string("a\0b", 3), "/" + std::string(106, 'x')}) {
    auto h = handshake::begin(name, 16384);
    ASSERT_FALSE(h) << name.size();
    EXPECT_EQ(h.error(), errc::invalid_param);
    EXPECT_NE(h.error().text.find("1 to 106 bytes"), std::string::npos) << h.error().text;
  }
  EXPECT_TRUE(handshake::begin(std::string(106, 'x'), 16384));
}

// Limits apply to the whole process, so this runs in a child.
TEST(handshake, reports_a_lack_of_descriptors) {
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit none{3, 3};
    ::setrlimit(RLIMIT_NOFILE, &none);
    const auto h = handshake::begin("cpgring-test-nobody", 16384);
    ::_exit(!h && h.error() == errc::no_descriptors &&
                    h.error().text.find("RLIMIT_NOFILE") != std::string::npos
                ? 0
                : 1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
