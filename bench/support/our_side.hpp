// Our side of a pair: one engine, handles in groups of their own, driven on the caller's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/cpgring.hpp>

namespace cpgring::bench {

struct our_options {
  std::string service = "cpg";
  wakeup backend = wakeup::automatic;
  idle idle_strategy = idle::adaptive;
  std::uint32_t max_message_size = std::uint32_t{1} << 20;
};

class our_side {
 public:
  /// Opens `handles` handles, each in a group of its own, and takes their first views. Throws std::runtime_error.
  our_side(std::string_view stem, std::size_t handles, our_options options);

  /// Multicasts from handle `index` to its own group; false: try again.
  bool multicast(std::size_t index, std::string_view payload);
  /// Takes messages, blocking, until `events` have come since the last call.
  void take(std::uint64_t events);
  /// What waits now; does not block. Returns the number of messages.
  std::uint64_t take_what_waits();
  /// Everything quiet and armed: the next event has to wake the engine.
  void settle();
  [[nodiscard]] std::uint64_t received() const noexcept { return received_; }
  [[nodiscard]] std::uint64_t sum() const noexcept { return sum_; }
  /// Called when multicasts work again after a refusal.
  void on_writable(std::function<void()> what) { writable_ = std::move(what); }
  /// Runs `what`, whose multicasts share doorbells.
  template <class What>
  void together(const What& what) {
    const auto batch = engine_.batch();
    what();
  }
  engine& loop() noexcept { return engine_; }
  std::vector<handle>& handles() noexcept { return handles_; }

 private:
  engine engine_;
  std::vector<handle> handles_;
  std::uint64_t received_ = 0, sum_ = 0;
  std::size_t joined_ = 0;
  std::function<void()> writable_;
  std::string failure_;
};

}  // namespace cpgring::bench
