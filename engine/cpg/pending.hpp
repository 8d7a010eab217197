// Station C7 of 7: from ipc/response_reader, to runtime/pump.
//
// What has been asked and not yet settled: for each request a completion that is called exactly once, with the answer, a refusal, or
// errc::timeout. A request that timed out stays in line, because its answer may still come and must not be taken for the next one's.
// One thread. Settling only fills the notice queue; user code runs later, from the pump.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <utility>

#include <cpgring/error.hpp>

#include "base/clock.hpp"

namespace cpgring::cpg {

/// The answer's bytes in the response ring, header included; valid during the call.
using answer_bytes = std::span<const std::byte>;
using settle_function = std::function<void(const result<answer_bytes>&)>;

class pending {
 public:
  /// Returns the token that goes with the expected answer. `outlives_users`: its answer is wanted though no user wants any. `late`: called
  /// with an answer that comes after the deadline, when `settle` has been called already.
  std::uint64_t add(base::time_point deadline, settle_function settle, bool outlives_users = false, settle_function late = {}) {
    waiting_.push_back({next_token_, deadline, std::move(settle), outlives_users, std::move(late)});
    return next_token_++;
  }

  /// The answer to the oldest request; false when `token` is not that one's (an own bug or a lying service).
  bool settle(std::uint64_t token, const result<answer_bytes>& answer) {
    if (waiting_.empty() || waiting_.front().token != token) {
      return false;
    }
    settle_function settle = std::move(waiting_.front().settle);
    waiting_.pop_front();
    if (settle) {
      settle(answer);
    }
    return true;
  }

  /// Fails those whose deadline has passed.
  void expire(base::time_point now) {
    for (auto& one : waiting_) {
      if (one.settle && one.deadline <= now) {
        settle_function settle = std::exchange(one.settle, std::exchange(one.late, nullptr));
        one.deadline = base::time_point::max();
        settle(fail(errc::timeout, "the service did not answer before the deadline; is it stopped or overloaded?"));
      }
    }
  }

  /// No user wants the answers any more; they are still waited for, in line.
  void give_up(const error& why) {
    for (auto& one : waiting_) {
      if (one.settle && !one.outlives_users) {
        settle_function settle = std::exchange(one.settle, nullptr);
        settle(fail(why));
      }
    }
  }

  void fail_all(const error& why) {
    auto failed = std::exchange(waiting_, {});
    for (auto& one : failed) {
      if (one.settle) {
        one.settle(fail(why));
      }
    }
  }

  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept {
    std::optional<base::time_point> earliest;
    for (const auto& one : waiting_) {
      if (one.settle && (!earliest || one.deadline < *earliest)) {
        earliest = one.deadline;
      }
    }
    return earliest;
  }

 private:
  struct request {
    std::uint64_t token;
    base::time_point deadline;
    settle_function settle;
    bool outlives_users;
    settle_function late;
  };
  std::deque<request> waiting_;
  std::uint64_t next_token_ = 1;
};

}  // namespace cpgring::cpg
