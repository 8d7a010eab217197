// A whole connection to libqb's own server: requests, answers, events, flow control, end by either side.
#include "ipc/connection.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "ipc/handshake.hpp"
#include "unit/ipc/fake_service.hpp"
#include "unit/ipc/no_leak.hpp"
#include "unit/ipc/qb_ring.hpp"
#include "unit/ipc/qb_service.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::ipc;
using namespace cpgring::ipc::test;

constexpr std::uint32_t asked = 16384;

/// Polls the condition without pauses for at most 30 s.
template <class Condition>
bool comes_true(Condition condition) {
  const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > give_up) {
      return false;
    }
    std::this_thread::yield();
  }
  return true;
}

connection connect_to(const std::string& name) {
  auto h = handshake::begin(name, asked);
  EXPECT_TRUE(h);
  for (;;) {
    const auto step = h->advance();
    if (!step || *step == handshake::step::done ||
        (*step == handshake::step::wait_readable && !wait_readable(h->fd()))) {
      EXPECT_TRUE(step) << step.error().message();
      break;
    }
  }
  auto made = h->finish();
  EXPECT_TRUE(made) << made.error().message();
  return std::move(*made);
}

std::string request(std::int32_t id, const std::string& body) {
  qb_ipc_request_header header{};
  header.id = id;
  header.size = static_cast<std::int32_t>(sizeof header + body.size());
  std::string bytes(sizeof header, '\0');
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes + body;
}

bool stage(connection& c, const std::string& bytes) {
  std::byte* const at = c.reserve(static_cast<std::uint32_t>(bytes.size()));
  if (at != nullptr) {
    std::memcpy(at, bytes.data(), bytes.size());
    c.stage(static_cast<std::uint32_t>(bytes.size()));
  }
  return at != nullptr;
}

/// The number of directories that libqb made for the clients of this service.
int directories_of_service(pid_t pid) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    count += entry.path().filename().string().starts_with("qb-" + std::to_string(pid) + "-") ? 1 : 0;
  }
  return count;
}

struct connection_to_libqb : ::testing::Test {
  const no_leak none;
  // Directories left by an earlier process with the same pid.
  const int directories_before = directories_of_service(::getpid());
  qb_service service;
  connection c = connect_to(service.name());

  /// The body of the next answer, which must carry `token`.
  std::string answer_to(std::uint64_t token) {
    answer got;
    read_result seen = read_result::empty;
    EXPECT_TRUE(comes_true([&] { return (seen = c.answers().next(got)) != read_result::empty; }));
    EXPECT_EQ(seen, read_result::frame);
    if (seen != read_result::frame) {
      return {};
    }
    EXPECT_EQ(got.token, token);
    EXPECT_EQ(got.error, response_reader::error_ok);
    return std::string(text(got.bytes).substr(response_reader::header_bytes));
  }
};

TEST_F(connection_to_libqb, carries_requests_and_answers_of_any_length) {
  for (std::uint32_t size = 0; size < 9000; size = size * 3 + 1) {
    const std::string body = pattern(size, size);
    c.answers().expect(4, response_reader::header_bytes + size, size);
    ASSERT_TRUE(stage(c, request(4, body)));
    EXPECT_TRUE(c.must_flush());
    ASSERT_TRUE(c.flush());
    EXPECT_FALSE(c.must_flush());
    EXPECT_EQ(answer_to(size), body);
  }
}

TEST_F(connection_to_libqb, carries_a_batch_with_one_doorbell_send) {
  for (std::uint64_t round = 0; round < 50; ++round) {
    for (std::uint64_t i = 0; i < 40; ++i) {
      c.answers().expect(5, response_reader::header_bytes + 8, i);
      ASSERT_TRUE(stage(c, request(5, pattern(8, round * 40 + i))));
    }
    EXPECT_EQ(c.staged(), 40U);
    ASSERT_TRUE(c.flush());
    EXPECT_EQ(c.staged(), 0U);
    for (std::uint64_t i = 0; i < 40; ++i) {
      ASSERT_EQ(answer_to(i), pattern(8, round * 40 + i));
    }
  }
  EXPECT_EQ(service.call([](qb_server& s) { return s.requests().size(); }), 2000U);
}

TEST_F(connection_to_libqb, sends_nothing_of_an_abandoned_reservation) {
  ASSERT_NE(c.reserve(100), nullptr);
  c.abandon();
  ASSERT_TRUE(c.flush());
  c.answers().expect(6, response_reader::header_bytes + 4, 1);
  ASSERT_TRUE(stage(c, request(6, "kept")));
  ASSERT_TRUE(c.flush());
  EXPECT_EQ(answer_to(1), "kept");
  EXPECT_EQ(service.call([](qb_server& s) { return s.requests(); }), std::vector{request(6, "kept")});
}

TEST_F(connection_to_libqb, receives_events_with_one_doorbell_byte_each) {
  for (std::uint64_t i = 0; i < 20; ++i) {
    ASSERT_TRUE(service.send_event(pattern(500, i)));
  }
  ASSERT_TRUE(wait_readable(c.fd()));
  EXPECT_EQ(*doorbell::drain(c.fd()), 20U);
  EXPECT_EQ(c.events().collect(), 20U);
  frame f;
  for (std::uint64_t i = 0; i < 20; ++i) {
    ASSERT_EQ(c.events().next(f), read_result::frame);
    EXPECT_EQ(text(f), pattern(500, i));
  }
  c.events().reclaim(20);
  EXPECT_EQ(c.events().used_bytes(), 0U);
}

TEST_F(connection_to_libqb, keeps_unread_doorbells_within_the_limit_of_libqb) {
  const std::int64_t due = c.events().capacity_bytes() / 4;
  bool was_due = false;
  frame f;
  for (int i = 0; i < 3 * due; ++i) {
    ASSERT_TRUE(service.send_event("x")) << i;
    ASSERT_EQ(c.events().collect(), 1U);
    ASSERT_EQ(c.events().next(f), read_result::frame);
    c.events().reclaim(1);
    was_due = was_due || c.unread_doorbells() >= due;
    c.read_doorbells_if_due();
    ASSERT_LE(c.unread_doorbells(), due) << i;
  }
  EXPECT_TRUE(was_due);
  EXPECT_EQ(connect_to(service.name()).unread_doorbells(), 0);
}

TEST_F(connection_to_libqb, detects_an_event_that_did_not_fit_and_receives_later_ones) {
  std::uint64_t sent = 0;
  while (service.send_event(pattern(1000, sent))) {
    ++sent;
  }
  EXPECT_EQ(sent, 20U);  // 20480 bytes, 1008 each
  EXPECT_FALSE(c.events().take_nearly_full());
  frame f;
  c.events().collect();
  while (c.events().next(f) == read_result::frame) {
  }
  c.events().reclaim(c.events().leased());
  EXPECT_TRUE(c.events().take_nearly_full());
  // Any request works as a poke.
  c.answers().expect(7, response_reader::header_bytes, 1);
  ASSERT_TRUE(stage(c, request(7, "")));
  ASSERT_TRUE(c.flush());
  EXPECT_EQ(answer_to(1), "");
  ASSERT_TRUE(service.send_event("after"));
  ASSERT_EQ(c.events().collect(), 1U);
  ASSERT_EQ(c.events().next(f), read_result::frame);
  EXPECT_EQ(text(f), "after");
}

TEST_F(connection_to_libqb, is_not_writable_under_flow_control) {
  EXPECT_EQ(c.writable(), writable::yes);
  service.call([](qb_server& s) { ::qb_ipcs_request_rate_limit(s.get(), QB_IPCS_RATE_OFF_2); });
  EXPECT_EQ(c.writable(), writable::flow_control);
  service.call([](qb_server& s) { ::qb_ipcs_request_rate_limit(s.get(), QB_IPCS_RATE_NORMAL); });
  EXPECT_EQ(c.writable(), writable::yes);
}

TEST_F(connection_to_libqb, is_writable_again_after_the_service_reads_its_requests) {
  service.call([](qb_server& s) { ::qb_ipcs_request_rate_limit(s.get(), QB_IPCS_RATE_OFF); });
  std::uint32_t sent = 0;
  // Under flow control the service reads nothing. Requests written nevertheless are not lost.
  for (; sent < doorbell::outstanding_max; ++sent) {
    c.answers().expect(8, response_reader::header_bytes, sent);
    ASSERT_TRUE(stage(c, request(8, "")));
    ASSERT_TRUE(c.flush());
    ASSERT_FALSE(c.must_flush());
  }
  service.call([](qb_server& s) { ::qb_ipcs_request_rate_limit(s.get(), QB_IPCS_RATE_NORMAL); });
  for (std::uint32_t i = 0; i < sent; ++i) {
    ASSERT_EQ(answer_to(i), "") << i;
  }
  ASSERT_TRUE(comes_true([&] { return c.writable() == writable::yes; }));
}

TEST_F(connection_to_libqb, keeps_ring_addresses_when_moved) {
  ring_reader* const events = &c.events();
  const connection moved = std::move(c);
  EXPECT_EQ(&moved.events(), events);
  EXPECT_FALSE(moved.hung_up());
  ASSERT_TRUE(service.send_event("still here"));
  EXPECT_EQ(events->collect(), 1U);
}

TEST_F(connection_to_libqb, detects_a_hang_up_that_removes_the_files) {
  EXPECT_FALSE(c.hung_up());
  c.remove_files_of_dead_service();  // no effect while the service lives
  EXPECT_EQ(directories_of_service(::getpid()), directories_before + 1);
  ASSERT_TRUE(service.send_event("last words"));
  service.call([](qb_server& s) { ::qb_ipcs_disconnect(s.connections().at(0)); });
  EXPECT_TRUE(c.hung_up());
  EXPECT_EQ(directories_of_service(::getpid()), directories_before);
  EXPECT_EQ(c.writable(), writable::hung_up);
  // Events sent before the hang-up are still readable.
  frame f;
  ASSERT_EQ(c.events().collect(), 1U);
  ASSERT_EQ(c.events().next(f), read_result::frame);
  EXPECT_EQ(text(f), "last words");
  ASSERT_TRUE(stage(c, request(9, "")));
  const auto flushed = c.flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error(), errc::service_lost);
  c.remove_files_of_dead_service();
}

/// Runs a service of this name in a single-threaded child until it is killed.
pid_t serve_in_a_child(const std::string& name) {
  std::array<int, 2> ready{};
  EXPECT_EQ(::pipe(ready.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    server_loop loop;
    loop.enter();
    const qb_server server(name, 0, 0);
    ::close(ready[0]);
    ::close(ready[1]);
    for (;;) {
      loop.turn(-1);
    }
  }
  ::close(ready[1]);
  char end = 0;
  EXPECT_EQ(::read(ready[0], &end, 1), 0);  // EOF: the child listens
  ::close(ready[0]);
  return child;
}

TEST(connection_to_a_killed_service, removes_the_files_of_a_killed_service) {
  const no_leak none;
  const std::string name = fresh_name("child");
  const pid_t child = serve_in_a_child(name);
  ASSERT_GT(child, 0);
  // Directories left by an earlier process with the same pid.
  const int others = directories_of_service(child);
  connection c = connect_to(name);
  EXPECT_EQ(c.service_pid(), child);
  EXPECT_EQ(directories_of_service(child), others + 1);
  ASSERT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(c.hung_up());
  EXPECT_EQ(directories_of_service(child), others + 1);
  c.remove_files_of_dead_service();
  EXPECT_EQ(directories_of_service(child), others);
}

/// A connection whose service is the test. The rings have a directory of their own, as with libqb.
struct connection_to_a_fake : ::testing::Test {
  struct directory {
    std::string path = "/dev/shm/" + fresh_name("dir");
    directory() { std::filesystem::create_directory(path); }
    directory(const directory&) = delete;
    directory& operator=(const directory&) = delete;
    ~directory() { std::filesystem::remove_all(path); }
  };
  connection connect() {
    fake_answer a;
    a.name(fake_answer::names[0], requests.base());
    a.name(fake_answer::names[1], responses.base());
    a.name(fake_answer::names[2], events.base());
    auto h = handshake::begin(service.name(), asked);
    EXPECT_TRUE(h && h->advance());
    service.accept();
    EXPECT_EQ(service.request().size(), 24U);
    service.send(a.text());
    EXPECT_TRUE(h->advance());
    auto made = h->finish();
    EXPECT_TRUE(made) << made.error().message();
    return std::move(*made);
  }

  const no_leak none;
  const directory dir;
  raw_ring requests{20480, 8252, dir.path + "/qb-request"};
  raw_ring responses{20480, 8252, dir.path + "/qb-response"};
  raw_ring events{20480, 8252, dir.path + "/qb-event"};
  fake_service service;
  connection c = connect();
};

TEST_F(connection_to_a_fake, sends_one_byte_per_request_after_posting_the_semaphore) {
  ASSERT_TRUE(stage(c, "one"));
  ASSERT_TRUE(stage(c, "two"));
  EXPECT_EQ(requests.get(cf::semaphore), 0U);
  EXPECT_EQ(service.request().size(), 0U);
  ASSERT_TRUE(c.flush());
  EXPECT_EQ(requests.get(cf::semaphore), 2U);
  EXPECT_EQ(service.request().size(), 2U);
}

TEST_F(connection_to_a_fake, names_each_reason_for_not_writable) {
  requests.set(cf::user_word, 2);
  EXPECT_EQ(c.writable(), writable::flow_control);
  requests.set(cf::user_word, 0);
  requests.set(cf::reference_count, 1);
  EXPECT_EQ(c.writable(), writable::hung_up);
  requests.set(cf::reference_count, 2);
  EXPECT_EQ(c.writable(), writable::yes);
  while (c.writable() == writable::yes) {
    ASSERT_TRUE(stage(c, "x"));
    ASSERT_TRUE(c.flush());
  }
  EXPECT_EQ(c.writable(), writable::outstanding);
  EXPECT_EQ(requests.get(cf::semaphore), doorbell::outstanding_max);
  requests.set(cf::semaphore, doorbell::outstanding_max / 2);
  EXPECT_EQ(c.writable(), writable::outstanding) << "after a refusal, writable only below half the limit";
  requests.set(cf::semaphore, doorbell::outstanding_max / 2 - 1);
  EXPECT_EQ(c.writable(), writable::yes);
  requests.set(cf::semaphore, 0);
  EXPECT_EQ(c.writable(), writable::yes);
  EXPECT_EQ(c.reserve(20000), nullptr);
  EXPECT_EQ(c.writable(), writable::ring_full);
  requests.set(cf::read_position, requests.get(cf::write_position));
  EXPECT_EQ(c.writable(), writable::yes);
}

TEST_F(connection_to_a_fake, publishes_nothing_more_while_a_doorbell_byte_is_owed) {
  // The connection's own limit prevents a full socket, so the test fills it directly.
  while (::send(c.fd(), "", 1, MSG_DONTWAIT) == 1) {
  }
  ASSERT_TRUE(stage(c, "first"));
  ASSERT_TRUE(c.flush());
  EXPECT_EQ(requests.get(cf::semaphore), 1U);
  EXPECT_TRUE(c.must_flush());
  EXPECT_EQ(c.writable(), writable::outstanding);
  ASSERT_TRUE(stage(c, "second"));
  ASSERT_TRUE(c.flush());
  EXPECT_EQ(requests.get(cf::semaphore), 1U);
  EXPECT_EQ(c.staged(), 1U);
  while (!service.request().empty()) {
  }
  ASSERT_TRUE(c.flush());
  EXPECT_FALSE(c.must_flush());
  EXPECT_EQ(requests.get(cf::semaphore), 2U);
  EXPECT_EQ(service.request().size(), 2U);
}

TEST_F(connection_to_a_fake, names_the_field_of_a_broken_request_ring) {
  EXPECT_TRUE(c.fault());
  requests.set(cf::read_position, 99999);
  EXPECT_EQ(c.reserve(4), nullptr);
  EXPECT_EQ(c.writable(), writable::hung_up);
  for (const auto& why : {c.fault(), c.flush()}) {
    ASSERT_FALSE(why);
    EXPECT_EQ(why.error(), errc::malformed);
    EXPECT_NE(why.error().text.find("request ring: the read position is 99999"), std::string::npos)
        << why.error().text;
  }
  EXPECT_EQ(service.request().size(), 0U);
}

TEST_F(connection_to_a_fake, removes_files_only_after_the_service_died) {
  c.remove_files_of_dead_service();
  EXPECT_TRUE(std::filesystem::exists(events.header_path()));
  service.hang_up();
  EXPECT_TRUE(c.hung_up());
  c.remove_files_of_dead_service();
  EXPECT_FALSE(std::filesystem::exists(dir.path));
}

TEST_F(connection_to_a_fake, keeps_a_directory_with_other_files) {
  const raw_ring other(4096, 8252, dir.path + "/other");
  service.hang_up();
  c.remove_files_of_dead_service();
  EXPECT_TRUE(std::filesystem::exists(other.header_path()));
  EXPECT_FALSE(std::filesystem::exists(events.header_path()));
}

}  // namespace
