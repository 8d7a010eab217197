// The line of a supervised handle: after a loss a new connection, the same group, under the same id and behind the same face.
#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "runtime/endpoint.hpp"
#include "runtime/endpoint_line.hpp"
#include "runtime/engine_core.hpp"

namespace cpgring::runtime {
namespace {

constexpr auto last_words_pause = std::chrono::milliseconds(1);

/// No waiting mends these.
bool is_for_good(const error& why) {
  constexpr errc for_good[] = {errc::access,        errc::version, errc::invalid_param,      errc::name_too_long, errc::ring_too_small,
                               errc::not_supported, errc::forked,  errc::unsupported_kernel, errc::stopped,       errc::closed};
  return std::any_of(std::begin(for_good), std::end(for_good), [&why](errc code) { return why == code; });
}

}  // namespace

// --- any thread -------------------------------------------------------------------------------------------------------------

bool endpoint::keeps_multicasts() const noexcept {
  if (options_.supervision.queue_bytes == 0 || !supervised() || over()) {
    return false;
  }
  const auto at = state();
  return at == handle_state::lost || at == handle_state::connecting || at == handle_state::ready || at == handle_state::joining;
}

tl::unexpected<error> endpoint::away() { return fail(errc::service_lost, "the service is away; the handle connects again by itself"); }

// --- loss and return --------------------------------------------------------------------------------------------------------

bool endpoint::may_revive(const error& why) const {
  if (!supervised() || core_->stop_requested() || is_for_good(why)) {
    return false;
  }
  const auto most = options_.supervision.attempts_max;
  return most == 0 || face_->line_->attempts < most;
}

bool endpoint::revived_in_vain() const noexcept { return line_->attempts > 1; }

void endpoint::await_revival() {
  line& l = *face_->line_;
  if (l.attempts == 0) {
    l.lost_at = now();
  }
  const auto& s = options_.supervision;
  const std::int64_t longest = std::min<std::int64_t>(s.backoff_max.count(), s.backoff_min.count() << std::min(l.attempts, 20U));
  const auto wait = std::chrono::milliseconds(std::uniform_int_distribution<std::int64_t>((longest + 1) / 2, longest)(l.random));
  ++l.attempts;
  face_->shm_bytes_.set(0);
  revival_due_ = true;
  l.revive_at = now() + wait;
  schedule_revival();
}

void endpoint::schedule_revival() {
  const line& l = *face_->line_;
  core_->reactor().schedule(*this, l.kept_until ? std::min(*l.kept_until, l.revive_at) : l.revive_at);
}

void endpoint::revive() {
  if (core_->stop_requested()) {
    revival_due_ = false;
    return;
  }
  expire_kept();
  if (now() < face_->line_->revive_at) {
    schedule_revival();
    return;
  }
  // Its last words may wait behind slow callbacks, or for a dispatch call that takes them. Nothing of the next is heard before.
  if (core_->has_tasks_of(id_) || !done_with_workers()) {
    core_->reactor().schedule(*this, now() + last_words_pause);
    return;
  }
  revival_due_ = false;
  follow(std::exchange(group_to_join_, {}), {});
}

/// From here on the next of the line is live.
void endpoint::follow(std::string group, handle::completion joined) {
  const auto keep = shared_from_this();  // a later one is held by the face alone
  endpoint& face = *face_;
  auto next = std::make_shared<endpoint>(face.shared_from_this(), std::move(group), std::move(joined));
  if (ended_) {
    next->rejoins_ = !next->group_to_join_.empty();
    if (face.line_->was_there) {
      next->session_.announce_restoration();
    }
  }
  shown_ = false;
  if (!ended_) {  // it has left its group: nobody hears of the end of this connection
    ended_ = true;
    no_more_calls();
    pump_.forget_callbacks();
    session_.close(std::nullopt);
    std::erase_if(session_.notices, [](const cpg::notice& n) { return n.what != cpg::notice::kind::settled; });
    hand_over_notices();
    begin_linger();
  }
  face.next_ = next;
  {
    const std::lock_guard lock(face.group_lock_);
    face.desk_ = next->pump_.leases().desk();
  }
  core_->replace(*this, std::move(next));
}

/// The face's state has changed.
void endpoint::look_at_state() {
  line& l = *face_->line_;
  const auto at = session_.state();
  if (at != handle_state::connecting && at != handle_state::lost && !std::exchange(heard_of_, true)) {  // ready, or beyond in one turn
    l.back = {l.attempts, base::clock::now() - l.lost_at};
  }
  if (at == handle_state::joined || (at == handle_state::ready && group_to_join_.empty())) {
    l.was_there = true;
    l.attempts = 0;
  }
  if (at == handle_state::joined) {
    send_kept();
  }
}

restoration endpoint::describe_restoration() const {
  const line& l = *face_->line_;
  return heard_of_ ? l.back : restoration{l.attempts, base::clock::now() - l.lost_at};
}

/// Ahead of the notice that the handle has ended: who waits for a multicast is told before.
void endpoint::end_line(const error& why) {
  face_->over_.store(true, std::memory_order_relaxed);
  drop_all_kept(why);
}

// --- multicasts meanwhile -----------------------------------------------------------------------------------------------------

result<void> endpoint::keep_for_later(pieces payload, std::size_t bytes) {
  line& l = *face_->line_;
  if (bytes > options_.large_message_max && bytes > atomic_max_) {
    return fail(errc::too_big, fmt::format("a message of {} bytes is above large_message_max ({})", bytes, options_.large_message_max));
  }
  if (l.kept_bytes + bytes > options_.supervision.queue_bytes) {
    return fail(errc::try_again,
                fmt::format("supervision.queue_bytes ({}) are used up until the service is back", options_.supervision.queue_bytes));
  }
  std::vector<std::byte> whole;
  whole.reserve(bytes);
  for (const auto& piece : payload) {
    whole.insert(whole.end(), piece.begin(), piece.end());
  }
  l.kept_bytes += bytes;
  l.kept.push_back({std::move(whole), false, {}, {}});
  return {};
}

/// Its sender was told "accepted": the limit was looked at then.
void endpoint::keep_crossed(std::span<const std::byte> payload) {
  face_->line_->kept.push_back({{payload.begin(), payload.end()}, true, {}, {}});
}

void endpoint::keep_confirmed(pieces payload, std::size_t bytes, base::time_point deadline, handle::confirmation done) {
  line& l = *face_->line_;
  std::vector<std::byte> whole;
  whole.reserve(bytes);
  for (const auto& piece : payload) {
    whole.insert(whole.end(), piece.begin(), piece.end());
  }
  l.kept.push_back({std::move(whole), true, std::move(done), deadline});
  if (!l.kept_until || deadline < *l.kept_until) {
    l.kept_until = deadline;
    if (revival_due_) {
      schedule_revival();
    }
  }
}

/// It will not be sent: its room is free, and who waits for it is told, as of one that this session never wrote. The caller sweeps.
void endpoint::drop_kept(std::size_t bytes, bool admitted, handle::confirmation done, const error& why) {
  if (done) {
    auto& waits = session_.awaits().add(bytes, base::time_point::max(), std::move(done));
    session_.give_up(waits, why);
  } else if (admitted) {
    unadmit(bytes);
  }
}

void endpoint::drop_all_kept(const error& why) {
  if (face_->line_) {
    for (auto& one : std::exchange(face_->line_->kept, {})) {
      drop_kept(one.bytes.size(), one.admitted, std::move(one.done), why);
    }
    unadmit(session_.awaits().sweep());
  }
}

void endpoint::expire_kept() {
  line& l = *face_->line_;
  if (!l.kept_until || now() < *l.kept_until) {
    return;
  }
  l.kept_until.reset();
  const error why(errc::timeout, "the service was not back before the deadline; it will not be sent");
  for (auto& one : std::exchange(l.kept, {})) {
    if (one.done && one.deadline <= now()) {
      drop_kept(one.bytes.size(), true, std::move(one.done), why);
      continue;
    }
    if (one.done && (!l.kept_until || one.deadline < *l.kept_until)) {
      l.kept_until = one.deadline;
    }
    l.kept.push_back(std::move(one));
  }
  unadmit(session_.awaits().sweep());
  if (linked_) {
    mark_ready();
  } else {
    hand_over_notices();
  }
  core_->await_told(*this);
}

void endpoint::send_kept() {
  line& l = *face_->line_;
  if (l.kept.empty()) {
    return;
  }
  hold_doorbell();
  l.kept_until.reset();
  for (auto& one : std::exchange(l.kept, {})) {
    const std::size_t bytes = one.bytes.size();
    if (one.done) {
      const std::span<const std::byte> whole[] = {one.bytes};
      if (auto asked = session_.multicast_awaited(whole, bytes, one.deadline, one.done); !asked) {
        drop_kept(bytes, true, std::move(one.done), asked.error());
      }
      continue;
    }
    count_result(session_.multicast_or_queue(one.bytes, [this, bytes, admitted = one.admitted] {
      if (admitted) {
        written(bytes);
      }
    }));
  }
  l.kept_bytes = 0;
  unadmit(session_.awaits().sweep());
}

}  // namespace cpgring::runtime
