// Whether a thread without work polls before it sleeps, and for how long. For that thread only.
//
// With `adaptive` a thread polls at most twice as long as a sleep would cost in CPU time, and only while at
// least half of its last waits ended within that time. Polls that found nothing are paid from a budget: a
// share of the CPU time spent on events, and never more than 5 % of a CPU. While others need the CPU it does
// not poll. No clock and no system call here: times are passed in.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cstdint>
#include <thread>

#include <cpgring/options.hpp>

#include "base/clock.hpp"
#include "base/thread_usage.hpp"

namespace cpgring::base {

class idle_policy {
 public:
  static constexpr std::chrono::milliseconds interval{100};
  static constexpr double share_of_cpu_max = 0.05;
  static constexpr int waits_kept = 16;

  /// `share`: engine_options::idle_cpu_share.
  explicit idle_policy(idle strategy, double share = 0.1) noexcept
      : strategy_(strategy),
        share_(share),
        adaptive_(strategy == idle::adaptive && share > 0 && std::thread::hardware_concurrency() > 1) {}

  [[nodiscard]] bool sleeps() const noexcept {
    return strategy_ == idle::block || strategy_ == idle::adaptive;
  }
  [[nodiscard]] bool yields() const noexcept { return strategy_ == idle::yield; }

  /// True while at least half of the last waits ended within the longest poll.
  [[nodiscard]] bool polls_pay(bool soon) const noexcept {
    return adaptive_ && std::popcount(hits_[soon]) * 2 >= waits_kept;
  }
  /// How long to poll before the next sleep. `soon`: this wait is for something that is known to arrive soon;
  /// such waits have a history of their own.
  [[nodiscard]] nanoseconds window(bool soon) const noexcept {
    return contended_ || !polls_pay(soon) ? nanoseconds(0)
                                          : std::clamp(budget_ - spent_, nanoseconds(0), longest());
  }
  /// After a poll that found nothing.
  void polled_in_vain(nanoseconds length) noexcept { spent_ += length; }
  /// A wait of `length` is over, whether it was ended by a poll or by a sleep.
  void waited(bool soon, nanoseconds length, bool slept) noexcept {
    // The time of a wake-up is no part of what a poll would have taken.
    const bool hit = length <= longest() + (slept ? sleep_cost_ : nanoseconds(0));
    hits_[soon] = static_cast<std::uint16_t>(std::uint32_t{hits_[soon]} << 1U | (hit ? 1U : 0U));
  }

  /// True once in each interval, and for the first sleeps: measure the CPU time of the next sleep.
  [[nodiscard]] bool measures(time_point now) const noexcept {
    return adaptive_ && (now >= next_sample_ || first_sleeps_ != 0);
  }
  /// CPU time of one sleep, its wake-up included.
  void sleep_cost(nanoseconds cpu) noexcept {
    const nanoseconds bounded = std::clamp(cpu, sleep_cost_min, sleep_cost_max);
    sleep_cost_ = sleep_cost_.count() == 0 ? bounded : sleep_cost_ + (bounded - sleep_cost_) / 8;
    first_sleeps_ -= first_sleeps_ != 0 ? 1 : 0;
  }
  /// Once in each interval, with what measures() wanted. Sets the budget of the next interval.
  void sample(time_point now, const thread_usage& used) noexcept {
    if (now < next_sample_) {
      return;
    }
    if (next_sample_ != time_point{}) {
      const auto elapsed = std::max<nanoseconds>(now - sampled_at_, interval);
      const auto on_events = std::max<nanoseconds>(used.cpu - last_.cpu - spent_, nanoseconds(0));
      const double allowed = std::min(static_cast<double>(on_events.count()) * share_,
                                      static_cast<double>(elapsed.count()) * share_of_cpu_max);
      budget_ =
          nanoseconds(static_cast<std::int64_t>(allowed * std::chrono::duration<double>(interval).count() /
                                                std::chrono::duration<double>(elapsed).count()));
      contended_ = used.preemptions != last_.preemptions ||
                   (used.stolen && last_.stolen && *used.stolen != *last_.stolen);
    }
    spent_ = nanoseconds(0);
    last_ = used;
    sampled_at_ = now;
    next_sample_ = now + interval;
  }

 private:
  static constexpr nanoseconds sleep_cost_min{1000}, sleep_cost_max{50000};

  [[nodiscard]] nanoseconds longest() const noexcept { return sleep_cost_ * 2; }

  const idle strategy_;
  const double share_;
  const bool adaptive_;
  bool contended_ = false;
  std::array<std::uint16_t, 2> hits_{};  // one bit for each of the last waits; the second for `soon`
  std::uint32_t first_sleeps_ = 8;
  nanoseconds sleep_cost_{0};  // 0: not measured yet
  nanoseconds budget_{0}, spent_{0};
  thread_usage last_;
  time_point sampled_at_{}, next_sample_{};
};

}  // namespace cpgring::base
