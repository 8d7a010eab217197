// The debt of doorbell bytes that a service owes its clients stays small over any number of events; see
// engine/ipc/doorbell_debt.hpp. tests/preload/doorbell_counter.cpp is loaded into the service: corosync under
// scripts/with-corosync, else `cpgring serve`.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/owned.hpp"
#include "preload/doorbell_figures.hpp"
#include "support/command.hpp"
#include "support/raw_connection.hpp"
#include "support/raw_requests.hpp"
#include "support/service_process.hpp"
#include "support/world.hpp"

namespace {

using namespace cpgring;
using namespace cpgring::test;

constexpr std::uint64_t events = 200000;
// Largest debt in bytes. libqb aborts at 2^31, and reads beyond its buffer once the debt exceeds the ring's
// size.
constexpr std::uint64_t allowed = 32768;

/// A service that counts its doorbell bytes. libqb's count of owed bytes starts at `ahead`.
class counted_service {
 public:
  explicit counted_service(std::int64_t ahead) {
    base::unique_fd fd(::open(file_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    EXPECT_TRUE(fd && ::ftruncate(fd.get(), sizeof(doorbell_figures)) == 0);
    page_ = base::unique_mapping(
        ::mmap(nullptr, sizeof(doorbell_figures), PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0),
        sizeof(doorbell_figures));
    ::setenv("CPGRING_DOORBELL_FILE", file_.c_str(), 1);
    ::setenv("CPGRING_DOORBELL_AHEAD", std::to_string(ahead).c_str(), 1);
    ::setenv("LD_PRELOAD", CPGRING_PRELOAD_DIR "/libdoorbell_counter.so", 1);
    service_ = std::make_unique<service_process>();
    if (!world::embedded()) {
      service_->kill();
      service_->start();
    }
    for (const char* name : {"CPGRING_DOORBELL_FILE", "CPGRING_DOORBELL_AHEAD", "LD_PRELOAD"}) {
      ::unsetenv(name);
    }
    pid_ = service_->pid();
  }
  ~counted_service() { ::unlink(file_.c_str()); }
  counted_service(const counted_service&) = delete;
  counted_service& operator=(const counted_service&) = delete;
  [[nodiscard]] const std::string& name() const { return service_->name(); }
  [[nodiscard]] const doorbell_figures& figures() const {
    return *reinterpret_cast<const doorbell_figures*>(page_.data());
  }
  [[nodiscard]] bool lives() const { return service_->pid() == pid_ && !ended(); }
  [[nodiscard]] bool ended() const { return service_->ended(); }

 private:
  const std::string file_ = ::testing::TempDir() + fmt::format("cpgring-doorbells-{}", ::getpid());
  base::unique_mapping page_;
  std::unique_ptr<service_process> service_;
  pid_t pid_ = 0;
};

/// Runs `cpgring load` with one handle and no rate limit; the command checks every delivered message.
ended exchange(const counted_service& service, wakeup backend, int workers) {
  return cpgring_command({"load", "--service", service.name(), "--handles", "1", "--messages",
                          std::to_string(events), "--rate", "0", "--wakeup", std::string(to_string(backend)),
                          "--workers", std::to_string(workers), "--ring-bytes", "1048576"});
}

/// A client that takes events and never reads its socket, unlike the library.
class never_reads {
 public:
  explicit never_reads(const std::string& service) : connection_(raw_connect(service, 1 << 20)) {
    namespace w = cpg::wire::join_request;
    auto join = cpg::make_request(cpg::wire::request::join, w::bytes);
    cpg::put_name(join.data() + w::name, "never reads");
    cpg::put(join.data() + w::pid, static_cast<std::uint32_t>(::getpid()));
    send_raw(connection_, join);
  }
  /// Multicasts `most` messages and takes them back, until all have arrived or the service hangs up. Returns
  /// how many arrived.
  std::uint64_t run(std::uint64_t most) {
    namespace w = cpg::wire::multicast_request;
    auto& ring = connection_.events();
    std::uint64_t came = 0, sent = 0;
    const auto end = std::chrono::steady_clock::now() + patience;
    while (came < most && std::chrono::steady_clock::now() < end) {
      for (int i = 0; i < 32 && sent < most && connection_.writable() == ipc::writable::yes; ++i) {
        std::byte* const at = connection_.reserve(w::data);
        if (at == nullptr) {
          break;
        }
        cpg::put_multicast_header(at, 0);
        connection_.stage(w::data);
        ++sent;
      }
      if (connection_.hung_up() || !connection_.flush()) {
        return came;
      }
      for (ipc::frame frame; ring.ready() != 0 || ring.collect() != 0; ++came) {
        EXPECT_EQ(ring.next(frame), ipc::read_result::frame);
      }
      ring.reclaim(ring.leased());
    }
    return came;
  }

 private:
  ipc::connection connection_;
};

class doorbell_debt : public ::testing::TestWithParam<std::tuple<wakeup, int>> {};
INSTANTIATE_TEST_SUITE_P(of, doorbell_debt,
                         ::testing::Combine(::testing::ValuesIn(backends_here()), ::testing::Values(0, 1)),
                         [](const auto& info) {
                           return std::string(to_string(std::get<0>(info.param))) +
                                  (std::get<1>(info.param) == 0 ? "_inline" : "_on_a_worker");
                         });

TEST_P(doorbell_debt, stays_small_over_many_events) {
  const auto [backend, workers] = GetParam();
  counted_service service(0);
  const auto outcome = exchange(service, backend, workers);
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_GT(service.figures().sends, events / 2);
  EXPECT_LT(service.figures().longest, allowed);
  EXPECT_TRUE(service.lives());
  fmt::print("sends {}, longest {}, refused {}, repaid {}\n", service.figures().sends.load(),
             service.figures().longest.load(), service.figures().refused.load(),
             service.figures().repaid.load());
}

// The service starts `allowed` bytes below the limit at which libqb aborts.
TEST_P(doorbell_debt, is_repaid_to_a_service_near_its_limit) {
  const auto [backend, workers] = GetParam();
  counted_service service(INT32_MAX - static_cast<std::int64_t>(allowed));
  const auto outcome = exchange(service, backend, workers);
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_TRUE(service.lives());
  if (backend == wakeup::futex) {
    // The count was set ahead, fell to 0, and was set ahead again.
    EXPECT_GT(service.figures().refused, 1U);
    EXPECT_GT(service.figures().repaid, 1U);
  }
}

class doorbell_debt_of_a_closed_handle : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(with, doorbell_debt_of_a_closed_handle, ::testing::Values(0, 1),
                         [](const auto& info) { return info.param == 0 ? "callbacks_inline" : "a_worker"; });

// A closed handle sends its queue, and drops the events that arrive meanwhile.
TEST_P(doorbell_debt_of_a_closed_handle, stays_small_while_its_queue_is_sent) {
  constexpr std::uint64_t messages = 80000;
  counted_service service(0);
  world w(wakeup::automatic, [](engine_options& o) {
    o.close_deadline = patience;
    o.workers = static_cast<std::uint32_t>(GetParam());
  });
  const std::string group = world::fresh_group();
  std::atomic<std::uint64_t> heard{0};
  std::atomic<int> joined{0};
  const auto open = [&](std::uint32_t pid, bool counts) {
    const auto calls = std::make_shared<callbacks>();
    calls->on_state = [&](handle&, const state_change& s) { joined += s.to == handle_state::joined ? 1 : 0; };
    if (counts) {
      calls->on_message = [&](handle&, const message&) { ++heard; };
    }
    auto options = w.options(group);
    options.service = service.name();
    options.ring_bytes = 1 << 20;
    cpgring::testing::simulate_pid(options, pid);
    options.send_queue_bytes = std::size_t{64} << 20;
    auto opened = w.loop().open(options, calls);
    EXPECT_TRUE(opened) << opened.error().message();
    return *opened;
  };
  handle other = open(1000001, true);
  handle closed = open(1000002, false);
  ASSERT_TRUE(w.until([&] { return joined == 2; }));
  for (std::uint64_t i = 0; i < messages; ++i) {
    const auto sent = closed.multicast_confirmed("x", patience, [](const multicast_outcome&) {});
    ASSERT_TRUE(sent) << sent.error().message();
  }
  closed.close();
  ASSERT_TRUE(w.until([&] { return heard == messages; }));
  EXPECT_LT(service.figures().longest, allowed);
  EXPECT_GT(service.figures().repaid, 0U);
  EXPECT_TRUE(service.lives());
}

class doorbell_debt_of_libcpg : public ::testing::TestWithParam<std::tuple<const char*, const char*>> {};
INSTANTIATE_TEST_SUITE_P(in, doorbell_debt_of_libcpg,
                         ::testing::Combine(::testing::Values("ours", "stock"),
                                            ::testing::Values("one", "one_nonblocking", "all", "blocking",
                                                              "nested", "slow", "unread")),
                         [](const auto& info) {
                           return std::string(std::get<0>(info.param)) + "_" + std::get<1>(info.param);
                         });

// If a program dispatches nothing, its ring takes some thousand events and the service queues the rest.
TEST_P(doorbell_debt_of_libcpg, stays_small_in_every_mode) {
  if (world::embedded()) {
    GTEST_SKIP() << "libcpg connects to the service 'cpg', which is corosync here";
  }
  const auto [whose, mode] = GetParam();
  counted_service service(0);
  const std::string folder = whose == std::string("ours") ? CPGRING_LIBCPG_DIR : "";
  const auto outcome = child({"env", "LD_LIBRARY_PATH=" + folder, CPGRING_PEERS_DIR "/takes_many", mode,
                              std::to_string(events / 4)})
                           .wait();
  EXPECT_EQ(outcome.status, 0) << outcome.out << outcome.err;
  EXPECT_GT(service.figures().sends, 1000U);
  EXPECT_LT(service.figures().longest, allowed);
  EXPECT_TRUE(service.lives());
  fmt::print("sends {}, longest {}, refused {}, repaid {}\n", service.figures().sends.load(),
             service.figures().longest.load(), service.figures().refused.load(),
             service.figures().repaid.load());
}

// Shows that the tests above detect a client that never reads its socket.
TEST(doorbell_debt_of_a_client_that_never_reads, ends_stock_corosync) {
  if (world::embedded()) {
    GTEST_SKIP() << "tests stock corosync only";
  }
  counted_service service(INT32_MAX - static_cast<std::int64_t>(allowed));
  never_reads client(service.name());
  EXPECT_LT(client.run(events), events);
  EXPECT_TRUE(eventually([&] { return service.ended(); }));
}

TEST(doorbell_debt_of_a_client_that_never_reads, ends_only_that_client_of_the_embedded_service) {
  if (!world::embedded()) {
    GTEST_SKIP() << "tests the embedded service only";
  }
  // Leaves more room than the embedded service lets a client use.
  counted_service service(INT32_MAX - 2 * static_cast<std::int64_t>(allowed));
  world w;
  witness other;
  auto calls = other.record();
  handle_options options = w.options(world::fresh_group());
  options.service = service.name();
  auto opened = w.loop().open(options, std::move(calls));
  ASSERT_TRUE(opened) << opened.error().message();
  ASSERT_TRUE(w.until([&] { return other.is(handle_state::joined); }));

  never_reads client(service.name());
  constexpr std::uint64_t few = 2 * allowed;  // too few to reach libqb's limit
  const std::uint64_t came = client.run(few);
  EXPECT_GT(came, allowed / 2);
  EXPECT_LT(came, few);
  EXPECT_LT(service.figures().longest, 2 * allowed);
  ASSERT_TRUE(opened->multicast("still here"));
  EXPECT_TRUE(w.until([&] { return !other.messages.empty(); }));
  EXPECT_TRUE(other.is(handle_state::joined));
  EXPECT_TRUE(service.lives());
}

}  // namespace
