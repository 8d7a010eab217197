// Our side of a pair: one engine, driven on the caller's thread, with as many handles as asked for.
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
  std::uint32_t max_message_size = std::uint32_t{1} << 20;
  std::uint32_t workers = 0;
  std::chrono::nanoseconds work{0};  ///< spun in each callback
  bool one_group = false;            ///< all in one group, as processes of their own to the service; else each in its own
};

class our_side {
 public:
  /// Opens `handles` handles and takes their views. Throws std::runtime_error.
  our_side(std::string_view stem, std::size_t handles, const our_options& options);

  /// Multicasts from handle `index`; false: try again.
  bool multicast(std::size_t index, std::string_view payload);
  /// Takes messages, blocking, until `events` have come since the last call.
  void take(std::uint64_t events);
  /// What waits now; does not block.
  void take_what_waits();
  /// What comes until now_ns() says `deadline`.
  void take_until(std::uint64_t deadline);
  /// Everything quiet and armed: the next event has to wake the engine. How many each handle is going to get does not matter here.
  void settle(std::uint64_t to_come = 0);
  [[nodiscard]] std::uint64_t received() const noexcept;
  /// The first eight bytes of each message are now_ns() of when it was to be sent.
  void measure_latency(histogram* into) noexcept { latency_ = into; }
  /// Called when multicasts work again after a refusal.
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
  void must_live() const;

  // Before the engine: its callbacks write here until it is gone.
  std::vector<counter> received_;  ///< one; with workers one for each handle, which one of them runs
  std::size_t joined_ = 0;
  std::chrono::nanoseconds work_;
  histogram* latency_ = nullptr;
  std::function<void()> writable_;
  std::string failure_;
  engine engine_;
  std::vector<handle> handles_;
};

}  // namespace cpgring::bench
