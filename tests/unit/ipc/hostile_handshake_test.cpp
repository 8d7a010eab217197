// Malformed or missing handshake answers: each gives its own error with the field's name, and leaks nothing.
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <cpgring/options.hpp>

#include "ipc/doorbell.hpp"
#include "ipc/handshake.hpp"
#include "unit/ipc/fake_service.hpp"
#include "unit/ipc/no_leak.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

constexpr std::uint32_t asked = 16384;

struct hostile_handshake : ::testing::Test {
  const no_leak none;
  fake_service service;
  result<handshake> h = handshake::begin(service.name(), asked);

  /// Sends the request and accepts the connection.
  void connect() {
    ASSERT_TRUE(h) << h.error().message();
    const auto step = h->advance();
    ASSERT_TRUE(step) << step.error().message();
    ASSERT_EQ(*step, handshake::step::wait_readable);
    service.accept();
  }
  /// The result of the handshake after this answer.
  result<connection> outcome_of(std::string_view answer) {
    connect();
    EXPECT_EQ(service.request().size(), 24U);
    service.send(answer);
    const auto step = h->advance();
    if (!step) {
      return fail(step.error());
    }
    EXPECT_EQ(*step, handshake::step::done);
    return h->finish();
  }
  void expect_error(const fake_answer& answer, std::error_code code, const std::string& words) {
    const auto made = outcome_of(answer.text());
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, code) << made.error().message();
    EXPECT_NE(made.error().text.find(words), std::string::npos) << made.error().text;
  }
};

/// Three rings, and the answer that names them.
struct offered_rings {
  explicit offered_rings(std::size_t data_bytes = 20480)
      : request(data_bytes, 8252, base() + "-request"),
        response(data_bytes, 8252, base() + "-response"),
        event(data_bytes, 8252, base() + "-event") {
    answer.name(fake_answer::names[0], request.base());
    answer.name(fake_answer::names[1], response.base());
    answer.name(fake_answer::names[2], event.base());
  }
  static std::string base() { return "/dev/shm/" + fresh_name("offered"); }
  raw_ring request, response, event;
  fake_answer answer;
};

TEST_F(hostile_handshake, succeeds_with_a_valid_answer) {
  const offered_rings rings;
  connect();
  const std::string request = service.request();
  ASSERT_EQ(request.size(), 24U);
  const auto word = [&](std::size_t at) {
    std::int32_t value = 0;
    std::memcpy(&value, request.data() + at, sizeof value);
    return value;
  };
  EXPECT_EQ(word(0), -1);
  EXPECT_EQ(word(8), 24);
  EXPECT_EQ(word(16), 16384);
  service.send(rings.answer.text());
  ASSERT_EQ(*h->advance(), handshake::step::done);
  auto made = h->finish();
  ASSERT_TRUE(made) << made.error().message();
  for (const auto* ring : {&rings.request, &rings.response, &rings.event}) {
    EXPECT_EQ(ring->get(cf::reference_count), 2U);
  }
  EXPECT_FALSE(made->hung_up());
}

TEST_F(hostile_handshake, passes_credentials_until_the_handshake_is_done) {
  const auto passes_credentials = [&] {
    int value = -1;
    socklen_t size = sizeof value;
    EXPECT_EQ(::getsockopt(h->fd(), SOL_SOCKET, SO_PASSCRED, &value, &size), 0);
    return value;
  };
  const offered_rings rings;
  ASSERT_TRUE(h);
  // Set before connecting: the service may accept before the request is sent.
  EXPECT_EQ(passes_credentials(), 1);
  connect();
  const int on = 1;
  ASSERT_EQ(::setsockopt(service.client(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  std::array<char, 100> bytes;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(ucred))> control{};
  iovec part{bytes.data(), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ASSERT_EQ(::recvmsg(service.client(), &message, MSG_DONTWAIT), 24);
  const cmsghdr* const first = CMSG_FIRSTHDR(&message);
  ASSERT_NE(first, nullptr);
  ASSERT_EQ(first->cmsg_type, SCM_CREDENTIALS);
  ucred who{};
  std::memcpy(&who, CMSG_DATA(first), sizeof who);
  EXPECT_EQ(who.pid, ::getpid());
  EXPECT_EQ(who.uid, ::getuid());
  EXPECT_EQ(who.gid, ::getgid());
  service.send(rings.answer.text());
  ASSERT_EQ(*h->advance(), handshake::step::done);
  EXPECT_EQ(passes_credentials(), 0);  // doorbell bytes need no credentials
}

TEST_F(hostile_handshake, accepts_an_answer_in_many_pieces) {
  const offered_rings rings;
  connect();
  const std::string_view text = rings.answer.text();
  for (std::size_t at = 0; at < text.size(); at += 1000) {
    service.send(text.substr(at, 1000));
    const auto step = h->advance();
    ASSERT_TRUE(step) << step.error().message();
    ASSERT_EQ(*step, at + 1000 < text.size() ? handshake::step::wait_readable : handshake::step::done);
  }
  EXPECT_TRUE(h->finish());
}

TEST_F(hostile_handshake, leaves_event_bytes_after_the_answer_unread) {
  const offered_rings rings;
  auto made = outcome_of(std::string(rings.answer.text()) + "123");
  ASSERT_TRUE(made) << made.error().message();
  EXPECT_EQ(*doorbell::drain(made->fd()), 3U);
}

TEST_F(hostile_handshake, with_a_short_answer_and_a_hang_up) {
  connect();
  (void)service.request();
  service.send(fake_answer().text().substr(0, 5000));
  ASSERT_EQ(*h->advance(), handshake::step::wait_readable);
  service.hang_up();
  const auto step = h->advance();
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error(), errc::service_lost);
  EXPECT_NE(step.error().text.find("hung up after 5000 of 12328 bytes"), std::string::npos)
      << step.error().text;
}

TEST_F(hostile_handshake, with_a_hang_up_before_and_after_the_request_was_read) {
  connect();
  service.hang_up();  // unread request: connection reset
  auto step = h->advance();
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error(), errc::service_lost) << step.error().message();
  h = handshake::begin(service.name(), asked);
  connect();
  (void)service.request();
  service.hang_up();
  step = h->advance();
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error(), errc::service_lost) << step.error().message();
  EXPECT_NE(step.error().text.find("hung up after 0 of"), std::string::npos) << step.error().text;
}

TEST_F(hostile_handshake, with_a_listener_that_closes_before_accepting) {
  ASSERT_TRUE(h);
  ASSERT_EQ(*h->advance(), handshake::step::wait_readable);
  service.stop_listening();
  const auto step = h->advance();
  ASSERT_FALSE(step);
  EXPECT_EQ(step.error(), errc::service_lost) << step.error().message();
}

TEST_F(hostile_handshake, without_an_answer_does_not_block_and_can_be_dropped) {
  connect();
  for (int i = 0; i < 1000; ++i) {
    const auto step = h->advance();
    ASSERT_TRUE(step);
    ASSERT_EQ(*step, handshake::step::wait_readable);
  }
  h = fail(errc::timeout);  // as a caller does at its deadline
  std::array<char, 100> bytes;
  EXPECT_EQ(::recv(service.client(), bytes.data(), bytes.size(), 0), 24);
  EXPECT_EQ(::recv(service.client(), bytes.data(), bytes.size(), 0), 0);  // the service sees a hang-up
}

TEST(hostile_backlog, that_is_full_asks_for_a_retry_until_it_has_room) {
  const no_leak none;
  fake_service service(0);
  std::vector<handshake> waiting;
  for (;;) {
    auto h = handshake::begin(service.name(), asked);
    ASSERT_TRUE(h);
    const auto step = h->advance();
    ASSERT_TRUE(step) << step.error().message();
    waiting.push_back(std::move(*h));
    if (*step == handshake::step::retry_connect) {
      break;
    }
    ASSERT_LT(waiting.size(), 100U);
  }
  EXPECT_EQ(*waiting.back().advance(), handshake::step::retry_connect);
  service.accept();
  EXPECT_EQ(*waiting.back().advance(), handshake::step::wait_readable);
}

TEST(hostile_backlog, of_a_socket_file_works_like_an_abstract_one) {
  const no_leak none;
  const std::string path = "/tmp/" + fresh_name("socket");
  fake_service service(8, path);
  auto h = handshake::begin(path, asked);
  ASSERT_TRUE(h) << h.error().message();
  EXPECT_EQ(*h->advance(), handshake::step::wait_readable);
  service.accept();
  EXPECT_EQ(service.request().size(), 24U);
  service.stop_listening();
  auto late = handshake::begin(path, asked);
  ASSERT_TRUE(late);
  EXPECT_EQ(late->advance().error(), errc::service_absent);  // the socket file still exists
  ::unlink(path.c_str());
}

TEST_F(hostile_handshake, with_another_id) {
  fake_answer a;
  a.put(fake_answer::id, 5);
  expect_error(a, errc::malformed, "id is 5, expected -1");
}

TEST_F(hostile_handshake, with_another_size) {
  fake_answer a;
  a.put(fake_answer::size, 24);
  expect_error(a, errc::malformed, "size is 24, expected 12328");
}

TEST_F(hostile_handshake, with_a_positive_error) {
  fake_answer a;
  a.put(fake_answer::error, 11);
  expect_error(a, errc::malformed, "error is 11, expected 0, or a negative errno");
}

// -INT32_MIN overflows.
TEST_F(hostile_handshake, with_the_error_int32_min) {
  fake_answer a;
  a.put(fake_answer::error, INT32_MIN);
  expect_error(a, errc::malformed, "error is -2147483648");
}

TEST_F(hostile_handshake, with_a_refusal_and_invalid_other_fields) {
  fake_answer a;
  a.put(fake_answer::error, -EACCES);
  a.put(fake_answer::type, 9);
  a.put(fake_answer::max_message_size, 0);
  expect_error(a, errc::access, "refuses this user");
}

TEST_F(hostile_handshake, with_sockets_in_place_of_rings) {
  fake_answer a;
  a.put(fake_answer::type, 0);
  expect_error(a, errc::not_supported, "connection type 0; only shared memory (1) works");
}

TEST_F(hostile_handshake, with_an_unknown_type) {
  fake_answer a;
  a.put(fake_answer::type, 0xFFFFFFFF);
  expect_error(a, errc::not_supported, "connection type 4294967295");
}

TEST_F(hostile_handshake, with_a_message_size_below_the_requested_one) {
  fake_answer a;
  a.put(fake_answer::max_message_size, asked - 1);
  expect_error(a, errc::malformed, "max_msg_size is 16383, expected 16384 (as asked for)");
}

TEST_F(hostile_handshake, with_a_message_size_of_zero) {
  fake_answer a;
  a.put(fake_answer::max_message_size, 0);
  expect_error(a, errc::malformed, "max_msg_size is 0");
}

TEST_F(hostile_handshake, with_the_message_size_uint32_max) {
  fake_answer a;
  a.put(fake_answer::max_message_size, 0xFFFFFFFF);
  expect_error(a, errc::malformed, "max_msg_size is 4294967295");
}

TEST_F(hostile_handshake, with_a_message_size_above_the_largest_option) {
  fake_answer a;
  a.put(fake_answer::max_message_size, ring_bytes_max + 1);
  expect_error(a, errc::malformed, "max_msg_size is 33554433, expected 16384 (as asked for) to 33554432");
}

TEST_F(hostile_handshake, with_rings_above_the_largest_option) {
  const offered_rings rings((std::size_t{32} << 20) + 8192);
  expect_error(rings.answer, errc::malformed, "at most 33558528");
}

TEST_F(hostile_handshake, with_the_same_ring_named_twice) {
  fake_answer a;
  a.name(fake_answer::names[2], "/dev/shm/cpgring-test-no-such-response");
  expect_error(a, errc::malformed,
               "ring names is /dev/shm/cpgring-test-no-such-response, expected three different ones");
}

TEST_F(hostile_handshake, with_a_message_size_above_its_own_rings) {
  offered_rings rings;
  rings.answer.put(fake_answer::max_message_size, 20480);
  expect_error(rings.answer, errc::malformed, "at least 20493 bytes");
  EXPECT_EQ(rings.request.get(cf::reference_count), 1U);
}

TEST_F(hostile_handshake, with_names_that_do_not_exist) {
  expect_error(fake_answer(), {ENOENT, std::system_category()},
               "/dev/shm/cpgring-test-no-such-request-header");
}

TEST_F(hostile_handshake, with_the_last_ring_missing_releases_the_others) {
  offered_rings rings;
  ::unlink(rings.event.data_path().c_str());
  expect_error(rings.answer, {ENOENT, std::system_category()}, rings.event.data_path());
  EXPECT_EQ(rings.request.get(cf::reference_count), 1U);
  EXPECT_EQ(rings.response.get(cf::reference_count), 1U);
}

TEST_F(hostile_handshake, with_rings_in_several_directories) {
  fake_answer a;
  a.name(fake_answer::names[2], "/tmp/cpgring-test-no-such-event");
  expect_error(a, errc::malformed, "ring directory is /tmp, expected /dev/shm");
}

struct name_case {
  const char* which;
  std::size_t at;
};

TEST(hostile_names, are_refused_for_each_ring_by_its_name) {
  const std::vector<std::string> bad{"",
                                     "/",
                                     "relative/path",
                                     "qb-request",
                                     "/dev/shm/../../etc/passwd",
                                     "/dev/shm//qb-request",
                                     "/dev/shm/./qb-request",
                                     "/dev/shm/link/./qb-request",
                                     "/dev/shm/qb\nrequest",
                                     "/dev/shm/qb\x1b[31m",
                                     std::string(4096, '/'),
                                     "/" + std::string(4095, 'x')};
  for (const auto& [which, at] :
       {name_case{"request ring name", 40}, {"response ring name", 4136}, {"event ring name", 8232}}) {
    for (const std::string& text : bad) {
      const no_leak none;
      fake_service service;
      auto h = handshake::begin(service.name(), asked);
      ASSERT_TRUE(h && h->advance());
      service.accept();
      fake_answer a;
      a.name(at, text);
      service.send(a.text());
      const auto step = h->advance();
      ASSERT_FALSE(step) << which << " " << text.substr(0, 40);
      EXPECT_EQ(step.error(), errc::malformed) << step.error().message();
      EXPECT_NE(step.error().text.find(which), std::string::npos) << step.error().text;
    }
  }
}

TEST_F(hostile_handshake, with_a_ring_name_longer_than_a_path) {
  fake_answer a;
  char last = 'x';
  for (const std::size_t at : fake_answer::names) {
    a.name(at, "/dev/shm/" + std::string(4085, 'x') + last++);  // 4095 bytes and the NUL
  }
  expect_error(a, {ENAMETOOLONG, std::system_category()}, "opening /dev/shm/xxx");
}

// Any combination of wrong fields gives an error and leaks nothing.
RC_GTEST_PROP(hostile_answers, with_random_fields_give_an_error_with_a_text, ()) {
  const no_leak none;
  fake_service service;
  auto h = handshake::begin(service.name(), asked);
  RC_ASSERT(h.has_value());
  RC_ASSERT(h->advance().has_value());
  service.accept();
  fake_answer a;
  const auto changes =
      *rc::gen::nonEmpty(rc::gen::container<std::vector<std::pair<std::size_t, std::uint32_t>>>(rc::gen::pair(
          rc::gen::oneOf(rc::gen::elementOf(std::vector<std::size_t>{0, 8, 16, 24, 28, 40, 4136, 8232}),
                         rc::gen::map(rc::gen::inRange<std::size_t>(0, 12328 / 4),
                                      [](std::size_t word) { return word * 4; })),
          rc::gen::oneOf(rc::gen::arbitrary<std::uint32_t>(), rc::gen::inRange<std::uint32_t>(0, 40),
                         rc::gen::inRange<std::uint32_t>(-40U, UINT32_MAX)))));
  for (const auto& [at, value] : changes) {
    a.put(at, value);
  }
  const auto length =
      *rc::gen::oneOf(rc::gen::just(std::size_t{12328}), rc::gen::inRange<std::size_t>(0, 12328));
  service.send(a.text().substr(0, length));
  service.hang_up();
  const auto step = h->advance();
  if (step) {
    RC_ASSERT(*step == handshake::step::done);
    const auto made = h->finish();
    RC_ASSERT(!made.has_value());
    RC_ASSERT(!made.error().text.empty());
  } else {
    RC_ASSERT(!step.error().text.empty());
  }
}

}  // namespace
