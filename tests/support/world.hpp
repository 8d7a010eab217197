// One engine and one service for a test, driven on the test's own thread.
//
// The service is an embedded one, or the one that CPGRING_TEST_SERVICE names: "cpg" under
// scripts/with-corosync, where the same suite runs against stock corosync.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <cpgring/cpgring.hpp>
#include <cpgring/service.hpp>
#include <cpgring/testing.hpp>

namespace cpgring {
/// Printers for GoogleTest.
inline void PrintTo(const error& e, std::ostream* os) { *os << e.code << ' ' << e.message(); }
inline void PrintTo(handle_state state, std::ostream* os) { *os << to_string(state); }
}  // namespace cpgring

namespace cpgring::test {

/// The longest wait of a test; generous, because sanitizers and busy machines are slow. No test asserts a
/// shorter time.
inline constexpr std::chrono::seconds patience{60};
/// The first made-up process id; Linux's largest is 4194304. A service refuses a second handle with the same
/// id in a group, and in a namespace the test's own id is a small number.
inline constexpr std::uint32_t made_up_pid = 1000000000;

/// Drives an engine on this thread until `condition` holds; false when patience is over.
bool drive(engine& loop, const std::function<bool()>& condition);
/// Waits until `condition` holds, which other threads cause; false when patience is over.
bool eventually(const std::function<bool()>& condition);

class world {
 public:
  /// `can_go_bad`: gives an embedded service a fault injector, at first without faults.
  explicit world(wakeup backend = wakeup::automatic, std::function<void(engine_options&)> adjust = {},
                 bool can_go_bad = false);
  ~world();

  [[nodiscard]] const std::string& service() const noexcept { return service_name_; }
  [[nodiscard]] static bool embedded();
  engine& loop() { return *engine_; }
  embedded_service& embedded_service_object() { return *service_; }
  cpgring::testing::fault_injector& injector() { return *injector_; }
  void end_service() { service_.reset(); }
  void end_engine() { engine_.reset(); }

  /// Options for a handle on this service, with 64 KiB rings.
  [[nodiscard]] handle_options options(std::string group = {}) const;
  /// A group name that no other test uses.
  static std::string fresh_group(std::string_view stem = "g");
  /// Drives the engine until `condition` holds; false when patience is over.
  bool until(const std::function<bool()>& condition);
  /// Log lines of engine and service so far; any thread. They are printed at the end of a failed test.
  [[nodiscard]] std::vector<std::string> log() const;
  [[nodiscard]] bool said(std::string_view part) const;

 private:
  void note(std::string line);

  mutable std::mutex log_lock_;
  std::vector<std::string> log_;
  std::shared_ptr<cpgring::testing::fault_injector> injector_;
  std::unique_ptr<embedded_service> service_;
  std::string service_name_;
  std::unique_ptr<engine> engine_;
};

/// A handle that records its events.
struct witness {
  std::vector<std::string> messages;
  std::vector<std::uint64_t> sequences;
  std::vector<std::string> views;  // "1: 10 20 +20 -30/leave", pids
  std::vector<handle_state> states;
  std::vector<error> causes;
  std::vector<std::string> aborted;
  std::size_t writable = 0;
  std::size_t ring_nodes = 0;    // of the last view
  std::vector<std::string> all;  // everything, in order
  handle self;

  callbacks record();
  [[nodiscard]] bool is(handle_state state) const { return !states.empty() && states.back() == state; }
};

/// Opens a handle in `group` and waits until it has joined and knows the ring, which the service may report
/// after the join. `pid`: 0 is this process's own; for further handles see made_up_pid.
void open_joined(world& w, witness& into, const std::string& group, std::uint32_t pid = 0,
                 std::function<void(handle_options&)> adjust = {});

/// The backends that this machine can run.
std::vector<wakeup> backends_here();
std::string backend_name(const ::testing::TestParamInfo<wakeup>& info);

}  // namespace cpgring::test
