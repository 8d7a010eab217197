#include "delivery/worker_lane.hpp"

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <utility>
#include <vector>

#include "base/hot.hpp"
#include "dispatch/deliver.hpp"
#include "dispatch/router.hpp"

namespace cpgring::delivery {

worker_lane::~worker_lane() {
  if (waits_for_room_) {
    workers_.forget(*this);
  }
  if (awaits_reports_) {
    --shared_.reports_awaited;
  }
}

CPGRING_HOT bool worker_lane::ready(turn& t) {
  if (call_runs_) {
    return false;
  }
  if (!calls_.empty()) {
    if (alone() && workers_.has_room_for_call(home_)) {
      t.events += send_call(t.events_left());
    }
    return false;
  }
  if (held_) {
    if (!workers_.has_room(held_->worker)) {
      return false;
    }
    const held_message one = *std::exchange(held_, std::nullopt);
    static_cast<void>(queue_message(t, one.worker, one.item));
  }
  return !t.spent();
}

CPGRING_HOT std::uint32_t worker_lane::room() const noexcept {
  std::size_t least = workers_.room(home_);
  if (who_.options.order != ordering::by_handle) {
    for (std::uint32_t i = 0; i < workers_.workers(); ++i) {
      least = std::min(least, workers_.room(i));
    }
    least = std::max<std::size_t>(least, 1);  // one message can be held while its worker has no room
  }
  return static_cast<std::uint32_t>(std::min<std::size_t>(least, dispatch::descriptor_batch::capacity));
}

CPGRING_HOT batch_outcome worker_lane::queue_batch(turn& t, std::uint64_t& sequence) {
  batch_outcome done;
  const bool one_worker = who_.options.order == ordering::by_handle;
  std::uint64_t claim = t.batch_claim;
  for (const dispatch::descriptor& one : t.batch) {
    dispatch::work_item item{this, one.data, {claim++}, ++sequence, one.size, one.node, one.pid};
    if (&one + 1 == t.batch.end()) {
      item.confirms = std::exchange(t.confirmed, nullptr);
    }
    if (t.batch_copy != nullptr) [[unlikely]] {
      item.copy = t.batch_copy;
      item.copy_size = t.batch_copy_size;
    }
    const auto worker = one_worker ? std::optional(home_) : worker_for(item, done.failure);
    if (!worker) {  // the key function threw
      if (item.copy_size != 0) {
        free_copy(item.copy, item.copy_size);
      } else {
        ledger_.done(item.claim, 1);
      }
      t.confirmed = static_cast<cpg::queued_multicast*>(item.confirms);
      break;
    }
    if (!queue_message(t, *worker, item)) {
      break;
    }
  }
  return done;
}

CPGRING_HOT bool worker_lane::queue_message(turn& t, std::uint32_t worker, const dispatch::work_item& item) {
  if (!workers_.has_room(worker)) {
    held_ = held_message{worker, item};
    return false;
  }
  workers_.queue(worker, item);
  ++messages_;
  copies_ += item.copy_size != 0 ? 1U : 0U;
  ++t.events;
  t.bytes += item.size;
  if (t.events % publish_every == 0) {
    workers_.publish();
  }
  return true;
}

CPGRING_HOT std::optional<std::uint32_t> worker_lane::worker_for(const dispatch::work_item& item,
                                                                 std::optional<error>& thrown) {
  switch (who_.options.order) {
    case ordering::by_handle: return home_;
    case ordering::by_sender:
      return dispatch::worker_of(std::uint64_t{item.node} << 32 | item.pid, workers_.workers());
    case ordering::by_key: {
      message_writer writer(session_.group(), nullptr);
      writer.set(item.data, item.size, item.node, item.pid, item.sequence);
      std::uint64_t key = 0;
      thrown = dispatch::deliver([&] { key = who_.options.key(writer.get()); });
      return thrown ? std::nullopt : std::optional(dispatch::worker_of(key, workers_.workers()));
    }
    case ordering::unordered: break;
  }
  std::uint32_t least = 0;
  for (std::uint32_t i = 1; i < workers_.workers(); ++i) {
    least = workers_.under_way(i) < workers_.under_way(least) ? i : least;
  }
  return least;
}

/// Sends the next exclusive call. Completions that follow one another go in one call, up to `most`; each of
/// them runs, even if another one throws. Returns how many were sent.
std::uint32_t worker_lane::send_call(std::uint32_t most) {
  listener_.publish();  // the call sees the new state, on any thread
  call_runs_ = true;
  const bool completes = calls_.front().completes;
  function<void()> run = std::move(calls_.front().run);
  calls_.pop_front();
  std::vector<function<void()>> more;
  while (completes && !calls_.empty() && calls_.front().completes &&
         more.size() + 1 < std::min(most, calls_per_batch)) {
    more.push_back(std::move(calls_.front().run));
    calls_.pop_front();
  }
  const auto sent = static_cast<std::uint32_t>(1 + more.size());
  if (!more.empty()) {
    run = [first = std::move(run), more = std::move(more)] {
      std::exception_ptr thrown;
      const auto call = [&thrown](const function<void()>& one) {
        try {
          one();
        } catch (...) {
          thrown = thrown ? thrown : std::current_exception();
        }
      };
      call(first);
      std::for_each(more.begin(), more.end(), call);
      if (thrown) {
        std::rethrow_exception(thrown);
      }
    };
  }
  workers_.queue(home_, dispatch::exclusive_call{this, std::move(run)});
  return sent;
}

void worker_lane::send_remaining_calls() {
  if (!alone() || calls_.empty()) {
    return;
  }
  if (!workers_.has_room_for_call(home_)) {
    wait_for_room(home_);
    return;
  }
  static_cast<void>(send_call(calls_per_batch));
  workers_.publish();
}

CPGRING_HOT bool worker_lane::blocked(bool fence) {
  if (call_runs_ || ((!calls_.empty() || fence) && !alone())) {
    return true;
  }
  std::optional<std::uint32_t> full;
  if (!calls_.empty()) {
    full = workers_.has_room_for_call(home_) ? std::nullopt : std::optional(home_);
  } else if (!fence && held_) {
    full = workers_.has_room(held_->worker) ? std::nullopt : std::optional(held_->worker);
  } else if (!fence && who_.options.order == ordering::by_handle) {
    full = workers_.has_room(home_) ? std::nullopt : std::optional(home_);
  }
  if (full) {
    wait_for_room(*full);
  }
  return full.has_value();
}

void worker_lane::wait_for_room(std::uint32_t worker) {
  if (!std::exchange(waits_for_room_, true)) {
    workers_.wait_for_room(worker, *this);
  }
}

void worker_lane::on_room() {
  waits_for_room_ = false;
  listener_.can_continue(true);
}

void worker_lane::await_reports(bool other_need) {
  const bool need = other_need || copies_ != 0 || !calls_.empty();
  if (awaits_reports_ != need) {
    awaits_reports_ = need;
    shared_.reports_awaited += need ? 1U : UINT32_MAX;
  }
}

cpg::queued_multicast* worker_lane::drop_held() noexcept {
  return held_ ? static_cast<cpg::queued_multicast*>(std::exchange(held_->item.confirms, nullptr)) : nullptr;
}

void worker_lane::workers_ended() noexcept {
  calls_.clear();
  messages_ = 0;
  call_runs_ = false;
  waits_for_room_ = false;
}

CPGRING_HOT void worker_lane::report_came(worker_target& self, dispatch::work_done& one) {
  static_cast<worker_lane&>(self).report(one);
}

CPGRING_HOT void worker_lane::report(dispatch::work_done& one) {
  bool leased = false;
  if (one.count == 0) {
    call_runs_ = false;
  } else {
    messages_ -= one.count;
    if (one.copy_size != 0) {
      --copies_;
      free_copy(one.copy, one.copy_size);
    } else if (one.ring_lease == nullptr || !leases_.add(*one.ring_lease, one.claim, shared_.clock.now())) {
      ledger_.done(one.claim, one.count);
    } else {
      leased = true;
    }
    uncopyable_ = std::min(uncopyable_, messages_ - copies_);
    who_.counters.messages.add(one.called);
    who_.counters.message_bytes.add(one.bytes);
  }
  if (one.failure) {
    listener_.ended(std::move(*one.failure));
  }
  if (leased) {
    listener_.publish();  // the age of the lease counts from now
  }
  listener_.can_continue(awaits_reports_);
}

// --- overload ----------------------------------------------------------------------------------------------

std::byte* worker_lane::copy_of(const std::byte* bytes, std::size_t size) {
  const std::size_t capacity = leasing::copy_capacity(size);
  if (copy_bytes_ + capacity > who_.options.copy_out_bytes_max) {
    return nullptr;
  }
  std::byte* to = nullptr;
  try {
    to = shared_.copies.take(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  std::memcpy(to, bytes, size);
  copy_bytes_ += capacity;
  ++copied_out_;
  copied_out_bytes_ += size;
  return to;
}

void worker_lane::free_copy(std::byte* copy, std::uint32_t capacity) {
  copy_bytes_ -= capacity;
  shared_.copies.give(copy, capacity);
}

void worker_lane::copy_item(dispatch::work_item& item) {
  if (item.copy_size != 0) {
    return;
  }
  if (std::byte* const to = copy_of(item.data, item.size)) {
    ledger_.done(item.claim, 1);
    item.data = item.copy = to;
    item.copy_size = static_cast<std::uint32_t>(leasing::copy_capacity(item.size));
  }
}

void worker_lane::copy_out() {
  if (messages_ - copies_ > uncopyable_) {
    for (std::uint32_t w = 0; w < workers_.workers(); ++w) {
      workers_.edit_unclaimed(w, [this](dispatch::work_item& item) {
        if (item.to == this && item.copy_size == 0) {
          copy_item(item);
          copies_ += item.copy_size != 0 ? 1U : 0U;
        }
      });
    }
    // The rest was started, or is beyond the limit: another attempt is useless until some of it is done.
    uncopyable_ = messages_ - copies_;
  }
  if (held_) {
    copy_item(held_->item);
  }
}

void worker_lane::free_held_copy() {
  if (const auto one = std::exchange(held_, std::nullopt); one && one->item.copy_size != 0) {
    free_copy(one->item.copy, one->item.copy_size);
  }
}

}  // namespace cpgring::delivery
