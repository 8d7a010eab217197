// One engine and one service for a test, driven on the test's own thread.
//
// The service is an embedded one, or what CPGRING_TEST_SERVICE names: under scripts/with-corosync it is "cpg", and the same suite runs
// against stock corosync.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>
#include <cpgring/cpgring.hpp>

namespace cpgring {
/// What GoogleTest prints of them.
inline void PrintTo(const error& e, std::ostream* os) { *os << e.code << ' ' << e.message(); }
inline void PrintTo(handle_state state, std::ostream* os) { *os << to_string(state); }
}  // namespace cpgring

namespace cpgring::test {

/// Every wait of a test ends; generous, because sanitizers and busy machines are slow. Nothing is asserted about time below it.
inline constexpr std::chrono::seconds patience{60};
/// Where process ids begin that no process has (Linux counts to 4194304). A service refuses a second handle with the same id in a group,
/// and in a namespace the test's own id is a small number.
inline constexpr std::uint32_t made_up_pid = 1000000000;

/// Drives an engine, on this thread, until `condition` holds; false when patience ends.
bool drive(engine& loop, const std::function<bool()>& condition);
/// Waits for what other threads do; false when patience ends.
bool eventually(const std::function<bool()>& condition);

class world {
 public:
  explicit world(wakeup backend = wakeup::automatic, std::function<void(engine_options&)> adjust = {});
  ~world();

  [[nodiscard]] const std::string& service() const noexcept { return service_name_; }
  [[nodiscard]] static bool embedded();
  engine& loop() { return *engine_; }
  embedded_service& embedded_service_object() { return *service_; }
  void end_service() { service_.reset(); }
  void end_engine() { engine_.reset(); }

  /// Options for a handle of this world; 64 KiB rings unless said otherwise.
  [[nodiscard]] handle_options options(std::string group = {}) const;
  /// A group name that no other test uses.
  static std::string fresh_group(std::string_view stem = "g");
  /// Drives the engine until `condition` holds; false when patience ends.
  bool until(const std::function<bool()>& condition);
  /// What engine and service have said so far; any thread. Printed at the end of a test that failed.
  [[nodiscard]] std::vector<std::string> log() const;
  [[nodiscard]] bool said(std::string_view part) const;

 private:
  void note(std::string line);

  mutable std::mutex log_lock_;
  std::vector<std::string> log_;
  std::unique_ptr<embedded_service> service_;
  std::string service_name_;
  std::unique_ptr<engine> engine_;
};

/// A handle that writes down what it is told.
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

/// Opens a handle in `group` and waits until it has joined and knows the ring, which the service may tell after the join.
/// `pid`: 0 is this process's own; beside such a handle see made_up_pid.
void open_joined(world& w, witness& into, const std::string& group, std::uint32_t pid = 0,
                 std::function<void(handle_options&)> adjust = {});

/// The backends that this machine can run, and their names for gtest.
std::vector<wakeup> backends_here();
std::string backend_name(const testing::TestParamInfo<wakeup>& info);

}  // namespace cpgring::test
