// Our side of a comparison: one engine with any number of handles, driven by the caller's thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <cpgring/cpgring.hpp>

namespace cpgring::bench {

struct our_options {
  std::string service = "cpg";
  std::optional<std::uint32_t> service_uid;
  wakeup backend = wakeup::automatic;
  idle idle_strategy = idle::adaptive;
  std::uint32_t ring_bytes = std::uint32_t{1} << 20;
  std::uint32_t workers = 0;
  std::chrono::nanoseconds work{0};  ///< busy work in each callback
  /// All handles in one group, as processes of their own for the service; else each in a group of its own.
  bool one_group = false;
};

class our_side {
 public:
  /// Opens `handles` handles and takes their views. Throws std::runtime_error.
  our_side(std::string_view stem, std::size_t handles, const our_options& options);

  /// Multicasts from handle `index`. False: try again later.
  bool multicast(std::size_t index, std::string_view payload);
  /// Takes messages, blocking, until `events` more have arrived.
  void take(std::uint64_t events);
  /// Takes what waits now, without blocking.
  void take_pending();
  /// Takes messages until now_ns() reaches `deadline`.
  void take_until(std::uint64_t deadline);
  /// Waits until everything is idle and armed, so that the next event has to wake the engine. `to_come` is
  /// ignored.
  void wait_until_idle(std::uint64_t to_come = 0);
  [[nodiscard]] std::uint64_t received() const noexcept;
  /// Records latencies. The first eight bytes of each message must be the now_ns() of its intended send time.
  void measure_latency(histogram* into) noexcept { latency_ = into; }
  /// Sets a function to call when multicasts are accepted again after a refusal.
  void on_writable(std::function<void()> what) { writable_ = std::move(what); }
  /// Runs `what`, whose multicasts share doorbells.
  template <class What>
  void together(const What& what) {
    const auto batch = engine_.batch();
    what();
  }
  [[nodiscard]] std::size_t handles() const noexcept { return handles_.size(); }
  engine& loop() noexcept { return engine_; }

 private:
  struct alignas(128) counter {
    std::uint64_t count = 0, sum = 0;
  };
  void take_message(counter& to, const message& m) noexcept;
  void check_alive() const;

  // Declared before the engine, whose callbacks write here until it is destroyed.
  std::vector<counter> received_;  ///< one; with workers one for each handle
  std::size_t joined_ = 0;
  std::chrono::nanoseconds work_;
  histogram* latency_ = nullptr;
  std::function<void()> writable_;
  std::string failure_;
  engine engine_;
  std::vector<handle> handles_;
};

}  // namespace cpgring::bench
