// Station C11 of 11: from ipc/response_reader, to delivery/pump.
//
// Requests that were written and have no answer yet, in order. Each has a completion that is called exactly
// once: with the answer, or with an error. A request keeps its place after its deadline, because its answer
// may still come and must not be taken for the answer to the next request.
// One thread. Completions only add notices; user callbacks run later.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <utility>

#include <cpgring/function.hpp>
#include <cpgring/result.hpp>

#include "base/clock.hpp"
#include "cpg/requests.hpp"

namespace cpgring::cpg {

using answer_function = function<void(const result<answer_bytes>&)>;

class pending {
 public:
  /// Returns the token of the expected answer. `without_user`: give_up() skips the request. `late`: called
  /// with an answer that comes after `done` was called with errc::timeout.
  std::uint64_t add(base::time_point deadline, answer_function done, bool without_user = false,
                    answer_function late = {}) {
    waiting_.push_back({next_token_, deadline, std::move(done), without_user, std::move(late)});
    return next_token_++;
  }

  /// The answer to the oldest request. False: `token` is not the token of that request.
  bool complete(std::uint64_t token, const result<answer_bytes>& answer) {
    if (waiting_.empty() || waiting_.front().token != token) {
      return false;
    }
    const answer_function done = std::move(waiting_.front().done);
    waiting_.pop_front();
    if (done) {
      done(answer);
    }
    return true;
  }

  /// Calls each completion whose deadline has passed with errc::timeout.
  void expire(base::time_point now) {
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      request& one = waiting_[i];
      if (one.done && one.deadline <= now) {
        const answer_function done = std::exchange(one.done, std::exchange(one.late, nullptr));
        one.deadline = base::time_point::max();
        done(fail(errc::timeout,
                  "the service did not answer before the deadline; is it stopped or overloaded?"));
      }
    }
  }

  /// Completes the requests of users with `why`. All requests keep their places.
  void give_up(const error& why) {
    for (std::size_t i = 0; i < waiting_.size(); ++i) {
      if (waiting_[i].done && !waiting_[i].without_user) {
        const answer_function done = std::exchange(waiting_[i].done, nullptr);
        done(fail(why));
      }
    }
  }

  void fail_all(const error& why) {
    auto failed = std::exchange(waiting_, {});
    for (request& one : failed) {
      if (one.done) {
        one.done(fail(why));
      }
    }
  }

  [[nodiscard]] bool empty() const noexcept { return waiting_.empty(); }
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept {
    std::optional<base::time_point> earliest;
    for (const request& one : waiting_) {
      if (one.done && (!earliest || one.deadline < *earliest)) {
        earliest = one.deadline;
      }
    }
    return earliest;
  }

 private:
  struct request {
    std::uint64_t token;
    base::time_point deadline;
    answer_function done;
    bool without_user;
    answer_function late;
  };
  std::deque<request> waiting_;
  std::uint64_t next_token_ = 1;
};

}  // namespace cpgring::cpg
