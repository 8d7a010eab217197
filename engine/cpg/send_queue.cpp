#include "cpg/send_queue.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.hpp"
#include "cpg/wire_format.hpp"

namespace cpgring::cpg {

// --- an entry

void queued_multicast::report() {
  struct finally {
    std::atomic<bool>& reported;
    // SYNC multicast_reported: all use of the entry happens before the queue takes the entry back.
    ~finally() { reported.store(true, std::memory_order_release); }
  } const end{reported_};
  done_(multicast_outcome{fate_, sequence_, std::move(cause_)});
}

bool queued_multicast::reported() const noexcept {
  // SYNC multicast_reported: see report().
  return reported_.load(std::memory_order_acquire);
}

/// A small buffer stays with the entry, for reuse.
void queued_multicast::free_payload() noexcept {
  payload_.clear();
  if (payload_.capacity() > multicast_pool::bytes_of_one_max) {
    payload_ = std::vector<std::byte>();
  }
}

void queued_multicast::reset() noexcept {
  free_payload();
  bytes_ = counted_bytes_ = 0;
  deadline_ = {};
  done_ = nullptr;
  position_ = number_ = sequence_ = 0;
  fate_ = multicast_fate::not_sent;
  cause_.reset();
  written_ = decided_ = false;
  reported_.store(false, std::memory_order_relaxed);
}

// --- the pool

queued_multicast& multicast_pool::take(list& to, list::iterator before) {
  if (free_.empty()) {
    const auto fresh = to.emplace(before);
    fresh->self_ = fresh;
    return *fresh;
  }
  bytes_ -= free_.front().payload_.capacity();
  const auto one = free_.begin();
  to.splice(before, free_, one);
  return *one;
}

void multicast_pool::give_back(list& from, list::iterator one) noexcept {
  if (free_.size() == entries_max) {
    from.erase(one);
    return;
  }
  one->reset();
  const std::size_t room = one->payload_.capacity();
  if (bytes_ + room > bytes_max) {
    one->payload_ = std::vector<std::byte>();
  } else {
    bytes_ += room;
  }
  free_.splice(free_.begin(), from, one);
}

// --- limits

std::size_t send_limits::atomic_max_of(std::size_t ring_bytes) noexcept {
  return std::min<std::size_t>(wire::atomic_payload_max, ring_bytes - 1024);
}

result<void> send_queue::check_size(std::size_t payload) const {
  if (payload > limits_.large_message_max && payload > limits_.atomic_max) {
    return cpgring::fail(errc::too_big,
                         fmt::format("a message of {} bytes is above large_message_max ({}) of this handle",
                                     payload, limits_.large_message_max));
  }
  return {};
}

result<void> send_queue::admit(std::size_t bytes, std::size_t payload, bool kept) {
  if (auto ok = check_size(payload); !ok) {
    return ok;
  }
  const std::size_t most = kept ? std::min(limits_.queue_bytes, limits_.kept_bytes) : limits_.queue_bytes;
  const std::size_t before = counted_.fetch_add(bytes, std::memory_order_relaxed);
  if (before != 0 && before + bytes > most) {
    undo_admit(bytes);
    set_refused_sender();
    return cpgring::fail(errc::try_again);
  }
  return {};
}

void send_queue::release(std::size_t bytes) noexcept {
  if (bytes != 0) {
    undo_admit(bytes);
    released_ = true;
  }
}

// --- accepting

result<void> send_queue::keep(multicast_pieces payload, std::size_t bytes) {
  if (auto ok = check_size(bytes); !ok) {
    return ok;
  }
  if (counted_.fetch_add(bytes, std::memory_order_relaxed) + bytes > limits_.kept_bytes) {
    undo_admit(bytes);
    return cpgring::fail(errc::try_again,
                         fmt::format("supervision.queue_bytes ({}) are used up until the handle has joined",
                                     limits_.kept_bytes));
  }
  push(payload, bytes, bytes);
  return {};
}

queued_multicast& send_queue::add(list& to, multicast_pieces payload, std::size_t bytes,
                                  std::size_t counted) {
  queued_multicast& one = pool_.take(to, to.end());
  one.payload_.reserve(bytes);
  for (const auto& piece : payload) {
    one.payload_.insert(one.payload_.end(), piece.begin(), piece.end());
  }
  one.bytes_ = bytes;
  one.counted_bytes_ = counted;
  return one;
}

void send_queue::set_confirmation(queued_multicast& one, base::time_point deadline, confirmation done) {
  one.deadline_ = deadline;
  one.done_ = std::move(done);
  if (!earliest_ || deadline < *earliest_) {
    earliest_ = deadline;
  }
}

queued_multicast& send_queue::push(multicast_pieces payload, std::size_t bytes, std::size_t counted) {
  queued_multicast& one = add(waiting_, payload, bytes, counted);
  one.position_ = ++last_position_;
  return one;
}

queued_multicast& send_queue::push_confirmed(multicast_pieces payload, std::size_t bytes,
                                             base::time_point deadline, confirmation done) {
  queued_multicast& one = push(payload, bytes, bytes + confirmation_overhead);
  set_confirmation(one, deadline, std::move(done));
  return one;
}

queued_multicast& send_queue::add_written(std::size_t bytes, base::time_point deadline, confirmation done,
                                          std::uint64_t number) {
  queued_multicast& one = add(written_, {}, 0, bytes + confirmation_overhead);
  one.bytes_ = bytes;
  one.number_ = number;
  one.written_ = true;
  set_confirmation(one, deadline, std::move(done));
  return one;
}

// --- writing

void send_queue::drop(list& from, list::iterator one) noexcept {
  uncount(*one);
  pool_.give_back(from, one);
}

void send_queue::front_written(std::uint64_t number) {
  const auto one = waiting_.begin();
  if (!one->confirmed()) {
    drop(waiting_, one);
    return;
  }
  one->free_payload();
  one->number_ = number;
  one->written_ = true;
  written_.splice(written_.end(), waiting_, one);
}

void send_queue::begin_sending(std::uint64_t number) {
  CPGRING_CHECK(sending_.empty());
  const auto one = waiting_.begin();
  one->number_ = number;
  one->written_ = true;
  sending_.splice(sending_.end(), waiting_, one);
}

void send_queue::sending_done() {
  const auto one = sending_.begin();
  if (!one->confirmed()) {
    drop(sending_, one);
    return;
  }
  one->free_payload();
  list& next = one->number_ != 0 ? written_ : reporting_;
  next.splice(next.end(), sending_, one);
}

void send_queue::drop_sending() {
  const auto one = sending_.begin();
  if (!one->confirmed()) {
    drop(sending_, one);
    return;
  }
  one->number_ = 0;
  uncount(*one);
  sending_done();
}

void send_queue::restart_sending() {
  const auto one = sending_.begin();
  one->number_ = 0;
  one->written_ = false;
  waiting_.splice(waiting_.begin(), sending_, one);
}

// --- outcomes

queued_multicast* send_queue::own_delivered(std::uint64_t number) noexcept {
  for (auto* all : {&written_, &sending_}) {
    if (all->empty() || all->front().number_ != number) {
      continue;
    }
    queued_multicast& one = all->front();
    one.number_ = 0;
    uncount(one);
    if (all == &written_) {
      reporting_.splice(reporting_.end(), written_, written_.begin());
    }
    return one.confirmed() ? &one : nullptr;
  }
  return nullptr;
}

void send_queue::fail(queued_multicast& one, const error& why, multicast_fate fate) {
  const bool waited = !one.written_ && !one.decided_;
  one.decided_ = true;
  one.fate_ = fate;
  one.cause_ = why;
  if (waited) {
    stop_waiting(one);
  }
}

/// Removes an entry that was decided before it was written.
void send_queue::stop_waiting(queued_multicast& one) {
  uncount(one);
  one.free_payload();
  reporting_.splice(reporting_.end(), waiting_, one.self_);
}

void send_queue::end_connection() {
  for (queued_multicast& one : written_) {
    one.number_ = 0;
    uncount(one);
  }
  reporting_.splice(reporting_.end(), written_);
  for (queued_multicast& one : sending_) {
    one.number_ = 0;
    uncount(one);
  }
}

void send_queue::give_back_reported() noexcept {
  while (!reporting_.empty() && reporting_.front().decided_ && reporting_.front().reported()) {
    pool_.give_back(reporting_, reporting_.begin());
  }
}

bool send_queue::all_reported() const noexcept {
  for (const auto* all : {&written_, &sending_, &reporting_}) {
    if (std::any_of(all->begin(), all->end(),
                    [](const queued_multicast& one) { return one.decided_ && !one.reported(); })) {
      return false;
    }
  }
  return true;
}

}  // namespace cpgring::cpg
