// A worker without a thread: the test runs the items that a reactor has handed over, step by step.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "dispatch/deliver.hpp"
#include "dispatch/worker.hpp"
#include "dispatch/worker_link.hpp"
#include "dispatch/worker_pool.hpp"

namespace cpgring::test {

class hand_driven_worker {
 public:
  static constexpr std::size_t all = std::numeric_limits<std::size_t>::max();

  explicit hand_driven_worker(dispatch::worker_link& from) noexcept : from_(from) {}

  [[nodiscard]] std::size_t calls_waiting() { return from_.exclusive_call_ends.out.available(all / 2); }
  [[nodiscard]] std::size_t messages_waiting() { return from_.work_ends.out.available(all / 2); }
  /// Runs the waiting exclusive calls and reports each. Returns their number.
  std::size_t run_calls() {
    auto& express = from_.exclusive_call_ends.out;
    std::size_t ran = 0;
    for (; !express.empty(); ++ran) {
      dispatch::worker_target* const to = express.front().to;
      std::unique_ptr<error> failure;
      if (auto thrown = dispatch::deliver(express.front().run)) {
        failure = std::make_unique<error>(std::move(*thrown));
      }
      express.release(1);
      static_cast<void>(from_.back_ends.in.emplace(dispatch::work_done{to, 0, 0, 1, 0, std::move(failure)}));
    }
    return ran;
  }
  /// Runs the oldest messages, at most `most`, and queues their reports. Returns their number.
  std::size_t run_messages(std::size_t most = all) {
    auto& work = from_.work_ends.out;
    const std::size_t count = std::min(messages_waiting(), most);
    std::uint32_t at = 0;
    while (at < count) {
      dispatch::worker_target* const to = work.front(at).to;
      std::uint32_t run = 1;
      while (at + run < count && work.front(at + run).to == to) {
        ++run;
      }
      from_.claim(work.begin() + at + run);
      at += to->run(from_, at, run);
    }
    work.release(at);
    return at;
  }

 private:
  dispatch::worker_link& from_;
};

}  // namespace cpgring::test
