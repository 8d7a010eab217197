// Station C6 of 11: from cpg/multicaster, to ipc/connection.
//
// The only writer of one connection's request ring: decides what is written when, and matches answers.
//
// There are three kinds of requests: control requests (join, leave, ...), questions (those of queries), and
// multicasts. The first two wait here, multicasts in the handle's send_queue, each with a position. A control
// request or question notes the position of the last multicast before it. One thread. Invariants:
// I1 Control requests and multicasts are written in the order in which they were made.
// I2 A question is written after everything that was requested before it; nothing waits for a question.
// I3 Nothing is written while flow control forbids it or while a reservation is open, and no request with an
// answer while the response ring may lack room for the answer.
// I4 Each request is completed exactly once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <cpgring/result.hpp>

#include "base/clock.hpp"
#include "cpg/pending.hpp"
#include "cpg/requests.hpp"
#include "ipc/connection.hpp"

namespace cpgring::cpg {

class request_line {
 public:
  /// Limit of written questions without an answer: questions share the ring with multicasts, which are
  /// refused while the ring is full.
  static constexpr std::uint32_t questions_sent_max = 8;
  /// Limit of requests for one doorbell: more gain nothing (measured: 277 k/s at 32) and delay the first one.
  static constexpr std::uint32_t staged_max = 32;
  /// Bytes of waiting multicasts that one write() may write; then other handles have their turn. The same as
  /// the default of engine_options::turn_bytes.
  static constexpr std::size_t progress_bytes_max = 65536;
  /// The position of no multicast, after all others.
  static constexpr std::uint64_t nowhere = UINT64_MAX;

  // --- the connection
  void attach(std::unique_ptr<ipc::connection> connection) noexcept { connection_ = std::move(connection); }
  [[nodiscard]] ipc::connection* connection() noexcept { return connection_.get(); }
  [[nodiscard]] const ipc::connection* connection() const noexcept { return connection_.get(); }
  std::unique_ptr<ipc::connection> give_up_connection() noexcept { return std::move(connection_); }

  // --- asking
  /// Multicasts up to `position` precede the requests that are made from now on.
  void multicasts_wait_up_to(std::uint64_t position) noexcept { last_position_ = position; }
  /// Queues a control request.
  void ask(const encoded_request& what, base::time_point deadline, answer_function done);
  /// Queues a question. `late`: called once after `done` got errc::timeout: with the late answer, or with an
  /// error when none can come any more.
  void ask_question(const encoded_request& what, base::time_point deadline, answer_function done,
                    answer_function late = {});
  /// Queues a request without effect, unless one is under way: any request makes a service that queues events
  /// for this connection check its queue.
  void poke();

  // --- for the multicaster: one request written in place
  /// The service takes requests now, and no reservation is open.
  [[nodiscard]] bool may_write() {
    return connection_ != nullptr && !reserved_ && connection_->writable() == ipc::writable::yes;
  }
  /// No control request waits to be written.
  [[nodiscard]] bool idle() const noexcept { return controls_.empty(); }
  /// Room for a multicast of `bytes`, header included; null: not now. Followed by stage().
  std::byte* room(std::size_t bytes) {
    return may_write() ? connection_->reserve(static_cast<std::uint32_t>(bytes)) : nullptr;
  }
  /// Room for a request with an answer; null also if its answer might lack room. Followed by stage_request().
  std::byte* room_for_request(std::size_t bytes, std::uint32_t answer_bytes) {
    return connection_ != nullptr && connection_->answers().room_for(answer_bytes) ? room(bytes) : nullptr;
  }
  void stage(std::size_t bytes) noexcept { connection_->stage(static_cast<std::uint32_t>(bytes)); }
  /// `without_user`: give_up() skips the request, and `done` gets the answer later.
  void stage_request(std::size_t bytes, const answer_format& answer, base::time_point deadline,
                     answer_function done, answer_function late = {}, bool without_user = false);
  /// Room for a multicast that stays reserved over several calls. Nothing else is written meanwhile.
  std::byte* open_reservation(std::size_t bytes) {
    std::byte* const at = room(bytes);
    reserved_ = at != nullptr;
    return at;
  }
  [[nodiscard]] bool reserved() const noexcept { return reserved_; }
  void commit_reservation(std::size_t bytes) noexcept {
    reserved_ = false;
    stage(bytes);
  }
  void abandon_reservation() noexcept {
    if (std::exchange(reserved_, false) && connection_ != nullptr) {
      connection_->abandon();
    }
  }

  // --- doorbells
  /// Requests between cork() and uncork() are staged and published together, with one doorbell.
  void cork() noexcept { ++corks_; }
  [[nodiscard]] bool corked() const noexcept { return corks_ != 0; }
  result<void> uncork() { return --corks_ == 0 ? flush() : result<void>{}; }
  /// Publishes the staged requests. Errors: service_lost, malformed.
  result<void> flush();
  /// The same, unless a cork holds the doorbell back and fewer than staged_max requests are staged.
  result<void> flush_if_due() {
    return corks_ == 0 || connection_->staged() >= staged_max ? flush() : result<void>{};
  }

  // --- progress
  /// The time of the call that is being made; completions use it.
  [[nodiscard]] base::time_point now() const noexcept { return now_; }
  void set_now(base::time_point now) noexcept { now_ = now; }
  /// Errors: malformed.
  result<void> take_answers();
  /// Writes what may be written now. `Multicasts` holds the waiting multicasts: front_position() of the next
  /// one (nowhere: none), front_bytes(), and write_front(), which writes that one or a part of it, and
  /// returns false if nothing after it may be written yet.
  template <class Multicasts>
  result<void> write(Multicasts& multicasts);
  /// The last write() stopped only to let other handles have their turn.
  [[nodiscard]] bool more_to_write() const noexcept { return more_to_write_; }
  /// A request waits to be written, or for its answer.
  [[nodiscard]] bool busy() const noexcept {
    return !pending_.empty() || !controls_.empty() || !questions_.empty();
  }
  [[nodiscard]] bool expects_answers() const noexcept { return !pending_.empty(); }
  /// Questions wait to be written, and no answer to an earlier one is expected.
  [[nodiscard]] bool questions_blocked() const noexcept {
    return !questions_.empty() && questions_sent_ == 0;
  }
  /// Completes the requests whose deadline has passed with errc::timeout.
  void expire(base::time_point now);
  [[nodiscard]] std::optional<base::time_point> next_deadline() const noexcept;

  // --- the end
  /// Completes all requests with `why`. Written ones keep their places, control requests are still written,
  /// and questions that wait are dropped.
  void give_up(const error& why);
  /// Completes all requests with `why` and drops them: no answer comes any more.
  void fail_all(const error& why);

  [[nodiscard]] std::uint64_t doorbells() const noexcept { return doorbells_; }
  [[nodiscard]] std::uint64_t pokes() const noexcept { return pokes_; }

 private:
  struct waiting {
    encoded_request what;
    std::uint64_t behind = 0;  // position of the last multicast before it
    std::uint64_t serial = 0;  // order among control requests and questions
    base::time_point deadline;
    answer_function done;
    answer_function late;
  };

  bool write_request(waiting& one, bool question);
  bool write_control();
  void write_questions(std::uint64_t front_position);

  std::unique_ptr<ipc::connection> connection_;
  pending pending_;
  std::deque<waiting> controls_, questions_;
  base::time_point now_;
  std::uint64_t last_position_ = 0;
  std::uint64_t serial_ = 0, doorbells_ = 0, pokes_ = 0;
  std::uint32_t questions_sent_ = 0;
  std::uint32_t corks_ = 0;
  bool reserved_ = false;
  bool more_to_write_ = false;
  bool poking_ = false;
};

template <class Multicasts>
result<void> request_line::write(Multicasts& multicasts) {
  more_to_write_ = false;
  std::size_t wrote = 0;
  write_questions(multicasts.front_position());
  for (;;) {
    const std::uint64_t front = multicasts.front_position();
    if ((controls_.empty() && front == nowhere) || !may_write()) {
      break;
    }
    if (!controls_.empty() && controls_.front().behind < front) {
      if (!write_control()) {
        break;
      }
    } else {
      const std::size_t bytes = multicasts.front_bytes();
      if (wrote != 0 && wrote + bytes > progress_bytes_max) {
        more_to_write_ = true;
        break;
      }
      if (!multicasts.write_front()) {
        break;
      }
      wrote += bytes;
    }
    if (connection_->staged() >= staged_max) {
      if (auto ok = flush(); !ok) {
        return ok;
      }
    }
  }
  write_questions(multicasts.front_position());
  return corks_ == 0 ? flush() : result<void>{};
}

}  // namespace cpgring::cpg
